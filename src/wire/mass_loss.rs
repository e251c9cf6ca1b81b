//! Channels of which so much is missing at once that nothing is concluded from it, and the operator's word about one.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::archive::Channel;

/// A channel of which too much is missing at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DoubtReport {
    /// The channel.
    pub channel: Channel,
    /// Segments, chat batches and tombstones that are missing, as far as they have been looked for.
    pub missing: u64,
    /// How many the channel has had.
    pub had: u64,
    /// Hours in which something is missing; they answer 503.
    pub hours: u64,
}

/// The word of the operator that what is missing of a channel is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceptMissing {
    /// The channel.
    pub channel: String,
}
