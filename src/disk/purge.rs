//! Removes the bytes of what a tombstone hides, and nothing else.
//!
//! This is the one place where a segment's file is removed from where it lies; it looks for the tombstone itself, right before.

use std::ffi::OsStr;

use rustix::fs::{AtFlags, unlinkat};

use super::dir::Dir;
use super::error::{DiskError, Result};
use super::resolve::means_absent;
use crate::archive::{FileName, name, parse_file_name};

/// What became of a file that was to be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "most of these mean that the file is still there"]
pub enum Removed {
    /// It is gone; it had this many bytes.
    Gone(u64),
    /// There is no regular file of that name.
    Absent,
    /// No tombstone lies beside it, or it is no segment or chat batch: it stays.
    Visible,
}

impl Dir {
    /// Removes a segment or chat batch of this hour if its tombstone lies beside it.
    ///
    /// The directory is to be flushed before, so that no power cut takes the tombstone and leaves the file removed.
    pub fn remove_tombstoned(&self, file: &str) -> Result<Removed> {
        if !matches!(parse_file_name(file), FileName::Understood(key) if !key.tombstone) {
            return Ok(Removed::Visible);
        }
        let tombstone = name::tombstone_of(file);
        if self.stat_file(OsStr::new(&tombstone))?.is_none() {
            return Ok(Removed::Visible);
        }
        let Some(meta) = self.stat_file(OsStr::new(file))? else { return Ok(Removed::Absent) };
        match unlinkat(self, file, AtFlags::empty()) {
            Ok(()) => Ok(Removed::Gone(meta.size)),
            Err(errno) if means_absent(errno) => Ok(Removed::Absent),
            Err(errno) => Err(DiskError::io("remove", &self.path().join(file), errno)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::super::base::Base;
    use super::*;

    const STEM: &str = "00:00-2.0-full-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    #[test]
    fn only_what_a_tombstone_beside_it_hides_is_removed() {
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir(tree.path().join("hour")).unwrap();
        let put = |path: &str| fs::write(tree.path().join(path), "abc").unwrap();
        let dir = Base::open(tree.path()).unwrap().dir(Path::new("hour")).unwrap().unwrap();
        let (segment, tombstone) = (format!("{STEM}.ts"), format!("{STEM}.tombstone"));
        put(&format!("hour/{segment}"));
        put(&tombstone);
        assert_eq!(dir.remove_tombstoned(&segment).unwrap(), Removed::Visible, "one elsewhere does not count");
        // A directory of that name is no tombstone.
        fs::create_dir(tree.path().join("hour").join(&tombstone)).unwrap();
        assert_eq!(dir.remove_tombstoned(&segment).unwrap(), Removed::Visible);
        fs::remove_dir(tree.path().join("hour").join(&tombstone)).unwrap();
        put(&format!("hour/{tombstone}"));
        for other in ["../outside.ts", "garbage.ts", "/etc/passwd", "", "x.txt", &tombstone] {
            assert_eq!(dir.remove_tombstoned(other).unwrap(), Removed::Visible, "{other}");
        }
        assert_eq!(dir.remove_tombstoned(&segment).unwrap(), Removed::Gone(3));
        assert_eq!(dir.remove_tombstoned(&segment).unwrap(), Removed::Absent);
        assert!(tree.path().join("hour").join(&tombstone).exists() && tree.path().join(&tombstone).exists());
        // A link is not followed, and stays.
        std::os::unix::fs::symlink("../target", tree.path().join("hour").join(&segment)).unwrap();
        put("target");
        assert_eq!(dir.remove_tombstoned(&segment).unwrap(), Removed::Absent);
        assert!(tree.path().join("target").exists());
    }
}
