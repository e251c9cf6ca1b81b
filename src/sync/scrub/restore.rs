//! What was lost to damage and is here again: the job that looks for it, and the second look at what lies in the quarantine.
//!
//! A program that writes a file in place under its final name goes on writing into it wherever it was moved to. Such a file goes back to where
//! it lay, soon after the writer has finished, and at the latest before anything is deleted for its age.

use std::ffi::OsStr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::check::{Check, FileVerdict};
use super::quarantine_contents::KeptFile;
use super::work::{Scrub, now_ns};
use crate::archive::quantity::count;
use crate::archive::{FileName, HourPlace, parse_file_name};
use crate::disk::{Base, DiskError, Quarantine};
use crate::jobs::{Failure, Job, JobHandle, JobState, Next};
use crate::sync::crawl::CrawlError;

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

/// Files that were put aside longer ago are looked at again before they are deleted, and not every minute.
const YOUNG_NS: i64 = 24 * 3_600 * 1_000_000_000;

impl Scrub {
    /// Puts back what was written to after it was put aside and is what its name says now; says how many files.
    pub fn rescue(&self) -> Result<u64, CrawlError> {
        let base = self.prepare()?;
        let since = now_ns().saturating_sub(YOUNG_NS);
        let is_young = |file: &KeptFile| file.is_lost() && file.reported_ns.is_some_and(|at| at >= since);
        let mut rescued = 0;
        for (place, stored, file) in self.kept().all(is_young) {
            let Some(dir) = base.dir(&Quarantine::path(&place))? else { continue };
            let meta = dir.stat_file(OsStr::new(&stored))?;
            let is_written = meta.is_some_and(|meta| Some(meta.mtime_ns) > file.reported_ns);
            if is_written && self.put_back_if_sound(&base, &place, &stored, &file)? {
                rescued += 1;
            }
        }
        Ok(rescued)
    }

    /// Puts a file back if it is what its name says; where something lies under its name it stays.
    pub(super) fn put_back_if_sound(
        &self,
        base: &Base,
        place: &HourPlace,
        stored: &str,
        file: &KeptFile,
    ) -> Result<bool, CrawlError> {
        // Fetched again it would be put aside again.
        if file.is_bad_by_name() {
            return Ok(false);
        }
        let FileName::Understood(key) = parse_file_name(&file.name) else { return Ok(false) };
        let Some(dir) = base.dir(&Quarantine::path(place))? else { return Ok(false) };
        let verdict = Check::new(&key, false).go_on(&dir, stored, &mut Vec::new(), |_| ControlFlow::Continue(()))?;
        if !matches!(verdict, FileVerdict::Sound { .. }) {
            return Ok(false);
        }
        match self.restore(place, stored) {
            Ok(true) => {
                tracing::info!(name: "quarantine_rescued", path = file.report.path, "a quarantined file is complete now and was put back");
                Ok(true)
            }
            // Its name is taken.
            Ok(false) | Err(CrawlError::Disk(DiskError::Exists { .. })) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
