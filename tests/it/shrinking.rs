//! An archive of which much is missing at once, on a disk with the right marker: nothing is concluded from it before somebody says so.

use std::fs;
use std::path::Path;

use crate::support::node::Plan;
use crate::support::{Kind, SOON, TestArchive, TestNode, eventually, invariants};

/// Few files are many here, and cycles short.
const CONFIG: &str = "[crawl]\ndoubt_above = 20\nminimum_cycle = \"1s\"\n[backfill]\ninterval = \"1s\"\n";

/// Eight hours of ten segments in a channel, and as many in another.
fn archive() -> TestArchive {
    let archive = TestArchive::empty();
    for channel in ["big", "other"] {
        for number in 0..80 {
            archive.segment(&hour(channel, number / 10), &format!("{:02}:00", number % 10), 2.0, Kind::Full);
        }
    }
    archive
}

fn hour(channel: &str, number: usize) -> String {
    format!("{channel}/source/2020-01-01T{number:02}")
}

fn plan(archive: &TestArchive) -> Plan {
    TestNode::plan(archive).config(CONFIG)
}

fn doubts(node: &TestNode) -> Vec<String> {
    let status = node.get("/api/v1/status").json();
    let doubts = status["doubts"].as_array().unwrap();
    doubts.iter().map(|doubt| format!("{} {} {}", doubt["channel"], doubt["missing"], doubt["had"])).collect()
}

fn seq(node: &TestNode) -> u64 {
    node.get("/api/v1/status").json()["index"]["seq"].as_u64().unwrap()
}

/// What is missing answers 503 and says what to do; what is there goes on.
#[track_caller]
fn is_held(archive: &TestArchive, node: &TestNode, missing: &[usize]) {
    for number in 0..8 {
        let place = hour("big", number);
        if missing.contains(&number) {
            let (_, detail) = node.get(&format!("/files/{place}")).problem(503);
            assert!(detail.contains("gapless crawl accept") && detail.contains("big"), "{detail}");
        } else {
            assert_eq!(node.files(&place), archive.listing(&place, false));
        }
        assert_eq!(node.files(&hour("other", number)), archive.listing(&hour("other", number), false));
    }
    assert_eq!(node.files("big/source").len(), 8, "the hours are known");
    let status = node.get("/api/v1/status").json();
    assert!(status["troubles"].to_string().contains("gapless crawl accept"), "{status}");
    assert!(node.get("/metrics").text().contains("\ngapless_crawl_doubts 1\n"));
    assert!(node.log().contains("looks like an accident"));
}

fn aside(archive: &TestArchive) -> std::path::PathBuf {
    archive.outside().join("aside")
}

fn take_away(archive: &TestArchive, hours: impl IntoIterator<Item = usize>) {
    fs::create_dir_all(aside(archive)).unwrap();
    for number in hours {
        let place = hour("big", number);
        fs::rename(archive.at(&place), aside(archive).join(Path::new(&place).file_name().unwrap())).unwrap();
    }
}

fn put_back(archive: &TestArchive) {
    for entry in fs::read_dir(aside(archive)).unwrap().map(Result::unwrap) {
        fs::rename(entry.path(), archive.at("big/source").join(entry.file_name())).unwrap();
    }
}

#[test]
fn more_than_half_of_a_channel_stays_known_until_it_is_back_or_given_up() {
    let (archive, twin) = (archive(), archive());
    let peer = TestNode::start(&twin);
    let with_peer = || plan(&archive).flag("--peer").flag(format!("http://{}", peer.address));
    let node = with_peer().start();
    node.wait_ready();
    let before = seq(&node);
    take_away(&archive, 2..8);
    eventually(SOON, || doubts(&node) == ["\"big\" 60 80"]);
    let missing = [2, 3, 4, 5, 6, 7];
    is_held(&archive, &node, &missing);
    // The same after a restart, from the first answer on.
    node.kill();
    let node = with_peer().start();
    is_held(&archive, &node, &missing);
    node.wait_ready();
    assert_eq!(doubts(&node), ["\"big\" 60 80"]);
    // Somebody who compares is told of nothing that is gone, and what is missing is not fetched.
    let digest = |node: &TestNode| node.get("/api/v1/digests").json()["qualities"].clone();
    assert_eq!(digest(&node), digest(&peer));
    archive.segment(&hour("big", 0), "30:00", 2.0, Kind::Full);
    twin.segment(&hour("big", 1), "30:00", 2.0, Kind::Full);
    eventually(SOON, || node.files(&hour("big", 1)).len() == 11);
    let (_, names) = (node.files(&hour("big", 0)), twin.listing(&hour("big", 5), false));
    assert_eq!(node.get(&format!("/segments/{}/{}", hour("big", 5), names[0])).status, 503, "it may not be gone");
    assert!(missing.iter().all(|number| !archive.at(&hour("big", *number)).exists()));
    // It is put back.
    put_back(&archive);
    eventually(SOON, || doubts(&node).is_empty());
    invariants::hold(&archive, &node);
    assert_eq!(seq(&node), before + 2, "two files came, and nothing left");
    assert!(node.get("/metrics").text().contains("\ngapless_crawl_doubts 0\n"));
}

#[test]
fn what_is_given_up_leaves_the_index_and_what_goes_file_by_file_is_never_doubted() {
    let archive = archive();
    let plan = |archive| plan(archive).config(&format!("{CONFIG}[watch]\nhours_per_quality = 8\n"));
    let node = plan(&archive).start();
    node.wait_ready();
    let refused = node.run(&["crawl", "accept", "big"]);
    assert_eq!(refused.code, 3, "{}", refused.err);
    assert!(refused.err.contains("Nothing to confirm for channel"), "{}", refused.err);
    let misspelt = node.run(&["crawl", "accept", "bigg"]);
    assert!(misspelt.code == 3 && misspelt.err.contains("did you mean big?"), "{misspelt:?}");
    let order = serde_json::json!({"channel": "big"});
    assert_eq!(node.post("/api/v1/crawl/accept", None, &order).status, 401);
    node.kill();
    // A whole channel is gone, while nobody watched.
    fs::rename(archive.at("big"), aside(&archive)).unwrap();
    let node = plan(&archive).start();
    is_held(&archive, &node, &[0, 1, 2, 3, 4, 5, 6, 7]);
    node.wait_ready();
    let accepted = node.run(&["crawl", "accept", "big"]);
    assert_eq!((accepted.code, accepted.err.as_str()), (0, ""));
    assert_eq!(accepted.out, "80 files in 8 hours of channel big leave the index\n");
    eventually(SOON, || node.files("") == ["other"]);
    invariants::hold(&archive, &node);
    assert!(doubts(&node).is_empty());
    // All of the other one but an hour goes before the eyes of the watcher, file by file.
    for number in 1..8 {
        let place = hour("other", number);
        for name in archive.listing(&place, false) {
            archive.remove(&format!("{place}/{name}"));
        }
        eventually(SOON, || node.files(&place).is_empty());
    }
    assert!(doubts(&node).is_empty());
    invariants::hold(&archive, &node);
}
