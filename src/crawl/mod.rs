//! Keeps the index in step with the disk.
//!
//! 1. [`Keeper`] brings one hour, or the directories above the hours, into line: reads the disk, compares, submits the difference.
//!    Whatever else wants the index right (a question, an event, the crawl) asks it, so that there is one way to do it.
//! 2. [`Watch`] hears of changes and has the keeper look at just what changed.
//! 3. [`Crawl`] walks everything, over and over, with visitors.
//! 4. Absence is concluded only while the right base directory is there. Nothing here writes to the archive, except
//!    what others hand to [`Keeper::change`], and what an interrupted download of ours has left is removed ([`Sweep`]).

mod coverage;
mod error;
mod freshness;
mod keeper;
mod structure;
mod sweep;
mod visit;
mod walk;
mod watch;

pub use error::CrawlError;
pub(crate) use keeper::contents_of;
pub use keeper::{Answer, Keeper};
pub use structure::StructureReport;
pub(crate) use structure::is_settled;
pub use sweep::Sweep;
pub use visit::{Found, Reconcile, Visitor};
pub use walk::{Crawl, CrawlState, CrawlStatus, Pace};
pub use watch::{Watch, WatchOptions, WatchStatus};
