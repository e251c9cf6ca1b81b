//! When a segment begins as another node has it: what recorders learn of each other's times where their source tells none.

use std::sync::Arc;

use super::time::Timestamp;

/// One node's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerStart {
    /// Its name in the list of peers.
    pub peer: Arc<str>,
    /// The start in the name that it gave.
    pub start: Timestamp,
    /// The id of its archive, if that is lower than ours: of two recorders the one of the lower id gives the time, so that neither runs after
    /// the other.
    pub lead: Option<Arc<str>>,
}
