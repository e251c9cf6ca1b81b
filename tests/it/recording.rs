//! `gapless record`: what a real origin publishes over a bad line is in the archive byte for byte, under the same names wherever it was recorded.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::thread;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, SecondsFormat, Utc};

use crate::dashboards::metrics;
use crate::support::archive::hash_text;
use crate::support::origin::Origin;
use crate::support::trouble::{Mount, may_mount};
use crate::support::{SOON, TestArchive, TestNode, eventually, gapless, gapless_through};

/// What was recorded: contents by path.
pub fn recorded(archive: &TestArchive, stream: &str) -> BTreeMap<String, Vec<u8>> {
    let hours = archive.hours(stream).into_iter().map(|hour| format!("{stream}/{hour}"));
    let names =
        hours.flat_map(|hour| archive.listing(&hour, false).into_iter().map(move |name| format!("{hour}/{name}")));
    names.map(|path| (path.clone(), archive.read(&path))).collect()
}

pub fn of_kind<'r>(recorded: &'r BTreeMap<String, Vec<u8>>, kind: &str) -> BTreeMap<&'r str, &'r [u8]> {
    let kind = format!("-{kind}-");
    recorded.iter().filter(|(path, _)| path.contains(&kind)).map(|(path, bytes)| (&**path, &**bytes)).collect()
}

/// What several recorders have of contents that were published: each path of a `full` one with the hash of its content, and each part of some content.
pub fn union_of<'r>(
    all: &'r [BTreeMap<String, Vec<u8>>],
    published: &BTreeMap<String, Vec<u8>>,
    ending: &str,
) -> BTreeMap<&'r str, &'r [u8]> {
    let mut union = BTreeMap::new();
    for recorded in all {
        for (path, bytes) in of_kind(recorded, "full") {
            assert!(published.values().any(|whole| whole == bytes), "{path} is not what was published");
            assert!(path.ends_with(&format!("-{}{ending}", hash_text(bytes))), "{path}");
            union.insert(path, bytes);
        }
        for (path, bytes) in of_kind(recorded, "partial") {
            assert!(published.values().any(|whole| whole.starts_with(bytes)), "{path} is no part of anything");
        }
    }
    union
}

#[test]
fn three_recorders_behind_bad_lines_have_what_the_origin_published_under_the_same_names() {
    let seed = rand::random();
    eprintln!("seed {seed}");
    let mut origin = Origin::new(seed, 25);
    origin.encode(8, &["-hls_flags", "program_date_time"]);
    let archives = [TestArchive::empty(), TestArchive::empty(), TestArchive::empty()];
    let url = origin.url("live.m3u8");
    thread::scope(|scope| {
        for archive in &archives {
            scope.spawn(|| {
                let done = gapless(archive.path(), &["record", "c", &url, "--for", "18s"]);
                // Nothing at all may get through to one of them; the others have it.
                assert!([0, 1, 3].contains(&done.code), "{done:?}");
            });
        }
    });
    let published = origin.segments();
    assert!(published.len() >= 7, "{:?}", published.keys());
    let contents: BTreeSet<&[u8]> = published.values().map(Vec::as_slice).collect();
    let all: Vec<_> = archives.iter().map(|archive| recorded(archive, "c/source")).collect();
    let union = union_of(&all, &published, ".ts");
    // Names agree: there are as many as contents, although three gave them.
    assert_eq!(union.len(), published.len(), "{:?}", union.keys());
    assert_eq!(union.values().copied().collect::<BTreeSet<_>>(), contents);
    for archive in &archives {
        let left = fs::read_dir(archive.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
        assert!(left.is_empty() || left == ["c"], "something else lies in the archive: {left:?}");
    }
}

/// Start and length in microseconds, as a path says.
fn times(path: &str) -> (i64, i64) {
    let (hour, name) = path.rsplit_once('/').unwrap();
    let (time, rest) = name.split_once('-').unwrap();
    let time = format!("{}:{time}Z", hour.rsplit_once('/').unwrap().1);
    let start = chrono::DateTime::parse_from_rfc3339(&time).unwrap().timestamp_micros();
    let (seconds, fraction) = rest.split('-').next().unwrap().split_once('.').unwrap();
    (start, format!("{seconds}{fraction:0<6}").parse().unwrap())
}

/// What was recorded, in the order of time.
pub fn in_order(recorded: &BTreeMap<String, Vec<u8>>) -> Vec<(i64, i64, &[u8])> {
    let mut all = Vec::new();
    for (path, bytes) in recorded {
        let (start, length) = times(path);
        all.push((start, length, bytes.as_slice()));
    }
    all.sort_unstable();
    all
}

#[test]
fn a_recorder_that_was_killed_goes_on_where_it_was_although_the_source_tells_no_times() {
    let mut origin = Origin::new(0, 0);
    origin.encode(9, &[]);
    let archive = TestArchive::empty();
    let url = origin.url("live.m3u8");
    let killed = gapless_through(&["timeout", "-s", "KILL", "5"], archive.path(), &["record", "c", &url]);
    assert_ne!(killed.code, 0);
    let before = recorded(&archive, "c/source").len();
    let done = gapless(archive.path(), &["record", "c", &url, "--for", "12s"]);
    assert_eq!(done.code, 0, "{done:?}");
    let all = recorded(&archive, "c/source");
    let published = origin.segments();
    assert!(before > 0 && before < all.len(), "{before} of {}", all.len());
    let contents: BTreeSet<&[u8]> = published.values().map(Vec::as_slice).collect();
    let full = of_kind(&all, "full");
    assert_eq!(full.len(), published.len(), "each once: {:?}", full.keys());
    assert_eq!(full.into_values().collect::<BTreeSet<_>>(), contents);
    for pair in in_order(&all).windows(2) {
        let gap = pair[1].0 - (pair[0].0 + pair[0].1);
        assert!(gap.abs() < 10_000, "{gap} µs between {} and {}", pair[0].0, pair[1].0);
    }
}

#[test]
fn parts_of_one_file_and_encrypted_segments_are_recorded_as_what_they_hold() {
    let origin = Origin::new(0, 0);
    let times = ["-hls_flags", "program_date_time+single_file", "-hls_list_size", "0"];
    origin.encode_at_once(4, &times);
    let archive = TestArchive::empty();
    let done = gapless(archive.path(), &["record", "c", &origin.url("live.m3u8")]);
    assert_eq!(done.lines(0).len(), 4, "{done:?}");
    let all = recorded(&archive, "c/source");
    let joined: Vec<u8> = in_order(&all).iter().flat_map(|(.., bytes)| bytes.to_vec()).collect();
    assert!(joined == origin.segments()["live.ts"], "the parts are not the whole");

    let origin = Origin::new(0, 0);
    let key = origin.write("key.bin", b"0123456789abcdef");
    let info = origin.write("info", format!("key.bin\n{key}\n").as_bytes());
    origin.encode_at_once(4, &["-hls_flags", "program_date_time", "-hls_list_size", "0", "-hls_key_info_file", &info]);
    let archive = TestArchive::empty();
    let done = gapless(archive.path(), &["record", "c", &origin.url("live.m3u8")]);
    assert_eq!(done.lines(0).len(), 4, "{done:?}");
    let all = recorded(&archive, "c/source");
    assert_eq!(of_kind(&all, "full").len(), 4, "a wrong key makes no transport stream: {:?}", all.keys());
    assert!(all.values().all(|bytes| bytes.len() % 188 == 0));
}

#[test]
fn a_source_that_is_started_anew_with_another_key_at_the_same_address_goes_on() {
    let encoded = |key: &[u8], filter: &str| {
        let origin = Origin::new(0, 0);
        let file = origin.write("key.bin", key);
        let info = origin.write("info", format!("key.bin\n{file}\n").as_bytes());
        let flags = ["-vf", filter, "-hls_flags", "program_date_time", "-hls_list_size", "0"];
        origin.encode_at_once(3, &[&flags[..], &["-hls_key_info_file", &info]].concat());
        origin
    };
    let before = encoded(b"0123456789abcdef", "null");
    let open = |origin: &Origin| {
        let list = String::from_utf8(origin.read("live.m3u8")).unwrap();
        list.replace("#EXT-X-ENDLIST\n", "")
    };
    before.write("live.m3u8", open(&before).as_bytes());
    let archive = TestArchive::empty();
    let url = before.url("live.m3u8");
    let done = thread::scope(|scope| {
        let recording = scope.spawn(|| gapless(archive.path(), &["record", "c", &url, "--for", "14s"]));
        eventually(SOON, || of_kind(&recorded(&archive, "c/source"), "full").len() == 3);
        // It begins behind the three seconds that were told.
        thread::sleep(Duration::from_secs(4));
        let after = encoded(b"fedcba9876543210", "negate");
        for (name, bytes) in after.segments() {
            before.write(&format!("new-{name}"), &bytes);
        }
        before.write("key.bin", &after.read("key.bin"));
        before.write("live.m3u8", open(&after).replace("\nlive", "\nnew-live").as_bytes());
        recording.join().unwrap()
    });
    assert_eq!(done.code, 0, "{done:?}");
    let all = recorded(&archive, "c/source");
    assert_eq!(of_kind(&all, "full").len(), 6, "{:?} {done:?}", all.keys());
}

#[test]
fn a_command_is_asked_for_another_address_when_its_own_has_expired() {
    let mut origin = Origin::new(0, 0);
    origin.require("one");
    let printed = origin.write("printed", format!("found it\n{}\n", origin.url("live.m3u8?one")).as_bytes());
    origin.encode(6, &["-hls_flags", "program_date_time"]);
    let archive = TestArchive::empty();
    let words = ["record", "c", "--for", "9s", "--header", "Cookie: a=secret", "--resolve", "cat", &printed];
    thread::scope(|scope| {
        let recording = scope.spawn(|| gapless(archive.path(), &words));
        eventually(SOON, || !recorded(&archive, "c/source").is_empty());
        origin.require("two");
        origin.write("printed", format!("{}\n", origin.url("live.m3u8?two")).as_bytes());
        let done = recording.join().unwrap();
        assert!(done.code == 0 && done.err.contains("403") && !done.err.contains("secret"), "{done:?}");
    });
    let (all, published) = (recorded(&archive, "c/source"), origin.segments());
    assert_eq!(of_kind(&all, "full").len(), published.len(), "{:?}", all.keys());
    let requests = origin.requests();
    assert!(requests.iter().all(|head| head.to_lowercase().contains("cookie: a=secret")), "{requests:?}");
    assert!(requests.iter().any(|head| head.contains("live.m3u8?two")));
}

#[test]
fn what_cannot_be_recorded_is_refused_with_the_reason() {
    let head = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n";
    let cases = [
        (
            format!(
                "{head}#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"k\"\n#EXT-X-MAP:URI=\"i.mp4\"\n#EXT-X-KEY:METHOD=NONE\n#EXTINF:1,\na.m4s\n"
            ),
            "encrypted by SAMPLE-AES",
        ),
        (format!("{head}#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"k\"\n#EXTINF:1,\na.ts\n"), "encrypted by SAMPLE-AES"),
    ];
    for (playlist, expected) in cases {
        let origin = Origin::new(0, 0);
        origin.write("live.m3u8", playlist.as_bytes());
        let archive = TestArchive::empty();
        let done = gapless(archive.path(), &["record", "c", &origin.url("live.m3u8")]);
        assert!(done.code == 3 && done.err.contains(expected), "{done:?}");
    }
    // What leads elsewhere is not asked, and what is no video is not kept; the stream goes on.
    let origin = Origin::new(0, 0);
    let secret =
        "#EXTINF:1,\nfile:///etc/passwd\n#EXTINF:1,\nhttp://10.0.0.1/a.ts\n#EXTINF:1,\npage.ts\n#EXT-X-ENDLIST\n";
    origin.write("live.m3u8", format!("{head}{secret}").as_bytes());
    origin.write("page.ts", b"<html>we are sorry</html>");
    let archive = TestArchive::empty();
    let done = gapless(archive.path(), &["record", "c", &origin.url("live.m3u8"), "--for", "8s"]);
    for expected in ["file:///etc/passwd", "only http and https", "http://10.0.0.1/a.ts is not asked", "but a page"] {
        assert!(done.err.contains(expected), "{expected}: {done:?}");
    }
    assert_eq!((done.code, recorded(&archive, "c/source").len()), (3, 0), "{done:?}");
    let done = gapless(archive.path(), &["record", "c", "rtmps://127.0.0.1/live/secret?key=secret"]);
    assert!(done.code == 2 && done.err.contains("is not an address") && !done.err.contains("secret"), "{done:?}");
}

/// A playlist of segments of a second that begin so many seconds after a time, each with what is said of it besides.
fn listing(begin: SystemTime, first: u64, segments: &[(u64, u64, &str)]) -> String {
    let head = format!("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:{first}\n");
    let each = segments.iter().map(|(number, second, besides)| {
        let at: DateTime<Utc> = (begin + Duration::from_secs(*second)).into();
        let at = at.to_rfc3339_opts(SecondsFormat::Millis, true);
        format!("{besides}#EXT-X-PROGRAM-DATE-TIME:{at}\n#EXTINF:1,\nlive{number}.ts\n")
    });
    head + &each.collect::<String>()
}

#[test]
fn the_ledger_says_why_the_recorder_has_holes_also_after_a_restart_and_a_rebuild() {
    let origin = Origin::new(0, 0);
    origin.encode_at_once(12, &["-hls_list_size", "0"]);
    fs::remove_file(origin.write("live3.ts", b"")).unwrap();
    let begin = SystemTime::now() - Duration::from_secs(15);
    // One is marked as missing, one is not there, and the times leave out four seconds.
    let gap = "#EXT-X-GAP\n";
    let all = [(0, 0, ""), (1, 1, gap), (2, 2, ""), (3, 3, ""), (4, 4, ""), (5, 5, ""), (6, 10, ""), (7, 11, "")];
    origin.write("live.m3u8", listing(begin, 0, &all).as_bytes());
    let archive = TestArchive::empty();
    let section = format!("[[record]]\nchannel = \"live\"\nsource = \"{}\"\n", origin.url("live.m3u8"));
    let node = TestNode::plan(&archive).config(&section).start();
    eventually(SOON, || recorded(&archive, "live/source").len() == 6);
    origin.write("live.m3u8", listing(begin, 4, &all[4..]).as_bytes());
    let reasons = |node: &TestNode| {
        let holes = node.get("/api/v1/holes/live/source").json();
        let each = holes["holes"].as_array().into_iter().flatten();
        each.map(|hole| (hole["seconds"].as_f64().unwrap(), hole["reason"].as_str().unwrap_or_default().to_owned()))
            .collect::<Vec<_>>()
    };
    let told =
        |lengths: &[(f64, &str)]| lengths.iter().map(|(long, why)| (*long, (*why).to_owned())).collect::<Vec<_>>();
    let mut expected = vec![(1.0, "source_skipped"), (1.0, "not_received"), (4.0, "source_skipped")];
    eventually(SOON, || reasons(&node) == told(&expected));
    // Nobody records while three segments go by.
    node.terminate();
    origin.write("live.m3u8", listing(begin, 11, &[(11, 15, "")]).as_bytes());
    let node = TestNode::plan(&archive).config(&section).start();
    expected.push((3.0, "not_recording"));
    eventually(SOON, || reasons(&node) == told(&expected));
    let detail = node.get("/api/v1/holes/live/source").json()["holes"][1]["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("1 s of it were not recorded here") && detail.contains("404"), "{detail}");
    node.terminate();
    assert_eq!(gapless(archive.path(), &["rebuild"]).code, 0);
    // Without [[record]], what was known is known.
    let node = TestNode::start(&archive);
    eventually(SOON, || reasons(&node) == told(&expected));
    node.terminate();
}

#[test]
fn what_a_full_disk_took_has_that_reason_and_recording_goes_on_when_there_is_room() {
    if !may_mount() {
        return;
    }
    let archive = TestArchive::empty();
    let _mount = Mount::tmpfs(archive.path(), "6m");
    let origin = Origin::new(0, 0);
    origin.encode_at_once(9, &["-hls_list_size", "0"]);
    let begin = SystemTime::now() - Duration::from_secs(15);
    let listed = |from: u64, to: u64| {
        let segments: Vec<(u64, u64, &str)> = (from..to).map(|at| (at, at, "")).collect();
        origin.write("live.m3u8", listing(begin, from, &segments).as_bytes());
    };
    listed(0, 2);
    let config = format!("[[record]]\nchannel = \"live\"\nsource = \"{}\"\n", origin.url("live.m3u8"));
    let state = tempfile::tempdir().unwrap();
    let node = TestNode::plan(&archive).state_dir(state.path()).config(&config).start();
    eventually(SOON, || recorded(&archive, "live/source").len() == 2);
    let ballast = archive.path().join("ballast");
    // As much as there is room for.
    let filled =
        std::process::Command::new("sh").arg("-c").arg("cat /dev/zero > \"$0\"").arg(&ballast).output().unwrap();
    assert!(String::from_utf8_lossy(&filled.stderr).contains("No space left"));
    listed(2, 4);
    eventually(SOON, || node.log().contains("No space left on device"));
    // They go out of the playlist while there is no room, and the origin has them no more.
    for gone in ["live2.ts", "live3.ts"] {
        fs::remove_file(origin.write(gone, b"")).unwrap();
    }
    listed(4, 7);
    eventually(SOON, || {
        metrics(&node).contains("gapless_record_lost_segments_total{channel=\"live\",quality=\"source\"} 2")
    });
    fs::remove_file(&ballast).unwrap();
    eventually(SOON, || recorded(&archive, "live/source").len() == 5);
    eventually(SOON, || {
        let holes = node.get("/api/v1/holes/live/source").json()["holes"].clone();
        (&holes[0]["seconds"], &holes[0]["reason"]) == (&2.0.into(), &"disk_full".into())
    });
    node.terminate();
}

#[test]
fn ads_are_left_out_where_that_is_asked_for_and_the_hole_says_so() {
    let origin = Origin::new(0, 0);
    origin.encode_at_once(9, &["-hls_list_size", "0"]);
    let begin = SystemTime::now() - Duration::from_secs(15);
    let from: DateTime<Utc> = (begin + Duration::from_millis(2_600)).into();
    let range = format!(
        "#EXT-X-DATERANGE:ID=\"stitched-ad-1\",CLASS=\"twitch-stitched-ad\",START-DATE=\"{}\",DURATION=3.0\n",
        from.to_rfc3339_opts(SecondsFormat::Millis, true)
    );
    let segments: Vec<(u64, u64, &str)> = (0..8).map(|at| (at, at, if at == 0 { &*range } else { "" })).collect();
    origin.write("live.m3u8", listing(begin, 0, &segments).as_bytes());
    let archive = TestArchive::empty();
    let source = origin.url("live.m3u8");
    let config = format!(
        "[[record]]\nchannel = \"all\"\nsource = \"{source}\"\n[[record]]\nchannel = \"some\"\nsource = \"{source}\"\nskip_ads = true\n"
    );
    let node = TestNode::plan(&archive).config(&config).start();
    eventually(SOON, || recorded(&archive, "all/source").len() == 8 && recorded(&archive, "some/source").len() == 5);
    eventually(SOON, || {
        let holes = node.get("/api/v1/holes/some/source").json()["holes"].clone();
        (&holes[0]["seconds"], &holes[0]["reason"], holes.as_array().map(Vec::len))
            == (&3.0.into(), &"ad".into(), Some(1))
    });
    assert!(metrics(&node).contains("ad_segments_ignored_total{channel=\"some\",quality=\"source\"} 3"));
    assert!(metrics(&node).contains("ad_segments_ignored_total{channel=\"all\",quality=\"source\"} 0"));
    assert!(metrics(&node).contains("gapless_record_lost_segments_total{channel=\"some\",quality=\"source\"} 0"));
    node.terminate();
}

#[test]
fn a_source_is_looked_at_without_recording_anything() {
    let mut origin = Origin::new(0, 0);
    origin.encode(30, &["-hls_flags", "program_date_time"]);
    let line = |bits: u32, uri: &str| format!("#EXT-X-STREAM-INF:BANDWIDTH={bits},RESOLUTION=160x90\n{uri}\n");
    let master = format!("#EXTM3U\n{}{}", line(500_000, "live.m3u8?token=secret"), line(90_000, "gone.m3u8"));
    origin.write("master.m3u8", master.as_bytes());
    let archive = TestArchive::empty();
    let url = origin.url("master.m3u8?token=secret");
    // Something is listed.
    eventually(SOON, || !origin.segments().is_empty());
    let done = gapless(archive.path(), &["record", "--json", "--test", &url]);
    let report = done.json(1);
    assert_eq!((done.code, &report["protocol"]), (1, &"HLS".into()), "{done:?}");
    let [best, gone] = report["qualities"].as_array().unwrap().as_slice() else { panic!("{report}") };
    let (list, segment) = (&best["playlist"], &best["segment"]);
    assert_eq!((&best["name"], &best["is_source"], &best["width"]), (&"90p".into(), &true.into(), &160.into()));
    assert_eq!((&list["tells_times"], &list["encryption"]), (&true.into(), &serde_json::Value::Null), "{report}");
    assert!(
        list["new_segments"].as_u64().unwrap() > 0 && list["behind_clock_seconds"].as_f64().unwrap() < 60.0,
        "{report}"
    );
    assert_eq!(
        (&segment["kind"], &segment["container"], &segment["height"]),
        (&"full".into(), &"MPEG-TS".into(), &90.into())
    );
    assert!(segment["codecs"].as_str().unwrap().starts_with("avc1."), "{report}");
    // The name is the one under which a recorder writes it.
    let path = segment["path"].as_str().unwrap().strip_prefix("CHANNEL/source/").unwrap();
    let is_it = |bytes: &Vec<u8>| path.ends_with(&format!("-full-{}.ts", hash_text(bytes)));
    assert!(origin.segments().values().any(is_it), "{path}");
    assert!(gone["problem"].as_str().unwrap().contains("there is nothing of that name"), "{report}");
    assert_eq!(fs::read_dir(archive.path()).unwrap().count(), 0, "something was written");
    let told = gapless(archive.path(), &["record", "--test", &url, "--quality", "source"]);
    assert_eq!(told.code, 0, "{told:?}");
    for expected in ["HLS, 1 quality", "source, also called 90p", "times are told", "would write CHANNEL/source/"] {
        assert!(told.out.contains(expected), "{expected}: {told:?}");
    }
    assert!(!format!("{done:?} {told:?}").contains("secret"));
    for (url, code, expected) in
        [("http://127.0.0.1:9/x?secret", 3, "cannot be reached"), ("nothing", 2, "is not an address to record from")]
    {
        let failed = gapless(archive.path(), &["record", "--test", url]);
        assert!(failed.code == code && failed.err.contains(expected), "{failed:?}");
    }
}

#[test]
fn a_node_records_what_its_settings_name_and_says_when_nothing_comes() {
    let mut origin = Origin::new(0, 0);
    origin.encode(60, &["-hls_flags", "program_date_time"]);
    let archive = TestArchive::empty();
    let section = |channel: &str, url: &str| format!("[[record]]\nchannel = \"{channel}\"\nsource = \"{url}\"\n");
    let config =
        section("live", &origin.url("live.m3u8?token=secret")) + &section("gone", "http://127.0.0.1:9/x?token=secret");
    let node = TestNode::plan(&archive).config(&config).start();
    let jobs = || {
        let status = node.get("/api/v1/status").json();
        let jobs = status["jobs"].as_array().unwrap().iter().filter(|job| job["kind"] == "record");
        jobs.map(|job| (job["of"].as_str().unwrap().to_owned(), job.clone())).collect::<BTreeMap<_, _>>()
    };
    let is = |of: &str, state: &str| jobs().get(of).is_some_and(|job| job["state"] == state);
    eventually(SOON, || is("live/source", "working") && is("gone/source", "backing-off"));
    // What is recorded is listed at once.
    eventually(SOON, || {
        node.files("live/source").iter().any(|hour| !node.files(&format!("live/source/{hour}")).is_empty())
    });
    eventually(SOON, || {
        metrics(&node).contains("segments_downloaded_total{channel=\"live\",quality=\"source\",type=\"full\"}")
    });
    let status = node.get("/api/v1/status");
    let problem =
        status.json()["problems"].as_array().unwrap().iter().find(|one| one["kind"] == "job").cloned().unwrap();
    assert!(
        problem["what"].as_str().unwrap().starts_with("record gone/source: http://127.0.0.1:9/x?… cannot be reached"),
        "{problem}"
    );
    drop(origin);
    eventually(SOON, || is("live/source", "backing-off"));
    assert!(!node.log().contains("secret") && !node.get("/api/v1/status").text().contains("secret"));
    let all = recorded(&archive, "live/source");
    assert!(!of_kind(&all, "full").is_empty());
    node.terminate();
}
