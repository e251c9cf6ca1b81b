//! How long do questions about coverage take on a year of one quality, 15.7 million segments? Maps, holes, a timeline, and the
//! gauges of a scrape, each from the index to the bytes that are sent.

#![expect(clippy::expect_used, reason = "a bench stops where something is wrong")]

mod support;

use gapless::archive::coverage::{Coverage, CoverageKind, Shares, Stretch, Window};
use gapless::archive::{Horizon, Hour, Span, Stream};
use gapless::index::Index;
use gapless::report::coverage::map::{ROWS, paint, paint_hours};
use gapless::report::coverage::{LiveGauges, png};
use gapless::wire::HoleRecord;

/// A year.
const HOURS: u32 = 8_760;
/// The hours of a standard map in the targets: a week.
const WEEK: u32 = 168;
/// Pieces of a timeline: a wide screen.
const PIECES: usize = 1_920;

struct Year {
    index: Index,
    stream: Stream,
    first: Hour,
    last: Hour,
}

impl Year {
    fn coverage(&self, first: Hour) -> Coverage {
        let window = Window::of_hours(first, self.last);
        self.index.coverage(&self.stream, &window, usize::MAX).expect("readable").coverage
    }

    fn week(&self) -> usize {
        let first = self.last.earlier(WEEK - 1);
        png(&paint_hours(&self.coverage(first), first, self.last), ROWS).expect("drawn").len()
    }

    fn year_at_a_minute(&self) -> usize {
        let minute = Span::from_us(60_000_000);
        let pixels = usize::try_from(HOURS * 60).expect("a number");
        png(&paint(&self.coverage(self.first), self.first.start(), minute, pixels), ROWS).expect("drawn").len()
    }

    fn holes(&self) -> usize {
        let found = self.coverage(self.first);
        let window = Window::of_hours(self.first, self.last);
        let holes: Vec<HoleRecord> =
            found.holes_within(CoverageKind::Raw, &window).into_iter().map(HoleRecord::from).collect();
        serde_json::to_vec(&holes).expect("encodable").len()
    }

    fn timeline(&self) -> usize {
        let whole = Stretch { start: self.first.start(), end: self.last.end() };
        let mut shares = Shares::new(whole, PIECES);
        shares.add(&self.coverage(self.first), whole);
        shares.finish().len()
    }
}

/// Answers with how much there was to tell.
type Question = fn(&Year) -> usize;

fn main() {
    let directory = tempfile::tempdir().expect("a directory");
    let (index, stream) = support::index(&directory.path().join("year.redb"), HOURS, 64 << 20);
    let year = Year { index, stream, first: support::hour(0), last: support::hour(HOURS - 1) };
    let questions: [(&str, Question); 4] = [
        ("map of a week as PNG", Year::week),
        ("map of a year at a minute a pixel as PNG", Year::year_at_a_minute),
        ("holes of a year", Year::holes),
        ("timeline of a year", Year::timeline),
    ];
    for (name, ask) in questions {
        support::measure(name, || ask(&year));
    }
    scrape("gauges of a year", &year.index);
    // Summaries are as large with few segments as with many.
    let (long, _) = support::index_of(&directory.path().join("long.redb"), 100_000, 4, 64 << 20);
    scrape("gauges of 100,000 hours", &long);
}

fn scrape(name: &str, index: &Index) {
    let first = || LiveGauges::new(WEEK, usize::MAX).text(index, Horizon::OPEN).len();
    support::measure(&format!("{name}, first scrape"), first);
    let known = LiveGauges::new(WEEK, usize::MAX);
    known.text(index, Horizon::OPEN);
    support::measure(&format!("{name}, next scrapes"), || known.text(index, Horizon::OPEN).len());
}
