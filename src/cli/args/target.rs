//! A place in the archive, as it is typed.

use std::str::FromStr;

use crate::archive::escape::unshown;

/// A place in the archive, from a channel down to an hour.
///
/// Names may be given as they are printed. Only the shape is checked: one to three parts, none empty, none hidden. Whether the hour is one is `archive`'s affair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveTarget(Vec<String>);

impl ArchiveTarget {
    /// The parts, from the channel on: one to three of them.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl std::fmt::Display for ArchiveTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join("/"))
    }
}

impl FromStr for ArchiveTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains("://") {
            return Err("this is an address: give it with --peer or --node; expected CHANNEL/QUALITY/HOUR".into());
        }
        let parts: Vec<String> =
            text.strip_suffix('/').unwrap_or(text).split('/').map(|part| unshown(part).into_owned()).collect();
        if parts.len() > 3 {
            return Err("expected at most three parts, CHANNEL/QUALITY/HOUR".into());
        }
        if parts.iter().any(|part| part.is_empty() || part.starts_with('.') || part.contains(['\0', '/'])) {
            return Err("expected parts that are neither empty nor hidden, as in desertbus/source/2019-11-13T02".into());
        }
        Ok(Self(parts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_have_one_to_three_visible_parts() {
        let parts = |text: &str| text.parse::<ArchiveTarget>().map(|target| target.0);
        assert_eq!(parts("a").unwrap(), ["a"]);
        assert_eq!(parts("a/b/2019-11-13T02/").unwrap(), ["a", "b", "2019-11-13T02"]);
        // As it is printed.
        assert_eq!(parts(r"a\x1b/b\n").unwrap(), ["a\x1b", "b\n"]);
        for wrong in ["", "/", "/a", "a//b", "a/b/c/d", ".gapless", "a/..", "a\0"] {
            assert!(parts(wrong).is_err(), "{wrong:?}");
        }
    }
}
