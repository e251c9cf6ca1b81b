//! Reading the segments of one hour directory: names, sizes, times. The hot path of a rebuild.
//!
//! 1. The stamp is taken first: what changes while we read makes the next comparison differ.
//! 2. All names are read into one block of memory; nothing is allocated for a single file.
//! 3. The files are looked at in the order of their inodes, which spares a cold disk most of its seeks.
//!
//! This looks at the endings of names and nothing else of them; parsing them is `archive`'s.

use std::ffi::CStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{FileType, Statx};

use super::dir::{Dir, FILE_FIELDS, FileMeta, file_meta, joined, kind, statx_of};
use super::error::{DiskError, Result};
use crate::archive::{FileEnding, Stamp};

/// A change younger than this may be followed by another one that leaves the same time behind.
pub const SETTLE: Duration = Duration::from_secs(2);

/// No hour comes near this (one of two-second segments has 1,800); it bounds the memory of one scan to some 100 MB.
pub const MOST_FILES: usize = 1 << 20;

/// The segments, chat batches and tombstones of one directory, in no particular order.
#[derive(Debug)]
pub struct Scan {
    /// The directory's stamp from before it was read.
    pub stamp: Stamp,
    /// Whether the stamp may be trusted: nothing in here has changed within [`SETTLE`] before the scan.
    pub settled: bool,
    names: Vec<u8>,
    files: Vec<ScannedFile>,
}

/// Where a name lies in the block of names (with the NUL that ends it), and what belongs to it.
#[derive(Clone, Copy, Debug)]
struct ScannedFile {
    start: usize,
    end: usize,
    ino: u64,
    meta: FileMeta,
}

impl Scan {
    /// Each name, to the byte, with what belongs to it.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], FileMeta)> {
        // The NUL at the end is not part of the name.
        self.files.iter().map(|file| (&self.names[file.start..file.end - 1], file.meta))
    }

    /// How many files there are.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there is no file.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }
}

/// Whether a file of that name belongs into an hour: by its ending, and not hidden.
pub fn is_hour_file(name: &[u8]) -> bool {
    !name.starts_with(b".") && FileEnding::of(name).is_some()
}

impl Dir {
    /// Reads the segments, chat batches and tombstones in this directory: regular files only, no links.
    pub fn scan(&self) -> Result<Scan> {
        self.scan_at(SystemTime::now())
    }

    /// The same at a given time of the wall clock, which decides only whether the scan is settled.
    pub fn scan_at(&self, now: SystemTime) -> Result<Scan> {
        let stamp = self.stamp()?;
        let calm = Calm::at(now);
        let mut settled = calm.covers(stamp.mtime_ns) && calm.covers(stamp.ctime_ns);
        let mut names = Vec::new();
        let mut files: Vec<ScannedFile> = Vec::new();
        let complete = self.each_entry(|entry| {
            let bytes = entry.name.to_bytes_with_nul();
            let may_be_file = matches!(entry.kind, FileType::RegularFile | FileType::Unknown);
            if !may_be_file || !is_hour_file(entry.name.to_bytes()) {
                return Ok(());
            }
            if files.len() == MOST_FILES {
                return Err(DiskError::TooMany { path: self.path().to_owned(), limit: MOST_FILES });
            }
            let start = names.len();
            names.extend_from_slice(bytes);
            let meta = FileMeta { size: 0, mtime_ns: 0 };
            files.push(ScannedFile { start, end: names.len(), ino: entry.ino, meta });
            Ok(())
        })?;
        settled &= complete;
        files.sort_unstable_by_key(|file| file.ino);

        let mut failure = None;
        files.retain_mut(|file| {
            if failure.is_some() {
                return false;
            }
            match self.look_at_found(&names[file.start..file.end]) {
                Ok(Some(meta)) if kind(&meta).is_file() => {
                    file.meta = file_meta(&meta);
                    settled &= calm.covers(file.meta.mtime_ns);
                    true
                }
                Ok(Some(_)) => false,
                Ok(None) => {
                    // Removed since its name was read.
                    settled = false;
                    false
                }
                Err(error) => {
                    failure = Some(error);
                    false
                }
            }
        });
        match failure {
            Some(error) => Err(error),
            None => Ok(Scan { stamp, settled, names, files }),
        }
    }

    fn look_at_found(&self, name: &[u8]) -> Result<Option<Statx>> {
        // Always ends in its only NUL: it came from the directory that way.
        let Ok(c_name) = CStr::from_bytes_with_nul(name) else {
            return Ok(None);
        };
        statx_of(self, c_name, FILE_FIELDS)
            .map_err(|errno| DiskError::io("look at", &joined(self.path(), c_name.to_bytes()), errno))
    }
}

/// The latest time that is old enough to be trusted.
struct Calm {
    until_ns: i128,
}

impl Calm {
    fn at(now: SystemTime) -> Self {
        let signed = |span: Duration| i128::try_from(span.as_nanos()).unwrap_or(i128::MAX);
        let now_ns = match now.duration_since(UNIX_EPOCH) {
            Ok(after) => signed(after),
            Err(before) => -signed(before.duration()),
        };
        Self { until_ns: now_ns - signed(SETTLE) }
    }

    fn covers(&self, time_ns: i64) -> bool {
        i128::from(time_ns) <= self.until_ns
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::ffi::OsStr;
    use std::fs::{self, File, FileTimes};
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::super::base::Base;
    use super::*;

    fn hour() -> (tempfile::TempDir, Dir) {
        let tree = tempfile::tempdir().unwrap();
        let base = Base::open(tree.path()).unwrap();
        let dir = base.dir(Path::new(".")).unwrap().unwrap();
        (tree, dir)
    }

    #[test]
    fn only_what_belongs_into_an_hour_is_found() {
        let (tree, dir) = hour();
        for (name, size) in [("a.ts", 1), ("b.json", 2), ("c.tombstone", 0), (".d.ts", 4), ("e.txt", 5), ("ts", 6)] {
            fs::write(tree.path().join(name), vec![b'x'; size]).unwrap();
        }
        fs::write(tree.path().join(OsStr::from_bytes(b"\xff.ts")), "abc").unwrap();
        fs::create_dir(tree.path().join("dir.ts")).unwrap();
        symlink("a.ts", tree.path().join("link.ts")).unwrap();
        let scan = dir.scan().unwrap();
        let found: BTreeMap<&[u8], u64> = scan.iter().map(|(name, meta)| (name, meta.size)).collect();
        let expected: [(&[u8], u64); 4] = [(b"a.ts", 1), (b"b.json", 2), (b"c.tombstone", 0), (b"\xff.ts", 3)];
        assert_eq!(found, BTreeMap::from(expected));
        assert_eq!((scan.len(), scan.is_empty()), (4, false));
        assert_eq!(scan.stamp, dir.stamp().unwrap());
    }

    #[test]
    fn a_large_directory_is_read_completely() {
        let (tree, dir) = hour();
        for index in 0..3000 {
            let name = format!("{index:060}.ts");
            fs::write(tree.path().join(name), "x").unwrap();
        }
        let names: std::collections::BTreeSet<Vec<u8>> =
            dir.scan().unwrap().iter().map(|(name, _)| name.to_vec()).collect();
        assert_eq!(names.len(), 3000);
    }

    #[test]
    fn a_scan_is_settled_when_everything_is_two_seconds_old() {
        let (tree, dir) = hour();
        let path = tree.path().join("a.ts");
        fs::write(&path, "x").unwrap();
        let now = SystemTime::now();
        assert!(!dir.scan_at(now).unwrap().settled, "it has changed just now");
        assert!(!dir.scan_at(now + Duration::from_millis(1900)).unwrap().settled);
        assert!(dir.scan_at(now + Duration::from_secs(3)).unwrap().settled);
        assert!(!dir.scan_at(now - Duration::from_secs(60)).unwrap().settled, "the clock was set back");

        let later = FileTimes::new().set_modified(now + Duration::from_secs(60));
        File::options().write(true).open(&path).unwrap().set_times(later).unwrap();
        assert!(!dir.scan_at(now + Duration::from_secs(3)).unwrap().settled, "a file is from the future");
    }

    #[test]
    fn a_stamp_set_back_by_hand_is_not_trusted() {
        let (tree, dir) = hour();
        let old = FileTimes::new().set_modified(UNIX_EPOCH);
        File::open(tree.path()).unwrap().set_times(old).unwrap();
        let scan = dir.scan().unwrap();
        assert_eq!(scan.stamp.mtime_ns, 0);
        assert!(!scan.settled, "its ctime is of now");
    }
}
