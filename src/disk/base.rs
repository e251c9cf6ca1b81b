//! The base directory, held open, and everything that is opened beneath it.
//!
//! A `Base` is a descriptor, not a path: when the disk is unmounted under us, or another is mounted over it, the
//! descriptor still means the directory that we have opened, and [`Base::same_as_path`] tells that the path has come
//! to mean another. All paths are relative, lead downwards and follow no link, whatever they say.
//! This neither judges names nor writes anything; `atomic` does the writing.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, fstatvfs, openat, stat};
use rustix::io::fcntl_dupfd_cloexec;

use super::arriving::ArrivingDir;
use super::dir::Dir;
use super::error::{DiskError, Result};
use super::resolve::{leads_downwards, means_absent, open_beneath};
use crate::archive::Stamp;
use crate::archive::blocks::Inodes;

/// The opened base directory of an archive.
#[derive(Debug)]
pub struct Base {
    fd: OwnedFd,
    path: PathBuf,
    /// Where files arrive.
    aside: Arc<ArrivingDir>,
}

impl Base {
    /// Opens the directory. The path itself may be a link: that is the operator's choice.
    pub fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match openat(CWD, path, flags, Mode::empty()) {
            Ok(fd) => {
                let aside = ArrivingDir::of(fcntl_dupfd_cloexec(&fd, 0), path);
                Ok(Self { fd, path: path.to_owned(), aside })
            }
            Err(errno) => Err(DiskError::NoBase { path: path.to_owned(), cause: errno.into() }),
        }
    }

    /// The path by which it was opened; for messages, not for opening anything.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the path still leads to the directory that we hold.
    pub fn same_as_path(&self) -> Result<bool> {
        let failed = |errno| DiskError::io("look at", &self.path, errno);
        let held = fstat(&self.fd).map_err(failed)?;
        match stat(&self.path) {
            Ok(there) => Ok((there.st_dev, there.st_ino) == (held.st_dev, held.st_ino)),
            Err(errno) if means_absent(errno) => Ok(false),
            Err(errno) => Err(failed(errno)),
        }
    }

    /// Opens a directory for any number of cheap questions about what it holds.
    pub fn dir(&self, rel: &Path) -> Result<Option<Dir>> {
        let found = self.beneath("open the directory", rel, OFlags::RDONLY | OFlags::DIRECTORY)?;
        Ok(found.map(|fd| Dir::new(fd, self.path.join(rel)).with_aside(&self.aside)))
    }

    /// The stamp of a directory.
    pub fn stamp(&self, rel: &Path) -> Result<Option<Stamp>> {
        match self.beneath("look at", rel, OFlags::PATH | OFlags::DIRECTORY)? {
            Some(fd) => Dir::new(fd, self.path.join(rel)).stamp().map(Some),
            None => Ok(None),
        }
    }

    /// A handle on a directory that is good for watching it and for nothing else.
    pub(super) fn handle(&self, rel: &Path) -> Result<Option<OwnedFd>> {
        self.beneath("open the directory", rel, OFlags::PATH | OFlags::DIRECTORY)
    }

    /// Opens a regular file for reading; `None` for anything else that may lie there.
    pub fn open_file(&self, rel: &Path) -> Result<Option<File>> {
        // NONBLOCK: a pipe of that name must not make us wait for its other end.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let fd = match self.beneath("open", rel, flags) {
            Ok(Some(fd)) => fd,
            Ok(None) => return Ok(None),
            Err(error) if self.is_other_kind(rel) => {
                tracing::debug!(name: "not_a_file", %error, "not a regular file");
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let meta = fstat(&fd).map_err(|errno| DiskError::io("look at", &self.path.join(rel), errno))?;
        Ok(FileType::from_raw_mode(meta.st_mode).is_file().then(|| File::from(fd)))
    }

    /// Every regular file below `rel`, relative to it and sorted; a directory that is not there has none.
    ///
    /// Hidden names, links and names that are not UTF-8 are left out, with all that lies below them. Files and
    /// directories together may be `limit` at most, so that a tree of empty directories is bounded as well.
    pub fn walk_files(&self, rel: &Path, limit: usize) -> Result<Vec<String>> {
        let mut files = Vec::new();
        let mut pending = vec![String::new()];
        let mut seen = 0;
        while let Some(above) = pending.pop() {
            let Some(dir) = self.dir(&rel.join(&above))? else {
                continue;
            };
            dir.each_entry(|entry| {
                let Ok(name) = entry.name.to_str() else {
                    return Ok(());
                };
                let kind = dir.kind_of(&entry)?;
                if !kind.is_file() && !kind.is_dir() {
                    return Ok(());
                }
                seen += 1;
                if seen > limit {
                    return Err(DiskError::TooMany { path: self.path.join(rel), limit });
                }
                let below = if above.is_empty() { name.to_owned() } else { format!("{above}/{name}") };
                if kind.is_dir() {
                    pending.push(below);
                } else {
                    files.push(below);
                }
                Ok(())
            })?;
        }
        files.sort_unstable();
        Ok(files)
    }

    /// Free bytes (for us, without the superuser's reserve) and all bytes of the file system.
    pub fn free_space(&self) -> Result<(u64, u64)> {
        let all = fstatvfs(&self.fd).map_err(|errno| DiskError::io("read the free space of", &self.path, errno))?;
        Ok((all.f_bavail.saturating_mul(all.f_frsize), all.f_blocks.saturating_mul(all.f_frsize)))
    }

    /// Inodes of the file system.
    pub fn inodes(&self) -> Result<Inodes> {
        let all = fstatvfs(&self.fd).map_err(|errno| DiskError::io("read the free inodes of", &self.path, errno))?;
        Ok(Inodes { free: all.f_favail, total: all.f_files })
    }

    fn beneath(&self, action: &'static str, rel: &Path, flags: OFlags) -> Result<Option<OwnedFd>> {
        if !leads_downwards(rel) {
            return Err(DiskError::Outside { path: rel.to_owned() });
        }
        open_beneath(self.fd.as_fd(), rel, flags).map_err(|errno| DiskError::io(action, &self.path.join(rel), errno))
    }

    /// Whether a thing that does not open (a socket says ENXIO) is no regular file anyway.
    fn is_other_kind(&self, rel: &Path) -> bool {
        let Ok(Some(fd)) = self.beneath("look at", rel, OFlags::PATH) else {
            return false;
        };
        fstat(&fd).is_ok_and(|meta| !FileType::from_raw_mode(meta.st_mode).is_file())
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::fs;
    use std::io::Read;
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use rustix::fs::mknodat;

    use super::*;

    fn tree() -> (tempfile::TempDir, Base) {
        let tree = tempfile::tempdir().unwrap();
        let base = Base::open(tree.path()).unwrap();
        (tree, base)
    }

    #[test]
    fn a_missing_base_is_an_away_error() {
        let (tree, _) = tree();
        let error = Base::open(&tree.path().join("none")).unwrap_err();
        assert!(error.is_away(), "{error}");
        fs::write(tree.path().join("file"), "").unwrap();
        assert!(Base::open(&tree.path().join("file")).unwrap_err().is_away());
    }

    #[test]
    fn the_path_may_come_to_mean_another_directory() {
        let (tree, _) = tree();
        let path = tree.path().join("base");
        fs::create_dir(&path).unwrap();
        let base = Base::open(&path).unwrap();
        assert!(base.same_as_path().unwrap());
        fs::rename(&path, tree.path().join("aside")).unwrap();
        assert!(!base.same_as_path().unwrap());
        fs::create_dir(&path).unwrap();
        assert!(!base.same_as_path().unwrap());
    }

    #[test]
    fn only_regular_files_are_opened() {
        let (tree, base) = tree();
        fs::create_dir(tree.path().join("d")).unwrap();
        fs::write(tree.path().join("d/file"), "abc").unwrap();
        symlink("file", tree.path().join("d/link")).unwrap();
        mknodat(CWD, tree.path().join("d/pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        let _listener = UnixListener::bind(tree.path().join("d/socket")).unwrap();
        let mut text = String::new();
        base.open_file(Path::new("d/file")).unwrap().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "abc");
        for other in ["d", "d/link", "d/pipe", "d/socket", "d/none", "d/file/x", ""] {
            assert!(base.open_file(Path::new(other)).unwrap().is_none(), "{other}");
        }
        assert!(matches!(base.open_file(Path::new("../x")), Err(DiskError::Outside { .. })));
        assert!(matches!(base.open_file(Path::new("/etc/passwd")), Err(DiskError::Outside { .. })));
    }

    #[test]
    fn stamps_are_of_directories_only() {
        let (tree, base) = tree();
        fs::create_dir_all(tree.path().join("a/b")).unwrap();
        fs::write(tree.path().join("a/file"), "").unwrap();
        symlink("b", tree.path().join("a/link")).unwrap();
        let stamp = base.stamp(Path::new("a/b")).unwrap().unwrap();
        assert_eq!(stamp, base.dir(Path::new("a/b")).unwrap().unwrap().stamp().unwrap());
        for other in ["a/file", "a/link", "a/none"] {
            assert!(base.stamp(Path::new(other)).unwrap().is_none(), "{other}");
        }
        assert!(base.stamp(Path::new("")).unwrap().is_some());
        fs::write(tree.path().join("a/b/new"), "").unwrap();
        assert_ne!(stamp, base.stamp(Path::new("a/b")).unwrap().unwrap());
    }

    #[test]
    fn a_walk_lists_plain_files_only_and_is_bounded() {
        let (tree, base) = tree();
        for dir in ["x/deep/er", "x/.hidden", "x/empty"] {
            fs::create_dir_all(tree.path().join(dir)).unwrap();
        }
        for file in ["x/b", "x/a", "x/deep/er/c", "x/deep.z", "x/.h", "x/.hidden/d"] {
            fs::write(tree.path().join(file), "").unwrap();
        }
        fs::write(tree.path().join("x").join(OsStr::from_bytes(b"\xff")), "").unwrap();
        symlink("a", tree.path().join("x/link")).unwrap();
        let files = base.walk_files(Path::new("x"), 7).unwrap();
        assert_eq!(files, ["a", "b", "deep.z", "deep/er/c"]);
        assert!(matches!(base.walk_files(Path::new("x"), 6), Err(DiskError::TooMany { limit: 6, .. })));
        assert!(base.walk_files(Path::new("none"), 7).unwrap().is_empty());
        assert_eq!(base.walk_files(Path::new(""), 99).unwrap().len(), 4);
    }

    #[test]
    fn free_space_is_told() {
        let (_tree, base) = tree();
        let (free, all) = base.free_space().unwrap();
        assert!(0 < free && free <= all);
    }
}
