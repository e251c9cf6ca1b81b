//! Segments in fragmented MP4 are segments like others: listed, replicated, hidden, scrubbed, explained and played.

use std::fs;
use std::time::{Duration, Instant};

use crate::discontinuities::{PLAYS, SAID};
use crate::support::archive::hash_text;
use crate::support::browser::Browser;
use crate::support::peer::{FalsePeer, Sent};
use crate::support::{Kind, SOON, TestArchive, TestNode, eventually, gapless, invariants, mp4, video};

const HOUR: &str = "cam/source/2020-01-01T05";

/// Puts segments of a stream where a recorder would, from the beginning of the hour on; says their paths.
fn record(archive: &TestArchive, numbers: impl IntoIterator<Item = usize>) -> Vec<String> {
    let one = |number: usize| {
        let prefix = format!("00:{:02}.000000-2.0-full", number * mp4::EACH as usize);
        archive.named(HOUR, &prefix, "mp4", &mp4::stream().segment(number))
    };
    numbers.into_iter().map(one).collect()
}

fn names(paths: &[String]) -> Vec<&str> {
    paths.iter().map(|path| path.rsplit('/').next().unwrap()).collect()
}

#[test]
fn they_come_to_another_node_and_stay_hidden_where_they_are_hidden() {
    let (here, there) = (TestArchive::empty(), TestArchive::empty());
    let paths = record(&there, 0..4);
    let peer = TestNode::start(&there);
    peer.wait_ready();
    let plan = TestNode::plan(&here).flag("--peer").flag(format!("b=http://{}", peer.address));
    let node = plan.env("GAPLESS_BACKFILL_INTERVAL", "1s").env("GAPLESS_BACKFILL_RECENT_CUTOFF", "0s").start();
    eventually(SOON, || node.files(HOUR) == names(&paths));
    for (number, path) in paths.iter().enumerate() {
        assert_eq!(here.read(path), mp4::stream().segment(number), "{path}");
        assert_eq!(node.get(&format!("/segments/{path}")).header("content-type"), Some("video/mp4"));
    }
    let page = node.get("/api/v1/holes/cam/source?from=2020-01-01T05&to=2020-01-01T06").json();
    assert_eq!(page["covered_seconds"], 8.0, "{page}");
    assert_eq!(peer.run(&["tombstone", "add", &paths[1]]).code, 0);
    eventually(SOON, || node.files(HOUR) == names(&[paths[0].clone(), paths[2].clone(), paths[3].clone()]));
    for (archive, node) in [(&here, &node), (&there, &peer)] {
        invariants::listings_follow_the_disk(archive, node);
        node.check();
    }
    // A name that does not fit is listed and nothing else, as in other containers.
    here.raw(&format!("{HOUR}/seg00001.mp4"), b"x");
    eventually(SOON, || node.files(HOUR).len() == 4);
    assert!(node.run(&["explain", &format!("{HOUR}/seg00001.mp4")]).out.contains("TIME-DURATION-TYPE-HASH"));
}

#[test]
fn damaged_ones_are_found_and_sound_ones_left_alone() {
    let archive = TestArchive::empty();
    let paths = record(&archive, 0..5);
    let whole = archive.read(&paths[1]);
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    archive.raw(&paths[1], &flipped);
    // Cut off before its name was made, so that its hash is right.
    let cut = &whole[..whole.len() / 2];
    let cut = {
        fs::remove_file(archive.at(&paths[2])).unwrap();
        archive.named(HOUR, "00:04.000000-2.0-full", "mp4", cut)
    };
    let node = TestNode::start(&archive);
    node.wait_ready();
    let scrubbed = node.run(&["scrub"]);
    let lines: Vec<&str> = scrubbed.lines(1).into_iter().filter(|line| line.starts_with("quarantined: ")).collect();
    assert_eq!(lines.len(), 2, "{}", scrubbed.out);
    assert!(lines[0].contains(&format!("{}: its content is not the one in its name", paths[1])), "{}", lines[0]);
    assert!(lines[1].contains(&format!("{cut}: it ends within the box mdat")), "{}", lines[1]);
    assert_eq!(node.files(HOUR), names(&[paths[0].clone(), paths[3].clone(), paths[4].clone()]));
    assert_eq!(hash_text(&archive.read(&paths[0])), hash_text(&mp4::stream().segment(0)));
    let explained = gapless(archive.path(), &["explain", &paths[0]]);
    assert_eq!(explained.code, 0, "{} {}", explained.out, explained.err);
}

/// So many seconds after the beginning of the hour.
fn at(second: usize) -> String {
    format!("2020-01-01T05:00:{second:02}Z")
}

/// Puts segments of another stream behind those of the first.
fn record_other(archive: &TestArchive, numbers: std::ops::Range<usize>, from: usize) -> Vec<String> {
    let one = |number: usize| {
        let second = from + number * mp4::EACH as usize;
        archive.named(HOUR, &format!("00:{second:02}.000000-2.0-full"), "mp4", &mp4::other_stream().segment(number))
    };
    numbers.map(one).collect()
}

#[test]
fn players_are_told_the_initialisation_segment_and_play_all_of_it() {
    let archive = TestArchive::empty();
    let paths = record(&archive, 0..5);
    let node = TestNode::start(&archive);
    node.wait_ready();
    let path = format!("/playlist/cam/source.m3u8?start={}&end={}", at(0), at(10));
    let list = node.get(&path).text().to_owned();
    let address = |path: &str| format!("/segments/{}", path.replace(':', "%3A"));
    let init = mp4::stream().init.len();
    let map = format!("#EXT-X-MAP:URI=\"{}\",BYTERANGE=\"{init}@0\"\n", address(&paths[0]));
    assert!(list.starts_with("#EXTM3U\n#EXT-X-VERSION:7\n") && list.ends_with("#EXT-X-ENDLIST\n"), "{list}");
    assert!(list.contains(&map) && list.matches("EXT-X-MAP").count() == 1, "{list}");
    for (number, path) in paths.iter().enumerate() {
        let (length, address) = (mp4::stream().media[number].len(), address(path));
        assert!(list.contains(&format!("#EXTINF:2.000,\n#EXT-X-BYTERANGE:{length}@{init}\n{address}\n")), "{list}");
    }
    assert!(list.contains("INDEPENDENT-SEGMENTS") && !list.contains("DISCONTINUITY"), "{list}");
    let seen = video::watch(&format!("http://{}{path}", node.address));
    assert_eq!((seen.frames, seen.complaints.as_slice()), (5 * 50, &[] as &[String]), "{seen:?}");
    assert!((seen.seconds - 10.0).abs() < 0.1, "{seen:?}");
    let master = node.get("/playlist/cam.m3u8").text().to_owned();
    assert!(master.contains("RESOLUTION=160x90") && master.contains("CODECS=\"avc1."), "{master}");

    // A list that grows has each at once, and another initialisation segment where another encoding begins.
    let open = format!("/playlist/cam/source.m3u8?start={}", at(0));
    assert_eq!(node.get(&open).text().matches("#EXTINF").count(), 5);
    let others = record_other(&archive, 0..2, 10);
    eventually(SOON, || node.get(&open).text().matches("#EXTINF").count() == 7);
    let whole = node.get(&path.replace(&at(10), &at(14))).text().to_owned();
    for list in [node.get(&open).text(), &whole] {
        let length = mp4::other_stream().init.len();
        let map =
            format!("#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"{}\",BYTERANGE=\"{length}@0\"\n", address(&others[0]));
        assert!(list.contains(&map) && list.matches("EXT-X-MAP").count() == 2, "{list}");
        assert_eq!(list.matches("DISCONTINUITY\n").count(), 1, "{list}");
    }
    // What is no fragmented MP4 is no segment to players.
    archive.named(HOUR, "00:14.000000-2.0-full", "mp4", &mp4::stream().media[0]);
    let unplayable = path.replace(&at(10), &at(16));
    eventually(SOON, || node.files(HOUR).len() == 8);
    assert_eq!(node.get(&unplayable).text().matches("#EXTINF").count(), 7);
}

#[test]
fn lists_change_between_containers_and_hours_with_the_right_initialisation_segments() {
    let archive = TestArchive::empty();
    let hours = ["cam/source/2020-01-01T05", "cam/source/2020-01-01T06", "cam/source/2020-01-01T07"];
    let stream = mp4::stream();
    archive.named(hours[0], "59:58.000000-2.0-full", "mp4", &stream.segment(0));
    archive.named(hours[1], "00:00.000000-3598.0-full", "mp4", &stream.segment(1));
    archive.named(hours[1], "59:58.000000-2.0-full", "mp4", &mp4::other_stream().segment(0));
    archive.named(hours[2], "00:00.000000-2.0-full", "mp4", &mp4::other_stream().segment(1));
    let ts = archive.segment(hours[2], "00:02", 2.0, Kind::Full);
    archive.named(hours[2], "00:04.000000-2.0-full", "mp4", &mp4::other_stream().segment(2));
    let node = TestNode::start(&archive);
    node.wait_ready();
    let path = "/playlist/cam/source.m3u8?start=2020-01-01T05:59:58Z&end=2020-01-01T07:00:06Z";
    // The hour in the middle is written as a whole, also the second time.
    for path in [path, path, &format!("{path}&gaps=true")] {
        let list = node.get(path).text().to_owned();
        let lines: Vec<&str> =
            list.lines().filter(|line| line.starts_with("#EXT-X-MAP") || !line.starts_with('#')).collect();
        let kinds: Vec<&str> =
            lines.iter().map(|line| if line.contains("EXT-X-MAP") { "map" } else { "file" }).collect();
        let expected = ["map", "file", "file", "map", "file", "file", "map", "file", "map", "file"];
        assert_eq!(kinds, expected, "{list}");
        assert!(lines[6].contains(&ts.replace(':', "%3A")) && lines[6].contains("BYTERANGE=\"376@0\""), "{list}");
        assert_eq!(list.matches("#EXT-X-DISCONTINUITY\n").count(), 3, "{list}");
        for pair in lines.windows(2).filter(|pair| pair[0].contains("EXT-X-MAP")) {
            assert!(pair[0].contains(pair[1]), "{list}");
        }
    }
}

#[test]
fn a_rough_cut_is_one_file_and_is_refused_with_the_reason_where_it_cannot_be() {
    let archive = TestArchive::empty();
    record(&archive, 0..4);
    let node = TestNode::start(&archive);
    node.wait_ready();
    let window = format!("start={}&end={}", at(0), at(8));
    let whole = [&mp4::stream().init[..], &mp4::stream().media[..4].concat()].concat();
    let cut = node.get(&format!("/cut/cam/source.mp4?type=rough&{window}"));
    assert_eq!((cut.status, cut.header("content-type")), (200, Some("video/mp4")));
    assert!(cut.body == whole && cut.header("gapless-cut") == Some("rough"));
    let seen = video::watch(&format!("http://{}/cut/cam/source.mp4?type=rough&{window}", node.address));
    assert_eq!((seen.frames, seen.complaints.as_slice()), (4 * 50, &[] as &[String]), "{seen:?}");
    let part = node.get_with(&format!("/cut/cam/source.mp4?type=rough&{window}"), &[("range", "bytes=1000-90000")]);
    assert!(part.status == 206 && part.body == whole[1_000..=90_000]);
    let file = archive.outside().join("rough.mp4");
    let args = ["cut", "cam/source", &at(0), &at(8), "-o", file.to_str().unwrap(), "--type", "rough"];
    let done = node.run(&args);
    assert!(done.code == 0 && fs::read(&file).unwrap() == whole, "{done:?}");
    let refused = |path: &str| node.get(path).problem(422).1;
    assert!(
        refused(&format!("/cut/cam/source.ts?type=rough&{window}")).contains("/cut/cam/source.mp4 with type=rough")
    );
    record_other(&archive, 0..1, 8);
    eventually(SOON, || node.files(HOUR).len() == 5);
    let both = window.replace(&at(8), &at(10));
    assert!(refused(&format!("/cut/cam/source.mp4?type=rough&{both}")).contains("initialisation segment changes"));
}

/// How many pictures a decoder finds in these bytes.
fn pictures(bytes: &[u8]) -> usize {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    let seen = video::watch(file.path().to_str().unwrap());
    assert!(seen.complaints.is_empty(), "{seen:?}");
    seen.frames
}

#[test]
fn frames_waveforms_and_exact_cuts_are_made_of_them_also_where_the_encoding_changes() {
    let archive = TestArchive::empty();
    record(&archive, 0..4);
    record_other(&archive, 0..2, 8);
    let node = TestNode::start(&archive);
    node.wait_ready();
    let frame = |second: &str| node.get(&format!("/frame/cam/source.png?timestamp=2020-01-01T05:00:{second}Z"));
    let png = frame("03.5");
    assert!(png.status == 200 && png.body.starts_with(b"\x89PNG"), "{}", png.text());
    let side = |png: &[u8]| u32::from_be_bytes(png[16..20].try_into().unwrap());
    assert_eq!((side(&png.body), side(&frame("09.5").body)), (160, 192));
    let curve = node.get(&format!("/waveform/cam/source.png?start={}&end={}&size=300x40", at(0), at(12)));
    assert_eq!((curve.status, side(&curve.body)), (200, 300), "{}", node.log());
    let window = "start=2020-01-01T05:00:01.2Z&end=2020-01-01T05:00:04.6Z";
    for (path, kind) in [
        (format!("/cut/cam/source.mp4?{window}"), "video/mp4"),
        (format!("/cut/cam/source.mp4?type=mp4&{window}"), "video/mp4"),
        (format!("/cut/cam/source.ts?{window}"), "video/MP2T"),
        (format!("/cut/cam/source.ts?type=smart&{window}"), "video/MP2T"),
    ] {
        let cut = node.get(&path);
        let said = (cut.status, cut.header("content-type"), cut.header("gapless-cut"));
        assert_eq!(said, (200, Some(kind), Some("exact")), "{path}: {}", node.log());
        assert_eq!(pictures(&cut.body), 85, "{path}");
    }
    let both = format!("/cut/cam/source.mp4?type=mp4&start={}&end={}", at(5), at(11));
    assert_eq!(node.get(&both).status, 200, "{}", node.log());
    let file = archive.outside().join("exact.mp4");
    let args = ["cut", "cam/source", "2020-01-01T05:00:01.2Z", "2020-01-01T05:00:04.6Z", "-o", file.to_str().unwrap()];
    let done = node.run(&args);
    assert!(done.code == 0 && pictures(&fs::read(&file).unwrap()) == 85, "{done:?}");
}

#[test]
fn video_files_are_made_of_them_and_begin_anew_where_the_container_changes() {
    let archive = TestArchive::empty();
    record(&archive, 0..3);
    for (number, bytes) in video::segments(2, 2.0).iter().enumerate() {
        archive.named(HOUR, &format!("00:{:02}.000000-2.0-full", 6 + 2 * number), "ts", bytes);
    }
    let node = TestNode::start(&archive);
    node.wait_ready();
    let body = serde_json::json!({ "day": [at(0), at(10)] });
    let made = node.post("/generate_videos/cam/source", Some(&node.own_token()), &body);
    assert_eq!(made.status, 200, "{} {}", made.text(), node.log());
    let seen = |number: usize| {
        let path = archive.at(&format!("cam_source_day_{number}.mkv"));
        let sound = std::process::Command::new("ffprobe")
            .args(["-v", "error", "-select_streams", "a", "-show_entries", "stream=codec_name", "-of", "csv=p=0"])
            .arg(&path)
            .output()
            .unwrap();
        assert_eq!(String::from_utf8(sound.stdout).unwrap().trim(), "aac");
        video::watch(path.to_str().unwrap())
    };
    let (first, second) = (seen(0), seen(1));
    assert_eq!((first.frames, second.frames), (3 * 50, 4 * video::RATE), "{first:?} {second:?}");
    assert!(first.complaints.is_empty() && (first.seconds - 6.0).abs() < 0.2, "{first:?}");
}

#[test]
fn the_page_saves_a_rough_cut_as_what_it_is() {
    let archive = TestArchive::empty();
    record(&archive, 0..4);
    let node = TestNode::start(&archive);
    node.wait_ready();
    let browser = Browser::start(1_000, 800);
    let window = "from=2020-01-01T05:00:00Z&to=2020-01-01T05:01:00Z&at=2020-01-01T05:00:01Z&channel=cam&quality=source";
    browser.open(&node, &format!("/#{window}&in={}&out={}", at(0), at(8)));
    browser.wait_until("!document.getElementById('cut-download').disabled");
    let saved = tempfile::tempdir().unwrap();
    let allowed = serde_json::json!({ "behavior": "allow", "downloadPath": saved.path() });
    browser.devtools("Browser.setDownloadBehavior", &allowed);
    browser.run("document.getElementById('cut-type').value = 'rough'; document.getElementById('cut-download').click()");
    let whole = [&mp4::stream().init[..], &mp4::stream().media[..4].concat()].concat();
    eventually(SOON, || {
        let mut files = fs::read_dir(saved.path()).unwrap().map(|file| file.unwrap().path());
        files.any(|file| file.extension().is_some_and(|kind| kind == "mp4") && fs::read(file).unwrap() == whole)
    });
}

#[test]
fn a_list_leads_to_what_only_another_node_has() {
    let (complete, holed) = (TestArchive::empty(), TestArchive::empty());
    let mut paths = record(&complete, 0..4);
    paths.extend(record_other(&complete, 0..2, 8));
    for path in [&paths[1], &paths[3]] {
        holed.raw(path, &complete.read(path));
    }
    let other = TestNode::start(&complete);
    other.wait_ready();
    let plan = TestNode::plan(&holed).env("GAPLESS_BACKFILL_CHANNELS", "nothing of all this");
    let node = plan.flag("--peer").flag(format!("other=http://{}", other.address)).start();
    node.wait_ready();
    let path = format!("/playlist/cam/source.m3u8?start={}&end={}", at(0), at(12));
    assert_eq!(node.get(&path).text().matches("#EXTINF").count(), 2);
    let all = format!("{path}&peers=true");
    let list = node.get(&all).text().to_owned();
    let addresses: Vec<&str> = list.lines().filter(|line| !line.starts_with('#')).collect();
    let theirs = format!("http://{}/segments/", other.address);
    let is_theirs: Vec<bool> = addresses.iter().map(|address| address.starts_with(&theirs)).collect();
    assert_eq!(is_theirs, [true, false, true, false, true, true], "{list}");
    assert!(list.starts_with("#EXTM3U\n#EXT-X-VERSION:7\n") && list.ends_with("#EXT-X-ENDLIST\n"), "{list}");
    // One of each encoding, wherever the files with it lie, and a discontinuity where it changes.
    assert_eq!((list.matches("EXT-X-MAP").count(), list.matches("DISCONTINUITY\n").count()), (2, 1), "{list}");
    // ffmpeg does not read the second initialisation segment of a list.
    let seen = video::watch(&format!("http://{}{}", node.address, all.replace(&at(12), &at(8))));
    assert_eq!(seen.frames, 4 * 50, "{seen:?}");
    // Of a peer that only lists nobody knows where the media begin.
    let names: Vec<String> = names(&paths).into_iter().map(str::to_owned).collect();
    let lists = FalsePeer::start(move |path| match path {
        path if path.contains("/files/") => Sent::list(&names),
        _ => Sent::answer("404 Not Found", "", b"what?"),
    });
    let plan = TestNode::plan(&holed).env("GAPLESS_BACKFILL_CHANNELS", "nothing of all this");
    drop(node);
    let node = plan.flag("--peer").flag(format!("lists=http://{}", lists.address)).start();
    node.wait_ready();
    assert_eq!(node.get(&all).text().matches("#EXTINF").count(), 2);
}

#[test]
fn hls_js_plays_on_where_another_encoding_begins() {
    let archive = TestArchive::empty();
    record(&archive, 0..6);
    record_other(&archive, 0..6, 12);
    let node = TestNode::start(&archive);
    node.wait_ready();
    let window = format!("start={}&end={}", at(0), at(24));
    let list = node.get(&format!("/playlist/cam/source.m3u8?{window}")).text().to_owned();
    assert!(list.ends_with("#EXT-X-ENDLIST\n") && list.matches("EXT-X-MAP").count() == 2, "{list}");
    let browser = Browser::start(800, 600);
    browser.open(&node, "/status");
    browser.run(PLAYS);
    browser.run(&format!("play('mp4', '/playlist/cam.m3u8?{window}', 4)"));
    let begun = Instant::now();
    let said = loop {
        let said = browser.run(SAID)["mp4"].clone();
        if said["ended"] == true || begun.elapsed() > 2 * SOON {
            break said;
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    let errors: Vec<&serde_json::Value> =
        said["errors"].as_array().unwrap().iter().filter(|error| **error != "bufferStalledError").collect();
    assert!(errors.is_empty() && said["ended"] == true && said["restarts"] == 0, "{said:#?}");
    assert_eq!(said["sizes"], serde_json::json!(["160x90", "192x108"]), "{said:#?}");
    assert!((said["at"].as_f64().unwrap() - 24.0).abs() < 0.5, "{said:#?}");
}
