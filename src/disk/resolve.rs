//! The only way from a relative path to a descriptor: downwards, without following a link.
//!
//! The kernel does the work (`openat2` with `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS`). Where it may not be asked
//! (older kernels, and sandboxes that forbid the call) each component is opened by itself, which is slower and
//! comes to the same. This does not judge names: whether something is a channel or a segment is not its business.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

/// Whether the path only leads downwards: plain names and `.`, neither `..` nor a leading `/`.
pub(super) fn leads_downwards(rel: &Path) -> bool {
    rel.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

/// Whether this is the name of one entry of a directory.
pub(super) fn is_one_name(name: &OsStr) -> bool {
    let bytes = name.as_bytes();
    !bytes.is_empty() && bytes != b"." && bytes != b".." && !bytes.contains(&b'/') && !bytes.contains(&0)
}

/// Whether the error means that nothing of the wanted kind lies there.
pub(super) fn means_absent(errno: Errno) -> bool {
    matches!(errno, Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NAMETOOLONG)
}

/// Opens `rel` beneath `root` for reading; `None` if there is no such thing. The path must lead downwards.
pub(super) fn open_beneath(root: BorrowedFd<'_>, rel: &Path, flags: OFlags) -> Result<Option<OwnedFd>, Errno> {
    if rel.as_os_str().as_bytes().contains(&0) {
        return Ok(None);
    }
    let path = if rel.as_os_str().is_empty() { Path::new(".") } else { rel };
    let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let opened = match openat2(root, path, flags, Mode::empty(), how) {
        Err(Errno::NOSYS | Errno::PERM) => open_stepwise(root, path, flags),
        other => other,
    };
    match opened {
        Ok(fd) => Ok(Some(fd)),
        Err(errno) if means_absent(errno) => Ok(None),
        Err(errno) => Err(errno),
    }
}

fn open_stepwise(root: BorrowedFd<'_>, rel: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut above: Option<OwnedFd> = None;
    let mut names = rel.components().filter(|part| *part != Component::CurDir).peekable();
    while let Some(part) = names.next() {
        // Not reachable through `Base`, which checks first; kept because this is the last line of defence.
        let Component::Normal(name) = part else {
            return Err(Errno::XDEV);
        };
        let at = above.as_ref().map_or(root, AsFd::as_fd);
        if names.peek().is_none() {
            return openat(at, name, flags, Mode::empty());
        }
        above = Some(openat(at, name, step, Mode::empty())?);
    }
    openat(root, ".", flags, Mode::empty())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::symlink;

    use super::*;

    type Opener = fn(BorrowedFd<'_>, &Path, OFlags) -> Result<Option<OwnedFd>, Errno>;

    fn stepwise(root: BorrowedFd<'_>, rel: &Path, flags: OFlags) -> Result<Option<OwnedFd>, Errno> {
        match open_stepwise(root, rel, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC) {
            Ok(fd) => Ok(Some(fd)),
            Err(errno) if means_absent(errno) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    #[test]
    fn both_ways_open_the_same_and_follow_no_link() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "x").unwrap();
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir_all(tree.path().join("a/b")).unwrap();
        fs::write(tree.path().join("a/b/file"), "x").unwrap();
        symlink(outside.path(), tree.path().join("a/out")).unwrap();
        symlink("b", tree.path().join("a/inner")).unwrap();
        symlink("file", tree.path().join("a/b/link")).unwrap();
        let root = File::open(tree.path()).unwrap();
        for open in [open_beneath as Opener, stepwise] {
            let found = |rel: &str| open(root.as_fd(), Path::new(rel), OFlags::RDONLY).unwrap().is_some();
            assert!(found(".") && found("a") && found("./a/b") && found("a/b/file"));
            for absent in ["a/none", "a/out", "a/out/secret", "a/inner", "a/inner/file", "a/b/link", "a/b/file/x"] {
                assert!(!found(absent), "{absent}");
            }
            assert!(open(root.as_fd(), Path::new("../x"), OFlags::RDONLY).is_err());
            assert!(!found(&"n".repeat(300)));
        }
        assert!(open_beneath(root.as_fd(), Path::new(""), OFlags::RDONLY).unwrap().is_some());
        assert!(open_beneath(root.as_fd(), Path::new("a\0b"), OFlags::RDONLY).unwrap().is_none());
    }

    #[test]
    fn names_and_paths_that_lead_elsewhere_are_recognised() {
        for good in ["", ".", "a", "a/b", "./a"] {
            assert!(leads_downwards(Path::new(good)), "{good}");
        }
        for bad in ["..", "a/..", "/", "/a", "a/../../b"] {
            assert!(!leads_downwards(Path::new(bad)), "{bad}");
        }
        assert!(is_one_name(OsStr::new("a.ts")) && is_one_name(OsStr::new("...")));
        for bad in ["", ".", "..", "a/b", "a\0"] {
            assert!(!is_one_name(OsStr::new(bad)), "{bad}");
        }
    }
}
