//! Times in the names of recordings, as recorders write them: `strftime` patterns such as `%Y-%m-%d_%H-%M-%S`.
//!
//! Recorders write the local time of their machine. Which zone that is, is not known here: see [`NameTime::Local`].

use chrono::format::{Item, Parsed, StrftimeItems, parse};
use chrono::{NaiveDate, NaiveDateTime};

use crate::archive::Timestamp;

/// A pattern, as it was given to the recorder.
#[derive(Debug, Clone)]
pub struct NamePattern {
    items: Vec<Item<'static>>,
    /// Directories that it names above the file.
    directories: usize,
}

/// A time in a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameTime {
    /// The name says which zone, or counts seconds since 1970.
    Utc(Timestamp),
    /// Of some zone.
    Local(NaiveDateTime),
}

impl NamePattern {
    /// Reads the pattern; says what is wrong with one that cannot be read or does not say a date and a time.
    pub fn new(text: &str) -> Result<Self, String> {
        let example = "expected a pattern such as rec-%Y%m%d-%H%M%S.ts";
        let items = StrftimeItems::new(text).parse_to_owned();
        let items = items.map_err(|_| format!("{text:?} has a % that is not understood; {example}"))?;
        let pattern = Self { items, directories: text.matches('/').count() };
        let sample = NaiveDate::from_ymd_opt(2019, 11, 23).and_then(|date| date.and_hms_opt(14, 55, 38));
        let named =
            sample.map(|time| time.and_utc().fixed_offset().format_with_items(pattern.items.iter()).to_string());
        match named.and_then(|name| pattern.whole(&name)) {
            Some(_) => Ok(pattern),
            None => Err(format!("{text:?} does not say date and time (%Y %m %d %H %M %S, or %s); {example}")),
        }
    }

    /// The time in the name of a file, if that is of this pattern. The extension may be left out of the pattern.
    pub fn read(&self, path: &str) -> Option<NameTime> {
        let above = path.rmatch_indices('/').nth(self.directories);
        let name = above.and_then(|(at, _)| path.get(at + 1..)).unwrap_or(path);
        self.whole(name).or_else(|| self.whole(name.rsplit_once('.')?.0))
    }

    fn whole(&self, name: &str) -> Option<NameTime> {
        let mut parsed = Parsed::new();
        parse(&mut parsed, name, self.items.iter()).ok()?;
        if let Some(seconds) = parsed.timestamp() {
            return Some(NameTime::Utc(Timestamp(seconds.checked_mul(1_000_000)?)));
        }
        if parsed.offset().is_some() {
            return Some(NameTime::Utc(Timestamp(parsed.to_datetime().ok()?.timestamp_micros())));
        }
        parsed.to_naive_datetime_with_offset(0).ok().map(NameTime::Local)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pattern: &str, name: &str) -> Option<String> {
        match NamePattern::new(pattern).unwrap().read(name)? {
            NameTime::Utc(time) => Some(time.to_string()),
            NameTime::Local(time) => Some(time.to_string()),
        }
    }

    #[test]
    fn names_are_read_by_the_pattern_that_wrote_them() {
        for (pattern, name, expected) in [
            ("out-%Y%m%dT%H%M%S.ts", "out-20261128T191109.ts", "2026-11-28 19:11:09"),
            ("out-%Y%m%dT%H%M%S", "rec/out-20261128T191109.ts", "2026-11-28 19:11:09"),
            ("%Y-%m-%d %H-%M-%S.ts", "/home/me/2026-11-28 19-11-09.ts", "2026-11-28 19:11:09"),
            ("%F_%T.ts", "2026-11-28_19:11:09.ts", "2026-11-28 19:11:09"),
            ("%Y/%m/%d/%H%M%S.ts", "/rec/2026/11/28/191109.ts", "2026-11-28 19:11:09"),
            ("%s.ts", "1573610108.ts", "2019-11-13T01:55:08.000000Z"),
            ("%Y%m%d%H%M%S%z.ts", "20261128191109+0100.ts", "2026-11-28T18:11:09.000000Z"),
            ("100%%-%Y%m%d-%H%M%S.ts", "100%-20261128-191109.ts", "2026-11-28 19:11:09"),
        ] {
            assert_eq!(read(pattern, name).as_deref(), Some(expected), "{pattern} {name}");
        }
        for name in ["out-20261128T1911.ts", "n001.ts", "", "out-20261328T191109.ts", "xout-20261128T191109.ts"] {
            assert_eq!(read("out-%Y%m%dT%H%M%S.ts", name), None, "{name}");
        }
    }

    #[test]
    fn patterns_that_say_no_time_are_refused_with_an_example() {
        for pattern in ["", "n%03d.ts", "%Y-%m-%d.ts", "%H%M%S", "%", "%Q", "rec.ts"] {
            let told = NamePattern::new(pattern).unwrap_err();
            assert!(told.contains("rec-%Y%m%d-%H%M%S.ts"), "{pattern}: {told}");
        }
    }
}
