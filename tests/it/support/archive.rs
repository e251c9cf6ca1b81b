//! An archive in a temporary directory: files appear in it as a recorder makes them appear, complete and by renaming.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::model;

thread_local! {
    /// When this test first asked for an hour: they are counted from there, also when the hour turns while it runs.
    static FIRST_ASKED: SystemTime = SystemTime::now();
}

/// The hour in which this test began, less so many; as directories are called.
pub fn hours_ago(count: u64) -> String {
    let then = FIRST_ASKED.with(|first| *first) - Duration::from_secs(count * 3600);
    humantime::format_rfc3339_seconds(then).to_string()[..13].to_owned()
}

/// What a segment is, as its name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Full,
    Suspect,
    Partial,
    Temp,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Suspect => "suspect",
            Self::Partial => "partial",
            Self::Temp => "temp",
        }
    }
}

/// A base directory; gone with the value. All paths are relative to it.
#[derive(Debug)]
pub struct TestArchive {
    base: PathBuf,
    dir: TempDir,
}

impl TestArchive {
    /// Nothing in it.
    pub fn empty() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("base");
        fs::create_dir(&base).unwrap();
        Self { base, dir }
    }

    /// A copy of the archive that ships with the repository.
    pub fn sample() -> Self {
        let archive = Self::empty();
        copy_tree(&Self::sample_path(), archive.path());
        archive
    }

    /// The archive that ships with the repository: look, but do not write.
    pub fn sample_path() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/archive")
    }

    pub fn path(&self) -> &Path {
        &self.base
    }

    pub fn at(&self, path: &str) -> PathBuf {
        self.base.join(path)
    }

    /// The directory that the base lies in, alone: whatever else is put there must never be seen.
    pub fn outside(&self) -> &Path {
        self.dir.path()
    }

    /// A new segment in `hour` (`chan/source/2019-11-13T02`) that starts at `time` (`00:00`); says its path. The content is a few
    /// packets that no other segment has.
    pub fn segment(&self, hour: &str, time: &str, seconds: f64, kind: Kind) -> String {
        let prefix = format!("{time}-{seconds:?}-{}", kind.as_str());
        self.named(hour, &prefix, "ts", &packets(&format!("{hour}/{prefix}"), 2))
    }

    /// A new batch of chat lines; says its path.
    pub fn chat(&self, hour: &str, time: &str) -> String {
        self.named(hour, time, "json", format!("[{{\"time\": \"{hour} {time}\"}}]").as_bytes())
    }

    /// A new file `PREFIX-HASH.EXTENSION` with this content; says its path.
    pub fn named(&self, hour: &str, prefix: &str, extension: &str, content: &[u8]) -> String {
        let path = format!("{hour}/{prefix}-{}.{extension}", hash_text(content));
        self.raw(&path, content);
        path
    }

    /// A tombstone for the file at `path`, whether it is there or not; says its path.
    pub fn tombstone(&self, path: &str) -> String {
        let (stem, _) = path.rsplit_once('.').unwrap();
        let tombstone = format!("{stem}.tombstone");
        self.raw(&tombstone, b"");
        tombstone
    }

    /// Any file with any content, renamed into place from a hidden one; makes the directories above.
    pub fn raw(&self, path: &str, content: &[u8]) {
        let target = self.at(path);
        let parent = target.parent().unwrap();
        fs::create_dir_all(parent).unwrap();
        let temporary = parent.join(format!(".{:016x}.recorder", rand::random::<u64>()));
        fs::write(&temporary, content).unwrap();
        fs::rename(&temporary, &target).unwrap();
    }

    pub fn mkdir(&self, path: &str) {
        fs::create_dir_all(self.at(path)).unwrap();
    }

    pub fn symlink(&self, target: impl AsRef<Path>, path: &str) {
        let link = self.at(path);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, link).unwrap();
    }

    pub fn read(&self, path: &str) -> Vec<u8> {
        fs::read(self.at(path)).unwrap()
    }

    /// A file, or a directory with all that lies in it.
    pub fn remove(&self, path: &str) {
        let path = self.at(path);
        if fs::symlink_metadata(&path).unwrap().is_dir() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
    }

    pub fn rename_dir(&self, from: &str, to: &str) {
        fs::create_dir_all(self.at(to).parent().unwrap()).unwrap();
        fs::rename(self.at(from), self.at(to)).unwrap();
    }

    /// What `/files/{hour}` must list now, by the words of the specification.
    pub fn listing(&self, hour: &str, tombstones: bool) -> Vec<String> {
        model::listing(&file_names(&self.at(hour)), tombstones)
    }

    /// Channels, as `/files` must list them: directories that hold a quality.
    pub fn channels(&self) -> Vec<String> {
        let mut channels = directory_names(self.path());
        channels.retain(|channel| !self.qualities(channel).is_empty());
        channels
    }

    /// Qualities of a channel: directories that hold an hour.
    pub fn qualities(&self, channel: &str) -> Vec<String> {
        let mut qualities = directory_names(&self.at(channel));
        qualities.retain(|quality| !self.hours(&format!("{channel}/{quality}")).is_empty());
        qualities
    }

    /// Hours of a `channel/quality`.
    pub fn hours(&self, stream: &str) -> Vec<String> {
        let mut hours = directory_names(&self.at(stream));
        hours.retain(|hour| model::is_hour(hour));
        hours
    }

    /// Every `channel/quality/hour`.
    pub fn all_hours(&self) -> Vec<String> {
        let mut found = Vec::new();
        for channel in self.channels() {
            for quality in self.qualities(&channel) {
                let stream = format!("{channel}/{quality}");
                found.extend(self.hours(&stream).iter().map(|hour| format!("{stream}/{hour}")));
            }
        }
        found
    }

    /// All there is, hidden things included: path, kind, inode, size and time of change.
    pub fn snapshot(&self) -> Snapshot {
        snapshot(self.path())
    }
}

/// A directory tree as it was.
pub type Snapshot = BTreeMap<PathBuf, (bool, u64, u64, i64, i64)>;

/// All there is below `dir`.
pub fn snapshot(dir: &Path) -> Snapshot {
    let mut found = Snapshot::new();
    let mut waiting = vec![dir.to_owned()];
    while let Some(dir) = waiting.pop() {
        for entry in fs::read_dir(&dir).unwrap().map(Result::unwrap) {
            // It may go while we look.
            let Ok(meta) = fs::symlink_metadata(entry.path()) else { continue };
            found.insert(entry.path(), (meta.is_dir(), meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec()));
            if meta.is_dir() {
                waiting.push(entry.path());
            }
        }
    }
    found
}

/// The SHA-256 as it stands in names.
pub fn hash_text(content: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(content))
}

/// MPEG-TS null packets that carry `text`, so that contents differ.
pub fn packets(text: &str, count: usize) -> Vec<u8> {
    let mut packet = vec![0x47, 0x1f, 0xff, 0x10];
    packet.extend(text.bytes().take(184));
    packet.resize(188, 0xff);
    packet.repeat(count)
}

/// Names of regular files.
fn file_names(dir: &Path) -> Vec<String> {
    names(dir, |kind| kind.is_file())
}

fn directory_names(dir: &Path) -> Vec<String> {
    let mut names = names(dir, |kind| kind.is_dir());
    names.retain(|name| !name.starts_with('.'));
    names
}

fn names(dir: &Path, wanted: impl Fn(fs::FileType) -> bool) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let entries = entries.map(Result::unwrap).filter(|entry| wanted(entry.file_type().unwrap()));
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    names
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        // What a node left behind there, as one that was tried by the README does, is not part of the sample.
        if [".gapless", "coverage-maps"].iter().any(|made| entry.file_name() == *made) {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}
