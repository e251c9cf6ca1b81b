//! What can go wrong at the disk, told so that an operator knows what to do about it.
//!
//! One enum for the whole room. Callers need three answers from it, not thirty: is the disk *away*
//! ([`DiskError::is_away`]: draw no conclusion from what was not found), is it *full*
//! ([`DiskError::is_full`]: try again when there is room), or is it something about this one path.
//! That something does not exist is no error here; those functions answer `None`.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;

use super::archive_id::ArchiveId;

/// The result of everything in this room.
pub type Result<T, E = DiskError> = std::result::Result<T, E>;

/// What went wrong at the disk, and where.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The operating system refused something.
    #[error("cannot {action} '{}': {cause}; {}", path.display(), advice(cause))]
    Io {
        /// What was tried, as it reads after "cannot".
        action: &'static str,
        /// Where it was tried.
        path: PathBuf,
        /// What the operating system said.
        cause: io::Error,
    },
    /// The base directory cannot be opened.
    #[error(
        "cannot open the base directory '{}': {cause}; expected an existing directory: mount the disk or correct the path",
        path.display()
    )]
    NoBase {
        /// The base directory as configured.
        path: PathBuf,
        /// What the operating system said.
        cause: io::Error,
    },
    /// A path that is not a plain way downwards.
    #[error("'{}' does not stay beneath the base directory; expected names joined by '/', without '..'", path.display())]
    Outside {
        /// The path that was asked for.
        path: PathBuf,
    },
    /// A directory holds more than we are willing to read at once.
    #[error("'{}' holds more than {limit} entries, which is more than is read at once; move some of them away", path.display())]
    TooMany {
        /// The directory.
        path: PathBuf,
        /// How many would have been fine.
        limit: usize,
    },
    /// There was a layout here, and is none.
    #[error(
        "the layout '{}' is gone; expected the file of the layout, as `layout-known` beside it says: give this node that of another one with `gapless layout take`",
        path.display()
    )]
    LayoutGone {
        /// Where it was.
        path: PathBuf,
    },
    /// Publishing never replaces a file.
    #[error("'{}' exists already and is never replaced; nothing was changed", path.display())]
    Exists {
        /// The name that is taken.
        path: PathBuf,
    },
    /// Something else lies where a file is to be put.
    #[error("'{}' is taken by {by}, and nothing is ever replaced; expected is that file or nothing: move it away, or remove it", path.display())]
    Occupied {
        /// The name that is taken.
        path: PathBuf,
        /// By what, such as `a directory`.
        by: String,
    },
    /// Somebody else holds the lock.
    #[error(
        "'{}' is in use by another process (waited {} ms for it); stop that one first, or give this one a directory of its own",
        path.display(),
        waited.as_millis()
    )]
    InUse {
        /// The directory whose lock was wanted.
        path: PathBuf,
        /// How long we have waited.
        waited: Duration,
    },
    /// The marker is there, but it cannot be understood.
    #[error(
        "the marker '{}' cannot be read: {problem}; expected the line 'gapless-marker 1' and then 'id ' with 32 hexadecimal digits: restore the file from another copy of this archive's marker",
        path.display()
    )]
    MarkerDamaged {
        /// The marker file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The marker is not there, although it should be.
    #[error(
        "the marker '{}' is missing; expected the one of archive {expected}: the disk is not mounted, or the marker was removed: mount the disk or restore the file",
        path.display()
    )]
    MarkerMissing {
        /// The marker file.
        path: PathBuf,
        /// The archive that should be there.
        expected: ArchiveId,
    },
    /// Another archive lies where ours should be.
    #[error(
        "the marker '{}' names archive {found}, expected {expected}: another disk is mounted there; mount the right one or correct the path",
        path.display()
    )]
    MarkerOther {
        /// The marker file.
        path: PathBuf,
        /// The archive that should be there.
        expected: ArchiveId,
        /// The archive that is there.
        found: ArchiveId,
    },
    /// None of the channels that the index knows is there, and there is no marker to tell why.
    #[error(
        "'{}' holds none of the {known} channels that are known; expected at least one: the disk is not mounted, or the path is wrong",
        path.display()
    )]
    NoChannel {
        /// The base directory.
        path: PathBuf,
        /// How many channels are known.
        known: usize,
    },
    /// A protective record cannot be relied on.
    #[error(
        "the record '{}' cannot be relied on: {why}; nothing is deleted until you have looked at it and said `gapless retention accept`",
        path.display()
    )]
    Record {
        /// Its first copy.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// No more watchers can be made, or the system has none.
    #[error("cannot watch directories for changes: {cause}; raise fs.inotify.max_user_instances, or rely on the crawl")]
    NoEvents {
        /// What the operating system said.
        cause: io::Error,
    },
}

impl DiskError {
    /// An error of the operating system at `path`.
    pub(super) fn io(action: &'static str, path: &Path, cause: impl Into<io::Error>) -> Self {
        Self::Io { action, path: path.to_owned(), cause: cause.into() }
    }

    /// Whether this says "the disk is not there", so that nothing may be concluded from absence.
    ///
    /// One directory without permission looks the same from here; [`super::BaseGuard::report`] tells them apart.
    pub fn is_away(&self) -> bool {
        match self {
            Self::NoBase { .. }
            | Self::MarkerDamaged { .. }
            | Self::MarkerMissing { .. }
            | Self::MarkerOther { .. }
            | Self::NoChannel { .. } => true,
            Self::Io { cause, .. } => is_gone(cause),
            Self::Outside { .. }
            | Self::TooMany { .. }
            | Self::LayoutGone { .. }
            | Self::Exists { .. }
            | Self::Occupied { .. }
            | Self::InUse { .. }
            | Self::Record { .. }
            | Self::NoEvents { .. } => false,
        }
    }

    /// Whether there is no room: the disk is full or the quota is used up.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Io { cause, .. } if matches!(errno(cause), Some(Errno::NOSPC | Errno::DQUOT)))
    }

    /// Whether something else lies where a file is to be put.
    pub const fn is_occupied(&self) -> bool {
        matches!(self, Self::Occupied { .. })
    }

    /// Whether the process or the machine is short of something, descriptors or memory: says nothing about what was looked at.
    pub fn is_shortage(&self) -> bool {
        matches!(self, Self::Io { cause, .. } if matches!(errno(cause), Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM)))
    }

    /// Whether nothing may be written there: mounted read-only, or no right to. Ask this first when writing:
    /// a missing right also counts as [`Self::is_away`].
    pub fn is_read_only(&self) -> bool {
        matches!(self, Self::Io { cause, .. } if matches!(errno(cause), Some(Errno::ROFS | Errno::ACCESS | Errno::PERM)))
    }

    /// Whether the disk could not read what lies there: a bad sector, or worse.
    pub fn is_unreadable(&self) -> bool {
        matches!(self, Self::Io { cause, .. } if matches!(errno(cause), Some(Errno::IO | Errno::NODATA | Errno::UCLEAN | Errno::BADMSG)))
    }

    /// The path that this is about, if it is about one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Io { path, .. }
            | Self::NoBase { path, .. }
            | Self::Outside { path }
            | Self::TooMany { path, .. }
            | Self::LayoutGone { path }
            | Self::Exists { path }
            | Self::Occupied { path, .. }
            | Self::InUse { path, .. }
            | Self::Record { path, .. }
            | Self::MarkerDamaged { path, .. }
            | Self::MarkerMissing { path, .. }
            | Self::MarkerOther { path, .. }
            | Self::NoChannel { path, .. } => Some(path),
            Self::NoEvents { .. } => None,
        }
    }
}

fn errno(cause: &io::Error) -> Option<Errno> {
    Errno::from_io_error(cause)
}

fn is_gone(cause: &io::Error) -> bool {
    matches!(errno(cause), Some(Errno::IO | Errno::STALE | Errno::NOTCONN | Errno::ACCESS | Errno::NXIO | Errno::NODEV))
}

fn advice(cause: &io::Error) -> &'static str {
    match errno(cause) {
        Some(Errno::ACCESS | Errno::PERM) => {
            "expected the right to do so: give it to the user that this process runs as, also for the directories above"
        }
        Some(Errno::NOSPC | Errno::DQUOT) => "expected some room: free some, or raise the quota",
        Some(Errno::MFILE | Errno::NFILE) => "expected a free descriptor: raise the limit of open files",
        Some(Errno::ROFS) => "expected a writable file system: mount it writable",
        Some(Errno::IO | Errno::STALE | Errno::NOTCONN | Errno::NXIO | Errno::NODEV) => {
            "expected a working disk: check the disk, its cables and its mount"
        }
        Some(Errno::NOENT) => "expected it to exist: check the path, and whether the disk is mounted",
        _ => "expected this to work: the kernel's log may tell more",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn io_error(errno: Errno) -> DiskError {
        DiskError::io("read", Path::new("/a/b"), errno)
    }

    #[test]
    fn away_full_and_neither_are_told_apart() {
        for errno in [Errno::IO, Errno::STALE, Errno::NOTCONN, Errno::ACCESS, Errno::NXIO, Errno::NODEV] {
            assert!(io_error(errno).is_away(), "{errno}");
            assert!(!io_error(errno).is_full(), "{errno}");
        }
        for errno in [Errno::NOSPC, Errno::DQUOT] {
            assert!(io_error(errno).is_full(), "{errno}");
            assert!(!io_error(errno).is_away(), "{errno}");
        }
        for errno in [Errno::MFILE, Errno::INVAL, Errno::PERM] {
            assert!(!io_error(errno).is_away() && !io_error(errno).is_full(), "{errno}");
        }
        assert!([Errno::MFILE, Errno::NFILE, Errno::NOMEM].into_iter().all(|errno| io_error(errno).is_shortage()));
        assert!(!io_error(Errno::IO).is_shortage() && !io_error(Errno::ACCESS).is_shortage());
        assert!(io_error(Errno::ROFS).is_read_only() && !io_error(Errno::NOSPC).is_read_only());
        assert!(!DiskError::Outside { path: "..".into() }.is_away());
        assert!(DiskError::NoBase { path: "/x".into(), cause: Errno::NOENT.into() }.is_away());
    }

    #[test]
    fn a_message_says_what_where_and_what_to_do() {
        let text = io_error(Errno::NOSPC).to_string();
        assert!(text.starts_with("cannot read '/a/b': "), "{text}");
        assert!(text.contains("free some"), "{text}");
    }
}
