//! Segments of a few bytes, and how a tree of them looks from outside.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::archive::{Hour, HourPlace, name};

/// Bytes of a segment.
pub(super) const BYTES: usize = 200;

/// A content that no other number gives.
pub(super) fn content(number: u64) -> Vec<u8> {
    let mut bytes = format!("segment {number} ").into_bytes();
    bytes.resize(BYTES, b'.');
    bytes
}

/// The name of a segment with this content that starts so many microseconds after its hour.
pub(super) fn name_of(start_us: i64, content: &[u8]) -> String {
    let (seconds, micros) = (start_us / 1_000_000, start_us % 1_000_000);
    let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(content));
    format!("{:02}:{:02}.{micros:06}-2.0-full-{hash}.ts", seconds / 60, seconds % 60)
}

pub(super) fn hour_of(us: i64) -> Hour {
    crate::archive::Timestamp::from_us(us).hour()
}

/// Writes a file as a recorder does: beside its place, then renamed.
pub(super) fn put(base: &Path, path: &str, content: &[u8]) {
    let target = base.join(path);
    std::fs::create_dir_all(target.parent().unwrap()).unwrap();
    // A file that is there has the same content: the name holds its hash.
    if !target.exists() {
        std::fs::write(target, content).unwrap();
    }
}

/// A path `CHANNEL/QUALITY/HOUR/NAME` in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PathParts<'a> {
    pub(super) place: HourPlace,
    pub(super) channel: &'a str,
    pub(super) name: &'a str,
}

pub(super) fn parts(path: &str) -> PathParts<'_> {
    let (hour, file) = path.rsplit_once('/').unwrap();
    PathParts { place: HourPlace::parse(hour).unwrap(), channel: path.split('/').next().unwrap(), name: file }
}

/// The hour of a path, unread.
pub(super) fn hour_part(path: &str) -> &str {
    path.rsplit_once('/').unwrap().0
}

pub(super) fn hour_place(hour: &str) -> HourPlace {
    HourPlace::parse(hour).unwrap()
}

pub(super) fn is_tombstone(path: &str) -> bool {
    path.ends_with(".tombstone")
}

/// The path without its ending: that of a segment and its tombstone are the same.
pub(super) fn stem(path: &str) -> &str {
    let (_, file) = path.rsplit_once('/').unwrap();
    &path[..path.len() - file.len() + name::stem(file).len()]
}

/// Where in its hour a segment starts, and its hash.
pub(super) fn start_and_hash(path: &str) -> (i64, &str) {
    let file = name::stem(path.rsplit_once('/').unwrap().1);
    let number = |text: &str| text.parse::<i64>().unwrap();
    let start = (number(&file[0..2]) * 60 + number(&file[3..5])) * 1_000_000 + number(&file[6..12]);
    (start, &file[file.len() - 43..])
}

/// What lies on a disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tree {
    /// Regular files in hours.
    pub(super) files: BTreeSet<String>,
    /// Those in the quarantine, by the path that they had.
    pub(super) quarantine: BTreeSet<String>,
}

impl Tree {
    pub(super) fn read(disk: &Path) -> Self {
        let mut tree = Self::default();
        walk(disk, "", 0, &mut tree.files);
        walk(&disk.join(".gapless/quarantine"), "", 0, &mut tree.quarantine);
        tree
    }

    /// Whether the bytes are there, listed or not.
    pub(super) fn holds(&self, path: &str) -> bool {
        self.files.contains(path) || self.quarantine.contains(path)
    }

    /// Segments by hour, as `CHANNEL/QUALITY/HOUR`.
    pub(super) fn hours(&self) -> BTreeMap<&str, Vec<&String>> {
        let mut hours: BTreeMap<&str, Vec<&String>> = BTreeMap::new();
        for path in self.files.iter().filter(|path| !is_tombstone(path)) {
            hours.entry(hour_part(path)).or_default().push(path);
        }
        hours
    }
}

fn walk(dir: &Path, above: &str, depth: usize, found: &mut BTreeSet<String>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let kind = entry.file_type().unwrap();
        let path = if above.is_empty() { name.clone() } else { format!("{above}/{name}") };
        if name.starts_with('.') {
            continue;
        }
        if kind.is_dir() && depth < 3 {
            walk(&entry.path(), &path, depth + 1, found);
        } else if kind.is_file() && depth == 3 && [".ts", ".tombstone"].iter().any(|ending| path.ends_with(ending)) {
            found.insert(path);
        }
    }
}

#[test]
fn what_is_written_is_found() {
    let disk = tempfile::tempdir().unwrap();
    let content = content(7);
    let path = format!("a/source/2024-06-10T12/{}", name_of(61_500_000, &content));
    put(disk.path(), &path, &content);
    let tree = Tree::read(disk.path());
    assert!(tree.holds(&path) && tree.hours().len() == 1);
    assert_eq!(start_and_hash(&path).0, 61_500_000);
    assert_eq!(format!("{}.ts", stem(&path)), path);
    assert_eq!(parts(&path).place.hour.to_string(), "2024-06-10T12");
}
