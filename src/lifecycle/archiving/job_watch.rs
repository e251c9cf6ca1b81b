//! Whoever waits for what a job of the node does with the bucket: nobody but the node, which may end.

use super::archiver::ArchiveWatch;
use crate::jobs::{JobHandle, Stop};

/// The node.
pub(super) struct JobWatch<'a> {
    /// Whose signs of life what goes over the line is, if anybody's.
    pub(super) handle: Option<&'a JobHandle>,
    pub(super) stop: &'a Stop,
}

impl ArchiveWatch for JobWatch<'_> {
    fn moved(&self, _: u64) {
        if let Some(handle) = self.handle {
            handle.sign();
        }
    }

    fn is_stopped(&self) -> bool {
        self.stop.is_stopped()
    }
}
