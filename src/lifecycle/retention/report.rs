//! What retention plans, from what the index knows, and how plan and journal are reported, over the wire and as gauges. Changes nothing.

use prometheus::{Gauge, Registry};

use super::journal::{Journal, JournalStep};
use super::schedule::{EarlierDecision, Schedule, Stored, schedule};
use super::{Retention, RetentionError};
use crate::archive::disk_use::{DiskUse, UsageGrowth};
use crate::archive::origins::Origin;
use crate::archive::retention::RetentionLimits;
use crate::archive::{Hour, HourPlace, HourTotals};
use crate::sync::crawl::CrawlError;
use crate::wire::{DiskFilled, RetentionHour, RetentionPlan, RetentionView, RetiredHour};

/// Most retired hours in a report: a page of them is a megabyte.
pub(super) const MOST_RETIRED: usize = 10_000;

/// Hours of the plan that are listed at most, for the same reason: their number depends on what fills the disk.
pub(super) const MOST_PLANNED: usize = 10_000;

pub(super) fn plan(schedule: &Schedule, enabled: bool, free: Option<u64>) -> RetentionPlan {
    let hours: Vec<RetentionHour> = schedule
        .going
        .iter()
        .take(MOST_PLANNED)
        .map(|going| RetentionHour {
            hour: going.stored.place.clone(),
            reason: going.reason.as_str().to_owned(),
            segments: going.stored.segments,
            bytes: going.stored.bytes,
            tombstones: going.stored.tombstones,
        })
        .collect();
    RetentionPlan {
        enabled,
        hours,
        planned_hours: schedule.going.len() as u64,
        segments: schedule.going.iter().map(|going| going.stored.segments).sum(),
        bytes: schedule.going_bytes(),
        archive_hours: schedule.hours as u64,
        archive_bytes: schedule.bytes,
        free_bytes: free,
        doubt: schedule.doubt.map(|doubt| doubt.to_string()),
        ..RetentionPlan::default()
    }
}

pub(super) fn disk(used: &DiskUse, grown: &UsageGrowth) -> DiskFilled {
    DiskFilled {
        own: used.own,
        fetched: used.fetched,
        other: used.other(),
        free: used.free,
        own_grown: grown.own,
        fetched_grown: grown.fetched,
        other_grown: grown.other,
    }
}

/// The newest hours that are retired or being retired, their total number, and the exempt ones.
pub(super) fn retired(journal: &Journal) -> (Vec<RetiredHour>, u64, Vec<HourPlace>) {
    let mut gone: Vec<_> = journal.entries().iter().filter(|(_, entry)| entry.step != JournalStep::Kept).collect();
    gone.sort_unstable_by(|(a, _), (b, _)| (b.hour, &a.stream).cmp(&(a.hour, &b.stream)));
    let told = gone.iter().take(MOST_RETIRED).map(|(place, entry)| RetiredHour {
        hour: HourPlace::clone(place),
        state: entry.step.as_str().to_owned(),
        reason: entry.reason.map_or("-", |reason| reason.as_str()).to_owned(),
        since: entry.since,
    });
    let kept = journal.entries().iter().filter(|(_, entry)| entry.step == JournalStep::Kept);
    (told.collect(), gone.len() as u64, kept.map(|(place, _)| place.clone()).collect())
}

#[derive(Debug)]
pub(super) struct RetentionGauges {
    overdue: Gauge,
    last_run: Gauge,
    unusable: Gauge,
}

impl RetentionGauges {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let gauges = Self {
            overdue: Gauge::new(
                "retention_overdue_bytes",
                "Bytes that should be gone by the limits of retention and are not",
            )?,
            last_run: Gauge::new(
                "retention_last_run_timestamp_seconds",
                "When retention last looked at everything, whether or not something had to go",
            )?,
            unusable: Gauge::new(
                "retention_records_unusable",
                "Records that protect the archive and cannot be relied on; nothing is deleted while there are any",
            )?,
        };
        registry.register(Box::new(gauges.unusable.clone()))?;
        registry.register(Box::new(gauges.overdue.clone()))?;
        registry.register(Box::new(gauges.last_run.clone()))?;
        Ok(gauges)
    }

    #[expect(clippy::cast_precision_loss, reason = "gauges are floats; 2^53 bytes are more than any disk has")]
    pub(super) fn overdue(&self, bytes: u64) {
        self.overdue.set(bytes as f64);
    }

    #[expect(clippy::cast_precision_loss, reason = "there are half a dozen records")]
    pub(super) fn unusable(&self, records: usize) {
        self.unusable.set(records as f64);
    }

    pub(super) fn ran(&self, now: crate::archive::Timestamp) {
        self.last_run.set((now - crate::archive::Timestamp::from_us(0)).seconds());
    }
}

impl Retention {
    /// What would go now, by these limits or its own, and what has gone. Changes nothing.
    pub fn view(&self, limits: Option<&RetentionLimits>) -> Result<RetentionView, RetentionError> {
        let journal = self.ledger.journal().ok_or(RetentionError::NotRead)?;
        let (retired, retired_hours, kept) = retired(&journal);
        Ok(RetentionView { plan: self.plan(limits)?, retired, retired_hours, kept })
    }

    /// What would go now, by these limits or its own. Changes nothing.
    pub fn plan(&self, limits: Option<&RetentionLimits>) -> Result<RetentionPlan, RetentionError> {
        let own = &self.options.limits;
        let limits = limits.unwrap_or(own);
        let journal = self.ledger.journal().ok_or(RetentionError::NotRead)?;
        let free = self.free();
        let schedule = self.schedule(&journal, limits, free)?;
        let blocked = self.may_delete().err().map(|error| error.to_string());
        let doubt = self.doubt(&schedule);
        let other_limits = limits != own;
        Ok(RetentionPlan { doubt, blocked, other_limits, ..plan(&schedule, !limits.are_off(), free) })
    }

    /// What goes by these limits and by what the index knows. Changes nothing.
    pub(super) fn schedule(
        &self,
        journal: &Journal,
        limits: &RetentionLimits,
        free: Option<u64>,
    ) -> Result<Schedule, RetentionError> {
        let mut hours = Vec::new();
        let index = self.parts.keeper.index();
        for stream in index.catalog().streams() {
            let name = stream.to_string();
            for (hour, row) in index.hour_rows(&name, Hour::MIN, Hour::MAX).map_err(CrawlError::Index)? {
                let place = HourPlace { stream: stream.clone(), hour };
                let stored = self.stored(place, &row.totals)?;
                match journal.get(&stored.place).map(|entry| (entry.step, entry.reason)) {
                    None => hours.push(stored),
                    Some((JournalStep::Kept, _)) => hours.push(Stored { decided: EarlierDecision::Keep, ..stored }),
                    // Reported below, whether or not it is still in the index.
                    Some((JournalStep::Retiring, _)) => {}
                    // Somebody has written there again: it goes when it would, as any other hour.
                    Some((JournalStep::Retired | JournalStep::Gone, _)) => {
                        hours.extend((stored.segments > 0 && self.holds_segments(&stored.place)?).then_some(stored));
                    }
                }
            }
        }
        for (place, entry) in journal.entries().iter().filter(|(_, entry)| entry.step == JournalStep::Retiring) {
            let decided = self.decided_about_begun(entry);
            let row = index.hour_row(&place.stream.to_string(), place.hour).map_err(CrawlError::Index)?;
            let stored = self.stored(place.clone(), &row.map(|row| row.totals).unwrap_or_default())?;
            hours.push(Stored { decided, ..stored });
        }
        Ok(schedule(hours, limits, self.now(), free))
    }

    fn stored(&self, place: HourPlace, totals: &HourTotals) -> Result<Stored, RetentionError> {
        let stored = of_totals(place, totals);
        let origin = self.parts.keeper.origin(&stored.place, (stored.segments, stored.bytes))?;
        Ok(Stored { origin, ..stored })
    }

    /// Whether the index knows anything in an hour that could be deleted; what is not understood is counted with the rest.
    pub(super) fn holds_segments(&self, place: &HourPlace) -> Result<bool, RetentionError> {
        let view = self.parts.keeper.index().hour(&place.stream.to_string(), place.hour).map_err(CrawlError::Index)?;
        Ok(view.is_some_and(|view| view.contents.files().iter().any(|file| !file.key.tombstone)))
    }
}

fn of_totals(place: HourPlace, totals: &HourTotals) -> Stored {
    let goes = totals.video.iter().chain([&totals.chat, &totals.hidden]);
    let (segments, bytes) =
        goes.fold((0, 0), |(files, bytes), tally| (files + u64::from(tally.files), bytes + tally.bytes));
    let other_bytes = totals.bad.bytes + totals.other.bytes;
    let (tombstones, decided, origin) = (totals.tombstones.into(), EarlierDecision::Nothing, Origin::default());
    Stored { place, bytes, other_bytes, segments, tombstones, decided, origin }
}
