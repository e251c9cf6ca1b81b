//! Clocks that are wrong, or jump while the node runs: nothing is lost, hidden or forgotten for it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::trouble::text;
use crate::support::{Kind, SOON, TestArchive, TestNode, eventually, invariants};

/// The library that gives a process another clock, where Debian puts it.
fn library() -> Option<PathBuf> {
    let names = ["x86_64-linux-gnu", "aarch64-linux-gnu"];
    let found = names.iter().map(|name| Path::new("/usr/lib").join(name).join("faketime/libfaketimeMT.so.1"));
    let library = found.into_iter().find(|path| path.exists());
    if library.is_none() {
        eprintln!("SKIPPED: libfaketime is not installed");
    }
    library
}

/// A node whose wall clock is what stands in `clock`; the clock by which it waits goes on as before, as it does when a real one is set.
fn node_by(clock: &Path, library: &Path, archive: &TestArchive) -> TestNode {
    TestNode::plan(archive)
        .env("LD_PRELOAD", text(library))
        .env("FAKETIME_TIMESTAMP_FILE", text(clock))
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("DONT_FAKE_MONOTONIC", "1")
        .config("[crawl]\nminimum_cycle = \"1s\"\n")
        .start()
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
    let Some(library) = library() else { return };
    let archive = TestArchive::empty();
    let scratch = tempfile::tempdir().unwrap();
    let clock = scratch.path().join("clock");
    let this_year = i32::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() / 31_556_952).unwrap() + 1970;
    let set = |offset: &str| {
        let fresh = scratch.path().join("fresh");
        fs::write(&fresh, offset).unwrap();
        fs::rename(fresh, &clock).unwrap();
    };
    let mut minute = 10;
    for at_start in ["+3650d", "-3650d", "+0"] {
        set(at_start);
        let node = node_by(&clock, &library, &archive);
        node.wait_ready();
        node.check();
        for (jump, years) in [("+3650d", 10), ("-3650d", -10), ("+0", 0)] {
            set(jump);
            // The node sees the jump.
            eventually(SOON, || (year_of(&node) - this_year - years).abs() <= 1);
            live(&archive, &node, minute);
            minute += 1;
        }
        node.kill();
        archive.segment("chan/source/2020-01-01T03", &format!("{minute}:30"), 2.0, Kind::Full);
    }
    set("-3650d");
    let node = node_by(&clock, &library, &archive);
    node.wait_ready();
    node.check();
    invariants::hold(&archive, &node);
    node.terminate();
}
