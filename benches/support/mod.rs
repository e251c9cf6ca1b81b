//! Made-up archives of any size, loaded straight into an index: what a bench needs and nothing that a test uses.

#![allow(clippy::allow_attributes, dead_code, reason = "each bench uses its own part")]

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use gapless::archive::coverage::HourLine;
use gapless::archive::totals::HourTotals;
use gapless::archive::{
    AnyFile, Container, Edges, Extent, Hash, Hour, HourContents, SegmentFile, SegmentKey, SegmentKind, Spelling,
    Stream, TimeStamp, Tracks,
};
use gapless::index::bulk::{BulkLoader, LoadedHour};
use gapless::index::{Index, IndexError, IndexOptions};

/// Segments of 2 s in a full hour, less the few that every recorder misses.
pub const PER_HOUR: u32 = 1_795;

/// How often a call is measured, and for how long each time.
const SAMPLES: usize = 21;
const SAMPLE: Duration = Duration::from_millis(100);

/// Prints how long a call takes once it is warm: the median of the samples and the fastest.
pub fn measure<T>(name: &str, mut call: impl FnMut() -> T) {
    let mut sample = |calls: u32| {
        let begun = Instant::now();
        (0..calls).for_each(|_| drop(black_box(call())));
        begun.elapsed() / calls
    };
    sample(1);
    let once = sample(1).as_nanos().max(1);
    let calls = u32::try_from(SAMPLE.as_nanos() / once).unwrap_or(u32::MAX).max(1);
    print(name, (0..SAMPLES).map(|_| sample(calls)).collect());
}

/// The same of calls each of which needs something of its own, which is not measured.
pub fn measure_with<I, T>(name: &str, prepare: impl Fn() -> I, call: impl Fn(&I) -> T) {
    let sample = |_| {
        let prepared = prepare();
        let begun = Instant::now();
        black_box(call(&prepared));
        begun.elapsed()
    };
    print(name, (0..SAMPLES).map(sample).collect());
}

fn print(name: &str, mut samples: Vec<Duration>) {
    samples.sort_unstable();
    println!("{name}: {:.2?}, at least {:.2?}", samples[SAMPLES / 2], samples[0]);
}

/// The hour with this number of a made-up archive.
pub fn hour(number: u32) -> Hour {
    let first = Hour::parse("2020-01-01T00").expect("an hour");
    (0..number).fold(first, |hour, _| hour.next())
}

/// A segment with a hash that looks like one.
pub fn segment(hour: u32, number: u32) -> SegmentFile {
    let mut state = (u64::from(hour) << 32 | u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let hash = Hash(std::array::from_fn(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    }));
    let key = SegmentKey {
        start_us: number * 2_000_000 + 1,
        container: Container::Ts,
        kind: SegmentKind::Full,
        tombstone: false,
        duration_us: 2_000_000,
        spelling: Spelling::new(6, 1).expect("six digits and one"),
        hash,
    };
    SegmentFile { key, size: 1_500_000 + u64::from(number), exact: None }
}

/// What the ends of a segment of an ordinary recording say: the picture goes on, the sound by whole frames.
pub fn edges(hour: u32, segment: u32) -> Edges {
    let tracks = Tracks { streams: 0x1234_5678, picture: 0x9abc_def0, sound: 0x1357_9bdf };
    let shown = (i64::from(hour) * i64::from(PER_HOUR) + i64::from(segment)) * 180_000;
    let whole_frames = |at: i64| TimeStamp::new(at / 1_920 * 1_920);
    let extent = |first, end| Extent { first: Some(first), end: Some(end) };
    Edges {
        picture: extent(TimeStamp::new(shown), TimeStamp::new(shown + 180_000)),
        sound: extent(whole_frames(shown), whole_frames(shown + 180_000)),
        begins: tracks,
        ends: tracks,
        independent: Some(true),
        init: None,
    }
}

/// The contents of an hour.
pub fn contents(hour: u32) -> HourContents {
    first_segments(hour, PER_HOUR)
}

/// The first segments of an hour.
fn first_segments(hour: u32, count: u32) -> HourContents {
    HourContents::new((0..count).map(|number| segment(hour, number)).collect(), Vec::new())
}

/// An index of one quality with this many hours.
pub fn index(path: &Path, hours: u32, cache_bytes: usize) -> (Index, Stream) {
    index_of(path, hours, PER_HOUR, cache_bytes)
}

/// The same with so many segments in each hour.
pub fn index_of(path: &Path, hours: u32, per_hour: u32, cache_bytes: usize) -> (Index, Stream) {
    let stream = Stream::parse("bench/source").expect("a stream");
    let options = IndexOptions { cache_bytes, ..IndexOptions::default() };
    let mut loader = BulkLoader::create(path, &options).expect("a new index");
    let mut at = hour(0);
    let in_order = (0..hours).map(|number| {
        let files = first_segments(number, per_hour);
        let totals = HourTotals::of(&files);
        let line = HourLine::of(&files);
        let full = LoadedHour { hour: at, contents: files, totals, line, stamp: None };
        at = at.next();
        Ok::<_, IndexError>(full)
    });
    loader.load_stream(&stream, in_order).expect("loads");
    loader.finish(&[], None).expect("finishes");
    (Index::open(path, options).expect("opens"), stream)
}

/// The name of a segment.
pub fn name(hour: u32, number: u32) -> String {
    AnyFile::Segment(segment(hour, number)).name()
}
