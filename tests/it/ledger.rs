//! Holes with reasons: when each was first seen, who has what is missing, and who gave what is not missing any more.

use std::net::SocketAddr;

use serde_json::Value;

use crate::support::{Kind, SOON, TestArchive, TestNode, eventually, gapless};

const STREAM: &str = "chan/source";
const HOUR: &str = "chan/source/2020-01-01T05";

fn at(second: &str) -> String {
    format!("2020-01-01T05:{second}.000000Z")
}

fn plain(archive: &TestArchive) -> TestNode {
    let node = TestNode::start(archive);
    node.wait_ready();
    node
}

/// A node that fetches from others, a round every second.
fn fetching(archive: &TestArchive, peers: &[(&str, SocketAddr)]) -> TestNode {
    let plan = peers.iter().fold(TestNode::plan(archive), |plan, (name, address)| {
        plan.flag("--peer").flag(format!("{name}=http://{address}"))
    });
    let plan = plan.env("GAPLESS_BACKFILL_RECENT_CUTOFF", "0s").env("GAPLESS_BACKFILL_INTERVAL", "1s");
    let node = plan.start();
    node.wait_ready();
    node
}

fn holes(node: &TestNode) -> Vec<Value> {
    node.get(&format!("/api/v1/holes/{STREAM}")).json()["holes"].as_array().unwrap().clone()
}

fn closed(node: &TestNode) -> Vec<Value> {
    node.get(&format!("/api/v1/ledger/{STREAM}")).json()["closed"].as_array().unwrap().clone()
}

fn stretch(hole: &Value) -> (&str, &str) {
    (hole["start"].as_str().unwrap(), hole["end"].as_str().unwrap())
}

#[test]
fn what_the_recorder_writes_late_closes_the_hole_and_all_is_told_without_a_daemon_too() {
    let archive = TestArchive::empty();
    archive.segment(HOUR, "00:00", 2.0, Kind::Full);
    archive.segment(HOUR, "00:10", 2.0, Kind::Full);
    let node = plain(&archive);
    let first = holes(&node);
    assert_eq!(stretch(&first[0]), (&*at("00:02"), &*at("00:10")));
    let first_seen = first[0]["first_seen"].as_str().unwrap().to_owned();
    archive.segment(HOUR, "00:04", 2.0, Kind::Full);
    eventually(SOON, || holes(&node).len() == 2);
    let parts = holes(&node);
    assert_eq!(
        parts.iter().map(stretch).collect::<Vec<_>>(),
        [(&*at("00:02"), &*at("00:04")), (&*at("00:06"), &*at("00:10"))]
    );
    assert!(parts.iter().all(|part| part["first_seen"] == first_seen.as_str()), "{parts:?}");
    let told = closed(&node);
    assert_eq!(stretch(&told[0]), (&*at("00:04"), &*at("00:06")));
    assert_eq!((&told[0]["closed_by"], &told[0]["first_seen"]), (&"recorder".into(), &first_seen.as_str().into()));
    node.check();

    let ask = |line: &str| gapless(archive.path(), &line.split(' ').collect::<Vec<_>>());
    let explained = node.run(&["explain", "2020-01-01T05:00:05", "--channel", "chan"]);
    assert!(explained.out.contains("was missing from 2020-01-01T05:00:04.000000Z"), "{}", explained.out);
    assert_eq!(node.run(&["--json", "holes", STREAM, "--closed"]).json(0)["closed"], Value::from(told.clone()));
    node.terminate();
    assert_eq!(ask(&format!("--json holes {STREAM} --closed")).json(0)["closed"], Value::from(told.clone()));
    let lines = ask(&format!("holes {STREAM} --closed"));
    assert!(lines.lines(0)[0].ends_with("by recorder"), "{}", lines.out);
    let explained = ask("--json explain 2020-01-01T05:00:03 --channel chan").json(0);
    assert_eq!(explained["hole"]["first_seen"], first_seen.as_str());
    // Made anew it goes on from what it knew.
    ask("rebuild").lines(0);
    assert_eq!(ask(&format!("--json holes {STREAM} --closed")).json(0)["closed"], Value::from(told));
    let after = ask(&format!("--json holes {STREAM}")).json(0);
    assert!(after["holes"].as_array().unwrap().iter().all(|part| part["first_seen"] == first_seen.as_str()), "{after}");
}

#[test]
fn what_a_peer_gives_closes_the_hole_by_that_peer() {
    let (full, half, here) = (TestArchive::empty(), TestArchive::empty(), TestArchive::empty());
    for archive in [&full, &half, &here] {
        archive.segment(HOUR, "00:00", 2.0, Kind::Full);
        archive.segment(HOUR, "00:20", 2.0, Kind::Full);
    }
    // Few enough to come one by one, and enough to come together.
    let one = plain(&full);
    let other = plain(&half);
    let node = fetching(&here, &[("one", one.address), ("other", other.address)]);
    let first_seen = holes(&node)[0]["first_seen"].clone();
    half.segment(HOUR, "00:18", 2.0, Kind::Full);
    eventually(SOON, || holes(&node)[0]["end"] == at("00:18"));
    for second in ["02", "04", "06", "08", "10", "12", "14", "16"] {
        full.segment(HOUR, &format!("00:{second}"), 2.0, Kind::Full);
    }
    eventually(SOON, || holes(&node).is_empty());
    let told = closed(&node);
    let by: Vec<(&str, &str, &str)> =
        told.iter().map(|each| (stretch(each).0, stretch(each).1, each["closed_by"].as_str().unwrap())).collect();
    assert_eq!(by, [(&*at("00:02"), &*at("00:18"), "one"), (&*at("00:18"), &*at("00:20"), "other")]);
    assert!(told.iter().all(|each| each["first_seen"] == first_seen), "{told:?}");
    node.check();
}
