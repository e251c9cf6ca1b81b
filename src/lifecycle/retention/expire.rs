//! Hours leave the bucket when they are too old for it: the objects of each are deleted there, and what was hidden stays hidden.
//!
//! 1. It is done after what goes from this disk, with the same clock, records and exemptions; how far the bucket may shrink is measured by itself.
//! 2. What lies here stays. Where something of the hour does not, the journal says so before the first object goes, and it is not fetched again.
//! 3. With `keep_last_copy` an hour stays in the bucket as long as neither this disk nor another node has all that is in sight of it.
//! 4. Whatever interrupts it, the next run weighs the hour anew and goes on, or releases it.

use std::time::{Duration, Instant};

use parking_lot::MutexGuard;

use super::bucket_schedule::{BucketDoubt, BucketSchedule};
use super::job::stopped;
use super::journal::{Journal, JournalStep};
use super::last_copy::{Copies, note_last_copies};
use super::schedule::{Answered, QUIET, RetentionReason};
use super::{Retention, RetentionError};
use crate::archive::guards::Guard;
use crate::archive::retention::RetentionLimits;
use crate::archive::{Hour, HourPlace};
use crate::jobs::{JobHandle, Stop};
use crate::lifecycle::archiving::{ArchiveError, ArchiveWatch, Archiver, OldHour};
use crate::wire::{AskingGuard, BucketHour, BucketPlan, RetentionReport};

/// How long one run deletes in the bucket; the next one goes on.
const EXPIRING: Duration = Duration::from_secs(10 * 60);
/// Hours of a plan that are listed.
const MOST_PLANNED: usize = super::report::MOST_PLANNED;

/// Whoever waits for what is asked of the bucket.
struct Expiring<'a> {
    handle: Option<&'a JobHandle>,
    may_go_on: &'a (dyn Fn() -> bool + Sync),
}

impl ArchiveWatch for Expiring<'_> {
    fn moved(&self, _: u64) {
        if let Some(handle) = self.handle {
            handle.sign();
        }
    }

    fn is_stopped(&self) -> bool {
        !(self.may_go_on)()
    }
}

impl Retention {
    /// Which hours leave the bucket, by these limits. The bucket is not asked.
    pub(super) fn bucket_schedule(
        &self,
        journal: &Journal,
        limits: &RetentionLimits,
    ) -> Result<BucketSchedule, RetentionError> {
        let Some(archiver) = self.parts.archiver.as_ref().filter(|_| limits.limits_bucket()) else {
            return Ok(BucketSchedule::default());
        };
        let is_kept = |place: &HourPlace| journal.get(place).is_some_and(|entry| entry.step == JournalStep::Kept);
        Ok(BucketSchedule::of(archiver.hours_in_bucket().map_err(of_bucket)?, is_kept, limits, self.now()))
    }

    /// Every guard that asks about it, in the order in which they do. Changes nothing.
    pub(super) fn bucket_doubts(&self, schedule: &BucketSchedule) -> Vec<(AskingGuard, String)> {
        if schedule.going.is_empty() {
            return Vec::new();
        }
        let until =
            "no hour leaves the bucket for its age until that is cleared up, or you say that the clock is right";
        let clock = self.clock_doubt(true).map(|why| format!("{why}; {until}: `gapless retention run --yes`"));
        let quiet = self.is_quiet().map(|doubt| (AskingGuard::Quiet, doubt.to_string()));
        let half = schedule
            .is_more_than_half()
            .then_some(BucketDoubt::MoreThanHalf { going: schedule.going.len() as u64, of: schedule.hours });
        let shrinks = || {
            let lived = self.timeline.lived()?;
            let mut levels = self.levels.lock().bucket.clone();
            levels.note(lived, schedule.level());
            levels.shrinks(schedule.after()).map(BucketDoubt::Shrinking)
        };
        let shrinking = half.or_else(shrinks).filter(|_| self.parts.keeper.guards().stands(Guard::Shrinking));
        let shrinking = shrinking.map(|doubt| (AskingGuard::Bucket, doubt.to_string()));
        clock.map(|why| (AskingGuard::Clock, why)).into_iter().chain(quiet).chain(shrinking).collect()
    }

    /// The newest hour of all that is known may be so old because the clock is ahead.
    fn is_quiet(&self) -> Option<BucketDoubt> {
        let now = self.now();
        let catalog = self.parts.keeper.index().catalog();
        let hours = catalog.streams().into_iter().flat_map(|stream| catalog.hours(&stream.to_string(), ..));
        let newest: Option<Hour> = hours.filter(|hour| hour.start() <= now).max();
        newest.is_none_or(|hour| hour.end() + QUIET < now).then_some(BucketDoubt::Quiet { newest, now })
    }

    /// What would leave the bucket, for who only looks.
    pub(super) fn bucket_plan(&self, schedule: &BucketSchedule) -> Result<Option<BucketPlan>, RetentionError> {
        let Some(archiver) = self.parts.archiver.as_ref().filter(|_| schedule.hours > 0) else { return Ok(None) };
        let mut plan = BucketPlan {
            planned_hours: schedule.going.len() as u64,
            bucket_hours: schedule.hours,
            ..BucketPlan::default()
        };
        for place in schedule.going.iter().take(MOST_PLANNED) {
            let noted = archiver.noted_hour(place)?;
            let (files, bytes) = noted.files_and_bytes();
            let (objects, is_here) = (noted.objects(), noted.is_here());
            plan.hours.push(BucketHour { hour: place.clone(), objects, files, bytes, is_here });
        }
        Ok(Some(plan))
    }

    /// Deletes in the bucket what is too old for it, unless somebody is to be asked first.
    pub(super) fn expire(
        &self,
        schedule: &BucketSchedule,
        copies: &mut Copies,
        (answered, stop, handle): (&Answered, &Stop, Option<&JobHandle>),
        (running, report): (&mut MutexGuard<'_, ()>, &mut RetentionReport),
    ) -> Result<(), RetentionError> {
        let Some(archiver) = self.parts.archiver.as_deref().filter(|_| schedule.hours > 0) else { return Ok(()) };
        self.note_bucket_level(schedule);
        report.bucket_overdue_hours = schedule.going.len() as u64;
        let doubts = self.bucket_doubts(schedule);
        if let Some((guard, doubt)) = doubts.iter().find(|(guard, _)| !answered.contains(guard)) {
            tracing::error!(name: "bucket_retention_doubted", %doubt, "deleting hours in the bucket needs confirmation");
            (report.asks, report.doubt) = (Some(*guard), Some(doubt.clone()));
            return Ok(());
        }
        if let Some(first) = schedule.going.first() {
            self.meet(&first.stream, stop)?;
        }
        // What a person has agreed to is done in one go, as the next run would ask again.
        let is_ordered = doubts.iter().any(|(guard, _)| *guard == AskingGuard::Bucket);
        let until = Instant::now() + EXPIRING;
        for (done, place) in (0_u64..).zip(&schedule.going) {
            // Whoever wants an hour kept does not wait for a store; and what needs room here waits for the next run alone.
            MutexGuard::bump(running);
            if !is_ordered && Instant::now() >= until {
                break;
            }
            let is_kept = |journal: &Journal| journal.get(place).is_some_and(|entry| entry.step == JournalStep::Kept);
            if self.ledger.ask(|journal, _| is_kept(journal)) != Some(false) {
                report.bucket_overdue_hours = report.bucket_overdue_hours.saturating_sub(1);
                continue;
            }
            if let Some(handle) = handle {
                handle.doing(format!("deletes {place} in the bucket"));
                handle.progress(done, schedule.going.len() as u64);
            }
            let may_go_on = || !stop.is_stopped() && self.still_safe(answered).is_ok();
            let watch = Expiring { handle, may_go_on: &may_go_on };
            match self.expire_hour(archiver, place, copies, (&watch, stop), report) {
                Ok(true) => {
                    report.bucket_hours += 1;
                    report.bucket_overdue_hours = report.bucket_overdue_hours.saturating_sub(1);
                }
                Ok(false) => {}
                Err(ExpiryError::OfHour(error)) => {
                    if report.error.is_none() {
                        tracing::warn!(name: "hour_not_expired", hour = %place, %error, "an hour could not be deleted in the bucket; it is tried again, as are others for which this is so");
                    }
                    report.error = Some(format!("{place}: {error}"));
                }
                Err(ExpiryError::OfAll(error)) => {
                    return self.still_safe(answered).and(Err(error));
                }
            }
        }
        if is_ordered {
            self.reset_bucket_level(schedule);
        }
        if report.bucket_hours > 0 {
            tracing::info!(name: "bucket_expired", hours = report.bucket_hours, "hours left the bucket for their age");
        }
        Ok(())
    }

    /// False if it stays because something of it has no other copy, or nothing is noted of it any more.
    fn expire_hour(
        &self,
        archiver: &Archiver,
        place: &HourPlace,
        copies: &mut Copies,
        (watch, stop): (&Expiring<'_>, &Stop),
        report: &mut RetentionReport,
    ) -> Result<bool, ExpiryError> {
        self.may_delete()?;
        if let Some(doubt) = self.parts.keeper.doubt_of(place) {
            return Err(ExpiryError::OfHour(doubt.to_string()));
        }
        let hour = archiver.old_hour(place, self.options.keep_last_copy, watch).map_err(of_hour)?;
        if hour.is_unknown() {
            return Ok(false);
        }
        if self.options.keep_last_copy
            && self.is_last_copy_in_bucket((archiver, place, &hour), copies, (watch, stop), report)?
        {
            return Ok(false);
        }
        self.may_delete()?;
        let (takes_something, leaves_a_directory) = (hour.takes_something(), hour.leaves_a_directory());
        let note = |step| self.note(place, Some(self.entry(step, Some(RetentionReason::Age))));
        if takes_something {
            note(JournalStep::Retiring)?;
        }
        archiver.delete_hour(place, &hour, watch).map_err(of_hour)?;
        if takes_something {
            note(if leaves_a_directory { JournalStep::Retired } else { JournalStep::Gone })?;
        }
        Ok(true)
    }

    /// Whether neither this disk nor another node has all that is in sight of an hour in the bucket; that is reported.
    fn is_last_copy_in_bucket(
        &self,
        (archiver, place, hour): (&Archiver, &HourPlace, &OldHour),
        copies: &mut Copies,
        (watch, stop): (&Expiring<'_>, &Stop),
        report: &mut RetentionReport,
    ) -> Result<bool, ExpiryError> {
        let names = archiver.not_held_here(place, hour, watch).map_err(of_hour)?;
        if names.is_empty() {
            return Ok(false);
        }
        if copies.are_used_up() {
            return Ok(true);
        }
        let asked = self.parts.handle.block_on(async {
            tokio::select! {
                missing = copies.held_by_no_peer(place, names) => Some(missing),
                () = stopped(stop) => None,
            }
        });
        let missing = asked.ok_or(RetentionError::Stopped)?;
        report.unproven_copies = copies.unproven().collect();
        if !copies.are_used_up() {
            note_last_copies(report, place, &missing);
        }
        Ok(!missing.is_empty())
    }
}

/// Why an hour is still in the bucket.
enum ExpiryError {
    /// Others may go all the same.
    OfHour(String),
    OfAll(RetentionError),
}

impl From<RetentionError> for ExpiryError {
    fn from(error: RetentionError) -> Self {
        Self::OfAll(error)
    }
}

fn of_hour(error: ArchiveError) -> ExpiryError {
    if error.is_about_the_hour() {
        ExpiryError::OfHour(error.to_string())
    } else {
        ExpiryError::OfAll(of_bucket(error))
    }
}

fn of_bucket(error: ArchiveError) -> RetentionError {
    match error {
        ArchiveError::Crawl(error) => error.into(),
        error if error.is_stopped() => RetentionError::Stopped,
        error => RetentionError::Bucket(error),
    }
}
