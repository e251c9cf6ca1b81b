//! The job that looks after the disk: whether it is there, and what to do when it is back. It also reports jobs that hang.

use std::sync::Arc;
use std::time::Duration;

use super::address::AddressFile;
use crate::archive::coverage::Stretch;
use crate::disk::Checked;
use crate::jobs::{Failure, Job, JobHandle, JobRegistry, JobState, Next, Wake};
use crate::sync::crawl::{Crawl, Keeper, Watch};

/// How often it is looked whether the disk is there.
const LOOK: Duration = Duration::from_millis(500);
/// How long a look may take; a disk behind a network that is away takes longer.
const DEADLINE: Duration = Duration::from_secs(30);

pub(super) struct SentinelParts {
    pub(super) keeper: Arc<Keeper>,
    pub(super) watch: Arc<Watch>,
    pub(super) crawl: Arc<Crawl>,
    pub(super) address_file: Arc<AddressFile>,
    pub(super) board: Arc<JobRegistry>,
    pub(super) woken: Vec<Wake>,
}

pub(super) struct Sentinel {
    parts: SentinelParts,
    /// Returns of the disk, and beginnings of the index, that were acted upon.
    returns: u64,
    generation: u64,
    /// While the index takes no writes they wait; there are never many.
    absences: Vec<Stretch>,
}

impl Sentinel {
    pub(super) fn new(parts: SentinelParts) -> Self {
        let generation = parts.keeper.index().catalog().generation();
        Self { parts, returns: 0, generation, absences: Vec::new() }
    }
}

impl Job for Sentinel {
    fn kind(&self) -> &'static str {
        "sentinel"
    }

    fn deadline(&self) -> Duration {
        DEADLINE
    }

    fn step(&mut self, handle: &JobHandle) -> Result<Next, Failure> {
        self.parts.board.log_overdue();
        let (guard, index) = (self.parts.keeper.guard(), self.parts.keeper.index());
        let catalog = index.catalog();
        let checked = guard.check();
        let fine = checked == Checked::Fine;
        if let Checked::Away(away) = &checked {
            handle.set_state(JobState::Stalled, away.reason.clone(), None);
        } else {
            handle.set_state(JobState::Waiting, "the disk is available", None);
        }
        if fine {
            guard.learn(|| catalog.channels());
        }
        // Others check as well, and may have been the first to see it return.
        let (returns, generation) = (guard.returns(), catalog.generation());
        let back = std::mem::replace(&mut self.returns, returns) != returns;
        let anew = std::mem::replace(&mut self.generation, generation) != generation;
        if back {
            self.parts.crawl.kick();
            self.parts.woken.iter().for_each(Wake::wake);
        }
        self.absences
            .extend(guard.take_absences().into_iter().map(|(from, to)| Stretch { start: from.into(), end: to.into() }));
        if !self.absences.is_empty() && index.remember_away(self.absences.clone()).is_ok() {
            self.absences.clear();
        }
        if back || anew {
            self.parts.watch.rewatch();
        }
        // The disk was full or read-only, and may not be any more.
        let address_file = &self.parts.address_file;
        if fine && !address_file.is_written() && address_file.write().is_ok() {
            tracing::debug!(name: "address_written", "other commands find this node again");
        }
        Ok(Next::WhenWoken(LOOK))
    }
}
