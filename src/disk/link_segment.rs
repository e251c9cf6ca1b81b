//! A segment whose bytes are on this disk already, under the name that its recorder gave it: it gets a second name, and nothing is copied.
//!
//! 1. The file is flushed first, so that its name does not outlive a power cut without its content.
//! 2. The second name is a hidden temporary, [aside](super::aside) or in the hour directory, and is renamed into place without replacing
//!    anything. So it arrives like a download.
//! 3. What is linked is the open file, not what its path has come to mean.
//!
//! Both names are of one content from then on: who writes to the one changes the other.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::Path;

use rustix::io::Errno;

use super::atomic::{link_temporary, publish_new, remove_temporary};
use super::dir::Dir;
use super::download::{DownloadError, understood};
use super::error::DiskError;
use super::open_temporary::Published;

/// What became of a second name.
#[derive(Debug)]
#[must_use = "a new name is durable only after its directory was flushed"]
pub enum Linked {
    /// It is visible.
    Published(Published),
    /// There can be none, such as from another file system: the content has to be copied.
    Refused(io::Error),
}

/// Gives an open file a second name in an hour directory, which must be one of a segment.
pub fn link_segment(dir: &Dir, name: &str, file: &File) -> Result<Linked, DownloadError> {
    understood(name, false)?;
    let name = OsStr::new(name);
    let path = dir.path().join(name);
    let failed = |action, cause| DiskError::io(action, &path, cause);
    let bytes = file.metadata().map_err(|cause| failed("look at the original of", cause))?.len();
    file.sync_all().map_err(|cause| failed("flush the original of", cause))?;
    let opened = format!("/proc/self/fd/{}", file.as_raw_fd());
    let hidden = match link_temporary(dir, name, Path::new(&opened)) {
        Ok(hidden) => hidden,
        Err(errno) => return Ok(Linked::Refused(errno.into())),
    };
    let done = publish_new(dir, &hidden, name);
    if done.is_err() {
        remove_temporary(dir, &hidden);
    }
    match done {
        Ok(()) => Ok(Linked::Published(Published::New)),
        Err(Errno::EXIST) => Ok(Linked::Published(dir.there_already(name, Some(bytes))?)),
        Err(Errno::XDEV) => Ok(Linked::Refused(Errno::XDEV.into())),
        Err(errno) => Err(DiskError::io("rename into place", &path, errno).into()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt as _;

    use super::super::Base;
    use super::*;
    use crate::archive::{Hash, HourPlace};

    fn names(dir: &Path) -> Vec<String> {
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_gets_a_second_name_and_replaces_nothing() {
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir_all(tree.path().join(".gapless")).unwrap();
        let original = tree.path().join("n001.ts");
        fs::write(&original, "video").unwrap();
        let base = Base::open(tree.path()).unwrap();
        let dir = base.make_hour_dir(&HourPlace::parse("c/q/2019-11-13T02").unwrap()).unwrap();
        let name = format!("00:00-2.0-full-{}.ts", Hash([7; 32]));
        let file = File::open(&original).unwrap();
        assert!(matches!(link_segment(&dir, &name, &file).unwrap(), Linked::Published(Published::New)));
        let linked = dir.path().join(&name);
        assert_eq!(fs::metadata(&linked).unwrap().ino(), fs::metadata(&original).unwrap().ino());
        assert!(matches!(link_segment(&dir, &name, &file).unwrap(), Linked::Published(Published::AlreadyThere)));
        // Something else of that name is no such file, and stays.
        fs::remove_file(&linked).unwrap();
        fs::write(&linked, "more than that").unwrap();
        assert!(link_segment(&dir, &name, &file).is_err());
        assert_eq!(fs::read_to_string(&linked).unwrap(), "more than that");
        assert!(link_segment(&dir, "n001.ts", &file).is_err(), "no name of a segment");
        assert_eq!((names(dir.path()).len(), names(&tree.path().join(".gapless/arriving")).len()), (1, 0));
    }
}
