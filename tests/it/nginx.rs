//! What stands in front of live streams in the world: a real nginx, and its module for RTMP. What three recorders get of it is what lies there, byte for byte.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::thread;

use aes::Aes128;
use aes::cipher::{Block, BlockModeDecrypt as _, KeyIvInit as _};

use crate::recording::{in_order, of_kind, recorded, union_of};
use crate::streams::{Recording, recorded_pictures};
use crate::support::nginx::Nginx;
use crate::support::origin::Origin;
use crate::support::sender::Sender;
use crate::support::{SOON, TestArchive, eventually, gapless};

type Recorded = BTreeMap<String, Vec<u8>>;

/// What three recorders have of a stream when it has ended.
fn three(url: &str) -> [Recorded; 3] {
    thread::scope(|scope| {
        let record = || {
            let archive = TestArchive::empty();
            let done = gapless(archive.path(), &["record", "c", url, "--for", "60s"]);
            assert_eq!(done.code, 0, "{done:?}");
            recorded(&archive, "c/source")
        };
        [0; 3].map(|_| scope.spawn(record)).map(|recording| recording.join().unwrap())
    })
}

/// Each of the three has all of these, and nothing else, under the same names.
fn all_have(all: &[Recorded; 3], published: &Recorded, ending: &str) {
    let union = union_of(all, published, ending);
    assert_eq!(union.len(), published.len(), "{:?}", union.keys());
    assert!(all.iter().all(|recorded| recorded == &all[0]), "{all:?}");
}

fn decrypted(key: &[u8; 16], iv: u128, bytes: &[u8]) -> Vec<u8> {
    let mut cipher = cbc::Decryptor::<Aes128>::new(key.into(), &iv.to_be_bytes().into());
    let blocks = bytes.as_chunks::<16>().0.iter().flat_map(|block| {
        let mut block = Block::<Aes128>::from(*block);
        cipher.decrypt_block(&mut block);
        block.to_vec()
    });
    let mut plain: Vec<u8> = blocks.collect();
    plain.truncate(plain.len() - usize::from(*plain.last().unwrap()));
    plain
}

#[test]
fn transport_streams_parts_of_mp4_and_encrypted_segments_behind_nginx_are_recorded_as_they_lie_there() {
    let mut origins = [Origin::new(0, 0), Origin::new(0, 0), Origin::new(0, 0)];
    let servers = origins.each_ref().map(|origin| Nginx::serve(origin.path()));
    let key = *b"0123456789abcdef";
    let file = origins[2].write("key.bin", &key);
    let info = origins[2].write("info", format!("key.bin\n{file}\n{:032x}\n", 7).as_bytes());
    let parts = "program_date_time+single_file";
    origins[0].encode(5, &["-hls_flags", "program_date_time"]);
    origins[1].encode(5, &["-hls_segment_type", "fmp4", "-hls_flags", parts]);
    origins[2].encode(5, &["-hls_flags", "program_date_time", "-hls_key_info_file", &info]);
    for origin in &origins {
        eventually(SOON, || origin.path().join("live.m3u8").exists());
    }
    let [plain, mp4, encrypted] = thread::scope(|scope| {
        let recordings = servers.each_ref().map(|server| scope.spawn(|| three(&server.url("live.m3u8"))));
        recordings.map(|recording| recording.join().unwrap())
    });
    assert!(plain[0].len() >= 4, "{:?}", plain[0].keys());
    all_have(&plain, &origins[0].segments(), ".ts");
    let published = origins[2].segments();
    let published = published.iter().map(|(name, bytes)| (name.clone(), decrypted(&key, 7, bytes))).collect();
    all_have(&encrypted, &published, ".ts");
    // Of the parts nobody but the playlist knows where they begin.
    let whole = &origins[1].segments()["live.m4s"];
    let playlist = String::from_utf8(origins[1].read("live.m3u8")).unwrap();
    let head: usize = playlist.split_once(",BYTERANGE=\"").unwrap().1.split('@').next().unwrap().parse().unwrap();
    let (init, media) = whole.split_at(head);
    let all = in_order(&mp4[0]);
    assert!(all.iter().all(|(.., bytes)| bytes.starts_with(init)));
    assert!(all.iter().flat_map(|(.., bytes)| bytes[head..].to_vec()).collect::<Vec<u8>>() == media);
    assert_eq!(of_kind(&mp4[0], "full").len(), mp4[0].len());
    assert!(mp4.iter().all(|recorded| recorded == &mp4[0]));
}

/// What lies there of a stream.
fn lying(dir: &Path) -> BTreeSet<Vec<u8>> {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|file| file.extension().is_some_and(|end| end == "ts")).map(|file| fs::read(file).unwrap()).collect()
}

#[test]
fn what_is_pushed_to_nginx_is_recorded_from_its_playlist_and_by_its_rtmp() {
    let dir = tempfile::tempdir().unwrap();
    let (nginx, port) = Nginx::with_rtmp(dir.path());
    let pulling = TestArchive::empty();
    // An address in figures is waited on.
    let url = format!("rtmp://127.0.0.1:{port}/live/key-of-mine");
    let done = gapless(pulling.path(), &["record", "c", &url, "--for", "1s"]);
    assert!(done.err.contains("is called localhost"), "{done:?}");
    let pull = Recording::begin(&pulling, &format!("rtmp://localhost:{port}/live/key-of-mine"));
    let mut sender = Sender::begin(6, "flv", &format!("rtmp\\://127.0.0.1\\:{port}/live/key-of-mine"));
    eventually(SOON, || dir.path().join("key-of-mine.m3u8").exists());
    let archives = [TestArchive::empty(), TestArchive::empty(), TestArchive::empty()];
    let url = nginx.url("key-of-mine.m3u8");
    let recordings = archives.each_ref().map(|archive| Recording::begin(archive, &url));
    let sent = sender.finish();
    eventually(SOON, || pull.count("-full-") >= 1);
    pull.stop();
    // Its times are not told: names differ, and contents do not.
    let has_all = |archive: &TestArchive| {
        let all = recorded(archive, "c/source");
        let contents: BTreeSet<Vec<u8>> = all.values().cloned().collect();
        assert!(contents.len() == all.len() && of_kind(&all, "suspect").is_empty(), "{:?}", all.keys());
        contents == lying(dir.path())
    };
    eventually(SOON, || archives.iter().all(has_all));
    assert!(lying(dir.path()).len() >= 4);
    drop(recordings);
    let pulled = recorded_pictures(&pulling);
    let first = sent.iter().position(|picture| picture == &pulled[0]).unwrap();
    assert!(pulled.len() >= 30 && sent[first..].starts_with(&pulled), "{} of {}", pulled.len(), sent.len());
}
