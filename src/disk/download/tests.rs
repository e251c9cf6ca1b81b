//! Publishing, under everything that may go wrong on the way.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use proptest::prelude::*;

use super::super::is_our_temporary;
use sha2::{Digest as _, Sha256};

use super::*;
use crate::archive::Stream;

const HOUR: &str = "c/q/2019-11-13T02";

fn place() -> HourPlace {
    HourPlace::parse(HOUR).unwrap()
}

fn hash_of(bytes: &[u8]) -> Hash {
    Hash(Sha256::digest(bytes).into())
}

fn name_of(bytes: &[u8]) -> String {
    format!("45:51.608000-2.0-full-{}.ts", hash_of(bytes))
}

struct Tree {
    temp: tempfile::TempDir,
    base: Base,
}

impl Tree {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let base = Base::open(temp.path()).unwrap();
        Self { temp, base }
    }

    fn hour(&self) -> Arc<Dir> {
        Arc::new(self.base.make_hour_dir(&place()).unwrap())
    }

    fn names(&self) -> Vec<String> {
        names(&self.temp.path().join(HOUR))
    }
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_segment_is_hidden_until_it_is_complete() {
    let tree = Tree::new();
    let name = name_of(b"content");
    let mut download = Download::begin(tree.hour(), &name).unwrap();
    download.write(b"con").unwrap();
    download.write(b"tent").unwrap();
    let hidden = tree.names();
    assert!(hidden.len() == 1 && is_our_temporary(hidden[0].as_bytes()), "{hidden:?}");
    assert_eq!(download.bytes(), 7);
    assert_eq!(download.finish(&hash_of(b"content")).unwrap(), Published::New);
    assert_eq!(tree.names(), std::slice::from_ref(&name));
    assert_eq!(fs::read(tree.temp.path().join(HOUR).join(&name)).unwrap(), b"content");
}

#[test]
fn a_segment_that_is_dropped_leaves_nothing() {
    let tree = Tree::new();
    let mut download = Download::begin(tree.hour(), &name_of(b"x")).unwrap();
    download.write(b"x").unwrap();
    drop(download);
    assert!(tree.names().is_empty());
}

#[test]
fn a_wrong_hash_is_told_and_leaves_nothing() {
    let tree = Tree::new();
    let mut download = Download::begin(tree.hour(), &name_of(b"right")).unwrap();
    download.write(b"wrong").unwrap();
    let error = download.finish(&hash_of(b"right")).unwrap_err();
    let DownloadError::WrongHash { expected, found, bytes, .. } = &error else { panic!("{error}") };
    assert_eq!((*expected, *found, *bytes), (hash_of(b"right"), hash_of(b"wrong"), 5));
    assert!(error.to_string().contains(&hash_of(b"right").to_string()), "{error}");
    assert!(tree.names().is_empty());
}

#[test]
fn content_never_gets_a_name_with_another_hash_whatever_the_caller_expects() {
    let tree = Tree::new();
    let mut download = Download::begin(tree.hour(), &name_of(b"right")).unwrap();
    download.write(b"other").unwrap();
    assert!(matches!(download.finish(&hash_of(b"other")), Err(DownloadError::WrongHash { .. })));
    assert!(tree.names().is_empty());
}

#[test]
fn a_file_that_is_there_is_never_replaced() {
    let tree = Tree::new();
    let (hour, name) = (tree.hour(), name_of(b"new"));
    let taken = tree.temp.path().join(HOUR).join(&name);
    fs::write(&taken, "old").unwrap();
    let mut download = Download::begin(hour.clone(), &name).unwrap();
    download.write(b"new").unwrap();
    assert_eq!(download.finish(&hash_of(b"new")).unwrap(), Published::AlreadyThere);
    assert_eq!(fs::read(&taken).unwrap(), b"old");
    assert_eq!(tree.names(), [name]);
}

#[test]
fn a_directory_or_a_file_of_another_size_is_no_copy_of_what_was_fetched() {
    let tree = Tree::new();
    let (hour, name) = (tree.hour(), name_of(b"new"));
    let taken = tree.temp.path().join(HOUR).join(&name);
    let finish = || {
        let mut download = Download::begin(hour.clone(), &name).unwrap();
        download.write(b"new").unwrap();
        let outcome = download.finish(&hash_of(b"new"));
        assert_eq!(tree.names(), [name.as_str()], "no temporary is left");
        outcome
    };
    fs::write(&taken, "cut off").unwrap();
    let told = finish().unwrap_err().to_string();
    assert!(told.contains("a file of 7 bytes that should have 3"), "{told}");
    assert_eq!(fs::read(&taken).unwrap(), b"cut off");
    fs::remove_file(&taken).unwrap();
    fs::create_dir(&taken).unwrap();
    assert!(finish().unwrap_err().disk().is_some_and(DiskError::is_occupied));
    let tombstone = name.replace(".ts", ".tombstone");
    fs::create_dir(tree.temp.path().join(HOUR).join(&tombstone)).unwrap();
    let hidden = write_tombstone(&hour, &tombstone, b"");
    assert!(hidden.unwrap_err().disk().is_some_and(DiskError::is_occupied), "it would hide nothing");
}

#[test]
fn a_restart_begins_at_the_first_byte() {
    let tree = Tree::new();
    let mut download = Download::begin(tree.hour(), &name_of(b"ab")).unwrap();
    download.write(b"something longer").unwrap();
    download.restart().unwrap();
    assert_eq!(download.bytes(), 0);
    download.write(b"ab").unwrap();
    assert_eq!(download.finish(&hash_of(b"ab")).unwrap(), Published::New);
    assert_eq!(fs::read(tree.temp.path().join(HOUR).join(name_of(b"ab"))).unwrap(), b"ab");
}

#[test]
fn chat_is_published_like_a_segment() {
    let tree = Tree::new();
    let name = format!("45:51-{}.json", hash_of(b"{}"));
    let mut download = Download::begin(tree.hour(), &name).unwrap();
    download.write(b"{}").unwrap();
    assert_eq!(download.finish(&hash_of(b"{}")).unwrap(), Published::New);
    assert_eq!(tree.names(), [name]);
}

#[test]
fn names_that_the_grammar_does_not_know_are_not_written() {
    let tree = Tree::new();
    let hour = tree.hour();
    let good = name_of(b"x");
    let tombstone = good.replace(".ts", ".tombstone");
    for bad in ["", "..", "x.ts", "../x.ts", "a/b", "a\0.ts", ".hidden", "00:00-2.0-temp-x.ts", "notes.txt", &tombstone]
    {
        assert!(matches!(Download::begin(hour.clone(), bad), Err(DownloadError::Name { .. })), "{bad:?}");
    }
    for bad in ["", "..", "x.tombstone", "../x.tombstone", &format!("../{tombstone}"), &good] {
        assert!(matches!(write_tombstone(&hour, bad, b""), Err(DownloadError::Name { .. })), "{bad:?}");
    }
    assert!(tree.names().is_empty());
}

#[test]
fn a_tombstone_is_made_once_and_keeps_what_it_says() {
    let tree = Tree::new();
    let (hour, name) = (tree.hour(), name_of(b"x").replace(".ts", ".tombstone"));
    assert_eq!(write_tombstone(&hour, &name, b"why").unwrap(), Published::New);
    assert_eq!(write_tombstone(&hour, &name, b"another").unwrap(), Published::AlreadyThere);
    assert_eq!(tree.names(), std::slice::from_ref(&name));
    assert_eq!(fs::read(tree.temp.path().join(HOUR).join(&name)).unwrap(), b"why");
}

#[test]
fn hour_directories_are_made_without_following_links() {
    let outside = tempfile::tempdir().unwrap();
    for link in ["c", "c/q", HOUR] {
        let tree = Tree::new();
        let link = tree.temp.path().join(link);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(outside.path(), &link).unwrap();
        let error = tree.base.make_hour_dir(&place()).unwrap_err();
        assert!(!error.is_full() && error.to_string().contains("cannot open the directory"), "{error}");
        fs::remove_file(&link).unwrap();
        fs::write(&link, "a file").unwrap();
        assert!(tree.base.make_hour_dir(&place()).is_err());
        fs::remove_file(&link).unwrap();
        for _ in 0..2 {
            assert_eq!(tree.base.make_hour_dir(&place()).unwrap().path(), tree.temp.path().join(HOUR));
        }
    }
    assert!(names(outside.path()).is_empty());
}

#[test]
fn an_hour_directory_made_twice_at_once_is_one() {
    let tree = Tree::new();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| tree.base.make_hour_dir(&place()).unwrap());
        }
    });
    assert!(tree.names().is_empty());
}

/// A small file system of its own, which goes with the value.
struct Small(tempfile::TempDir);

impl Small {
    fn mounted(options: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(dir.path()).output();
        if mounted.is_ok_and(|done| done.status.success()) {
            return Some(Self(dir));
        }
        eprintln!("skipped: this user may not mount a small file system");
        None
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        assert!(Command::new("umount").arg(self.0.path()).status().unwrap().success());
    }
}

#[test]
fn a_full_disk_shows_nothing_half_written_and_room_mends_it() {
    let Some(small) = Small::mounted("size=64k,nr_inodes=32") else { return };
    let base = Base::open(small.0.path()).unwrap();
    let hour = Arc::new(base.make_hour_dir(&place()).unwrap());
    let content = vec![7; 40_000];
    fs::write(small.0.path().join("filler"), vec![1; 40_000]).unwrap();

    let mut download = Download::begin(hour.clone(), &name_of(&content)).unwrap();
    let error = content.chunks(1000).find_map(|chunk| download.write(chunk).err()).unwrap();
    assert!(error.is_full() && !error.is_away(), "{error}");
    assert!(names(hour.path()).is_empty(), "the temporary goes at once, because its room is needed");
    assert!(download.write(b"x").is_err() && download.restart().is_err());
    assert!(download.finish(&hash_of(&content)).is_err());
    assert!(names(hour.path()).is_empty());

    fs::remove_file(small.0.path().join("filler")).unwrap();
    let mut again = Download::begin(hour.clone(), &name_of(&content)).unwrap();
    again.write(&content).unwrap();
    assert_eq!(again.finish(&hash_of(&content)).unwrap(), Published::New);
    assert_eq!(names(hour.path()), [name_of(&content)]);
    drop((hour, base));
}

#[test]
fn a_disk_without_inodes_is_full_too() {
    let Some(small) = Small::mounted("size=64k,nr_inodes=5") else { return };
    let base = Base::open(small.0.path()).unwrap();
    let hour = Arc::new(base.make_hour_dir(&place()).unwrap());
    fs::write(small.0.path().join("filler"), "").unwrap();
    assert!(Download::begin(hour.clone(), &name_of(b"x")).unwrap_err().is_full());
    assert!(write_tombstone(&hour, &name_of(b"x").replace(".ts", ".tombstone"), b"").unwrap_err().is_full());
    let other = HourPlace { stream: Stream::new("c", "other").unwrap(), hour: place().hour };
    assert!(base.make_hour_dir(&other).unwrap_err().is_full());
    assert!(names(hour.path()).is_empty());
    drop((hour, base));
}

fn content(number: u32) -> Vec<u8> {
    number.to_be_bytes().repeat(50)
}

fn begun(hour: &Arc<Dir>, numbers: std::ops::Range<u32>) -> Vec<(Download, Hash)> {
    let begin = |number| {
        let bytes = content(number);
        let mut download = Download::begin(Arc::clone(hour), &name_of(&bytes)).unwrap();
        download.write(&bytes).unwrap();
        (download, hash_of(&bytes))
    };
    numbers.map(begin).collect()
}

#[test]
fn many_files_share_a_flush_and_a_wrong_one_is_none_of_them() {
    for count in [3, 300] {
        let tree = Tree::new();
        let hour = tree.hour();
        let mut downloads = begun(&hour, 0..count);
        let (mut wrong, named) = downloads.remove(1);
        wrong.write(b"too much").unwrap();
        assert!(matches!(wrong.verify(&named), Err(DownloadError::WrongHash { .. })));
        fs::write(tree.temp.path().join(HOUR).join(name_of(&content(2))), vec![0; content(2).len()]).unwrap();
        let verified = downloads.into_iter().map(|(download, hash)| download.verify(&hash).unwrap()).collect();
        let outcomes = Verified::finish_together(&hour, verified).unwrap();
        assert_eq!(outcomes.len(), count as usize - 1);
        for (number, outcome) in outcomes.iter().enumerate() {
            match number {
                1 => assert!(matches!(outcome, Ok(Published::AlreadyThere)), "{outcome:?}"),
                _ => assert!(matches!(outcome, Ok(Published::New)), "{outcome:?}"),
            }
        }
        assert_eq!(tree.names().len(), count as usize - 1, "no temporary is left");
        let kept = fs::read(tree.temp.path().join(HOUR).join(name_of(&content(2)))).unwrap();
        assert_eq!(kept, vec![0; content(2).len()]);
    }
}

#[test]
fn an_hour_directory_is_removed_only_if_it_is_empty() {
    let tree = Tree::new();
    assert!(!tree.base.remove_empty_hour(&place()).unwrap());
    drop(tree.hour());
    assert!(tree.base.remove_empty_hour(&place()).unwrap());
    let hour = tree.hour();
    fs::write(tree.temp.path().join(HOUR).join("x"), b"").unwrap();
    assert!(!tree.base.remove_empty_hour(&place()).unwrap());
    assert_eq!(tree.names(), ["x"]);
    drop(hour);
}

proptest! {
    #[test]
    fn whatever_is_written_only_the_right_content_becomes_visible(
        steps in prop::collection::vec(prop_oneof![3 => prop::collection::vec(any::<u8>(), 0..40).prop_map(Some), 1 => Just(None)], 0..8),
        right: bool,
        finish: bool,
    ) {
        let tree = Tree::new();
        let mut content = Vec::new();
        for step in &steps {
            match step {
                Some(bytes) => content.extend_from_slice(bytes),
                None => content.clear(),
            }
        }
        let name = if right { name_of(&content) } else { name_of(b"something else altogether, longer than any of those") };
        let mut download = Download::begin(tree.hour(), &name).unwrap();
        for step in &steps {
            match step {
                Some(bytes) => download.write(bytes).unwrap(),
                None => download.restart().unwrap(),
            }
        }
        prop_assert_eq!(download.bytes(), content.len() as u64);
        if finish {
            let outcome = download.finish(&hash_of(&content));
            prop_assert_eq!(outcome.is_ok(), right);
        } else {
            drop(download);
        }
        if finish && right {
            prop_assert_eq!(fs::read(tree.temp.path().join(HOUR).join(&name)).unwrap(), content);
            prop_assert_eq!(tree.names(), [name]);
        } else {
            prop_assert!(tree.names().is_empty());
        }
    }
}
