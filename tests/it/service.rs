//! The node as a service: what it tells whoever started it, and its unit file.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::support::{Kind, SOON, TestArchive, TestNode, eventually};

/// A service manager: hears what the node says.
struct Manager {
    socket: UnixDatagram,
    dir: tempfile::TempDir,
    heard: Vec<String>,
}

impl Manager {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(dir.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        Self { socket, dir, heard: Vec::new() }
    }

    fn place(&self) -> String {
        self.dir.path().join("notify").to_str().unwrap().to_owned()
    }

    /// All lines that were heard so far, in order.
    fn lines(&mut self) -> Vec<String> {
        let mut room = [0; 4096];
        while let Ok(length) = self.socket.recv(&mut room) {
            self.heard.extend(String::from_utf8(room[..length].to_vec()).unwrap().lines().map(str::to_owned));
        }
        self.heard.clone()
    }

    #[track_caller]
    fn wait_for(&mut self, line: &str) {
        eventually(SOON, || self.lines().iter().any(|heard| heard == line));
    }
}

#[test]
fn the_service_manager_is_told_when_the_node_listens_how_it_is_that_it_lives_and_that_it_ends() {
    let archive = TestArchive::empty();
    for start in ["00:00", "00:02", "00:04"] {
        archive.segment("chan/source/2019-11-13T02", start, 2.0, Kind::Full);
    }
    let mut manager = Manager::new();
    let node = TestNode::plan(&archive).env("NOTIFY_SOCKET", &manager.place()).env("WATCHDOG_USEC", "400000").start();
    manager.wait_for("STATUS=ready; no holes in the last day");
    let before = manager.lines().iter().filter(|line| *line == "WATCHDOG=1").count();
    eventually(SOON, || manager.lines().iter().filter(|line| *line == "WATCHDOG=1").count() >= before + 2);
    node.terminate();
    let lines = manager.lines();
    let at = |line: &str| lines.iter().position(|heard| heard == line).unwrap_or_else(|| panic!("{line}: {lines:?}"));
    assert_eq!(lines[0], "READY=1", "{lines:?}");
    assert!(at("READY=1") < at("STATUS=ready; no holes in the last day"), "{lines:?}");
    assert!(at("WATCHDOG=1") < at("STOPPING=1"), "{lines:?}");
    assert!(!lines[at("STOPPING=1")..].iter().any(|line| line.starts_with("READY")), "{lines:?}");
}

#[test]
fn a_disk_that_is_away_is_told_and_is_no_reason_to_be_ended() {
    let archive = TestArchive::empty();
    archive.segment("chan/source/2019-11-13T02", "00:00", 2.0, Kind::Full);
    let state = tempfile::tempdir().unwrap();
    let mut manager = Manager::new();
    let node = TestNode::plan(&archive)
        .state_dir(state.path())
        .env("NOTIFY_SOCKET", &manager.place())
        .env("WATCHDOG_USEC", "200000")
        .start();
    manager.wait_for("STATUS=ready; no holes in the last day");
    let (base, aside) = (archive.path(), archive.outside().join("away"));
    fs::rename(base, &aside).unwrap();
    eventually(SOON * 2, || manager.lines().iter().any(|line| line.starts_with("STATUS=the archive is not there")));
    let before = manager.lines().iter().filter(|line| *line == "WATCHDOG=1").count();
    eventually(SOON, || manager.lines().iter().filter(|line| *line == "WATCHDOG=1").count() > before);
    fs::rename(&aside, base).unwrap();
    node.terminate();
}

#[test]
fn every_line_of_the_log_is_json_with_the_events_name() {
    let archive = TestArchive::empty();
    archive.segment("chan/source/2019-11-13T02", "00:00", 2.0, Kind::Full);
    let node = TestNode::plan(&archive).env("GAPLESS_LOG", "debug").env("GAPLESS_LOG_FORMAT", "json").start();
    node.wait_ready();
    eventually(SOON, || node.log().contains("\"event\":\"crawl_cycle\""));
    assert_eq!(node.get("/files/chan").status, 200);
    eventually(SOON, || node.log().contains("\"event\":\"request\""));
    for line in node.log().lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(line["timestamp"].is_string() && line["level"].is_string() && line["target"].is_string(), "{line}");
        let ours = line["target"].as_str().unwrap().starts_with("gapless");
        assert_eq!(line["event"].is_string(), ours, "{line}");
    }
    let answer = node.get("/metrics");
    let metrics = answer.text();
    assert!(
        metrics.contains("log_count_total{function=\"crawl_cycle\",level=\"INFO\",module=\"gapless::crawl::walk\"} 1"),
        "{metrics}"
    );
}
