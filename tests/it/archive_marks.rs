//! What playlists say of what is in segments is the same when the segments lie in a bucket alone, and the index is lost: manifests say it.

use std::collections::BTreeMap;
use std::fs;
use std::sync::OnceLock;

use gapless::archive::{
    Extent, HourManifest, HourPlace, InitSection, MediaLine, ObjectPiece, PackedHour, media_reader,
};
use hyper::Method;

use crate::archive_tier::{PATIENCE, ask, node, object_of, seal_all, sent, with_bucket};
use crate::support::archive::hash_text;
use crate::support::encoder::{EACH, Encoder, USUAL};
use crate::support::object_store::TestStore;
use crate::support::{TestArchive, TestNode, eventually, gapless, hls, mp4};

const SHOW: [&str; 3] = ["show/source/2020-01-01T04", "show/source/2020-01-01T05", "show/source/2020-01-01T06"];
const CAM: [&str; 3] = ["cam/source/2020-01-01T05", "cam/source/2020-01-01T06", "cam/source/2020-01-01T07"];
const FILM: &str = "film/source/2020-01-01T05";

/// Playlists of all kinds, and what else tells of segments and what is in them.
const QUESTIONS: [&str; 18] = [
    "/playlist/show/source.m3u8?start=2020-01-01T04:59:58Z&end=2020-01-01T06:00:04Z",
    "/playlist/show/source.m3u8?start=2020-01-01T04:59:58Z&end=2020-01-01T06:00:04Z&gaps=true",
    "/playlist/show/source.m3u8?start=2020-01-01T04:59:58Z&end=2020-01-01T06:00:04Z&apart=true",
    "/playlist/show/source.m3u8?start=2020-01-01T05:00:01Z&end=2020-01-01T05:00:03Z",
    "/playlist/show/source.m3u8?start=2020-01-01T05:00:00Z",
    "/playlist/show/source.m3u8",
    "/playlist/show.m3u8",
    "/playlist/cam/source.m3u8?start=2020-01-01T05:59:58Z&end=2020-01-01T07:00:08Z",
    "/playlist/cam/source.m3u8?start=2020-01-01T05:59:58Z&end=2020-01-01T07:00:08Z&gaps=true",
    "/playlist/cam/source.m3u8?start=2020-01-01T06:00:00Z",
    "/playlist/cam/source.m3u8",
    "/playlist/cam.m3u8",
    "/playlist/film/source.m3u8?start=2020-01-01T05:00:00Z&end=2020-01-01T05:00:08Z",
    "/playlist/film.m3u8?start=2020-01-01T05:00:00Z&end=2020-01-01T05:00:08Z",
    "/api/v1/sequence/cam/source?start=2020-01-01T05:59:58Z&end=2020-01-01T07:00:08Z",
    "/api/v1/coverage/show/source",
    "/api/v1/timespans/cam/source",
    "/cut/film/source.mp4?type=rough&start=2020-01-01T05:00:00Z&end=2020-01-01T05:00:08Z",
];

/// Segments with each kind of change, one after the other.
fn show() -> &'static Vec<Vec<u8>> {
    static MADE: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    MADE.get_or_init(|| {
        let usual = USUAL.segments(8);
        let next = |encoder: Encoder| Encoder { from: 6.0, ..encoder }.segments(1);
        // Larger than what is read of it: packets that hold nothing, in the middle.
        let half = usual[2].len() / 2 / 188 * 188;
        let nothing = [&[0x47, 0x1f, 0xff, 0x10][..], &[0xff; 184]].concat().repeat(2_000);
        let large = [&usual[2][..half], &nothing, &usual[2][half..]].concat();
        let more = [
            vec![large, usual[0].clone()],
            Encoder { from: 3_600.0, ..USUAL }.segments(2),
            next(Encoder { size: "320x180", ..USUAL }),
            next(Encoder { profile: "baseline", ..USUAL }),
            next(Encoder { pid: 0x300, ..USUAL }),
            next(Encoder { sound: None, ..USUAL }),
            vec![b"nothing that anybody understands".to_vec()],
            Encoder { from: 95_441.0, ..USUAL }.segments(4),
        ];
        [&usual[..2], &more.concat()].concat()
    })
}

/// The archive that is lost, with each kind of segment, chat, and names that are none.
fn recorded() -> TestArchive {
    let archive = TestArchive::empty();
    let show = show();
    archive.named(SHOW[0], "59:58.000000-2.0-full", "ts", &show[0]);
    let last = show.len() - 1;
    for (second, content) in (0..).step_by(2).zip(&show[1..last]) {
        archive.named(SHOW[1], &format!("00:{second:02}.000000-{EACH:?}-full"), "ts", content);
    }
    let cut = &show[3][..show[3].len() / 2 / 188 * 188];
    archive.named(SHOW[1], "00:50.000000-2.0-partial", "ts", cut);
    archive.named(SHOW[1], "00:52.000000-2.0-suspect", "ts", &show[4]);
    archive.raw(&format!("{}/odd name.ts", SHOW[1]), &show[0]);
    archive.chat(&SHOW[1].replace("source", "chat"), "00:00");
    archive.named(SHOW[2], "00:00.000000-2.0-full", "ts", &show[last]);
    archive.named(SHOW[2], "00:02.000000-2.0-full", "ts", &show[0]);
    let (stream, other) = (mp4::stream(), mp4::other_stream());
    archive.named(CAM[0], "59:58.000000-2.0-full", "mp4", &stream.segment(0));
    archive.named(CAM[1], "00:00.000000-3598.0-full", "mp4", &stream.segment(1));
    archive.named(CAM[1], "59:58.000000-2.0-full", "mp4", &other.segment(0));
    archive.named(CAM[2], "00:00.000000-2.0-full", "mp4", &other.segment(1));
    archive.named(CAM[2], "00:02.000000-2.0-full", "ts", &show[0]);
    archive.named(CAM[2], "00:04.000000-2.0-full", "mp4", &stream.media[0]);
    archive.named(CAM[2], "00:06.000000-2.0-full", "mp4", &other.segment(3));
    for number in 0..4 {
        archive.named(FILM, &format!("00:{:02}.000000-2.0-full", 2 * number), "mp4", &stream.segment(number));
    }
    archive
}

/// All of it in a bucket, and what a node says of it while it is here.
fn uploaded(store: &TestStore) -> (TestArchive, Vec<Vec<u8>>) {
    let archive = recorded();
    with_bucket(&archive, store);
    seal_all(&archive);
    assert_eq!(ask(&archive, &["run"]).json(0)["summary"]["errors"], 0);
    let running = node(&archive).start();
    answers(&running);
    let before = answers(&running);
    running.terminate();
    let text = |at: usize| String::from_utf8(before[at].clone()).unwrap();
    let told = hls::valid(&text(0));
    assert_eq!(told.entries.len(), show().len() + 3, "{}", text(0));
    assert_eq!(text(0).matches("EXT-X-DISCONTINUITY\n").count(), 10, "{}", text(0));
    assert!(text(7).matches("EXT-X-MAP").count() >= 4 && text(12).contains("INDEPENDENT-SEGMENTS"), "{}", text(7));
    assert!(text(6).contains("RESOLUTION=160x90") && text(6).contains("CODECS="), "{}", text(6));
    assert_eq!(before[17], [&mp4::stream().init[..], &mp4::stream().media[..4].concat()].concat());
    (archive, before)
}

fn answers(node: &TestNode) -> Vec<Vec<u8>> {
    node.wait_ready();
    let answer = |question: &str| {
        let answer = node.get(question);
        assert_eq!(answer.status, 200, "{question}: {}", String::from_utf8_lossy(&answer.body));
        answer.body
    };
    QUESTIONS.map(answer).into()
}

/// The answers are those of before, to the byte.
#[track_caller]
fn assert_same(archive: &TestArchive, before: &[Vec<u8>], what: &str) {
    let running = node(archive).start();
    for ((question, now), then) in QUESTIONS.iter().zip(answers(&running)).zip(before) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(now == *then, "{what}: {question}: {}\n--- instead of\n{}", text(&now), text(then));
    }
    running.check();
    running.terminate();
}

fn empty_by_hand(archive: &TestArchive) {
    for channel in ["show", "cam", "film"] {
        fs::remove_dir_all(archive.at(channel)).unwrap();
    }
}

#[test]
fn playlists_of_what_lies_in_the_bucket_alone_are_those_of_before_to_the_byte() {
    let store = TestStore::start();
    let (archive, before) = uploaded(&store);
    empty_by_hand(&archive);
    assert_same(&archive, &before, "nothing is left but .gapless");
    for file in ["index.redb", "bucket_cache"].map(|name| archive.at(&format!(".gapless/{name}"))) {
        if file.is_dir() { fs::remove_dir_all(file).unwrap() } else { fs::remove_file(file).unwrap() }
    }
    assert_eq!(gapless(archive.path(), &["rebuild"]).code, 0);
    // Nothing of media playlists needs the store.
    store.requests();
    let running = node(&archive).start();
    running.wait_ready();
    for (question, then) in QUESTIONS.iter().zip(&before).filter(|(question, _)| question.contains("/source.m3u8")) {
        assert!(running.get(question).body == *then, "{question}");
    }
    let objects = store.requests().into_iter().filter(|(_, target)| target.contains(".tar")).count();
    assert_eq!(objects, 0);
    running.terminate();
    assert_same(&archive, &before, "the index was made anew");
    // A node makes it anew by itself.
    fs::remove_file(archive.at(".gapless/index.redb")).unwrap();
    assert_same(&archive, &before, "the index was lost");

    let empty = TestArchive::empty();
    with_bucket(&empty, &store);
    let done = gapless(empty.path(), &["rebuild", "--from-archive", "--json"]).json(0);
    assert_eq!((&done["objects"]["learned"], &done["objects"]["unread"]), (&8.into(), &0.into()), "{done}");
    assert_same(&empty, &before, "nothing was left but the bucket");
    // And so they are when the files are here again, and their hours are sealed anew: the same manifests.
    ask(&empty, &["restore", "show", "cam", "film"]).json(0);
    assert_same(&empty, &before, "the files are here again");
    seal_all(&empty);
    for hour in [SHOW[1], CAM[2], FILM] {
        let manifest = format!(".gapless/sealed/{hour}.sha256");
        assert!(empty.read(&manifest) == archive.read(&manifest), "{hour}");
    }
}

#[test]
fn a_node_that_learns_of_hours_has_their_marks_and_reads_nothing_in_vain() {
    let store = TestStore::start();
    let (_archive, before) = uploaded(&store);
    let other = TestArchive::empty();
    with_bucket(&other, &store);
    let running = node(&other).env("GAPLESS_FACTS_MINIMUM_CYCLE", "1s").start();
    let hours = |node: &TestNode| node.get("/api/v1/archive").json()["archived"]["hours"].clone();
    eventually(PATIENCE, || hours(&running) == 8);
    eventually(PATIENCE, || answers(&running) == before);
    let facts = || {
        let crawl = running.get("/api/v1/crawl").json();
        crawl["visitors"].as_array().unwrap().iter().find(|visitor| visitor["name"] == "facts").unwrap().clone()
    };
    let seen = facts()["cycle"].as_u64().unwrap();
    eventually(PATIENCE, || facts()["cycle"].as_u64() > Some(seen + 1));
    let read = |cycle: &serde_json::Value| cycle["found"]["segments read"].as_u64().unwrap_or_default();
    let last = facts()["history"][0].clone();
    assert!(last["hours"].as_u64() > Some(7) && read(&last) == 0, "{last}");
    running.check();
    running.terminate();
}

#[test]
fn a_manifest_says_of_each_segment_what_its_bytes_say_and_nothing_of_the_rest() {
    let archive = recorded();
    seal_all(&archive);
    let mut lines = 0;
    for hour in [&SHOW[..], &CAM, &[FILM], &[&SHOW[1].replace("source", "chat")]].concat() {
        let text = archive.read(&format!(".gapless/sealed/{hour}.sha256"));
        let manifest = HourManifest::parse(&text).unwrap();
        for (file, line) in manifest.files_and_media() {
            let expected = media_reader(&file.name).map(|mut reader| {
                archive.read(&format!("{hour}/{}", file.name)).chunks(1_000).for_each(|piece| reader.push(piece));
                MediaLine::new(reader.finish())
            });
            assert_eq!(line, expected.as_ref(), "{}", file.name);
            lines += usize::from(line.is_some());
            let is_short = line.is_none_or(|line| "# media \n".len() + line.to_string().len() <= 140);
            assert!(is_short, "{line:?}");
        }
    }
    assert_eq!(lines, show().len() + 3 + 11);
}

/// What the rule makes of the samples stays: whoever changes it gives it another number, as other nodes have the manifests of before.
#[test]
fn the_first_rule_makes_the_same_of_the_same_bytes_for_ever() {
    let sample = TestArchive::sample_path().join("desertbus");
    let mut lines = BTreeMap::new();
    for quality in ["source", "480p"] {
        for hour in fs::read_dir(sample.join(quality)).unwrap() {
            for file in fs::read_dir(hour.unwrap().path()).unwrap().map(Result::unwrap) {
                let name = file.file_name().into_string().unwrap();
                if let Some(mut reader) = media_reader(&name) {
                    reader.push(&fs::read(file.path()).unwrap());
                    lines.insert(format!("{quality}/{name}"), MediaLine::new(reader.finish()).to_string());
                }
            }
        }
    }
    let all = lines.iter().map(|(name, line)| format!("{name} {line}\n")).collect::<Vec<_>>().concat();
    let first = "1 picture 10217520 10397520 sound 10217520 10424880 begins 9e02787f d4c69ae5 9ab82c9b independent";
    assert_eq!((lines.len(), lines.values().next().map(String::as_str)), (1_198, Some(first)));
    assert_eq!(hash_text(all.as_bytes()), "4KiotB5iCT7mCJ5pYPEdFwD-bRAtQiGotziXeOClqV0");
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/segment.mp4");
    let mut reader = media_reader(&format!("00:00.0-1.0-full-{}.mp4", hash_text(b""))).unwrap();
    reader.push(&fs::read(fixture).unwrap());
    let said =
        "1 picture 90000 180000 sound 103680 191520 begins a368605c 4ae2f8a3 b22e23d9 independent init 1333 ccbb8626";
    assert_eq!(MediaLine::new(reader.finish()).to_string(), said);
}

/// The same hour with something else said of its media.
fn said_otherwise(archive: &TestArchive, hour: &str, line: impl Fn(&MediaLine) -> Option<MediaLine>) -> HourManifest {
    let manifest = HourManifest::parse(&archive.read(&format!(".gapless/sealed/{hour}.sha256"))).unwrap();
    let (files, tombstones) = (manifest.files().to_vec(), manifest.tombstones().to_vec());
    let said = manifest.files_and_media().filter_map(|(file, said)| Some((file.name.clone(), line(said?)?)));
    HourManifest::new(HourPlace::parse(hour).unwrap(), files, tombstones).unwrap().with_media(said).unwrap()
}

#[test]
fn hours_that_were_sealed_before_manifests_spoke_of_media_stay_as_they_are_and_are_not_sent_anew() {
    let (store, archive) = (TestStore::start(), recorded());
    with_bucket(&archive, &store);
    seal_all(&archive);
    let path = archive.at(&format!(".gapless/sealed/{}.sha256", SHOW[1]));
    let described = fs::metadata(&path).unwrap().modified().unwrap();
    let before = said_otherwise(&archive, SHOW[1], |_| None).to_bytes();
    fs::write(&path, &before).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(described).unwrap();
    let sealed = seal_all(&archive);
    assert_eq!((&sealed["summary"]["sealed"], &sealed["summary"]["sealed_before"]), (&0.into(), &8.into()), "{sealed}");
    assert!(fs::read(&path).unwrap() == before, "an hour that is sealed stays sealed");
    ask(&archive, &["run"]).json(0);
    assert_eq!(sent(&store, &Method::PUT), 8);
    let names = archive.listing(SHOW[1], false);

    // What comes late is sent alone, and all of it may leave the disk.
    let late = archive.named(SHOW[1], "00:40.000000-2.0-full", "ts", &show()[1]);
    seal_all(&archive);
    let now = HourManifest::parse(&fs::read(&path).unwrap()).unwrap();
    assert!(now.files_and_media().all(|(file, line)| line.is_some() == media_reader(&file.name).is_some()));
    store.requests();
    let run = ask(&archive, &["run"]).json(0);
    assert_eq!((&run["summary"]["done"], sent(&store, &Method::PUT)), (&1.into(), 1), "{run}");
    let objects = ask(&archive, &["ls", SHOW[1]]).json(0);
    let sizes = objects["objects"].as_array().unwrap().iter().map(|object| object["bytes"].as_u64().unwrap());
    assert_eq!(sizes.clone().count(), 2, "{objects}");
    assert!(sizes.min() < Some(archive.read(&late).len() as u64 + 8_192), "{objects}");
    let done = ask(&archive, &["drop", SHOW[1]]).json(0);
    assert_eq!(done["hours"][0]["files"], names.len() + 1, "{done}");
    let running = node(&archive).start();
    running.wait_ready();
    assert_eq!(running.files(SHOW[1]).len(), names.len() + 1);
    running.check();
}

#[test]
fn what_somebody_wrote_into_a_bucket_makes_no_wrong_byte_and_is_gone_when_the_files_are_here() {
    let store = TestStore::start();
    let (archive, before) = uploaded(&store);
    // Each file is said to begin with an initialisation segment that is 100 bytes longer, and at another time.
    let init = mp4::stream().init.len();
    let longer = |line: &MediaLine| {
        let mut edges = line.edges().unwrap();
        edges.init = InitSection::new(edges.init?.length() + 100, 7);
        edges.picture = Extent::default();
        Some(MediaLine::new(edges))
    };
    let lie = PackedHour::plan(said_otherwise(&archive, FILM, longer));
    let bytes = |piece: ObjectPiece<'_>| match piece {
        ObjectPiece::Bytes(bytes) => bytes.into_owned(),
        ObjectPiece::File(file, range) => {
            let content = archive.read(&format!("{FILM}/{}", file.name));
            content[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()].to_vec()
        }
    };
    let object: Vec<u8> = lie.pieces(0..lie.size()).flat_map(bytes).collect();
    fs::remove_file(object_of(&archive, &store, FILM)).unwrap();
    fs::write(store.file(&format!("here/{}", lie.object_name())), object).unwrap();
    let empty = TestArchive::empty();
    with_bucket(&empty, &store);
    gapless(empty.path(), &["rebuild", "--from-archive"]);
    let running = node(&empty).start();
    running.wait_ready();
    let (list, cut) = (QUESTIONS[12], QUESTIONS[17]);
    assert!(
        running.get(list).text().contains(&format!("BYTERANGE=\"{}@0\"", init + 100)),
        "{}",
        running.get(list).text()
    );
    assert!(running.get(cut).body == before[17], "what is left out of a cut is read");
    for name in running.files(FILM) {
        assert!(running.get(&format!("/segments/{FILM}/{name}")).body == archive.read(&format!("{FILM}/{name}")));
    }
    running.terminate();
    ask(&empty, &["restore", "film"]).json(0);
    let again = node(&empty).start();
    again.wait_ready();
    assert!(again.get(list).body == before[12], "{}", again.get(list).text());
    again.check();
}
