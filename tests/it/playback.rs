//! What people watch: whatever window is asked for, sequence, playlist and cut say the same, and it is what the specification says of
//! the names on disk.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use chrono::DateTime;
use percent_encoding::percent_decode_str;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;

use crate::support::model::{self, Best};
use crate::support::{Connection, Kind, SOON, TestArchive, TestNode, eventually, hls, quoted};

const HOUR_US: i64 = 3_600_000_000;

/// Microseconds since 1970 as a time.
pub fn time(us: i64) -> String {
    DateTime::from_timestamp_micros(us).unwrap().format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

/// The best segments of a stream as it lies on disk.
pub fn best_on_disk(archive: &TestArchive, stream: &str) -> Vec<Best> {
    let sized = |hour: &String| {
        let entries = fs::read_dir(archive.at(&format!("{stream}/{hour}"))).unwrap().map(Result::unwrap);
        let names = entries.map(|entry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().len()));
        (hour.clone(), names.collect())
    };
    model::best(&archive.hours(stream).iter().map(sized).collect::<Vec<_>>())
}

/// What a list tells as a sequence: `HOUR/NAME`, and nothing where something is missing.
pub fn told(media: &hls::Media, stream: &str) -> Vec<Option<String>> {
    let mut told = Vec::new();
    for entry in media.entries.iter().filter(|entry| !entry.is_gap) {
        if entry.is_after_discontinuity {
            told.push(None);
        }
        let path = percent_decode_str(&entry.uri).decode_utf8().unwrap();
        told.push(Some(path.strip_prefix(&format!("/segments/{stream}/")).expect(&path).to_owned()));
    }
    if !media.has_ended {
        told.push(None);
    }
    told
}

/// Where the samples' encoder begins again although the names go on: its time stamps run back by six minutes, as ffprobe says, too.
const BEGINS_AGAIN: [&str; 6] = [
    "2019-11-13T03/56:46.123456-",
    "2019-11-13T06/58:53.991001-",
    "2019-11-13T07/16:23.997001-",
    "2019-11-13T03/01:31.002001-",
    "2019-11-13T06/58:08.123456-",
    "2019-11-13T07/15:20.030000-",
];

/// What a list tells of a sequence: also where the names go on and what is in the segments does not.
fn with_changes(sequence: &[Option<String>]) -> Vec<Option<String>> {
    let mut told: Vec<Option<String>> = Vec::new();
    for piece in sequence {
        let begins_again = |path: &String| BEGINS_AGAIN.iter().any(|begin| path.starts_with(begin));
        if piece.as_ref().is_some_and(begins_again) && told.last().is_some_and(Option::is_some) {
            told.push(None);
        }
        told.push(piece.clone());
    }
    told
}

/// Asks one node about one stream, in every way there is.
struct Viewer<'a> {
    archive: &'a TestArchive,
    stream: &'a str,
    connection: Connection,
}

impl<'a> Viewer<'a> {
    fn new(archive: &'a TestArchive, node: &TestNode, stream: &'a str) -> Self {
        Self { archive, stream, connection: node.connect() }
    }

    /// The answers for a window of the past are all this sequence.
    #[track_caller]
    fn agrees(&mut self, start: &str, end: &str, expected: &[Option<String>]) {
        let window = format!("start={start}&end={end}");
        let about = format!("{} {window}", self.stream);
        let stream = quoted(self.stream);
        let answer = self.connection.request("GET", &format!("/api/v1/sequence/{stream}?{window}"), &[]);
        assert_eq!(answer.status, 200, "{about}: {answer:?}");
        let of =
            |piece: &Value| piece.as_object().map(|piece| format!("{}/{}", text(&piece["hour"]), text(&piece["name"])));
        let sequence: Vec<_> = answer.json()["sequence"].as_array().unwrap().iter().map(of).collect();
        assert_eq!(sequence, expected, "{about}: the sequence");

        let answer = self.connection.request("GET", &format!("/playlist/{stream}.m3u8?{window}"), &[]);
        assert_eq!(answer.status, 200, "{about}: {answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/vnd.apple.mpegurl"));
        let media = hls::valid(answer.text());
        assert_eq!(told(&media, self.stream), with_changes(expected), "{about}: the playlist\n{}", answer.text());
        let is_whole = media.has_ended;
        assert_eq!(media.list_type.as_deref(), Some(if is_whole { "VOD" } else { "EVENT" }), "{about}");
        assert_eq!(
            media.begin.is_none(),
            is_whole,
            "{about}: what is over and has no end is to be begun at its beginning"
        );

        let pieces = expected.iter().flatten();
        let bytes: Vec<u8> = pieces.flat_map(|path| self.archive.read(&format!("{}/{path}", self.stream))).collect();
        let holes = expected.iter().filter(|piece| piece.is_none()).count();
        let cut = format!("/cut/{stream}.ts?{window}&type=rough");
        let strict = self.connection.request("GET", &cut, &[]);
        let lenient = self.connection.request("GET", &format!("{cut}&allow_holes=true"), &[]);
        if expected.iter().flatten().count() == 0 {
            strict.problem(406);
            lenient.problem(406);
            return;
        }
        assert_eq!(lenient.status, 200, "{about}");
        assert!(lenient.body == bytes, "{about}: the cut is not its segments back to back");
        if holes == 0 {
            assert!(strict.status == 200 && strict.body == bytes, "{about}");
        } else {
            strict.problem(406);
            assert_eq!(strict.json()["holes"].as_array().unwrap().len(), holes, "{about}: {:?}", strict.json());
        }
    }

    /// The answers are what the model says of what lies on disk.
    #[track_caller]
    fn agrees_with(&mut self, best: &[Best], start_us: i64, end_us: i64) {
        let sequence = model::sequence(best, start_us, end_us);
        let paths: Vec<Option<String>> = sequence.into_iter().map(|piece| piece.map(|piece| piece.path)).collect();
        self.agrees(&time(start_us), &time(end_us), &paths);
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// Two times around where something begins or ends, or anywhere.
fn any_window(random: &mut StdRng, best: &[Best], most_us: i64) -> (i64, i64) {
    let near = [-1_000_000, -10_001, -10_000, -1, 0, 1, 10_000, 10_001, 1_000_000];
    let (first, last) = (best[0].start_us, best.iter().map(|segment| segment.end_us).max().unwrap());
    let mut any = || {
        let segment = best.choose(random).unwrap();
        let edge = if random.random() { segment.start_us } else { segment.end_us };
        let anywhere = random.random_range(first - 2 * HOUR_US..last + 2 * HOUR_US);
        if random.random_bool(0.8) { edge + near.choose(random).unwrap() } else { anywhere }
    };
    loop {
        let (a, b) = (any(), any());
        let (start, end) = (a.min(b), a.max(b));
        if start < end && end - start <= most_us {
            return (start, end);
        }
    }
}

#[test]
fn every_sequence_that_was_written_down_is_answered_told_and_cut() {
    let archive = TestArchive::sample();
    let node = TestNode::start(&archive);
    for quality in ["source", "480p"] {
        let stream = format!("desertbus/{quality}");
        let mut viewer = Viewer::new(&archive, &node, &stream);
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/expected/a-{quality}.expected.json"));
        let expected: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
        let sequences = expected["sequences"].as_object().unwrap();
        for (window, pieces) in sequences {
            let (start, end) = window.split_once('/').unwrap();
            let pieces: Vec<Option<String>> = serde_json::from_value(pieces.clone()).unwrap();
            viewer.agrees(start, end, &pieces);
        }
        assert!(sequences.len() > 5);
    }
}

#[test]
fn any_window_of_the_samples_is_what_the_rules_say_of_the_names_on_disk() {
    let archive = TestArchive::sample();
    let node = TestNode::start(&archive);
    for (seed, stream) in ["desertbus/source", "desertbus/480p"].into_iter().enumerate() {
        let mut random = StdRng::seed_from_u64(seed as u64);
        let best = best_on_disk(&archive, stream);
        let mut viewer = Viewer::new(&archive, &node, stream);
        for _ in 0..25 {
            let (start, end) = any_window(&mut random, &best, 2 * HOUR_US);
            viewer.agrees_with(&best, start, end);
        }
    }
}

/// A stream that nobody would record: every kind of overlap, gap, spelling and length, for several hours.
fn wild(archive: &TestArchive, stream: &str, random: &mut StdRng) {
    let lengths =
        ["0", "0.005", "0.5", "1.99", "2.0", "2.000", "2.0000005", "02.5", "30", "600.1", "3600", "3600.000001"];
    let drift = [-2_000_000, -10_001, -10_000, -1, 0, 0, 0, 0, 0, 0, 1, 10_000, 10_001, 500_000, 60_000_000];
    let kinds = ["full", "full", "full", "full", "full", "suspect", "partial", "temp"];
    for hour in [2, 3, 4, 6, 23] {
        let place = format!("{stream}/2019-11-13T{hour:02}");
        let mut at_us: i64 = *[0, 1, 3_400_000_000].choose(random).unwrap();
        while at_us < HOUR_US {
            let (kind, usual) = (kinds.choose(random).unwrap(), random.random_bool(0.8));
            let length = if usual { "2.0" } else { lengths.choose(random).unwrap() };
            let (minute, second, us) = (at_us / 60_000_000, at_us / 1_000_000 % 60, at_us % 1_000_000);
            let fraction = match us {
                0 if random.random() => String::new(),
                _ => format!(".{us:06}").trim_end_matches(if random.random() { '0' } else { ' ' }).to_owned(),
            };
            let prefix = format!("{minute:02}:{second:02}{}-{length}-{kind}", fraction.trim_end_matches('.'));
            let content = format!("{place}/{prefix}/{}", "x".repeat(random.random_range(0..3)));
            let path = archive.named(&place, &prefix, "ts", content.as_bytes());
            if random.random_bool(0.08) {
                archive.tombstone(&path);
            }
            if random.random_bool(0.03) {
                archive.raw(&format!("{place}/{prefix}-nonsense.ts"), b"bad");
            }
            let again = random.random_bool(0.15);
            let read = model::read_name(path.rsplit('/').next().unwrap());
            let length_us = read.map_or(0, |read| read.duration_us.cast_signed());
            let step = if again { 0 } else { length_us.max(1_000) + drift.choose(random).unwrap() };
            // Where nothing is repeated time goes on, slowly behind long ones.
            at_us += if again { 0 } else { step.clamp(1_000, 61_000_000) };
        }
    }
}

#[test]
fn any_window_of_a_stream_full_of_odd_names_is_what_the_rules_say() {
    let archive = TestArchive::empty();
    let stream = "Süd & co?#%41/720p60 (50%)+'";
    let mut random = StdRng::seed_from_u64(1);
    wild(&archive, stream, &mut random);
    let node = TestNode::start(&archive);
    let best = best_on_disk(&archive, stream);
    assert!(best.len() > 1_000, "{}", best.len());
    let mut viewer = Viewer::new(&archive, &node, stream);
    for _ in 0..40 {
        let (start, end) = any_window(&mut random, &best, 2 * HOUR_US);
        viewer.agrees_with(&best, start, end);
    }
    for _ in 0..4 {
        let (start, end) = any_window(&mut random, &best, 24 * HOUR_US);
        viewer.agrees_with(&best, start, end);
    }
    // What changes in between is seen: the window is put together from hours that were kept.
    let (first, last) = (best[0].start_us, best.last().unwrap().end_us);
    viewer.agrees_with(&best, first, last);
    for at in [20, 500, best.len() - 20] {
        archive.tombstone(&format!("{stream}/{}", best[at].path));
    }
    let place = format!("{stream}/2019-11-13T05");
    archive.segment(&place, "00:00.000001", 2.0, Kind::Full);
    let best = best_on_disk(&archive, stream);
    let expected = model::sequence(&best, first, last).len();
    let path = format!("/api/v1/sequence/{}?start={}&end={}", quoted(stream), time(first), time(last));
    eventually(SOON, || node.get(&path).json()["sequence"].as_array().unwrap().len() == expected);
    for _ in 0..20 {
        let (start, end) = any_window(&mut random, &best, 8 * HOUR_US);
        viewer.agrees_with(&best, start, end);
    }
}

#[test]
fn holes_are_told_as_entries_where_that_is_asked_for() {
    let archive = TestArchive::sample();
    let node = TestNode::start(&archive);
    let stream = "desertbus/source";
    let window = "start=2019-11-13T02:55:08Z&end=2019-11-13T03:00:08Z";
    let plain = hls::valid(node.get(&format!("/playlist/{stream}.m3u8?{window}")).text());
    let with = hls::valid(node.get(&format!("/playlist/{stream}.m3u8?{window}&gaps=true")).text());
    assert_eq!((plain.version, with.version), (3, 8));
    assert_eq!(told(&plain, stream), told(&with, stream));
    let hole_us: i64 = with.entries.iter().filter(|entry| entry.is_gap).map(|entry| entry.duration_us).sum();
    let pairs = plain.entries.windows(2);
    let missing: i64 =
        pairs.map(|pair| (pair[1].time_us.unwrap() - pair[0].time_us.unwrap() - pair[0].duration_us).max(0)).sum();
    assert!((missing - hole_us).abs() <= 200_000 && hole_us > 10_000_000, "{missing} {hole_us}");
    // A hole of years is not written out.
    let answer = node.get(&format!("/playlist/{stream}.m3u8?start=0001-01-01&end=2019-11-13T02:56&gaps=true"));
    let (kind, detail) = answer.problem(400);
    assert!(kind == "/problems/too-much" && detail.contains("100000"), "{detail}");
}

#[test]
fn every_address_in_a_playlist_answers_with_video() {
    let archive = TestArchive::sample();
    let node = TestNode::start(&archive);
    let list = node.get("/playlist/desertbus/480p.m3u8?start=2019-11-13T02:55:21&end=2019-11-13T07:06");
    let mut connection = node.connect();
    let media = hls::valid(list.text());
    for entry in &media.entries {
        let answer = connection.request("HEAD", &entry.uri, &[]);
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("video/MP2T")), "{}", entry.uri);
    }
    assert!(media.entries.len() > 300);
}

#[test]
fn a_playlist_is_compressed_and_known_again_and_the_same_for_all_who_ask_at_once() {
    let archive = TestArchive::sample();
    let node = TestNode::start(&archive);
    let path = "/playlist/desertbus/source.m3u8?start=2019-11-13T02:00&end=2019-11-13T07:16:50";
    let answers: Vec<_> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..12)
            .map(|number| {
                let headers: &[(&str, &str)] = if number % 2 == 0 { &[] } else { &[("Accept-Encoding", "br, gzip")] };
                let node = &node;
                scope.spawn(move || node.get_with(path, headers))
            })
            .collect();
        asking.into_iter().map(|each| each.join().unwrap()).collect()
    });
    let (plain, packed) = (&answers[0], &answers[1]);
    assert_eq!((plain.header("content-encoding"), packed.header("content-encoding")), (None, Some("gzip")));
    assert_ne!(plain.etag(), packed.etag(), "two encodings are two representations");
    for (number, answer) in answers.iter().enumerate() {
        let first = &answers[number % 2];
        assert!(answer.status == 200 && answer.body == first.body && answer.etag() == first.etag());
        assert!(answer.header("vary").unwrap().to_ascii_lowercase().contains("accept-encoding"));
    }
    let mut unpacked = Vec::new();
    flate2::bufread::GzDecoder::new(&packed.body[..]).read_to_end(&mut unpacked).unwrap();
    assert_eq!(unpacked, plain.body);
    assert!(packed.body.len() * 10 < plain.body.len() * 7, "{} of {}", packed.body.len(), plain.body.len());
    let head = node.request("HEAD", path, &[]);
    assert_eq!(head.header("content-length"), Some(plain.body.len().to_string().as_str()));
    for (etag, encoding, status) in
        [(plain.etag(), "identity", 304), (packed.etag(), "gzip", 304), ("\"x\"".to_owned(), "gzip", 200)]
    {
        let answer = node.get_with(path, &[("If-None-Match", &etag), ("Accept-Encoding", encoding)]);
        assert_eq!(answer.status, status, "{etag} {encoding}");
        assert_eq!(answer.header("cache-control"), Some("no-cache"));
    }
}

#[test]
fn without_start_and_end_everything_is_meant_unless_that_is_much() {
    let archive = TestArchive::empty();
    for (hour, time) in [("00", "00:00"), ("05", "00:00"), ("11", "59:58")] {
        archive.segment(&format!("a/source/2019-11-13T{hour}"), time, 2.0, Kind::Full);
    }
    archive.chat("a/chat/2019-11-13T00", "00:00");
    let node = TestNode::start(&archive);
    node.wait_ready();
    let count = |query: &str| {
        let answer = node.get(&format!("/playlist/a/source.m3u8{query}"));
        (answer.status, if answer.status == 200 { hls::valid(answer.text()).entries.len() } else { 0 })
    };
    assert_eq!(count(""), (200, 3));
    assert_eq!(count("?start=2019-11-13T05"), (200, 2));
    assert_eq!(count("?end=2019-11-13T05:00:00"), (200, 1));
    assert_eq!(count("?start=2019-11-12T23:59:59.999"), (400, 0), "one end is missing, and it is more than 12 hours");
    assert_eq!(count("?end=2019-11-13T12:00:00.000001Z"), (400, 0));
    assert_eq!(count("?start=2019-11-01&end=2019-11-20"), (200, 3), "both are given");
    archive.segment("a/source/2019-11-13T12", "00:00.001", 2.0, Kind::Full);
    eventually(SOON, || node.get("/files/a/source/2019-11-13T12").text().contains("full"));
    assert_eq!(count("?start=2019-11-13T12"), (200, 1));
    let (kind, detail) = node.get("/playlist/a/source.m3u8").problem(400);
    assert!(kind == "/problems/bad-parameter" && detail.contains("12 hours"), "{detail}");
    // The same for cuts.
    let (kind, detail) = node.get("/cut/a/source.ts?allow_holes=true").problem(400);
    assert!(kind == "/problems/bad-parameter" && detail.contains("12 hours"), "{detail}");
    let cut = node.get("/cut/a/source.ts?allow_holes=true&start=2019-11-13T05");
    assert_eq!((cut.status, cut.body.len()), (200, 3 * 376));
}

#[test]
fn times_are_read_as_they_are_written_anywhere() {
    let archive = TestArchive::sample();
    let node = TestNode::start(&archive);
    let list = |start: &str, end: &str| {
        let answer = node.get(&format!("/playlist/desertbus/source.m3u8?start={start}&end={end}"));
        assert_eq!(answer.status, 200, "{start} {end}: {}", answer.text());
        answer.body
    };
    let expected = list("2019-11-13T02:55:08Z", "2019-11-13T03:00:08Z");
    for (start, end) in [
        ("2019-11-13T05:25:08+02:30", "2019-11-13T05:30:08%2B02:30"),
        ("2019-11-12T21:55:08.000-05:00", "2019-11-13T02:30:08-00:30"),
        ("2019-11-13%2002:55:08", "2019-11-13T03:00:08.000000"),
        ("2019-11-14T02:54:08%2B23:59", "2019-11-13t03:00:08z"),
    ] {
        assert!(list(start, end) == expected, "{start} {end}");
    }
}

#[test]
fn what_cannot_be_told_is_refused_with_a_sentence() {
    let archive = TestArchive::sample();
    let node = TestNode::plan(&archive).env("GAPLESS_PLAYBACK_MAX_HOURS", "3").start();
    node.wait_ready();
    let good = "start=2019-11-13T02:55:08&end=2019-11-13T03:00:08";
    for (query, name) in [
        ("start=2019-11-13T03:00:08&end=2019-11-13T02:55:08", "end"),
        ("start=2019-11-13T03:00:08&end=2019-11-13T03:00:08Z", "end"),
        ("start=2019-11-13T03:00:08%2B02:00&end=2019-11-13T01:00:08Z", "end"),
        ("start=whenever&end=2019-11-13T03", "start"),
        ("start=2019-11-13T02&end=", "end"),
        ("start=1573613708&end=2019-11-13T03", "start"),
        ("start=2019-13-13T02:00&end=2020-01-01", "start"),
        ("start=2019-02-29&end=2020-01-01", "start"),
        ("start=2019-11-13T25:00&end=2020-01-01", "start"),
        ("start=-9e99&end=2020-01-01", "start"),
        ("start=2019-11-13T02:55:08%00&end=2020-01-01", "start"),
    ] {
        for address in
            ["/playlist/desertbus/source.m3u8", "/cut/desertbus/source.ts", "/api/v1/sequence/desertbus/source"]
        {
            let (kind, detail) = node.get(&format!("{address}?{query}")).problem(400);
            assert!(kind == "/problems/bad-parameter" && detail.contains(name), "{address}?{query}: {detail}");
        }
    }
    let more = [
        ("/playlist/desertbus/source.m3u8", "gaps=maybe"),
        ("/cut/desertbus/source.ts", "allow_holes=1"),
        ("/cut/desertbus/source.ts", "type=rouhg"),
        ("/cut/desertbus/source.ts", "range=2019-11-13T02:55:08"),
    ];
    for (address, query) in more {
        let (kind, detail) = node.get(&format!("{address}?{good}&{query}")).problem(400);
        let (name, _) = query.split_once('=').unwrap();
        assert!(kind == "/problems/bad-parameter" && detail.contains(name), "{address} {query}: {detail}");
    }
    for stream in [
        "nobody/source",
        "desertbus/8k",
        "desertbus/chat",
        "emotes/425618",
        "desertbus%2Fsource/x",
        "desertbus/source/x",
    ] {
        for (before, after) in [("/playlist", ".m3u8"), ("/cut", ".ts"), ("/api/v1/sequence", "")] {
            let answer = node.get(&format!("{before}/{stream}{after}?{good}"));
            assert_eq!(answer.status, 404, "{before}/{stream}{after}: {}", answer.text());
            assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{stream}");
        }
    }
    for address in ["/playlist/.hidden/source.m3u8", "/cut/..%2f/source.ts", "/playlist/desertbus/.source.m3u8"] {
        let status = node.get(&format!("{address}?{good}")).status;
        assert!([403, 404].contains(&status), "{address}: {status}");
    }
    for address in ["/playlist/desertbus/source.m3u8", "/cut/desertbus/source.ts", "/api/v1/sequence/desertbus/source"]
    {
        let (kind, detail) = node.get(&format!("{address}?start=2019-11-13T00&end=2019-11-14")).problem(400);
        assert!(kind.contains("too-much") && detail.contains("hours") && detail.contains('3'), "{kind} {detail}");
        assert_eq!(node.request("POST", &format!("{address}?{good}"), &[("Content-Length", "0")]).status, 405);
    }
}

#[test]
fn the_beginning_and_the_end_of_time_are_times() {
    let archive = TestArchive::sample();
    let node = TestNode::start(&archive);
    let stream = "desertbus/480p";
    let all =
        told(&hls::valid(node.get(&format!("/playlist/{stream}.m3u8?start=2019-11-13&end=2019-11-14")).text()), stream);
    for (start, end) in [
        ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"),
        ("0000-01-01", "9999-12-31T23:59"),
        ("0001-01-01T00:00:00%2B23:59", "9999-12-31T23:59:59%2B23:59"),
        ("1969-12-31T23:59:59.999999", "2019-11-14"),
    ] {
        let list = node.get(&format!("/playlist/{stream}.m3u8?start={start}&end={end}"));
        assert_eq!(list.status, 200, "{start} {end}: {}", list.text());
        assert_eq!(told(&hls::valid(list.text()), stream), all, "{start} {end}");
        let cut = node.get(&format!("/cut/{stream}.ts?start={start}&end={end}&allow_holes=true"));
        assert_eq!(cut.status, 200, "{start} {end}");
        let sequence = node.get(&format!("/api/v1/sequence/{stream}?start={start}&end={end}"));
        let by_names = all.len() - BEGINS_AGAIN.len() / 2;
        assert_eq!(sequence.json()["sequence"].as_array().unwrap().len(), by_names);
        let holes = node.get(&format!("/cut/{stream}.ts?start={start}&end={end}"));
        holes.problem(406);
    }
    for query in
        ["start=2019-11-13T02&end=2262-01-01", "start=2500-01-01&end=2500-01-02", "start=0001-01-01&end=0001-01-02"]
    {
        for (before, after) in [("/playlist", ".m3u8"), ("/cut", ".ts"), ("/api/v1/sequence", "")] {
            let answer = node.get(&format!("{before}/{stream}{after}?{query}"));
            assert!([200, 406].contains(&answer.status), "{before} {query}: {}", answer.text());
        }
    }
    // Years that nobody can write in four digits are no times, or times like all others, but never an error of ours.
    for year in ["10000", "%2B10000", "-1", "262142", "99999999"] {
        for query in
            [format!("start={year}-01-01&end=9999-01-01"), format!("start=2019-11-13&end={year}-01-01T00:00:00Z")]
        {
            for (before, after) in [("/playlist", ".m3u8"), ("/cut", ".ts"), ("/api/v1/sequence", "")] {
                let status = node.get(&format!("{before}/{stream}{after}?{query}")).status;
                assert!([200, 400, 406].contains(&status), "{before} {query}: {status}");
            }
        }
    }
}
