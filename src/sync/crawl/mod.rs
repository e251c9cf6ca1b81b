//! Keeps the index in step with the disk.
//!
//! 1. [`Keeper`] brings one hour, or the directories above the hours, into line: reads the disk, compares, submits the difference.
//!    Whatever else wants the index right (a question, an event, the crawl) asks it, so that there is one way to do it.
//! 2. [`Watch`] hears of changes and has the keeper look at just what changed.
//! 3. `Crawl` catches up with everything at full speed, and then carries its visitors past every hour, over and over, slowly. Their
//!    contract is `Visitor`; where each of them is stands in the index.
//! 4. Absence is concluded only while the right base directory is there, and where it does not look like an accident (`mass_loss`). Nothing here writes to the archive, except
//!    what others hand to [`Keeper::change`], tombstones for equal content of what is hidden (`twins`), and what an interrupted download
//!    of ours has left is removed (`Housekeeping`).

mod absent_files;
mod bucket_share;
mod catch_up;
mod census;
mod freshness;
mod gifts;
mod hour_files;
mod housekeeping;
mod keeper;
mod mass_loss;
mod mirrors;
mod origins;
mod pace;
mod places;
mod plan;
mod reconcile;
mod rounds;
mod state;
mod structure;
#[cfg(test)]
mod tests;
mod twins;
mod visit;
mod walk;
mod watch;
mod whole;

use crate::disk::{AwayReason, DiskError};
use crate::index::IndexError;

pub use absent_files::{AbsentError, AbsentFile, AbsentFiles, LearnedHour};
#[cfg(test)]
pub(crate) use catch_up::CatchingUp;
pub(crate) use catch_up::bring_into_line;
pub(crate) use census::CensusVerifier;
pub(crate) use gifts::{GIFT_WINDOW, uptime};
pub(crate) use hour_files::{HourFiles, hour_files, is_settled};
pub(crate) use housekeeping::Housekeeping;
pub use keeper::{HourAnswer, Keeper};
pub use mass_loss::MassLoss;
pub use mirrors::{Mirror, Mirrors, MirrorsNow};
pub(crate) use origins::{Allowance, FetchInProgress, FilledByPeer, StrangersBudget};
pub(crate) use pace::{CrawlPace, Pacing, ReadAllowance};
pub(crate) use reconcile::Reconcile;
#[cfg(test)]
pub(crate) use state::VisitorState;
pub(crate) use state::{CrawlCounts, Cycle, VisitorStatus};
pub(crate) use visit::{Round, Visitor};
pub(crate) use walk::{Crawl, CrawlState, CrawlStatus};
pub use watch::{Watch, WatchOptions, WatchStatus};

/// Why the index could not be brought into line with the disk.
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
    /// A file lies in a bucket alone, which does not give it now.
    #[error(transparent)]
    Absent(#[from] AbsentError),
}

impl From<AwayReason> for CrawlError {
    fn from(away: AwayReason) -> Self {
        Self::Away(away)
    }
}
