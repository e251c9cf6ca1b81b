//! Does the time of a question depend on how much is indexed? Listing an hour and ten minutes of records, from an index of
//! 600,000 and of 10 million segments.

#![expect(clippy::expect_used, reason = "a bench stops where something is wrong")]

mod support;

use gapless::archive::{Span, Timestamp};
use gapless::index::Index;

fn list(index: &Index, stream: &str, number: u32) -> usize {
    let view = index.hour(stream, support::hour(number)).expect("readable").expect("there");
    let mut bytes = 0;
    view.contents.for_each_listed(false, |name| bytes += name.len());
    bytes
}

fn ten_minutes(index: &Index, stream: &str, number: u32) -> usize {
    let hour = support::hour(number);
    let start: Timestamp = hour.start() + Span::from_us(1_800_000_000);
    let end = start + Span::from_us(600_000_000);
    [hour.previous(), hour]
        .into_iter()
        .filter_map(|hour| Some((hour, index.hour(stream, hour).expect("readable")?)))
        .map(|(hour, view)| {
            let in_range =
                |file: &&gapless::archive::SegmentFile| file.key.end(hour) > start && file.key.start(hour) < end;
            view.contents.visible().filter(in_range).map(|file| file.name().len()).sum::<usize>()
        })
        .sum()
}

fn main() {
    let directory = tempfile::tempdir().expect("a directory");
    let sizes = [("600 thousand", 336_u32), ("10 million", 5_572)];
    let indexes = sizes.map(|(name, hours)| {
        (name, hours, support::index(&directory.path().join(format!("{hours}.redb")), hours, 64 << 20))
    });
    for (question, ask) in [("list an hour", list as fn(&Index, &str, u32) -> usize), ("ten minutes", ten_minutes)] {
        for (name, hours, (index, stream)) in &indexes {
            let stream = stream.to_string();
            let mut number = 0;
            support::measure(&format!("{question}, {name}"), || {
                // Another hour each time, within a day, as people do who look at a stretch of time.
                number = hours / 2 + (number + 1) % 24;
                ask(index, &stream, number)
            });
        }
    }
}
