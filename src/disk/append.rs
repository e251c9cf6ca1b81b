//! Adds lines to a small text file so that they survive a power cut; the file is never rewritten in place.
//!
//! What the lines mean is not known here. A line that was cut short by a full disk or a kill gets its end before the next begins,
//! so that it spoils nothing but itself.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;

use rustix::fs::{FallocateFlags, FileType, Mode, OFlags, fallocate, fstat, openat};

use super::atomic::sync_dir;
use super::dir::Dir;
use super::error::{DiskError, Result};
use super::resolve::is_one_name;

/// Room that is kept behind the end, so that lines can be added to a file on a full disk.
const RESERVE: u64 = 64 << 10;

/// Adds these bytes, which are whole lines, to a file that is made if it is not there. They are durable when this returns.
pub fn append(dir: &Dir, name: &OsStr, lines: &[u8]) -> Result<()> {
    append_as(dir, name, lines, true)
}

/// The same where a power cut may take the last lines away: nothing is flushed, and no room is kept.
pub fn append_soon(dir: &Dir, name: &OsStr, lines: &[u8]) -> Result<()> {
    append_as(dir, name, lines, false)
}

fn append_as(dir: &Dir, name: &OsStr, lines: &[u8], is_durable: bool) -> Result<()> {
    if !is_one_name(name) {
        return Err(DiskError::Outside { path: dir.path().join(name) });
    }
    let path = dir.path().join(name);
    let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let failed = |action, cause: std::io::Error| DiskError::io(action, &path, cause);
    let fd = openat(dir, name, flags, Mode::from_raw_mode(0o644)).map_err(|errno| failed("open", errno.into()))?;
    let meta = fstat(&fd).map_err(|errno| failed("look at", errno.into()))?;
    if !FileType::from_raw_mode(meta.st_mode).is_file() {
        return Err(failed("append to", std::io::Error::other("it is no regular file")));
    }
    let mut file = File::from(fd);
    let size = u64::try_from(meta.st_size).unwrap_or_default();
    let mut last = [b'\n'];
    if size > 0 {
        file.read_exact_at(&mut last, size - 1).map_err(|cause| failed("read", cause))?;
    }
    let whole = if last == *b"\n" { lines.to_vec() } else { [b"\n", lines].concat() };
    let written = file.write_all(&whole).and_then(|()| if is_durable { file.sync_all() } else { Ok(()) });
    if let Err(cause) = written {
        // What was not said to be durable must not be there either: a part of it would be damage to whoever reads it.
        if let Err(error) = file.set_len(size) {
            tracing::debug!(name: "line_cut_short", file = %path.display(), %error, "a line that could not be written whole is still there in part");
        }
        return Err(failed("append to", cause));
    }
    if !is_durable {
        return Ok(());
    }
    let end = size.saturating_add(whole.len() as u64);
    if let Err(cause) = fallocate(&file, FallocateFlags::KEEP_SIZE, end, RESERVE) {
        tracing::debug!(name: "no_room_kept", file = %path.display(), %cause, "no room is kept for further lines");
    }
    if size == 0 { sync_dir(dir) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::super::base::Base;
    use super::*;

    #[test]
    fn lines_are_added_and_a_torn_one_spoils_only_itself() {
        let tree = tempfile::tempdir().unwrap();
        let dir = Base::open(tree.path()).unwrap().dir(Path::new("")).unwrap().unwrap();
        let (name, path) = (OsStr::new("a"), tree.path().join("a"));
        append(&dir, name, b"one\n").unwrap();
        append(&dir, name, b"two\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\n");
        fs::write(&path, "one\ntw").unwrap();
        append(&dir, name, b"three\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntw\nthree\n");
        std::os::unix::fs::symlink("a", tree.path().join("link")).unwrap();
        fs::create_dir(tree.path().join("dir")).unwrap();
        for bad in ["link", "dir", "..", "x/y", ""] {
            assert!(append(&dir, OsStr::new(bad), b"x\n").is_err(), "{bad}");
        }
    }
}
