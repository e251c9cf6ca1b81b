//! What retention says about its plan and its journal, as it goes over the wire.

use super::journal::{Journal, JournalStep};
use crate::archive::disk_use::{DiskUse, UsageGrowth};
use crate::archive::retention::Schedule;
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
            hour: going.stored.place.to_string(),
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

/// Who fills the disk.
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
pub(super) fn retired(journal: &Journal) -> (Vec<RetiredHour>, u64, Vec<String>) {
    let mut gone: Vec<_> = journal.entries().iter().filter(|(_, entry)| entry.step != JournalStep::Kept).collect();
    gone.sort_unstable_by(|(a, _), (b, _)| (b.hour, &a.stream).cmp(&(a.hour, &b.stream)));
    let told = gone.iter().take(MOST_RETIRED).map(|(place, entry)| RetiredHour {
        hour: place.to_string(),
        state: entry.step.as_str().to_owned(),
        reason: entry.reason.map_or("-", |reason| reason.as_str()).to_owned(),
        since: entry.since.to_string(),
    });
    let kept = journal.entries().iter().filter(|(_, entry)| entry.step == JournalStep::Kept);
    (told.collect(), gone.len() as u64, kept.map(|(place, _)| place.to_string()).collect())
}
