//! Whatever happens in the archive while the node runs is listed at once, and the index is right about it without being asked.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::process::Signal;

use crate::support::trouble::run;
use crate::support::{Kind, SOON, TestArchive, TestNode, eventually, invariants, quoted};

const HOUR: &str = "chan/source/2020-01-01T05";
const BEFORE: &str = "chan/source/2020-01-01T04";
/// Not among the newest two: it holds no watch.
const OLD: &str = "chan/source/2020-01-01T01";

fn archive() -> TestArchive {
    let archive = TestArchive::empty();
    for hour in 0..6 {
        for minute in 0..3 {
            archive.segment(&format!("chan/source/2020-01-01T0{hour}"), &format!("0{minute}:00"), 2.0, Kind::Full);
        }
    }
    archive
}

fn watched() -> (TestArchive, TestNode) {
    let archive = archive();
    let node = TestNode::start(&archive);
    node.wait_ready();
    (archive, node)
}

/// The index comes right by itself, before anybody asks for an hour; then the answers are right as well.
#[track_caller]
fn comes_right_unasked(archive: &TestArchive, node: &TestNode) {
    eventually(SOON * 4, || node.run(&["rebuild", "--check"]).code == 0);
    invariants::hold(archive, node);
}

#[test]
fn whatever_happens_to_a_file_in_a_watched_hour_is_noticed() {
    let (archive, node) = watched();
    let step = |what: &str, change: &dyn Fn()| {
        eprintln!("{what}");
        change();
        comes_right_unasked(&archive, &node);
    };
    let one = archive.listing(HOUR, false).remove(0);
    let (here, there) = (archive.at(HOUR), archive.at(BEFORE));
    step("renamed into place", &|| drop(archive.segment(HOUR, "10:00", 2.0, Kind::Full)));
    step("linked", &|| {
        fs::hard_link(archive.at(OLD).join(&archive.listing(OLD, false)[0]), here.join("11:00-linked.ts")).unwrap();
    });
    step("written by somebody who does not rename", &|| {
        let mut file = fs::File::create(here.join("12:00-foreign.ts")).unwrap();
        for part in 0..5 {
            file.write_all(&[part; 1000]).unwrap();
            std::thread::sleep(Duration::from_millis(30));
        }
    });
    step("grown in place", &|| {
        let mut file = fs::OpenOptions::new().append(true).open(here.join("12:00-foreign.ts")).unwrap();
        file.write_all(b"more").unwrap();
    });
    step("replaced by another size", &|| archive.raw(&format!("{HOUR}/11:00-linked.ts"), &[7; 5000]));
    step("removed", &|| archive.remove(&format!("{HOUR}/11:00-linked.ts")));
    step("renamed between hours", &|| fs::rename(here.join(&one), there.join(&one)).unwrap());
    step("tombstone added", &|| drop(archive.tombstone(&format!("{BEFORE}/{one}"))));
    step("tombstone removed", &|| archive.remove(&format!("{BEFORE}/{}", one.replace(".ts", ".tombstone"))));
    step("tombstone without a segment", &|| drop(archive.tombstone(&format!("{HOUR}/{one}"))));
    step("and the segment after it", &|| {
        fs::copy(there.join(&one), here.join(&one)).unwrap();
    });
    step("temp and its final name", &|| {
        let temp = archive.segment(HOUR, "20:00", 2.0, Kind::Temp);
        fs::rename(archive.at(&temp), archive.at(&temp.replace("-temp-", "-full-"))).unwrap();
    });
    step("from its final name to a hidden one", &|| {
        let name = archive.listing(HOUR, false).remove(1);
        fs::rename(here.join(&name), here.join(format!(".{name}"))).unwrap();
    });
    archive.raw(&format!("{HOUR}/30:00-small.ts"), b"small");
    step("exchanged with another", &|| {
        let (small, large) = (here.join("30:00-small.ts"), here.join("12:00-foreign.ts"));
        renameat_with(CWD, small, CWD, large, RenameFlags::EXCHANGE).unwrap();
    });
    assert!(node.files(HOUR).len() > 2);
}

#[test]
fn junk_is_neither_listed_nor_harmful() {
    let (archive, node) = watched();
    let listed = node.files(HOUR);
    archive.raw(&format!("{HOUR}/.hidden.ts"), b"x");
    archive.raw(&format!("{HOUR}/deep/er/00:00-x.ts"), b"x");
    archive.mkdir(&format!("{HOUR}/00:01-directory.ts"));
    archive.symlink("/etc/passwd", &format!("{HOUR}/00:02-link.ts"));
    archive.mkdir("chan/source/no-hour/2020-01-01T09");
    archive.raw("chan/source/file", b"x");
    archive.raw("chan/source/2020-01-01T08", b"a file in place of an hour");
    archive.raw(".hidden/source/2020-01-01T08/00:00-x.ts", b"x");
    fs::write(archive.at(HOUR).join(OsStr::from_bytes(b"00:03-\xff.ts")), b"x").unwrap();
    run("mkfifo", &[archive.at(&format!("{HOUR}/00:04-pipe.ts")).to_str().unwrap()]).unwrap();
    archive.raw(&format!("{HOUR}/garbage.ts"), b"listed, because others list it");
    comes_right_unasked(&archive, &node);
    assert_eq!(node.files(HOUR), [listed, vec!["garbage.ts".to_owned()]].concat());
}

#[test]
fn directories_that_come_and_go_whole_are_noticed() {
    let (archive, node) = watched();
    let step = |what: &str, change: &dyn Fn()| {
        eprintln!("{what}");
        change();
        comes_right_unasked(&archive, &node);
    };
    // On the same file system, and hidden from the node.
    for hour in 0..40 {
        let staged = format!(".staged/many/source/2021-01-{:02}T0{}", 1 + hour / 4, hour % 4);
        archive.segment(&staged, "00:00", 2.0, Kind::Full);
    }
    archive.segment(".staged/2020-01-01T05", "30:00", 2.0, Kind::Full);
    let moved = |from: &str, to: &str| archive.rename_dir(from, to);
    step("an hour out", &|| moved(HOUR, ".staged/out"));
    step("an hour in", &|| moved(".staged/out", HOUR));
    step("an hour replaced by another of its name", &|| {
        moved(HOUR, ".staged/out");
        moved(".staged/2020-01-01T05", HOUR);
    });
    step("exchanged with the one it replaced", &|| {
        renameat_with(CWD, archive.at(HOUR), CWD, archive.at(".staged/out"), RenameFlags::EXCHANGE).unwrap();
    });
    step("an old hour exchanged", &|| {
        renameat_with(CWD, archive.at(OLD), CWD, archive.at(".staged/out"), RenameFlags::EXCHANGE).unwrap();
    });
    step("an hour under another hour's name", &|| moved(BEFORE, "chan/source/2020-01-01T07"));
    step("a whole channel in", &|| moved(".staged/many", "many"));
    step("its quality under another name", &|| moved("many/source", "many/other"));
    step("the channel under another name", &|| moved("many", "more"));
    step("something new in what was moved", &|| {
        archive.segment("more/other/2021-01-10T03", "10:00", 2.0, Kind::Full);
        archive.segment("more/other/2021-01-11T00", "10:00", 2.0, Kind::Full);
    });
    step("a channel exchanged with another", &|| {
        renameat_with(CWD, archive.at("more"), CWD, archive.at("chan"), RenameFlags::EXCHANGE).unwrap();
    });
    step("a whole channel out", &|| moved("more", ".staged/more"));
    step("an hour removed", &|| archive.remove("chan/other/2021-01-11T00"));
    step("a channel removed", &|| archive.remove("chan"));
    assert!(node.files("").is_empty());
}

#[test]
fn no_file_in_a_directory_that_was_just_made_is_lost() {
    let (archive, node) = watched();
    for number in 0..200 {
        let (day, hour) = (1 + number / 24, number % 24);
        archive.segment(&format!("chan/source/2020-03-{day:02}T{hour:02}"), "00:00", 2.0, Kind::Full);
    }
    comes_right_unasked(&archive, &node);
    for number in 0..200 {
        archive.segment(&format!("chan{number}/source/2020-03-01T00"), "00:00", 2.0, Kind::Full);
    }
    comes_right_unasked(&archive, &node);
    for number in 0..200 {
        archive.segment(&format!("chan/quality{number}/2020-03-01T00"), "00:00", 2.0, Kind::Full);
    }
    comes_right_unasked(&archive, &node);
    assert_eq!((node.files("").len(), node.files("chan").len()), (201, 201));
}

#[test]
fn a_quality_that_waits_long_for_its_first_hour_is_listed_when_it_has_one() {
    let (archive, node) = watched();
    // More of them than are watched.
    for number in 0..40 {
        archive.mkdir(&format!("chan/empty{number}"));
    }
    eventually(SOON, || node.get("/api/v1/status").json()["watch"]["watches"].as_u64().unwrap() > 15);
    assert_eq!(node.files("chan"), ["source"]);
    for number in 0..40 {
        archive.segment(&format!("chan/empty{number}/2020-01-01T00"), "00:00", 2.0, Kind::Full);
    }
    eventually(SOON, || node.files("chan").len() == 41);
    comes_right_unasked(&archive, &node);
}

#[test]
fn hours_that_nobody_watches_are_right_at_the_next_question() {
    let (archive, node) = watched();
    let mut expected = node.files(OLD);
    for round in 0..5 {
        let added = archive.segment(OLD, &format!("3{round}:00"), 2.0, Kind::Full);
        let changed = Instant::now();
        invariants::is_listed(&node, &added);
        assert!(changed.elapsed() < SOON, "{:?}", changed.elapsed());
        archive.remove(&format!("{OLD}/{}", expected.remove(0)));
        expected = archive.listing(OLD, false);
        eventually(SOON, || node.files(OLD) == expected);
    }
    invariants::hold(&archive, &node);
}

#[test]
fn every_new_segment_is_listed_while_fifty_a_second_arrive() {
    const SECONDS: u32 = 10;
    let (archive, node) = watched();
    let hour = "chan/source/2020-01-01T06";
    archive.mkdir(hour);
    let (tell, told) = mpsc::channel();
    let mut latencies = std::thread::scope(|scope| {
        let archive = &archive;
        scope.spawn(move || {
            let begun = Instant::now();
            for number in 0..50 * SECONDS {
                let time = format!("{:02}:{:02}.{}", number / 60, number % 60, 123_456);
                let due = begun + Duration::from_millis(20) * number;
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                let path = archive.segment(hour, &time, 2.0, Kind::Full);
                tell.send((path.rsplit_once('/').unwrap().1.to_owned(), Instant::now())).unwrap();
            }
        });
        let mut connection = node.connect();
        let path = format!("/files/{}", quoted(hour));
        let (mut arrived, mut listed) = (HashMap::new(), HashMap::new());
        let begun = Instant::now();
        while listed.len() < 50 * SECONDS as usize {
            assert!(begun.elapsed() < SOON + Duration::from_secs(SECONDS.into()), "{} are listed", listed.len());
            for name in connection.request("GET", &path, &[]).list() {
                listed.entry(name).or_insert_with(Instant::now);
            }
            arrived.extend(told.try_iter());
            std::thread::sleep(Duration::from_millis(1));
        }
        arrived.extend(told.iter());
        listed.into_iter().map(|(name, seen)| seen.saturating_duration_since(arrived[&name])).collect::<Vec<_>>()
    });
    latencies.sort_unstable();
    let (p50, p99) = (latencies[latencies.len() / 2], latencies[latencies.len() * 99 / 100]);
    println!("listed after: p50 {p50:?}, p99 {p99:?}, worst {:?}", latencies.last().unwrap());
    invariants::hold(&archive, &node);
}

#[test]
fn an_overflow_of_the_event_queue_loses_nothing_and_is_counted() {
    let (archive, node) = watched();
    let queue: usize = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap().trim().parse().unwrap();
    if queue > 100_000 {
        eprintln!("SKIPPED: the event queue holds {queue} events, too many to overflow it");
        return;
    }
    // The base, the channel, the quality, and the two newest hours: what is not watched yet would be left to the crawl.
    eventually(SOON, || node.get("/api/v1/status").json()["watch"]["watches"].as_u64().unwrap() >= 5);
    archive.segment(BEFORE, "05:00", 2.0, Kind::Full);
    comes_right_unasked(&archive, &node);
    node.signal(Signal::STOP);
    // Each is at least three events: made, written, renamed.
    // Some may be read before the node has stopped.
    for number in 0..=queue / 3 + 500 {
        archive.raw(&format!("{HOUR}/{number:06}.ts"), b"x");
    }
    // All that follows is told by nobody.
    archive.segment("lost/source/2020-01-01T00", "00:00", 2.0, Kind::Full);
    archive.segment("chan/source/2020-01-01T06", "00:00", 2.0, Kind::Full);
    let gone = archive.listing(BEFORE, false).remove(0);
    archive.remove(&format!("{BEFORE}/{gone}"));
    archive.rename_dir(OLD, "chan/moved/2020-01-01T01");
    node.signal(Signal::CONT);
    comes_right_unasked(&archive, &node);
    assert!(node.get("/api/v1/status").json()["watch"]["overflows"].as_u64().unwrap() >= 1);
    // Watching goes on.
    let path = archive.segment("lost/source/2020-01-01T00", "10:00", 2.0, Kind::Full);
    invariants::is_listed(&node, &path);
    comes_right_unasked(&archive, &node);
}

fn nothing_is_lost_without_watches(archive: &TestArchive, node: &TestNode, advice: &str) {
    node.wait_ready();
    eventually(SOON, || {
        let status = node.get("/api/v1/status").json();
        status["watch"]["unwatched"].as_u64().unwrap() > 0 && status["troubles"].to_string().contains(advice)
    });
    for minute in 10..15 {
        archive.segment(HOUR, &format!("{minute}:00"), 2.0, Kind::Full);
        let path = archive.segment(&format!("chan{minute}/source/2020-01-01T00"), "00:00", 2.0, Kind::Full);
        invariants::is_listed(node, &path);
        comes_right_unasked(archive, node);
    }
    archive.remove("chan10");
    archive.rename_dir(BEFORE, "chan/source/2020-01-01T06");
    comes_right_unasked(archive, node);
}

#[test]
fn without_watches_of_the_system_nothing_is_lost_and_the_status_says_what_to_do() {
    let limit = "echo 3 > /proc/sys/user/max_inotify_watches";
    if let Err(why) = run("unshare", &["-U", "-r", "sh", "-c", limit]) {
        eprintln!("SKIPPED: the limit of watches cannot be lowered: {why}");
        return;
    }
    let archive = archive();
    let wrapper = ["unshare", "-U", "-r", "sh", "-c", &format!("{limit}; exec \"$@\""), "sh"];
    let node = TestNode::plan(&archive).through(&wrapper).start();
    nothing_is_lost_without_watches(&archive, &node, "fs.inotify.max_user_watches");
}

#[test]
fn without_configured_watches_nothing_is_lost_and_the_status_says_so() {
    let archive = archive();
    let node = TestNode::plan(&archive).config("[watch]\nmax_watches = 2\n").start();
    nothing_is_lost_without_watches(&archive, &node, "configured");
}

#[test]
fn channels_that_change_places_again_and_again_are_listed_as_they_lie() {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    let archive = TestArchive::empty();
    for (channel, second) in [("a", 0), ("b", 1)] {
        for quality in ["q0", "q1"] {
            archive.segment(&format!("{channel}/{quality}/2020-01-01T07"), &format!("00:0{second}"), 2.0, Kind::Full);
        }
    }
    let node = TestNode::start(&archive);
    node.wait_ready();
    let (a, b) = (archive.path().join("a"), archive.path().join("b"));
    for round in 0..24_u64 {
        for step in 0..=round % 5 {
            renameat_with(CWD, &a, CWD, &b, RenameFlags::EXCHANGE).unwrap();
            std::thread::sleep(std::time::Duration::from_millis((round * 7 + step * 5) % 13));
        }
        eventually(SOON, || {
            ["a/q0", "a/q1", "b/q0", "b/q1"].iter().all(|quality| {
                let hour = format!("{quality}/2020-01-01T07");
                node.files(&hour) == archive.listing(&hour, false)
            })
        });
    }
    invariants::hold(&archive, &node);
    node.check();
}

#[test]
fn five_thousand_hours_at_once_are_all_listed_soon() {
    let archive = TestArchive::empty();
    archive.segment("c/q/1999-01-01T00", "00:00", 2.0, Kind::Full);
    let node = TestNode::start(&archive);
    node.wait_ready();
    for number in 0..5_000_u32 {
        let hour = format!(
            "c/q/{}-{:02}-{:02}T{:02}",
            2000 + number / 8_000,
            1 + number / 672,
            1 + number / 24 % 28,
            number % 24
        );
        std::fs::create_dir(archive.path().join(hour)).unwrap();
    }
    eventually(SOON, || node.get("/files/c/q").json().as_array().unwrap().len() == 5_001);
    node.check();
}
