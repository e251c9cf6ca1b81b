//! Holes with reasons: when each was first seen, who has what is missing, and who gave what is not missing any more.

use std::net::SocketAddr;

use serde_json::Value;

use crate::support::peer::{FalsePeer, Sent};
use crate::support::{Connection, Kind, SOON, TestArchive, TestNode, eventually, gapless};

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
    assert_eq!(explained["hole"]["ledger"]["first_seen"], first_seen.as_str());
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

/// Segments of two seconds at these seconds of the hour.
fn segments(archive: &TestArchive, seconds: &[&str]) -> Vec<String> {
    seconds.iter().map(|second| archive.segment(HOUR, &format!("00:{second}"), 2.0, Kind::Full)).collect()
}

fn reason(node: &TestNode) -> String {
    holes(node).first().map_or_else(String::new, |hole| hole["reason"].as_str().unwrap_or_default().to_owned())
}

fn unfillable(node: &TestNode) -> usize {
    let list = node.get(&format!("/api/v1/holes/{STREAM}?unfillable=true")).json();
    list["holes"].as_array().unwrap().len()
}

#[test]
fn what_nobody_has_is_unfillable_until_somebody_gets_it_and_a_restart_keeps_what_was_known() {
    let (there, here) = (TestArchive::empty(), TestArchive::empty());
    segments(&there, &["00", "10"]);
    segments(&here, &["00", "10"]);
    let other = plain(&there);
    let node = fetching(&here, &[("other", other.address)]);
    eventually(SOON * 2, || reason(&node) == "nobody_has");
    let hole = holes(&node).remove(0);
    assert_eq!((&hole["unfillable"], &hole["peers"]), (&true.into(), &vec!["other"].into()));
    assert!(hole["detail"].as_str().unwrap().contains("other"), "{hole}");
    assert_eq!(unfillable(&node), 1);
    let lines = node.run(&["holes", STREAM, "--unfillable"]);
    assert!(lines.lines(0)[0].ends_with("8.000 s  nobody_has (other)"), "{}", lines.out);
    let metrics = node.get("/metrics").text().to_owned();
    assert!(metrics.contains("gapless_unfillable_hole_seconds{channel=\"chan\",quality=\"source\"} 8"), "{metrics}");
    node.terminate();

    // Without a daemon the index tells what was known last.
    let offline = gapless(here.path(), &["--json", "holes", STREAM, "--unfillable"]).json(0);
    assert_eq!(offline["holes"][0]["reason_since"], hole["reason_since"]);
    let address = other.address;
    other.terminate();
    // Nobody answers, and one that never did is to be asked as well.
    let node = fetching(&here, &[("other", address)]);
    eventually(SOON, || node.get("/api/v1/status").json()["peers"][0]["failures"].as_u64() > Some(0));
    eventually(SOON, || node.get("/metrics").text().contains("gapless_holes{"));
    assert_eq!(holes(&node)[0]["reason_since"], hole["reason_since"]);
    node.terminate();
    let node = fetching(&here, &[("other", address), ("third", SocketAddr::from(([127, 0, 0, 1], 1)))]);
    eventually(SOON * 2, || reason(&node) == "not_asked");
    assert_eq!(holes(&node)[0]["peers"], Value::from(vec!["other", "third"]));
    assert_eq!(unfillable(&node), 0);
    node.terminate();

    let other = plain(&there);
    let node = fetching(&here, &[("other", other.address)]);
    eventually(SOON * 2, || unfillable(&node) == 1);
    let first_seen = holes(&node)[0]["first_seen"].clone();
    assert_eq!(first_seen, hole["first_seen"]);
    segments(&there, &["02", "04", "06", "08"]);
    eventually(SOON, || holes(&node).is_empty());
    assert_eq!(unfillable(&node), 0);
    let told = closed(&node);
    assert_eq!((&told[0]["closed_by"], &told[0]["first_seen"]), (&"other".into(), &first_seen));
    node.check();
}

#[test]
fn a_peer_that_has_it_is_named_whether_it_is_being_fetched_or_does_not_come() {
    let (there, here) = (TestArchive::empty(), TestArchive::empty());
    segments(&there, &["00", "02", "04", "06"]);
    segments(&here, &["00", "06"]);
    let other = plain(&there);
    // Lists go through, and instead of files comes something else.
    let to = other.address;
    let lists = FalsePeer::start(move |path| {
        if path.starts_with("/segments") {
            return Sent::answer("200 OK", "", b"something else");
        }
        let got = Connection::open(to).request("GET", path, &[]);
        Sent::answer(&format!("{} Passed-On", got.status), "", &got.body)
    });
    let node = fetching(&here, &[("lists", lists.address)]);
    eventually(SOON * 2, || reason(&node) == "peer_has");
    let hole = holes(&node).remove(0);
    assert_eq!((&hole["peers"], &hole["unfillable"]), (&vec!["lists"].into(), &Value::Null));
    let explained = node.run(&["explain", "2020-01-01T05:00:03", "--channel", "chan"]);
    assert!(explained.out.contains("reason  peer_has: lists has segments in it"), "{}", explained.out);
    node.terminate();

    // What is too recent waits, and is known to come.
    let (there, here) = (TestArchive::empty(), TestArchive::empty());
    let yesterday = std::time::SystemTime::now() - std::time::Duration::from_secs(86_400);
    let hour = format!("{STREAM}/{}", &humantime::format_rfc3339_seconds(yesterday).to_string()[..13]);
    for (archive, times) in [(&there, &["00:00", "00:02", "00:04"][..]), (&here, &["00:00", "00:04"])] {
        for time in times {
            archive.segment(&hour, time, 2.0, Kind::Full);
        }
    }
    let other = plain(&there);
    let plan = TestNode::plan(&here).flag("--peer").flag(format!("other=http://{}", other.address));
    let plan = plan.env("GAPLESS_BACKFILL_RECENT_CUTOFF", "7days").env("GAPLESS_BACKFILL_INTERVAL", "1s");
    let node = plan.start();
    node.wait_ready();
    eventually(SOON * 2, || reason(&node) == "fetching");
    assert_eq!(holes(&node)[0]["peers"], Value::from(vec!["other"]));
}

#[test]
fn what_was_deleted_and_what_retention_does_not_keep_is_told_as_that() {
    let archive = TestArchive::empty();
    let paths = segments(&archive, &["00", "02", "04"]);
    let node = plain(&archive);
    archive.tombstone(&paths[1]);
    eventually(SOON * 2, || reason(&node) == "tombstoned");
    assert_eq!(unfillable(&node), 0);
    archive.remove(&paths[1].replace(".ts", ".tombstone"));
    eventually(SOON, || holes(&node).is_empty());
    let told = closed(&node);
    assert_eq!((told.len(), told[0].get("closed_by")), (1, None), "nothing came: {told:?}");
    node.terminate();

    let archive = TestArchive::empty();
    for hour in ["2020-01-01T05", "2020-01-01T06", "2020-01-01T07"] {
        archive.segment(&format!("{STREAM}/{hour}"), "00:00", 3_600.0, Kind::Full);
    }
    // The first one is kept; those after it go by their age.
    let retention = |args: &[&str]| gapless(archive.path(), &[&["retention"], args].concat());
    gapless(archive.path(), &["rebuild"]).lines(0);
    for hour in ["2020-01-01T05", "2020-01-01T07"] {
        retention(&["keep", &format!("{STREAM}/{hour}")]).lines(0);
    }
    let config =
        "[crawl]\nminimum_cycle = \"1s\"\ncpu_share = 1\n\n[retention]\ninterval = \"1s\"\nmax_age = \"365days\"\n";
    let node = TestNode::plan(&archive).config(config).start();
    node.wait_ready();
    node.run(&["retention", "run", "--yes"]);
    eventually(SOON * 2, || reason(&node) == "retention");
    let hole = holes(&node).remove(0);
    assert_eq!(stretch(&hole), ("2020-01-01T06:00:00.000000Z", "2020-01-01T07:00:00.000000Z"));
    assert_eq!(unfillable(&node), 0);
}

#[test]
fn what_the_disk_missed_is_told_as_that_and_is_unfillable_where_nobody_has_it() {
    let archive = TestArchive::empty();
    let node = plain(&archive);
    let now = std::time::SystemTime::now;
    let segment = |at: std::time::SystemTime| {
        let text = humantime::format_rfc3339_micros(at).to_string();
        archive.segment(&format!("{STREAM}/{}", &text[..13]), &text[14..26], 0.5, Kind::Full)
    };
    let began = now();
    segment(began);
    eventually(SOON, || !node.files("").is_empty());
    // The first run of retention writes its records, and the marker with them.
    eventually(SOON, || {
        let status = node.get("/api/v1/status").json();
        let mut jobs = status["jobs"].as_array().unwrap().iter();
        jobs.any(|job| job["kind"] == "retention" && job["doing"] == "waits for the next run")
    });
    let (marker, aside) = (archive.at(".gapless/marker"), archive.outside().join("marker"));
    std::fs::rename(&marker, &aside).unwrap();
    eventually(SOON, || node.get("/readyz").status == 503);
    let noticed = now();
    // It is away for most of the time, and for longer than a segment lasts.
    let least = (noticed.duration_since(began).unwrap() * 2).max(std::time::Duration::from_secs(2));
    eventually(SOON * 3, || noticed.elapsed().unwrap() > least);
    let end = now();
    std::fs::rename(&aside, &marker).unwrap();
    segment(end);
    node.wait_ready();
    eventually(SOON * 2, || reason(&node) == "disk_away");
    assert_eq!(unfillable(&node), 1, "there is no peer to ask");
    let detail = holes(&node)[0]["detail"].to_string();
    assert!(detail.contains("the disk was away for"), "{detail}");
    node.check();
}
