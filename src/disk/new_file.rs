//! A file whose name says nothing of its content, such as an extra: it arrives in pieces, and is there completely or not at all.
//!
//! 1. Nothing is begun where anything of that name lies; where that is a link or a directory, it is told.
//! 2. What arrives goes to a hidden temporary, [aside](super::arriving) or in the same directory, which is flushed, renamed without ever replacing, and the
//!    directory is flushed. Dropping it before removes the temporary.
//! 3. The directories above are made one by one beneath the base, and no link is followed.
//!
//! Segments have a hash to be right by, and [`super::Download`].

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::io::Errno;

use super::atomic::sync_dir;
use super::base::Base;
use super::dir::{Dir, is_hidden};
use super::download::make_dir;
use super::error::{DiskError, Result};
use super::open_temporary::{OpenTemporary, Published};
use super::resolve::is_one_name;

/// No common file system has larger blocks, so that this much does not fit into the last one of a file.
const BLOCK: usize = 1 << 20;

/// A file that is being written.
#[derive(Debug)]
pub struct NewFile {
    file: OpenTemporary,
    bytes: u64,
}

impl NewFile {
    /// Creates the temporary; `None` if such a file is there, and an error if something else of that name is. Hidden names are not given.
    pub fn begin(dir: impl Into<Arc<Dir>>, name: &str) -> Result<Option<Self>> {
        let (dir, name) = (dir.into(), OsStr::new(name));
        let path = dir.path().join(name);
        if !is_one_name(name) || is_hidden(name.as_encoded_bytes()) {
            return Err(DiskError::Outside { path });
        }
        if let Some(occupied) = dir.occupied(name, None)? {
            return Err(occupied);
        }
        if dir.stat_file(name)?.is_some() {
            return Ok(None);
        }
        Ok(Some(Self { file: OpenTemporary::create(dir, name)?, bytes: 0 }))
    }

    /// Appends.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.attempt("write", |file| file.write_all(bytes))?;
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        Ok(())
    }

    /// How many bytes were written here.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The file itself, for a program that writes it and goes back in it.
    pub fn written_by_another(&mut self) -> Result<File> {
        self.file.attempt("open again", |file| file.try_clone())
    }

    /// An error if nothing more can be written: another program says so in its own words only.
    pub fn check_room(&mut self) -> Result<()> {
        self.file.attempt("write", |file| {
            file.seek(SeekFrom::End(0))?;
            file.write_all(&vec![0; BLOCK])?;
            file.sync_all()
        })
    }

    /// Publishes it; it is durable when this returns.
    pub fn finish(mut self) -> Result<Published> {
        self.file.attempt("flush", |file| file.sync_all())?;
        let published = self.file.publish(None)?;
        if published == Published::New {
            sync_dir(self.file.home())?;
        }
        Ok(published)
    }
}

impl Base {
    /// A directory beneath the base, which is made if it is not there, with those above it. No link is followed, and no hidden
    /// name is made.
    pub fn make_dirs<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> Result<Dir> {
        let top = self.dir(Path::new(""))?;
        let mut dir = top.ok_or_else(|| DiskError::io("open the directory", self.path(), Errno::NOENT))?;
        for name in names {
            if !is_one_name(OsStr::new(name)) || name.starts_with('.') {
                return Err(DiskError::Outside { path: dir.path().join(name) });
            }
            dir = make_dir(&dir, OsStr::new(name))?;
        }
        Ok(dir)
    }

    /// How many of these directories, each in the one before, are there.
    pub fn dirs_there(&self, names: &[&str]) -> Result<usize> {
        let mut path = PathBuf::new();
        for (there, name) in names.iter().enumerate() {
            path.push(name);
            if self.dir(&path)?.is_none() {
                return Ok(there);
            }
        }
        Ok(names.len())
    }

    /// Takes away what [`Base::make_dirs`] made in vain: the last of these directories and those above it, as long as they are
    /// empty, but for the first so many, which were there before.
    pub fn remove_empty_dirs(&self, names: &[&str], there: usize) -> Result<()> {
        for depth in (there..names.len()).rev() {
            let (above, name) = names.split_at(depth);
            let above = self.dir(&above.iter().collect::<PathBuf>())?;
            if let (Some(above), Some(name)) = (above, name.first()) {
                above.remove_empty_dir(OsStr::new(name))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_is_there_completely_or_not_at_all_and_replaces_nothing() {
        let tree = tempfile::tempdir().unwrap();
        let base = Base::open(tree.path()).unwrap();
        let dir = || base.make_dirs(["notes", "deep"]).unwrap();
        let path = tree.path().join("notes/deep/a.txt");
        let mut file = NewFile::begin(dir(), "a.txt").unwrap().unwrap();
        let mut late = NewFile::begin(dir(), "a.txt").unwrap().unwrap();
        file.write(b"on").unwrap();
        file.write(b"e").unwrap();
        assert!(!path.exists() && file.bytes() == 3);
        assert_eq!(file.finish().unwrap(), Published::New);
        late.write(b"two").unwrap();
        assert_eq!(late.finish().unwrap(), Published::AlreadyThere);
        assert!(NewFile::begin(dir(), "a.txt").unwrap().is_none());
        drop(NewFile::begin(dir(), "b.txt").unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "one");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no temporary is left");
    }

    #[test]
    fn directories_made_in_vain_go_and_those_from_before_stay() {
        let tree = tempfile::tempdir().unwrap();
        let base = Base::open(tree.path()).unwrap();
        drop(base.make_dirs(["notes"]).unwrap());
        let names = ["notes", "a", "b", "c"];
        let there = base.dirs_there(&names).unwrap();
        assert_eq!(there, 1);
        drop(base.make_dirs(names).unwrap());
        fs::write(tree.path().join("notes/a/kept.txt"), "").unwrap();
        base.remove_empty_dirs(&names, there).unwrap();
        assert!(tree.path().join("notes/a/kept.txt").exists() && !tree.path().join("notes/a/b").exists());
        fs::remove_file(tree.path().join("notes/a/kept.txt")).unwrap();
        base.remove_empty_dirs(&names, there).unwrap();
        assert!(tree.path().join("notes").exists() && !tree.path().join("notes/a").exists());
        assert_eq!(base.dirs_there(&names).unwrap(), 1);
    }

    #[test]
    fn no_link_is_followed_and_nothing_hidden_made() {
        let outside = tempfile::tempdir().unwrap();
        let tree = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path(), tree.path().join("link")).unwrap();
        fs::write(tree.path().join("file"), "").unwrap();
        let base = Base::open(tree.path()).unwrap();
        for bad in
            [vec!["link"], vec!["link", "x"], vec!["file", "x"], vec![".."], vec![".gapless"], vec!["a/b"], vec![""]]
        {
            assert!(base.make_dirs(bad.clone()).is_err(), "{bad:?}");
        }
        let taken = NewFile::begin(base.make_dirs([]).unwrap(), "link");
        assert!(taken.as_ref().is_err_and(DiskError::is_occupied), "{taken:?}");
        for bad in ["..", ".hidden", "a/b", ""] {
            assert!(
                matches!(NewFile::begin(base.make_dirs([]).unwrap(), bad), Err(DiskError::Outside { .. })),
                "{bad}"
            );
        }
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    }
}
