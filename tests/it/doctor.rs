//! What `gapless doctor` says of faults that are real, and that it says nothing where there are none.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::trouble::{Filler, Mount, WITHOUT_PRIVILEGE, may_drop_privilege, may_mount, set_mode, text};
use crate::support::{Kind, TestArchive, TestNode, gapless, gapless_through};

const HOUR: &str = "chan/source/2019-11-13T02";
const TOKEN: &str = "reader-0123456789abcdef";

/// An archive that a node has run on.
fn archive() -> TestArchive {
    let archive = TestArchive::empty();
    archive.segment(HOUR, "00:00", 2.0, Kind::Full);
    let node = TestNode::start(&archive);
    node.wait_ready();
    node.terminate();
    archive
}

/// Level, value and advice of a check.
#[track_caller]
fn check(told: &Value, name: &str) -> (String, String, String) {
    let found = told["checks"].as_array().unwrap().iter().find(|check| check["check"] == name);
    let found = found.unwrap_or_else(|| panic!("{name} is not told: {told:#}"));
    let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
    (text("level"), text("value"), text("advice"))
}

/// The one check that fails; the others must not.
#[track_caller]
fn only_failure(told: &Value, name: &str) -> (String, String) {
    let all = told["checks"].as_array().unwrap();
    let failed: Vec<&str> =
        all.iter().filter(|check| check["level"] == "fail").map(|check| check["check"].as_str().unwrap()).collect();
    assert_eq!(failed, [name], "{told:#}");
    let (_, value, advice) = check(told, name);
    assert!(!advice.is_empty(), "{told:#}");
    (value, advice)
}

fn secret(archive: &TestArchive, name: &str, token: &str) -> PathBuf {
    let file = archive.outside().join(name);
    fs::write(&file, token).unwrap();
    set_mode(&file, 0o600);
    file
}

/// With a port that is free, whatever else runs on this machine, and nothing that must stay free.
const CALM: &[&str] = &["doctor", "--json", "--listen", "127.0.0.1:0"];

#[test]
fn where_all_is_well_nothing_fails_and_nothing_is_changed() {
    let (archive, other) = (archive(), TestArchive::sample());
    // A file was written beside the marker and removed again, which that directory shows; nothing else does.
    let tree = || {
        let mut tree = archive.snapshot();
        tree.retain(|path, _| !path.ends_with(".gapless"));
        tree
    };
    let before = tree();
    let neighbour = TestNode::start(&other);
    neighbour.wait_ready();
    let url = format!("other=http://{}", neighbour.address);
    let told = gapless(archive.path(), &[CALM, &["--peer", &url]].concat()).json(0);
    assert_ne!(told["worst"], "fail", "{told:#}");
    let (level, value, _) = check(&told, "peer other");
    assert!(level == "ok" && value.contains("gapless"), "{value}");
    assert_eq!(check(&told, "clock").0, "ok", "the other node has the same clock");
    assert_eq!(tree(), before);

    // The daemon's own word counts while it runs; its peers are asked as well.
    let node = TestNode::plan(&archive).flag("--name").flag("examined").flag("--peer").flag(&url).start();
    node.wait_ready();
    let told = node.run(CALM).json(0);
    assert_eq!(check(&told, "daemon").0, "ok");
    assert!(check(&told, "address").1.contains(&node.address.to_string()));
    assert_eq!(check(&told, "peer other").0, "ok");
    let outcome = node.run(&["doctor", "--peer", &format!("itself=http://{}", node.address)]);
    let line = outcome.lines(0).into_iter().find(|line| line.contains("peer itself")).unwrap().to_owned();
    assert!(line.starts_with("warn") && line.contains("id of this archive") && line.contains(" → "), "{line}");
    assert!(!outcome.out.contains('\x1b'), "no colours but on a terminal");
}

#[test]
fn limits_and_addresses_that_do_not_do_are_told() {
    let archive = archive();
    let told = gapless_through(&["prlimit", "--nofile=200:200"], archive.path(), CALM).json(1);
    assert!(only_failure(&told, "descriptors").1.contains("LimitNOFILE"));

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let told = gapless(archive.path(), &["doctor", "--json", "--listen", &address]).json(1);
    assert!(only_failure(&told, "address").0.contains(&address));
}

#[test]
fn an_archive_that_is_not_the_right_one_is_told() {
    let archive = archive();
    let marker = archive.at(".gapless/marker");
    let kept = fs::read(&marker).unwrap();
    fs::remove_file(&marker).unwrap();
    let told = gapless(archive.path(), CALM).json(1);
    assert!(only_failure(&told, "marker").0.contains("has no marker"), "{told:#}");
    fs::write(&marker, &kept).unwrap();
    gapless(archive.path(), CALM).json(0);

    // One that was not closed in order cannot say which archive it belongs to.
    let node = TestNode::start(&archive);
    node.wait_ready();
    node.kill();
    let told = gapless(archive.path(), CALM).json(0);
    assert_eq!(check(&told, "marker").0, "ok", "{told:#}");
    fs::remove_file(&marker).unwrap();
    let told = gapless(archive.path(), CALM).json(0);
    assert_eq!(check(&told, "marker").0, "warn", "{told:#}");
    fs::write(&marker, &kept).unwrap();

    fs::write(archive.at(".gapless/index.redb"), vec![7; 8192]).unwrap();
    let told = gapless(archive.path(), CALM).json(1);
    assert!(only_failure(&told, "index").1.contains("gapless rebuild"));
    let told = gapless(&archive.at("nowhere"), CALM).json(1);
    assert!(check(&told, "archive").2.contains("mount the disk"));
}

#[test]
fn other_nodes_that_cannot_be_asked_are_told_with_the_reason() {
    let (archive, other) = (archive(), TestArchive::sample());
    let readers = secret(&other, "readers", TOKEN);
    let neighbour = TestNode::plan(&other).flag("--read-tokens").flag(readers.as_os_str()).start();
    let url = format!("other=http://{}", neighbour.address);
    let ask = |more: &[&str]| gapless(archive.path(), &[CALM, &["--peer", &url], more].concat());

    assert!(only_failure(&ask(&[]).json(1), "peer other").0.contains("requires a token"));
    let wrong = secret(&archive, "wrong", "another-0123456789abcdef");
    let told = ask(&["--token-file", text(&wrong)]);
    assert!(only_failure(&told.json(1), "peer other").0.contains("does not take the token"));
    assert!(!told.out.contains("0123456789abcdef"), "{}", told.out);
    let right = secret(&archive, "right", TOKEN);
    let told = ask(&["--token-file", text(&right)]).json(0);
    assert_eq!(check(&told, "peer other").0, "warn", "the token goes there without encryption");
    set_mode(&right, 0o644);
    assert!(only_failure(&ask(&["--token-file", text(&right)]).json(1), "peers").0.contains("chmod 600"));

    drop(neighbour);
    assert!(only_failure(&ask(&[]).json(1), "peer other").0.contains("does not answer"));
}

#[test]
fn rights_that_are_missing_are_told() {
    if !may_drop_privilege() {
        return;
    }
    let archive = archive();
    let ask = || gapless_through(WITHOUT_PRIVILEGE, archive.path(), CALM);
    let segment = archive.at(HOUR).join(&archive.listing(HOUR, false)[0]);
    set_mode(&segment, 0);
    assert!(only_failure(&ask().json(1), "archive files").0.contains(text(&segment)));
    set_mode(&segment, 0o644);
    set_mode(&archive.at(HOUR), 0o555);
    assert!(only_failure(&ask().json(1), "archive files").0.contains(HOUR));
    set_mode(&archive.at(HOUR), 0o755);
    set_mode(&archive.at(".gapless"), 0o555);
    only_failure(&ask().json(1), "state directory");
    set_mode(&archive.at(".gapless"), 0o755);
    ask().json(0);
}

#[test]
fn a_disk_that_is_full_or_read_only_is_told() {
    if !may_mount() {
        return;
    }
    let archive = archive();
    let state = archive.outside().join("state");
    fs::create_dir(&state).unwrap();
    let mount = Mount::tmpfs(&state, "4m");
    let filler = Filler::fill(&state);
    let told = gapless(archive.path(), &[CALM, &["--state-dir", text(&state)]].concat()).json(1);
    assert_eq!(check(&told, "index space").0, "fail");
    assert!(check(&told, "state directory").1.contains("No space left"), "{told:#}");
    filler.give_room();
    drop(mount);

    let mount = Mount::bind(archive.path(), archive.path());
    mount.read_only();
    let told = gapless(archive.path(), CALM).json(1);
    assert!(check(&told, "file system").1.contains("read-only"), "{told:#}");
    assert!(check(&told, "file system").2.contains("--state-dir"));
    assert_eq!(check(&told, "state directory").0, "fail", "the index lies there");
    let told = gapless(archive.path(), &[CALM, &["--state-dir", text(&state)]].concat()).json(0);
    assert_eq!(check(&told, "file system").0, "warn");
}
