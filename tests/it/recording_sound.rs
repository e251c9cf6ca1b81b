//! Sound in playlists of its own: it is recorded along with the pictures, as qualities of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::{fs, thread};

use crate::dashboards::metrics;
use crate::recording::{in_order, of_kind, recorded, union_of};
use crate::support::archive::hash_text;
use crate::support::origin::Origin;
use crate::support::{SOON, TestArchive, TestNode, eventually, gapless};

const TIMES: [&str; 2] = ["-hls_flags", "program_date_time"];
const FMP4: [&str; 4] = ["-hls_segment_type", "fmp4", "-hls_flags", "program_date_time"];
/// What the playlists of the origin are called in the archive.
const CALLED: [&str; 3] = ["source", "audio", "audio-ger"];

/// What one of the playlists of an origin has published, by name; in fragmented MP4 with the initialisation segment in front.
fn published(origin: &Origin, list: usize, ending: &str) -> BTreeMap<String, Vec<u8>> {
    let init = if ending == ".mp4" { origin.read(&format!("init_{list}.mp4")) } else { Vec::new() };
    let of_list = origin.segments().into_iter().filter(|(name, _)| name.starts_with(&format!("live{list}-")));
    of_list.map(|(name, media)| (name, [&init[..], &media].concat())).collect()
}

fn three_recorders(options: &[&str], ending: &str) {
    let seed = rand::random();
    eprintln!("seed {seed}");
    let mut origin = Origin::new(seed, 25);
    origin.encode_with_sound_apart(6, options);
    let archives = [TestArchive::empty(), TestArchive::empty(), TestArchive::empty()];
    let url = origin.url("master.m3u8");
    thread::scope(|scope| {
        for archive in &archives {
            scope.spawn(|| {
                let done = gapless(archive.path(), &["record", "c", &url, "--for", "13s"]);
                // Nothing at all may get through to one of them; the others have it.
                assert!([0, 1, 3].contains(&done.code), "{done:?}");
            });
        }
    });
    for (list, called) in CALLED.into_iter().enumerate() {
        let published = published(&origin, list, ending);
        assert!(published.len() >= 6, "{:?}", published.keys());
        let contents: BTreeSet<&[u8]> = published.values().map(Vec::as_slice).collect();
        let all: Vec<_> = archives.iter().map(|archive| recorded(archive, &format!("c/{called}"))).collect();
        let union = union_of(&all, &published, ending);
        assert!(all.iter().all(|recorded| of_kind(recorded, "suspect").is_empty()), "{called}");
        // Names agree: there are as many as contents, although three gave them.
        assert_eq!(union.len(), published.len(), "{called}: {:?}", union.keys());
        assert_eq!(union.values().copied().collect::<BTreeSet<_>>(), contents);
    }
}

#[test]
fn three_recorders_behind_bad_lines_have_pictures_and_the_sound_that_lies_apart_from_them() {
    three_recorders(&TIMES, ".ts");
}

#[test]
fn the_same_in_fragmented_mp4() {
    three_recorders(&FMP4, ".mp4");
}

#[test]
fn a_look_says_which_sound_there_is_and_a_quality_that_is_sound_can_be_recorded_alone() {
    let origin = Origin::new(0, 0);
    origin.encode_at_once_with_sound_apart(2, &TIMES);
    let url = origin.url("master.m3u8");
    let archive = TestArchive::empty();
    let done = gapless(archive.path(), &["record", "--json", "--test", &url]);
    let report = done.json(0);
    let [picture, sound, other] = report["qualities"].as_array().unwrap().as_slice() else { panic!("{report}") };
    assert_eq!((&picture["name"], &picture["sound"]), (&"90p".into(), &["audio", "audio-ger"].into()), "{report}");
    assert_eq!(
        (&sound["name"], &sound["is_sound"], &sound["language"]),
        (&"audio".into(), &true.into(), &"eng".into())
    );
    assert_eq!((&sound["segment"]["codecs"], &sound["segment"]["kind"]), (&"mp4a.40.2".into(), &"full".into()));
    assert_eq!((&other["name"], &other["language"]), (&"audio-ger".into(), &"ger".into()), "{report}");
    assert!(report["qualities"].as_array().unwrap().iter().all(|one| one["problem"].is_null()), "{report}");
    let path = sound["segment"]["path"].as_str().unwrap();
    let is_it = |bytes: &Vec<u8>| path.ends_with(&format!("-full-{}.ts", hash_text(bytes)));
    assert!(path.starts_with("CHANNEL/audio/") && published(&origin, 1, ".ts").values().any(is_it), "{path}");
    let told = gapless(archive.path(), &["record", "--test", &url, "--quality", "source"]);
    for expected in [
        "1 quality, 2 of sound that lies apart",
        "recorded along with it: audio, audio-ger",
        "audio-ger (sound, called audio_2",
    ] {
        assert!(told.out.contains(expected), "{expected}: {told:?}");
    }
    let done = gapless(archive.path(), &["record", "c", &url, "--quality", "audio-ger"]);
    assert_eq!((done.code, recorded(&archive, "c/source").len()), (0, 0), "{done:?}");
    let all = recorded(&archive, "c/audio-ger");
    let joined: Vec<u8> = in_order(&all).iter().flat_map(|(.., bytes)| bytes.to_vec()).collect();
    assert!(joined == published(&origin, 2, ".ts").into_values().flatten().collect::<Vec<u8>>());
}

#[test]
fn a_node_has_a_job_for_sound_and_says_when_there_is_none_any_more() {
    let origin = Origin::new(0, 0);
    origin.encode_at_once_with_sound_apart(3, &TIMES);
    for list in 0..3 {
        let name = format!("live{list}.m3u8");
        let ended = String::from_utf8(origin.read(&name)).unwrap();
        origin.write(&name, ended.replace("#EXT-X-ENDLIST\n", "").as_bytes());
    }
    let archive = TestArchive::empty();
    let config = format!("[[record]]\nchannel = \"live\"\nsource = \"{}\"\n", origin.url("master.m3u8"));
    let node = TestNode::plan(&archive).config(&config).start();
    let streams = || {
        let recorders = node.get("/api/v1/recorders").json();
        let streams = recorders["recorders"][0]["streams"].as_array().unwrap().iter();
        streams.map(|one| (one["quality"].as_str().unwrap().to_owned(), one.clone())).collect::<Vec<_>>()
    };
    let is_working = |(_, one): &(String, serde_json::Value)| one["doing"].as_str().unwrap().starts_with("records;");
    eventually(SOON, || streams().iter().map(|(name, _)| &**name).eq(CALLED) && streams().iter().any(is_working));
    let counted = |list: usize| {
        let (quality, segments) = (CALLED[list], published(&origin, list, ".ts").len());
        format!("segments_downloaded_total{{channel=\"live\",quality=\"{quality}\",type=\"full\"}} {segments}\n")
    };
    eventually(SOON, || {
        let metrics = metrics(&node);
        (0..3).all(|list| metrics.contains(&counted(list)))
    });
    // From now on there are pictures alone.
    origin.write("master.m3u8", b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1,RESOLUTION=160x90\nlive0.m3u8\n");
    fs::remove_file(origin.write("live2.m3u8", b"")).unwrap();
    eventually(SOON, || streams()[2].1["doing"] == "the stream has ended; the source is asked again");
    node.terminate();
}
