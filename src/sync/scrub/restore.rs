//! The job that looks, after each change of the index, whether what was lost to damage is here again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Scrub;
use super::quarantine_contents::KeptFile;
use crate::archive::quantity::count;
use crate::jobs::{Failure, Job, JobHandle, JobState, Next};

/// How often it looks whether the index has changed.
const LOOK: Duration = Duration::from_secs(1);
/// How often it looks whether something was written on in the quarantine.
const RESCUE: Duration = Duration::from_secs(60);
/// A step reads the hours of what is lost, which is little.
const DEADLINE: Duration = Duration::from_secs(60);

/// See the module.
pub struct Healing {
    scrub: Arc<Scrub>,
    ready: tokio::sync::watch::Receiver<bool>,
    /// The state of index and disk that was looked at last.
    seen: Option<(u64, u64, u64)>,
    /// When it was last looked whether something was written on.
    rescued: Option<Instant>,
}

impl Healing {
    /// Looks from when the index has caught up with the disk.
    pub fn new(scrub: Arc<Scrub>, ready: tokio::sync::watch::Receiver<bool>) -> Self {
        Self { scrub, ready, seen: None, rescued: None }
    }
}

impl Job for Healing {
    fn kind(&self) -> &'static str {
        "healing"
    }

    fn deadline(&self) -> Duration {
        DEADLINE
    }

    fn step(&mut self, post: &JobHandle) -> Result<Next, Failure> {
        let (guard, catalog) = (self.scrub.keeper().guard(), self.scrub.keeper().index().catalog());
        let now = (catalog.generation(), catalog.read().seq, guard.returns());
        if self.seen.is_some_and(|seen| seen.2 != now.2) {
            // Another disk has another quarantine.
            self.scrub.kept().forget();
            self.scrub.flagged().forget();
        }
        if !*self.ready.borrow() {
            post.is(JobState::Waiting, "waits until the index has caught up", None);
            return Ok(Next::WhenWanted(LOOK));
        }
        if guard.base().is_err() {
            post.is(JobState::Stalled, "the archive is not there", None);
            return Ok(Next::WhenWanted(LOOK));
        }
        if self.rescued.is_none_or(|at| at.elapsed() >= RESCUE) {
            self.scrub.rescue()?;
            self.rescued = Some(Instant::now());
        }
        if self.seen == Some(now) {
            return Ok(Next::WhenWanted(LOOK));
        }
        self.scrub.heal()?;
        self.seen = Some(now);
        let (files, _) = self.scrub.kept().count(|_| true);
        let (lost, _) = self.scrub.kept().count(KeptFile::is_lost);
        post.doing(match (files, lost) {
            (0, _) => "no damaged files".to_owned(),
            (_, 0) => format!("{} quarantined; all restored", count(files, "damaged file")),
            _ => format!("{} quarantined; {lost} not restored yet", count(files, "damaged file")),
        });
        Ok(Next::After(LOOK))
    }
}
