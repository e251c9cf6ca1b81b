//! The clock of a recorder is set while it records: told times are what they were, and other times go on as before.

use crate::recording::{in_order, recorded};
use crate::support::broadcast::{Broadcast, LinePlan};
use crate::support::clock::Clock;
use crate::support::live_origin::LiveOrigin;
use crate::support::trouble::Chance;
use crate::support::{SOON, TestArchive, TestNode, eventually};

/// Longer than the test takes.
const LENGTH: u64 = 600_000;

#[test]
fn a_clock_that_is_set_changes_no_name_and_makes_neither_a_hole_nor_an_overlap() {
    let Some(clock) = Clock::new() else { return };
    let mut chance = Chance::of(1);
    let broadcasts =
        [("told", true), ("untold", false)].map(|(name, tells)| Broadcast::plan(name, tells, 0, LENGTH, &mut chance));
    broadcasts[0].content(0);
    let lines = vec![vec![LinePlan::plan(0, &mut chance), LinePlan::plan(0, &mut chance)]];
    let origin = LiveOrigin::begin(broadcasts.to_vec(), lines, 1);
    let section =
        |name: &str, of: usize| format!("[[record]]\nchannel = \"{name}\"\nsource = \"{}\"\n", origin.url(0, of));
    let archive = TestArchive::empty();
    let plan = clock.of(TestNode::plan(&archive).config(&(section("told", 0) + &section("untold", 1))));
    let node = plan.start();
    let counts = || ["told/source", "untold/source"].map(|stream| recorded(&archive, stream).len());
    for offset in ["+0", "-3600", "+0", "+3600", "+3", "-3", "+0"] {
        clock.set(offset);
        let before = counts();
        eventually(SOON, || counts().iter().zip(before).all(|(now, before)| *now >= before + 2));
    }
    for stream in ["told/source", "untold/source"] {
        let all = recorded(&archive, stream);
        let ordered = in_order(&all);
        for pair in ordered.windows(2) {
            let gap = pair[1].0 - (pair[0].0 + pair[0].1);
            assert!(gap.abs() < 10_000, "{stream}: {gap} µs between {} and {}", pair[0].0, pair[1].0);
        }
        let broadcast = origin.broadcasts().iter().find(|broadcast| stream.starts_with(&broadcast.name)).unwrap();
        let first = (0..100).find(|at| broadcast.content(*at) == ordered[0].2).unwrap();
        for (at, (start, _, bytes)) in (first..).zip(&ordered) {
            assert!(broadcast.content(at) == *bytes, "{stream}: {at} is not in its place");
            let truly = origin.begun_us() + i64::try_from(broadcast.segments[at].start).unwrap() * 1_000;
            let most = if broadcast.tells_times { 0 } else { 5_000_000 };
            assert!((start - truly).abs() <= most, "{stream}: {at} begins at {start}, and not at {truly}");
        }
    }
    let log = node.log();
    let told =
        |name: &str, stream: &str| log.lines().filter(|line| line.contains(name) && line.contains(stream)).count();
    // Once for each time that it was set by an hour.
    assert_eq!((told("source_clock_differs", "told/source"), told("clock_was_set", "untold/source")), (2, 2), "{log}");
    node.terminate();
}
