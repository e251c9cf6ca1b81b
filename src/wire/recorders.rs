//! What a node records: the list, and orders to start, stop and test.
//!
//! What asks for a change takes no field that it does not know.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::archive::{Channel, Quality, Timestamp};

/// What a node records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RecorderList {
    /// By channel.
    pub recorders: Vec<RecorderReport>,
}

/// The recorder of a channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RecorderReport {
    /// Its name.
    pub channel: Channel,
    /// Where the stream is, without what may be secret in it.
    pub source: String,
    /// Ads that the source stitches in are left out.
    pub skip_ads: bool,
    /// The settings name it; otherwise it was ordered over the API.
    pub in_settings: bool,
    /// It was stopped, and records nothing until it is started.
    pub stopped: bool,
    /// Its qualities.
    pub streams: Vec<StreamRecorderReport>,
}

/// How the recorder of one quality is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StreamRecorderReport {
    /// Its name.
    pub quality: Quality,
    /// The state of its job: `working` if segments come, `backing-off` if none do, `waiting` before the first, when the stream has ended, or when it was
    /// stopped.
    pub state: String,
    /// The same in words.
    pub doing: String,
    /// Since when it is in this state.
    pub since: Timestamp,
    /// Failures in a row.
    pub failures: u32,
    /// The last failure, also if all is well since.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
    /// When that was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error_time: Option<Timestamp>,
}

/// Records a channel, or goes on with one that was stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StartRecorder {
    /// The channel to record into.
    pub channel: String,
    /// Where the stream is; not given for one that was stopped. A channel that was ordered before is led elsewhere by it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub source: Option<String>,
    /// Which qualities; `source`, the best, where none is named.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub qualities: Vec<String>,
    /// Leave out ads that the source stitches in.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub skip_ads: bool,
}

/// Stops the recorder of a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StopRecorder {
    /// The channel.
    pub channel: String,
    /// Keep nothing of the order; only where it was ordered over the API. What was recorded stays.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub forget: bool,
}

/// Says what a source has; nothing is recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TestSource {
    /// Where the stream is.
    pub source: String,
}
