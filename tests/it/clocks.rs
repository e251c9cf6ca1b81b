//! Clocks that are wrong, or jump while the node runs: nothing is lost, hidden or forgotten for it.

use crate::support::clock::Clock;
use crate::support::{Kind, SOON, TestArchive, TestNode, eventually, invariants};

fn node_by(clock: &Clock, archive: &TestArchive) -> TestNode {
    clock.of(TestNode::plan(archive)).config("[crawl]\nminimum_cycle = \"1s\"\ncpu_share = 1\n").start()
}

fn year_of(node: &TestNode) -> i32 {
    node.get("/api/v1/status").json()["crawl"]["next_cycle"]
        .as_str()
        .and_then(|text| text[..4].parse().ok())
        .unwrap_or(0)
}

fn live(archive: &TestArchive, node: &TestNode, minute: u32) {
    for hour in 0..6 {
        let path =
            archive.segment(&format!("chan/source/2020-01-01T0{hour}"), &format!("{minute}:00"), 2.0, Kind::Full);
        invariants::is_listed(node, &path);
    }
    archive.tombstone(&format!("chan/source/2020-01-01T00/{}", archive.listing("chan/source/2020-01-01T00", false)[0]));
    archive.remove(&format!("chan/source/2020-01-01T01/{}", archive.listing("chan/source/2020-01-01T01", false)[0]));
    archive.segment(&format!("chan/source/2020-02-{minute}T00"), "00:00", 2.0, Kind::Full);
    invariants::hold(archive, node);
}

#[test]
fn no_clock_however_wrong_and_no_jump_of_it_loses_anything() {
    let Some(clock) = Clock::new() else { return };
    let archive = TestArchive::empty();
    let this_year = i32::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() / 31_556_952).unwrap() + 1970;
    let mut minute = 10;
    for at_start in ["+3650d", "-3650d", "+0"] {
        clock.set(at_start);
        let node = node_by(&clock, &archive);
        node.wait_ready();
        node.check();
        for (jump, years) in [("+3650d", 10), ("-3650d", -10), ("+0", 0)] {
            clock.set(jump);
            // The node sees the jump.
            eventually(SOON, || (year_of(&node) - this_year - years).abs() <= 1);
            live(&archive, &node, minute);
            minute += 1;
        }
        node.kill();
        archive.segment("chan/source/2020-01-01T03", &format!("{minute}:30"), 2.0, Kind::Full);
    }
    clock.set("-3650d");
    let node = node_by(&clock, &archive);
    node.wait_ready();
    node.check();
    invariants::hold(&archive, &node);
    node.terminate();
}
