//! What is noted of an hour beside the archive: its manifest, `BASE/.gapless/sealed/CHANNEL/QUALITY/HOUR.sha256`, and the receipt of a bucket for
//! it, `BASE/.gapless/archived/CHANNEL/QUALITY/HOUR.json`.
//!
//! The time of a note's last change is the change time of the directory that it describes, set when it was written. So whether an hour is still
//! what was noted costs two looks and needs no index: whatever is put into a directory, or taken out of it, changes that time, and nothing sets it back.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, Timespec, Timestamps, accessat, utimensat};
use rustix::io::Errno;

use super::archive_id::OWN_DIR;
use super::atomic::{clear_temporaries, replace, sync_dir};
use super::base::Base;
use super::dir::{Dir, SmallFile};
use super::download::make_dir;
use super::error::{DiskError, Result};
use crate::archive::HourPlace;

const NS: i64 = 1_000_000_000;
/// Notes beneath one directory that are listed: a hundred years of hours.
const MOST_NOTES: usize = 1_000_000;

/// A note as it lies there.
#[derive(Debug)]
pub struct StoredNote {
    /// All of it.
    pub bytes: Vec<u8>,
    /// The change time of the directory that it describes, in nanoseconds since 1970.
    pub describes_ns: i64,
}

/// The notes of one kind in an archive.
#[derive(Debug, Clone, Copy)]
pub struct HourNotes<'b> {
    base: &'b Base,
    dir: &'static str,
    ending: &'static str,
}

/// Manifests of sealed hours.
#[derive(Debug)]
pub struct Manifests;

/// Receipts of a bucket for hours that were read back from it.
#[derive(Debug)]
pub struct Receipts;

impl Manifests {
    /// Those of this archive.
    pub fn of(base: &Base) -> HourNotes<'_> {
        HourNotes { base, dir: "sealed", ending: "sha256" }
    }
}

impl Receipts {
    /// Those of this archive.
    pub fn of(base: &Base) -> HourNotes<'_> {
        HourNotes { base, dir: "archived", ending: "json" }
    }

    /// Takes the receipt of an hour away, flushed: nobody relies on it any more. False if there was none.
    pub fn remove(base: &Base, place: &HourPlace) -> Result<bool> {
        let notes = Self::of(base);
        let Some(dir) = base.dir(&notes.above(place))? else { return Ok(false) };
        let removed = dir.remove_file(&notes.name(place))?;
        sync_dir(&dir)?;
        Ok(removed)
    }
}

impl HourNotes<'_> {
    /// The hours that have one, whether or not anything of them is left.
    pub fn places(self) -> Result<Vec<HourPlace>> {
        let mut places = Vec::new();
        let Some(top) = self.base.dir(&[OWN_DIR, self.dir].iter().collect::<PathBuf>())? else { return Ok(places) };
        for channel in top.subdirectories()? {
            let Some(dir) = top.dir(&channel)? else { continue };
            for quality in dir.subdirectories()? {
                let Some(notes) = dir.dir(&quality)? else { continue };
                let stream = format!("{}/{}", channel.display(), quality.display());
                let place = |name: &OsStr| {
                    let hour = Path::new(name).file_stem().filter(|hour| self.name_of(hour) == name)?;
                    HourPlace::parse(&format!("{stream}/{}", hour.display())).ok()
                };
                places.extend(notes.entries(MOST_NOTES)?.iter().filter_map(|(name, _)| place(name)));
            }
        }
        Ok(places)
    }

    /// The change time of the directory that the note of an hour describes, without reading it; `None` if there is none.
    pub fn describes(self, place: &HourPlace) -> Result<Option<i64>> {
        let Some(dir) = self.base.dir(&self.above(place))? else { return Ok(None) };
        Ok(dir.stat_file(&self.name(place))?.map(|meta| meta.mtime_ns))
    }

    /// When the note of an hour was written, or found to describe another directory, by the clock here: in nanoseconds since 1970.
    pub fn written_at(self, place: &HourPlace) -> Result<Option<i64>> {
        let Some(dir) = self.base.dir(&self.above(place))? else { return Ok(None) };
        dir.ctime_of(&self.name(place))
    }

    /// The note of an hour, if there is one and it has at most so many bytes.
    pub fn read(self, place: &HourPlace, most: u64) -> Result<Option<StoredNote>> {
        let Some(dir) = self.base.dir(&self.above(place))? else { return Ok(None) };
        let Some(meta) = dir.stat_file(&self.name(place))? else { return Ok(None) };
        Ok(match dir.read_small(&self.name(place), most)? {
            SmallFile::Content(bytes) => Some(StoredNote { bytes, describes_ns: meta.mtime_ns }),
            SmallFile::Absent | SmallFile::Larger => None,
        })
    }

    /// Makes the directory that the note of an hour lies in; an error if nothing can be written there.
    pub fn prepare(self, place: &HourPlace) -> Result<()> {
        let dir = self.make(place)?;
        accessat(&dir, ".", Access::WRITE_OK, AtFlags::EACCESS)
            .map_err(|errno| DiskError::io("write into the directory", dir.path(), errno))
    }

    /// Writes the note of an hour whose directory has this change time, flushed. One that is there is replaced.
    pub fn write(self, place: &HourPlace, bytes: &[u8], describes_ns: i64) -> Result<()> {
        let dir = self.make(place)?;
        // What a killed process has left; nobody else writes here.
        clear_temporaries(&dir)?;
        replace(&dir, &self.name(place), bytes)?;
        // A crash in between leaves a note that describes no directory, and the hour is looked at again.
        self.date(place, describes_ns)
    }

    /// The note describes the directory as it is at this change time.
    pub fn date(self, place: &HourPlace, describes_ns: i64) -> Result<()> {
        let Some(dir) = self.base.dir(&self.above(place))? else { return Ok(()) };
        let at = Timespec { tv_sec: describes_ns.div_euclid(NS), tv_nsec: describes_ns.rem_euclid(NS) };
        let times = Timestamps { last_access: at, last_modification: at };
        utimensat(&dir, self.name(place), &times, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| DiskError::io("set the time of", &dir.path().join(self.name(place)), errno))
    }

    fn make(self, place: &HourPlace) -> Result<Dir> {
        let top = self.base.dir(Path::new(""))?;
        let mut dir = top.ok_or_else(|| DiskError::io("open the directory", self.base.path(), Errno::NOENT))?;
        for name in [OWN_DIR, self.dir, place.stream.channel.as_str(), place.stream.quality.as_str()] {
            dir = make_dir(&dir, OsStr::new(name))?;
        }
        Ok(dir)
    }

    fn above(self, place: &HourPlace) -> PathBuf {
        let stream = &place.stream;
        [OWN_DIR, self.dir, stream.channel.as_str(), stream.quality.as_str()].iter().collect()
    }

    fn name(self, place: &HourPlace) -> OsString {
        self.name_of(OsStr::new(&place.hour.to_string()))
    }

    fn name_of(self, hour: &OsStr) -> OsString {
        let mut name = hour.to_owned();
        name.push(".");
        name.push(self.ending);
        name
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::archive::manifest::manifest_path;

    #[test]
    fn a_manifest_lies_where_it_says_and_remembers_which_directory_it_describes() {
        let tree = tempfile::tempdir().unwrap();
        let base = Base::open(tree.path()).unwrap();
        let (manifests, place) = (Manifests::of(&base), HourPlace::parse("c/source/2024-01-01T00").unwrap());
        assert_eq!(manifests.describes(&place).unwrap(), None);
        assert!(manifests.read(&place, 99).unwrap().is_none());
        for describes in [1_700_000_000_123_456_789, -1, 0] {
            manifests.write(&place, b"text", describes).unwrap();
            let stored = manifests.read(&place, 4).unwrap().unwrap();
            assert_eq!((&*stored.bytes, stored.describes_ns), (&b"text"[..], describes));
            assert_eq!(manifests.describes(&place).unwrap(), Some(describes));
        }
        assert_eq!(fs::read(tree.path().join(manifest_path(&place))).unwrap(), b"text");
        // It was written now, whatever it describes.
        assert!(manifests.written_at(&place).unwrap().is_some_and(|written| written > 1_700_000_000 * NS));
        assert!(manifests.read(&place, 3).unwrap().is_none(), "larger than any");
        manifests.date(&place, 5).unwrap();
        assert_eq!(manifests.describes(&place).unwrap(), Some(5));
        // A receipt lies elsewhere, and may go.
        assert!(!Receipts::remove(&base, &place).unwrap());
        Receipts::of(&base).write(&place, b"{}", 7).unwrap();
        assert_eq!(Receipts::of(&base).read(&place, 9).unwrap().unwrap().describes_ns, 7);
        assert!(tree.path().join(".gapless/archived/c/source/2024-01-01T00.json").exists());
        for other in ["c/source/x.json", "c/source/2024-01-01T01.json.new", "c/x"] {
            fs::write(tree.path().join(".gapless/archived").join(other), "x").unwrap();
        }
        assert_eq!(Receipts::of(&base).places().unwrap(), std::slice::from_ref(&place));
        assert_eq!(manifests.places().unwrap(), std::slice::from_ref(&place));
        assert!(Receipts::remove(&base, &place).unwrap());
        assert_eq!(Receipts::of(&base).describes(&place).unwrap(), None);
        assert_eq!(manifests.describes(&place).unwrap(), Some(5));
    }
}
