//! Streams that are no HLS: what a real sender sends over real protocols is in the archive, picture by picture, in segments that play alone.

use std::process::Child;

use rustix::process::{Pid, Signal, kill_process};

use crate::recording::{in_order, recorded};
use crate::support::node::gapless_begun;
use crate::support::sender::{Sender, free_ports, is_udp_taken, pictures};
use crate::support::{SOON, TestArchive, eventually};

/// `gapless record` at work; killed with the value.
struct Recording<'a> {
    archive: &'a TestArchive,
    child: Child,
}

impl<'a> Recording<'a> {
    fn begin(archive: &'a TestArchive, url: &str) -> Self {
        Self { archive, child: gapless_begun(archive.path(), &["record", "c", url, "--for", "100s"]) }
    }

    fn count(&self, kind: &str) -> usize {
        recorded(self.archive, "c/source").keys().filter(|path| path.contains(kind)).count()
    }

    /// Stops it as ctrl-C does.
    fn stop(mut self) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::INT).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Recording<'_> {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// All pictures that were recorded, each segment decoded alone; between neighbours there is neither a hole nor an overlap.
fn recorded_pictures(archive: &TestArchive) -> Vec<String> {
    let all = recorded(archive, "c/source");
    assert!(all.keys().all(|path| !path.contains("suspect")), "{:?}", all.keys());
    let ordered = in_order(&all);
    for pair in ordered.windows(2) {
        let gap = pair[1].0 - (pair[0].0 + pair[0].1);
        assert!(gap.abs() < 10_000, "{gap} µs between {} and {}", pair[0].0, pair[1].0);
    }
    ordered.iter().flat_map(|(.., bytes)| pictures(bytes)).collect()
}

#[test]
fn a_stream_of_srt_is_recorded_from_a_server_that_sends_it() {
    let (_, port) = free_ports();
    let archive = TestArchive::empty();
    let recording = Recording::begin(&archive, &format!("srt://127.0.0.1:{port}?mode=caller"));
    let sent = Sender::begin(6, "mpegts", &format!("srt\\://127.0.0.1\\:{port}?mode=listener")).finish();
    eventually(SOON, || recording.count("-partial-") == 1);
    recording.stop();
    let recorded = recorded_pictures(&archive);
    // A sender that ends does not wait until the last packets have arrived.
    assert!(recorded.len() >= 75 && sent.starts_with(&recorded), "{} of {}", recorded.len(), sent.len());
}

#[test]
fn packets_of_udp_are_recorded_as_they_come() {
    let (_, port) = free_ports();
    let archive = TestArchive::empty();
    let recording = Recording::begin(&archive, &format!("udp://127.0.0.1:{port}"));
    eventually(SOON, || is_udp_taken(port));
    let sent = Sender::begin(6, "mpegts", &format!("udp\\://127.0.0.1\\:{port}?pkt_size=1316")).finish();
    eventually(SOON, || recording.count("-full-") >= 2);
    recording.stop();
    let recorded = recorded_pictures(&archive);
    // What was on its way when it was stopped is not there.
    assert!(recorded.len() >= 60 && sent.starts_with(&recorded), "{} of {}", recorded.len(), sent.len());
}
