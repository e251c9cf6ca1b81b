//! What lies where a file is to be put: an error that means "there already" is believed only after a look.
//!
//! Sync tools, restores and people leave directories, pipes, links and cut-off files under the names of segments. To the kernel all of them
//! exist, and to whoever wants the segment none of them is it.

use std::ffi::OsStr;

use rustix::fs::{FileType, StatxFlags};

use super::dir::{Dir, kind, statx_of};
use super::error::{DiskError, Result};
use super::open_temporary::Published;
use super::resolve::is_one_name;

impl Dir {
    /// What keeps a name from being that of a regular file, of so many bytes where that is known; nothing where the name is free, or
    /// such a file lies there.
    pub fn occupied(&self, name: &OsStr, bytes: Option<u64>) -> Result<Option<DiskError>> {
        let path = self.path().join(name);
        if !is_one_name(name) {
            return Err(DiskError::Outside { path });
        }
        let found = statx_of(self, name, StatxFlags::TYPE | StatxFlags::SIZE);
        let Some(meta) = found.map_err(|errno| DiskError::io("look at", &path, errno))? else { return Ok(None) };
        let by = match kind(&meta) {
            FileType::RegularFile => match bytes.filter(|bytes| *bytes != meta.stx_size) {
                None => return Ok(None),
                Some(bytes) => format!("a file of {} bytes that should have {bytes}", meta.stx_size),
            },
            FileType::Directory => "a directory".to_owned(),
            FileType::Symlink => "a link".to_owned(),
            FileType::Fifo => "a pipe".to_owned(),
            FileType::Socket => "a socket".to_owned(),
            _ => "a device".to_owned(),
        };
        Ok(Some(DiskError::Occupied { path, by }))
    }

    /// Those of the wanted names here under which something else than a regular file lies.
    pub fn occupied_names(&self, wanted: impl Fn(&str) -> bool) -> Result<Vec<String>> {
        let mut names = Vec::new();
        self.each_entry(|entry| {
            let name = entry.name.to_str().ok().filter(|name| wanted(name));
            if let Some(name) = name
                && !self.kind_of(&entry)?.is_file()
            {
                names.push(name.to_owned());
            }
            Ok(())
        })?;
        names.sort_unstable();
        Ok(names)
    }

    /// After a name was found taken: that the file is there already, or what lies there instead.
    pub(super) fn there_already(&self, name: &OsStr, bytes: Option<u64>) -> Result<Published> {
        self.occupied(name, bytes)?.map_or(Ok(Published::AlreadyThere), Err)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use std::path::Path;

    use rustix::fs::{CWD, Mode, mkfifoat};

    use super::super::base::Base;
    use super::*;

    #[test]
    fn wanted_names_under_which_something_else_lies_are_found() {
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir(tree.path().join("a.ts")).unwrap();
        fs::create_dir(tree.path().join("unwanted")).unwrap();
        fs::write(tree.path().join("b.ts"), b"").unwrap();
        symlink("b.ts", tree.path().join("c.ts")).unwrap();
        let dir = Base::open(tree.path()).unwrap().dir(Path::new("")).unwrap().unwrap();
        assert_eq!(dir.occupied_names(|name| name.ends_with("ts")).unwrap(), ["a.ts", "c.ts"]);
    }

    #[test]
    fn only_a_regular_file_of_the_right_size_is_there_already() {
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir(tree.path().join("directory")).unwrap();
        fs::write(tree.path().join("file"), b"abc").unwrap();
        symlink("file", tree.path().join("link")).unwrap();
        mkfifoat(CWD, tree.path().join("pipe"), Mode::from_raw_mode(0o644)).unwrap();
        let _socket = UnixListener::bind(tree.path().join("socket")).unwrap();
        let dir = Base::open(tree.path()).unwrap().dir(Path::new("")).unwrap().unwrap();
        let occupied =
            |name: &str, bytes| dir.occupied(OsStr::new(name), bytes).unwrap().map(|error| error.to_string());
        assert_eq!((occupied("free", Some(3)), occupied("file", Some(3)), occupied("file", None)), (None, None, None));
        for (name, what) in [
            ("directory", "a directory"),
            ("link", "a link"),
            ("pipe", "a pipe"),
            ("socket", "a socket"),
            ("file", "a file of 3 bytes that should have 4"),
        ] {
            let told = occupied(name, Some(4)).unwrap();
            assert!(told.contains(what) && told.contains("move it away"), "{told}");
        }
        assert!(dir.occupied(OsStr::new("../x"), None).is_err());
    }
}
