//! What many hours come to together, added up from one summary after the other: for whoever tells years in a few numbers.

use super::hours::{Coverage, HourFigures, LaneFigures};
use super::line::TimeTally;
use super::summary::{HourSummary, length};
use super::walk::Ends;
use super::{CoverageKind, Stretch};
use crate::archive::time::{Hour, Span, Timestamp};

/// The figures of an hour, or the sum of those of several.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Visible video by [`SegmentKind::VIDEO`](crate::archive::SegmentKind::VIDEO), overlaps included.
    pub video: [TimeTally; 3],
    /// Visible `.ts` files whose name is not understood.
    pub bad: u64,
    /// Overlaps by [`SegmentKind::VIDEO`](crate::archive::SegmentKind::VIDEO).
    pub overlaps: [TimeTally; 3],
    /// By [`CoverageKind`]. A hole counts once in each hour that it lies in.
    pub lanes: [LaneFigures; 2],
}

impl Totals {
    /// So much more.
    pub fn merge(&mut self, other: &Self) {
        self.video.iter_mut().zip(other.video).for_each(|(sum, tally)| sum.merge(tally));
        self.overlaps.iter_mut().zip(other.overlaps).for_each(|(sum, tally)| sum.merge(tally));
        self.bad = self.bad.saturating_add(other.bad);
        for (sum, of) in self.lanes.iter_mut().zip(other.lanes) {
            sum.covered_us = sum.covered_us.saturating_add(of.covered_us);
            sum.holes = sum.holes.saturating_add(of.holes);
            sum.hole_us = sum.hole_us.saturating_add(of.hole_us);
        }
    }
}

impl From<&HourFigures> for Totals {
    fn from(figures: &HourFigures) -> Self {
        let HourFigures { video, bad, overlaps, lanes, .. } = *figures;
        Self { video, bad, overlaps, lanes }
    }
}

/// Adds up the hours before a point: what their summaries say, whatever comes after them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CoverageTotals {
    totals: Totals,
    last: Option<Hour>,
    ends: Option<Ends>,
}

impl CoverageTotals {
    /// Adds an hour later than all before.
    pub fn add(&mut self, hour: Hour, summary: &HourSummary) {
        self.carry_over(hour.start());
        let totals = &mut self.totals;
        for (sum, tally) in totals.video.iter_mut().zip(summary.video) {
            sum.merge(tally);
        }
        for (sum, tally) in totals.overlaps.iter_mut().zip(summary.overlaps) {
            sum.merge(tally);
        }
        totals.bad = totals.bad.saturating_add(summary.bad);
        for (lane, of) in totals.lanes.iter_mut().enumerate() {
            of.covered_us += summary.covered_us[lane];
            summary.holes[lane].iter().for_each(|hole| add_hole(of, *hole));
        }
        (self.last, self.ends) = (Some(hour), summary.after);
    }

    /// What was handed on by the last hour.
    pub fn ends(&self) -> Option<Ends> {
        self.ends
    }

    /// What the hours before `until` come to, if there are any; `after` holds what comes after them.
    pub fn before(mut self, until: Timestamp, after: &Coverage) -> Option<Totals> {
        self.last?;
        self.carry_over(until);
        for lane in CoverageKind::ALL {
            // Of what ends later, only the first can begin earlier.
            let over =
                after.holes(lane).next().and_then(|hole| hole.cut(Stretch { start: Timestamp::MIN, end: until }));
            if let Some(part) = over {
                add_hole(&mut self.totals.lanes[lane as usize], part);
            }
        }
        Some(self.totals)
    }

    /// Hours without a directory that follow the last one may still be covered by its segments.
    fn carry_over(&mut self, until: Timestamp) {
        let Some((last, ends)) = self.last.zip(self.ends) else { return };
        for lane in CoverageKind::ALL {
            let over = Stretch { start: last.end(), end: ends.reach(lane) };
            let part = over.cut(Stretch { start: last.end(), end: until });
            self.totals.lanes[lane as usize].covered_us += part.map_or(0, length);
        }
    }
}

/// Counts a hole in each hour that it lies in.
fn add_hole(figures: &mut LaneFigures, hole: Stretch) {
    let last = (hole.end - Span::from_us(1)).hour();
    let hours = i64::from(last.number()) - i64::from(hole.start.hour().number()) + 1;
    figures.holes = figures.holes.saturating_add(hours.unsigned_abs());
    figures.hole_us = figures.hole_us.saturating_add(length(hole));
}
