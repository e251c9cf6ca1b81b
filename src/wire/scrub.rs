//! What is said about damaged files: the report that lies beside each in the quarantine, and the list of them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The report beside a quarantined file (`NAME.json`), and the file's entry in the list of the quarantine.
///
/// Fields that are missing get defaults, and unknown ones are left out, so that reports of other versions can be read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct QuarantineReport {
    /// Where it lay: `CHANNEL/QUALITY/HOUR/NAME`.
    pub path: String,
    /// `hash`, `zeros`, `unreadable` or `structure`.
    pub problem: String,
    /// What is wrong with it, in sentences.
    pub faults: Vec<String>,
    /// The SHA-256 in its name.
    pub expected_hash: String,
    /// The SHA-256 of its content, as far as it could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found_hash: Option<String>,
    /// Bytes that the index knew it with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_size: Option<u64>,
    /// Bytes that were read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found_size: Option<u64>,
    /// When it was quarantined.
    pub at: String,
    /// The cycle of the scrub that found it, if it was one of a node's own; each begins at another time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cycle: Option<u64>,
    /// When that cycle began, or the process where there was none: with it the cycles of an index that began anew are told apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub began: Option<String>,
    /// When it was seen that its name is listed again, with the right content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healed: Option<String>,
}

/// A file in the quarantine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QuarantinedFile {
    /// Where it lies, relative to the base.
    pub kept: String,
    /// Bytes.
    pub size: u64,
    /// What is wrong with it.
    #[serde(flatten)]
    pub report: QuarantineReport,
}

/// What lies in the quarantine, by path.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QuarantineList {
    /// Files.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files whose name is not listed again.
    pub lost: u64,
    /// Each of them, at most a thousand.
    pub files: Vec<QuarantinedFile>,
}

/// A segment that the scrub found odd, or broken where the settings leave such: it stays where it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct FlaggedFile {
    /// `CHANNEL/QUALITY/HOUR/NAME`.
    pub path: String,
    /// `odd`, `structure` or `too-large`.
    pub problem: String,
    /// What is odd about it, in sentences.
    pub faults: Vec<String>,
    /// When that was first found: ISO 8601, UTC.
    pub at: String,
}

/// Segments that the scrub has flagged, by path.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct FlaggedList {
    /// How many are remembered.
    pub count: u64,
    /// How many were found beyond the 10,000 that are remembered, in this cycle of the scrub.
    pub left_out: u64,
    /// Each of them; over HTTP at most a thousand.
    pub files: Vec<FlaggedFile>,
}

/// Files of the quarantine about which something is ordered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct QuarantineOrder {
    /// `CHANNEL/QUALITY/HOUR/NAME`, the name as it is in the quarantine; at most 1000.
    pub paths: Vec<String>,
    /// To be deleted: all those, too, that are here again with the right content.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub healed: bool,
}

/// What was done of such an order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QuarantineChange {
    /// The files that it was done to.
    pub files: Vec<HandledFile>,
    /// The file at which it ended before it was complete, and why.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub failed: Option<String>,
}

/// A file that left the quarantine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HandledFile {
    /// `CHANNEL/QUALITY/HOUR/NAME`, the name as it was in the quarantine.
    pub path: String,
    /// Bytes.
    pub size: u64,
}

/// A scrub that is to be done now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ScrubOrder {
    /// `CHANNEL`, `CHANNEL/QUALITY` or `CHANNEL/QUALITY/HOUR`; everything if there are none.
    pub places: Vec<String>,
    /// Damaged files are moved however many they are.
    pub yes: bool,
    /// Threads that read, up to 64; one where it is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<u16>,
}

/// One line of the answer to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "line")]
pub enum ScrubLine {
    /// The first: what is ahead.
    Begin {
        /// Files.
        files: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// Now and then: what was done since the last one.
    Progress {
        /// Files.
        files: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// Something damaged.
    Damaged(DamagedFile),
    /// Something that could not be looked at.
    Unseen {
        /// A file or an hour.
        path: String,
        /// Why not.
        why: String,
    },
    /// The last, if it came to its end.
    Done(ScrubSummary),
    /// The last, if it did not.
    Failed {
        /// Why not.
        why: String,
    },
}

/// A damaged file that a scrub has found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DamagedFile {
    /// `CHANNEL/QUALITY/HOUR/NAME`.
    pub path: String,
    /// `hash`, `zeros`, `unreadable` or `structure`.
    pub problem: String,
    /// What is wrong with it, in sentences.
    pub faults: Vec<String>,
    /// `quarantined`; or why it is where it was: `suspicious` (the settings leave such), `waiting` (they are many, and wait for the
    /// operator's word) or `unmoved` (it cannot be moved).
    pub outcome: String,
    /// Where it lies in the quarantine, relative to the base; or why it cannot be moved.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub detail: Option<String>,
}

/// What a scrub came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScrubSummary {
    /// Hours that were looked at.
    pub hours: u64,
    /// Files that were read.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that were moved to the quarantine.
    pub quarantined: u64,
    /// Damaged files that stay where they are.
    pub left: u64,
    /// Files and hours that could not be looked at.
    pub errors: u64,
}

impl ScrubSummary {
    /// Whether nothing is wrong.
    pub const fn is_fine(&self) -> bool {
        self.quarantined == 0 && self.left == 0 && self.errors == 0
    }
}
