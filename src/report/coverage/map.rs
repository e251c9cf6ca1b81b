//! The coverage map: which colour each pixel has. Drawing them into a file is done elsewhere.
//!
//! A pixel is a length of time. It is white where it lies in part in a hole or outside the extent; a gap of at most
//! [`TOLERANCE`](crate::archive::best::TOLERANCE) between segments is no hole, and does not make a pixel white.

use crate::archive::coverage::{Coverage, Stretch};
use crate::archive::time::{HOUR_US, SECOND_US};
use crate::archive::{Hour, Span, Timestamp};

/// What a pixel of the standard map stands for.
pub const PIXEL: Span = Span::from_us(2 * SECOND_US);
/// Pixels of a column of the standard map: ten minutes.
pub const ROWS: usize = 300;

/// Columns of the widest map: browsers show no wider pictures.
pub const MOST_COLUMNS: usize = 65_535;
/// Pixels of the largest map: the hours below at the standard scale, and 20 MB while it is drawn.
pub const MOST_PIXELS: usize = MOST_HOURS as usize * 1_800;
/// Hours of the widest standard map: a year and ten days.
pub const MOST_HOURS: u32 = 9_000;

/// The colour of a pixel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Colour {
    /// Some part of it is not covered.
    #[default]
    White = 0,
    /// Covered, some part of it only by a segment that is not full.
    Orange = 1,
    /// Covered by full segments.
    Blue = 2,
}

impl Colour {
    /// All of them, by their number.
    pub const ALL: [Self; 3] = [Self::White, Self::Orange, Self::Blue];

    /// Red, green and blue.
    pub const fn rgb(self) -> [u8; 3] {
        match self {
            Self::White => [0xff, 0xff, 0xff],
            Self::Orange => [0xff, 0x7f, 0x0e],
            Self::Blue => [0x1f, 0x77, 0xb4],
        }
    }
}

/// Some part of a pixel lies in a hole.
const MISSING: u8 = 1;
/// Some part of a pixel is covered by nothing that is full.
const NOT_FULL: u8 = 2;

/// The colours of `count` pixels from `start` on, each as long as `pixel`, at least a microsecond. `coverage` holds what that
/// stretch needs.
pub fn paint(coverage: &Coverage, start: Timestamp, pixel: Span, count: usize) -> Vec<Colour> {
    let mut painter = Painter::new(start, pixel, count);
    painter.add(coverage, Stretch::ALWAYS);
    painter.finish()
}

/// The pixels of the standard map of the hours from `first` to `last`.
pub fn paint_hours(coverage: &Coverage, first: Hour, last: Hour) -> Vec<Colour> {
    let mut painter = Painter::of_hours(first, last);
    painter.add(coverage, Stretch::ALWAYS);
    painter.finish()
}

/// Paints a stretch of time from left to right, in as many turns as one likes: what is read for one need not be there for the next.
#[derive(Debug, Clone)]
pub struct Painter {
    start: Timestamp,
    pixel: i64,
    pixels: Vec<u8>,
    /// From the first segment that lasts some time to the end of the union, as far as it is known.
    extent: Option<Stretch>,
}

impl Painter {
    /// `count` pixels from `start` on, of which nothing is known yet.
    pub fn new(start: Timestamp, pixel: Span, count: usize) -> Self {
        Self { start, pixel: pixel.us().max(1), pixels: vec![0; count], extent: None }
    }

    /// The pixels of the standard map of the hours from `first` to `last`.
    pub fn of_hours(first: Hour, last: Hour) -> Self {
        let hours = usize::try_from(last.number() - first.number() + 1).unwrap_or(0);
        Self::new(first.start(), PIXEL, hours.saturating_mul(per_hour()))
    }

    /// Takes in a part, later than those before; `coverage` holds what it needs.
    pub fn add(&mut self, coverage: &Coverage, part: Stretch) {
        let Some(covered) = coverage.covered_extent() else { return };
        let start = self.extent.map_or(covered.start, |known| known.start);
        self.extent = Some(Stretch { start, end: covered.end });
        for hole in coverage.inner_holes() {
            self.mark_touched(hole, MISSING);
        }
        // Behind the part a full segment may still come.
        for stretch in coverage.not_full().filter_map(|stretch| stretch.cut(part)) {
            self.mark_touched(stretch, NOT_FULL);
        }
    }

    /// The colours, in order of time.
    pub fn finish(mut self) -> Vec<Colour> {
        let nothing = Stretch { start: Timestamp::MAX, end: Timestamp::MAX };
        let extent = self.extent.unwrap_or(nothing);
        self.mark_touched(Stretch { start: Timestamp::MIN, end: extent.start }, MISSING);
        self.mark_touched(Stretch { start: extent.end, end: Timestamp::MAX }, MISSING);
        let colour = |marks: u8| match (marks & MISSING, marks & NOT_FULL) {
            (0, 0) => Colour::Blue,
            (0, _) => Colour::Orange,
            _ => Colour::White,
        };
        self.pixels.into_iter().map(colour).collect()
    }

    fn mark_touched(&mut self, stretch: Stretch, mark: u8) {
        if stretch.end <= stretch.start {
            return;
        }
        let begin = (stretch.start - self.start).us().div_euclid(self.pixel);
        let end = up(stretch.end - self.start, self.pixel);
        let index = |number: i64| usize::try_from(number.max(0)).unwrap_or(usize::MAX).min(self.pixels.len());
        let (begin, end) = (index(begin), index(end));
        if let Some(pixels) = self.pixels.get_mut(begin..end) {
            for marks in pixels {
                *marks |= mark;
            }
        }
    }
}

/// How many pixels there are to the end of `span`, the last one begun.
fn up(span: Span, pixel: i64) -> i64 {
    let us = span.us();
    us.div_euclid(pixel) + i64::from(us.rem_euclid(pixel) > 0)
}

/// Pixels of an hour of the standard map.
fn per_hour() -> usize {
    usize::try_from(HOUR_US / PIXEL.us()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::archive::SegmentKind;
    use crate::archive::coverage::tests::{model::lines, part, segs, windows};
    use crate::archive::coverage::{BestSegment, HourLine, Window};

    fn coverage(best: &[BestSegment]) -> Coverage {
        let mut coverage = Coverage::default();
        coverage.push(first(), &HourLine { best: best.to_vec(), ..HourLine::default() });
        coverage
    }

    fn first() -> Hour {
        Hour::parse("2019-11-13T02").unwrap()
    }

    /// The definition, over every instant where something begins or ends.
    fn model(segments: &[BestSegment], start: i64, pixel: i64, count: usize) -> Vec<Colour> {
        let spans: Vec<(i64, i64, bool)> = segments
            .iter()
            .filter(|best| best.duration_us > 0)
            .map(|best| (best.start(first()).us(), best.end(first()).us(), best.kind == SegmentKind::Full))
            .collect();
        let all = || spans.iter().flat_map(|span| [span.0, span.1]);
        // A gap that is no hole has a segment on either side, near enough.
        let is_joined = |a: i64, b: i64| {
            let before = all().filter(|point| *point <= a).max().unwrap_or(i64::MIN / 2);
            let after = all().filter(|point| *point >= b).min().unwrap_or(i64::MAX / 2);
            after - before <= 10_000
        };
        let colour = |number: usize| {
            let from = start + pixel * i64::try_from(number).unwrap();
            let mut points: Vec<i64> = all().filter(|point| (from..from + pixel).contains(point)).collect();
            points.extend([from, from + pixel]);
            points.sort_unstable();
            let by = |a: i64, b: i64, full: bool| spans.iter().any(|s| s.0 <= a && b <= s.1 && s.2 == full);
            let pieces: Vec<(i64, i64)> =
                points.windows(2).map(|pair| (pair[0], pair[1])).filter(|(a, b)| a < b).collect();
            if !pieces.iter().all(|(a, b)| by(*a, *b, true) || by(*a, *b, false) || is_joined(*a, *b)) {
                Colour::White
            } else if pieces.iter().any(|(a, b)| by(*a, *b, false) && !by(*a, *b, true)) {
                Colour::Orange
            } else {
                Colour::Blue
            }
        };
        (0..count).map(colour).collect()
    }

    proptest! {
        #[test]
        fn each_pixel_has_the_colour_of_the_definition(
            segments in prop::collection::btree_map(0..60_u32, (0..20_u32, 0..3_u8), 0..12),
            start in -20..40_i64, pixel in 1..7_i64, count in 0..20_usize, unit in 3_333..6_000_u32,
        ) {
            let segments: Vec<BestSegment> = segments
                .into_iter()
                .map(|(begin, (duration, kind))| {
                    let kind = SegmentKind::from_number(kind).unwrap();
                    BestSegment { start_us: begin * unit, duration_us: duration * unit, kind }
                })
                .collect();
            let unit = i64::from(unit);
            let start = first().start() + Span::from_us(start * unit);
            let painted = paint(&coverage(&segments), start, Span::from_us(pixel * unit), count);
            prop_assert_eq!(painted, model(&segments, start.us(), pixel * unit, count));
        }

        #[test]
        fn what_is_painted_in_two_turns_is_what_is_painted_in_one(
            segs in segs(), window in windows(), count in 1..40_usize,
        ) {
            let (Some(from), Some(to)) = (window.from, window.to) else { return Ok(()) };
            prop_assume!(from < to);
            let (lines, number) = (lines(&segs, &[]), i64::try_from(count).unwrap());
            let pixel = Span::from_us(((to - from).us() / number).max(1));
            let last = from + Span::from_us(pixel.us() * number);
            let seam = (from + Span::from_us((to - from).us() / 3)).hour().start().clamp(from, last);
            let mut painter = Painter::new(from, pixel, count);
            for (start, end) in [(from, seam), (seam, last)] {
                let cut = Window { from: Some(start), to: Some(end), ..Window::default() };
                painter.add(&part(&lines, cut), cut.stretch());
            }
            prop_assert_eq!(painter.finish(), paint(&part(&lines, window), from, pixel, count));
        }
    }

    #[test]
    fn an_hour_has_six_columns_and_a_segment_runs_over_into_the_next() {
        let only = [BestSegment { start_us: 3_598_000_000, duration_us: 4_000_000, kind: SegmentKind::Suspect }];
        let pixels = paint_hours(&coverage(&only), first(), first().next());
        assert_eq!(pixels.len(), 2 * 6 * ROWS);
        let orange: Vec<usize> = (0..pixels.len()).filter(|index| pixels[*index] == Colour::Orange).collect();
        assert_eq!(orange, [1_799, 1_800]);
    }
}
