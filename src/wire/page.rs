//! What the page asks first: which qualities there are, and which other nodes.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::PeerReport;
use crate::archive::{Channel, Hour, Quality, Stream, Timestamp};

/// Channels and qualities.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StreamList {
    /// The node's name.
    pub name: String,
    /// Of the program.
    pub version: String,
    /// What the node's clock says, such as `2019-11-13T02:55:08.000000Z`.
    pub now: Timestamp,
    /// Whether the index has caught up with the disk.
    pub ready: bool,
    /// In order of their names.
    pub streams: Vec<StreamSummary>,
}

/// A channel and quality.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StreamSummary {
    /// The channel.
    pub channel: Channel,
    /// The quality.
    pub quality: Quality,
    /// Whether it holds video; chat has no coverage.
    pub video: bool,
    /// The first hour, such as `2019-11-13T02`.
    pub first_hour: Hour,
    /// The last hour.
    pub last_hour: Hour,
    /// How many there are.
    pub hours: u64,
}

/// Other nodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PeerList {
    /// In the order in which they are known.
    pub peers: Vec<PeerSummary>,
}

/// How it goes with another node, in short.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PeerSummary {
    /// What it is called here.
    pub name: String,
    /// Where it is.
    pub url: String,
    /// As in the status.
    pub state: String,
    /// As in the status; absent until it has answered.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub speaks: Option<String>,
    /// Whether rounds with it succeed; absent until one did or failed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reachable: Option<bool>,
    /// Why the last round failed or left something undone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
    /// Seconds since all that it has, and that is old enough, was here; 0 while it is.
    pub lag_seconds: f64,
    /// Segments that are known to be there and old enough, and are not here.
    pub behind_segments: u64,
}

impl From<PeerReport> for PeerSummary {
    fn from(report: PeerReport) -> Self {
        let reachable = match report.state.as_str() {
            "backing-off" => Some(false),
            "following" | "resting" | "itself" => Some(true),
            // It is tried again, or for the first time.
            _ if report.failures > 0 => Some(false),
            _ => report.speaks.is_some().then_some(true),
        };
        Self {
            name: report.name,
            url: report.url,
            state: report.state,
            speaks: report.speaks,
            reachable,
            error: report.error,
            lag_seconds: report.behind_seconds,
            behind_segments: report.behind_segments,
        }
    }
}

/// Hours that have changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChangedHours {
    /// Number of the last change that is told of.
    pub seq: u64,
    /// Channel, quality and hour of each.
    pub hours: Vec<(Channel, Quality, Hour)>,
}

impl ChangedHours {
    /// Of `CHANNEL/QUALITY` and hours.
    pub fn new(seq: u64, hours: &BTreeSet<(String, Hour)>) -> Self {
        let split = |(stream, hour): &(String, Hour)| {
            let stream = Stream::parse(stream).ok()?;
            Some((stream.channel, stream.quality, *hour))
        };
        Self { seq, hours: hours.iter().filter_map(split).collect() }
    }
}
