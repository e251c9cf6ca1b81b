//! Segments that do not come as they should, at the beginning of a stream, while it runs, and at its end: what they hold up, and what becomes of them.

use std::fmt::Write as _;
use std::fs::File;
use std::process::Child;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, Utc};
use parking_lot::Mutex;

use crate::recording::{of_kind, recorded};
use crate::support::broadcast::Broadcast;
use crate::support::node::gapless_begun;
use crate::support::scripted_origin::{Answer, ScriptedOrigin};
use crate::support::trouble::Chance;
use crate::support::{SOON, TestArchive, TestNode, eventually, gapless};

/// Contents that differ.
pub fn contents() -> Broadcast {
    Broadcast::plan("c", true, 0, 10_000, &mut Chance::of(1))
}

/// A media playlist of these addresses, half a second each.
pub fn list(first: u64, uris: &[impl AsRef<str>], time: Option<DateTime<Utc>>, has_ended: bool) -> Vec<u8> {
    let mut text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:{first}\n");
    if let Some(time) = time {
        writeln!(text, "#EXT-X-PROGRAM-DATE-TIME:{}", time.to_rfc3339_opts(SecondsFormat::Millis, true)).unwrap();
    }
    for uri in uris {
        writeln!(text, "#EXTINF:0.5,\n{}", uri.as_ref()).unwrap();
    }
    if has_ended {
        text += "#EXT-X-ENDLIST\n";
    }
    text.into_bytes()
}

/// A recorder that nobody waits for; it ends with the value.
struct Begun(Child);

impl Begun {
    fn record(archive: &TestArchive, url: &str) -> Self {
        Self(gapless_begun(archive.path(), &["record", "c", url, "--for", "5m"], tempfile::tempfile().unwrap()))
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The number in `sNUMBER.ts`, with or without a query.
pub fn number(path: &str) -> Option<usize> {
    path.split('?').next()?.strip_prefix('s')?.strip_suffix(".ts")?.parse().ok()
}

pub fn names(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| format!("s{number}.ts")).collect()
}

#[test]
fn a_first_segment_that_trickles_does_not_hold_up_the_others() {
    let content = contents();
    let origin = ScriptedOrigin::begin(move |path| match number(path) {
        Some(0) => Answer::Trickles(content.content(0)),
        Some(at) => Answer::Is(content.content(at)),
        None => Answer::Is(list(0, &names(0..6), None, false)),
    });
    let archive = TestArchive::empty();
    let recording = Begun::record(&archive, &origin.url("live.m3u8"));
    eventually(SOON, || of_kind(&recorded(&archive, "c/source"), "full").len() == 5);
    // One after the other, as they are.
    let starts: Vec<i64> =
        crate::recording::in_order(&recorded(&archive, "c/source")).iter().map(|(start, ..)| *start).collect();
    assert!(starts.windows(2).all(|pair| pair[1] - pair[0] == 500_000), "{starts:?}");
    drop(recording);
}

#[test]
fn what_the_last_playlist_lists_is_fetched_to_its_end_although_it_is_not_there_yet() {
    let content = contents();
    let (begun, started) = (Instant::now(), Utc::now());
    let origin = ScriptedOrigin::begin(move |path| match number(path) {
        Some(2) if begun.elapsed() < Duration::from_secs(3) => Answer::Status(404),
        Some(3) if begun.elapsed() < Duration::from_secs(4) => Answer::Status(503),
        Some(at) => Answer::Is(content.content(at)),
        None => Answer::Is(list(0, &names(0..4), Some(started), true)),
    });
    let archive = TestArchive::empty();
    let done = gapless(archive.path(), &["record", "c", &origin.url("live.m3u8")]);
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(of_kind(&recorded(&archive, "c/source"), "full").len(), 4, "{done:?}");
}

#[test]
fn a_stream_that_goes_on_after_its_end_is_recorded_further_and_nothing_of_it_comes_twice() {
    let content = contents();
    let listed = Arc::new(Mutex::new(list(0, &names(0..3), None, true)));
    let lists = Arc::clone(&listed);
    let origin = ScriptedOrigin::begin(move |path| match number(path) {
        Some(at) => Answer::Is(content.content(at)),
        None => Answer::Is(lists.lock().clone()),
    });
    let archive = TestArchive::empty();
    let section = format!("[[record]]\nchannel = \"c\"\nsource = \"{}\"\n", origin.url("live.m3u8"));
    let node = TestNode::plan(&archive).config(&section).start();
    let count = || recorded(&archive, "c/source").len();
    let state = || node.get("/api/v1/recorders").json()["recorders"][0]["streams"][0]["state"].clone();
    eventually(SOON, || count() == 3 && state() == "waiting");
    // It is looked at again and again.
    let looks = || origin.counts()["live.m3u8"];
    let before = looks();
    eventually(SOON, || looks() > before + 1);
    *listed.lock() = list(1, &names(1..5), None, false);
    eventually(SOON, || count() == 5 && state() == "working");
    // And once more, by an encoder that begins anew.
    *listed.lock() = list(1, &names(1..6), None, true);
    eventually(SOON, || count() == 6 && state() == "waiting");
    *listed.lock() = list(0, &names(6..8), None, false);
    eventually(SOON, || count() == 8);
    let often: Vec<_> =
        origin.counts().into_iter().filter(|(path, count)| number(path).is_some() && *count > 1).collect();
    assert!(often.is_empty(), "{often:?}");
    node.check();
}

#[test]
fn a_segment_is_asked_for_where_the_newest_playlist_says_that_it_is() {
    let content = contents();
    let (begun, started) = (Instant::now(), Utc::now());
    // Addresses hold for a second.
    let signature = move || begun.elapsed().as_secs();
    let origin = ScriptedOrigin::begin(move |path| match number(path) {
        // At first its server has a problem.
        Some(1) if begun.elapsed() < Duration::from_secs(4) => Answer::Status(503),
        Some(at) if path.ends_with(&format!("?signature={}", signature())) => Answer::Is(content.content(at)),
        Some(_) => Answer::Status(403),
        None => {
            let signed = names(0..4).iter().map(|name| format!("{name}?signature={}", signature())).collect::<Vec<_>>();
            Answer::Is(list(0, &signed, Some(started), false))
        }
    });
    let archive = TestArchive::empty();
    let recording = Begun::record(&archive, &origin.url("live.m3u8"));
    eventually(SOON, || of_kind(&recorded(&archive, "c/source"), "full").len() == 4);
    drop(recording);
}

#[test]
fn another_address_is_asked_for_before_one_expires_that_says_so() {
    let content = contents();
    let started = Utc::now();
    // Each playlist address holds for eight seconds from when it was given, and is refused after that.
    let origin = ScriptedOrigin::begin(move |path| {
        let now = Utc::now();
        if let Some(at) = number(path) {
            return Answer::Is(content.content(at));
        }
        let Some(expires) = path.strip_prefix("live.m3u8?expires=") else {
            let expires = now.timestamp() + 8;
            let master = format!("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlive.m3u8?expires={expires}\n");
            return Answer::Is(master.into_bytes());
        };
        if expires.parse::<i64>().unwrap() < now.timestamp() {
            return Answer::Status(403);
        }
        let at = usize::try_from((now - started).num_milliseconds() / 500).unwrap();
        let first = at.saturating_sub(10);
        let time = started + chrono::TimeDelta::milliseconds(500 * i64::try_from(first).unwrap());
        Answer::Is(list(first as u64, &names(first..(at + 1).min(20)), Some(time), false))
    });
    let archive = TestArchive::empty();
    let said = tempfile::NamedTempFile::new().unwrap();
    let log: File = said.reopen().unwrap();
    let mut recording = gapless_begun(archive.path(), &["record", "c", &origin.url("master"), "--for", "5m"], log);
    let addresses = || {
        let mut all: Vec<String> = origin.asked().into_iter().filter(|path| path.starts_with("live")).collect();
        all.dedup();
        all
    };
    eventually(SOON, || addresses().len() > 2);
    recording.kill().unwrap();
    recording.wait().unwrap();
    let told = std::fs::read_to_string(said.path()).unwrap();
    assert!(!told.contains("403"), "{told}");
}

#[test]
fn a_recorder_that_is_started_anew_finds_what_rounded_durations_have_shifted() {
    let content = contents();
    let (first, started) = (Arc::new(Mutex::new(0)), Utc::now());
    let window = Arc::clone(&first);
    // Segments last 503 ms, their durations are rounded, and the time of the first one is told alone.
    let origin = ScriptedOrigin::begin(move |path| {
        if let Some(at) = number(path) {
            return Answer::Is(content.content(at));
        }
        let first = *window.lock();
        let time = started + chrono::TimeDelta::milliseconds(503 * i64::try_from(first).unwrap());
        Answer::Is(list(first as u64, &names(first..8), Some(time), true))
    });
    let archive = TestArchive::empty();
    let url = origin.url("live.m3u8");
    for begin in [0, 2, 4] {
        *first.lock() = begin;
        let done = gapless(archive.path(), &["record", "c", &url]);
        assert_eq!(done.code, 0, "{done:?}");
    }
    assert_eq!(recorded(&archive, "c/source").len(), 8);
    let often: Vec<_> =
        origin.counts().into_iter().filter(|(path, count)| number(path).is_some() && *count > 1).collect();
    assert!(often.is_empty(), "{often:?}");
    // Another recorder, which saw another window, has recorded one of them under a time of its own.
    let (path, bytes) = recorded(&archive, "c/source").pop_last().unwrap();
    archive.remove(&path);
    let (place, name) = path.rsplit_once('/').unwrap();
    let time: f64 = name[3..].split('-').next().unwrap().parse().unwrap();
    let other =
        format!("{place}/{}{:09.6}{}", &name[..3], (time + 0.009).min(59.999_999), &name[name.find('-').unwrap()..]);
    archive.raw(&other, &bytes);
    let done = gapless(archive.path(), &["record", "c", &url]);
    assert_eq!(done.code, 0, "{done:?}");
    let there = recorded(&archive, "c/source");
    assert!(there.len() == 8 && there.contains_key(&other), "{:?}", there.keys());
}

#[test]
fn an_ended_stream_behind_addresses_that_differ_each_time_is_recorded_once() {
    for in_path in [false, true] {
        let content = contents();
        let tokens = Arc::new(Mutex::new(0));
        let origin = ScriptedOrigin::begin(move |path| {
            let name = path.rsplit('/').next().unwrap();
            if let Some(at) = number(name) {
                return Answer::Is(content.content(at));
            }
            if path.starts_with("master") {
                *tokens.lock() += 1;
                let token = *tokens.lock();
                let address = if in_path { format!("{token}/live.m3u8") } else { format!("live.m3u8?token={token}") };
                return Answer::Is(format!("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{address}\n").into_bytes());
            }
            Answer::Is(list(0, &names(0..12), None, true))
        });
        let archive = TestArchive::empty();
        let done = gapless(archive.path(), &["record", "c", &origin.url("master")]);
        assert!(done.code == 0 && recorded(&archive, "c/source").len() == 12, "{done:?}");
        let section = format!("[[record]]\nchannel = \"c\"\nsource = \"{}\"\n", origin.url("master"));
        let node = TestNode::plan(&archive).config(&section).start();
        let begun = Instant::now();
        let before = origin.counts()["master"];
        eventually(SOON, || origin.counts()["master"] > before + 4);
        let (took, counts) = (begun.elapsed().as_secs(), origin.counts());
        let segments: usize = counts.iter().filter(|(path, _)| path.contains(".ts")).map(|(_, count)| count).sum();
        // Once by each recorder.
        assert!(segments <= 24, "{segments} after {took} s: {counts:?}");
        assert_eq!(recorded(&archive, "c/source").len(), 12, "in a path: {in_path}");
        node.terminate();
    }
}

#[test]
fn a_segment_that_is_cut_off_until_its_server_has_all_of_it_comes_whole() {
    let content = contents();
    let begun = Instant::now();
    let origin = ScriptedOrigin::begin(move |path| match number(path) {
        Some(1) if begun.elapsed() < Duration::from_secs(2) => Answer::BreaksOff(content.content(1)),
        Some(2) if begun.elapsed() < Duration::from_secs(2) => Answer::Is(content.content(2)[..188 * 3].to_vec()),
        Some(at) => Answer::Is(content.content(at)),
        None => Answer::Is(list(0, &names(0..4), Some(DateTime::UNIX_EPOCH), false)),
    });
    let archive = TestArchive::empty();
    let recording = Begun::record(&archive, &origin.url("live.m3u8"));
    eventually(SOON, || of_kind(&recorded(&archive, "c/source"), "full").len() == 4);
    drop(recording);
}

#[test]
fn where_segments_are_refused_although_the_playlist_answers_another_address_of_it_is_asked_for() {
    let content = contents();
    let given = Arc::new(Mutex::new(0));
    let origin = ScriptedOrigin::begin(move |path| {
        let now = *given.lock();
        if let Some(at) = number(path) {
            // The first session has run out behind the second segment.
            let is_held = path.ends_with("=2") || at < 2;
            return if is_held { Answer::Is(content.content(at)) } else { Answer::Status(403) };
        }
        let Some(session) = path.strip_prefix("live.m3u8?session=") else {
            *given.lock() = (now + 1).min(2);
            let master = format!("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlive.m3u8?session={}\n", (now + 1).min(2));
            return Answer::Is(master.into_bytes());
        };
        let signed: Vec<String> = names(0..8).iter().map(|name| format!("{name}?session={session}")).collect();
        Answer::Is(list(0, &signed, Some(DateTime::UNIX_EPOCH), false))
    });
    let archive = TestArchive::empty();
    let recording = Begun::record(&archive, &origin.url("master"));
    eventually(SOON, || of_kind(&recorded(&archive, "c/source"), "full").len() == 8);
    drop(recording);
}

#[test]
fn a_slate_that_is_the_same_again_and_again_is_recorded_each_time_where_times_are_told() {
    let content = contents();
    let origin = ScriptedOrigin::begin(move |path| {
        if number(path).is_some() {
            return Answer::Is(content.content(0));
        }
        let mut text = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n".to_owned();
        for number in 0..6 {
            writeln!(text, "#EXT-X-PROGRAM-DATE-TIME:2026-11-29T10:00:{number:02}Z").unwrap();
            writeln!(text, "#EXTINF:1,\ns{number}.ts").unwrap();
        }
        Answer::Is((text + "#EXT-X-ENDLIST\n").into_bytes())
    });
    let archive = TestArchive::empty();
    let done = gapless(archive.path(), &["record", "c", &origin.url("live.m3u8")]);
    assert_eq!(recorded(&archive, "c/source").len(), 6, "{done:?}");
}
