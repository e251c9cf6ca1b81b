//! A base directory that vanishes, empties, is mounted anew or is swapped for another while the crawl is in the middle of a cycle:
//! nothing leaves the index, nothing is fetched, and all goes on by itself when the right one is back (I5).

use std::cell::Cell;
use std::fs::{self, File, FileTimes};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::support::trouble::{Mount, is_alive, may_mount, text};
use crate::support::{Kind, SOON, TestArchive, TestNode, eventually, invariants};

/// More than the crawl looks at between two rests.
const HOURS: usize = 600;
/// Rests long between slices that are over at once: a cycle takes seconds and most of them pass in the middle of it. It does not rest
/// longer while the test asks how far it is: after a commit that took a second on a busy disk it would rest for 40.
const SLOWLY: &str =
    "[crawl]\nminimum_cycle = \"1s\"\nthreads = 1\nslice = \"10ms\"\ncpu_share = 0.2\nadaptive = false\n";

fn hour(number: usize) -> String {
    let quality = ["source", "480p"][number % 2];
    format!("chan/{quality}/2020-{:02}-{:02}T{:02}", 1 + number / (24 * 28), 1 + number / 24 % 28, number % 24)
}

/// Hours of one file each, which is from the future: no stamp of them is ever trusted, and each cycle reads them all.
fn hours_of_one_file(count: usize) -> TestArchive {
    let archive = TestArchive::empty();
    let future = FileTimes::new().set_modified(SystemTime::now() + Duration::from_secs(86400));
    for number in 0..count {
        let path = archive.segment(&hour(number), "00:00", 2.0, Kind::Full);
        File::open(archive.at(&path)).unwrap().set_times(future).unwrap();
    }
    archive
}

fn seq(node: &TestNode) -> u64 {
    node.get("/api/v1/status").json()["index"]["seq"].as_u64().unwrap()
}

/// Waits until the crawl has looked at some hours and not at others, in a cycle of this kind.
#[track_caller]
fn is_in_the_middle(node: &TestNode, state: &str) {
    eventually(SOON * 2, || {
        let crawl = node.get("/api/v1/status").json()["crawl"].clone();
        let (done, total) = (crawl["hours_done"].as_u64().unwrap(), crawl["hours_total"].as_u64().unwrap());
        crawl["state"] == state && done > 0 && done < total
    });
}

/// Takes the base away in the middle of a cycle and gives it back. Nothing may be lost or learnt from that.
#[track_caller]
fn survives(what: &str, node: &TestNode, state: &str, away: impl FnOnce(), back: impl FnOnce()) {
    eprintln!("{what}");
    let before = seq(node);
    is_in_the_middle(node, state);
    away();
    eventually(SOON, || node.get("/readyz").status == 503 && node.get("/files/chan/source").status == 503);
    for place in ["/files", "/files/chan", &format!("/files/{}", hour(0)), &format!("/files/{}", hour(HOURS - 1))] {
        let answer = node.get(place);
        assert_eq!(answer.status, 503, "{place}: {answer:?}");
    }
    back();
    node.wait_ready();
    assert_eq!(seq(node), before, "no row came or went");
    node.check();
    assert_eq!(node.files("chan/source").len(), HOURS / 2);
    is_alive(node);
}

fn exchange(one: &Path, other: &Path) {
    renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).unwrap();
}

/// An archive that has got a marker of its own.
fn another_archive() -> TestArchive {
    let other = TestArchive::empty();
    other.segment(&hour(0), "10:00", 2.0, Kind::Full);
    let node = TestNode::start(&other);
    node.wait_ready();
    node.terminate();
    other
}

#[test]
fn a_base_that_vanishes_in_the_middle_of_a_cycle_takes_nothing_out_of_the_index() {
    let (archive, twin, other) = (hours_of_one_file(HOURS), hours_of_one_file(40), another_archive());
    // It has some of what the base has, and would give it.
    let peer = TestNode::start(&twin);
    let state = tempfile::tempdir().unwrap();
    let plan = TestNode::plan(&archive).state_dir(state.path()).flag("--peer").flag(format!("http://{}", peer.address));
    let node = plan.config(&format!("{SLOWLY}[backfill]\ninterval = \"1s\"\n")).start();
    node.wait_ready();
    let (base, away) = (archive.path().to_owned(), archive.outside().join("away"));

    let vanish = || fs::rename(&base, &away).unwrap();
    survives("renamed away", &node, "walking", vanish, || fs::rename(&away, &base).unwrap());
    let empty = || {
        fs::create_dir(&away).unwrap();
        for entry in fs::read_dir(&base).unwrap().map(Result::unwrap) {
            fs::rename(entry.path(), away.join(entry.file_name())).unwrap();
        }
    };
    let fill = || {
        fs::remove_dir(&base).expect("nothing was written where nothing was");
        fs::rename(&away, &base).unwrap();
    };
    survives("emptied", &node, "walking", empty, fill);
    let swap = || exchange(&base, other.path());
    let held = other.snapshot();
    survives("swapped for another archive", &node, "walking", swap, swap);
    assert_eq!(other.snapshot(), held, "the other archive is as it was");
    let path = archive.segment(&hour(7), "30:00", 2.0, Kind::Full);
    invariants::is_listed(&node, &path);
}

#[test]
fn a_base_that_is_mounted_anew_in_the_middle_of_a_cycle_is_the_same_archive() {
    if !may_mount() {
        return;
    }
    let (archive, seen, state) = (hours_of_one_file(HOURS), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mount = Cell::new(Some(Mount::bind(archive.path(), seen.path())));
    let node = TestNode::plan_at(seen.path()).state_dir(state.path()).config(SLOWLY).start();
    node.wait_ready();
    let unmount = || drop(mount.take());
    let mount_anew = || {
        assert_eq!(fs::read_dir(seen.path()).unwrap().count(), 0);
        mount.set(Some(Mount::bind(archive.path(), seen.path())));
    };
    survives("unmounted", &node, "walking", unmount, mount_anew);
    let over = Cell::new(None);
    let mount_over = || over.set(Some(Mount::tmpfs(seen.path(), "1m")));
    let unmount_over = || {
        assert_eq!(fs::read_dir(seen.path()).unwrap().count(), 0);
        drop(over.take());
    };
    survives("an empty disk mounted over it", &node, "walking", mount_over, unmount_over);
    // The same again: nobody is away, the handle is exchanged in the middle of the cycle.
    let before = seq(&node);
    is_in_the_middle(&node, "walking");
    let _once_more = Mount::bind(archive.path(), seen.path());
    let path = archive.segment(&hour(HOURS - 1), "30:00", 2.0, Kind::Full);
    invariants::is_listed(&node, &path);
    node.wait_ready();
    eventually(SOON, || node.run(&["rebuild", "--check"]).code == 0);
    assert_eq!(seq(&node), before + 1, "one file came");
}

#[test]
fn a_base_that_is_swapped_while_the_node_catches_up_takes_nothing_out_of_the_index() {
    let traced = Command::new("strace").args(["-o", "/dev/null", "true"]).output();
    if !traced.as_ref().is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: system calls cannot be traced here: {traced:?}");
        return;
    }
    let (archive, other, state) = (hours_of_one_file(HOURS), another_archive(), tempfile::tempdir().unwrap());
    let plan = || TestNode::plan(&archive).state_dir(state.path()).config("[crawl]\nthreads = 1\n");
    let node = plan().start();
    node.wait_ready();
    let before = seq(&node);
    node.terminate();
    // Each reading of a directory is made to take 0.3 ms longer, twice.
    let slow =
        ["strace", "-D", "-f", "-o", "/dev/null", "-e", "trace=getdents64", "-e", "inject=getdents64:delay_enter=300"];
    let node = plan().through(&slow).start();
    let swap = || exchange(archive.path(), other.path());
    survives("swapped while it catches up", &node, "catching-up", swap, swap);
    assert_eq!(seq(&node), before, "{}", text(archive.path()));
}
