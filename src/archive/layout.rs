//! Paths relative to the base directory ↔ places in the archive, both ways exact.

use std::fmt;
use std::path::PathBuf;

use super::{BadName, Hour, Stream};

/// An hour directory: `CHANNEL/QUALITY/HOUR`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HourPlace {
    /// Channel and quality.
    pub stream: Stream,
    /// The hour.
    pub hour: Hour,
}

/// A file in an hour directory: `CHANNEL/QUALITY/HOUR/NAME`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FilePlace {
    /// The directory.
    pub hour: HourPlace,
    /// The name, to the byte.
    pub name: Box<str>,
}

impl HourPlace {
    /// Reads `CHANNEL/QUALITY/HOUR`.
    pub fn parse(path: &str) -> Result<Self, BadName> {
        let (stream, hour) = path.rsplit_once('/').ok_or(BadName::Hour)?;
        Ok(Self { stream: Stream::parse(stream)?, hour: Hour::parse(hour)? })
    }

    /// The directory relative to the base.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(self.to_string())
    }
}

impl FilePlace {
    /// Reads `CHANNEL/QUALITY/HOUR/NAME`; the name may be any visible file name.
    pub fn parse(path: &str) -> Result<Self, BadName> {
        let (hour, name) = path.rsplit_once('/').ok_or(BadName::Parts)?;
        if name.is_empty() || name.starts_with('.') || name.len() > 255 || name.contains('\0') {
            return Err(BadName::Parts);
        }
        Ok(Self { hour: HourPlace::parse(hour)?, name: name.into() })
    }
}

impl fmt::Display for HourPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.stream, self.hour)
    }
}

impl fmt::Display for FilePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.hour, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn whatever_is_read_is_written_the_same(path in "[a-z.]{0,3}/[a-z.]{0,3}/(2019-11-13T02|x)/[ -~]{0,6}") {
            if let Ok(place) = FilePlace::parse(&path) {
                prop_assert_eq!(place.to_string(), path);
            }
        }
    }

    #[test]
    fn paths_that_leave_are_refused() {
        for path in [
            "../q/2019-11-13T02/x.ts",
            "c/../2019-11-13T02/x.ts",
            "/c/q/2019-11-13T02/x.ts",
            "c/q/2019-11-13T02/..",
            "c/q/2019-11-13T02/",
            "c/q/x.ts",
        ] {
            assert!(FilePlace::parse(path).is_err(), "{path}");
        }
        let place = FilePlace::parse("c/q/2019-11-13T02/x.ts").unwrap();
        assert_eq!(place.hour.path(), PathBuf::from("c/q/2019-11-13T02"));
    }
}
