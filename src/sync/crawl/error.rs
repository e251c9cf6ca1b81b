//! Why the index could not be brought into line with the disk.

use crate::archive::mass_loss::MassLoss;
use crate::disk::{AwayReason, DiskError};
use crate::index::IndexError;

/// What stood in the way.
#[derive(Debug, thiserror::Error)]
pub enum CrawlError {
    /// The archive's disk is not there.
    #[error("the archive is not there: {}", .0.reason)]
    Away(AwayReason),
    /// So much of a channel is missing at once that nothing is concluded from it.
    #[error(transparent)]
    Doubt(#[from] MassLoss),
    /// Something in the archive cannot be read.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The index does not take it.
    #[error(transparent)]
    Index(#[from] IndexError),
}

impl From<AwayReason> for CrawlError {
    fn from(away: AwayReason) -> Self {
        Self::Away(away)
    }
}
