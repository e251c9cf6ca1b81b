//! Where another node has a segment that is missing here, for lists that lead players there.

use std::sync::Arc;

use crate::media::InitSection;

/// A copy on another node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCopy {
    /// That node's address (`http://host:port`).
    pub node: Arc<str>,
    /// Of MP4: the initialisation segment with which it begins, as that node says.
    pub init: Option<InitSection>,
}
