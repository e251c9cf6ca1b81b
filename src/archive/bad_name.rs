//! Why a name was not understood: what was found, what the grammar expects.
//!
//! The grammar is the table in "Segments, tombstones and the tree on disk" (docs/names.md).

/// The part of a name that broke the grammar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// A channel or quality.
    #[error("a channel or quality is one path component of 1 to 255 bytes that does not start with a dot")]
    Component,
    /// An hour directory.
    #[error("an hour is written YYYY-MM-DDTHH in UTC, such as 2019-11-13T02")]
    Hour,
    /// The extension.
    #[error("a file of the archive ends in .ts, .json or .tombstone")]
    Extension,
    /// The number of parts between the dashes.
    #[error("a segment is named TIME-DURATION-TYPE-HASH and a chat batch TIME-HASH")]
    Parts,
    /// The time within the hour.
    #[error("a time is written MM:SS, optionally with a dot and 1 to 6 digits")]
    Time,
    /// The duration.
    #[error("a duration is decimal seconds from 0 to 3600, such as 2.0")]
    Duration,
    /// The type.
    #[error("a type is full, suspect, partial or temp")]
    Type,
    /// The hash.
    #[error("a hash is 43 characters of URL-safe base64 without padding (SHA-256)")]
    Hash,
}
