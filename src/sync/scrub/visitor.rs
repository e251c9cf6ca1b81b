//! The scrub as the crawl carries it: its place inside an hour is the last name that was checked, and inside a file, as long as the
//! process lives, what was read of it: a large file takes many turns, and others have theirs in between.
//!
//! What goes to the quarantine leaves the index in the transaction that books it. If the process is killed between the move and the
//! commit, the report names the cycle, and what lies after the place is booked when the hour is looked at again: a file counts once.

use std::ops::ControlFlow;
use std::sync::Arc;

use parking_lot::Mutex;

use super::check::Check;
use super::options::ScrubLimits;
use super::report::{CycleId, ScrubEvent};
use super::work::{Control, MoveToQuarantine, Scrub, Unfinished};
use crate::archive::{HourPlace, Timestamp};
use crate::disk::FileMeta;
use crate::sync::crawl::{CrawlCounts, CrawlError, Keeper, Round, Visitor};

/// Files that were read.
pub const FILES: &str = "files";
/// Their bytes.
pub const BYTES: &str = "bytes";
/// Files that were moved to the quarantine.
pub const QUARANTINED: &str = "quarantined";

pub struct ScrubVisitor {
    scrub: Arc<Scrub>,
    left: Mutex<Option<Unfinished>>,
}

impl ScrubVisitor {
    pub const NAME: &str = "scrub";

    pub fn new(scrub: Arc<Scrub>) -> Self {
        Self { scrub, left: Mutex::default() }
    }
}

impl Visitor for ScrubVisitor {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn visit(&self, round: &mut Round<'_>) -> Result<(), CrawlError> {
        while let Some(place) = round.hours().first().filter(|_| !round.is_over()) {
            match self.hour(place, round) {
                Ok(true) => round.done(&CrawlCounts::nothing()),
                Ok(false) => return Ok(()),
                // It says nothing about the hour: the job tries again later.
                Err(CrawlError::Disk(error)) if error.is_shortage() => return Err(error.into()),
                // Errors of the directory or the disk are reported, and other hours are read. So is what needs confirmation.
                Err(error @ (CrawlError::Disk(_) | CrawlError::Doubt(_))) => {
                    round.done(&CrawlCounts::error(format!("{place}: {error}")));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn cycle_begins(&self, _cycle: u64) -> Result<CrawlCounts, CrawlError> {
        // Somebody may have looked through it meanwhile.
        self.scrub.look_again();
        self.scrub.tidy_flags()?;
        Ok(CrawlCounts::nothing())
    }
}

impl ScrubVisitor {
    /// Goes on with the first hour ahead; true if it is done.
    fn hour(&self, place: &HourPlace, round: &mut Round<'_>) -> Result<bool, CrawlError> {
        let cycle = CycleId { number: round.cycle(), began: Timestamp::from_us(round.began_us()).to_string() };
        let within = String::from_utf8(round.within().to_vec()).unwrap_or_default();
        let mut carried = Carried { round, left: &self.left, file_bytes: 0, is_booked: false };
        self.scrub.hour(place, after(&within), Some(&cycle), ScrubLimits::CAREFUL, &mut carried)
    }
}

fn after(within: &str) -> Option<&str> {
    Some(within).filter(|within| !within.is_empty())
}

fn read_one(bytes: u64) -> CrawlCounts {
    CrawlCounts::of(FILES, 1).and(BYTES, bytes)
}

struct Carried<'c, 'r> {
    round: &'c mut Round<'r>,
    left: &'c Mutex<Option<Unfinished>>,
    file_bytes: u64,
    is_booked: bool,
}

impl Control for Carried<'_, '_> {
    fn read(&mut self, bytes: u64) -> ControlFlow<()> {
        self.file_bytes += bytes;
        self.round.spend(bytes, 0);
        if self.round.is_over() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn pause(&mut self, file: Unfinished) {
        self.round.doing(file.progress());
        *self.left.lock() = Some(file);
    }

    fn resume(&mut self, place: &HourPlace, name: &str, meta: FileMeta) -> Option<Check> {
        let left = self.left.lock().take();
        let check = left.and_then(|left| left.of(place, name, meta));
        // What was read in earlier turns is counted with the file.
        self.file_bytes = check.as_ref().map_or(0, Check::size);
        check
    }

    fn done(&mut self, name: &str, seen: ScrubEvent) -> ControlFlow<()> {
        self.round.spend(0, 1);
        let bytes = std::mem::take(&mut self.file_bytes);
        if !std::mem::take(&mut self.is_booked) {
            let found = match seen {
                ScrubEvent::Sound => read_one(bytes),
                ScrubEvent::Gone => CrawlCounts::nothing(),
                ScrubEvent::MovedBefore { bytes: read } => read_one(read).and(QUARANTINED, 1),
                ScrubEvent::Failed(error) => CrawlCounts::error(error),
                ScrubEvent::Damaged(finding) => {
                    let told = format!("{}: {}", finding.path, finding.faults.join("; "));
                    let mut damaged = read_one(bytes).and(finding.outcome.kind(), 1);
                    damaged.last_error = Some(told);
                    damaged
                }
            };
            self.round.part(name.as_bytes(), &found);
        }
        if self.round.is_over() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn change(
        &mut self,
        keeper: &Keeper,
        place: &HourPlace,
        name: &str,
        work: MoveToQuarantine<'_>,
    ) -> Result<Option<String>, CrawlError> {
        let (round, bytes, is_booked) = (&mut *self.round, self.file_bytes, &mut self.is_booked);
        let names = [std::ffi::OsStr::new(name)];
        let done = keeper.change_as(place, names, work, |stored, batch| {
            if stored.is_some() {
                round.part(name.as_bytes(), &read_one(bytes).and(QUARANTINED, 1));
                round.join(batch);
                *is_booked = true;
            }
        })?;
        Ok(done.flatten())
    }
}
