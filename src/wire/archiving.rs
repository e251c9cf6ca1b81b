//! Hours that go to a bucket and come back, as it is ordered and reported.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::archive::Timestamp;

/// Hours that are to be uploaded now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ArchiveOrder {
    /// `CHANNEL`, `CHANNEL/QUALITY` or `CHANNEL/QUALITY/HOUR`; everything if there are none.
    pub places: Vec<String>,
    /// Nothing is sent: only what would be is told, with bytes and requests.
    pub dry_run: bool,
}

/// Hours whose objects are to be read back.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ArchiveVerifyOrder {
    /// `CHANNEL`, `CHANNEL/QUALITY` or `CHANNEL/QUALITY/HOUR`; everything if there are none.
    pub places: Vec<String>,
    /// A share of them, chosen by chance, such as 0.01; all where it is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample: Option<f64>,
}

/// Hours whose missing files are to come back from the bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ArchiveRestoreOrder {
    /// `CHANNEL`, `CHANNEL/QUALITY` or `CHANNEL/QUALITY/HOUR`, of which at least one must be given.
    pub places: Vec<String>,
}

/// One line of the answer to each of these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "line")]
pub enum ArchiveLine {
    /// The first: what is ahead at most.
    Begin {
        /// Hours.
        hours: u64,
        /// Bytes of their files.
        bytes: u64,
    },
    /// Now and then: bytes that went over the line since the last one.
    Progress {
        /// Bytes.
        bytes: u64,
    },
    /// What became of an hour.
    Hour(ArchivedHour),
    /// The last, if it came to its end.
    Done(ArchiveSummary),
    /// The last, if it did not.
    Failed {
        /// A word for it, where the bucket was the reason, such as `unreachable`.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        reason: Option<String>,
        /// Why not.
        why: String,
    },
}

/// An hour, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ArchivedHour {
    /// `CHANNEL/QUALITY/HOUR`.
    pub hour: String,
    /// `archived` (uploaded, and read back), `planned`, `right`, `damaged`, `gone`, `restored`, `asked_for` (cold, and the store brings it within hours), `dropped`, `droppable`, `purged`, `purgeable`, `kept` (as no other node has it), `changed` (while it was sent) or `failed`.
    pub state: String,
    /// The object.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub object: Option<String>,
    /// Its bytes; of what is planned, restored and purged, those of files.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bytes: Option<u64>,
    /// Files that were restored, or deleted here or in the bucket.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub files: Option<u64>,
    /// A word for what is wrong.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub why: Option<String>,
}

/// What it came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ArchiveSummary {
    /// Hours that were uploaded and read back, that would be, that are right, or of which files were restored, or deleted here or in the bucket.
    pub done: u64,
    /// Hours that had nothing to be done.
    pub before: u64,
    /// Hours that are not sealed; of a purge, those of which something stays because no other node has it.
    pub open: u64,
    /// Those of them that have a manifest which describes another directory, as in a copy of an archive, or what the hour was before: sealing
    /// looks at them.
    #[serde(default)]
    pub unsealed: u64,
    /// Hours with which something is wrong.
    pub errors: u64,
    /// Bytes that went over the line, or would.
    pub bytes: u64,
    /// Requests that would be sent; of a plan alone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub requests: Option<u64>,
}

/// What lies in the bucket, as far as this archive knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ArchiveReport {
    /// Which bucket; none where no bucket is named.
    pub bucket: Option<String>,
    /// Hours that were read back from the bucket, and have not changed since.
    pub archived: ArchiveShare,
    /// Hours that are sealed and wait to be uploaded.
    pub waiting: ArchiveShare,
    /// Hours that are not sealed.
    pub open: ArchiveShare,
    /// Hours that are sealed and older than the bucket keeps any (`archive.max_age`), so that they stay on this disk alone.
    #[serde(default)]
    pub too_old: ArchiveShare,
    /// How many of them have a manifest which describes another directory, as in a copy of an archive, or what the hour was before: sealing
    /// looks at them.
    #[serde(default)]
    pub unsealed: u64,
    /// Objects that turned out to be damaged or gone, and of which no other object holds all.
    #[serde(default)]
    pub lost: u64,
    /// Since when the one that has waited longest is sealed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub waiting_since: Option<Timestamp>,
    /// When an hour was last read back, as its receipt says.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_read_back: Option<Timestamp>,
    /// Why no hour comes into the bucket, as the daemon has seen it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub failing: Option<BucketFailure>,
}

/// That no hour comes into the bucket because of the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BucketFailure {
    /// A word for it, such as `unreachable`.
    pub reason: String,
    /// What is wrong, and what to do.
    pub why: String,
    /// No hour did from then on.
    pub since: Timestamp,
}

/// Some hours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ArchiveShare {
    /// How many.
    pub hours: u64,
    /// Bytes of their files.
    pub bytes: u64,
}

/// A page of what is in the bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ArchiveObjects {
    /// In the order of their names.
    pub objects: Vec<ArchiveObject>,
    /// Names that are none of gapless.
    pub others: u64,
    /// Where the next page begins, if there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<String>,
}

/// An object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ArchiveObject {
    /// `v1/CHANNEL/QUALITY/HOUR/DIGEST.tar`.
    pub name: String,
    /// Bytes.
    pub bytes: u64,
}
