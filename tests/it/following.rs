//! Between rounds a node follows what changes on the others: at once, from where it was, and told to whoever watches.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::replication::files;
use crate::support::peer::{FalsePeer, Sent};
use crate::support::{Connection, Kind, SOON, TestArchive, TestNode, eventually, gapless};

const HOUR: &str = "chan/source/2020-01-01T05";

/// An address that leads to whichever node it was told last. It passes on what is only asked, and notes it.
struct Sign {
    peer: FalsePeer,
    to: Arc<Mutex<SocketAddr>>,
}

impl Sign {
    fn to(address: SocketAddr) -> Self {
        let to = Arc::new(Mutex::new(address));
        let there = Arc::clone(&to);
        let peer = FalsePeer::start(move |path| {
            let address = *there.lock();
            let got = Connection::open(address).request("GET", path, &[]);
            Sent::answer(&format!("{} Passed-On", got.status), "", &got.body)
        });
        Self { peer, to }
    }

    fn lead_to(&self, address: SocketAddr) {
        *self.to.lock() = address;
    }
}

fn ready(archive: &TestArchive) -> TestNode {
    let node = TestNode::start(archive);
    node.wait_ready();
    node
}

fn follower(archive: &TestArchive, of: SocketAddr, more: &[(&str, &str)]) -> TestNode {
    let plan = TestNode::plan(archive).flag("--peer").flag(format!("other=http://{of}"));
    let plan = plan.env("GAPLESS_BACKFILL_RECENT_CUTOFF", "0s").env("GAPLESS_BACKFILL_INTERVAL", "1h");
    let node = more.iter().fold(plan, |plan, (name, value)| plan.env(name, value)).start();
    node.wait_ready();
    node
}

fn peer_of(node: &TestNode) -> serde_json::Value {
    node.get("/api/v1/status").json()["peers"][0].clone()
}

fn is_following(node: &TestNode) -> bool {
    peer_of(node)["state"] == "following"
}

#[test]
fn after_a_restart_it_goes_on_from_where_it_was_and_after_a_new_beginning_there_it_compares() {
    let (full, empty) = (TestArchive::empty(), TestArchive::empty());
    let first = full.segment(HOUR, "00:00", 2.0, Kind::Full);
    let other = ready(&full);
    let sign = Sign::to(other.address);
    let node = follower(&empty, sign.peer.address, &[]);
    eventually(SOON, || empty.at(&first).exists() && is_following(&node));
    node.terminate();
    let second = full.segment(HOUR, "00:02", 2.0, Kind::Full);
    let asked = sign.peer.asked().len();
    let node = follower(&empty, sign.peer.address, &[]);
    eventually(SOON, || empty.at(&second).exists());
    let first_question = sign.peer.asked()[asked].clone();
    assert!(first_question.starts_with("/api/v1/changes?epoch="), "{first_question}");

    other.terminate();
    gapless(full.path(), &["rebuild"]).lines(0);
    let third = full.segment(HOUR, "00:04", 2.0, Kind::Full);
    let other = ready(&full);
    sign.lead_to(other.address);
    let fourth = full.segment(HOUR, "00:06", 2.0, Kind::Full);
    eventually(SOON * 2, || empty.at(&third).exists() && empty.at(&fourth).exists());
    crate::support::invariants::hold(&empty, &node);
}

#[test]
fn a_segment_that_is_too_recent_waits_for_one_cutoff_whatever_the_clock_says() {
    let (full, empty) = (TestArchive::empty(), TestArchive::empty());
    let listed = full.segment("chan/source/2999-01-01T00", "00:00", 2.0, Kind::Full);
    let other = ready(&full);
    let asks_for_it = [("GAPLESS_BACKFILL_RECENT_CUTOFF", "1s"), ("GAPLESS_BACKFILL_FUTURE", "true")];
    let node = follower(&empty, other.address, &asks_for_it);
    eventually(SOON, || empty.at(&listed).exists() && is_following(&node));
    let changed = full.segment("chan/source/2999-01-01T00", "00:02", 2.0, Kind::Full);
    eventually(SOON, || empty.at(&changed).exists());
}

#[test]
fn monitors_are_told_of_complete_rounds_and_of_each_peer() {
    let (full, empty) = (TestArchive::empty(), TestArchive::empty());
    (10..20).for_each(|minute| drop(full.segment(HOUR, &format!("{minute}:00"), 2.0, Kind::Full)));
    let other = ready(&full);
    let url = format!("other=http://{}", other.address);
    let file = empty.at(".gapless/replication.json");
    let part = ["backfill", "--once", "--recent-cutoff", "0s", "--peer", &url, "--hour", "2020-01-01T06"];
    gapless(empty.path(), &part).lines(0);
    assert!(!file.exists(), "a round that looked at a part says nothing about the whole");

    let node = follower(&empty, other.address, &[]);
    eventually(SOON, || file.exists());
    let told: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!((&told["peers"][0]["name"], &told["peers"][0]["last_round"]["fetched"]), (&"other".into(), &10.into()));
    assert!(told["oldest_complete_round"].is_string(), "{told}");
    let metrics = node.get("/metrics");
    for line in [
        "segments_backfilled_total{channel=\"chan\",hour=\"2020-01-01T05\",quality=\"source\",remote=\"other\"} 10",
        "hours_backfilled_total{channel=\"chan\",quality=\"source\",remote=\"other\"} 1",
        "backfill_bytes_total{remote=\"other\"} 3760",
        "backfill_lag_segments{remote=\"other\"} 0",
    ] {
        assert!(metrics.text().contains(line), "{line} is not in\n{}", metrics.text());
    }
    // What was known stays known while the other one is away.
    let complete = peer_of(&node)["complete_round"].clone();
    node.terminate();
    drop(other);
    let node = follower(&empty, "127.0.0.1:1".parse().unwrap(), &[]);
    eventually(SOON, || peer_of(&node)["failures"].as_u64() >= Some(1));
    let peer = peer_of(&node);
    assert!(complete.is_string() && peer["error"].as_str().unwrap().contains("cannot reach"), "{peer}");
    assert!(peer["behind_seconds"].as_f64() > Some(0.0), "{peer}");
}

#[test]
fn a_node_in_its_own_list_recognises_itself() {
    let archive = TestArchive::empty();
    let segment = archive.segment(HOUR, "00:00", 2.0, Kind::Full);
    let sign = Sign::to("127.0.0.1:1".parse().unwrap());
    let node = follower(&archive, sign.peer.address, &[]);
    sign.lead_to(node.address);
    eventually(SOON * 2, || peer_of(&node)["state"] == "itself");
    assert_eq!(peer_of(&node)["error"], serde_json::Value::Null);
    assert!(archive.at(&segment).exists());
}

#[test]
fn suspiciously_many_tombstones_wait_for_the_operators_word() {
    let (full, empty) = (TestArchive::empty(), TestArchive::empty());
    let segments: Vec<String> =
        (10..20).map(|minute| full.segment(HOUR, &format!("{minute}:00"), 2.0, Kind::Full)).collect();
    let other = ready(&full);
    let node = follower(&empty, other.address, &[]);
    eventually(SOON, || node.files(HOUR).len() == 10 && is_following(&node));
    let all: Vec<&str> = ["tombstone", "add"].into_iter().chain(segments[..5].iter().map(String::as_str)).collect();
    other.run(&all).lines(0);
    eventually(SOON, || peer_of(&node)["bursts"].as_array().is_some_and(|bursts| !bursts.is_empty()));
    // The first of them may have come alone, before there were suspiciously many.
    assert!((8..=10).contains(&node.files(HOUR).len()), "{:?}", node.files(HOUR));
    let said = node.run(&["status"]);
    assert!(said.lines(1).iter().any(|line| line.contains("wait for confirmation")), "{}", said.out);
    assert_eq!(node.run(&["tombstone", "accept", "nobody"]).code, 3);
    node.run(&["tombstone", "accept"]).lines(0);
    eventually(SOON, || node.files(HOUR).len() == 5);
    eventually(SOON, || peer_of(&node)["bursts"].as_array().is_some_and(Vec::is_empty));
}

#[test]
fn what_is_new_on_one_node_comes_to_the_other_without_a_round() {
    let (full, empty) = (TestArchive::empty(), TestArchive::empty());
    (10..30).for_each(|minute| drop(full.segment(HOUR, &format!("{minute}:00"), 2.0, Kind::Full)));
    let other = ready(&full);
    let node = follower(&empty, other.address, &[]);
    eventually(SOON, || is_following(&node));
    assert_eq!(files(full.path()), files(empty.path()));
    let new = full.segment(HOUR, "40:00", 2.0, Kind::Full);
    full.chat(HOUR, "41:00");
    eventually(SOON, || files(full.path()) == files(empty.path()));
    full.tombstone(&new);
    eventually(SOON, || !node.files(HOUR).contains(&new.rsplit('/').next().unwrap().to_owned()));
    let many: Vec<String> =
        (0..50).map(|s| full.segment("chan/480p/2020-01-02T00", &format!("10:{s:02}"), 1.0, Kind::Full)).collect();
    eventually(SOON, || files(full.path()) == files(empty.path()));
    assert!(many.iter().all(|path| empty.at(path).exists()));
    let peer = peer_of(&node);
    assert_eq!((&peer["rounds"], &peer["speaks"]), (&1.into(), &"gapless".into()), "{peer}");
    eventually(SOON, || peer_of(&node)["behind_segments"] == 0);
    crate::support::invariants::hold(&empty, &node);
}
