//! Reads a whole file to its end, piece by piece, for who looks at everything once.
//!
//! What was not in the page cache before is not left in it: the cache is for the recorder's files and those that viewers ask for.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{IoSliceMut, Read as _, Seek as _, SeekFrom};
use std::ops::ControlFlow;

use rustix::fs::{Advice, FileType, Mode, OFlags, fadvise, fstat, openat};
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use super::dir::Dir;
use super::error::{DiskError, Result};
use super::resolve::{is_one_name, means_absent};

/// Bytes of a piece: small enough to stay in a processor's cache until it is looked at.
pub const PIECE: usize = 256 << 10;

/// What became of reading a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WholeFile {
    /// It was read to its end.
    Read,
    /// Who looked at it had enough.
    Stopped,
    /// There is no regular file of that name.
    Absent,
}

impl Dir {
    /// Gives each piece of a file to `look`, from byte `from` on. `room` is used for the pieces, so that it is made once for many files.
    pub fn read_whole(
        &self,
        name: &OsStr,
        from: u64,
        room: &mut Vec<u8>,
        mut look: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<WholeFile> {
        if !is_one_name(name) {
            return Err(DiskError::Outside { path: self.path().join(name) });
        }
        let failed = |action, cause: std::io::Error| DiskError::io(action, &self.path().join(name), cause);
        // NONBLOCK: a pipe of that name must not make us wait for its other end.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = match openat(self, name, flags, Mode::empty()) {
            Ok(fd) => File::from(fd),
            Err(errno) if means_absent(errno) || errno == Errno::NXIO => return Ok(WholeFile::Absent),
            Err(errno) => return Err(failed("open", errno.into())),
        };
        let meta = fstat(&file).map_err(|errno| failed("look at", errno.into()))?;
        if !FileType::from_raw_mode(meta.st_mode).is_file() {
            return Ok(WholeFile::Absent);
        }
        if from > 0 {
            file.seek(SeekFrom::Start(from)).map_err(|cause| failed("read", cause))?;
        }
        let was_cached = is_cached(&file);
        advise(&file, Advice::Sequential);
        room.resize(PIECE, 0);
        let done = loop {
            match file.read(room) {
                Ok(0) => break Ok(WholeFile::Read),
                Ok(length) => {
                    if look(room.get(..length).unwrap_or_default()).is_break() {
                        break Ok(WholeFile::Stopped);
                    }
                }
                Err(cause) if cause.kind() == std::io::ErrorKind::Interrupted => {}
                Err(cause) => break Err(failed("read", cause)),
            }
        };
        if !was_cached {
            advise(&file, Advice::DontNeed);
        }
        done
    }
}

/// Whether its beginning is in the page cache: then somebody has use for it.
fn is_cached(file: &File) -> bool {
    let mut byte = [0];
    matches!(preadv2(file, &mut [IoSliceMut::new(&mut byte)], 0, ReadWriteFlags::NOWAIT), Ok(1))
}

fn advise(file: &File, advice: Advice) {
    if let Err(cause) = fadvise(file, 0, None, advice) {
        tracing::debug!(name: "advice_not_taken", %cause, "the kernel takes no advice about a file");
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::super::base::Base;
    use super::*;

    #[test]
    fn a_file_is_read_whole_and_whatever_else_is_absent() {
        let tree = tempfile::tempdir().unwrap();
        let content: Vec<u8> = (0..PIECE * 2 + 17).map(|at| u8::try_from(at % 251).unwrap()).collect();
        fs::write(tree.path().join("a"), &content).unwrap();
        fs::create_dir(tree.path().join("dir")).unwrap();
        std::os::unix::fs::symlink("a", tree.path().join("link")).unwrap();
        let dir = Base::open(tree.path()).unwrap().dir(Path::new("")).unwrap().unwrap();
        let (mut room, mut seen) = (Vec::new(), Vec::new());
        let mut read = |name: &str, from: u64, most: usize| {
            seen.clear();
            let done = dir.read_whole(OsStr::new(name), from, &mut room, |piece| {
                seen.extend(piece);
                if seen.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            });
            (done.unwrap(), seen.clone())
        };
        assert_eq!(read("a", 0, usize::MAX), (WholeFile::Read, content.clone()));
        assert_eq!(read("a", 0, PIECE), (WholeFile::Stopped, content[..PIECE].to_vec()));
        assert_eq!(read("a", PIECE as u64, usize::MAX), (WholeFile::Read, content[PIECE..].to_vec()));
        assert_eq!(read("a", content.len() as u64 + 1, 1), (WholeFile::Read, Vec::new()));
        for other in ["none", "dir", "link"] {
            assert_eq!(read(other, 0, 1).0, WholeFile::Absent, "{other}");
        }
        assert!(dir.read_whole(OsStr::new("../a"), 0, &mut Vec::new(), |_| ControlFlow::Continue(())).is_err());
    }
}
