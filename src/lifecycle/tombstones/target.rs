//! What may get a tombstone: a file that is named, or a range of time.

use crate::archive::{BadName, FileName, FilePlace, HourPlace, Stream, Timestamp, name, parse_file_name};

/// Paths in one request: a page of them is a megabyte of text, and is written within a few seconds.
pub const MOST_PATHS: usize = 1_000;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadTarget {
    /// It is no path of a file in an hour, or the grammar does not understand the name.
    #[error("it is not CHANNEL/QUALITY/HOUR/NAME: {0}")]
    Name(#[from] BadName),
    #[error("a temp segment is never listed or replicated, so there is nothing to hide")]
    Temporary,
    #[error("the name is so long that its tombstone's would have more than 255 bytes")]
    TooLong,
}

/// A segment, chat batch or tombstone that a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TombstoneTarget {
    pub place: HourPlace,
    pub name: Box<str>,
}

impl TombstoneTarget {
    /// Reads `CHANNEL/QUALITY/HOUR/NAME`.
    pub fn read(path: &str) -> Result<Self, BadTarget> {
        let FilePlace { hour, name } = FilePlace::parse(path)?;
        match parse_file_name(&name) {
            FileName::Understood(_) => {}
            FileName::Odd(why) => return Err(why.into()),
            FileName::Temporary => return Err(BadTarget::Temporary),
            FileName::Foreign if name::is_too_long_to_hide(&name) => return Err(BadTarget::TooLong),
            FileName::Foreign => return Err(BadName::Extension.into()),
        }
        Ok(Self { place: hour, name })
    }

    pub fn tombstone(&self) -> String {
        name::tombstone_of(&self.name)
    }

    /// Whether a file is meant: itself, or what the tombstone hides.
    pub(super) fn means(&self, file: &str) -> bool {
        *self.name == *file || (name::is_tombstone(&self.name) && name::stem(&self.name) == name::stem(file))
    }
}

#[derive(Debug, Clone)]
pub struct TombstoneRange {
    pub stream: Stream,
    pub from: Timestamp,
    pub to: Timestamp,
}
