//! `gapless record`: what a real origin publishes over a bad line is in the archive byte for byte, under the same names wherever it was recorded.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::thread;

use crate::support::archive::hash_text;
use crate::support::origin::Origin;
use crate::support::{TestArchive, gapless};

/// What was recorded: contents by path.
fn recorded(archive: &TestArchive, stream: &str) -> BTreeMap<String, Vec<u8>> {
    let hours = archive.hours(stream).into_iter().map(|hour| format!("{stream}/{hour}"));
    let names =
        hours.flat_map(|hour| archive.listing(&hour, false).into_iter().map(move |name| format!("{hour}/{name}")));
    names.map(|path| (path.clone(), archive.read(&path))).collect()
}

fn of_kind<'r>(recorded: &'r BTreeMap<String, Vec<u8>>, kind: &str) -> BTreeMap<&'r str, &'r [u8]> {
    let kind = format!("-{kind}-");
    recorded.iter().filter(|(path, _)| path.contains(&kind)).map(|(path, bytes)| (&**path, &**bytes)).collect()
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
                let done = gapless(archive.path(), &["record", "c", &url, "--for", "14s"]);
                assert!([0, 1].contains(&done.code), "{done:?}");
            });
        }
    });
    let published = origin.segments();
    assert!(published.len() >= 7, "{:?}", published.keys());
    let contents: BTreeSet<&[u8]> = published.values().map(Vec::as_slice).collect();
    let all: Vec<_> = archives.iter().map(|archive| recorded(archive, "c/source")).collect();
    let mut union = BTreeMap::new();
    for recorded in &all {
        for (path, bytes) in of_kind(recorded, "full") {
            assert!(contents.contains(bytes), "{path} is not what was published");
            assert!(path.ends_with(&format!("-{}.ts", hash_text(bytes))), "{path}");
            union.insert(path, bytes);
        }
        for (path, bytes) in of_kind(recorded, "partial") {
            assert!(published.values().any(|whole| whole.starts_with(bytes)), "{path} is no part of anything");
        }
    }
    // Names agree: there are as many as contents, although three gave them.
    assert_eq!(union.len(), published.len(), "{:?}", union.keys());
    assert_eq!(union.values().copied().collect::<BTreeSet<_>>(), contents);
    for archive in &archives {
        let left = fs::read_dir(archive.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
        assert_eq!(left, ["c"], "nothing else lies in the archive");
    }
}
