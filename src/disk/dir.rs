//! One opened directory: its stamp, the stamps of what lies in it, and its names.
//!
//! A question about an entry is one system call relative to the handle, so that a hundred thousand quiet hour
//! directories are looked at in a tenth of a second. Nothing here looks more than one level down, and nothing
//! follows a link. Reading the segments of an hour is in `scan`.

use std::ffi::{CStr, OsStr, OsString};
use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, Statx, StatxFlags, StatxTimestamp, fstat, openat, statx};
use rustix::io::Errno;

use super::arriving::ArrivingDir;
use super::error::{DiskError, Result};
use super::resolve::{is_one_name, means_absent, open_beneath};
use crate::archive::Stamp;

/// What we know of a regular file without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileMeta {
    /// Length in bytes.
    pub size: u64,
    /// Time of the last change of its content, in nanoseconds since 1970.
    pub mtime_ns: i64,
}

/// What a `statx` about a file must tell.
pub(super) const FILE_FIELDS: StatxFlags = StatxFlags::TYPE.union(StatxFlags::SIZE).union(StatxFlags::MTIME);

/// A directory is read in pieces of this size: about 800 segment names.
const READ_BYTES: usize = 64 << 10;

/// Room for an entry with the longest name, and a few more.
const FIRST_BYTES: usize = 1 << 10;

/// One entry as the directory tells it.
pub(super) struct DirEntry<'a> {
    pub name: &'a CStr,
    pub kind: FileType,
    pub ino: u64,
}

/// An opened directory.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
    path: PathBuf,
    /// Where files of it may lie until they are whole.
    aside: Option<Arc<ArrivingDir>>,
}

/// What became of the wish to read a small file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SmallFile {
    /// Its content.
    Content(Vec<u8>),
    /// It is larger.
    Larger,
    /// There is no regular file of that name.
    Absent,
}

impl Dir {
    pub(super) fn new(fd: OwnedFd, path: PathBuf) -> Self {
        Self { fd, path, aside: None }
    }

    /// The same, of whose files this is where they arrive.
    pub(super) fn with_aside(self, aside: &Arc<ArrivingDir>) -> Self {
        Self { aside: Some(Arc::clone(aside)), ..self }
    }

    pub(super) fn aside(&self) -> Option<&Arc<ArrivingDir>> {
        self.aside.as_ref()
    }

    /// Where it lay when it was opened; for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its own stamp.
    pub fn stamp(&self) -> Result<Stamp> {
        let meta = statx(&self.fd, "", AtFlags::EMPTY_PATH, STAMP_FIELDS)
            .map_err(|errno| DiskError::io("look at", &self.path, errno))?;
        Ok(stamp(&meta))
    }

    /// The stamp of a directory in it; `None` if there is none of that name.
    pub fn stamp_of(&self, name: &OsStr) -> Result<Option<Stamp>> {
        let found = self.look_at(name, STAMP_FIELDS)?;
        Ok(found.filter(|meta| kind(meta).is_dir()).map(|meta| stamp(&meta)))
    }

    /// The stamp of whatever has this name in it, if anything has.
    pub(super) fn stamp_of_any(&self, name: &OsStr) -> Result<Option<Stamp>> {
        Ok(self.look_at(name, STAMP_FIELDS)?.map(|meta| stamp(&meta)))
    }

    /// Size and time of a regular file in it; `None` if there is none of that name.
    pub fn stat_file(&self, name: &OsStr) -> Result<Option<FileMeta>> {
        let found = self.look_at(name, FILE_FIELDS)?;
        Ok(found.filter(|meta| kind(meta).is_file()).map(|meta| file_meta(&meta)))
    }

    /// When a regular file in it was last written, or given another time, which nobody can set back: in nanoseconds since 1970.
    pub fn ctime_of(&self, name: &OsStr) -> Result<Option<i64>> {
        let found = self.look_at(name, STAMP_FIELDS)?;
        Ok(found.filter(|meta| kind(meta).is_file()).map(|meta| stamp(&meta).ctime_ns))
    }

    /// The content of a regular file in it, if that is not larger than `most`.
    pub fn read_small(&self, name: &OsStr, most: u64) -> Result<SmallFile> {
        self.check_name(name)?;
        let failed = |errno: Errno| DiskError::io("read", &self.path.join(name), errno);
        // NONBLOCK: a pipe of that name must not make us wait for its other end.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = match openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) => File::from(fd),
            Err(errno) if means_absent(errno) || errno == Errno::NXIO => return Ok(SmallFile::Absent),
            Err(errno) => return Err(failed(errno)),
        };
        let meta = fstat(&file).map_err(failed)?;
        let size = u64::try_from(meta.st_size).unwrap_or(u64::MAX);
        if !FileType::from_raw_mode(meta.st_mode).is_file() {
            return Ok(SmallFile::Absent);
        }
        if size > most {
            return Ok(SmallFile::Larger);
        }
        let mut content = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        let read = file.take(most + 1).read_to_end(&mut content);
        read.map_err(|cause| DiskError::io("read", &self.path.join(name), cause))?;
        Ok(if content.len() as u64 > most { SmallFile::Larger } else { SmallFile::Content(content) })
    }

    /// The same directory, opened once more: it is told of failed flushes since now by itself.
    pub fn again(&self) -> Result<Self> {
        let gone = || DiskError::io("open the directory", &self.path, Errno::NOENT);
        let fd = self.reopened()?.ok_or_else(gone)?;
        Ok(Self { aside: self.aside.clone(), ..Self::new(fd, self.path.clone()) })
    }

    /// Opens a directory in it.
    pub fn dir(&self, name: &OsStr) -> Result<Option<Self>> {
        self.check_name(name)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let path = self.path.join(name);
        match open_beneath(self.fd.as_fd(), Path::new(name), flags) {
            Ok(found) => Ok(found.map(|fd| Self { aside: self.aside.clone(), ..Self::new(fd, path) })),
            Err(errno) => Err(DiskError::io("open the directory", &path, errno)),
        }
    }

    /// The names of the directories in it, in no particular order, without hidden ones and links.
    pub fn subdirectories(&self) -> Result<Vec<OsString>> {
        let mut names = Vec::new();
        self.each_entry(|entry| {
            if self.kind_of(&entry)?.is_dir() {
                names.push(OsStr::from_bytes(entry.name.to_bytes()).to_owned());
            }
            Ok(())
        })?;
        Ok(names)
    }

    /// Calls `visit` for each entry that is not hidden; false if the directory itself was removed meanwhile.
    pub(super) fn each_entry(&self, visit: impl FnMut(DirEntry<'_>) -> Result<()>) -> Result<bool> {
        self.each_entry_of(|name| !is_hidden(name), visit)
    }

    /// The same for hidden entries, too; `.` and `..` are none.
    pub(super) fn each_entry_at_all(&self, visit: impl FnMut(DirEntry<'_>) -> Result<()>) -> Result<bool> {
        self.each_entry_of(|name| !matches!(name, b"." | b".."), visit)
    }

    /// The same for each entry whose name is wanted, hidden or not.
    pub(super) fn each_entry_of(
        &self,
        wanted: impl Fn(&[u8]) -> bool,
        mut visit: impl FnMut(DirEntry<'_>) -> Result<()>,
    ) -> Result<bool> {
        let failed = |errno| DiskError::io("read the directory", &self.path, errno);
        let Some(reading) = self.reopened()? else {
            return Ok(false);
        };
        let mut buffer = Vec::with_capacity(READ_BYTES);
        let mut entries = RawDir::new(reading, buffer.spare_capacity_mut());
        while let Some(next) = entries.next() {
            match next {
                Ok(entry) if !wanted(entry.file_name().to_bytes()) => {}
                Ok(entry) => visit(DirEntry { name: entry.file_name(), kind: entry.file_type(), ino: entry.ino() })?,
                Err(Errno::INTR) => {}
                Err(Errno::NOENT) => return Ok(false),
                Err(errno) => return Err(failed(errno)),
            }
        }
        Ok(true)
    }

    /// Whether the directory still exists and can be read: its first few entries are.
    pub(super) fn can_be_listed(&self) -> Result<bool> {
        let Some(reading) = self.reopened()? else {
            return Ok(false);
        };
        let mut buffer = Vec::with_capacity(FIRST_BYTES);
        match RawDir::new(reading, buffer.spare_capacity_mut()).next() {
            None | Some(Ok(_)) => Ok(true),
            Some(Err(Errno::NOENT)) => Ok(false),
            Some(Err(errno)) => Err(DiskError::io("read the directory", &self.path, errno)),
        }
    }

    /// A descriptor of its own, because the place within a directory belongs to the descriptor.
    fn reopened(&self) -> Result<Option<OwnedFd>> {
        match openat(&self.fd, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(fd) => Ok(Some(fd)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(DiskError::io("read the directory", &self.path, errno)),
        }
    }

    /// What kind of thing the entry is, asking the file system where the directory does not tell.
    pub(super) fn kind_of(&self, entry: &DirEntry<'_>) -> Result<FileType> {
        if entry.kind != FileType::Unknown {
            return Ok(entry.kind);
        }
        match statx_of(&self.fd, entry.name, StatxFlags::TYPE) {
            Ok(found) => Ok(found.map_or(FileType::Unknown, |meta| kind(&meta))),
            Err(errno) => Err(DiskError::io("look at", &joined(&self.path, entry.name.to_bytes()), errno)),
        }
    }

    fn look_at(&self, name: &OsStr, fields: StatxFlags) -> Result<Option<Statx>> {
        self.check_name(name)?;
        statx_of(&self.fd, name, fields).map_err(|errno| DiskError::io("look at", &self.path.join(name), errno))
    }

    fn check_name(&self, name: &OsStr) -> Result<()> {
        if is_one_name(name) { Ok(()) } else { Err(DiskError::Outside { path: self.path.join(name) }) }
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

pub(super) fn kind(meta: &Statx) -> FileType {
    FileType::from_raw_mode(meta.stx_mode.into())
}

pub(super) fn file_meta(meta: &Statx) -> FileMeta {
    FileMeta { size: meta.stx_size, mtime_ns: nanoseconds(meta.stx_mtime) }
}

fn stamp(meta: &Statx) -> Stamp {
    Stamp { ino: meta.stx_ino, mtime_ns: nanoseconds(meta.stx_mtime), ctime_ns: nanoseconds(meta.stx_ctime) }
}

fn nanoseconds(time: StatxTimestamp) -> i64 {
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec.into())
}

/// What a `statx` about a directory must tell, for its stamp.
pub(super) const STAMP_FIELDS: StatxFlags =
    StatxFlags::TYPE.union(StatxFlags::INO).union(StatxFlags::MTIME).union(StatxFlags::CTIME);

/// Whether a name is hidden: ours, or somebody's temporary; never listed.
pub(super) fn is_hidden(name: &[u8]) -> bool {
    name.first() == Some(&b'.')
}

/// `statx` of one entry of a directory, not following a link; `None` if it is not there.
pub(super) fn statx_of(
    dir: &impl AsFd,
    name: impl rustix::path::Arg,
    fields: StatxFlags,
) -> Result<Option<rustix::fs::Statx>, Errno> {
    match rustix::fs::statx(dir, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW, fields) {
        Ok(meta) => Ok(Some(meta)),
        Err(errno) if means_absent(errno) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// The path of `name` in a directory, for messages.
pub(super) fn joined(dir: &Path, name: &[u8]) -> PathBuf {
    dir.join(OsStr::from_bytes(name))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::super::base::Base;
    use super::*;

    #[test]
    fn a_directory_answers_about_its_entries() {
        let tree = tempfile::tempdir().unwrap();
        for dir in ["hour", "other", ".hidden"] {
            fs::create_dir(tree.path().join(dir)).unwrap();
        }
        fs::write(tree.path().join("file"), "abc").unwrap();
        symlink("hour", tree.path().join("link")).unwrap();
        symlink("file", tree.path().join("file-link")).unwrap();
        let base = Base::open(tree.path()).unwrap();
        let dir = base.dir(Path::new("")).unwrap().unwrap();

        let mut names = dir.subdirectories().unwrap();
        names.sort();
        assert_eq!(names, ["hour", "other"]);
        assert_eq!(dir.subdirectories().unwrap().len(), 2, "a second reading begins at the front");

        assert_eq!(dir.stamp_of(OsStr::new("hour")).unwrap(), base.stamp(Path::new("hour")).unwrap());
        for absent in ["file", "link", "none"] {
            assert!(dir.stamp_of(OsStr::new(absent)).unwrap().is_none(), "{absent}");
            assert!(dir.dir(OsStr::new(absent)).unwrap().is_none(), "{absent}");
        }
        assert_eq!(dir.stat_file(OsStr::new("file")).unwrap().unwrap().size, 3);
        for absent in ["hour", "link", "file-link", "none"] {
            assert!(dir.stat_file(OsStr::new(absent)).unwrap().is_none(), "{absent}");
        }
        for bad in ["..", "hour/x", "", "."] {
            assert!(matches!(dir.stamp_of(OsStr::new(bad)), Err(DiskError::Outside { .. })), "{bad}");
            assert!(matches!(dir.dir(OsStr::new(bad)), Err(DiskError::Outside { .. })), "{bad}");
        }
    }

    #[test]
    fn a_removed_directory_reads_as_empty() {
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir(tree.path().join("hour")).unwrap();
        let base = Base::open(tree.path()).unwrap();
        let hour = base.dir(Path::new("hour")).unwrap().unwrap();
        fs::remove_dir(tree.path().join("hour")).unwrap();
        assert!(hour.subdirectories().unwrap().is_empty());
        assert!(!hour.each_entry(|_| Ok(())).unwrap());
    }
}
