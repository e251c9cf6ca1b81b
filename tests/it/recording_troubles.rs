//! All troubles of recording at once and at random: three nodes record streams that are restarted, jump, pause, end and go on, one of them encrypted by
//! keys that change, over lines that drop, stall, cut off, refuse, repeat old playlists and let addresses expire, while the nodes are killed and
//! their disks run full.
//!
//! `GAPLESS_SEED` gives a storm again, as far as time lets it; `GAPLESS_TROUBLE_SECONDS` lets it last.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

use crate::recording::{of_kind, recorded};
use crate::support::archive::hash_text;
use crate::support::broadcast::{Broadcast, LinePlan};
use crate::support::live_origin::LiveOrigin;
use crate::support::trouble::{Chance, Filler, Mount, may_mount};
use crate::support::{SOON, TestArchive, TestNode};

/// How long it storms; then all is calm for a while.
const STORM: u64 = 10_000;
const CALM: u64 = 5_000;
/// And so long the streams go on at least while everything is looked at.
const AFTER: u64 = 60_000;
const RECORDERS: usize = 3;
/// Whether the source tells times, and whether its segments are encrypted and signed.
const STREAMS: [(bool, bool); 3] = [(true, false), (true, true), (false, false)];
/// For so long a recorder may wait before it asks again for what failed; what is listed and can be had for longer has to be there.
const REACHED_WITHIN: u64 = 6_500;
/// A recorder that is started anew places what it gets by the first segment that it has already, and drift that was let out since is a hole.
const OF_DRIFT: f64 = 0.1;
/// When a stream is elsewhere and its old playlist stands still, so long until that is known.
const STILL: u64 = 7_000;

/// A node, and when it ran and had room.
struct Member {
    node: Option<TestNode>,
    filler: Option<Filler>,
    ran: Vec<Range<u64>>,
    had_room: Vec<Range<u64>>,
    logs: String,
    state: tempfile::TempDir,
    // Unmounted before the directory below goes.
    mount: Option<Mount>,
    archive: TestArchive,
}

impl Member {
    fn new(may_fill: bool) -> Self {
        let archive = TestArchive::empty();
        let mount = may_fill.then(|| Mount::tmpfs(archive.path(), "24m"));
        let (state, had_room) = (tempfile::tempdir().unwrap(), std::iter::once(0..u64::MAX).collect());
        Self { node: None, filler: None, ran: Vec::new(), had_room, logs: String::new(), state, mount, archive }
    }

    fn start(&mut self, number: usize, origin: &LiveOrigin) {
        let section = |(of, stream): (usize, &Broadcast)| {
            format!("[[record]]\nchannel = \"{}\"\nsource = \"{}\"\n", stream.name, origin.url(number, of))
        };
        let config: String = origin.broadcasts().iter().enumerate().map(section).collect();
        let plan = TestNode::plan(&self.archive).state_dir(self.state.path()).config(&config);
        self.node = Some(plan.env("GAPLESS_COVERAGE_MAPS", "off").start());
        self.ran.push(origin.now()..u64::MAX);
    }

    fn kill(&mut self, origin: &LiveOrigin) {
        let Some(node) = self.node.take() else { return };
        self.ran.last_mut().unwrap().end = origin.now();
        self.logs += &node.log();
        self.logs += "--- killed\n";
        node.kill();
    }

    fn fill(&mut self, origin: &LiveOrigin) {
        if self.mount.is_some() && self.filler.is_none() {
            self.had_room.last_mut().unwrap().end = origin.now();
            self.filler = Some(Filler::fill(self.archive.path()));
        }
    }

    fn give_room(&mut self, origin: &LiveOrigin) {
        if let Some(filler) = self.filler.take() {
            filler.give_room();
            self.had_room.push(origin.now()..u64::MAX);
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Blow {
    Start,
    Room,
    Kill,
    Fill,
}

/// What happens to the nodes, and when.
fn blows(length: u64, chance: &mut Chance) -> Vec<(u64, Blow, usize)> {
    let mut all = Vec::new();
    for number in 0..RECORDERS {
        let mut now = 0;
        loop {
            now += 2_500 + chance.below(9_000) as u64;
            if now >= length {
                break;
            }
            let (begin, end, most) = match chance.below(3) {
                0 => (Blow::Fill, Blow::Room, 4_000),
                1 => (Blow::Kill, Blow::Start, 300),
                _ => (Blow::Kill, Blow::Start, 6_000),
            };
            all.push((now, begin, number));
            now = (now + 10 + chance.below(most) as u64).min(length);
            all.push((now, end, number));
        }
    }
    all.sort_unstable();
    all
}

/// Where all of these overlap.
fn both(one: &[Range<u64>], other: &[Range<u64>]) -> Vec<Range<u64>> {
    let pairs = one.iter().flat_map(|one| other.iter().map(move |other| (one, other)));
    pairs
        .map(|(one, other)| one.start.max(other.start)..one.end.min(other.end))
        .filter(|range| range.start < range.end)
        .collect()
}

/// The segments of a stream that a recorder has to have: it ran and had room, and the line was good, for long enough of the time for which they were listed.
fn reached(
    origin: &LiveOrigin,
    member: &Member,
    number: usize,
    of: usize,
    (over, late): (u64, u64),
) -> BTreeSet<usize> {
    let (broadcast, line) = (&origin.broadcasts()[of], origin.line(number, of));
    let could = both(&both(&member.ran, &member.had_room), &line.calm());
    let has_to = |(at, aired): (usize, &crate::support::broadcast::Aired)| {
        let run = &broadcast.runs[aired.run];
        let is_elsewhere = aired.run > 0
            && broadcast.runs[aired.run - 1].stays
            && broadcast.runs[aired.run - 1].address != run.address;
        let known = if is_elsewhere { run.begins + STILL + late } else { 0 };
        let refused = line.refuses(at, aired).map_or(0, |(_, lasts)| lasts);
        let listed = aired.listed.start.saturating_add(refused).max(known)..aired.listed.end;
        let longest = both(&could, &[listed]).iter().map(|range| range.end - range.start).max().unwrap_or(0);
        (aired.listed.start < over && longest >= REACHED_WITHIN + late).then_some(at)
    };
    broadcast.segments.iter().enumerate().filter_map(has_to).collect()
}

/// The path of a segment of which the time is told.
fn told_path(broadcast: &Broadcast, at: usize, begun_us: i64) -> String {
    let start = begun_us + i64::try_from(broadcast.segments[at].start).unwrap() * 1_000;
    let start = chrono::DateTime::from_timestamp_micros(start).unwrap();
    let (hour, time) = (start.format("%Y-%m-%dT%H"), start.format("%M:%S%.6f"));
    format!("{}/source/{hour}/{time}-0.5-full-{}.ts", broadcast.name, hash_text(&broadcast.content(at)))
}

/// Everything `full` is exactly what was published, once, under the name that it has to have; what is `partial` is a part. Says which there are.
fn nothing_is_wrong(broadcast: &Broadcast, begun_us: i64, all: &BTreeMap<String, Vec<u8>>) -> BTreeSet<usize> {
    let published: BTreeMap<Vec<u8>, usize> =
        (0..broadcast.segments.len()).map(|at| (broadcast.content(at), at)).collect();
    let mut there = BTreeSet::new();
    for (path, bytes) in of_kind(all, "full") {
        let Some(at) = published.get(bytes).copied() else { panic!("{path} is nothing that was published") };
        assert!(path.ends_with(&format!("-{}.ts", hash_text(bytes))), "{path}");
        let names = || of_kind(all, "full").into_iter().filter(|(_, other)| *other == bytes).map(|(path, _)| path);
        assert!(there.insert(at), "{path} is there a second time: {:?}", names().collect::<Vec<_>>());
        if broadcast.tells_times {
            assert_eq!(path, told_path(broadcast, at, begun_us));
        }
    }
    for (path, bytes) in of_kind(all, "partial") {
        assert!(published.keys().any(|whole| whole.starts_with(bytes)), "{path} is no part of anything");
    }
    assert_eq!(of_kind(all, "suspect").into_keys().collect::<Vec<_>>(), Vec::<&str>::new());
    there
}

/// The holes of a stream that have no reason of its recorder.
fn unexplained(node: &TestNode, stream: &str) -> Vec<serde_json::Value> {
    const REASONS: [&str; 6] =
        ["source_offline", "source_stalled", "source_skipped", "not_received", "disk_full", "not_recording"];
    let holes = node.get(&format!("/api/v1/holes/{stream}")).json()["holes"].clone();
    let mut holes = holes.as_array().cloned().unwrap_or_default();
    let is_explained = |hole: &serde_json::Value| REASONS.contains(&hole["reason"].as_str().unwrap_or_default());
    holes.retain(|hole| !is_explained(hole) && hole["seconds"].as_f64().unwrap() > OF_DRIFT);
    holes
}

/// Nothing lies in the archive but what is listed.
fn left_nothing(archive: &TestArchive) {
    for hour in archive.all_hours() {
        let hidden = std::fs::read_dir(archive.at(&hour))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let hidden: Vec<String> = hidden
            .filter(|name| name.starts_with('.') || !name.contains("-full-") && !name.contains("-partial-"))
            .collect();
        assert_eq!(hidden, Vec::<String>::new(), "{hour}");
    }
    let arriving = std::fs::read_dir(archive.at(".gapless/arriving")).into_iter().flatten();
    assert_eq!(arriving.map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>(), Vec::<std::ffi::OsString>::new());
}

/// Looks until the storm and the calm are over; says by how much this machine was late at most.
fn watch(until: Instant) -> u64 {
    const NAP: Duration = Duration::from_millis(20);
    let mut most = Duration::ZERO;
    while Instant::now() < until {
        let slept = Instant::now();
        thread::sleep(NAP);
        most = most.max(slept.elapsed().saturating_sub(NAP));
    }
    u64::try_from(most.as_millis()).unwrap()
}

#[test]
fn in_all_troubles_at_once_recorders_have_what_they_could_reach_and_nothing_wrong_and_every_hole_has_a_reason() {
    let storm = std::env::var("GAPLESS_TROUBLE_SECONDS").ok().and_then(|text| text.parse::<u64>().ok());
    let storm = storm.map_or(STORM, |seconds| seconds * 1_000);
    let mut chance = Chance::new("recording troubles");
    let seed = chance.below(usize::MAX) as u64;
    let may_fill = may_mount();
    let of = |what: u64| Chance::of(seed ^ what.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let plan = |(at, (tells, is_protected)): (usize, &(bool, bool))| {
        let planned = Broadcast::plan(&format!("c{at}"), *tells, storm, CALM + AFTER, &mut of(at as u64 + 1));
        Broadcast { is_protected: *is_protected, ..planned }
    };
    let broadcasts: Vec<Broadcast> = STREAMS.iter().enumerate().map(plan).collect();
    // Made before anything has to be in time.
    broadcasts[0].content(0);
    let line = |number: usize, stream: usize| {
        LinePlan::plan(storm, &mut Chance::of(seed ^ (number as u64 * 16 + stream as u64 + 1) << 20))
    };
    let lines = (0..RECORDERS).map(|number| (0..STREAMS.len()).map(|stream| line(number, stream)).collect()).collect();
    let blows = blows(storm, &mut Chance::of(seed ^ 0xb10e));
    let mut members: Vec<Member> = (0..RECORDERS).map(|_| Member::new(may_fill)).collect();
    let origin = LiveOrigin::begin(broadcasts, lines, seed);
    let until = Instant::now() + Duration::from_millis(storm + CALM);
    let watching = thread::spawn(move || watch(until));
    for (number, member) in members.iter_mut().enumerate() {
        member.start(number, &origin);
    }
    let mut slowest = origin.now() / RECORDERS as u64;
    for (at, blow, number) in &blows {
        thread::sleep(Duration::from_millis(at.saturating_sub(origin.now())));
        println!("{:6} node {number}: {blow:?}", origin.now());
        let member = &mut members[*number];
        match blow {
            Blow::Kill => member.kill(&origin),
            Blow::Start => {
                let begun = origin.now();
                member.start(*number, &origin);
                slowest = slowest.max(origin.now() - begun);
            }
            Blow::Fill => member.fill(&origin),
            Blow::Room => member.give_room(&origin),
        }
    }
    let late = watching.join().unwrap() * 4 + slowest;
    println!("{:6} it is over; what is late by {late} ms is let pass", origin.now());
    let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(&origin, &mut members, late)));
    if let Err(panic) = checked {
        println!("--- what was asked, milliseconds after {} µs\n{}", origin.begun_us(), origin.told("").join("\n"));
        for broadcast in origin.broadcasts() {
            println!("--- {:?}", broadcast.runs);
        }
        for (number, member) in members.iter().enumerate() {
            println!("--- node {number} ran {:?} and had room {:?}\n{}", member.ran, member.had_room, member.logs);
        }
        std::panic::resume_unwind(panic);
    }
}

fn check(origin: &LiveOrigin, members: &mut [Member], late: u64) {
    let over = origin.now();
    let mut wrong = Vec::new();
    for (of, broadcast) in origin.broadcasts().iter().enumerate() {
        let stream = format!("{}/source", broadcast.name);
        let mut union = BTreeSet::new();
        for (number, member) in members.iter().enumerate() {
            let has_to = reached(origin, member, number, of, (over, late));
            let begun = Instant::now();
            let (mut all, mut missing);
            loop {
                all = nothing_is_wrong(broadcast, origin.begun_us(), &recorded(&member.archive, &stream));
                missing = has_to.difference(&all).copied().collect::<Vec<_>>();
                if missing.is_empty() || begun.elapsed() > SOON {
                    break;
                }
                thread::sleep(Duration::from_millis(100));
            }
            println!(
                "{stream} on node {number}: {} of {}, {} had to be",
                all.len(),
                broadcast.segments.len(),
                has_to.len()
            );
            let missing =
                missing.iter().map(|at| format!("node {number} has no {stream} {at}: {:?}", broadcast.segments[*at]));
            wrong.extend(missing);
            union.append(&mut all);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for (number, member) in members.iter_mut().enumerate() {
        let node = member.node.take().unwrap();
        let begun = Instant::now();
        for broadcast in origin.broadcasts() {
            let stream = format!("{}/source", broadcast.name);
            while !unexplained(&node, &stream).is_empty() && begun.elapsed() < SOON {
                thread::sleep(Duration::from_millis(100));
            }
            let left = unexplained(&node, &stream);
            for hole in left {
                let begins = chrono::DateTime::parse_from_rfc3339(hole["start"].as_str().unwrap()).unwrap();
                let after = begins.timestamp_micros() - origin.begun_us();
                wrong.push(format!(
                    "the hole of {stream} on node {number}, {after} µs after the beginning, has no reason: {hole}"
                ));
            }
        }
        assert!(!node.log().contains("panicked"), "{}", node.log());
        member.logs += &node.log();
        node.terminate();
        left_nothing(&member.archive);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
