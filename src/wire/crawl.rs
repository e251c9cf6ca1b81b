//! The crawl and its visitors: how far they are, how fast they may go, and what the census counts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::archive::{Day, Timestamp};

/// The state of the crawl.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CrawlReport {
    /// `catching-up`, `walking`, `resting`, `away` or `stalled`.
    pub state: String,
    /// Number of the comparison of everything that runs or was last, from 1; it is remembered across restarts.
    pub cycle: u64,
    /// Hours looked at while catching up, or in all cycles that run; in the last comparison where none does.
    pub hours_done: u64,
    /// Hours to look at.
    pub hours_total: u64,
    /// Seconds left, while catching up or until every cycle that runs is done; if that can be told.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub seconds_left: Option<f64>,
    /// When the next cycle of any visitor begins, while none runs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next_cycle: Option<Timestamp>,
    /// What was found when everything was compared last: while catching up, or in a cycle after that.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last: Option<CycleReport>,
    /// How fast it goes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pace: Option<PaceReport>,
    /// Whose slice it is now.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub works: Option<String>,
    /// When the next slice begins, while it rests between two.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next_slice: Option<Timestamp>,
    /// Each visitor.
    #[serde(default)]
    pub visitors: Vec<VisitorReport>,
}

/// What a cycle of the crawl found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CycleReport {
    /// How long it took.
    pub seconds: f64,
    /// Hours whose directory had to be read.
    pub hours_read: u64,
    /// Files that the index did not have, or had with another size.
    pub files_put: u64,
    /// Files that were gone.
    pub files_removed: u64,
    /// Hours that could not be looked at.
    pub errors: u64,
    /// The last reason why not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_error: Option<String>,
}

/// A visitor of the crawl.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VisitorReport {
    /// Its name: `reconcile`, `scrub`, `census`, `housekeeping`.
    pub name: String,
    /// Number of the cycle that runs or was last; 0 before the first.
    pub cycle: u64,
    /// Whether a cycle runs.
    pub running: bool,
    /// When that cycle began.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub began: Option<Timestamp>,
    /// Hours visited in it.
    pub hours_done: u64,
    /// Hours ahead in it, while it runs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hours_left: Option<u64>,
    /// The share of it that is done, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub share_done: Option<f64>,
    /// Seconds of work in it.
    pub worked_seconds: f64,
    /// Seconds until it is done, by how it went since the start of the node.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub seconds_left: Option<f64>,
    /// Seconds that a cycle took, on average over the last ones.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub seconds_per_cycle: Option<f64>,
    /// Least seconds from the start of one cycle to that of the next.
    pub minimum_cycle_seconds: f64,
    /// When it works next at the earliest.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next_work: Option<Timestamp>,
    /// When its next cycle begins at the earliest.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next_cycle: Option<Timestamp>,
    /// What was found in the cycle that runs or was last, by name.
    pub found: BTreeMap<String, u64>,
    /// The last thing that went wrong in it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_error: Option<String>,
    /// The last ten cycles that are over, newest first.
    pub history: Vec<VisitorCycle>,
}

/// A cycle that is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VisitorCycle {
    /// Its number.
    pub number: u64,
    /// When it began.
    pub began: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// Seconds of work in it.
    pub worked_seconds: f64,
    /// Hours visited.
    pub hours: u64,
    /// What was found, by name.
    pub found: BTreeMap<String, u64>,
    /// The last thing that went wrong.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_error: Option<String>,
}

/// How fast the crawl goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PaceReport {
    /// Share of one CPU, 0 to 1.
    pub cpu_share: f64,
    /// Seconds of work between two rests, at most.
    pub slice_seconds: f64,
    /// Whether the share falls while requests or backfill are busy.
    pub adaptive: bool,
    /// Least seconds from the start of one cycle to that of the next, by visitor.
    pub minimum_cycle_seconds: BTreeMap<String, f64>,
    /// Bytes a second that are read by visitors that read files; 0 is no bound.
    pub bytes_per_second: u64,
    /// Files a second; 0 is no bound.
    pub files_per_second: u64,
}

/// Changes of the pace; what is left out stays. It holds until the configuration is read again, at SIGHUP or at the next start.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PaceChange {
    /// Share of one CPU, 0.001 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_share: Option<f64>,
    /// Seconds of work between two rests, 0.01 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slice_seconds: Option<f64>,
    /// Whether the share falls while requests or backfill are busy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adaptive: Option<bool>,
    /// Least seconds of a cycle by visitor, 1 to ten years.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub minimum_cycle_seconds: BTreeMap<String, f64>,
    /// Bytes a second; 0 is no bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<u64>,
    /// Files a second; 0 is no bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files_per_second: Option<u64>,
}

/// Whose cycle is to begin at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RunVisitor {
    /// Its name.
    pub visitor: String,
}

/// What the days of one quality hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CensusList {
    /// Days with at least one hour directory, oldest first.
    pub days: Vec<CensusDay>,
    /// What to ask with as `after` for the next page; none on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Day>,
}

/// What a day holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CensusDay {
    /// The day, such as `2019-11-13`.
    pub day: Day,
    /// Hour directories.
    pub hours: u64,
    /// Visible segments, or chat batches.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Seconds of video, overlaps included.
    pub seconds: f64,
    /// Files by what they are: `full`, `suspect`, `partial`, `chat`, `bad`, `other`, `hidden`.
    pub files: BTreeMap<String, u64>,
    /// Tombstones.
    pub tombstones: u64,
}
