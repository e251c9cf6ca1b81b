//! What becomes of the disk of a machine, and of what protects it there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use super::clocks::HOUR;
use super::step::{FileDamage, OwnFile};
use super::truth::MACHINES;
use super::world::ModelWorld;
use crate::archive::{Hour, HourPlace, name};

impl ModelWorld<'_> {
    pub(super) fn snapshot(&mut self, machine: usize) {
        let (disk, copy) = (self.machines[machine].disk(), self.snapshot_dir(machine));
        if copy.exists() {
            std::fs::remove_dir_all(&copy).unwrap();
        }
        copy_all(&disk, &copy);
        self.truth.remember(machine);
    }

    fn snapshot_dir(&self, machine: usize) -> PathBuf {
        self.dir.path().join(format!("snapshot{machine}"))
    }

    pub(super) fn restore(&mut self, machine: usize, records_only: bool) {
        let copy = self.snapshot_dir(machine);
        if !copy.exists() || !self.machines[machine].is_mounted() {
            return;
        }
        self.machines[machine].stop();
        let base = self.machines[machine].base.clone();
        let (from, to) = if records_only { (copy.join(".gapless"), base.join(".gapless")) } else { (copy, base) };
        std::fs::remove_dir_all(&to).unwrap_or_default();
        copy_all(&from, &to);
        self.truth.put_back(machine);
        self.start(machine);
    }

    pub(super) fn damage(&mut self, machine: usize, what: OwnFile, harm: FileDamage) {
        self.machines[machine].stop();
        if let (OwnFile::Records { all }, FileDamage::Cut | FileDamage::Foreign | FileDamage::Older) = (what, harm) {
            self.exchange_records(machine, all, harm);
            self.start(machine);
            return;
        }
        let own = self.machines[machine].disk().join(".gapless");
        let mut files: Vec<PathBuf> = match what {
            OwnFile::Records { .. } => std::fs::read_dir(&own)
                .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
                .unwrap_or_default(),
            OwnFile::Index => vec![self.machines[machine].state.join("index.redb")],
            OwnFile::Marker => vec![own.join("marker")],
        };
        files.retain(|file| file.is_file() && (what == OwnFile::Marker || !file.ends_with("marker")));
        files.sort();
        if what == (OwnFile::Records { all: false }) && !files.is_empty() {
            files = vec![self.chance.pick(&files).clone()];
        }
        for file in files {
            let mut bytes = std::fs::read(&file).unwrap();
            if harm == FileDamage::Remove {
                std::fs::remove_file(&file).unwrap();
            } else if !bytes.is_empty() {
                let at = self.chance.below(bytes.len());
                bytes[at] ^= 1 << self.chance.below(7);
                std::fs::write(&file, bytes).unwrap();
            }
        }
        self.start(machine);
    }

    /// Copies of a record that are whole in themselves: cut at the end of a line, another machine's, or older ones. With `both` both of
    /// them are such, otherwise the other has gone.
    fn exchange_records(&mut self, machine: usize, both: bool, harm: FileDamage) {
        let own = self.machines[machine].disk().join(".gapless");
        let from = match harm {
            FileDamage::Foreign => self.machines[(machine + 1) % MACHINES].disk().join(".gapless"),
            FileDamage::Older => self.snapshot_dir(machine).join(".gapless"),
            _ => own.clone(),
        };
        let name = if harm == FileDamage::Cut {
            "retired"
        } else {
            *self.chance.pick(&["retired", "retired", "retired", "levels", "time"])
        };
        let lines = 1 + self.chance.below(3);
        for copy in [name.to_owned(), format!("{name}.2")] {
            let Ok(bytes) = std::fs::read(from.join(&copy)) else { return };
            let all: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
            let left = if harm == FileDamage::Cut { all.len().saturating_sub(lines).max(1) } else { all.len() };
            std::fs::write(own.join(copy), all[..left.min(all.len())].concat()).unwrap();
        }
        if !both {
            let gone = if self.chance.one_in(2) { name.to_owned() } else { format!("{name}.2") };
            std::fs::remove_file(own.join(gone)).unwrap();
        }
    }

    /// Another disk is mounted in place of the right one: with another marker, and with some hours.
    pub(super) fn swap(&mut self, machine: usize) {
        if !self.machines[machine].is_mounted() {
            return;
        }
        self.machines[machine].mount(false);
        let base = self.machines[machine].base.clone();
        let content = content(1_000_000);
        let place = format!("cam{machine}/source/{}", hour_of(self.time.now() - 5 * HOUR));
        put(&base, &format!("{place}/{}", name_of(0, &content)), &content);
        let marker = format!("gapless-marker 1\nid {:032x}\n", self.chance.number());
        std::fs::create_dir(base.join(".gapless")).unwrap();
        std::fs::write(base.join(".gapless/marker"), marker).unwrap();
    }
}

fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (kind, target) = (entry.file_type().unwrap(), to.join(entry.file_name()));
        if kind.is_dir() {
            copy_all(&entry.path(), &target);
        } else if kind.is_file() {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

pub(super) const BYTES: usize = 200;

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

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tree {
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
