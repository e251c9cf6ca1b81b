//! The index is derived: whatever is done to its file, the answers are right, the trouble is told, and nothing else is touched.

use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use redb::{Database, TableDefinition};

use crate::support::trouble::{Chance, is_alive, wait_for_a_good_index};
use crate::support::{Kind, SOON, TestArchive, TestNode, eventually, invariants};

const FIRST: &str = "chan/source/2020-01-01T00";
const LAST: &str = "chan/source/2020-01-01T07";

/// An archive and the index that a node left behind.
fn indexed() -> (TestArchive, PathBuf) {
    let archive = TestArchive::empty();
    for hour in 0..8 {
        for minute in 0..40 {
            let place = format!("chan/source/2020-01-01T0{hour}");
            let path = archive.segment(&place, &format!("{minute:02}:00"), 2.0, Kind::Full);
            if minute % 10 == 0 {
                archive.tombstone(&path);
            }
        }
        archive.raw(&format!("chan/source/2020-01-01T0{hour}/odd.ts"), b"odd");
    }
    let node = TestNode::start(&archive);
    node.wait_ready();
    node.terminate();
    let index = archive.at(".gapless/index.redb");
    (archive, index)
}

fn set_aside(archive: &TestArchive) -> usize {
    let names = fs::read_dir(archive.at(".gapless")).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().contains("damaged")).count()
}

/// Right from the first question to the end, through a check, changes and another start.
#[track_caller]
fn is_right_all_along(archive: &TestArchive, node: TestNode) {
    for hour in archive.all_hours() {
        assert_eq!(node.files_with_tombstones(&hour), archive.listing(&hour, true), "{hour}");
    }
    node.wait_ready();
    wait_for_a_good_index(&node);
    eventually(SOON, || node.run(&["rebuild", "--check"]).code == 0);
    invariants::hold(archive, &node);
    for hour in [FIRST, LAST] {
        let path = archive.segment(hour, "59:00", 2.0, Kind::Suspect);
        invariants::is_listed(&node, &path);
        archive.remove(&path);
    }
    invariants::hold(archive, &node);
    is_alive(&node);
    node.terminate();
    let node = TestNode::start(archive);
    node.wait_ready();
    node.check();
    invariants::hold(archive, &node);
}

/// Overwrites bytes in place, as a failing disk would.
fn overwrite(index: &Path, at: u64, bytes: &[u8]) {
    let mut file = fs::OpenOptions::new().write(true).open(index).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(bytes).unwrap();
}

fn noise(chance: &mut Chance, length: usize) -> Vec<u8> {
    std::iter::repeat_with(|| chance.below(256).try_into().unwrap()).take(length).collect()
}

#[test]
fn an_index_that_is_no_index_is_set_aside_and_made_anew() {
    let mut chance = Chance::new("index");
    let (archive, index) = indexed();
    let original = fs::read(&index).unwrap();
    let cases = [
        ("empty", Vec::new()),
        ("one byte", vec![0]),
        ("half of it", original[..original.len() / 2].to_vec()),
        ("all but the end", original[..original.len() - 4096].to_vec()),
        ("noise", noise(&mut chance, original.len())),
        ("zeroes", vec![0; original.len()]),
        ("noise after a good head", [&original[..8192], &noise(&mut chance, original.len() - 8192)].concat()),
    ];
    for (what, bytes) in cases {
        eprintln!("{what}");
        fs::write(&index, bytes).unwrap();
        let node = TestNode::start(&archive);
        let status = node.get("/api/v1/status").json();
        assert_eq!(status["index"]["set_aside"].as_array().unwrap().len(), 1, "{status}");
        assert!(node.log().contains("index_set_aside"), "{}", node.log());
        is_right_all_along(&archive, node);
    }
    assert!((1..=3).contains(&set_aside(&archive)), "the last few are kept");
}

#[test]
fn flipped_bits_never_make_a_wrong_answer() {
    let mut chance = Chance::new("bits");
    let (archive, index) = indexed();
    let original = fs::read(&index).unwrap();
    let mut noticed = 0;
    for round in 0..12 {
        let mut bytes = original.clone();
        for _ in 0..=round {
            let at = chance.below(bytes.len());
            bytes[at] ^= 1 << chance.below(8);
        }
        fs::write(&index, &bytes).unwrap();
        let node = TestNode::start(&archive);
        for hour in archive.all_hours() {
            assert_eq!(node.files_with_tombstones(&hour), archive.listing(&hour, true), "{hour}");
        }
        node.wait_ready();
        eventually(SOON, || node.run(&["rebuild", "--check"]).code == 0);
        noticed += node.get("/api/v1/status").json()["index"]["set_aside"].as_array().unwrap().len();
        is_alive(&node);
        node.kill();
    }
    println!("{noticed} of 12 damaged indexes were set aside; the bits of the others lay where nothing is kept");
}

/// Something done to the file, and what to call it.
type Harm<'t> = (&'t str, Box<dyn FnMut() + 't>);

#[test]
fn damage_under_a_running_node_never_makes_a_wrong_answer() {
    let mut chance = Chance::new("running");
    let (archive, index) = indexed();
    // Small, so that pages are read from the file again.
    let start =
        || TestNode::plan(&archive).config("[index]\ncache = \"1MiB\"\n[http]\nlisting_cache = \"0B\"\n").start();
    let length = usize::try_from(index.metadata().unwrap().len()).unwrap();
    let harms: Vec<Harm<'_>> = vec![
        ("removed", Box::new(|| fs::remove_file(&index).unwrap())),
        (
            "replaced by noise",
            Box::new(|| {
                fs::write(index.with_extension("x"), b"noise")
                    .and_then(|()| fs::rename(index.with_extension("x"), &index))
                    .unwrap();
            }),
        ),
        ("noise written into it", Box::new(|| overwrite(&index, 8192, &noise(&mut chance, length / 2)))),
        ("cut off", Box::new(|| fs::OpenOptions::new().write(true).open(&index).unwrap().set_len(4096).unwrap())),
        ("emptied", Box::new(|| fs::OpenOptions::new().write(true).open(&index).unwrap().set_len(0).unwrap())),
    ];
    for (number, (what, mut harm)) in harms.into_iter().enumerate() {
        eprintln!("{what}");
        let node = start();
        node.wait_ready();
        harm();
        for round in 0..3 {
            archive.segment(FIRST, &format!("5{number}:0{round}"), 2.0, Kind::Full);
            archive.segment(LAST, &format!("5{number}:0{round}"), 2.0, Kind::Full);
            archive.segment(&format!("chan/new{number}/2020-01-01T0{round}"), "00:00", 2.0, Kind::Full);
            invariants::listings_follow_the_disk(&archive, &node);
        }
        is_alive(&node);
        node.kill();
        let node = TestNode::start(&archive);
        is_right_all_along(&archive, node);
    }
}

#[test]
fn an_index_of_a_newer_format_is_refused_and_left_as_it_is() {
    let (archive, index) = indexed();
    {
        let database = Database::create(&index).unwrap();
        let transaction = database.begin_write().unwrap();
        let meta: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
        transaction.open_table(meta).unwrap().insert("format", 99_u64.to_le_bytes().as_slice()).unwrap();
        transaction.commit().unwrap();
    }
    let before = fs::read(&index).unwrap();
    let outcome = TestNode::plan(&archive).refused();
    assert_eq!(outcome.code, 3, "{}", outcome.err);
    assert!(outcome.err.contains("99") && outcome.err.contains("newer"), "{}", outcome.err);
    assert!(before == fs::read(&index).unwrap(), "it was changed");
    assert_eq!(set_aside(&archive), 0);
    // Removing it is all it takes.
    fs::remove_file(&index).unwrap();
    is_right_all_along(&archive, TestNode::start(&archive));
}

#[test]
fn the_index_of_another_archive_is_refused_and_left_as_it_is() {
    let ((archive, index), (other, others_index)) = (indexed(), indexed());
    let own = fs::read(&index).unwrap();
    fs::copy(&others_index, &index).unwrap();
    let outcome = TestNode::plan(&archive).refused();
    assert_eq!(outcome.code, 3, "{}", outcome.err);
    assert!(outcome.err.contains("archive"), "{}", outcome.err);
    assert_eq!(set_aside(&archive), 0);
    fs::write(&index, own).unwrap();
    is_right_all_along(&archive, TestNode::start(&archive));
    is_right_all_along(&other, TestNode::start(&other));
}
