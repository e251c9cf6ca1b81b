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
use super::work::{Scrub, now, now_ns, text_of};
use crate::archive::quantity::count;
use crate::archive::{FileName, HourPlace, parse_file_name};
use crate::disk::{Base, Dir, DiskError, Quarantine};
use crate::jobs::{Failure, Job, JobHandle, JobState, Next};
use crate::sync::crawl::CrawlError;

/// How long a file must have counted as expired before it is deleted, so that a wrong clock is noticed in time.
const STEADY: Duration = Duration::from_secs(86_400);
/// How often it looks whether the index has changed.
const LOOK: Duration = Duration::from_secs(1);
/// How often it looks whether something was written on in the quarantine.
const RESCUE: Duration = Duration::from_secs(60);
/// A step reads the hours of what is lost, which is little.
const DEADLINE: Duration = Duration::from_secs(60);

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

    fn step(&mut self, handle: &JobHandle) -> Result<Next, Failure> {
        let (guard, catalog) = (self.scrub.keeper().guard(), self.scrub.keeper().index().catalog());
        let now = (catalog.generation(), catalog.read().seq, guard.returns());
        if self.seen.is_some_and(|seen| seen.2 != now.2) {
            // Another disk has another quarantine.
            self.scrub.quarantine().forget();
            self.scrub.flagged().forget();
        }
        if !*self.ready.borrow() {
            handle.set_state(JobState::Waiting, "waits until the index has caught up", None);
            return Ok(Next::WhenWoken(LOOK));
        }
        if guard.base().is_err() {
            handle.set_state(JobState::Stalled, "the archive is not there", None);
            return Ok(Next::WhenWoken(LOOK));
        }
        if self.rescued.is_none_or(|at| at.elapsed() >= RESCUE) {
            self.scrub.rescue()?;
            self.rescued = Some(Instant::now());
        }
        if self.seen == Some(now) {
            return Ok(Next::WhenWoken(LOOK));
        }
        self.scrub.heal()?;
        self.seen = Some(now);
        let (files, _) = self.scrub.quarantine().count(|_| true);
        let (lost, _) = self.scrub.quarantine().count(KeptFile::is_lost);
        handle.doing(match (files, lost) {
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
    /// Marks in its report each file whose name is listed again; says how many there were.
    pub fn heal(&self) -> Result<u64, CrawlError> {
        let base = self.prepare()?;
        let mut healed = 0;
        for (place, stored, mut file) in self.quarantine.all(|file| file.is_lost() && !file.is_bad_by_name()) {
            let view = self.keeper.index().hour(&place.stream.to_string(), place.hour)?;
            let is_listed = view.is_some_and(|view| view.contents.visible().any(|visible| visible.name() == file.name));
            if !is_listed {
                continue;
            }
            let _moving = self.quarantine.moving();
            (file.report.healed, file.reported_ns) = (Some(now().to_string()), Some(now_ns()));
            let bytes = text_of(&file.report);
            if Quarantine::of(&base).note(&place, &stored, &bytes)? {
                tracing::info!(name: "segment_healed", path = file.report.path, "a damaged file is here again with the right content");
                self.quarantine.put(&place, &stored, file);
                healed += 1;
            } else {
                self.quarantine.remove(&place, &stored);
            }
        }
        Ok(healed)
    }

    /// Deletes what has expired; returns how many files and bytes. What is bad by its name stays: its report is what keeps it
    /// from being fetched again, and its bytes are what its name says. What has no report may be the same.
    pub fn expire(&self) -> Result<(u64, u64), CrawlError> {
        self.expire_at(now_ns(), Instant::now())
    }

    /// Wall clocks are days ahead at times: only what is overdue at two looks far enough apart goes.
    pub(super) fn expire_at(&self, wall_ns: i64, now: Instant) -> Result<(u64, u64), CrawlError> {
        let keep_ns = i64::try_from(self.options().keep.as_nanos()).unwrap_or(i64::MAX);
        if keep_ns == 0 {
            return Ok((0, 0));
        }
        let base = self.prepare()?;
        let until = wall_ns.saturating_sub(keep_ns);
        let is_over = |file: &KeptFile| !file.is_bad_by_name() && file.reported_ns.is_some_and(|at| at <= until);
        let mut overdue = self.overdue.lock();
        let before = std::mem::take(&mut *overdue);
        let (mut count, mut bytes) = (0, 0);
        for (place, stored, file) in self.quarantine.all(is_over) {
            let key = (place.clone(), stored.clone());
            let since = before.get(&key).copied().unwrap_or(now);
            if now.saturating_duration_since(since) < STEADY {
                overdue.insert(key, since);
                continue;
            }
            // Nothing is deleted for its age after only one look, long ago.
            if file.is_lost() && self.put_back_if_sound(&base, &place, &stored, &file)? {
                continue;
            }
            let _moving = self.quarantine.moving();
            if let Some(size) = Quarantine::of(&base).delete(&place, &stored)? {
                tracing::info!(name: "quarantine_expired", path = file.report.path, bytes = size, healed = file.report.healed, "a damaged file has expired and is deleted");
                (count, bytes) = (count + 1, bytes + size);
            }
            self.quarantine.remove(&place, &stored);
        }
        Ok((count, bytes))
    }

    /// Moves a quarantined file back to where it lay, if nothing lies there. False if it is not in the quarantine.
    pub fn restore(&self, place: &HourPlace, stored: &str) -> Result<bool, CrawlError> {
        let base = self.prepare()?;
        let Some((_, file)) = self.quarantine.of_hour(place).into_iter().find(|(name, _)| name == stored) else {
            return Ok(false);
        };
        let hour = place.hour.to_string();
        base.make_dirs([place.stream.channel.as_str(), place.stream.quality.as_str(), &hour])?;
        let back = |dir: &Dir| {
            let _moving = self.quarantine.moving();
            let done = Quarantine::of(&base).put_back(place, dir, stored)?;
            self.quarantine.remove(place, stored);
            Ok(done)
        };
        Ok(self.keeper.change(place, [OsStr::new(&file.name)], back)?.unwrap_or(false))
    }

    /// Puts back what was written to after it was put aside and is what its name says now; says how many files.
    pub fn rescue(&self) -> Result<u64, CrawlError> {
        let base = self.prepare()?;
        let since = now_ns().saturating_sub(YOUNG_NS);
        let is_young = |file: &KeptFile| file.is_lost() && file.reported_ns.is_some_and(|at| at >= since);
        let mut rescued = 0;
        for (place, stored, file) in self.quarantine().all(is_young) {
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
