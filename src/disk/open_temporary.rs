//! A hidden temporary that is being written: whatever fails removes it, and so does dropping it before it is published.
//!
//! What was written and hashed may differ after a failure, so nothing is done with a file on which anything has failed.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Error, Result as IoResult, Seek as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use super::atomic::{HiddenTemporary, create_temporary, publish_new_from, remove_temporary};
use super::dir::Dir;
use super::error::{DiskError, Result};
use crate::archive::Hash;

/// What became of a file that was complete and right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a new file is durable only after its directory was flushed"]
pub enum Published {
    /// It is visible now.
    New,
    /// The file is there already, as a look has shown; nothing was changed.
    AlreadyThere,
}

/// For a file of some name in a directory.
#[derive(Debug)]
pub(super) struct OpenTemporary {
    home: Arc<Dir>,
    name: OsString,
    hidden: HiddenTemporary,
    /// None after a failure, and once it is published.
    file: Option<File>,
}

impl OpenTemporary {
    pub(super) fn create(home: Arc<Dir>, name: &OsStr) -> Result<Self> {
        let (file, hidden) = create_temporary(&home, name)?;
        Ok(Self { home, name: name.to_owned(), hidden, file: Some(file) })
    }

    pub(super) fn home(&self) -> &Arc<Dir> {
        &self.home
    }

    /// Where it would be published.
    pub(super) fn path(&self) -> PathBuf {
        self.home.path().join(&self.name)
    }

    /// Does something with the file; whatever fails is the last thing that is done with it.
    pub(super) fn attempt<T>(
        &mut self,
        action: &'static str,
        step: impl FnOnce(&mut File) -> IoResult<T>,
    ) -> Result<T> {
        let outcome = match &mut self.file {
            Some(file) => step(file),
            None => Err(Error::other("an earlier step failed and the temporary was removed")),
        };
        outcome.map_err(|cause| {
            if self.file.take().is_some() {
                remove_temporary(&self.home, &self.hidden);
            }
            DiskError::io(action, &self.path(), cause)
        })
    }

    /// Makes it visible, flushed as it is; of so many bytes, where one of that name must have as many.
    pub(super) fn publish(&mut self, bytes: Option<u64>) -> Result<Published> {
        let published = publish(&self.home, &self.hidden, &self.home, &self.name, bytes)?;
        Ok(self.note(published))
    }

    /// The same in another directory of the file system, under another name.
    pub(super) fn publish_as(&mut self, dir: &Dir, name: &OsStr, bytes: Option<u64>) -> Result<Published> {
        let published = publish(&self.home, &self.hidden, dir, name, bytes)?;
        Ok(self.note(published))
    }

    fn note(&mut self, published: Published) -> Published {
        if published == Published::New {
            self.file = None;
        }
        published
    }
}

impl Drop for OpenTemporary {
    fn drop(&mut self) {
        if self.file.is_some() {
            remove_temporary(&self.home, &self.hidden);
        }
    }
}

/// Renames a temporary that was made for one directory into another, or the same.
pub(super) fn publish(
    home: &Dir,
    hidden: &HiddenTemporary,
    dir: &Dir,
    name: &OsStr,
    bytes: Option<u64>,
) -> Result<Published> {
    match publish_new_from(home, hidden, dir, name) {
        Ok(()) => Ok(Published::New),
        Err(Errno::EXIST) => dir.there_already(name, bytes),
        Err(errno) => Err(DiskError::io("rename into place", &dir.path().join(name), errno)),
    }
}

/// One of which the SHA-256 grows with it.
#[derive(Debug)]
pub(super) struct HashedTemporary {
    pub(super) temporary: OpenTemporary,
    hasher: Sha256,
    bytes: u64,
}

impl HashedTemporary {
    pub(super) fn create(home: Arc<Dir>, name: &OsStr) -> Result<Self> {
        Ok(Self { temporary: OpenTemporary::create(home, name)?, hasher: Sha256::new(), bytes: 0 })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.temporary.attempt("write", |file| file.write_all(bytes))?;
        self.hasher.update(bytes);
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        Ok(())
    }

    /// Forgets what was written.
    pub(super) fn restart(&mut self) -> Result<()> {
        self.temporary.attempt("truncate", |file| {
            file.set_len(0)?;
            file.rewind()
        })?;
        self.hasher.reset();
        self.bytes = 0;
        Ok(())
    }

    pub(super) fn flush(&mut self) -> Result<()> {
        self.temporary.attempt("flush", |file| file.sync_all())
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Of what was written.
    pub(super) fn hash(&self) -> Hash {
        Hash(self.hasher.clone().finalize().into())
    }
}
