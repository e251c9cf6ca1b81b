//! How it goes with what works in the background.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::archive::Timestamp;

/// How it goes with a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobReport {
    /// What sort of job it is: `backfill`, `catch-up`, `crawl`, `maps`, `node-list`, `reasons`, `record`, `retention`, `sentinel`; also a label of its metrics.
    pub kind: String,
    /// Which of them, where there are several: the name of a peer, the kind of a source, a channel and quality that is recorded.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub of: Option<String>,
    /// `waiting`, `working`, `resting`, `backing-off`, `stalled` (its disk or index is away) or `ended`.
    pub state: String,
    /// The same in words.
    pub doing: String,
    /// Since when it is in this state.
    pub since: Timestamp,
    /// When it goes on, if that is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<Timestamp>,
    /// How much of its work is done.
    pub done: u64,
    /// How much there is to do; 0 if that is not known.
    pub total: u64,
    /// Steps in which something was done, since the start.
    pub steps: u64,
    /// Failures in a row.
    pub failures: u32,
    /// Failures since the start.
    pub failures_in_all: u64,
    /// The last failure, also if all is well since.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
    /// When that was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error_time: Option<Timestamp>,
    /// Seconds that it has worked since the start.
    pub worked_seconds: f64,
    /// Seconds that it may work without a sign of going on.
    pub deadline_seconds: f64,
    /// For how many seconds it has shown no sign, where that is longer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub overdue_seconds: Option<f64>,
}

impl JobReport {
    /// As people call it.
    pub fn name(&self) -> String {
        self.of.as_ref().map_or_else(|| self.kind.clone(), |of| format!("{} {of}", self.kind))
    }
}
