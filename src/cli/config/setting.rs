//! What a setting is, and the kinds of values a setting can have.
//!
//! Every kind is read from text by one function, whether the text stood in a flag, the environment, the file, a default
//! or a bound. Which settings there are is not decided here but in `config`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// The table of the file it stands in; empty for the top.
    pub table: &'static str,
    pub key: &'static str,
    /// The default, as it would be written.
    pub default: &'static str,
    /// Least and greatest allowed value, as they would be written.
    pub bounds: Option<(&'static str, &'static str)>,
    /// What it does and why it is bounded as it is.
    #[cfg(test)]
    pub why: &'static str,
    /// What its kind accepts, as the end of a sentence that begins "expected".
    pub expects: &'static str,
}

impl Setting {
    /// The key with its table, as in `http.drain`.
    pub fn full_key(&self) -> String {
        if self.table.is_empty() { self.key.to_owned() } else { format!("{}.{}", self.table, self.key) }
    }

    /// The flag, where there is one, as in `--tls-key`.
    pub fn flag(&self) -> String {
        format!("--{}", self.key.replace('_', "-"))
    }

    /// The environment variable, as in `GAPLESS_HTTP_DRAIN`.
    pub fn env(&self) -> String {
        format!("GAPLESS_{}", self.full_key().replace('.', "_").to_uppercase())
    }

    /// What is accepted, bounds included, as the end of a sentence that begins "expected".
    pub fn expected(&self) -> String {
        match self.bounds {
            Some((low, high)) => format!("{}, from {low} to {high}", self.expects),
            None => self.expects.to_owned(),
        }
    }

    /// Reads a value of kind `K` and checks its bounds; on failure says what was expected.
    pub fn read<K: SettingKind>(&self, text: &str) -> Result<K::Value, String> {
        let within = |value: &K::Value| match self.bounds {
            None => true,
            Some((low, high)) => {
                K::read(low).is_some_and(|least| *value >= least) && K::read(high).is_some_and(|most| *value <= most)
            }
        };
        K::read(text)
            .filter(within)
            .ok_or_else(|| format!("{} is {text:?}, expected {}", self.full_key(), self.expected()))
    }
}

const OFF: &str = "off";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    Text,
    Integer,
    Float,
    List,
    Boolean,
}

pub trait SettingKind {
    type Value: PartialOrd;
    /// What is accepted, as the end of a sentence that begins "expected".
    const EXPECTS: &'static str;
    /// How it may be written in the file.
    const SHAPES: &'static [Shape];
    /// Reads it; `None` if the text is no such value.
    fn read(text: &str) -> Option<Self::Value>;
}

/// Kinds of values: what each is in the program, what it accepts, how it may be written in the file, and how it is read.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident: $value:ty = $expects:literal, [$($shape:ident),*], |$text:ident| $read:expr;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug)]
            pub struct $kind;

            impl SettingKind for $kind {
                type Value = $value;
                const EXPECTS: &'static str = $expects;
                const SHAPES: &'static [Shape] = &[$(Shape::$shape),*];

                fn read($text: &str) -> Option<$value> {
                    $read
                }
            }
        )*
    };
}

kinds! {
    TimeLength: Duration = "a time with its unit such as \"10s\" or \"5min\"", [Text],
        |text| humantime::parse_duration(text).ok();

    TimeOrOff: Option<Duration> = "a time with its unit such as \"30days\", or \"off\"", [Text],
        |text| if text == OFF { Some(None) } else { TimeLength::read(text).map(Some) };

    BytesOrOff: Option<u64> = "a size such as \"2TiB\", a whole number of bytes, or \"off\"", [Text, Integer],
        |text| if text == OFF { Some(None) } else { ByteSize::read(text).map(Some) };

    /// A number of bytes, or a tenth of the disk, which is none here.
    BytesOrTenth: Option<u64> = "a size such as \"500GiB\", a whole number of bytes, or \"tenth\"", [Text, Integer],
        |text| if text == "tenth" { Some(None) } else { ByteSize::read(text).map(Some) };

    YesNo: bool = "true or false", [Boolean], |text| text.parse().ok();

    /// Directories beneath the base, between commas.
    Directories: Vec<String> = "names of directories beneath the base between commas, such as \"thumbnails,notes\", without \"coverage-maps\", or nothing", [Text],
        |text| {
        // Each node draws its own maps: those of others would stand in the way.
        let is_own = |name: &str| name == crate::report::coverage::DIRECTORY;
        let is_plain =
            |name: &&str| !is_own(name) && !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0']);
        let names: Vec<&str> = text.split(',').map(str::trim).collect();
        if names == [""] {
            return Some(Vec::new());
        }
        names.iter().all(is_plain).then(|| names.into_iter().map(str::to_owned).collect())
    };

    ByteSize: u64 = "a size such as \"64MiB\" or a whole number of bytes", [Text, Integer], |text| {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at_checked(digits)?;
        let factor: u64 = match unit.trim_start() {
            "" | "B" => 1,
            "kB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "TB" => 1_000_000_000_000,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "TiB" => 1 << 40,
            _ => return None,
        };
        number.parse::<u64>().ok()?.checked_mul(factor)
    };

    Count: usize = "a whole number", [Integer], |text| text.parse().ok();

    Rows: u64 = "a whole number", [Integer], |text| text.parse().ok();

    Fraction: f64 = "a share such as 0.10", [Float, Integer],
        |text| text.parse().ok().filter(|share: &f64| share.is_finite());

    Address: SocketAddr = "an address with a port such as \"127.0.0.1:8000\" or \"[::]:8000\"", [Text],
        |text| text.parse().ok();

    OptionalFile: Option<PathBuf> = "the path of a file", [Text],
        |text| (!text.contains('\0')).then(|| (!text.is_empty()).then(|| text.into()));

    NodeName: String = "1 to 64 letters, digits, dots, dashes or underscores", [Text], |text| {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        ((1..=64).contains(&text.len()) && text.chars().all(fits)).then(|| text.to_owned())
    };

    /// Texts, each of which may be anything; as a list in the file, or separated by commas.
    Texts: Vec<String> = "a list such as [\"a\", \"b\"], or the same separated by commas", [Text, List], |text| {
        let texts = text.split([',', '\n']).map(str::trim).filter(|text| !text.is_empty());
        Some(texts.map(str::to_owned).collect())
    };

    OptionalText: Option<String> = "a text", [Text],
        |text| Some(Some(text.trim().to_owned()).filter(|text| !text.is_empty()));

    NonEmptyText: String = "a text that is not empty", [Text],
        |text| (!text.trim().is_empty()).then(|| text.to_owned());

    /// A text that may hold a password: any is taken here, so that no error repeats it.
    Secret: Redacted = "a text", [Text], |text| Some(Redacted(text.to_owned()));

    Filter: String = "a filter such as \"info\" or \"gapless::http=debug,info\", of off, error, warn, info, debug and trace", [Text],
        |text| (!text.is_empty() && has_levels(text) && EnvFilter::try_new(text).is_ok()).then(|| text.to_owned());

    /// What the scrub does with streams that are not whole.
    StructureCheck: crate::sync::scrub::Structure = "\"quarantine\", \"report\" or \"off\"", [Text],
        |text| crate::sync::scrub::Structure::ALL.into_iter().find(|one| one.as_str() == text);
}

/// Whether each part of a filter is a level, or names one: a mistyped level would be the name of a part of the program, and silence all others.
fn has_levels(filter: &str) -> bool {
    filter.split(',').all(|part| part.contains('=') || part.trim().parse::<LevelFilter>().is_ok())
}

/// What a `Secret` holds, if anything; not shown by accident.
#[derive(Clone, PartialEq, Eq, PartialOrd)]
pub struct Redacted(String);

impl Redacted {
    pub fn reveal(&self) -> Option<&str> {
        (!self.0.is_empty()).then_some(self.0.as_str())
    }
}

impl std::fmt::Debug for Redacted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_empty() { "nothing" } else { "hidden" })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
pub enum LogFormat {
    Text,
    Json,
}

impl SettingKind for LogFormat {
    type Value = Self;
    const EXPECTS: &'static str = "\"text\" or \"json\"";
    const SHAPES: &'static [Shape] = &[Shape::Text];

    fn read(text: &str) -> Option<Self> {
        match text {
            "text" => Some(Self::Text),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAIN: Setting = Setting {
        table: "http",
        key: "drain",
        default: "10s",
        bounds: Some(("1s", "1min")),
        why: "",
        expects: TimeLength::EXPECTS,
    };

    #[test]
    fn sizes_have_binary_and_decimal_units_and_do_not_overflow() {
        let good =
            [("0", 0), ("1024", 1024), ("1B", 1), ("16KiB", 16_384), ("64 MiB", 64 << 20), ("2GB", 2_000_000_000)];
        for (text, bytes) in good {
            assert_eq!(ByteSize::read(text), Some(bytes), "{text}");
        }
        for wrong in ["", "MiB", "-1", "1.5GiB", "64mib", "64 MiB ", "99999999TiB", "18446744073709551616", "1é"] {
            assert_eq!(ByteSize::read(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn lists_are_texts_without_blanks_and_secrets_are_not_shown() {
        assert_eq!(Texts::read(" a=http://x, b ,\n,c").unwrap(), ["a=http://x", "b", "c"]);
        assert_eq!(Texts::read("").unwrap(), [""; 0]);
        assert_eq!(NonEmptyText::read(" "), None);
        let hidden = Secret::read("password").unwrap();
        assert_eq!((hidden.reveal(), format!("{hidden:?}").as_str()), (Some("password"), "hidden"));
        assert_eq!(Secret::read("").unwrap().reveal(), None);
    }

    #[test]
    fn shares_are_finite() {
        assert!(Fraction::read("0.1").is_some_and(|share| (share - 0.1).abs() < 1e-9));
        for wrong in ["nan", "inf", "x", ""] {
            assert!(Fraction::read(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn names_are_short_and_plain() {
        assert_eq!(NodeName::read("node-1.example_x"), Some("node-1.example_x".into()));
        for wrong in ["", "a b", "a/b", "é", &"x".repeat(65)] {
            assert_eq!(NodeName::read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn bounds_belong_to_what_is_allowed() {
        assert_eq!(DRAIN.read::<TimeLength>("1s"), Ok(Duration::from_secs(1)));
        assert_eq!(DRAIN.read::<TimeLength>("60s"), Ok(Duration::from_secs(60)));
        let problem = DRAIN.read::<TimeLength>("61s").unwrap_err();
        assert_eq!(
            problem,
            r#"http.drain is "61s", expected a time with its unit such as "10s" or "5min", from 1s to 1min"#
        );
        assert!(DRAIN.read::<TimeLength>("999ms").is_err());
        assert!(DRAIN.read::<TimeLength>("10").is_err());
    }

    #[test]
    fn the_environment_variable_follows_from_the_key() {
        assert_eq!(DRAIN.env(), "GAPLESS_HTTP_DRAIN");
        assert_eq!(Setting { table: "", key: "log_format", ..DRAIN }.env(), "GAPLESS_LOG_FORMAT");
    }
}
