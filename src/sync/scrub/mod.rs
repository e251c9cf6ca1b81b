//! Reads every byte of the archive, and moves files that do not match their names to the quarantine.
//!
//! 1. A file is read once, from its beginning to its end ([`check`]): its hash against its name and, for `full` segments, whether
//!    it is a transport stream that was cut short or put together. One that is larger than any segment may be is only reported.
//! 2. A damaged one goes to the quarantine with a report ([`disk::Quarantine`](crate::disk::Quarantine)), and its name out of the
//!    index, both with the hour locked. Then it is missing, and backfill fetches it again from a node that has it.
//! 3. The reports are the memory ([`QuarantineContents`]): of what was lost here, for the reasons of holes; of what came again; and of names
//!    whose content is bad although it is what the name says, so that it is not fetched again.
//! 4. What is only odd stays where it is and is flagged ([`Flagged`]).
//! 5. Many damaged files at once look like a damaged disk, controller or program: then nothing is moved any more, and the operator
//!    is asked ([`ScrubLimits`]).
//!
//! Nothing here replaces a file, fetches one, or concludes anything from what is not there.

mod by_hand;
pub mod check;
mod flagged;
mod options;
mod quarantine_contents;
mod report;
mod restore;
mod run;
#[cfg(test)]
mod tests;
mod visitor;
mod work;

pub use by_hand::{QuarantineOrderError, all_held, each};
pub use flagged::read as read_flagged;
pub use options::{ScrubLimits, ScrubOptions, Structure};
pub use quarantine_contents::{KeptFile, QuarantineContents};
#[cfg(test)]
pub(crate) use report::{CycleId, DamageOutcome, ScrubEvent};
pub use report::{ScrubFinding, damaged_file, list_of, quarantine_path};
pub use restore::Healing;
pub use run::ScrubObserver;
pub use visitor::ScrubVisitor;
#[cfg(test)]
pub(crate) use work::Control;
pub use work::Scrub;
