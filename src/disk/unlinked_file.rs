//! A file that has no name: it lies on the disk of the archive as long as somebody has it open, and a process that ends leaves nothing of it.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::path::Path;

use rustix::fs::{Mode, OFlags, openat};
use sha2::{Digest as _, Sha256};

use super::archive_id::OWN_DIR;
use super::atomic::{create_temporary, remove_temporary};
use super::base::Base;
use super::error::{DiskError, Result};
use crate::archive::Hash;

/// What it is called for the moment in which it has a name, where the file system makes none without.
const PASSING: &str = "passing";

/// A file without a name that is being written.
#[derive(Debug)]
pub struct UnlinkedFile {
    file: File,
    hash: Sha256,
}

impl UnlinkedFile {
    /// Begins one beside what the node keeps for itself. Blocks.
    pub fn create(base: &Base) -> Result<Self> {
        let path = base.path().join(OWN_DIR);
        let dir =
            base.dir(Path::new(OWN_DIR))?.ok_or_else(|| DiskError::io("open", &path, rustix::io::Errno::NOENT))?;
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let file = if let Ok(fd) = openat(&dir, ".", flags, Mode::RUSR | Mode::WUSR) {
            File::from(fd)
        } else {
            // Not every file system makes files without a name.
            let (file, hidden) = create_temporary(&dir, PASSING.as_ref())?;
            remove_temporary(&dir, &hidden);
            file
        };
        Ok(Self { file, hash: Sha256::new() })
    }

    /// Appends. Blocks.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.file.write_all(bytes);
        written.map_err(|error| DiskError::io("write", Path::new(PASSING), error))?;
        self.hash.update(bytes);
        Ok(())
    }

    /// The file, if its content has this SHA-256.
    pub fn finish(self, expected: Hash) -> Option<File> {
        (Hash(self.hash.finalize().into()) == expected).then_some(self.file)
    }
}

/// The same file once more, read from its beginning whatever was read of it elsewhere. Blocks.
pub fn opened_again(file: &File) -> std::io::Result<File> {
    File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn read(file: &File) -> String {
        let mut text = String::new();
        opened_again(file).unwrap().read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn it_has_no_name_and_is_given_out_only_if_it_is_right() {
        let tree = tempfile::tempdir().unwrap();
        let own = tree.path().join(OWN_DIR);
        let base = Base::open(tree.path()).unwrap();
        UnlinkedFile::create(&base).unwrap_err();
        std::fs::create_dir(&own).unwrap();
        let expected = Hash(Sha256::digest(b"one two").into());
        let mut file = UnlinkedFile::create(&base).unwrap();
        file.write(b"one ").unwrap();
        file.write(b"two").unwrap();
        assert_eq!(std::fs::read_dir(&own).unwrap().count(), 0);
        let right = file.finish(expected).unwrap();
        assert_eq!((read(&right), read(&right)), ("one two".to_owned(), "one two".to_owned()));
        let mut wrong = UnlinkedFile::create(&base).unwrap();
        wrong.write(b"one three").unwrap();
        assert!(wrong.finish(expected).is_none());
        assert_eq!(std::fs::read_dir(&own).unwrap().count(), 0);
    }
}
