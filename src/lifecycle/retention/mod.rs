//! Deletes whole hours that are too old or for which there is no room, and sees to it that they do not come back.
//!
//! 1. What goes is worked out by `schedule`, over values alone; what looks like a mistake needs confirmation.
//! 2. Nothing is deleted unless the right disk is there with its marker, the index has caught up with it and is on disk itself.
//! 3. For each hour: the intent is written to the journal and flushed; the bytes of segments and chat batches are deleted, and what
//!    the grammar does not understand stays; the directory is flushed; the index is updated; the journal says *retired*.
//! 4. After the reclaim age, and when no node that may hold the hour lists what they hide, its tombstones go, and its directory if it is
//!    empty; the journal says *gone*.
//! 5. What was begun is weighed like any other hour before it goes on; what is not to go any more is released. What the journal
//!    names is never fetched again, unless the operator says so ([`Retention::keep`]).
//! 6. Hours leave the bucket by an age of their own, after what goes from this disk (`expire`).
//! 7. While the clock is contradicted, a record that protects cannot be relied on, or the archive would shrink too far, nothing goes.

mod apply;
mod bucket_schedule;
mod expire;
mod holders;
mod identity;
mod job;
mod journal;
mod last_copy;
mod merge;
mod planned;
mod probe;
mod protect;
mod reclaim;
mod report;
mod retired_hours;
mod runs;
mod schedule;
mod shrinking;

use std::path::PathBuf;

use crate::disk::DiskError;
use crate::lifecycle::archiving::ArchiveError;
use crate::lifecycle::handoffs::HandoffError;
use crate::sync::crawl::CrawlError;

#[cfg(test)]
pub(crate) use identity::Steady;
pub use job::{Retention, RetentionOptions, RetentionParts};
#[cfg(test)]
pub(crate) use last_copy::{Copies, HolderQuery};
pub use protect::{carry_over, examine, examine_clock, free_space};
pub use runs::Runs;

/// Why retention could not do what it was to do.
#[derive(Debug, thiserror::Error)]
pub enum RetentionError {
    #[error(transparent)]
    Crawl(#[from] CrawlError),
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("the journal of retired hours, {}, cannot be relied on: {why}; nothing is deleted and nothing fetched until you have looked at it and said `gapless retention accept`", path.display())]
    Unusable { path: PathBuf, why: String },
    /// Other records that protect the archive cannot be relied on.
    #[error(
        "nothing is deleted while records that protect the archive cannot be relied on: {0}; look at them, then say `gapless retention accept`"
    )]
    Records(String),
    #[error("nothing more is deleted: {0}")]
    Clock(String),
    #[error("hours could not be deleted in the bucket: {0}")]
    Bucket(#[source] ArchiveError),
    #[error("the journal of retired hours has not been read yet; until it is, nothing is retired and nothing fetched")]
    NotRead,
    #[error(
        "the archive has no marker (.gapless/marker), so nothing is deleted from it: make its base directory writable"
    )]
    NoMarker,
    #[error("nothing is deleted while the index {0}")]
    Index(String),
    #[error("nothing is deleted while it is not known what was promised to other nodes: {0}")]
    Promises(#[source] HandoffError),
    #[error("stopped; the next run finishes what was begun")]
    Stopped,
}

#[cfg(test)]
mod tests;
