//! The hours of a quality together: figures for each, holes and timespans of any window, however much of them is there.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;

use super::line::{HourLine, TimeTally};
use super::summary::{HourSummary, carried_over, length};
use super::walk::{Ends, WalkEvent, walk};
use super::{CoverageKind, Stretch, Window};
use crate::archive::best::TOLERANCE;
use crate::archive::{Hour, Span, Timestamp};

/// Coverage and holes of an hour, in one lane.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LaneFigures {
    /// Microseconds that are covered.
    pub covered_us: u64,
    /// Holes; one that reaches over the hour counts in each.
    pub holes: u64,
    /// Microseconds in holes.
    pub hole_us: u64,
}

/// Everything that is told of an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HourFigures {
    /// The hour.
    pub hour: Hour,
    /// Visible video by [`SegmentKind::VIDEO`](crate::archive::SegmentKind::VIDEO), overlaps included.
    pub video: [TimeTally; 3],
    /// Visible `.ts` files whose name is not understood.
    pub bad: u64,
    /// Overlaps by [`SegmentKind::VIDEO`](crate::archive::SegmentKind::VIDEO).
    pub overlaps: [TimeTally; 3],
    /// By [`CoverageKind`].
    pub lanes: [LaneFigures; 2],
}

impl HourFigures {
    /// Of one lane.
    pub fn lane(&self, lane: CoverageKind) -> LaneFigures {
        self.lanes[lane as usize]
    }
}

/// The summaries of a quality's hours, each made after what the one before it left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    before: Option<Ends>,
    hours: BTreeMap<Hour, HourSummary>,
}

impl Coverage {
    /// None yet; what lies before the hours that are to come has left `before`.
    pub fn after(before: Option<Ends>) -> Self {
        Self { before, hours: BTreeMap::new() }
    }

    /// Adds an hour later than all there are.
    pub fn push(&mut self, hour: Hour, line: &HourLine) {
        let summary = HourSummary::of(self.ends(), hour, line);
        self.hours.insert(hour, summary);
    }

    /// What the last hour leaves.
    pub fn ends(&self) -> Option<Ends> {
        self.hours.last_key_value().map_or(self.before, |(_, last)| last.after)
    }

    /// Adds the summary of an hour later than all there are, made before.
    pub fn push_summary(&mut self, hour: Hour, summary: HourSummary) {
        self.hours.insert(hour, summary);
    }

    /// The summaries that are here.
    pub fn summaries(&self) -> impl Iterator<Item = (Hour, &HourSummary)> {
        self.hours.iter().map(|(hour, summary)| (*hour, summary))
    }

    /// Whether nothing from `next` on, the hour after those that are here, can change the answer for a window.
    pub fn is_enough(&self, window: &Window, next: Hour) -> bool {
        let Some(to) = window.to.filter(|to| next.start() >= *to) else { return false };
        match self.ends() {
            // As long as nothing lasts any time, how far the hole at the front reaches, and so whether it is one, is still to come.
            Some(ends) => {
                let front_is_known = !window.edge_from || ends.has_covered();
                front_is_known && CoverageKind::ALL.iter().all(|lane| ends.hole_from(*lane) >= to)
            }
            // Nothing began before the end of the window. With its edges it is a hole, if what comes after is far enough.
            None => !window.edge_from && !window.edge_to,
        }
    }

    /// From the first start to the furthest end, of the hours that are here.
    pub fn extent(&self) -> Option<Stretch> {
        let start = self.hours.values().find_map(|summary| summary.first)?;
        Some(Stretch { start, end: self.ends()?.furthest.max(start) })
    }

    /// As [`Coverage::extent`], from before all time where it begins before the hours that are here.
    pub(super) fn extent_known(&self) -> Option<Stretch> {
        let (start, ends) = self.began().zip(self.ends())?;
        Some(Stretch { start, end: ends.furthest.max(start) })
    }

    /// All holes of a lane, in order, none of them cut.
    pub fn holes(&self, lane: CoverageKind) -> impl Iterator<Item = Stretch> {
        let last = self.trailing(lane);
        self.hours.values().flat_map(move |summary| summary.holes[lane as usize].iter().copied()).chain(last)
    }

    fn trailing(&self, lane: CoverageKind) -> Option<Stretch> {
        self.ends().filter(|_| lane == CoverageKind::Raw)?.trailing_hole()
    }

    /// The holes of a window, cut to it; with its edges where it asks for them: as if something that lasts no time lay at each.
    pub fn holes_within(&self, lane: CoverageKind, window: &Window) -> Vec<Stretch> {
        let (from, to) = (window.from.filter(|_| window.edge_from), window.to.filter(|_| window.edge_to));
        let extent = self.extent();
        let furthest = self.ends().map(|ends| ends.furthest);
        let (begin, end) = match lane {
            CoverageKind::Raw => (from.into_iter().chain(extent.map(|extent| extent.start)).min(), to.max(furthest)),
            CoverageKind::Editable => (from, to),
        };
        let mut holes = Vec::new();
        if let Some(first) = self.first(lane) {
            holes.extend(begin.and_then(|begin| gap(begin, first)));
            // A gap before the first has just been told, whatever lies in it that lasts no time.
            let inside = self.hours.values().flat_map(|summary| &summary.holes[lane as usize]);
            holes.extend(inside.filter(|hole| hole.start >= first));
            holes.extend(end.zip(self.ends()).and_then(|(end, ends)| gap(ends.hole_from(lane), end)));
        } else {
            holes.extend(begin.zip(end).and_then(|(begin, end)| gap(begin, end)));
        }
        holes.into_iter().filter_map(|hole| hole.cut(window.stretch())).collect()
    }

    /// Microseconds of a window that a lane covers. `lines` holds the hours that the window cuts, as far as they have a directory.
    pub fn covered_us(&self, lane: CoverageKind, window: &Window, lines: &BTreeMap<Hour, HourLine>) -> u64 {
        let within = window.stretch();
        let mut hours: BTreeSet<Hour> = self.hours.keys().flat_map(|hour| [*hour, hour.next()]).collect();
        hours.extend(window.from.map(Timestamp::hour));
        hours.into_iter().map(|hour| self.covered_of(hour, lane, within, lines)).sum()
    }

    fn covered_of(&self, hour: Hour, lane: CoverageKind, within: Stretch, lines: &BTreeMap<Hour, HourLine>) -> u64 {
        let Some(part) = Stretch::of(hour).cut(within) else { return 0 };
        let summary = self.hours.get(&hour);
        if let Some(summary) = summary.filter(|_| part == Stretch::of(hour)) {
            return summary.covered_us[lane as usize];
        }
        let before = match summary {
            Some(summary) => summary.before,
            None => self.hours.range(..hour).next_back().map_or(self.before, |(_, earlier)| earlier.after),
        };
        let mut covered_us = carried_over(before, lane, part);
        if let Some(line) = lines.get(&hour) {
            walk(before, hour, line, |event| {
                if let WalkEvent::Covered(of, stretch) = event
                    && of == lane
                {
                    covered_us += stretch.cut(part).map_or(0, length);
                }
            });
        }
        covered_us
    }

    /// What is covered by nothing that is full, in order.
    pub fn not_full(&self) -> impl Iterator<Item = Stretch> {
        let open = self.ends().and_then(|ends| ends.open_not_full());
        self.hours.values().flat_map(|summary| summary.not_full.iter().copied()).chain(open)
    }

    /// From the first segment that lasts some time to the end of the union; from before all time where it begins before these hours.
    pub(crate) fn covered_extent(&self) -> Option<Stretch> {
        let (start, ends) = self.first_covered().zip(self.ends())?;
        Some(Stretch { start, end: ends.covered })
    }

    /// Raw holes between what lasts some time.
    pub(crate) fn inner_holes(&self) -> impl Iterator<Item = Stretch> {
        let first = self.first_covered();
        let holes = self.hours.values().flat_map(|summary| &summary.holes[CoverageKind::Raw as usize]);
        holes.copied().filter(move |hole| first.is_some_and(|first| hole.start >= first))
    }

    /// The first start of what lasts some time; before all time where that is before the hours here.
    fn first_covered(&self) -> Option<Timestamp> {
        if self.before.is_some_and(|before| before.has_covered()) {
            return Some(Timestamp::MIN);
        }
        self.hours.values().find_map(|summary| summary.first_covering)
    }

    /// Where the extent begins; before all time where that is before the hours here, and so of no interest.
    fn began(&self) -> Option<Timestamp> {
        if self.before.is_some() { Some(Timestamp::MIN) } else { self.extent().map(|extent| extent.start) }
    }

    /// The first start in a lane: of what lasts some time in the raw one. Before all time as above.
    fn first(&self, lane: CoverageKind) -> Option<Timestamp> {
        if self.before.is_some() {
            return Some(Timestamp::MIN);
        }
        self.hours.values().find_map(|summary| match lane {
            CoverageKind::Raw => summary.first_covering,
            CoverageKind::Editable => summary.first,
        })
    }

    /// The longest runs without a raw hole, cut to a window. Gaps that are no holes are part of them.
    pub fn timespans(&self, window: &Window) -> Vec<Stretch> {
        let (Some(mut start), Some(ends)) = (self.began(), self.ends()) else { return Vec::new() };
        let mut runs = Vec::new();
        for hole in self.holes(CoverageKind::Raw) {
            runs.push(Stretch { start, end: hole.start });
            start = hole.end;
        }
        runs.push(Stretch { start, end: ends.furthest });
        runs.into_iter().filter_map(|run| run.cut(window.stretch())).collect()
    }

    /// The figures of every hour from `first` to `last` that has a directory or lies inside the extent, in order; made as they are
    /// asked for, because a single stray directory can make the extent thousands of years long.
    pub fn figures(&self, first: Hour, last: Hour) -> impl Iterator<Item = HourFigures> {
        let mut to_come = CoverageKind::ALL.map(|lane| self.holes(lane).peekable());
        let hours = std::iter::successors(self.next_hour(first), |hour| {
            Some(hour.next()).filter(|next| next > hour).and_then(|next| self.next_hour(next))
        });
        hours.take_while(move |hour| *hour <= last).map(move |hour| {
            let mut figures = self.own_figures(hour);
            for (lane, holes) in figures.lanes.iter_mut().zip(&mut to_come) {
                count_holes(lane, hour, holes);
            }
            figures
        })
    }

    /// The first hour from `hour` on that has a directory or lies inside the extent.
    fn next_hour(&self, hour: Hour) -> Option<Hour> {
        let listed = self.hours.range(hour..).next().map(|(listed, _)| *listed);
        let inside = self.began().zip(self.ends()).and_then(|(start, ends)| {
            let last = (ends.furthest - Span::from_us(1)).max(start).hour();
            Some(hour.max(start.hour())).filter(|hour| *hour <= last)
        });
        [listed, inside].into_iter().flatten().min()
    }

    fn own_figures(&self, hour: Hour) -> HourFigures {
        let mut figures = HourFigures {
            hour,
            video: [TimeTally::default(); 3],
            bad: 0,
            overlaps: [TimeTally::default(); 3],
            lanes: [LaneFigures::default(); 2],
        };
        let covered = if let Some(summary) = self.hours.get(&hour) {
            (figures.video, figures.bad, figures.overlaps) = (summary.video, summary.bad, summary.overlaps);
            summary.covered_us
        } else {
            let before = self.hours.range(..hour).next_back().map_or(self.before, |(_, earlier)| earlier.after);
            CoverageKind::ALL.map(|lane| carried_over(before, lane, Stretch::of(hour)))
        };
        for (lane, covered_us) in figures.lanes.iter_mut().zip(covered) {
            lane.covered_us = covered_us;
        }
        figures
    }
}

/// What lies between two points, if it is long enough for a hole.
fn gap(start: Timestamp, end: Timestamp) -> Option<Stretch> {
    let gap = Stretch { start, end };
    (gap.length() > TOLERANCE).then_some(gap)
}

/// Counts the holes of an hour, leaving the one that reaches over its end for the next.
fn count_holes(figures: &mut LaneFigures, hour: Hour, holes: &mut Peekable<impl Iterator<Item = Stretch>>) {
    while holes.next_if(|hole| hole.end <= hour.start()).is_some() {}
    while let Some(part) = holes.peek().and_then(|hole| hole.cut(Stretch::of(hour))) {
        figures.holes += 1;
        figures.hole_us += length(part);
        if holes.next_if(|hole| hole.end <= hour.end()).is_none() {
            break;
        }
    }
}
