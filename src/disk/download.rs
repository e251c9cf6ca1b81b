//! Publishing what came from elsewhere: a segment becomes visible complete, with the right content, or not at all.
//!
//! 1. A hidden temporary (`.NAME.RANDOM.tmp`) is created [aside](super::arriving), or in the hour directory where that cannot be; its SHA-256
//!    grows with it.
//! 2. [`Download::verify`] compares the hash with the one in the name. Whoever has to note something about a file before it appears does
//!    so after that: what came under a name and is something else is nobody's file.
//! 3. [`Verified::finish`] flushes the file and renames it. A file that is there already is never replaced, whatever it holds; something
//!    else of that name is an error.
//! 4. The directory is flushed once for many files, by whoever publishes them. Only then are they durable.
//!
//! Whatever fails before the rename removes the temporary. A flush that failed is never tried again on the same file,
//! because the kernel may report success for pages that it has lost: the file is dropped and fetched again.
//! What to fetch, and from whom, is not known here; neither is the index.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, Mode, mkdirat, unlinkat};
use rustix::io::Errno;

use super::atomic::{create_temporary, remove_temporary, sync_dir};
use super::base::Base;
use super::dir::Dir;
use super::error::{DiskError, Result};
use super::open_temporary::{HashedTemporary, Published, publish};
use super::resolve::is_one_name;
use crate::archive::{BadName, FileName, Hash, HourPlace, SegmentKey, parse_file_name};

mod publish_group;

/// Why something that was fetched is not published.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The grammar does not understand the name, or it is of the other sort.
    #[error("{name:?} is not written into the archive: {why}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        why: BadName,
    },
    /// The content is not what the name says.
    #[error(
        "what was fetched for '{}' was dropped: its {bytes} bytes have the hash {found}, expected {expected}; another copy may be right",
        path.display()
    )]
    WrongHash {
        /// Where it would have been published.
        path: PathBuf,
        /// The hash that it should have.
        expected: Hash,
        /// The hash that it has.
        found: Hash,
        /// How many bytes there were.
        bytes: u64,
    },
    /// The disk did not take it.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl DownloadError {
    /// Whether there is no room: the disk is full or the quota is used up.
    pub fn is_full(&self) -> bool {
        self.disk().is_some_and(DiskError::is_full)
    }

    /// What the disk said, if it was the disk.
    pub fn disk(&self) -> Option<&DiskError> {
        match self {
            Self::Disk(error) => Some(error),
            Self::Name { .. } | Self::WrongHash { .. } => None,
        }
    }
}

/// A segment or chat batch that is being fetched. Dropping it removes the temporary.
#[derive(Debug)]
pub struct Download {
    file: HashedTemporary,
    named_hash: Hash,
}

/// A download that holds what its name says, and is not visible yet. Dropping it removes the temporary.
#[derive(Debug)]
pub struct Verified(Download);

impl Download {
    /// Creates the temporary. The name must be one of a segment or chat batch.
    pub fn begin(dir: impl Into<Arc<Dir>>, name: &str) -> Result<Self, DownloadError> {
        let key = understood(name, false)?;
        Ok(Self { file: HashedTemporary::create(dir.into(), OsStr::new(name))?, named_hash: key.hash })
    }

    /// Appends. After a failure nothing can be written or finished any more.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write(bytes)
    }

    /// How many bytes were written.
    pub fn bytes(&self) -> u64 {
        self.file.bytes()
    }

    /// The directory that it will be published in.
    pub fn dir(&self) -> &Arc<Dir> {
        self.file.temporary.home()
    }

    /// Forgets what was written, to begin again at the first byte.
    pub fn restart(&mut self) -> Result<()> {
        self.file.restart()
    }

    /// Publishes it if its hash is this one and the one in its name.
    pub fn finish(self, expected: &Hash) -> Result<Published, DownloadError> {
        self.verify(expected)?.finish()
    }

    /// Whether its hash is this one and the one in its name; if not, it is dropped.
    pub fn verify(mut self, expected: &Hash) -> Result<Verified, DownloadError> {
        // A failure has left the file and the hash behind at different places: it must not get past this line.
        self.file.temporary.attempt("write", |_| Ok(()))?;
        let found = self.file.hash();
        for wanted in [*expected, self.named_hash] {
            if found != wanted {
                let path = self.path();
                return Err(DownloadError::WrongHash { path, expected: wanted, found, bytes: self.bytes() });
            }
        }
        Ok(Verified(self))
    }

    fn path(&self) -> PathBuf {
        self.file.temporary.path()
    }
}

impl Verified {
    /// How many bytes it has.
    pub fn bytes(&self) -> u64 {
        self.0.bytes()
    }

    /// Makes it visible.
    pub fn finish(self) -> Result<Published, DownloadError> {
        let Self(mut download) = self;
        download.file.flush()?;
        download.publish()
    }
}

/// Makes a tombstone. The name must be one of a tombstone of a segment or chat batch; what hides is the name, and the content, which may
/// be empty, is for people.
///
/// The file is flushed, its directory is not: that is done once for many.
pub fn write_tombstone(dir: &Dir, name: &str, content: &[u8]) -> Result<Published, DownloadError> {
    understood(name, true)?;
    let name = OsStr::new(name);
    let (mut file, hidden) = create_temporary(dir, name)?;
    let done = match file.write_all(content).and_then(|()| file.sync_all()) {
        Ok(()) => publish(dir, &hidden, dir, name, None),
        Err(cause) => Err(DiskError::io("write", &dir.path().join(name), cause)),
    };
    if !matches!(done, Ok(Published::New)) {
        remove_temporary(dir, &hidden);
    }
    Ok(done?)
}

pub(super) fn understood(name: &str, tombstone: bool) -> Result<SegmentKey, DownloadError> {
    let why = match parse_file_name(name) {
        FileName::Understood(key) if key.tombstone == tombstone => return Ok(key),
        FileName::Understood(_) | FileName::Foreign => BadName::Extension,
        FileName::Odd(why) => why,
        FileName::Temporary => BadName::Type,
    };
    Err(DownloadError::Name { name: name.to_owned(), why })
}

impl Base {
    /// The hour directory, which is made if it is not there, with those above it. No link is followed.
    ///
    /// What was made is flushed into the directory above, so that flushing the hour makes its files durable.
    pub fn make_hour_dir(&self, place: &HourPlace) -> Result<Dir> {
        if let Some(dir) = self.dir(&place.path())? {
            return Ok(dir);
        }
        let top = self.dir(Path::new(""))?;
        let mut dir = top.ok_or_else(|| DiskError::io("open the directory", self.path(), Errno::NOENT))?;
        for name in [place.stream.channel.as_str(), place.stream.quality.as_str(), &place.hour.to_string()] {
            dir = make_dir(&dir, OsStr::new(name))?;
        }
        Ok(dir)
    }
}

impl Base {
    /// Removes an hour directory if it is empty, and tells whether it was. For one that was made and not needed.
    pub fn remove_empty_hour(&self, place: &HourPlace) -> Result<bool> {
        let stream = self.dir(Path::new(&place.stream.to_string()))?;
        let Some(above) = stream else { return Ok(false) };
        let name = place.hour.to_string();
        match unlinkat(&above, name.as_str(), AtFlags::REMOVEDIR) {
            Ok(()) => Ok(true),
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOENT | Errno::NOTDIR) => Ok(false),
            Err(errno) => Err(DiskError::io("remove the empty directory", &above.path().join(name), errno)),
        }
    }
}

impl Dir {
    /// A directory of this one, made and flushed if it is not there.
    pub fn make_dir(&self, name: &OsStr) -> Result<Self> {
        if !is_one_name(name) {
            return Err(DiskError::Outside { path: self.path().join(name) });
        }
        make_dir(self, name)
    }
}

pub(super) fn make_dir(above: &Dir, name: &OsStr) -> Result<Dir> {
    if let Some(dir) = above.dir(name)? {
        return Ok(dir);
    }
    let path = above.path().join(name);
    match mkdirat(above, name, Mode::from_raw_mode(0o755)) {
        Ok(()) => sync_dir(above).inspect_err(|_| {
            // Or else the next attempt would find it there and take it for flushed.
            if let Err(cause) = unlinkat(above, name, AtFlags::REMOVEDIR) {
                tracing::warn!(name: "directory_not_flushed", dir = %path.display(), %cause, "a directory that could not be flushed stays behind");
            }
        })?,
        Err(Errno::EXIST) => {}
        Err(errno) => return Err(DiskError::io("make the directory", &path, errno)),
    }
    // A link or a file of that name is no directory.
    above.dir(name)?.ok_or_else(|| DiskError::io("open the directory", &path, Errno::NOTDIR))
}

#[cfg(test)]
mod tests;
