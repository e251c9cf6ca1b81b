//! Manifests of objects that were read back from a bucket: `BASE/.gapless/bucket/CHANNEL/QUALITY/HOUR/DIGEST.sha256`.
//!
//! An hour holds what lies in its directory and what these say that its objects hold, so that it is listed as before when its directory is
//! gone. DIGEST is the SHA-256 of the file itself: one that is damaged is seen by that, and counts as none; the bucket has it as well.
//!
//! That of an object which turned out to be lost is kept as `DIGEST.lost`: nothing of it is listed, it says what there was, and what it hid
//! stays hidden. One that is damaged is kept as `DIGEST.damaged`, for whoever wants to look.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use rustix::fs::renameat;
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use super::archive_id::OWN_DIR;
use super::atomic::{clear_temporaries, replace, sync_dir};
use super::base::Base;
use super::dir::{Dir, SmallFile};
use super::download::make_dir;
use super::error::{DiskError, Result};
use crate::archive::object_trailer::LARGEST_MANIFEST;
use crate::archive::{Hash, HourManifest, HourPlace};

const DIR: &str = "bucket";
const ENDING: &str = ".sha256";
/// Says which bucket the notes are about.
const BUCKET: &str = ".bucket";
/// What that was called before; a channel can be called so, too.
const BUCKET_BEFORE: &str = "bucket";
/// Bytes of that.
const LONGEST_BUCKET: u64 = 64 << 10;
/// Says that files of the hour were deleted here because its objects hold them.
const DROPPED: &str = "dropped";
const LOST: &str = ".lost";
/// What a note is called that is not what it is called after.
const DAMAGED: &str = ".damaged";
/// Manifests of one hour that are read: each is an object that came later.
const MOST_OBJECTS: usize = 1_000;

/// Those of one archive.
#[derive(Debug, Clone, Copy)]
pub struct BucketManifests<'b> {
    base: &'b Base,
}

impl<'b> BucketManifests<'b> {
    /// Of this archive.
    pub fn of(base: &'b Base) -> Self {
        Self { base }
    }

    /// Where those of a channel, a quality or an hour lie, beneath the base.
    pub(super) fn path(rel: &Path) -> PathBuf {
        [Path::new(OWN_DIR), Path::new(DIR), rel].iter().collect()
    }

    /// Where it is noted which bucket the objects lie in, beneath the base.
    pub fn bucket_path() -> PathBuf {
        Self::path(Path::new(BUCKET))
    }

    /// Which bucket the objects lie in, as it was noted.
    pub fn bucket(self) -> Result<Option<String>> {
        let Some(dir) = self.base.dir(&Self::path(Path::new("")))? else { return Ok(None) };
        for name in [BUCKET, BUCKET_BEFORE] {
            if dir.stat_file(OsStr::new(name))?.is_none() {
                continue;
            }
            match dir.read_small(OsStr::new(name), LONGEST_BUCKET)? {
                SmallFile::Content(bytes) => return Ok(Some(String::from_utf8_lossy(&bytes).trim_end().to_owned())),
                SmallFile::Larger => return Ok(Some(String::new())),
                SmallFile::Absent => {}
            }
        }
        Ok(None)
    }

    /// Notes which bucket the objects lie in, flushed.
    pub fn set_bucket(self, bucket: &str) -> Result<()> {
        replace(&self.make(&[])?, OsStr::new(BUCKET), format!("{bucket}\n").as_bytes())
    }

    /// The hours that have one.
    pub fn places(self) -> Result<Vec<HourPlace>> {
        self.places_with(ENDING)
    }

    /// The hours that have an object which turned out to be lost.
    pub fn places_with_lost(self) -> Result<Vec<HourPlace>> {
        self.places_with(LOST)
    }

    /// The hours that have either, in order.
    pub fn places_with_any(self) -> Result<Vec<HourPlace>> {
        let mut places = self.places()?;
        places.extend(self.places_with_lost()?);
        places.sort_unstable();
        places.dedup();
        Ok(places)
    }

    fn places_with(self, ending: &str) -> Result<Vec<HourPlace>> {
        let mut places = Vec::new();
        let Some(top) = self.base.dir(&Self::path(Path::new("")))? else { return Ok(places) };
        for channel in top.subdirectories()? {
            let Some(dir) = top.dir(&channel)? else { continue };
            for quality in dir.subdirectories()? {
                let Some(hours) = dir.dir(&quality)? else { continue };
                let stream = format!("{}/{}", channel.display(), quality.display());
                for hour in hours.subdirectories()? {
                    let place = HourPlace::parse(&format!("{stream}/{}", hour.display())).ok();
                    if let Some(place) = place
                        && !self.digests_with(&place, ending)?.is_empty()
                    {
                        places.push(place);
                    }
                }
            }
        }
        Ok(places)
    }

    /// Which objects the hour has, without reading what is in them.
    pub fn digests(self, place: &HourPlace) -> Result<Vec<Hash>> {
        self.digests_with(place, ENDING)
    }

    /// Which of its objects turned out to be lost.
    pub fn lost_digests(self, place: &HourPlace) -> Result<Vec<Hash>> {
        self.digests_with(place, LOST)
    }

    fn digests_with(self, place: &HourPlace, ending: &str) -> Result<Vec<Hash>> {
        let Some(dir) = self.dir(place)? else { return Ok(Vec::new()) };
        let mut digests: Vec<Hash> =
            dir.entries(MOST_OBJECTS)?.iter().filter_map(|(name, _)| digest_of(name, ending)).collect();
        digests.sort_unstable();
        Ok(digests)
    }

    /// What the objects of the hour hold, in the order of their digests. A manifest that is damaged is left out, and that is logged.
    pub fn read(self, place: &HourPlace) -> Result<Vec<(Hash, HourManifest)>> {
        let mut read = Vec::new();
        for digest in self.digests(place)? {
            read.extend(self.manifest(place, digest)?.map(|manifest| (digest, manifest)));
        }
        Ok(read)
    }

    /// What one object of the hour holds; `None` if it is not noted here, or the note is damaged.
    pub fn manifest(self, place: &HourPlace, digest: Hash) -> Result<Option<HourManifest>> {
        self.manifest_with(place, digest, ENDING)
    }

    /// What one that is lost held; `None` if it is not noted here, or the note is damaged.
    pub fn lost_manifest(self, place: &HourPlace, digest: Hash) -> Result<Option<HourManifest>> {
        self.manifest_with(place, digest, LOST)
    }

    /// What those of an hour held that are lost, as far as that can be read.
    pub fn read_lost(self, place: &HourPlace) -> Result<Vec<HourManifest>> {
        let read = |digest| self.lost_manifest(place, digest).transpose();
        self.lost_digests(place)?.into_iter().filter_map(read).collect()
    }

    fn manifest_with(self, place: &HourPlace, digest: Hash, ending: &str) -> Result<Option<HourManifest>> {
        let Some(dir) = self.dir(place)? else { return Ok(None) };
        let name = name_of(digest, ending);
        let bytes = match dir.read_small(&name, LARGEST_MANIFEST)? {
            SmallFile::Content(bytes) => bytes,
            SmallFile::Absent => return Ok(None),
            SmallFile::Larger => Vec::new(),
        };
        let is_whole = Hash(Sha256::digest(&bytes).into()) == digest;
        let manifest = HourManifest::parse(&bytes).ok().filter(|manifest| is_whole && manifest.place() == place);
        if manifest.is_none() {
            let path = dir.path().join(&name);
            tracing::warn!(name: "bucket_manifest_damaged", path = %path.display(), "what was noted of an object in the bucket is damaged, and is set aside; until it is fetched again, what lies there alone is not listed: a node does that, or `gapless rebuild --from-archive`");
            // Whoever looks which objects are known does not take it for one of them. Where nothing can be written it is met again.
            if let Err(error) = self.rename(place, digest, (ending, DAMAGED)) {
                tracing::debug!(name: "bucket_manifest_stays", %error, "a damaged note of an object could not be set aside");
            }
        }
        Ok(manifest)
    }

    /// Notes what an object of the hour holds, flushed: `bytes` is its manifest, and `digest` the SHA-256 of that. It is not lost then.
    pub fn write(self, place: &HourPlace, digest: Hash, bytes: &[u8]) -> Result<()> {
        let (stream, hour) = (&place.stream, place.hour.to_string());
        let dir = self.make(&[stream.channel.as_str(), stream.quality.as_str(), &hour])?;
        // What a killed process has left; nobody else writes here.
        clear_temporaries(&dir)?;
        replace(&dir, &name_of(digest, ENDING), bytes)?;
        if dir.remove_file(&name_of(digest, LOST))? {
            sync_dir(&dir)?;
        }
        Ok(())
    }

    fn make(self, below: &[&str]) -> Result<Dir> {
        let top = self.base.dir(Path::new(""))?;
        let top = top.ok_or_else(|| DiskError::io("open the directory", self.base.path(), Errno::NOENT))?;
        [OWN_DIR, DIR].iter().chain(below).try_fold(top, |dir, name| make_dir(&dir, OsStr::new(name)))
    }

    /// An object turned out to be lost: what it held does not count any more, and is kept, flushed. False if it was not noted.
    pub fn lose(self, place: &HourPlace, digest: Hash) -> Result<bool> {
        self.rename(place, digest, (ENDING, LOST))
    }

    /// One that was lost is there again, flushed. False if it was not.
    pub fn find(self, place: &HourPlace, digest: Hash) -> Result<bool> {
        self.rename(place, digest, (LOST, ENDING))
    }

    fn rename(self, place: &HourPlace, digest: Hash, (from, to): (&str, &str)) -> Result<bool> {
        let Some(dir) = self.dir(place)? else { return Ok(false) };
        let (from, to) = (name_of(digest, from), name_of(digest, to));
        match renameat(&dir, &from, &dir, &to) {
            Ok(()) => sync_dir(&dir).map(|()| true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(DiskError::io("rename", &dir.path().join(&from), errno)),
        }
    }

    /// Forgets what an object held that was lost, flushed; false if it was not noted.
    pub fn forget_lost(self, place: &HourPlace, digest: Hash) -> Result<bool> {
        self.remove_with(place, digest, LOST)
    }

    /// Notes, flushed, that files of the hour are deleted here because its objects hold them.
    pub fn note_dropped(self, place: &HourPlace) -> Result<()> {
        let Some(dir) = self.dir(place)? else { return Ok(()) };
        if self.is_dropped(place)? { Ok(()) } else { replace(&dir, OsStr::new(DROPPED), b"") }
    }

    /// Whether files of the hour were deleted here because its objects hold them. Some may be here again.
    pub fn is_dropped(self, place: &HourPlace) -> Result<bool> {
        let Some(dir) = self.dir(place)? else { return Ok(false) };
        Ok(dir.stat_file(OsStr::new(DROPPED))?.is_some())
    }

    /// All files of the hour are here again.
    pub fn forget_dropped(self, place: &HourPlace) -> Result<()> {
        let Some(dir) = self.dir(place)? else { return Ok(()) };
        if dir.remove_file(OsStr::new(DROPPED))? { sync_dir(&dir) } else { Ok(()) }
    }

    /// Forgets what an object of the hour holds, flushed; false if it was not noted.
    pub fn remove(self, place: &HourPlace, digest: Hash) -> Result<bool> {
        self.remove_with(place, digest, ENDING)
    }

    fn remove_with(self, place: &HourPlace, digest: Hash, ending: &str) -> Result<bool> {
        let Some(dir) = self.dir(place)? else { return Ok(false) };
        let removed = dir.remove_file(&name_of(digest, ending))?;
        sync_dir(&dir)?;
        self.remove_if_empty(place)?;
        Ok(removed)
    }

    /// The directory of an hour goes if nothing is noted in it any more.
    pub fn remove_if_empty(self, place: &HourPlace) -> Result<()> {
        let Some(dir) = self.dir(place)? else { return Ok(()) };
        if self.digests(place)?.is_empty() && dir.remove_file(OsStr::new(DROPPED))? {
            sync_dir(&dir)?;
        }
        if let Some(above) = place.path().parent().and_then(|above| self.base.dir(&Self::path(above)).transpose()) {
            above?.remove_empty_dir(OsStr::new(&place.hour.to_string()))?;
        }
        Ok(())
    }

    fn dir(self, place: &HourPlace) -> Result<Option<Dir>> {
        self.base.dir(&Self::path(&place.path()))
    }
}

fn name_of(digest: Hash, ending: &str) -> OsString {
    format!("{}{ending}", digest.hexadecimal()).into()
}

fn digest_of(name: &OsStr, ending: &str) -> Option<Hash> {
    Hash::parse_hexadecimal(name.to_str()?.strip_suffix(ending)?)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::archive::manifest::ManifestFile;

    fn manifest(place: &HourPlace, byte: u8) -> HourManifest {
        let sha256 = Hash([byte; 32]);
        let file = ManifestFile { name: format!("00:00-2.0-full-{sha256}.ts").into(), size: 9, sha256 };
        HourManifest::new(place.clone(), vec![file], Vec::new()).unwrap()
    }

    #[test]
    fn what_objects_hold_is_noted_read_and_forgotten() {
        let tree = tempfile::tempdir().unwrap();
        let base = Base::open(tree.path()).unwrap();
        let (notes, place) = (BucketManifests::of(&base), HourPlace::parse("c/source/2024-01-01T00").unwrap());
        assert!(notes.read(&place).unwrap().is_empty() && notes.places().unwrap().is_empty());
        let mut expected = Vec::new();
        for byte in [1, 2] {
            let manifest = manifest(&place, byte);
            let digest = manifest.object_name().manifest;
            notes.write(&place, digest, &manifest.to_bytes()).unwrap();
            expected.push((digest, manifest));
        }
        expected.sort_unstable_by_key(|(digest, _)| *digest);
        assert_eq!(notes.read(&place).unwrap(), expected);
        assert_eq!(notes.places().unwrap(), std::slice::from_ref(&place));
        // One that is damaged, or of another hour, counts as none.
        let path = tree.path().join(".gapless/bucket/c/source/2024-01-01T00");
        fs::write(path.join(name_of(expected[0].0, ENDING)), "x").unwrap();
        let other = HourPlace::parse("c/source/2024-01-01T01").unwrap();
        let foreign = manifest(&other, 1);
        notes.write(&place, foreign.object_name().manifest, &foreign.to_bytes()).unwrap();
        assert_eq!(notes.read(&place).unwrap(), [expected[1].clone()]);
        assert_eq!(notes.digests(&place).unwrap(), [expected[1].0], "those that are damaged are set aside");
        assert!(!notes.is_dropped(&place).unwrap());
        notes.note_dropped(&place).unwrap();
        assert!(notes.is_dropped(&place).unwrap());
        notes.forget_dropped(&place).unwrap();
        assert!(!notes.is_dropped(&place).unwrap());
        notes.note_dropped(&place).unwrap();
        // What is lost is kept and does not count, until it is there again or is written anew.
        let (digest, lost) = expected[1].clone();
        assert!(notes.lose(&place, digest).unwrap() && !notes.lose(&place, digest).unwrap());
        assert!(notes.read(&place).unwrap().is_empty());
        assert_eq!(notes.lost_manifest(&place, digest).unwrap(), Some(lost.clone()));
        assert_eq!(notes.read_lost(&place).unwrap(), std::slice::from_ref(&lost));
        assert_eq!(notes.places_with_lost().unwrap(), std::slice::from_ref(&place));
        assert!(notes.find(&place, digest).unwrap() && !notes.find(&place, digest).unwrap());
        assert_eq!(notes.read(&place).unwrap(), [expected[1].clone()]);
        notes.lose(&place, digest).unwrap();
        notes.write(&place, digest, &lost.to_bytes()).unwrap();
        assert!(notes.lost_digests(&place).unwrap().is_empty() && !notes.forget_lost(&place, digest).unwrap());
        for known in notes.digests(&place).unwrap() {
            assert!(notes.remove(&place, known).unwrap());
            assert!(!notes.remove(&place, known).unwrap());
        }
        assert!(notes.places().unwrap().is_empty());
    }
}
