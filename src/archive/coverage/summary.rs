//! What one hour comes to, after what came before it: small enough to be kept for every hour there is.

use super::line::{HourLine, TimeTally};
use super::walk::{Ends, WalkEvent, walk};
use super::{CoverageKind, Stretch};
use crate::archive::{Hour, Timestamp};

/// One hour in its place. The same line after the same ends gives the same summary: neither has to be asked again until it changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HourSummary {
    /// What came before.
    pub before: Option<Ends>,
    /// What comes after.
    pub after: Option<Ends>,
    /// The first start in it.
    pub first: Option<Timestamp>,
    /// The first start in it of what lasts some time.
    pub first_covering: Option<Timestamp>,
    /// Visible video by [`SegmentKind::VIDEO`](crate::archive::SegmentKind::VIDEO).
    pub video: [TimeTally; 3],
    /// Visible `.ts` files whose name is not understood.
    pub bad: u64,
    /// Overlaps by [`SegmentKind::VIDEO`](crate::archive::SegmentKind::VIDEO): what is not the best of its start, and what starts too early.
    pub overlaps: [TimeTally; 3],
    /// Microseconds of this hour that are covered, by [`CoverageKind`].
    pub covered_us: [u64; 2],
    /// The holes that end in it, whole, by [`CoverageKind`].
    pub holes: [Vec<Stretch>; 2],
    /// What is covered by nothing that is full, as far as that became certain in it: whole, in order.
    pub not_full: Vec<Stretch>,
}

impl HourSummary {
    /// Of an hour, after what came before it.
    pub fn of(before: Option<Ends>, hour: Hour, own: &HourLine) -> Self {
        let within = Stretch::of(hour);
        let mut overlaps = own.beside;
        let mut covered_us = CoverageKind::ALL.map(|lane| carried_over(before, lane, within));
        let mut holes = [Vec::new(), Vec::new()];
        let mut not_full: Vec<Stretch> = Vec::new();
        let after = walk(before, hour, own, |event| match event {
            WalkEvent::Covered(lane, stretch) => {
                covered_us[lane as usize] += stretch.cut(within).map_or(0, length);
            }
            WalkEvent::Hole(lane, hole) => holes[lane as usize].push(hole),
            WalkEvent::NotFull(stretch) => match not_full.last_mut() {
                Some(last) if last.end == stretch.start => last.end = stretch.end,
                _ => not_full.push(stretch),
            },
            WalkEvent::Overlap(kind, us) => overlaps[kind as usize].add(us),
        });
        let first = own.best.first().map(|best| best.start(hour));
        let first_covering = own.best.iter().find(|best| best.duration_us > 0).map(|best| best.start(hour));
        Self {
            before,
            after,
            first,
            first_covering,
            video: own.video,
            bad: own.bad,
            overlaps,
            covered_us,
            holes,
            not_full,
        }
    }
}

/// Microseconds of an hour, or of a part of it, that segments of earlier hours cover.
pub(super) fn carried_over(before: Option<Ends>, lane: CoverageKind, part: Stretch) -> u64 {
    let reach = before.map_or(Timestamp::MIN, |ends| ends.reach(lane));
    Stretch { start: Timestamp::MIN, end: reach }.cut(part).map_or(0, length)
}

pub(super) fn length(stretch: Stretch) -> u64 {
    stretch.length().us().unsigned_abs()
}
