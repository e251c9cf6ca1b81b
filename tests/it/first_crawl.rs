//! The first crawl: right answers from the first moment, however slow the disk; and next to no work where nothing has changed.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use crate::support::trouble::{Chance, text};
use crate::support::{Kind, SOON, TestArchive, TestNode, eventually, invariants};

/// From when on a directory that nobody changes is believed to show every later change.
const SETTLES: Duration = Duration::from_millis(2200);

fn may_trace() -> bool {
    let traced = Command::new("strace").args(["-o", "/dev/null", "true"]).output();
    let works = traced.as_ref().is_ok_and(|output| output.status.success());
    if !works {
        eprintln!("SKIPPED: system calls cannot be traced here: {traced:?}");
    }
    works
}

fn many_hours(count: usize) -> TestArchive {
    let archive = TestArchive::empty();
    for number in 0..count {
        let (month, day, hour) = (1 + number / (24 * 28), 1 + number / 24 % 28, number % 24);
        let place = format!("chan/{}/2020-{month:02}-{day:02}T{hour:02}", ["source", "480p"][number % 2]);
        archive.segment(&place, "00:00", 2.0, Kind::Full);
        let second = archive.segment(&place, "00:02", 2.0, Kind::Full);
        if number % 10 == 0 {
            archive.tombstone(&second);
        }
    }
    archive
}

#[test]
fn every_answer_is_right_from_the_first_second_of_a_slow_first_crawl() {
    if !may_trace() {
        return;
    }
    let archive = many_hours(2000);
    let hours = archive.all_hours();
    assert_eq!(hours.len(), 2000);
    // Two threads read directories; each reading of one is made to take 2 ms longer, twice.
    let slow =
        ["strace", "-D", "-f", "-o", "/dev/null", "-e", "trace=getdents64", "-e", "inject=getdents64:delay_enter=2000"];
    let node = TestNode::plan(&archive).through(&slow).start();
    assert_eq!(node.get("/readyz").status, 503);
    let mut chance = Chance::new("first crawl");
    let mut asked_before_ready = 0;
    // Hours that were not read yet would look like holes.
    for what in ["coverage", "holes", "timespans", "timeline", "map"] {
        let (_, detail) = node.get(&format!("/api/v1/{what}/chan/source")).problem(503);
        assert!(detail.contains("catching up"), "{detail}");
    }
    assert!(!node.get("/metrics").text().contains("raw_holes"));
    loop {
        let hour = &hours[chance.below(hours.len())];
        assert_eq!(node.files(hour), archive.listing(hour, false), "{hour}");
        assert_eq!(node.files_with_tombstones(hour), archive.listing(hour, true), "{hour}");
        if asked_before_ready % 10 == 0 {
            assert_eq!(node.files("chan"), archive.qualities("chan"));
            assert_eq!(node.files("chan/source"), archive.hours("chan/source"));
        }
        if node.get("/readyz").status == 200 {
            break;
        }
        asked_before_ready += 1;
    }
    println!("{asked_before_ready} hours were asked for and right before the node was ready");
    assert!(asked_before_ready > 10);
}

#[test]
fn a_start_on_an_unchanged_archive_reads_no_directory_of_it() {
    if !may_trace() {
        return;
    }
    let archive = many_hours(300);
    sleep(SETTLES);
    let node = TestNode::start(&archive);
    node.wait_ready();
    node.terminate();
    let scratch = tempfile::tempdir().unwrap();
    let trace = scratch.path().join("trace");
    let tracer = ["strace", "-D", "-f", "-y", "-o", text(&trace), "-e", "trace=getdents64"];
    let node = TestNode::plan(&archive).through(&tracer).start();
    node.wait_ready();
    // What it read up to here; nothing of it channel, quality or hour.
    let beneath = format!("{}/chan", archive.path().display());
    let calls = fs::read_to_string(&trace).unwrap();
    let read: Vec<&str> = calls.lines().filter(|line| line.contains(&beneath)).collect();
    assert!(read.is_empty(), "{read:#?}");
    println!("{} calls of getdents64, all for the base directory itself or outside the archive", calls.lines().count());
    node.check();
    let calls_of_a_check = fs::read_to_string(&trace).unwrap();
    assert!(calls_of_a_check.contains(&beneath), "the trace tells what is read: {calls_of_a_check}");
    // And a change is seen nevertheless.
    let path = archive.segment("chan/source/2020-01-01T00", "10:00", 2.0, Kind::Full);
    invariants::is_listed(&node, &path);
}

/// Gives a file or directory another time of change.
fn set_modified(path: &Path, to: std::time::SystemTime) {
    fs::File::open(path).unwrap().set_modified(to).unwrap();
}

#[test]
fn a_directory_whose_time_was_set_back_after_a_change_is_read_nevertheless() {
    let archive = many_hours(20);
    let (old, new) = ("chan/source/2020-01-01T02", "chan/source/2020-01-01T18");
    sleep(SETTLES);
    let node = TestNode::start(&archive);
    node.wait_ready();
    let add_and_set_back = |time: &str| {
        for hour in [old, new] {
            let before = archive.at(hour).metadata().unwrap().modified().unwrap();
            archive.segment(hour, time, 2.0, Kind::Full);
            set_modified(&archive.at(hour), before);
        }
    };
    add_and_set_back("10:00");
    eventually(SOON, || [old, new].iter().all(|hour| node.files(hour) == archive.listing(hour, false)));
    node.terminate();
    sleep(SETTLES);
    add_and_set_back("11:00");
    let node = TestNode::start(&archive);
    node.wait_ready();
    node.check();
    invariants::hold(&archive, &node);
}

#[test]
fn times_that_lie_in_the_future_hide_no_change() {
    let archive = many_hours(20);
    let (old, new) = ("chan/source/2020-01-01T02", "chan/source/2020-01-01T18");
    let future = std::time::SystemTime::now() + Duration::from_hours(24 * 3650);
    for hour in [old, new] {
        for name in archive.listing(hour, true) {
            set_modified(&archive.at(hour).join(name), future);
        }
        set_modified(&archive.at(hour), future);
    }
    set_modified(&archive.at("chan/source"), future);
    set_modified(&archive.at("chan"), future);
    let node = TestNode::start(&archive);
    node.wait_ready();
    node.check();
    for hour in [old, new] {
        let path = archive.segment(hour, "10:00", 2.0, Kind::Full);
        set_modified(&archive.at(hour), future);
        invariants::is_listed(&node, &path);
    }
    archive.segment("chan/source/2020-01-05T00", "00:00", 2.0, Kind::Full);
    archive.segment("chan/240p/2020-01-05T00", "00:00", 2.0, Kind::Full);
    set_modified(&archive.at("chan"), future);
    invariants::hold(&archive, &node);
    node.kill();
    archive.segment(old, "20:00", 2.0, Kind::Full);
    set_modified(&archive.at(old), future);
    let node = TestNode::start(&archive);
    node.wait_ready();
    node.check();
    invariants::hold(&archive, &node);
}
