//! The rules of coverage, one best segment after the other. Says what it comes across and keeps four points in time.

use super::line::HourLine;
use super::{CoverageKind, Stretch};
use crate::archive::best::TOLERANCE;
use crate::archive::{Hour, SegmentKind, Timestamp};

/// Where things end at some point of the walk: all that the segments after it need to know of those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// The end of the union. A segment that lasts no time covers nothing, so that this may lie before `furthest`.
    pub covered: Timestamp,
    /// The furthest end of any segment.
    pub furthest: Timestamp,
    /// The end of the segment that the editable sequence kept last: the next one is measured against it.
    pub kept: Timestamp,
    /// The furthest end of the editable sequence; after `kept` where a short one was kept at the end of a long one.
    pub kept_furthest: Timestamp,
    /// From here until `covered` nothing that is full covers; nothing is open where it is not before `covered`. The end of all time
    /// as long as nothing covers at all.
    pub not_full: Timestamp,
}

impl Ends {
    /// Until where a lane covers without a break.
    pub fn reach(&self, lane: CoverageKind) -> Timestamp {
        match lane {
            CoverageKind::Raw => self.covered,
            CoverageKind::Editable => self.kept_furthest,
        }
    }

    /// Where a hole of a lane would begin.
    pub fn hole_from(&self, lane: CoverageKind) -> Timestamp {
        match lane {
            CoverageKind::Raw => self.covered,
            CoverageKind::Editable => self.kept,
        }
    }

    /// Whether any segment so far lasts some time.
    pub const fn has_covered(&self) -> bool {
        self.not_full.us() < Timestamp::MAX.us()
    }

    /// What is covered by nothing full, as far as it is told already: a full segment that is still to come may cover its end.
    pub fn open_not_full(&self) -> Option<Stretch> {
        let open = Stretch { start: self.not_full, end: self.covered };
        (open.start < open.end).then_some(open)
    }

    /// Behind the union there may be segments that last no time: what lies between is inside the extent, and a hole.
    pub fn trailing_hole(&self) -> Option<Stretch> {
        let gap = Stretch { start: self.covered, end: self.furthest };
        (gap.length() > TOLERANCE).then_some(gap)
    }

    fn at(start: Timestamp) -> Self {
        Self { covered: start, furthest: start, kept: start, kept_furthest: start, not_full: Timestamp::MAX }
    }

    /// A segment follows: what lies before its start cannot change any more.
    fn tell_not_full(&mut self, kind: SegmentKind, by: Stretch) -> Option<Stretch> {
        let told = Stretch { start: self.not_full, end: self.covered.min(by.start) };
        let is_open = self.not_full.max(by.start) < self.covered;
        self.not_full = match (kind, is_open) {
            (SegmentKind::Full, true) => self.not_full.max(by.end),
            (SegmentKind::Full, false) => self.covered.max(by.end),
            (_, true) => self.not_full.max(by.start),
            (_, false) => self.covered.max(by.start),
        };
        (told.start < told.end).then_some(told)
    }
}

/// What the walk comes across.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WalkEvent {
    /// This becomes covered and was not before.
    Covered(CoverageKind, Stretch),
    /// A hole that has just ended.
    Hole(CoverageKind, Stretch),
    /// This is covered, and by nothing that is full.
    NotFull(Stretch),
    /// A best segment of this kind starts too early by so many microseconds of its own.
    Overlap(SegmentKind, u64),
}

/// Walks over the best segments of an hour, from what the segments before it left, and says what it leaves itself. `None` is the
/// time before the first segment.
pub fn walk(before: Option<Ends>, hour: Hour, line: &HourLine, mut each: impl FnMut(WalkEvent)) -> Option<Ends> {
    let mut ends = before;
    for best in &line.best {
        let (start, end) = (best.start(hour), best.end(hour));
        let is_first = ends.is_none();
        let at = ends.get_or_insert(Ends::at(start));
        if start < at.furthest - TOLERANCE {
            let overlap = end.min(at.furthest) - start;
            each(WalkEvent::Overlap(best.kind, overlap.us().unsigned_abs()));
        }
        at.furthest = at.furthest.max(end);
        if start < end {
            if start > at.covered + TOLERANCE {
                each(WalkEvent::Hole(CoverageKind::Raw, Stretch { start: at.covered, end: start }));
            }
            if let Some(told) = at.tell_not_full(best.kind, Stretch { start, end }) {
                each(WalkEvent::NotFull(told));
            }
            cover(CoverageKind::Raw, &mut at.covered, Stretch { start, end }, &mut each);
        }
        if is_first || start >= at.kept - TOLERANCE {
            if start > at.kept + TOLERANCE {
                each(WalkEvent::Hole(CoverageKind::Editable, Stretch { start: at.kept, end: start }));
            }
            at.kept = end;
            cover(CoverageKind::Editable, &mut at.kept_furthest, Stretch { start, end }, &mut each);
        }
    }
    ends
}

fn cover(lane: CoverageKind, reach: &mut Timestamp, by: Stretch, each: &mut impl FnMut(WalkEvent)) {
    if by.end > *reach {
        each(WalkEvent::Covered(lane, Stretch { start: by.start.max(*reach), end: by.end }));
        *reach = by.end;
    }
}
