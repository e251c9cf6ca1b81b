//! Where files lie while they arrive: a directory of ours, from which they are renamed into place.
//!
//! Readers of this field take every file of an hour for a batch or a segment, and some fail on one that is neither, hidden or not. So
//! what is not whole yet lies in `.gapless/arriving` beneath the base:
//!
//! 1. Only where `.gapless` is there already, and where it is on the mount of the directory that the file is for: a rename is atomic
//!    within one alone. Otherwise the temporary lies in that directory itself, under a hidden name.
//! 2. Some file systems refuse a rename between two of their directories (quotas of projects). The first refusal is an error, and from
//!    then on nothing is put aside any more.
//! 3. A rename from here replaces as little as one within a directory ([`super::atomic`]), and what is flushed after it is the directory
//!    that the file is for. What a killed process has left is cleared away when the next one starts.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rustix::fs::{AtFlags, StatxFlags, statx};
use rustix::io::Errno;

use super::archive_id::OWN_DIR;
use super::dir::Dir;
use super::error::Result;

/// In the directory of ours.
pub(super) const ARRIVING: &str = "arriving";

/// The directory of ours, when it was opened.
#[derive(Debug)]
pub(super) struct ArrivingDir {
    base: Result<OwnedFd, Errno>,
    path: PathBuf,
    opened: Mutex<Option<Arc<Dir>>>,
    /// A rename from it was refused.
    refused: AtomicBool,
}

impl ArrivingDir {
    /// Beneath that base.
    pub(super) fn of(base: Result<OwnedFd, Errno>, path: &Path) -> Arc<Self> {
        let (opened, refused) = (Mutex::default(), AtomicBool::new(false));
        Arc::new(Self { base, path: path.to_owned(), opened, refused })
    }

    /// The directory, if what lies in it can be renamed into that one.
    pub(super) fn for_files_of(&self, dir: &Dir) -> Option<Arc<Dir>> {
        if self.refused.load(Ordering::Relaxed) {
            return None;
        }
        let aside = self.open()?;
        let is_same = mount(dir).is_some_and(|of_dir| Some(of_dir) == mount(&aside));
        is_same.then_some(aside)
    }

    /// It is not there any more, or takes no files.
    pub(super) fn look_again(&self) {
        *self.opened.lock() = None;
    }

    /// A rename out of it was refused: that will be so the next time, too.
    pub(super) fn refuse(&self) {
        if !self.refused.swap(true, Ordering::Relaxed) {
            let directory = self.path.join(OWN_DIR).join(ARRIVING);
            tracing::warn!(
                name: "arriving_refused", directory = %directory.display(),
                "cannot rename out of this directory; downloads go to hour directories from now on"
            );
        }
    }

    fn open(&self) -> Option<Arc<Dir>> {
        let mut opened = self.opened.lock();
        if opened.is_none() {
            let base = self.base.as_ref().ok()?.try_clone().ok()?;
            let top = Dir::new(base, self.path.clone());
            // What cannot be made is done without.
            let own = top.dir(OsStr::new(OWN_DIR)).ok()??;
            *opened = own.make_dir(OsStr::new(ARRIVING)).ok().map(Arc::new);
        }
        opened.clone()
    }
}

/// File system and mount; a rename wants both to be the same.
fn mount(dir: &Dir) -> Option<(u32, u32, u64)> {
    let found = statx(dir, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).ok()?;
    // Before Linux 5.8 nobody says which mount; a rename that is refused then says it.
    let is_known = StatxFlags::from_bits_retain(found.stx_mask).contains(StatxFlags::MNT_ID);
    Some((found.stx_dev_major, found.stx_dev_minor, if is_known { found.stx_mnt_id } else { 0 }))
}

impl Dir {
    /// Where a file of this directory may lie until it is whole.
    pub(super) fn aside_for_files(&self) -> Option<Arc<Self>> {
        self.aside().and_then(|aside| aside.for_files_of(self))
    }
}

/// What became of a rename out of it.
pub(super) fn note(dir: &Dir, done: Result<(), Errno>) {
    if let (Some(aside), Err(Errno::XDEV)) = (dir.aside(), done) {
        aside.refuse();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::{Base, Download, NewFile, Published, write_tombstone};
    use super::*;
    use crate::archive::{Hash, HourPlace};

    const HOUR: &str = "c/chat/2019-11-13T02";

    fn archive() -> (tempfile::TempDir, Base) {
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir(tree.path().join(OWN_DIR)).unwrap();
        let base = Base::open(tree.path()).unwrap();
        (tree, base)
    }

    fn names(tree: &tempfile::TempDir, place: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(tree.path().join(place)) else { return Vec::new() };
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort_unstable();
        names
    }

    fn content() -> (String, Hash) {
        use sha2::{Digest as _, Sha256};
        let hash = Hash(Sha256::digest(b"batch").into());
        (format!("00:00-{hash}.json"), hash)
    }

    #[test]
    fn nothing_lies_in_an_hour_before_it_is_whole() {
        let (tree, base) = archive();
        let dir = base.make_hour_dir(&HourPlace::parse(HOUR).unwrap()).unwrap();
        let (name, hash) = content();
        let mut download = Download::begin(dir, &name).unwrap();
        download.write(b"batch").unwrap();
        assert_eq!((names(&tree, HOUR).len(), names(&tree, ".gapless/arriving").len()), (0, 1));
        assert_eq!(download.finish(&hash).unwrap(), Published::New);
        assert_eq!((names(&tree, HOUR), names(&tree, ".gapless/arriving").len()), (vec![name.clone()], 0));
        // Of the same name nothing is replaced.
        let mut again = Download::begin(base.dir(Path::new(HOUR)).unwrap().unwrap(), &name).unwrap();
        again.write(b"batch").unwrap();
        assert_eq!(again.finish(&hash).unwrap(), Published::AlreadyThere);
        // A file that is dropped leaves nothing; and neither does a tombstone.
        let extra = NewFile::begin(base.make_dirs(["notes"]).unwrap(), "a.txt").unwrap().unwrap();
        assert_eq!((names(&tree, "notes").len(), names(&tree, ".gapless/arriving").len()), (0, 1));
        drop(extra);
        let hour = base.dir(Path::new(HOUR)).unwrap().unwrap();
        let tombstone = name.replace(".json", ".tombstone");
        assert_eq!(write_tombstone(&hour, &tombstone, b"").unwrap(), Published::New);
        assert_eq!(names(&tree, ".gapless/arriving").len(), 0);
        assert_eq!(names(&tree, HOUR), [name, tombstone]);
    }

    type Spoil<'a> = &'a dyn Fn(&tempfile::TempDir, &Base);

    /// A download of which all is written.
    fn written(base: &Base, name: &str) -> Download {
        let dir = base.make_hour_dir(&HourPlace::parse(HOUR).unwrap()).unwrap();
        let mut download = Download::begin(dir, name).unwrap();
        download.write(b"batch").unwrap();
        download
    }

    #[test]
    fn a_place_that_cannot_be_had_is_done_without() {
        let own = |tree: &tempfile::TempDir| tree.path().join(OWN_DIR);
        let spoilt: [(&str, Spoil<'_>); 4] = [
            ("there is no directory of ours", &|tree, _| fs::remove_dir(own(tree)).unwrap()),
            ("something else has that name", &|tree, _| fs::write(own(tree).join(ARRIVING), "").unwrap()),
            ("it was taken away after it was opened", &|tree, base| {
                drop(written(base, &content().0));
                fs::remove_dir_all(own(tree)).unwrap();
            }),
            ("renames were refused", &|_, base| {
                let hour = base.make_hour_dir(&HourPlace::parse(HOUR).unwrap()).unwrap();
                note(&hour, Err(Errno::XDEV));
            }),
        ];
        let (name, hash) = content();
        for (why, spoil) in spoilt {
            let (tree, base) = archive();
            spoil(&tree, &base);
            let download = written(&base, &name);
            assert_eq!(names(&tree, HOUR).len(), 1, "{why}");
            assert_eq!(download.finish(&hash).unwrap(), Published::New, "{why}");
            assert_eq!(names(&tree, HOUR), std::slice::from_ref(&name), "{why}");
        }
    }

    #[test]
    fn what_an_earlier_process_left_is_cleared_away_and_what_is_in_use_is_not() {
        let (tree, base) = archive();
        assert_eq!(base.clear_arriving().unwrap(), 0);
        let (name, _) = content();
        let dir = base.make_hour_dir(&HourPlace::parse(HOUR).unwrap()).unwrap();
        let download = Download::begin(dir, &name).unwrap();
        let in_use = names(&tree, ".gapless/arriving");
        fs::write(tree.path().join(".gapless/arriving/.a.ts.0123456789abcdef.tmp"), "half").unwrap();
        fs::write(tree.path().join(".gapless/arriving/kept"), "somebody's").unwrap();
        assert_eq!(base.clear_arriving().unwrap(), 1);
        assert_eq!(names(&tree, ".gapless/arriving"), [in_use[0].as_str(), "kept"]);
        drop(download);
    }

    #[test]
    fn an_hour_on_another_file_system_keeps_its_temporaries() {
        // Only those who may mount one can ask it.
        let (tree, base) = archive();
        let channel = tree.path().join("c");
        fs::create_dir(&channel).unwrap();
        let mounted = std::process::Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(&channel).output();
        if !mounted.is_ok_and(|done| done.status.success()) {
            eprintln!("skipped: this user may not mount");
            return;
        }
        let (name, hash) = content();
        let dir = base.make_hour_dir(&HourPlace::parse(HOUR).unwrap()).unwrap();
        let mut download = Download::begin(dir, &name).unwrap();
        download.write(b"batch").unwrap();
        let before = (names(&tree, HOUR).len(), names(&tree, ".gapless/arriving").len());
        let done = download.finish(&hash);
        let after = names(&tree, HOUR);
        assert!(std::process::Command::new("umount").arg("-l").arg(&channel).status().unwrap().success());
        assert_eq!(before, (1, 0));
        assert_eq!((done.unwrap(), after), (Published::New, vec![name]));
    }
}
