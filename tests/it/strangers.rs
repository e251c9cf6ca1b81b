//! What a peer gives displaces nothing of one's own, and fills no disk with what nobody here wants.

use crate::support::archive::hours_ago;
use crate::support::{Kind, SOON, TestArchive, TestNode, eventually};

/// Bytes of a segment of these archives.
const SEGMENT: u64 = 376;
/// What one takes of a disk.
const BLOCK: u64 = 4_096;

/// So many hours of a stream, with two segments each.
fn archive_of(stream: &str, hours: std::ops::Range<u64>) -> TestArchive {
    let archive = TestArchive::empty();
    fill(&archive, stream, hours);
    archive
}

fn fill(archive: &TestArchive, stream: &str, hours: std::ops::Range<u64>) {
    for ago in hours {
        for time in ["00:00", "00:02"] {
            archive.segment(&format!("{stream}/{}", hours_ago(ago)), time, 2.0, Kind::Full);
        }
    }
}

fn config(backfill: &str, limits: &str) -> String {
    format!(
        "[backfill]\ninterval = \"1s\"\nrecent_cutoff = \"0s\"\nkeep_free = \"0B\"\n{backfill}\n[crawl]\nminimum_cycle = \"1s\"\ncpu_share = 1\n[retention]\ninterval = \"1s\"\n{limits}\n"
    )
}

fn of_peer(node: &TestNode, field: &str) -> serde_json::Value {
    node.get("/api/v1/status").json()["peers"][0][field].clone()
}

/// Waits until retention has looked at everything twice from now on.
#[track_caller]
fn settled(node: &TestNode) {
    for _ in 0..2 {
        let report = || node.get("/api/v1/status").json()["retention"].clone();
        let before = report()["last_run"].clone();
        eventually(SOON, || report()["last_run"] != before);
    }
}

#[test]
fn junk_in_ones_own_channel_and_in_others_evicts_none_of_the_hours_that_were_recorded_here() {
    let archive = archive_of("own/source", 3..23);
    let peer = archive_of("junk/source", 3..22);
    fill(&peer, "own/source", 30..45);
    let peer = TestNode::start(&peer);
    peer.wait_ready();
    // Room for a little more than what was recorded.
    let limits = format!("max_bytes = {}", 22 * 2 * SEGMENT);
    let url = format!("evil=http://{}", peer.address);
    let start = || {
        let node = TestNode::plan(&archive).config(&config("", &limits)).flag("--peer").flag(url.clone()).start();
        node.wait_ready();
        node
    };
    let own = |node: &TestNode| {
        let hours = node.files("own/source");
        hours.iter().filter(|hour| (3..23).any(|ago| **hour == hours_ago(ago))).count()
    };
    let node = start();
    // More than there is room for. Not all of it: hours that were retired meanwhile are not fetched again.
    eventually(SOON, || of_peer(&node, "fetched_in_all").as_u64() > Some(2 * 2));
    settled(&node);
    assert_eq!(own(&node), 20);
    let left = node.files("own/source").len() + node.get("/files/junk/source").json().as_array().map_or(0, Vec::len);
    assert!(left <= 22, "{left} hours");
    // Not even when the index is lost.
    node.kill();
    std::fs::remove_file(archive.at(".gapless/index.redb")).unwrap();
    let node = start();
    settled(&node);
    assert_eq!(own(&node), 20);
    node.check();
}

#[test]
fn a_peer_with_thousands_of_channels_fills_its_budget_and_that_is_told() {
    let archive = archive_of("own/source", 3..5);
    let peer = TestArchive::empty();
    for number in 0..12 {
        fill(&peer, &format!("junk{number:02}/source"), 3..4);
    }
    fill(&peer, "own/source", 6..8);
    let peer = TestNode::start(&peer);
    peer.wait_ready();
    let budget = format!("strangers_budget = {}\nstrangers_channels = 5\n", 20 * BLOCK);
    let url = format!("evil=http://{}", peer.address);
    let node = TestNode::plan(&archive).config(&config(&budget, "")).flag("--peer").flag(url).start();
    eventually(SOON, || of_peer(&node, "strangers_full").is_string());
    eventually(SOON, || node.files("own/source").len() == 4);
    let channels: Vec<String> = node.files("");
    assert_eq!(channels.len(), 6, "{channels:?}");
    assert_eq!(of_peer(&node, "strangers_channels"), 5);
    assert_eq!(of_peer(&node, "strangers_bytes"), 10 * BLOCK);
    let troubles = node.get("/api/v1/status").json()["troubles"].to_string();
    assert!(troubles.contains("evil: 5 of its channels"), "{troubles}");
    assert!(node.get("/metrics").text().contains("backfill_strangers_budget_full{remote=\"evil\"} 1"));
}
