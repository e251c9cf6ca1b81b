//! Small files that are either there completely or not at all, also after a power cut.
//!
//! 1. A hidden temporary (`.NAME.RANDOM.tmp`) is created in the same directory, written and flushed. What arrives piece by piece
//!    lies aside (`disk/arriving.rs`) meanwhile, where that can be.
//! 2. It is renamed: [`write_new`] never replaces a file, [`replace`] always does.
//! 3. The directory is flushed. When that fails the file is visible and complete, but may be lost in a power cut:
//!    the call fails, and doing it again is right.
//!
//! A failure before 2 removes the temporary. This is for markers, status and address files, which are held in memory;
//! nothing here streams.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, RenameFlags, fstat, fsync, linkat, openat, renameat, renameat_with, syncfs, unlinkat,
};
use rustix::io::Errno;

use super::archive_id::OWN_DIR;
use super::arriving::{self, ARRIVING};
use super::base::Base;
use super::dir::Dir;
use super::error::{DiskError, Result};
use super::resolve::is_one_name;
use crate::archive::probe::is_probe_name;

/// Files that others may read, as far as the process's mask lets them.
const FOR_ALL: Mode = Mode::from_raw_mode(0o644);
/// Files that only their owner may read.
const FOR_US: Mode = Mode::from_raw_mode(0o600);

/// What a file name may be long at most, in bytes.
const NAME_BYTES: usize = 255;

/// Hexadecimal digits of the random part of a temporary's name: 32 bits for the process, so that what another has left is known, and
/// 32 for each of its files of one name.
const RANDOM_DIGITS: usize = 16;

/// Writes a file that must not exist yet; [`DiskError::Exists`] if it does.
pub fn write_new(dir: &Dir, name: &OsStr, bytes: &[u8]) -> Result<()> {
    let temporary = Temporary::write(dir, name, bytes, FOR_ALL)?;
    temporary.publish(|from| rename_new(dir, from, name))
}

/// Writes a file, in the place of the one of that name if there is one.
pub fn replace(dir: &Dir, name: &OsStr, bytes: &[u8]) -> Result<()> {
    Temporary::write(dir, name, bytes, FOR_ALL)?.publish(|from| renameat(dir, from, dir, name))
}

/// The same for what nobody else may read.
pub fn replace_secret(dir: &Dir, name: &OsStr, bytes: &[u8]) -> Result<()> {
    Temporary::write(dir, name, bytes, FOR_US)?.publish(|from| renameat(dir, from, dir, name))
}

/// Flushes a directory, so that the names in it survive a power cut.
pub fn sync_dir(dir: &Dir) -> Result<()> {
    match openat(dir, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).and_then(fsync) {
        // Some file systems do not know what flushing a directory means; their names need none.
        Ok(()) | Err(Errno::INVAL) => Ok(()),
        Err(errno) => Err(DiskError::io("flush the directory", dir.path(), errno)),
    }
}

impl Dir {
    /// Flushes the whole file system that it lies on: contents of files that other programs have written there as well.
    pub fn flush_file_system(&self) -> Result<()> {
        syncfs(self).map_err(|errno| DiskError::io("flush the file system of", self.path(), errno))
    }

    /// Which file system it lies on.
    pub fn file_system(&self) -> Result<u64> {
        Ok(fstat(self).map_err(|errno| DiskError::io("look at", self.path(), errno))?.st_dev)
    }
}

/// A temporary: where it lies, and what it is called there.
#[derive(Debug)]
pub(super) struct HiddenTemporary {
    /// None if that is the directory that the file is for.
    aside: Option<Arc<Dir>>,
    name: OsString,
}

impl HiddenTemporary {
    fn dir<'d>(&'d self, home: &'d Dir) -> &'d Dir {
        self.aside.as_deref().unwrap_or(home)
    }
}

/// Renames a temporary into its directory; [`Errno::EXIST`] if the name is taken, by whatever it may be.
pub(super) fn publish_new(dir: &Dir, hidden: &HiddenTemporary, name: &OsStr) -> Result<(), Errno> {
    publish_new_from(dir, hidden, dir, name)
}

/// The same into another directory of the file system than the one for which the temporary was made.
pub(super) fn publish_new_from(home: &Dir, hidden: &HiddenTemporary, dir: &Dir, name: &OsStr) -> Result<(), Errno> {
    let done = move_new((hidden.dir(home), &hidden.name), (dir, name));
    if hidden.aside.is_some() {
        arriving::note(dir, done);
    }
    done
}

/// Renames a file within a directory; [`Errno::EXIST`] if the name is taken, by whatever it may be.
fn rename_new(dir: &Dir, from: &OsStr, name: &OsStr) -> Result<(), Errno> {
    move_new((dir, from), (dir, name))
}

/// The same from one directory to another of the same file system.
pub(super) fn move_new(from: (&Dir, &OsStr), to: (&Dir, &OsStr)) -> Result<(), Errno> {
    match renameat_with(from.0, from.1, to.0, to.1, RenameFlags::NOREPLACE) {
        // File systems without that flag (NFS among them) have links, which do not replace either.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            linkat(from.0, from.1, to.0, to.1, AtFlags::empty())?;
            unlinkat(from.0, from.1, AtFlags::empty())
        }
        done => done,
    }
}

/// Creates the empty hidden temporary for a file of that name, which must be the name of one entry.
pub(super) fn create_temporary(dir: &Dir, name: &OsStr) -> Result<(File, HiddenTemporary)> {
    if let Some(aside) = dir.aside_for_files() {
        match create(&aside, name, FOR_ALL) {
            Ok((file, name)) => return Ok((file, HiddenTemporary { aside: Some(aside), name })),
            // The directory that the file is for says what is wrong, if it has the same to say.
            Err(error) => {
                tracing::debug!(name: "arriving_unusable", %error, "what arrives lies in its hour directory");
                if let Some(place) = dir.aside() {
                    place.look_again();
                }
            }
        }
    }
    let (file, name) = create(dir, name, FOR_ALL)?;
    Ok((file, HiddenTemporary { aside: None, name }))
}

/// Gives the file at that path, which is followed where it is a link, a hidden name from which it can be published in the directory.
pub(super) fn link_temporary(dir: &Dir, name: &OsStr, from: &Path) -> Result<HiddenTemporary, Errno> {
    let (aside, name) = (dir.aside_for_files(), temporary_name(name));
    linkat(CWD, from, aside.as_deref().unwrap_or(dir), &name, AtFlags::SYMLINK_FOLLOW)?;
    Ok(HiddenTemporary { aside, name })
}

fn create(dir: &Dir, name: &OsStr, mode: Mode) -> Result<(File, OsString)> {
    if !is_one_name(name) {
        return Err(DiskError::Outside { path: dir.path().join(name) });
    }
    let hidden = temporary_name(name);
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(dir, &hidden, flags, mode) {
        Ok(fd) => Ok((File::from(fd), hidden)),
        Err(errno) => Err(DiskError::io("create", &dir.path().join(&hidden), errno)),
    }
}

/// Removes a temporary that is not wanted any more. That it is not there is fine: it was published.
pub(super) fn remove_temporary(dir: &Dir, hidden: &HiddenTemporary) {
    remove(hidden.dir(dir), &hidden.name);
}

fn remove(dir: &Dir, hidden: &OsStr) {
    match unlinkat(dir, hidden, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(cause) => tracing::warn!(
            name: "temporary_left", name = ?hidden, dir = %dir.path().display(), %cause,
            "a temporary stays behind; it is cleared away later"
        ),
    }
}

/// Whether a file of that name is one of our temporaries: `.NAME.RANDOM.tmp`, where `RANDOM` is 16 hexadecimal digits.
///
/// ```
/// use gapless::disk::is_our_temporary;
///
/// assert!(is_our_temporary(b".00:00-2.0-full-x.ts.0123456789abcdef.tmp"));
/// assert!(!is_our_temporary(b".00:00-2.0-full-x.ts.tmp"));
/// ```
pub fn is_our_temporary(name: &[u8]) -> bool {
    let Some(rest) = name.strip_prefix(b".").and_then(|rest| rest.strip_suffix(b".tmp")) else { return false };
    let Some((front, random)) = rest.split_last_chunk::<RANDOM_DIGITS>() else { return false };
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    front.len() > 1 && front.ends_with(b".") && random.iter().all(is_digit)
}

/// Removes the temporaries and probes that an earlier process of ours has left in this directory, and says how many.
///
/// Whoever calls this holds the lock of the base directory: an earlier process has ended, however it did. Those of this one are in
/// use. No clock is asked.
pub fn clear_temporaries(dir: &Dir) -> Result<usize> {
    let mut left = Vec::new();
    // A probe is there for seconds, and whoever asks about it notices that it has gone.
    let is_left_probe = |name: &[u8]| std::str::from_utf8(name).is_ok_and(is_probe_name);
    let is_left = |name: &[u8]| is_our_temporary(name) && !is_of_this_process(name) || is_left_probe(name);
    dir.each_entry_of(is_left, |entry| {
        // Nothing else is ever made under such a name, but a link or a directory is certainly not ours.
        if dir.kind_of(&entry)?.is_file() {
            left.push(entry.name.to_owned());
        }
        Ok(())
    })?;
    for name in &left {
        match unlinkat(dir, name.as_c_str(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(cause) => {
                return Err(DiskError::io("remove", &dir.path().join(OsStr::from_bytes(name.to_bytes())), cause));
            }
        }
    }
    Ok(left.len())
}

impl Base {
    /// Removes what an earlier process has left where files arrive, and says how many that were. For whoever holds the lock of the base.
    pub fn clear_arriving(&self) -> Result<usize> {
        match self.dir(&Path::new(OWN_DIR).join(ARRIVING))? {
            Some(dir) => clear_temporaries(&dir),
            None => Ok(0),
        }
    }
}

/// Half of the random digits of all temporaries of this process.
static PROCESS: LazyLock<u32> = LazyLock::new(rand::random);

fn is_of_this_process(name: &[u8]) -> bool {
    let random = name.strip_suffix(b".tmp").and_then(|rest| rest.split_last_chunk::<RANDOM_DIGITS>());
    random.is_some_and(|(_, random)| random.starts_with(format!("{:08x}", *PROCESS).as_bytes()))
}

/// A flushed temporary that is removed unless it is published.
struct Temporary<'a> {
    dir: &'a Dir,
    name: &'a OsStr,
    hidden: OsString,
}

impl<'a> Temporary<'a> {
    fn write(dir: &'a Dir, name: &'a OsStr, bytes: &[u8], mode: Mode) -> Result<Self> {
        let (mut file, hidden) = create(dir, name, mode)?;
        let temporary = Self { dir, name, hidden };
        file.write_all(bytes)
            .and_then(|()| file.sync_all())
            .map_err(|cause| DiskError::io("write", &dir.path().join(name), cause))?;
        Ok(temporary)
    }

    fn publish(self, rename: impl FnOnce(&OsStr) -> Result<(), Errno>) -> Result<()> {
        match rename(&self.hidden) {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                return Err(DiskError::Exists { path: self.dir.path().join(self.name) });
            }
            Err(errno) => {
                return Err(DiskError::io("rename into place", &self.dir.path().join(self.name), errno));
            }
        }
        sync_dir(self.dir)
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        remove(self.dir, &self.hidden);
    }
}

/// `.NAME.RANDOM.tmp`, with the name cut short where it would grow too long.
fn temporary_name(name: &OsStr) -> OsString {
    let tail = format!(".{:08x}{:08x}.tmp", *PROCESS, rand::random::<u32>());
    let kept = name.len().min(NAME_BYTES - 1 - tail.len());
    let mut hidden = OsString::from(".");
    hidden.push(OsStr::from_bytes(&name.as_bytes()[..kept]));
    hidden.push(tail);
    hidden
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn tree() -> (tempfile::TempDir, Dir) {
        let tree = tempfile::tempdir().unwrap();
        let dir = Base::open(tree.path()).unwrap().dir(Path::new("")).unwrap().unwrap();
        (tree, dir)
    }

    fn names(tree: &tempfile::TempDir) -> Vec<OsString> {
        fs::read_dir(tree.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    }

    #[test]
    fn a_new_file_is_written_and_never_replaced() {
        let (tree, dir) = tree();
        write_new(&dir, OsStr::new("a"), b"one").unwrap();
        assert!(matches!(write_new(&dir, OsStr::new("a"), b"two"), Err(DiskError::Exists { .. })));
        assert_eq!(fs::read(tree.path().join("a")).unwrap(), b"one");
        assert_eq!(names(&tree), ["a"]);
    }

    #[test]
    fn a_secret_is_for_its_owner_alone_whatever_lay_there_before() {
        use std::os::unix::fs::PermissionsExt as _;
        let (tree, dir) = tree();
        replace(&dir, OsStr::new("a"), b"for all").unwrap();
        replace_secret(&dir, OsStr::new("a"), b"for us").unwrap();
        let path = tree.path().join("a");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read(path).unwrap(), b"for us");
    }

    #[test]
    fn a_file_is_replaced() {
        let (tree, dir) = tree();
        for text in ["one", "two"] {
            replace(&dir, OsStr::new("a"), text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(tree.path().join("a")).unwrap(), text);
        }
        assert_eq!(names(&tree), ["a"]);
    }

    #[test]
    fn a_failure_leaves_nothing_behind() {
        let (tree, dir) = tree();
        fs::create_dir(tree.path().join("taken")).unwrap();
        assert!(replace(&dir, OsStr::new("taken"), b"x").is_err());
        for bad in ["", "..", "a/b"] {
            assert!(matches!(write_new(&dir, OsStr::new(bad), b"x"), Err(DiskError::Outside { .. })), "{bad}");
        }
        assert_eq!(names(&tree), ["taken"]);
    }

    #[test]
    fn a_full_disk_leaves_nothing_behind() {
        // A file system of one page; only those who may mount one can ask it.
        let tree = tempfile::tempdir().unwrap();
        let size = c"size=4096,nr_inodes=8";
        let full = tree.path().join("full");
        fs::create_dir(&full).unwrap();
        let options = ["-t", "tmpfs", "-o", size.to_str().unwrap(), "tmpfs"];
        let mounted = std::process::Command::new("mount").args(options).arg(&full).output();
        if !mounted.is_ok_and(|done| done.status.success()) {
            eprintln!("skipped: this user may not mount");
            return;
        }
        let dir = Base::open(&full).unwrap().dir(Path::new("")).unwrap().unwrap();
        let outcome = write_new(&dir, OsStr::new("a"), &vec![b'x'; 20_000]);
        let left = fs::read_dir(&full).unwrap().count();
        drop(dir);
        assert!(std::process::Command::new("umount").arg(&full).status().unwrap().success());
        let error = outcome.unwrap_err();
        assert!(error.is_full() && !error.is_away(), "{error}");
        assert_eq!(left, 0);
    }

    #[test]
    fn temporaries_of_others_are_not_ours() {
        for other in [
            "",
            ".tmp",
            ".a.ts.tmp",
            "a.ts.0123456789abcdef.tmp",
            ".a.ts.0123456789abcdef",
            ".a.ts.0123456789ABCDEF.tmp",
            ".a.ts.0123456789abcde.tmp",
            ".a.ts-0123456789abcdef.tmp",
            "..0123456789abcdef.tmp",
            ".0123456789abcdef.tmp",
            ".a.ts.x8Zk1Q",
            "00:00-2.0-temp-0123456789abcdef.ts",
        ] {
            assert!(!is_our_temporary(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn a_long_name_still_has_a_temporary() {
        let (tree, dir) = tree();
        let long = "n".repeat(NAME_BYTES);
        write_new(&dir, OsStr::new(&long), b"x").unwrap();
        assert_eq!(names(&tree), [OsStr::new(&long)]);
        let hidden = temporary_name(OsStr::new("a.ts"));
        let text = hidden.to_str().unwrap();
        assert!(is_our_temporary(hidden.as_bytes()) && is_our_temporary(temporary_name(OsStr::new(&long)).as_bytes()));
        assert!(text.starts_with(".a.ts.") && hidden.as_bytes().ends_with(b".tmp") && text.len() == 26, "{text}");
    }

    #[test]
    fn what_an_earlier_process_left_is_removed_and_nothing_else_is() {
        let tree = tempfile::tempdir().unwrap();
        let base = Base::open(tree.path()).unwrap();
        let dir = base.dir(Path::new("")).unwrap().unwrap();
        let (_file, in_use) = create_temporary(&dir, OsStr::new("a.ts")).unwrap();
        let earlier = format!(".a.ts.{:08x}89abcdef.tmp", PROCESS.wrapping_add(1));
        let others = ["a.ts", ".a.ts", ".a.ts.tmp", ".a.ts.0123456789ABCDEF.tmp", ".a.ts.0123456789abcdef.recorder"];
        for name in others.into_iter().chain([earlier.as_str()]) {
            fs::write(tree.path().join(name), "x").unwrap();
        }
        fs::create_dir(tree.path().join(format!(".b.ts.{:08x}89abcdef.tmp", PROCESS.wrapping_add(1)))).unwrap();
        assert_eq!(clear_temporaries(&dir).unwrap(), 1);
        assert!(!tree.path().join(earlier).exists());
        assert!(tree.path().join(in_use.name).exists(), "it is being written");
        assert!(others.iter().all(|name| tree.path().join(name).exists()));
        assert_eq!(clear_temporaries(&dir).unwrap(), 0);
    }
}
