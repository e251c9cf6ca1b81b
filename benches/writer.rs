//! What does it cost to have segments committed: one at a time, a hundred at a time, and from eight threads at once?

#![expect(clippy::expect_used, reason = "a bench stops where something is wrong")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use gapless::archive::{AnyFile, HourChange};
use gapless::index::{Batch, HourUpdate, Index, IndexOptions, StampUpdate};

fn batch(next: &AtomicU32, count: u32) -> Batch {
    let number = next.fetch_add(count, Ordering::Relaxed);
    let changes = (number..number + count)
        .map(|number| {
            HourChange::Put(AnyFile::Segment(support::segment(number / support::PER_HOUR, number % support::PER_HOUR)))
        })
        .collect();
    let stream = gapless::archive::Stream::parse("bench/source").expect("a stream");
    let hour = support::hour(number / support::PER_HOUR % 1_000);
    Batch { hours: vec![HourUpdate::Change { stream, hour, changes, stamp: StampUpdate::Keep }], ..Batch::default() }
}

fn main() {
    let directory = tempfile::tempdir().expect("a directory");
    let index = Arc::new(Index::open(&directory.path().join("index.redb"), IndexOptions::default()).expect("opens"));
    let next = AtomicU32::new(0);
    for count in [1, 100] {
        let commit = || index.apply(batch(&next, count)).expect("commits");
        support::measure(&format!("commit of {count} segments"), commit);
    }
    support::measure("commits of 1 segment, from 8 threads, 16 times each", || {
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..16).map(|_| index.apply(batch(&next, 1)).expect("commits").put).sum::<u64>());
            }
        });
    });
}
