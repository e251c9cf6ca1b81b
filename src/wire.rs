//! What goes over the wire under `/api/v1`: shapes shared by the server, the command line and, later, peers.
//!
//! Times are ISO 8601 in UTC with microseconds. Durations are seconds. Sizes are bytes. Times, hours, channels and the like are the archive's own
//! types, which are sent as they are shown. As text travel what a peer says and is judged entry by entry (digests, changes), what lies in a
//! file as somebody wrote it (notes, reports of the quarantine), what was asked for and is answered about as it was given (places, paths),
//! and words of which a later version may know more (states, kinds of jobs and problems): an earlier one still reads the rest.

mod archiving;
pub mod bundle;
mod coverage;
mod crawl;
mod digests;
mod explain;
mod jobs;
mod layout;
mod mass_loss;
mod newer;
mod note;
mod page;
mod pins;
mod playback;
mod problem;
mod recorders;
mod retention;
mod scrub;
mod seal;
mod tombstones;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::archive::{Channel, Hash, Hour, Quality, SegmentKind, Timestamp};

pub use bundle::BundleRequest;

pub use archiving::{
    ArchiveLine, ArchiveObject, ArchiveObjects, ArchiveOrder, ArchiveReport, ArchiveRestoreOrder, ArchiveShare,
    ArchiveSummary, ArchiveVerifyOrder, ArchivedHour, BucketFailure,
};
pub use coverage::{
    ClosedHole, ClosedHoleList, CoverageList, HoleList, HoleRecord, HourCoverage, KindCoverage, LaneCoverage,
    TimeExtent, Timeline, TimelineRun, Timespan, TimespanList, microseconds, seconds,
};
pub use crawl::{
    CensusDay, CensusList, CrawlReport, CycleReport, PaceChange, PaceReport, RunVisitor, VisitorCycle, VisitorReport,
};
pub use digests::{
    ChangeKind, ChangeList, ChangeRecord, DayDigest, DayDigests, HourDigest, HourDigests, HourFile, OwnedDigests,
    QualityDigest, QualityDigests,
};
pub use explain::{ExplainedHole, ExplainedTime, MOST_CLOSED, OtherSegment, StoredFile, UnreadFile, why_not_played};
pub use jobs::JobReport;
pub use layout::{
    AppliedLayout, ApplyOrder, ChannelCopies, DiscardOrder, DiscardReport, DispersionReport, HandoffReport,
    HandoffWaiting, LayoutChangeOrder, LayoutNodeReport, LayoutOffer, LayoutPlanReport, LayoutReport, LayoutSummary,
    LayoutTableReport, OwnedSlots, PauseOrder, PauseReport, PeerLayoutReport, PlannedMove, PlannedNode, PlannedVersion,
    ShortHourReport, StageOrder,
};
pub use mass_loss::{AcceptMissing, DoubtReport};
pub use newer::OrNewer;
pub use note::{BadReason, MOST_NOTE, MOST_REASON, TombstoneNote};
pub use page::{ChangedHours, PeerList, PeerSummary, StreamList, StreamSummary};
pub use pins::{PinQuestion, PinReply, PinnedHourQuestion, PinnedHourReply};
pub use playback::{CutHole, SequenceInit, SequenceList, SequenceSegment};
pub use problem::ProblemReport;
pub use recorders::{RecorderList, RecorderReport, StartRecorder, StopRecorder, StreamRecorderReport, TestSource};
pub use retention::{
    AbsentHour, AcceptedRecords, AskingGuard, BucketHour, BucketPlan, DiskFilled, HourFate, HourLimits, KeepHours,
    KeptHours, PlanLimits, PlanStreamLimits, RetentionHour, RetentionPlan, RetentionReport, RetentionView, RetiredHour,
    RunRetention, UnusableRecord,
};
pub use scrub::{
    DamagedFile, FlaggedFile, FlaggedList, HandledFile, QuarantineChange, QuarantineList, QuarantineOrder,
    QuarantineReport, QuarantinedFile, ScrubLine, ScrubOrder, ScrubSummary,
};
pub use seal::{SealLine, SealOrder, SealSummary};
pub use tombstones::{
    AcceptBursts, AddOutcome, AddTombstones, AddedTombstone, AddedTombstones, LeftFile, PurgeOrder, PurgeReport,
    PurgedHour, TombstonePage, TombstoneReceipt, TombstoneRecord,
};

/// A segment or chat batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SegmentRecord {
    /// The hour directory, such as `2019-11-13T02`.
    pub hour: Hour,
    /// The file name, to the byte.
    pub name: String,
    /// When it starts, such as `2019-11-13T02:55:08.000000Z`.
    pub start: Timestamp,
    /// Seconds; exact to the microsecond.
    pub duration: f64,
    /// `full`, `suspect`, `partial` or `chat`.
    #[serde(rename = "type")]
    #[schema(value_type = SegmentKind)]
    pub kind: OrNewer<SegmentKind>,
    /// Bytes on disk; 0 for a tombstone whose segment is not there.
    pub size: u64,
    /// SHA-256 of the content, URL-safe base64 without padding, as in the name.
    pub hash: Hash,
    /// Whether a tombstone hides it.
    pub tombstoned: bool,
}

/// A page of segments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SegmentPage {
    /// In order of start and name.
    pub segments: Vec<SegmentRecord>,
    /// Give this as `after` to get the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<String>,
}

/// The state of a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// The node's name.
    pub name: String,
    /// Of the program.
    pub version: String,
    /// When it started.
    pub started: Timestamp,
    /// The base directory.
    pub base_dir: String,
    /// The archive's id, as in its marker.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub archive_id: Option<String>,
    /// Whether the index has caught up with the disk.
    pub ready: bool,
    /// The index.
    pub index: IndexStatus,
    /// The crawl.
    pub crawl: CrawlReport,
    /// The watcher.
    pub watch: WatchReport,
    /// The archive's disk.
    pub disk: DiskStatus,
    /// Channels and qualities; where there are more than a thousand, those that came first.
    pub streams: Vec<StreamStatus>,
    /// How many more there are.
    #[serde(default)]
    pub more_streams: u64,
    /// Everything that works in the background, by kind and name.
    #[serde(default)]
    pub jobs: Vec<JobReport>,
    /// Other nodes that are fetched from.
    #[serde(default)]
    pub peers: Vec<PeerReport>,
    /// Retention.
    #[serde(default)]
    pub retention: RetentionReport,
    /// The bucket, if one is named: as hours were counted last, without asking it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bucket: Option<ArchiveReport>,
    /// The layout, if there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub layout: Option<LayoutSummary>,
    /// Where the list of other nodes comes from.
    #[serde(default)]
    pub sources: Vec<SourceReport>,
    /// Channels of which so much is missing at once that it needs confirmation.
    #[serde(default)]
    pub doubts: Vec<DoubtReport>,
    /// What is wrong now, most important first; empty when all is well.
    #[serde(default)]
    pub problems: Vec<ProblemReport>,
    /// The problems that are more than a notice, one line each.
    pub troubles: Vec<String>,
}

/// The state of the index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct IndexStatus {
    /// `good`, `stalled` (reads go on, writes fail) or `in-memory` (its file cannot be written).
    pub state: String,
    /// Size of the file in bytes.
    pub file_bytes: u64,
    /// Changes each time an index begins anew; sequence numbers of different epochs have nothing to do with each other.
    pub epoch: String,
    /// Number of the last change.
    pub seq: u64,
    /// Indexes that were damaged and have been set aside since the start.
    pub set_aside: Vec<String>,
}

/// The state of the watcher.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WatchReport {
    /// Directories that are watched.
    pub watches: u64,
    /// Events read since the start.
    pub events: u64,
    /// Overflows of the event queue since the start.
    pub overflows: u64,
    /// Directories that should be watched and are compared twice a second instead.
    pub unwatched: u64,
}

/// The state of the disk.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DiskStatus {
    /// `there` or `away`.
    pub state: String,
    /// Free bytes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub free_bytes: Option<u64>,
    /// Bytes in all.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub total_bytes: Option<u64>,
    /// Bytes of the archive that were recorded here, were here before, or are named in the configuration.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub own_bytes: Option<u64>,
    /// Bytes of the archive that came from other nodes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fetched_bytes: Option<u64>,
    /// All else that is used: other programs, the index, and what the file system keeps for itself.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub other_bytes: Option<u64>,
    /// Free bytes below which nothing is fetched.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub keep_free_bytes: Option<u64>,
}

/// What a channel and quality holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StreamStatus {
    /// The channel.
    pub channel: Channel,
    /// The quality.
    pub quality: Quality,
    /// Hour directories.
    pub hours: u64,
    /// The first hour.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub first_hour: Option<Hour>,
    /// The last hour that is not more than two hours ahead of the clock; the last one if all are.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_hour: Option<Hour>,
    /// Hours that are more than two hours ahead of the clock; absent if there are none.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub future_hours: u64,
    /// Visible segments, or chat batches.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Seconds of video, overlaps included.
    pub seconds: f64,
    /// Visible files whose name is not understood.
    pub bad: u64,
    /// Tombstones.
    pub tombstones: u64,
    /// What there is of the last 24 hours; absent if none of them lies inside the extent, and for chat.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_day: Option<DayCoverage>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What there is of the last 24 hours, inside the extent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DayCoverage {
    /// Seconds that any best segment covers.
    pub covered_seconds: f64,
    /// Raw holes.
    pub holes: u64,
    /// Seconds in them.
    pub hole_seconds: f64,
}

/// How it goes with another node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PeerReport {
    /// What it is called here.
    pub name: String,
    /// Where it is.
    pub url: String,
    /// `new`, `round`, `following`, `resting`, `backing-off` or `itself` (this node is in its own list).
    pub state: String,
    /// `gapless` (digests, changes) or `fixed-part` (plain lists); absent until it has answered.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub speaks: Option<String>,
    /// Whether tombstones are taken from it.
    pub trusted: bool,
    /// Rounds that were completed since the start.
    pub rounds: u64,
    /// Rounds in a row that failed or left something undone.
    pub failures: u32,
    /// Hours looked at in the round that runs, or in the last one.
    pub hours_done: u64,
    /// Hours to look at in it.
    pub hours_total: u64,
    /// Segments fetched in the last round.
    pub fetched: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Requests of the last round, downloads left out.
    pub requests: u64,
    /// Seconds that the last round took.
    pub seconds: f64,
    /// Segments fetched since the start, between rounds as well.
    pub fetched_in_all: u64,
    /// Their bytes.
    pub bytes_in_all: u64,
    /// Extras fetched since the start.
    #[serde(default)]
    pub extras_in_all: u64,
    /// Tombstones taken over since the start.
    pub tombstones_in_all: u64,
    /// Files that could not be fetched or were not what their name says, and rounds that failed, since the start.
    pub errors_in_all: u64,
    /// Segments that are known to be there and old enough, and are not here.
    pub behind_segments: u64,
    /// Seconds since all that it has, and that is old enough, was here; 0 while it is.
    pub behind_seconds: f64,
    /// When the last complete round ended, also before the start.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub complete_round: Option<Timestamp>,
    /// When the next round begins, if it is waited for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next_round: Option<Timestamp>,
    /// Hours of the last round that were left, because they are more than two hours ahead of the clock; absent if there are none.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub future_hours: u64,
    /// Names that it lists as channels or qualities and that are none, in the last round; absent if there are none.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub passed_over: u64,
    /// Ten of them at most.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub passed_over_names: Vec<String>,
    /// Bytes that it gave of channels that nobody here records or names, and that are here.
    #[serde(default)]
    pub strangers_bytes: u64,
    /// So many it may give.
    #[serde(default)]
    pub strangers_budget_bytes: u64,
    /// Such channels and qualities.
    #[serde(default)]
    pub strangers_channels: u64,
    /// Why nothing more of such channels is taken from it, if the last round left something out.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub strangers_full: Option<String>,
    /// What it says of itself and only this node should: this archive's id, or this node's name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub conflict: Option<String>,
    /// Qualities whose recordings there and here have different times, by equal content under two starts of the last hour.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub skews: Vec<RecorderSkewReport>,
    /// Hours whose tombstones are held back until the operator accepts them.
    #[serde(default)]
    pub bursts: Vec<String>,
    /// Why the last round failed or left something undone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
    /// Seconds by which this node's clock is ahead of the peer's, by its last answer; negative if it is behind.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub clock_ahead_seconds: Option<f64>,
}

/// How the times of two recorders differ.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RecorderSkewReport {
    /// The channel.
    pub channel: Channel,
    /// Its quality.
    pub quality: Quality,
    /// Seconds by which the recording begins later there than here: the median of the newest segments that both have. Negative if it begins earlier.
    pub later_seconds: f64,
    /// So many segments were compared, 16 at most.
    pub segments: u64,
    /// When the newest of them begins here.
    pub newest: Timestamp,
}

/// How it goes with a source of the list of other nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SourceReport {
    /// `flags`, `file` or `database`.
    pub kind: String,
    /// The path, or the address without its password.
    pub place: String,
    /// Nodes in its last good answer; with equal names or addresses, later sources take their place.
    pub peers: u64,
    /// When that was; absent if there was none since the start.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub read: Option<Timestamp>,
    /// Whether these nodes are known from before the last start, because there was no good answer since.
    pub remembered: bool,
    /// Attempts in a row that failed.
    pub failures: u32,
    /// When the first of them was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub failing_since: Option<Timestamp>,
    /// Why the last one did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
    /// Lines and rows that were left out, and why; at most 20 and how many more.
    #[serde(default)]
    pub left_out: Vec<String>,
}

/// A difference between index and tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IndexDifference {
    /// `not-in-index`, `not-on-disk`, `size`, `hour-not-in-index`, `hour-not-on-disk`, `totals`, `unreadable`.
    pub kind: String,
    /// The path relative to the base.
    pub path: String,
    /// In words.
    pub detail: String,
}

/// One line of a check: a difference, or the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckLine {
    /// A difference.
    Difference(IndexDifference),
    /// Hours and files that were compared: the check is complete.
    Done {
        /// Hours compared.
        hours: u64,
        /// Files on disk.
        files: u64,
    },
    /// The check could not be completed.
    Failed {
        /// Why.
        why: String,
    },
}
