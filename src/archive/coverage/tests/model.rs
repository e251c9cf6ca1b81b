//! Coverage by brute force: the definitions word for word, over every stretch between two points where anything begins or ends,
//! which is as good as over every microsecond.

use std::collections::{BTreeMap, BTreeSet};

use crate::archive::coverage::{CoverageKind, HourFigures, HourLine, LaneFigures, Stretch, TimeTally, Window};
use crate::archive::test_names::hash_text;
use crate::archive::{Hour, HourContents, SegmentKind, Timestamp};

const TOLERANCE_US: i64 = 10_000;

/// A segment of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seg {
    pub hour: i64,
    pub start_us: i64,
    pub duration_us: i64,
    pub kind: usize,
}

pub fn first_hour() -> Hour {
    Hour::parse("2019-11-13T02").unwrap()
}

pub fn hour(number: i64) -> Hour {
    (first_hour().start() + crate::archive::Span(number * 3_600_000_000)).hour()
}

impl Seg {
    pub fn start(&self) -> i64 {
        hour(self.hour).start().us() + self.start_us
    }

    pub fn end(&self) -> i64 {
        self.start() + self.duration_us
    }

    fn name(&self) -> String {
        let (second, us) = (self.start_us / 1_000_000, self.start_us % 1_000_000);
        let (minute, second) = (second / 60, second % 60);
        let (whole, part) = (self.duration_us / 1_000_000, self.duration_us % 1_000_000);
        let kind = SegmentKind::VIDEO[self.kind].as_str();
        format!("{minute:02}:{second:02}.{us:06}-{whole}.{part:06}-{kind}-{}.ts", hash_text(1))
    }
}

/// The lines of the hours that are there, from names.
pub fn lines(segs: &[Seg], empty: &[i64]) -> BTreeMap<Hour, HourLine> {
    let numbers: BTreeSet<i64> = segs.iter().map(|seg| seg.hour).chain(empty.iter().copied()).collect();
    numbers
        .into_iter()
        .map(|number| {
            let names: Vec<String> = segs.iter().filter(|seg| seg.hour == number).map(Seg::name).collect();
            // Longer is larger, so that the choice among those that are not full is plain.
            let sized = names.iter().map(|name| (name.as_str(), 1));
            (hour(number), HourLine::of(&HourContents::from_names(sized)))
        })
        .collect()
}

pub struct CoverageModel {
    segs: Vec<Seg>,
    best: Vec<Seg>,
    kept: Vec<Seg>,
    hours: BTreeSet<Hour>,
}

impl CoverageModel {
    pub fn new(segs: &[Seg], empty: &[i64]) -> Self {
        let mut best: Vec<Seg> = Vec::new();
        let mut order = segs.to_vec();
        // Of one start: full first, and of full ones the longest.
        order.sort_by_key(|seg| (seg.start(), seg.kind, -seg.duration_us));
        for seg in order {
            if best.last().is_none_or(|last| last.start() != seg.start()) {
                best.push(seg);
            }
        }
        let mut kept: Vec<Seg> = Vec::new();
        for seg in &best {
            if kept.last().is_none_or(|last| seg.start() >= last.end() - TOLERANCE_US) {
                kept.push(*seg);
            }
        }
        let hours = segs.iter().map(|seg| seg.hour).chain(empty.iter().copied()).map(hour).collect();
        Self { segs: segs.to_vec(), best, kept, hours }
    }

    pub fn extent(&self) -> Option<(i64, i64)> {
        Some((self.best.first()?.start(), self.best.iter().map(Seg::end).max()?))
    }

    fn lane(&self, lane: CoverageKind) -> &[Seg] {
        if lane == CoverageKind::Raw { &self.best } else { &self.kept }
    }

    /// The stretches of `[from, to)` between points where anything begins or ends, and whether each is covered.
    fn pieces(&self, lane: CoverageKind, from: i64, to: i64) -> Vec<(i64, i64, bool)> {
        let segs = self.lane(lane);
        let mut points: BTreeSet<i64> = segs.iter().flat_map(|seg| [seg.start(), seg.end()]).collect();
        points.retain(|point| (from..=to).contains(point));
        points.extend([from, to.max(from)]);
        let points: Vec<i64> = points.into_iter().collect();
        let is_covered = |a: i64, b: i64| segs.iter().any(|seg| seg.start() <= a && b <= seg.end());
        points.windows(2).map(|pair| (pair[0], pair[1], is_covered(pair[0], pair[1]))).collect()
    }

    pub fn covered_us(&self, lane: CoverageKind, window: &Window) -> u64 {
        let Some((start, end)) = self.extent() else { return 0 };
        let from = window.from.map_or(start, Timestamp::us);
        let to = window.to.map_or(end, Timestamp::us);
        let pieces = self.pieces(lane, from, to);
        pieces.iter().filter(|piece| piece.2).map(|piece| (piece.1 - piece.0).unsigned_abs()).sum()
    }

    /// Holes, whole: raw ones are gaps in the union, editable ones lie between consecutive segments.
    fn whole_holes(&self, lane: CoverageKind, window: &Window) -> Vec<(i64, i64)> {
        let from = window.from.filter(|_| window.edge_from).map(Timestamp::us);
        let to = window.to.filter(|_| window.edge_to).map(Timestamp::us);
        let mut gaps: Vec<(i64, i64)> = Vec::new();
        if lane == CoverageKind::Raw {
            let extent = self.extent();
            let start = extent.map(|extent| extent.0).into_iter().chain(from).min();
            let end = extent.map(|extent| extent.1).into_iter().chain(to).max();
            let (Some(start), Some(end)) = (start, end) else { return gaps };
            for (a, b, covered) in self.pieces(lane, start, end) {
                match gaps.last_mut() {
                    _ if covered => {}
                    Some(last) if last.1 == a => last.1 = b,
                    _ => gaps.push((a, b)),
                }
            }
        } else {
            gaps.extend(self.kept.windows(2).map(|pair| (pair[0].end(), pair[1].start())));
            match (self.kept.first(), self.kept.last()) {
                (Some(first), Some(last)) => {
                    gaps.extend(from.map(|from| (from, first.start())));
                    gaps.extend(to.map(|to| (last.end(), to)));
                }
                _ => gaps.extend(from.zip(to)),
            }
        }
        gaps.retain(|(a, b)| b - a > TOLERANCE_US);
        gaps.sort_unstable();
        gaps
    }

    pub fn holes(&self, lane: CoverageKind, window: &Window) -> Vec<(i64, i64)> {
        cut(self.whole_holes(lane, window), window.stretch())
    }

    /// What best segments cover, and none that is full, joined where it meets.
    pub fn not_full(&self) -> Vec<(i64, i64)> {
        let points: BTreeSet<i64> = self.best.iter().flat_map(|seg| [seg.start(), seg.end()]).collect();
        let points: Vec<i64> = points.into_iter().collect();
        let by = |a: i64, b: i64, full: bool| {
            self.best.iter().any(|seg| seg.start() <= a && b <= seg.end() && (seg.kind == 0) == full)
        };
        let mut found: Vec<(i64, i64)> = Vec::new();
        for (a, b) in points.windows(2).map(|pair| (pair[0], pair[1])).filter(|(a, b)| by(*a, *b, false)) {
            match found.last_mut() {
                _ if by(a, b, true) => {}
                Some(last) if last.1 == a => last.1 = b,
                _ => found.push((a, b)),
            }
        }
        found
    }

    pub fn timespans(&self, window: &Window) -> Vec<(i64, i64)> {
        let Some((start, end)) = self.extent() else { return Vec::new() };
        let holes = self.whole_holes(CoverageKind::Raw, &Window::default());
        let mut points: BTreeSet<i64> = holes.iter().flat_map(|hole| [hole.0, hole.1]).collect();
        points.extend([start, end]);
        let points: Vec<i64> = points.into_iter().collect();
        let runs = points.windows(2).map(|pair| (pair[0], pair[1])).filter(|run| !holes.contains(run));
        cut(runs.collect(), window.stretch())
    }

    /// Of every hour that has a directory or lies inside the extent.
    pub fn figures(&self) -> Vec<HourFigures> {
        let mut hours = self.hours.clone();
        if let Some((start, end)) = self.extent() {
            let last = Timestamp((end - 1).max(start)).hour();
            let inside = std::iter::successors(Some(Timestamp(start).hour()), |hour| Some(hour.next()));
            hours.extend(inside.take_while(|hour| *hour <= last));
        }
        hours.into_iter().map(|hour| self.figures_of(hour)).collect()
    }

    fn figures_of(&self, of: Hour) -> HourFigures {
        let (mut video, mut overlaps) = ([TimeTally::default(); 3], [TimeTally::default(); 3]);
        for seg in self.segs.iter().filter(|seg| hour(seg.hour) == of) {
            video[seg.kind].add(seg.duration_us.unsigned_abs());
            if !self.best.contains(seg) {
                overlaps[seg.kind].add(seg.duration_us.unsigned_abs());
            }
        }
        for (index, seg) in self.best.iter().enumerate() {
            let furthest = self.best[..index].iter().map(Seg::end).max();
            if let Some(furthest) = furthest.filter(|end| hour(seg.hour) == of && seg.start() < end - TOLERANCE_US) {
                overlaps[seg.kind].add((seg.end().min(furthest) - seg.start()).unsigned_abs());
            }
        }
        let window = Window::of_hours(of, of);
        let lanes = CoverageKind::ALL.map(|lane| {
            let holes = self.holes(lane, &window);
            LaneFigures {
                covered_us: self.covered_us(lane, &window),
                holes: holes.len() as u64,
                hole_us: holes.iter().map(|hole| (hole.1 - hole.0).unsigned_abs()).sum(),
            }
        });
        HourFigures { hour: of, video, bad: 0, overlaps, lanes }
    }
}

fn cut(stretches: Vec<(i64, i64)>, to: Stretch) -> Vec<(i64, i64)> {
    let cut = stretches.into_iter().map(|(a, b)| (a.max(to.start.us()), b.min(to.end.us())));
    cut.filter(|(a, b)| a < b).collect()
}
