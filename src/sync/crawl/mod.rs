//! Keeps the index in step with the disk.
//!
//! 1. [`Keeper`] brings one hour, or the directories above the hours, into line: reads the disk, compares, submits the difference.
//!    Whatever else wants the index right (a question, an event, the crawl) asks it, so that there is one way to do it.
//! 2. [`Watch`] hears of changes and has the keeper look at just what changed.
//! 3. [`Crawl`] catches up with everything at full speed, and then carries its visitors past every hour, over and over, slowly. Their
//!    contract is [`Visitor`]; where each of them is stands in the index.
//! 4. Absence is concluded only while the right base directory is there, and where it does not look like an accident (`doubt`). Nothing here writes to the archive, except
//!    what others hand to [`Keeper::change`], tombstones for equal content of what is hidden (`twins`), and what an interrupted download
//!    of ours has left is removed ([`Housekeeping`]).

mod catch_up;
mod census;
mod coverage;
mod crawl_counts;
mod disk_use;
mod error;
mod freshness;
mod gifts;
mod horizon;
mod housekeeping;
mod keeper;
mod mass_loss;
mod origins;
mod pace;
mod plan;
mod progress;
mod reconcile;
mod record_positions;
mod rounds;
mod state;
mod structure;
#[cfg(test)]
mod tests;
mod twins;
mod visit;
mod walk;
mod watch;

pub use catch_up::{CatchingUp, bring_into_line};
pub use census::CensusVerifier;
pub use crawl_counts::CrawlCounts;
pub use error::CrawlError;
pub use gifts::{RecentGifts, uptime};
pub use housekeeping::{Housekeeping, HousekeepingTask};
pub(crate) use keeper::contents_of;
pub use keeper::{HourAnswer, Keeper};
pub use origins::{Allowance, FetchInProgress, FilledByPeer, StrangersBudget};
pub use pace::{CrawlPace, Pacing, ReadAllowance};
pub use progress::{VisitorPulse, VisitorStatus};
pub use reconcile::Reconcile;
pub use rounds::RoundsJob;
pub use state::{Cycle, VisitorState};
pub use structure::StructureReport;
pub(crate) use structure::is_settled;
pub use twins::TwinFile;
pub use visit::{Round, Visitor};
pub use walk::{Crawl, CrawlState, CrawlStatus};
pub use watch::{Watch, WatchOptions, WatchStatus};
