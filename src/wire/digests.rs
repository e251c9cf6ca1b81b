//! What two nodes exchange to agree: digests of qualities, days and hours, and changes.
//!
//! Digests are 64 hexadecimal digits. That of an hour is the sum of the SHA-256 of each name that is replicated, as four
//! little-endian numbers of 64 bits, each modulo 2⁶⁴. That of a day or quality is the same sum over the SHA-256 of `HOUR DIGEST`
//! for each of its hours that has one. Hours, days and qualities without such a name are left out.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::LayoutOffer;

/// Digests of qualities.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QualityDigests {
    /// Changes each time an index begins anew.
    pub epoch: String,
    /// Number of the last change that is in here for certain: changes may be followed from it.
    pub seq: u64,
    /// Whether the index has caught up with the disk. If not, what is missing here may be there all the same.
    pub complete: bool,
    /// A number that each process chooses at random: by it a node that is in its own list of peers recognises itself.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub instance: Option<u64>,
    /// The archive's id, as in its marker: a node over another archive has another one. Absent where no marker could be written.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub archive: Option<String>,
    /// What the node calls itself.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
    /// The layout that the node has, for peers that take it; absent where it has none, or cannot read it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub layout: Option<LayoutOffer>,
    /// In order of their paths.
    pub qualities: Vec<QualityDigest>,
    /// Give this as `after` to get the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<String>,
}

/// A quality.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QualityDigest {
    /// The channel.
    pub channel: String,
    /// The quality.
    pub quality: String,
    /// Over its hours.
    pub digest: String,
    /// Hours with names that are replicated.
    pub hours: u64,
    /// Visible segments and chat batches, tombstones left out.
    pub files: u64,
    /// The same by who owns the hours, where the question names a layout that the node has as well.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub owned: Option<OwnedDigests>,
}

/// What the hours of a quality add up to by who owns them. Those that the node that asks does not own add up to the rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OwnedDigests {
    /// Over the hours that both nodes own.
    pub both: String,
    /// Over those that the node that asks owns, and this one does not.
    pub asker: String,
    /// Tombstones in those that the node that asks does not own: it takes these, and nothing else of such hours.
    pub tombstones: u64,
}

/// Digests of the days of a quality.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DayDigests {
    /// Changes each time an index begins anew.
    pub epoch: String,
    /// Number of the last change that is in here for certain.
    pub seq: u64,
    /// Whether the index has caught up with the disk.
    pub complete: bool,
    /// Oldest first.
    pub days: Vec<DayDigest>,
    /// Give this as `after` to get the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<String>,
}

/// A day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DayDigest {
    /// The day in UTC, such as `2019-11-13`.
    pub day: String,
    /// Over its hours.
    pub digest: String,
    /// Hours with names that are replicated.
    pub hours: u64,
    /// Visible segments and chat batches, tombstones left out.
    pub files: u64,
    /// Tombstones in them, where the question names a layout.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tombstones: Option<u64>,
}

/// Digests of the hours of a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HourDigests {
    /// Changes each time an index begins anew.
    pub epoch: String,
    /// Number of the last change that is in here for certain.
    pub seq: u64,
    /// Whether the index is right about these hours: they are compared with the disk for this answer.
    pub complete: bool,
    /// Oldest first.
    pub hours: Vec<HourDigest>,
}

/// An hour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HourDigest {
    /// The hour directory, such as `2019-11-13T02`.
    pub hour: String,
    /// Over its names.
    pub digest: String,
    /// Visible segments and chat batches, tombstones left out.
    pub files: u64,
    /// Tombstones in it, where the question names a layout.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tombstones: Option<u64>,
    /// The files that the digest is over, and those that they hide, where the question asks for them and there is room in the answer: whoever
    /// misses some asks again for these hours.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub names: Option<Vec<HourFile>>,
}

/// A segment, a chat batch or a tombstone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HourFile {
    /// The file name, to the byte.
    pub name: String,
    /// Bytes.
    pub size: u64,
}

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChangeList {
    /// Changes each time an index begins anew.
    pub epoch: String,
    /// The changes asked for are not there: the epoch is another one, some are not kept any more, or the number has not been
    /// reached yet. Compare digests, and go on from where those say.
    pub gap: bool,
    /// Oldest first.
    pub changes: Vec<ChangeRecord>,
    /// Give this as `after` to get the next page.
    pub next: u64,
    /// Number of the last change: if it is not `next`, there are more already.
    pub last: u64,
}

/// A change of a segment, a chat batch or a tombstone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChangeRecord {
    /// Its number. Numbers of names that are not replicated are left out.
    pub seq: u64,
    /// The channel.
    pub channel: String,
    /// The quality.
    pub quality: String,
    /// The hour directory, such as `2019-11-13T02`.
    pub hour: String,
    /// The file name, to the byte.
    pub name: String,
    /// What became of it.
    pub change: ChangeKind,
    /// Bytes; of what is gone as many as were known, or 0.
    pub size: u64,
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It appeared, or has another size.
    Put,
    /// It is gone from the disk, which deletes nothing elsewhere.
    Removed,
}
