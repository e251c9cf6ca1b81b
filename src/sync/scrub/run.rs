//! A scrub that somebody asked for: some hours, now, in as many threads as they say. It has no place that is remembered, and is not
//! bound by the pace of the crawl.

use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::options::ScrubLimits;
use super::report::{DamageOutcome, ScrubEvent, ScrubFinding};
use super::work::{Control, Scrub};
use crate::archive::HourPlace;
use crate::disk::DiskError;
use crate::sync::crawl::CrawlError;
use crate::wire::ScrubSummary;

pub trait ScrubObserver: Sync {
    fn begin(&self, files: u64, bytes: u64);
    /// So much more is done. The bytes of a large file are reported before it is done.
    fn advance(&self, files: u64, bytes: u64);
    fn found(&self, finding: &ScrubFinding);
    fn failed(&self, path: &str, error: &str);
    fn is_stopped(&self) -> bool;
}

/// Bytes of a large file between two reports.
const TELL_EVERY: u64 = 16 << 20;

struct Work<'w> {
    scrub: &'w Scrub,
    limits: ScrubLimits,
    watcher: &'w dyn ScrubObserver,
    counts: [AtomicU64; 6],
}

const HOURS: usize = 0;
const FILES: usize = 1;
const BYTES: usize = 2;
const QUARANTINED: usize = 3;
const LEFT: usize = 4;
const ERRORS: usize = 5;

impl Scrub {
    /// Checks these hours. Breaks off where the archive is not there or the index takes nothing, and where the watcher says so: what it
    /// gives back is then what was done until there.
    pub fn run(
        &self,
        places: &[HourPlace],
        limits: ScrubLimits,
        threads: usize,
        watcher: &dyn ScrubObserver,
    ) -> Result<ScrubSummary, CrawlError> {
        let base = self.prepare()?;
        let (mut files, mut bytes) = (0, 0);
        for place in places {
            if let Some(row) = self.keeper().index().hour_row(&place.stream.to_string(), place.hour)? {
                for tally in row.totals.video.iter().chain([&row.totals.chat]) {
                    files += u64::from(tally.files);
                    bytes += tally.bytes;
                }
            }
        }
        watcher.begin(files, bytes);
        let work = Work { scrub: self, limits, watcher, counts: Default::default() };
        let next = AtomicUsize::new(0);
        let carry = || -> Result<(), CrawlError> {
            while let Some(place) = places.get(next.fetch_add(1, Ordering::Relaxed)) {
                if watcher.is_stopped() {
                    break;
                }
                work.hour(place)?;
            }
            Ok(())
        };
        let outcomes: Vec<Result<(), CrawlError>> = std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(carry)).collect();
            let own = carry();
            let joined = others.into_iter().map(|other| other.join().unwrap_or_else(|_| Err(crashed(base.path()))));
            std::iter::once(own).chain(joined.collect::<Vec<_>>()).collect()
        });
        outcomes.into_iter().collect::<Result<(), _>>()?;
        Ok(work.summary())
    }
}

fn crashed(base: &Path) -> CrawlError {
    let cause =
        io::Error::other("a thread of it crashed, so that some hours were not checked; run it again, and report it");
    CrawlError::Disk(DiskError::Io { action: "scrub", path: base.to_owned(), cause })
}

impl Work<'_> {
    fn add(&self, what: usize, count: u64) {
        if let Some(counter) = self.counts.get(what) {
            counter.fetch_add(count, Ordering::Relaxed);
        }
    }

    fn summary(&self) -> ScrubSummary {
        let [hours, files, bytes, quarantined, left, errors] =
            self.counts.each_ref().map(|count| count.load(Ordering::Relaxed));
        ScrubSummary { hours, files, bytes, quarantined, left, errors }
    }

    fn hour(&self, place: &HourPlace) -> Result<(), CrawlError> {
        let mut told = Told { work: self, place, bytes: 0, untold: 0 };
        match self.scrub.hour(place, None, None, self.limits, &mut told) {
            Ok(_) => self.add(HOURS, 1),
            Err(CrawlError::Disk(error)) if error.is_shortage() => return Err(error.into()),
            Err(error @ (CrawlError::Disk(_) | CrawlError::Doubt(_))) => {
                self.add(ERRORS, 1);
                self.watcher.failed(&place.to_string(), &error.to_string());
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

struct Told<'t> {
    work: &'t Work<'t>,
    place: &'t HourPlace,
    /// Bytes read of the current file, and those not reported yet.
    bytes: u64,
    untold: u64,
}

impl Control for Told<'_> {
    fn read(&mut self, bytes: u64) -> ControlFlow<()> {
        (self.bytes, self.untold) = (self.bytes + bytes, self.untold + bytes);
        if self.untold >= TELL_EVERY {
            self.work.watcher.advance(0, std::mem::take(&mut self.untold));
        }
        if self.work.watcher.is_stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn done(&mut self, name: &str, seen: ScrubEvent) -> ControlFlow<()> {
        let (work, bytes) = (self.work, std::mem::take(&mut self.bytes));
        work.watcher.advance(1, std::mem::take(&mut self.untold));
        match seen {
            ScrubEvent::Gone | ScrubEvent::MovedBefore { .. } => return ControlFlow::Continue(()),
            ScrubEvent::Failed(error) => {
                work.add(ERRORS, 1);
                work.watcher.failed(&format!("{}/{name}", self.place), &error);
                return ControlFlow::Continue(());
            }
            ScrubEvent::Sound => {}
            ScrubEvent::Damaged(finding) => {
                let is_moved = matches!(finding.outcome, DamageOutcome::Quarantined(_));
                work.add(if is_moved { QUARANTINED } else { LEFT }, 1);
                work.watcher.found(&finding);
            }
        }
        work.add(FILES, 1);
        work.add(BYTES, bytes);
        if work.watcher.is_stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
