//! What nodes under a layout ask one another about hours that are to leave one of them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::layout::LayoutOffer;
use crate::archive::HourPlace;

/// Asks an owner whether it has hours durably, and to promise that they stay for an hour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PinQuestion {
    /// What the node that asks is called in the layout.
    pub node: String,
    /// A random number of its process.
    pub run: u64,
    /// Counted up by it.
    pub number: u64,
    /// The layout by which the other node is an owner.
    pub layout: LayoutOffer,
    /// The hours; none asks only who answers, and whether it has room.
    pub hours: Vec<PinnedHourQuestion>,
}

/// An hour that is to leave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PinnedHourQuestion {
    /// Which.
    pub hour: HourPlace,
    /// The digest of all names that lie where this is asked, tombstones and what they hide among them: of each file `NAME/BYTES`, with its
    /// size, and of tombstones the name.
    pub digest: String,
    /// What it is the digest of, where the digest was another one before: the owner may have more.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub names: Option<Vec<String>>,
}

/// What an owner says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PinReply {
    /// What it is called in the layout.
    pub node: String,
    /// The id of its archive: two names of one archive are one copy.
    pub archive: String,
    /// The question that it answers.
    pub run: u64,
    /// The same.
    pub number: u64,
    /// The layout that it acts by. With another one than in the question it says nothing of the hours.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub layout: Option<LayoutOffer>,
    /// Whether it has less free space than it keeps free, so that others stand in for it.
    pub is_full: bool,
    /// Whether hours are being read before they are confirmed: ask again soon.
    #[serde(default)]
    pub is_reading: bool,
    /// Hour by hour.
    pub hours: Vec<PinnedHourReply>,
}

/// What it says of an hour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PinnedHourReply {
    /// Which.
    pub hour: HourPlace,
    /// `pinned` (all of it lies there durably, and stays for an hour), `differs` (ask with the names), `lacks`, `going` (it is being
    /// deleted there, or will be), or `not-mine`.
    pub verdict: String,
    /// By what its directory is known: its number, and the oldest time of change of a file in it. Where two nodes say the same, they share it, and it is one copy. Empty if it has
    /// none.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub directory: String,
}
