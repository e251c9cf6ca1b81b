//! What retention would do, has done, and what it says about itself.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What retention would delete now, and what it has deleted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RetentionView {
    /// What would go now.
    pub plan: RetentionPlan,
    /// Hours that have gone or are going, newest first; at most 10000 of them.
    pub retired: Vec<RetiredHour>,
    /// How many there are in all.
    pub retired_hours: u64,
    /// Hours that the operator keeps, whatever the limits say.
    pub kept: Vec<String>,
}

/// What retention would delete now. Nothing is changed by asking.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RetentionPlan {
    /// Whether there is any limit.
    pub enabled: bool,
    /// Whole hours that would go, oldest first; at most 10000 of them.
    pub hours: Vec<RetentionHour>,
    /// How many there are in all.
    #[serde(default)]
    pub planned_hours: u64,
    /// Segments and chat batches in all of them.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Hours that hold anything.
    pub archive_hours: u64,
    /// Bytes of all of them.
    pub archive_bytes: u64,
    /// Free bytes on the disk.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub free_bytes: Option<u64>,
    /// What looks like a mistake: nothing would be deleted without a person's word.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub doubt: Option<String>,
    /// Why nothing can be deleted now.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub blocked: Option<String>,
}

/// An hour that would go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RetentionHour {
    /// `CHANNEL/QUALITY/HOUR`.
    pub hour: String,
    /// `age`, `size` or `space`.
    pub reason: String,
    /// Segments and chat batches, hidden ones included.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Tombstones, which stay until the reclaim age.
    pub tombstones: u64,
}

/// An hour that has gone or is going.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RetiredHour {
    /// `CHANNEL/QUALITY/HOUR`.
    pub hour: String,
    /// `retiring` (being deleted), `retired` (tombstones are left) or `gone`.
    pub state: String,
    /// `age`, `size` or `space`.
    pub reason: String,
    /// When it came into this state.
    pub since: String,
}

/// How retention goes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RetentionReport {
    /// Whether there is any limit.
    pub enabled: bool,
    /// When everything was last looked at.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_run: Option<String>,
    /// Hours that were retired in that run.
    pub hours: u64,
    /// Their segments and chat batches.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Hours whose tombstones went in that run.
    pub reclaimed: u64,
    /// Hours whose tombstones stay though the reclaim age is over: what they hide might be shown again. Of those that were asked about.
    #[serde(default)]
    pub tombstones_stay: u64,
    /// The first of them, and why.
    #[serde(default)]
    pub first_tombstones_stay: Vec<String>,
    /// Bytes that should be gone and are not.
    pub overdue_bytes: u64,
    /// Segments that stay because no other node has them.
    pub last_copies: u64,
    /// The first of them.
    #[serde(default)]
    pub first_last_copies: Vec<String>,
    /// Who fills the disk.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub disk: Option<DiskFilled>,
    /// Peers that answered and do not count as other copies, and why.
    #[serde(default)]
    pub unproven_copies: Vec<String>,
    /// What looks like a mistake and waits for the operator's word.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub doubt: Option<String>,
    /// Why the clock of this machine is not believed now; nothing is deleted meanwhile.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub clock: Option<String>,
    /// Records that protect the archive and cannot be relied on; nothing is deleted until `retention accept`.
    #[serde(default)]
    pub unusable_records: Vec<UnusableRecord>,
    /// Why the last run failed, or left something undone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
}

/// Who fills the disk, in bytes, and by how much that has grown since the run before.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DiskFilled {
    /// What was recorded here, was here before, or is named in the configuration.
    pub own: u64,
    /// What came from other nodes.
    pub fetched: u64,
    /// All else that is used: other programs, the index, and what the file system keeps for itself.
    pub other: u64,
    /// What is free.
    pub free: u64,
    /// Growth of one's own; negative where it has shrunk.
    pub own_grown: i64,
    /// Growth of what came from other nodes.
    pub fetched_grown: i64,
    /// Growth of all else.
    pub other_grown: i64,
}

/// A record beneath `.gapless` that cannot be relied on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UnusableRecord {
    /// `retired` (the journal of retired hours), `time`, `levels`, `records`, or another one.
    pub name: String,
    /// What is wrong with it.
    pub why: String,
}

/// What became of records that could not be relied on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AcceptedRecords {
    /// Those that begin anew from what could be read.
    pub records: Vec<UnusableRecord>,
    /// Where their damaged copies are kept.
    pub kept_aside: Vec<String>,
}

/// A run of retention that is ordered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RunRetention {
    /// Also what looks like a mistake.
    #[serde(default)]
    pub yes: bool,
}

/// Hours that are to be kept whatever the limits say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeepHours {
    /// `CHANNEL/QUALITY/HOUR`.
    pub places: Vec<String>,
    /// They are to be kept no more than any other hour.
    #[serde(default)]
    pub release: bool,
}

/// What was ordered by [`KeepHours`] is done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeptHours {
    /// Those of them under which nothing is here: they may come, or be misspelt.
    #[serde(default)]
    pub not_here: Vec<AbsentHour>,
}

/// An hour under whose name nothing is here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AbsentHour {
    /// `CHANNEL/QUALITY/HOUR`.
    pub hour: String,
    /// `CHANNEL/QUALITY` that is here and differs by one letter.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub meant: Option<String>,
}
