//! How fast is an index filled in order, how large is it, and what does opening it cost? `GAPLESS_HOURS` (336) is how many hours of
//! 1,795 segments there are.

#![expect(clippy::expect_used, reason = "a bench stops where something is wrong")]

mod support;

use std::time::Instant;

use gapless::index::{Index, IndexOptions};

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let result = work();
    println!("{what}: {:.1} ms", begun.elapsed().as_secs_f64() * 1e3);
    result
}

fn main() {
    let hours = std::env::var("GAPLESS_HOURS").ok().map_or(336, |hours| hours.parse().expect("a number of hours"));
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("index.redb");
    let (index, _) = timed("made, loaded, compacted, flushed and opened", || support::index(&path, hours, 64 << 20));
    drop(index);
    let rows = u64::from(hours) * u64::from(support::PER_HOUR);
    let bytes = path.metadata().expect("a file").len();
    println!(
        "{rows} segments, {bytes} bytes, {:.1} a segment",
        f64::from(u32::try_from(bytes / 1024).expect("below 4 TB")) * 1024.0
            / f64::from(u32::try_from(rows).expect("below 4 billion"))
    );
    let options = |verify_below| IndexOptions { verify_below, ..IndexOptions::default() };
    drop(timed("opened, every page verified, and closed", || Index::open(&path, options(u64::MAX))).expect("opens"));
    drop(timed("opened without verifying, and closed", || Index::open(&path, options(0))).expect("opens"));
}
