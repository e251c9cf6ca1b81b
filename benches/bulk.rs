//! How fast is an index filled in order, how large is it, without and with what is known of its segments, and what does opening it cost? `GAPLESS_HOURS` (336) is how many hours of
//! 1,795 segments there are.

#![expect(clippy::expect_used, reason = "a bench stops where something is wrong")]

mod support;

use std::time::Instant;

use gapless::archive::{Edges, SegmentFile};
use gapless::index::{Batch, Index, IndexOptions, Learnt};

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let result = work();
    println!("{what}: {:.1} ms", begun.elapsed().as_secs_f64() * 1e3);
    result
}

/// As the visitor learns it: hour by hour, the newest first.
fn learn(index: &Index, stream: &gapless::archive::Stream, hours: u32) {
    for number in (0..hours).rev() {
        let segments: Vec<(SegmentFile, Edges)> =
            (0..support::PER_HOUR).map(|at| (support::segment(number, at), support::edges(number, at))).collect();
        let learnt = vec![Learnt { stream: stream.clone(), hour: support::hour(number), segments }];
        index.apply(Batch { learnt, ..Batch::default() }).expect("learnt");
    }
    let known = index.facts(&stream.to_string(), support::hour(0)).expect("reads").len();
    assert_eq!(known, support::PER_HOUR as usize);
}

fn a_segment(rows: u64, bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes / 1024).expect("below 4 TB")) * 1024.0
        / f64::from(u32::try_from(rows).expect("below 4 billion"))
}

fn main() {
    let hours = std::env::var("GAPLESS_HOURS").ok().map_or(336, |hours| hours.parse().expect("a number of hours"));
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("index.redb");
    let (index, stream) =
        timed("made, loaded, compacted, flushed and opened", || support::index(&path, hours, 64 << 20));
    drop(index);
    let rows = u64::from(hours) * u64::from(support::PER_HOUR);
    let length = || path.metadata().expect("a file").len();
    println!("{rows} segments, {} bytes, {:.1} a segment", length(), a_segment(rows, length()));
    let again = Index::open(&path, IndexOptions::default()).expect("opens");
    timed("what is known of all of them learnt", || learn(&again, &stream, hours));
    timed("and read again", || {
        for number in 0..hours {
            again.facts(&stream.to_string(), support::hour(number)).expect("reads");
        }
    });
    drop(again);
    // A file that is written to grows by doubling: what is in it is what is left when it is made as short as it can be.
    redb::Database::open(&path).expect("opens").compact().expect("compacts");
    println!("with that {} bytes, {:.1} a segment", length(), a_segment(rows, length()));
    let options = |verify_below| IndexOptions { verify_below, ..IndexOptions::default() };
    drop(timed("opened, every page verified, and closed", || Index::open(&path, options(u64::MAX))).expect("opens"));
    drop(timed("opened without verifying, and closed", || Index::open(&path, options(0))).expect("opens"));
}
