//! Which files some process has open for writing: a recording that still grows is not a segment yet.
//!
//! The kernel shows the files of one's own processes, and to root those of all. What belongs to others is judged by its age.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::process::geteuid;

use super::original::{FileId, Original};
use crate::archive::{Span, Timestamp};

/// An undetected recorder writes at least as often.
const SILENT: Span = Span::from_us(10_000_000);

/// Files that were open for writing at one moment.
#[derive(Debug, Default)]
pub(super) struct Writers(HashSet<FileId>);

impl Writers {
    /// Looks at all visible processes.
    pub fn now() -> Self {
        let mut found = HashSet::new();
        for process in directory(Path::new("/proc")).filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())) {
            let process = Path::new("/proc").join(process);
            for open in directory(&process.join("fd")) {
                if !writes(&process.join("fdinfo").join(&open)) {
                    continue;
                }
                // Follows to the open file itself, also where its name has gone.
                if let Ok(meta) = std::fs::metadata(process.join("fd").join(&open))
                    && meta.is_file()
                {
                    found.insert((meta.dev(), meta.ino()));
                }
            }
        }
        Self(found)
    }

    /// Whether the file may still grow.
    pub fn may_grow(&self, original: &Original, now: Timestamp) -> bool {
        let us = geteuid();
        let is_seen = us.is_root() || us.as_raw() == original.owner();
        let is_fresh = now - original.changed() < SILENT;
        self.0.contains(&original.id()) || !is_seen && is_fresh
    }
}

/// Names in a directory; none where one may not look, or a process has ended.
fn directory(path: &Path) -> impl Iterator<Item = String> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok())
}

/// By the `flags:` of an open file, which are octal: the last two bits are 0 for reading.
fn writes(info: &Path) -> bool {
    let text = std::fs::read_to_string(info).unwrap_or_default();
    let flags = text.lines().find_map(|line| line.strip_prefix("flags:"));
    flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok()).is_some_and(|flags| flags & 3 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_open_for_writing_may_grow_and_one_that_is_read_does_not() {
        let tree = tempfile::tempdir().unwrap();
        let path = tree.path().join("a.ts");
        let writer = std::fs::File::create(&path).unwrap();
        let original = Original::open(&path).unwrap();
        let now = original.changed() + Span::from_us(60_000_000);
        assert!(Writers::now().may_grow(&original, now));
        drop(writer);
        assert!(!Writers::now().may_grow(&original, now));
    }
}
