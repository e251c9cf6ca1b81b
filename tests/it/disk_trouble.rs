//! Disks that are full, read-only, unreadable, not there or another one: answers stay right or are refused, nothing is concluded from
//! what is not there, and all is well again by itself when the cause is gone.

use std::fs;
use std::path::Path;

use crate::support::archive::{Snapshot, snapshot};
use crate::support::trouble::{
    Filler, Mount, WITHOUT_PRIVILEGE, is_alive, may_drop_privilege, may_mount, set_mode, wait_for_a_good_index,
};
use crate::support::{Kind, SOON, TestArchive, TestNode, eventually, invariants};

const HOUR: &str = "chan/source/2020-01-01T05";
const OLD: &str = "chan/source/2020-01-01T01";

fn fill_in(archive: &TestArchive) {
    for hour in 0..6 {
        for minute in 0..20 {
            archive.segment(&format!("chan/source/2020-01-01T0{hour}"), &format!("{minute:02}:00"), 2.0, Kind::Full);
        }
    }
}

/// On a read-only disk the daemon cannot put down a token of its own.
const WRITER: &str = "writer-writer-writer";

/// A file with that token.
fn writers() -> tempfile::NamedTempFile {
    // Made with mode 0600.
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), WRITER).unwrap();
    file
}

fn archive() -> TestArchive {
    let archive = TestArchive::empty();
    fill_in(&archive);
    archive
}

fn index_state(node: &TestNode) -> String {
    node.get("/api/v1/status").json()["index"]["state"].as_str().unwrap().to_owned()
}

/// The index equals the tree, asked over HTTP: on a read-only disk no other command can be told where the node is.
#[track_caller]
fn checks(node: &TestNode) {
    let answer = node.get_with("/api/v1/check", &[("Authorization", &format!("Bearer {WRITER}"))]);
    let lines: Vec<&str> = answer.text().lines().collect();
    assert!(lines.len() == 1 && lines[0].contains("done"), "{lines:?}");
}

/// Changes the archive until the index takes no more writes; every answer in between is right.
fn change_until_the_index_stalls(archive: &TestArchive, node: &TestNode) {
    for number in 0..30_000 {
        // Takes no room but the name.
        archive.raw(&format!("{}/{number:05}-without-content.ts", [HOUR, OLD][number % 2]), b"");
        if number % 500 == 0 {
            invariants::listings_follow_the_disk(archive, node);
            if index_state(node) != "good" {
                println!("the index takes no writes after {number} changes");
                return;
            }
        }
    }
    panic!("the index went on taking writes on a full disk");
}

fn all_goes_on_while_stalled(archive: &TestArchive, node: &TestNode) {
    let names = archive.listing(HOUR, false);
    archive.remove(&format!("{HOUR}/{}", names[0]));
    archive.tombstone(&format!("{HOUR}/{}", names[1]));
    archive.remove(&format!("{OLD}/{}", archive.listing(OLD, false)[0]));
    archive.raw("chan/new/2020-01-01T00/00:00-empty.ts", b"");
    archive.raw("new/source/2020-01-01T00/00:00-empty.ts", b"");
    archive.raw("chan/source/2020-01-02T00/00:00-empty.ts", b"");
    archive.rename_dir("chan/source/2020-01-01T03", "chan/source/2020-01-02T01");
    invariants::listings_follow_the_disk(archive, node);
    let segment = archive.listing(OLD, false).into_iter().find(|name| name.contains("full")).unwrap();
    assert_eq!(node.get(&format!("/segments/{OLD}/{segment}")).body, archive.read(&format!("{OLD}/{segment}")));
    let status = node.get("/api/v1/status").json();
    assert!(status["troubles"].as_array().is_some_and(|troubles| !troubles.is_empty()), "{status}");
}

fn recovers(archive: &TestArchive, node: &TestNode) {
    wait_for_a_good_index(node);
    node.wait_ready();
    eventually(SOON, || node.run(&["rebuild", "--check"]).code == 0);
    invariants::hold(archive, node);
    let path = archive.segment(HOUR, "59:00", 2.0, Kind::Full);
    invariants::is_listed(node, &path);
    is_alive(node);
}

#[test]
fn on_a_full_disk_answers_stay_right_and_room_mends_all() {
    if !may_mount() {
        return;
    }
    let archive = TestArchive::empty();
    let _mount = Mount::tmpfs(archive.path(), "24m");
    fill_in(&archive);
    let node = TestNode::start(&archive);
    node.wait_ready();
    let filler = Filler::fill(archive.path());
    change_until_the_index_stalls(&archive, &node);
    all_goes_on_while_stalled(&archive, &node);
    filler.give_room();
    recovers(&archive, &node);
    node.terminate();
    let node = TestNode::start(&archive);
    node.wait_ready();
    node.check();
}

#[test]
fn a_full_state_directory_hinders_nobody_and_room_mends_all() {
    if !may_mount() {
        return;
    }
    let archive = archive();
    let state = tempfile::tempdir().unwrap();
    let _mount = Mount::tmpfs(state.path(), "8m");
    let node = TestNode::plan(&archive).state_dir(state.path()).start();
    node.wait_ready();
    let filler = Filler::fill(state.path());
    change_until_the_index_stalls(&archive, &node);
    all_goes_on_while_stalled(&archive, &node);
    archive.segment("chan/more/2020-01-01T00", "00:00", 2.0, Kind::Full);
    invariants::listings_follow_the_disk(&archive, &node);
    filler.give_room();
    recovers(&archive, &node);
}

#[test]
fn a_node_that_starts_on_a_full_disk_answers_and_recovers() {
    if !may_mount() {
        return;
    }
    let archive = TestArchive::empty();
    let _mount = Mount::tmpfs(archive.path(), "8m");
    fill_in(&archive);
    archive.mkdir(".gapless");
    let filler = Filler::fill(archive.path());
    let node = TestNode::start(&archive);
    assert_ne!(index_state(&node), "good");
    all_goes_on_while_stalled(&archive, &node);
    filler.give_room();
    recovers(&archive, &node);
}

#[test]
fn a_read_only_archive_is_served_and_left_as_it_is() {
    if !may_mount() {
        return;
    }
    let tokens = writers();
    for with_state in [true, false] {
        let (archive, seen, state) = (archive(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mount = Mount::bind(archive.path(), seen.path());
        mount.read_only();
        let before = archive.snapshot();
        let plan = || {
            let plan = TestNode::plan_at(seen.path()).flag("--write-tokens").flag(tokens.path());
            if with_state { plan.state_dir(state.path()) } else { plan }
        };
        let node = plan().start();
        node.wait_ready();
        invariants::listings_follow_the_disk(&archive, &node);
        assert_eq!(before, archive.snapshot());
        // Somebody else may write to it.
        let path = archive.segment(HOUR, "30:00", 2.0, Kind::Full);
        invariants::is_listed(&node, &path);
        archive.segment("more/source/2020-01-01T00", "30:00", 2.0, Kind::Full);
        invariants::listings_follow_the_disk(&archive, &node);
        checks(&node);
        // Without a marker it is known by its channels: an empty directory in its place is not it.
        let listed = node.files(HOUR);
        let other = tempfile::tempdir().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(1200));
        let over = Mount::bind(other.path(), seen.path());
        is_refused_until(&node, || drop(over));
        assert_eq!(node.files(HOUR), listed);
        invariants::listings_follow_the_disk(&archive, &node);
        checks(&node);
        assert_eq!(index_state(&node), if with_state { "good" } else { "in-memory" });
        mount.writable();
        // An index in memory moves to the disk by itself.
        wait_for_a_good_index(&node);
        invariants::listings_follow_the_disk(&archive, &node);
        checks(&node);
        node.terminate();
        let node = plan().start();
        node.wait_ready();
        wait_for_a_good_index(&node);
        node.check();
        invariants::hold(&archive, &node);
    }
}

#[test]
fn an_archive_that_was_marked_and_becomes_read_only_and_writable_is_followed_all_the_time() {
    if !may_mount() {
        return;
    }
    let (archive, seen) = (archive(), tempfile::tempdir().unwrap());
    let node = TestNode::start(&archive);
    node.wait_ready();
    node.terminate();
    let mount = Mount::bind(archive.path(), seen.path());
    mount.read_only();
    let tokens = writers();
    let node = TestNode::plan_at(seen.path()).flag("--write-tokens").flag(tokens.path()).start();
    node.wait_ready();
    assert_eq!(index_state(&node), "in-memory");
    let path = archive.segment(HOUR, "30:00", 2.0, Kind::Full);
    invariants::is_listed(&node, &path);
    invariants::listings_follow_the_disk(&archive, &node);
    checks(&node);
    mount.writable();
    recovers(&archive, &node);
}

/// Listings are refused, with a time to come back, until `mended` has run; then they come again by themselves.
#[track_caller]
fn is_refused_until(node: &TestNode, mended: impl FnOnce()) {
    eventually(SOON, || node.get("/readyz").status == 503);
    for path in [
        "/files",
        "/files/chan",
        "/files/chan/source",
        &format!("/files/{HOUR}"),
        &format!("/files/{OLD}"),
        "/files/nothing/at/2020-01-01T00",
    ] {
        let answer = node.get(path);
        assert_eq!(answer.status, 503, "{path}: {answer:?}");
        assert!(answer.header("retry-after").is_some(), "{path}: {answer:?}");
    }
    assert_eq!(node.get("/api/v1/status").json()["disk"]["state"], "away");
    mended();
    node.wait_ready();
}

fn tombstones(tree: &Snapshot) -> usize {
    tree.keys().filter(|path| path.extension().is_some_and(|extension| extension == "tombstone")).count()
}

/// Takes the base away with `away` while a node runs, and gives it back with `back`. Nothing may be lost or learnt from that.
#[track_caller]
fn survives(what: &str, archive: &TestArchive, node: &TestNode, away: impl FnOnce(), back: impl FnOnce()) {
    eprintln!("{what}");
    invariants::hold(archive, node);
    let (before, seq) = (archive.snapshot(), node.get("/api/v1/status").json()["index"]["seq"].clone());
    away();
    is_refused_until(node, back);
    let after = archive.snapshot();
    assert_eq!(tombstones(&before), tombstones(&after));
    assert_eq!(node.get("/api/v1/status").json()["index"]["seq"], seq, "no row came or went");
    invariants::hold(archive, node);
    // And it goes on.
    let path = archive.segment(HOUR, &format!("4{}:00", before.len() % 10), 2.0, Kind::Full);
    invariants::is_listed(node, &path);
    let path = archive.segment(OLD, &format!("4{}:00", before.len() % 10), 2.0, Kind::Full);
    invariants::is_listed(node, &path);
    archive.segment(&format!("chan/q{}/2020-01-01T00", before.len()), "00:00", 2.0, Kind::Full);
    eventually(SOON, || node.run(&["rebuild", "--check"]).code == 0);
    is_alive(node);
}

#[test]
fn a_base_that_vanishes_in_any_way_takes_nothing_out_of_the_index() {
    let (archive, aside, state) = (archive(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (base, away) = (archive.path().to_owned(), aside.path().join("away"));
    let other = aside.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::create_dir_all(other.join(HOUR)).unwrap();
    let node = TestNode::plan_at(&other).start();
    node.wait_ready();
    node.terminate();
    let node = TestNode::plan(&archive).state_dir(state.path()).start();
    node.wait_ready();
    let marker = base.join(".gapless/marker");

    survives(
        "renamed away",
        &archive,
        &node,
        || fs::rename(&base, &away).unwrap(),
        || fs::rename(&away, &base).unwrap(),
    );
    let empty = || {
        fs::rename(&base, &away).unwrap();
        fs::create_dir(&base).unwrap();
    };
    let back = || {
        fs::remove_dir(&base).unwrap();
        fs::rename(&away, &base).unwrap();
    };
    survives("replaced by an empty one", &archive, &node, empty, back);
    let exchange = || {
        let flags = rustix::fs::RenameFlags::EXCHANGE;
        rustix::fs::renameat_with(rustix::fs::CWD, &base, rustix::fs::CWD, &other, flags).unwrap();
    };
    survives("replaced by another archive", &archive, &node, exchange, exchange);
    let hidden = aside.path().join("marker");
    survives(
        "marker gone",
        &archive,
        &node,
        || fs::rename(&marker, &hidden).unwrap(),
        || fs::rename(&hidden, &marker).unwrap(),
    );
    let text = fs::read(&marker).unwrap();
    survives(
        "marker emptied",
        &archive,
        &node,
        || fs::write(&marker, "").unwrap(),
        || fs::write(&marker, &text).unwrap(),
    );
    // A copy with the same marker, made while the node runs, is the archive as well.
    eprintln!("replaced by a copy of itself");
    crate::support::trouble::run("cp", &["-a", base.to_str().unwrap(), away.to_str().unwrap()]).unwrap();
    let removed = archive.listing(OLD, false).remove(0);
    fs::remove_file(away.join(OLD).join(&removed)).unwrap();
    let flags = rustix::fs::RenameFlags::EXCHANGE;
    rustix::fs::renameat_with(rustix::fs::CWD, &base, rustix::fs::CWD, &away, flags).unwrap();
    eventually(SOON, || !node.files(OLD).contains(&removed));
    let path = archive.segment(HOUR, "50:00", 2.0, Kind::Full);
    invariants::is_listed(&node, &path);
    eventually(SOON, || node.run(&["rebuild", "--check"]).code == 0);
    invariants::hold(&archive, &node);
}

#[test]
fn an_archive_that_is_unmounted_while_it_is_served_comes_back_by_itself() {
    if !may_mount() {
        return;
    }
    let (archive, seen, state) = (archive(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut mount = Some(Mount::bind(archive.path(), seen.path()));
    let node = TestNode::plan_at(seen.path()).state_dir(state.path()).start();
    node.wait_ready();
    for round in 0..3 {
        invariants::hold(&archive, &node);
        drop(mount.take());
        is_refused_until(&node, || {
            archive.segment(HOUR, &format!("5{round}:00"), 2.0, Kind::Full);
            archive.remove(&format!("{OLD}/{}", archive.listing(OLD, false)[0]));
            mount = Some(Mount::bind(archive.path(), seen.path()));
        });
        invariants::hold(&archive, &node);
        let path = archive.segment(HOUR, &format!("5{round}:30"), 2.0, Kind::Full);
        invariants::is_listed(&node, &path);
        eventually(SOON, || node.run(&["rebuild", "--check"]).code == 0);
    }
    // Nothing was left in the empty directory beneath.
    drop(mount);
    assert_eq!(fs::read_dir(seen.path()).unwrap().count(), 0);
}

/// A start must be refused with these words, and change nothing.
#[track_caller]
fn is_refused_at_start(base: &Path, state: &Path, words: &str) {
    let files = fs::read_dir(state).unwrap().count();
    let before = snapshot(base);
    let outcome = TestNode::plan_at(base).state_dir(state).refused();
    assert_eq!(outcome.code, 3, "{}", outcome.err);
    assert!(outcome.err.contains(words), "{}", outcome.err);
    assert_eq!(before, snapshot(base));
    assert!(!outcome.err.contains("panicked"), "{}", outcome.err);
    assert_eq!(fs::read_dir(state).unwrap().count(), files, "nothing was set aside");
}

#[test]
fn a_start_on_the_wrong_disk_is_refused_and_changes_nothing() {
    let (archive, state) = (archive(), tempfile::tempdir().unwrap());
    let node = TestNode::plan(&archive).state_dir(state.path()).start();
    node.wait_ready();
    let log = |node: &TestNode| node.get("/api/v1/status").json()["index"].clone();
    let (epoch, seq) = (log(&node)["epoch"].clone(), log(&node)["seq"].clone());
    node.terminate();
    let empty = tempfile::tempdir().unwrap();
    is_refused_at_start(empty.path(), state.path(), "not mounted");
    let other = self::archive();
    let node = TestNode::start(&other);
    node.wait_ready();
    node.terminate();
    is_refused_at_start(other.path(), state.path(), "mount the right disk");
    let marker = archive.read(".gapless/marker");
    archive.remove(".gapless/marker");
    is_refused_at_start(archive.path(), state.path(), "no marker");
    archive.raw(".gapless/marker", b"");
    is_refused_at_start(archive.path(), state.path(), "marker");
    archive.raw(".gapless/marker", &marker);
    let missing = empty.path().join("missing");
    let outcome = TestNode::plan_at(&missing).state_dir(state.path()).refused();
    assert_eq!(outcome.code, 3, "{}", outcome.err);
    assert!(!missing.exists());
    // With the right one all is as it was.
    let node = TestNode::plan(&archive).state_dir(state.path()).start();
    node.wait_ready();
    node.check();
    invariants::hold(&archive, &node);
    assert_eq!((&log(&node)["epoch"], &log(&node)["seq"]), (&epoch, &seq), "the index is the one it was");
}

#[test]
fn what_cannot_be_read_affects_only_itself() {
    if !may_drop_privilege() {
        return;
    }
    let archive = archive();
    archive.segment("closed/source/2020-01-01T00", "00:00", 2.0, Kind::Full);
    archive.segment("half/open/2020-01-01T00", "00:00", 2.0, Kind::Full);
    archive.segment("half/closed/2020-01-01T00", "00:00", 2.0, Kind::Full);
    // As at the top of most disks.
    archive.mkdir("lost+found");
    set_mode(&archive.at("lost+found"), 0);
    let start = || {
        TestNode::plan(&archive)
            .config("[crawl]\nminimum_cycle = \"1s\"\ncpu_share = 1\n")
            .through(WITHOUT_PRIVILEGE)
            .start()
    };
    let node = start();
    node.wait_ready();
    invariants::listings_follow_the_disk(&archive, &node);
    let known: Vec<Vec<String>> = [OLD, HOUR].iter().map(|hour| archive.listing(hour, true)).collect();
    let closed = ["closed", "half/closed", OLD, HOUR];
    let mode = |mode| closed.iter().for_each(|path| set_mode(&archive.at(path), mode));
    mode(0);
    let refused = |node: &TestNode| {
        for path in ["closed", "half/closed", "closed/source/2020-01-01T00", "half/closed/2020-01-01T00", OLD] {
            eventually(SOON, || {
                let answer = node.get(&format!("/files/{path}"));
                answer.status == 503 && answer.header("retry-after").is_some()
            });
        }
        for path in ["half/open", "half/open/2020-01-01T00", "chan", "chan/source", "chan/source/2020-01-01T03"] {
            assert_eq!(node.get(&format!("/files/{path}")).status, 200, "{path}");
        }
        assert_eq!(node.files(""), ["chan", "closed", "half"]);
    };
    refused(&node);
    // The newest hour is right as long as nothing happens in it.
    let names = |hour: &str| archive.listing(hour, true);
    assert!(node.get(&format!("/files/{HOUR}")).status == 503 || node.files_with_tombstones(HOUR) == known[1]);
    let added = archive.segment(HOUR, "30:00", 2.0, Kind::Full);
    eventually(SOON, || node.get(&format!("/files/{HOUR}")).status == 503);
    let status = node.get("/api/v1/status").json();
    assert!(status["troubles"].to_string().contains("the right to do so"), "{status}");
    assert_eq!(status["disk"]["state"], "there");
    assert_eq!(node.get("/readyz").status, 200);
    // The rest is followed as before.
    let path = archive.segment("half/open/2020-01-01T00", "30:00", 2.0, Kind::Full);
    invariants::is_listed(&node, &path);
    let path = archive.segment("chan/source/2020-01-01T06", "30:00", 2.0, Kind::Full);
    invariants::is_listed(&node, &path);
    archive.segment("fresh/source/2020-01-01T06", "30:00", 2.0, Kind::Full);
    eventually(SOON, || node.files("").len() == 4);
    mode(0o755);
    invariants::is_listed(&node, &added);
    assert_eq!((names(OLD), names(OLD)), (node.files_with_tombstones(OLD), known[0].clone()));
    eventually(SOON, || node.run(&["rebuild", "--check"]).code == 0);
    invariants::hold(&archive, &node);
    node.terminate();

    // The same from the start, also with the whole base closed for a while.
    let node = start();
    node.wait_ready();
    mode(0);
    node.kill();
    let node = start();
    node.wait_ready();
    for path in [OLD, HOUR, "closed/source/2020-01-01T00"] {
        assert_eq!(node.get(&format!("/files/{path}")).status, 503, "{path}");
    }
    assert_eq!(node.files("chan/source").len(), 7);
    mode(0o755);
    set_mode(archive.path(), 0);
    is_refused_until(&node, || set_mode(archive.path(), 0o755));
    invariants::hold(&archive, &node);
    eventually(SOON, || node.run(&["rebuild", "--check"]).code == 0);
}
