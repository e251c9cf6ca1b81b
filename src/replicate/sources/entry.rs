//! One line of the file, one flag, one row: a name and an address, or what is wrong with it. Pure.

use crate::replicate::peer::{BadUrl, PeerUrl};

/// The longest name of a peer in bytes: it stands in every message and metric about it.
pub const NAME_BYTES: usize = 128;
/// The longest address in bytes, as [`PeerUrl`] has it.
pub const URL_BYTES: usize = 2048;
/// Peers of one source: each gets a worker and connections of its own, and no set of nodes comes near.
pub const ENTRIES: usize = 1000;
/// Bad lines of one source that are reported one by one; the rest is counted.
const TOLD: usize = 20;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceEntry {
    /// What it is called: the given name, or else its address.
    pub name: String,
    /// Where it is.
    pub url: PeerUrl,
    pub is_named: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadEntry {
    #[error("the name {shown:?} does not do: expected are 1 to {NAME_BYTES} bytes without control characters")]
    Name { shown: String },
    #[error(transparent)]
    Url(#[from] BadUrl),
    /// There is none.
    #[error("there is no address; expected is NAME URL or URL")]
    NoUrl,
    /// More words than a line has.
    #[error("there is more than a name and an address; expected is NAME URL or URL, and # before a comment")]
    TooMuch,
    #[error("it is not UTF-8 text")]
    NotText,
}

/// The entries of a source, and what was left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListedSources {
    pub entries: Vec<SourceEntry>,
    /// What is not: where, and what was expected. At most a screen of it.
    pub problems: Vec<String>,
    pub(super) left_out: usize,
}

impl SourceEntry {
    /// From a name, if there is one, and an address.
    pub fn new(name: Option<&str>, url: &str) -> Result<Self, BadEntry> {
        let name = name.map(str::trim);
        if let Some(name) = name
            && (name.is_empty() || name.len() > NAME_BYTES || name.chars().any(char::is_control))
        {
            return Err(BadEntry::Name { shown: name.chars().take(40).collect() });
        }
        let url = PeerUrl::parse(url.trim())?;
        Ok(Self { name: name.map_or_else(|| url.to_string(), str::to_owned), url, is_named: name.is_some() })
    }

    /// From `[NAME=]URL`, as on the command line.
    pub fn parse(text: &str) -> Result<Self, BadEntry> {
        match text.split_once('=') {
            Some((name, url)) if !name.contains(['/', ':']) => Self::new(Some(name), url),
            _ => Self::new(None, text),
        }
    }

    /// From a line of the file; `None` if it says nothing.
    fn of_line(line: &[u8]) -> Result<Option<Self>, BadEntry> {
        let line = str::from_utf8(line).map_err(|_| BadEntry::NotText)?;
        let mut words = line.split_whitespace().take_while(|word| !word.starts_with('#'));
        match (words.next(), words.next(), words.next()) {
            (None, ..) => Ok(None),
            (Some(url), None, _) if url.contains("://") => Self::new(None, url).map(Some),
            (Some(_), None, _) => Err(BadEntry::NoUrl),
            (Some(name), Some(url), None) => Self::new(Some(name), url).map(Some),
            _ => Err(BadEntry::TooMuch),
        }
    }
}

impl ListedSources {
    /// Reads a file: `NAME URL` or `URL` per line, `#` comments, blank lines. A bad line costs no good one.
    pub fn of_file(shown: &str, bytes: &[u8]) -> Self {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let mut listed = Self::default();
        for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
            match SourceEntry::of_line(line) {
                Ok(entry) => listed.entries.extend(entry),
                Err(error) => listed.problem(format_args!("{shown}, line {number}: {error}")),
            }
        }
        listed
    }

    pub fn problem(&mut self, problem: impl std::fmt::Display) {
        self.left_out += 1;
        if self.left_out <= TOLD {
            self.problems.push(problem.to_string());
        }
    }

    #[must_use]
    pub fn close(mut self) -> Self {
        if self.left_out > TOLD {
            self.problems.push(format!("and {} more", self.left_out - TOLD));
        }
        self.left_out = 0;
        self
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn named(listed: &ListedSources) -> Vec<(&str, String)> {
        listed.entries.iter().map(|entry| (entry.name.as_str(), entry.url.to_string())).collect()
    }

    #[test]
    fn a_file_has_names_and_addresses_comments_and_blank_lines() {
        let text = "\u{feff}# nodes\n\n  b http://b.example:8000/ \r\n\thttp://c.example:8000/x/\t# the third\n#d http://d\nü http://e";
        let listed = ListedSources::of_file("F", text.as_bytes());
        assert_eq!(listed.problems, [""; 0]);
        let expected = [
            ("b", "http://b.example:8000".to_owned()),
            ("http://c.example:8000/x", "http://c.example:8000/x".to_owned()),
            ("ü", "http://e".to_owned()),
        ];
        assert_eq!(named(&listed), expected);
        assert_eq!(listed.entries.iter().map(|entry| entry.is_named).collect::<Vec<_>>(), [true, false, true]);
    }

    #[test]
    fn a_bad_line_is_told_with_its_number_and_costs_no_good_one() {
        let mut bytes = b"a http://a\nb\nc http://c d\ne ftp://e\n\xff http://f\ng http://user:secret@g\n".to_vec();
        bytes.extend(format!("{} http://h\ni http://i", "n".repeat(129)).bytes());
        let listed = ListedSources::of_file("/etc/nodes", &bytes);
        assert_eq!(named(&listed), [("a", "http://a".to_owned()), ("i", "http://i".to_owned())]);
        assert_eq!(listed.problems.len(), 6);
        for (problem, (line, says)) in listed.problems.iter().zip([
            (2, "there is no address; expected is NAME URL or URL"),
            (3, "more than a name and an address"),
            (4, "does not begin with http://"),
            (5, "not UTF-8"),
            (6, "holds credentials"),
            (7, "1 to 128 bytes"),
        ]) {
            assert!(problem.starts_with(&format!("/etc/nodes, line {line}: ")) && problem.contains(says), "{problem}");
            assert!(!problem.contains("secret") && problem.len() < 300, "{problem}");
        }
    }

    #[test]
    fn a_thousand_bad_lines_are_told_on_one_screen() {
        let listed = ListedSources::of_file("F", "x\n".repeat(1000).as_bytes()).close();
        assert_eq!((listed.problems.len(), listed.problems[20].as_str()), (21, "and 980 more"));
    }

    #[test]
    fn flags_have_a_name_before_an_equals_sign() {
        let entry = |text| SourceEntry::parse(text).map(|entry| (entry.name, entry.url.to_string()));
        assert_eq!(entry("b=http://x/"), Ok(("b".to_owned(), "http://x".to_owned())));
        assert_eq!(entry("http://x/a=b"), Ok(("http://x/a=b".to_owned(), "http://x/a=b".to_owned())));
        assert!(entry("=http://x").is_err() && entry("b=").is_err() && entry("").is_err());
    }

    proptest! {
        #[test]
        fn good_lines_come_out_whatever_stands_between(
            good in prop::collection::vec(("[a-z0-9._-]{1,20}", 1_u16..), 0..20), noise in prop::collection::vec("[ -~]{0,40}", 0..20),
        ) {
            let mut text = String::new();
            for at in 0..good.len().max(noise.len()) {
                if let Some((name, port)) = good.get(at) {
                    text.extend([name, " http://h.example:", &port.to_string(), "\n"]);
                }
                if let Some(noise) = noise.get(at) {
                    text.extend(["# ", noise, "\n\u{7f}", noise, " nonsense\n"]);
                }
            }
            let listed = ListedSources::of_file("F", text.as_bytes());
            let names: Vec<&str> = listed.entries.iter().map(|entry| entry.name.as_str()).collect();
            prop_assert_eq!(names, good.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>());
        }

        #[test]
        fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let listed = ListedSources::of_file("F", &bytes);
            for entry in listed.entries {
                prop_assert!(!entry.name.is_empty() && !entry.name.contains('\n'));
                prop_assert_eq!(PeerUrl::parse(&entry.url.to_string()), Ok(entry.url));
            }
        }
    }
}
