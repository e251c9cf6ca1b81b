//! Real players on real video: ffmpeg and ffprobe read what the node tells, also while it is being recorded.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use chrono::{DateTime, Timelike as _, Utc};

use crate::playback::{time, told};
use crate::support::hls;
use crate::support::video::{self, RATE, Recorder};
use crate::support::{SOON, TestArchive, TestNode, eventually};

const STREAM: &str = "chan/source";

/// The time of a frame, and a little for what is rounded.
const A_FRAME: f64 = 1.01 / 30.0;

fn name(start_us: i64, each: f64, kind: &str) -> (String, String) {
    let start: DateTime<Utc> = DateTime::from_timestamp_micros(start_us).unwrap();
    let hour = format!("{STREAM}/{}", start.format("%Y-%m-%dT%H"));
    let micros = start.nanosecond() / 1_000;
    (hour, format!("{:02}:{:02}.{micros:06}-{each:?}-{kind}", start.minute(), start.second()))
}

/// Puts a segment into place as a recorder does; says its path.
fn put(archive: &TestArchive, start_us: i64, each: f64, kind: &str, content: &[u8]) -> String {
    let (hour, prefix) = name(start_us, each, kind);
    archive.named(&hour, &prefix, "ts", content)
}

/// What players complain about beside time that jumps and packets that are not counted on, as many times as there are holes.
fn but_for_holes(complaints: &[String], holes: usize) -> Vec<&str> {
    let of_time = ["timestamp", "discontinuity", "dts", "pts"];
    let mut breaks = 0;
    let is_more = |line: &&str| {
        let is_of_packets = line.contains("orrupt");
        breaks += usize::from(line.starts_with("[mpegts") && is_of_packets);
        breaks > holes || !is_of_packets && !of_time.iter().any(|word| line.to_ascii_lowercase().contains(word))
    };
    complaints.iter().map(String::as_str).filter(is_more).collect()
}

fn url(node: &TestNode, path: &str) -> String {
    format!("http://{}{path}", node.address)
}

#[test]
fn real_players_see_every_frame_of_playlists_and_cuts() {
    let archive = TestArchive::empty();
    let node = TestNode::start(&archive);
    let contents = video::segments(12, 2.0);
    // Across an hour.
    let start_us = DateTime::parse_from_rfc3339("2019-11-13T02:59:50Z").unwrap().timestamp_micros();
    let at = |number: i64| start_us + number * 2_000_000;
    for (number, content) in (0..).zip(&contents) {
        put(&archive, at(number), 2.0, "full", content);
    }
    let window = |from: i32, to: i32| format!("start={}&end={}", time(at(from.into())), time(at(to.into())));
    let count = |window: &str| {
        let answer = node.get(&format!("/playlist/{STREAM}.m3u8?{window}"));
        if answer.status == 200 { hls::valid(answer.text()).entries.len() } else { 0 }
    };
    // A list that is asked for before all of them are known only ever grows: what it told once stays in it when it is deleted.
    let known = |hour: &str| node.get(&format!("/files/{STREAM}/{hour}")).text().matches("-full-").count();
    eventually(SOON, || known("2019-11-13T02") + known("2019-11-13T03") == 12);
    eventually(SOON, || count(&window(0, 12)) == 12 && count(&window(3, 7)) == 4);
    let list = |window: &str| url(&node, &format!("/playlist/{STREAM}.m3u8?{window}"));
    let cut = |window: &str| url(&node, &format!("/cut/{STREAM}.ts?{window}&allow_holes=true&type=rough"));
    eventually(SOON, || {
        hls::valid(node.get(&format!("/playlist/{STREAM}.m3u8?{}", window(0, 12))).text()).entries.len() == 12
    });
    for (from, to) in [(0, 12), (3, 7)] {
        let seconds = 2.0 * f64::from(to - from);
        let window = window(from, to);
        for address in [list(&window), cut(&window)] {
            let seen = video::watch(&address);
            assert_eq!(seen.complaints, [""; 0], "{address}");
            assert_eq!(seen.frames, 2 * RATE * usize::try_from(to - from).unwrap(), "{address}");
            assert!((seen.seconds - seconds).abs() < A_FRAME, "{address}: {seen:?}");
        }
    }
    assert_eq!(video::play(&list(&window(0, 12))), [""; 0]);
    assert_eq!(video::play(&cut(&window(0, 12))), [""; 0]);

    // With a hole, and one at the end: nothing worse than time that jumps.
    for number in [4, 5, 11] {
        let (hour, prefix) = name(at(number), 2.0, "full");
        let listed = archive.listing(&hour, false);
        archive.remove(&format!("{hour}/{}", listed.iter().find(|name| name.starts_with(&prefix)).unwrap()));
    }
    eventually(SOON, || count(&window(0, 12)) == 9 && count(&window(0, 11)) == 9);
    for (to, seconds) in [(11, Some(18.0)), (12, None)] {
        let seen = video::watch(&list(&window(0, to)));
        assert_eq!(seen.frames, 9 * 2 * RATE, "{seen:?}");
        assert_eq!(but_for_holes(&seen.complaints, 1), [""; 0]);
        // Without an end nobody can know how long it will be.
        assert!(seconds.is_none_or(|seconds: f64| (seen.seconds - seconds).abs() < A_FRAME), "{seen:?}");
    }
    assert_eq!(video::watch(&cut(&window(0, 12))).frames, 9 * 2 * RATE);
}

/// Half a second each.
const EACH_US: i64 = 500_000;
const COUNT: i64 = 14;

/// How far the recorder's clock is behind: what is missing is waited for by the clock of the names.
const BEHIND_US: i64 = 10_000_000;

/// Follows a list as players do.
struct Follower<'a> {
    node: &'a TestNode,
    path: String,
    text: String,
    fetched: BTreeSet<String>,
}

impl<'a> Follower<'a> {
    fn new(node: &'a TestNode, query: &str) -> Self {
        let path = format!("/playlist/{STREAM}.m3u8?{query}");
        Self { node, path, text: String::new(), fetched: BTreeSet::new() }
    }

    /// Asks again; the list is sound, goes on from what it was, and what is new is there.
    #[track_caller]
    fn ask(&mut self) -> hls::Media {
        let answer = self.node.get(&self.path);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let media = hls::valid(answer.text());
        assert!(hls::is_continued(&self.text, answer.text()), "--- was\n{}--- is\n{}", self.text, answer.text());
        answer.text().clone_into(&mut self.text);
        for entry in &media.entries {
            if self.fetched.insert(entry.uri.clone()) {
                let segment = self.node.get(&entry.uri);
                assert_eq!((segment.status, segment.header("content-type")), (200, Some("video/MP2T")));
            }
        }
        media
    }
}

#[test]
fn a_stream_is_watched_while_it_is_recorded_with_late_missing_and_duplicate_segments() {
    let archive = TestArchive::empty();
    let node = TestNode::start(&archive);
    node.wait_ready();
    let begun = Instant::now();
    // To the millisecond, as recorders write it.
    let first_us = Utc::now().timestamp_millis() * 1_000 - BEHIND_US;
    let at = |number: i64| first_us + number * EACH_US;
    let put = |number: i64, kind: &str, content: &[u8]| put(&archive, at(number), 0.5, kind, content);
    let recorder = Recorder::start(7.0, 0.5);
    let mut contents: Vec<Vec<u8>> = Vec::new();
    let mut open = Follower::new(&node, &format!("start={}", time(first_us)));
    let mut ended = Follower::new(&node, &format!("start={}&end={}", time(first_us), time(at(COUNT))));
    let mut paths: Vec<String> = Vec::new();
    let mut was_waiting = false;
    let has_told = |follower: &Follower, path: &String| {
        told(&hls::valid(&follower.text), STREAM).contains(&path.strip_prefix("chan/source/").map(str::to_owned))
    };
    while !hls::read(&ended.text).is_ok_and(|list| list.has_ended) {
        assert!(begun.elapsed() < Duration::from_secs(40), "it does not end\n{}", ended.text);
        while let Some(content) = recorder.finished(contents.len()) {
            match contents.len() {
                // Not sure at first, then sound.
                1 => drop(put(1, "suspect", &content)),
                3 | 8 => {}
                // Twice, by two recorders, and a piece of it.
                5 => {
                    put(5, "full", &[&content[..], &content[..188]].concat());
                    put(5, "partial", &content[..1_880]);
                    put(5, "temp", &content);
                }
                number => drop(put(i64::try_from(number).unwrap(), "full", &content)),
            }
            contents.push(content);
            match contents.len() {
                4 => paths.push(put(1, "full", &contents[1])),
                7 => paths.push(put(3, "full", &contents[3])),
                _ => {}
            }
        }
        if !contents.is_empty() {
            for follower in [&mut open, &mut ended] {
                eventually(SOON, || node.get(&follower.path).status == 200);
                follower.ask();
            }
            let is_held = open.text.matches("#EXTINF").count() == 8;
            was_waiting |= is_held && contents.len() > 11 && !open.text.contains("DISCONTINUITY");
        }
        std::thread::sleep(Duration::from_millis(300));
    }
    assert!(was_waiting, "what comes after the missing one was not held back\n{}", open.text);
    // It was asked just before the other one, and may have been held back then for the last time.
    open.ask();
    assert!(paths.iter().all(|path| has_told(&open, path) && has_told(&ended, path)), "{paths:?}\n{}", open.text);
    // All but the missing one, in order, each once.
    let starts: Vec<i64> = (0..COUNT).filter(|number| *number != 8).map(at).collect();
    for follower in [&open, &ended] {
        let media = hls::valid(&follower.text);
        assert_eq!(media.entries.iter().map(|entry| entry.time_us.unwrap()).collect::<Vec<_>>(), starts);
        let broken: Vec<usize> = (0..13).filter(|at| media.entries[*at].is_after_discontinuity).collect();
        assert_eq!(broken, [8], "{}", follower.text);
    }
    assert!(!hls::valid(&open.text).has_ended);

    let address = url(&node, &ended.path);
    let seen = video::watch(&address);
    assert_eq!(seen.frames, 13 * RATE / 2, "{seen:?}");
    assert!((seen.seconds - 6.5).abs() < A_FRAME, "{seen:?}");
    assert_eq!(but_for_holes(&video::play(&address), 1), [""; 0]);

    // The missing one comes after all: too late for those who follow, in time for whoever begins now. What was told stays told.
    let late = put(8, "full", &contents[8]);
    archive.tombstone(&paths[0]);
    let all = format!("/api/v1/sequence/{STREAM}");
    let is_known = || node.get(&all).text().contains(late.rsplit('/').next().unwrap());
    let gone = format!("/segments/{}", paths[0].replace(':', "%3A"));
    eventually(SOON, || is_known() && node.get(&gone).status == 410);
    for follower in [&mut open, &mut ended] {
        let before = follower.text.clone();
        follower.ask();
        assert_eq!(before, follower.text);
    }
    let mut fresh = Follower::new(&node, &format!("start={}&end={}", time(at(2)), time(at(COUNT))));
    fresh.ask();
    assert!(has_told(&fresh, &late) && !fresh.text.contains("DISCONTINUITY"), "{}", fresh.text);
}
