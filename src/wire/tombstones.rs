//! What is said about tombstones: which to add, which there are, and what of the bytes that they hide is to be deleted.
//!
//! What asks for a change takes no field that it does not know: a misspelt `dry_run` must not delete anything.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::TombstoneNote;
use crate::archive::HourPlace;

/// Tombstones to add: for some paths, for all content that is equal to theirs, or for all of a quality that overlaps a range of time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddTombstones {
    /// `CHANNEL/QUALITY/HOUR/NAME`, where the name is one of a segment, a chat batch or a tombstone.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub paths: Vec<String>,
    /// Paths like those: every file of the archive whose name has the hash of one of them is hidden, in whatever channel, quality and hour
    /// it lies.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub content: Vec<String>,
    /// With `content`: only say what would be hidden, as `new`.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub dry_run: bool,
    /// The channel of the range.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub channel: Option<String>,
    /// The quality of the range.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub quality: Option<String>,
    /// ISO 8601: what ends at or before it stays.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub from: Option<String>,
    /// ISO 8601: what starts at or after it stays.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub to: Option<String>,
    /// Why: one line of at most 500 characters, kept in each tombstone that is new, and told to other nodes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
}

/// What became of each path. What is `new` or `there` is on disk and in the index.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AddedTombstones {
    /// Tombstones that were not there before.
    pub new: u64,
    /// Tombstones that were there already.
    pub there: u64,
    /// Paths for which there is none now.
    pub refused: u64,
    /// In the order in which they were given; for a range, in order of time.
    pub paths: Vec<AddedTombstone>,
}

impl AddedTombstones {
    /// What would become of these paths, which have no tombstone.
    pub fn would_be(paths: Vec<String>) -> Self {
        let paths: Vec<AddedTombstone> =
            paths.into_iter().map(|path| AddedTombstone { path, outcome: AddOutcome::New, why: None }).collect();
        Self { new: paths.len() as u64, paths, ..Self::default() }
    }
}

/// What became of a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AddedTombstone {
    /// As it was given.
    pub path: String,
    /// `new`, `there` or `refused`.
    pub outcome: AddOutcome,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub why: Option<String>,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AddOutcome {
    /// It was not there before.
    New,
    /// It was there already.
    There,
    /// There is none now.
    Refused,
}

/// A page of what is hidden.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TombstonePage {
    /// By quality, hour and name.
    pub tombstones: Vec<TombstoneRecord>,
    /// Give this as `after` to get the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<String>,
}

/// A tombstone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TombstoneRecord {
    /// `CHANNEL/QUALITY/HOUR/NAME.tombstone`.
    pub path: String,
    /// The file that it hides, if that still lies beside it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hides: Option<String>,
    /// Bytes of that file; 0 if it is not there.
    pub bytes: u64,
    /// Why, when and where it was made, if that was said.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub note: Option<TombstoneNote>,
}

/// What to delete of what tombstones hide here. Exactly one of `paths`, `places` and `everything` is given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PurgeOrder {
    /// `CHANNEL/QUALITY/HOUR/NAME` of a hidden file, or of its tombstone.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub paths: Vec<String>,
    /// `CHANNEL`, `CHANNEL/QUALITY` or `CHANNEL/QUALITY/HOUR`.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub places: Vec<String>,
    /// The whole archive.
    #[serde(default)]
    pub everything: bool,
    /// Only say what would go.
    #[serde(default)]
    pub dry_run: bool,
    /// `next` of the report before, to go on there.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub after: Option<String>,
}

/// What was deleted, or would be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PurgeReport {
    /// Whether nothing was deleted because nothing was to be.
    pub dry_run: bool,
    /// Files that went, or would go.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that stay because no other node has them.
    pub kept: u64,
    /// The hours in which something went, or would go.
    pub hours: Vec<PurgedHour>,
    /// What did not go although it was asked for.
    pub left: Vec<LeftFile>,
    /// One request does so much: give this as `after` to go on; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<String>,
}

/// What went in an hour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PurgedHour {
    /// `CHANNEL/QUALITY/HOUR`.
    pub hour: HourPlace,
    /// Files.
    pub files: u64,
    /// Bytes.
    pub bytes: u64,
}

/// A file that stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LeftFile {
    /// Its path, or the hour's if it is about all of it.
    pub path: String,
    /// Why.
    pub why: String,
}

/// The word of the operator about tombstones that wait because they are suspiciously many.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceptBursts {
    /// Of this peer; of all where not given.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub peer: Option<String>,
}

/// Who was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TombstoneReceipt {
    /// Peers with which a round begins now.
    pub peers: u64,
}
