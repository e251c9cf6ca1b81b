//! The files of placement: `BASE/.gapless/layout`, and `layout-staged` and `layout-known` beside it.
//!
//! `layout-known` says that there is a layout. Where it is and the layout is not, the layout is gone, and that is an error: without one a
//! node keeps everything, which must not follow from a file that was lost. No program removes it.
//!
//! Bytes only: what stands in them is read in [`crate::archive::placement`]. What lies under one of these names and is no file that can be
//! read is an error, and never counts as no file.

use std::ffi::OsStr;
use std::path::Path;

use rustix::io::Errno;

use super::archive_id::OWN_DIR;
use super::atomic::{replace, sync_dir};
use super::base::Base;
use super::dir::{Dir, SmallFile};
use super::error::{DiskError, Result};
use crate::archive::Stamp;

const LAYOUT: &str = "layout";
const STAGED: &str = "layout-staged";
const KNOWN: &str = "layout-known";
/// Whoever looks for the layout reads it.
const SAYS: &str = "This archive has a layout, in the file layout beside this one. If that is gone, nothing is fetched until\n\
    `gapless layout take` has put that of another node in its place. To leave the layout for good, stop the node\n\
    and remove both files: without them it fetches everything.\n";

/// Beside it: nothing leaves for its owners as long as it is there.
const PAUSED: &str = "handoffs-paused";
const PAUSE_SAYS: &str = "Nothing leaves this node for its owners until `gapless layout resume`.\n";

/// The files of placement in one archive.
#[derive(Debug, Clone, Copy)]
pub struct LayoutFiles<'b>(&'b Base);

impl<'b> LayoutFiles<'b> {
    /// Those of this archive.
    pub fn of(base: &'b Base) -> Self {
        Self(base)
    }

    /// What tells later, without reading it, whether the layout is another one; `None` if there is none.
    pub fn stamp(self) -> Result<Option<Stamp>> {
        let Some(dir) = self.dir()? else { return Ok(None) };
        dir.stamp_of_any(OsStr::new(LAYOUT))
    }

    /// The layout, if there is one. More than `most` bytes are an error, and so is one that is gone.
    pub fn layout(self, most: usize) -> Result<Option<Vec<u8>>> {
        match self.read(LAYOUT, most)? {
            None if self.is_known()? => Err(self.gone()),
            found => Ok(found),
        }
    }

    /// That there was one here, and is none.
    pub fn gone(self) -> DiskError {
        DiskError::LayoutGone { path: self.0.path().join(OWN_DIR).join(LAYOUT) }
    }

    /// Whether it was noted that there is a layout.
    fn is_known(self) -> Result<bool> {
        let Some(dir) = self.dir()? else { return Ok(false) };
        Ok(dir.stamp_of_any(OsStr::new(KNOWN))?.is_some())
    }

    /// Notes for good that there is a layout.
    pub fn note_known(self) -> Result<()> {
        if self.is_known()? { Ok(()) } else { self.write(KNOWN, SAYS.as_bytes()) }
    }

    /// Changes that wait, if there are any.
    pub fn staged(self, most: usize) -> Result<Option<Vec<u8>>> {
        self.read(STAGED, most)
    }

    /// Puts a layout in the place of the one that is there. It is durable when this returns.
    pub fn write_layout(self, bytes: &[u8]) -> Result<()> {
        self.write(LAYOUT, bytes)
    }

    /// Puts changes in the place of those that waited.
    pub fn write_staged(self, bytes: &[u8]) -> Result<()> {
        self.write(STAGED, bytes)
    }

    /// Forgets the changes that waited; false if there were none.
    pub fn remove_staged(self) -> Result<bool> {
        let Some(dir) = self.dir()? else { return Ok(false) };
        let is_removed = dir.remove_file(OsStr::new(STAGED))?;
        sync_dir(&dir)?;
        Ok(is_removed)
    }

    /// Whether an operator has said that nothing leaves for its owners.
    pub fn is_paused(self) -> Result<bool> {
        let Some(dir) = self.dir()? else { return Ok(false) };
        Ok(dir.stamp_of_any(OsStr::new(PAUSED))?.is_some())
    }

    /// Says so, or that it may leave again; false if that was said before. It is durable when this returns.
    pub fn set_paused(self, is_paused: bool) -> Result<bool> {
        if self.is_paused()? == is_paused {
            return Ok(false);
        }
        if is_paused {
            self.write(PAUSED, PAUSE_SAYS.as_bytes())?;
        } else if let Some(dir) = self.dir()? {
            dir.remove_file(OsStr::new(PAUSED))?;
            sync_dir(&dir)?;
        }
        Ok(true)
    }

    fn read(self, name: &str, most: usize) -> Result<Option<Vec<u8>>> {
        let Some(dir) = self.dir()? else { return Ok(None) };
        let name = OsStr::new(name);
        let unreadable = |errno| DiskError::io("read", &dir.path().join(name), errno);
        match dir.read_small(name, most as u64)? {
            SmallFile::Content(bytes) => Ok(Some(bytes)),
            SmallFile::Larger => Err(unreadable(Errno::FBIG)),
            SmallFile::Absent if dir.stamp_of_any(name)?.is_none() => Ok(None),
            // A directory or a link.
            SmallFile::Absent => Err(unreadable(Errno::INVAL)),
        }
    }

    fn write(self, name: &str, bytes: &[u8]) -> Result<()> {
        let missing = || DiskError::io("open the directory", &self.0.path().join(OWN_DIR), Errno::NOENT);
        replace(&self.dir()?.ok_or_else(missing)?, OsStr::new(name), bytes)
    }

    fn dir(self) -> Result<Option<Dir>> {
        self.0.dir(Path::new(OWN_DIR))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_is_no_file_is_no_missing_layout() {
        let tree = tempfile::tempdir().unwrap();
        let base = Base::open(tree.path()).unwrap();
        let files = LayoutFiles::of(&base);
        assert_eq!((files.stamp().unwrap(), files.layout(9).unwrap()), (None, None));
        assert!(files.write_layout(b"one").is_err(), "an archive has a directory of ours");
        let own = tree.path().join(".gapless");
        fs::create_dir(&own).unwrap();
        assert_eq!((files.layout(9).unwrap(), files.remove_staged().unwrap()), (None, false));

        files.write_layout(b"one").unwrap();
        let before = files.stamp().unwrap().unwrap();
        files.write_layout(b"two").unwrap();
        assert_ne!(files.stamp().unwrap().unwrap(), before);
        assert_eq!(files.layout(3).unwrap().unwrap(), b"two");
        assert!(files.layout(2).is_err());
        files.write_staged(b"more").unwrap();
        assert_eq!(files.staged(9).unwrap().unwrap(), b"more");
        assert!(files.remove_staged().unwrap() && files.staged(9).unwrap().is_none());

        let path = own.join("layout");
        fs::remove_file(&path).unwrap();
        assert_eq!(files.layout(9).unwrap(), None, "nobody has noted that there is one");
        files.note_known().unwrap();
        files.note_known().unwrap();
        assert!(matches!(files.layout(9), Err(DiskError::LayoutGone { .. })));
        fs::remove_file(own.join("layout-known")).unwrap();
        assert_eq!(files.layout(9).unwrap(), None, "a person has removed both");
        fs::create_dir(&path).unwrap();
        assert!(files.layout(9).is_err() && files.stamp().unwrap().is_some());
        fs::remove_dir(&path).unwrap();
        symlink("nowhere", &path).unwrap();
        assert!(files.layout(9).is_err());
    }
}
