//! How plan and journal are reported, over the wire and as gauges.

use prometheus::{Gauge, Registry};

use super::journal::{Journal, JournalStep};
use super::schedule::Schedule;
use crate::archive::HourPlace;
use crate::archive::disk_use::{DiskUse, UsageGrowth};
use crate::wire::{DiskFilled, RetentionHour, RetentionPlan, RetiredHour};

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
