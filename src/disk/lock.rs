//! One process per directory: a lock on the directory itself.
//!
//! `flock` on the directory changes nothing in it and needs no right to write, so that a read-only archive is locked
//! as well; the kernel drops it with the process, however that ends. It keeps honest processes of one machine apart,
//! not those of two machines that mount the same disk. It stays with the directory that was locked, also when
//! another one is mounted over it.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FlockOperation, Mode, OFlags, flock, openat};
use rustix::io::Errno;

use super::error::{DiskError, Result};

/// How often a taken lock is tried again; a restart does not wait noticeably longer than it must.
const RETRY: Duration = Duration::from_millis(25);

/// A directory that is ours until this is dropped.
#[derive(Debug)]
pub struct DirLock {
    _fd: OwnedFd,
    path: PathBuf,
    holds: bool,
}

impl DirLock {
    /// Locks the directory, trying for as long as `patience` says.
    ///
    /// Where the file system has no such locks this warns and goes on without.
    pub fn acquire(dir: &Path, patience: Duration) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd =
            openat(CWD, dir, flags, Mode::empty()).map_err(|cause| DiskError::io("open for locking", dir, cause))?;
        let begun = Instant::now();
        loop {
            match flock(&fd, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {
                    return Ok(Self { _fd: fd, path: dir.to_owned(), holds: true });
                }
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => {
                    let waited = begun.elapsed();
                    let Some(left) = patience.checked_sub(waited).filter(|left| !left.is_zero()) else {
                        return Err(DiskError::InUse { path: dir.to_owned(), waited });
                    };
                    sleep(RETRY.min(left));
                }
                Err(cause) if cannot_lock(cause) => {
                    tracing::warn!(
                        name: "directory_not_locked", dir = %dir.display(), %cause,
                        "this file system cannot lock a directory; make sure that no second process uses it"
                    );
                    return Ok(Self { _fd: fd, path: dir.to_owned(), holds: false });
                }
                Err(cause) => return Err(DiskError::io("lock", dir, cause)),
            }
        }
    }

    /// The directory that is locked.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there is a lock: false where the file system cannot lock directories.
    pub fn holds(&self) -> bool {
        self.holds
    }
}

fn cannot_lock(errno: Errno) -> bool {
    matches!(errno, Errno::BADF | Errno::NOLCK | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS)
}

#[cfg(test)]
mod tests {
    use std::{fs, thread};

    use super::*;

    #[test]
    fn a_second_one_is_refused_until_the_first_is_gone() {
        let tree = tempfile::tempdir().unwrap();
        let first = DirLock::acquire(tree.path(), Duration::ZERO).unwrap();
        assert!(first.holds());
        assert_eq!(first.path(), tree.path());
        let error = DirLock::acquire(tree.path(), Duration::ZERO).unwrap_err();
        assert!(error.to_string().contains(&tree.path().display().to_string()), "{error}");
        assert!(matches!(error, DiskError::InUse { .. }) && !error.is_away());
        drop(first);
        DirLock::acquire(tree.path(), Duration::ZERO).unwrap();
        assert_eq!(fs::read_dir(tree.path()).unwrap().count(), 0, "nothing is left in it");
    }

    #[test]
    fn patience_outlasts_a_short_holder() {
        let tree = tempfile::tempdir().unwrap();
        let first = DirLock::acquire(tree.path(), Duration::ZERO).unwrap();
        thread::scope(|scope| {
            let second = scope.spawn(|| DirLock::acquire(tree.path(), Duration::from_secs(10)));
            sleep(Duration::from_millis(30));
            drop(first);
            second.join().unwrap().unwrap();
        });
    }

    #[test]
    fn a_missing_directory_is_told() {
        let tree = tempfile::tempdir().unwrap();
        let error = DirLock::acquire(&tree.path().join("none"), Duration::ZERO).unwrap_err();
        assert!(error.to_string().contains("none"), "{error}");
    }
}
