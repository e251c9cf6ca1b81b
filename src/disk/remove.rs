//! Takes files and empty directories away, for those who were told to: retention and purge. Nobody else uses this.
//!
//! What to take away is not decided here. A link is taken away itself, never what it leads to; a directory only if it is empty.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, unlinkat};
use rustix::io::Errno;

use super::atomic::sync_dir;
use super::dir::Dir;
use super::error::{DiskError, Result};
use super::resolve::is_one_name;

impl Dir {
    /// Takes a file of this directory away; false if there is none of that name. The directory is still to be flushed.
    pub fn remove_file(&self, name: &OsStr) -> Result<bool> {
        self.remove(name, AtFlags::empty(), "delete")
    }

    /// Takes an empty directory of this directory away and flushes; false if it is not there, or holds anything.
    pub fn remove_empty_dir(&self, name: &OsStr) -> Result<bool> {
        let removed = match self.remove(name, AtFlags::REMOVEDIR, "remove the directory") {
            Err(DiskError::Io { cause, .. })
                if matches!(Errno::from_io_error(&cause), Some(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR)) =>
            {
                false
            }
            other => other?,
        };
        if removed {
            sync_dir(self)?;
        }
        Ok(removed)
    }

    /// The names of all that lies in it, hidden ones too, and whether each is a regular file; at most so many.
    pub fn entries(&self, limit: usize) -> Result<Vec<(OsString, bool)>> {
        let mut names = Vec::new();
        self.each_entry_at_all(|entry| {
            if names.len() == limit {
                return Err(DiskError::TooMany { path: self.path().to_owned(), limit });
            }
            names.push((OsStr::from_bytes(entry.name.to_bytes()).to_owned(), self.kind_of(&entry)?.is_file()));
            Ok(())
        })?;
        Ok(names)
    }

    fn remove(&self, name: &OsStr, flags: AtFlags, action: &'static str) -> Result<bool> {
        if !is_one_name(name) {
            return Err(DiskError::Outside { path: self.path().join(name) });
        }
        match unlinkat(self, name, flags) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(DiskError::io(action, &self.path().join(name), errno)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::super::base::Base;
    use super::*;

    #[test]
    fn files_and_empty_directories_go_and_nothing_else() {
        let tree = tempfile::tempdir().unwrap();
        for dir in ["empty", "full"] {
            fs::create_dir(tree.path().join(dir)).unwrap();
        }
        fs::write(tree.path().join("full/file"), "x").unwrap();
        fs::write(tree.path().join(".hidden"), "x").unwrap();
        std::os::unix::fs::symlink("full", tree.path().join("link")).unwrap();
        let dir = Base::open(tree.path()).unwrap().dir(Path::new("")).unwrap().unwrap();
        let mut entries = dir.entries(10).unwrap();
        entries.sort();
        let expected = [(".hidden", true), ("empty", false), ("full", false), ("link", false)];
        assert_eq!(entries, expected.map(|(name, is_file)| (OsString::from(name), is_file)));
        assert!(matches!(dir.entries(3), Err(DiskError::TooMany { .. })));

        let name = OsStr::new;
        assert!(dir.remove_file(name(".hidden")).unwrap() && !dir.remove_file(name(".hidden")).unwrap());
        assert!(dir.remove_file(name("full")).is_err(), "a directory is no file");
        assert!(!dir.remove_empty_dir(name("full")).unwrap() && !dir.remove_empty_dir(name("link")).unwrap());
        assert!(dir.remove_empty_dir(name("empty")).unwrap() && !dir.remove_empty_dir(name("empty")).unwrap());
        assert!(tree.path().join("full/file").exists());
        for bad in ["..", "full/file", "", "."] {
            assert!(matches!(dir.remove_file(name(bad)), Err(DiskError::Outside { .. })), "{bad}");
            assert!(matches!(dir.remove_empty_dir(name(bad)), Err(DiskError::Outside { .. })), "{bad}");
        }
    }
}
