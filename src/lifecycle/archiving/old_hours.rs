//! Hours that are too old for the bucket: what leaves it with them, and deleting it there. Whether an hour is to go is decided by retention.
//!
//! 1. The bucket is asked first which objects the hour has, so that those of other nodes go as well. Only what was known when the hour was
//!    looked at is deleted: what came since waits for the next time.
//! 2. Tombstones that only objects know are put into the hour's directory before one of them goes: what is hidden stays hidden, here and for who asks.
//!    But none that would hide what lies here in sight: whoever may write to the bucket hides nothing of this disk.
//! 3. Objects with files in them go first, those that only hide something last.
//! 4. An object is forgotten here when the store has said that it is gone.
//! 5. Right before, the directory is looked at again: if less of the hour lies here than when it was weighed, it waits for the next time.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashSet};
use std::ffi::OsStr;
use std::ops::ControlFlow;

use sha2::{Digest as _, Sha256};

use super::archiver::{ArchiveError, ArchiveWatch, Archiver, unless_stopped};
use super::own_bucket::{claim, is_noted};
use crate::archive::name::{is_tombstone, may_be_hidden, stem};
use crate::archive::{FileName, Hash, HourManifest, HourPlace, ManifestFile, ObjectName, parse_file_name};
use crate::bucket::BucketError;
use crate::disk::{Base, BucketManifests, DiskError, DownloadError, Scan, WholeFile, atomic, write_tombstone};
use crate::sync::crawl::CrawlError;

/// What is noted of an hour in the bucket, and what of it lies here.
#[derive(Debug, Default)]
pub struct OldHour {
    objects: Vec<(Hash, HourManifest)>,
    /// Of those that turned out to be lost, or damaged, in which case they may lie there all the same.
    lost: Vec<(Hash, Option<HourManifest>)>,
    /// Names in its directory.
    here: HashSet<String>,
    /// Those of the objects that the store says are not there, where it was asked.
    absent: HashSet<Hash>,
}

impl OldHour {
    fn read(base: &Base, place: &HourPlace) -> Result<Self, DiskError> {
        let notes = BucketManifests::of(base);
        let lost = notes.lost_digests(place)?.into_iter();
        let lost = lost.map(|digest| Ok((digest, notes.lost_manifest(place, digest)?))).collect::<Result<_, _>>()?;
        let scan = base.dir(&place.path())?.map(|dir| dir.scan()).transpose()?;
        let names = scan.iter().flat_map(Scan::iter).filter_map(|(name, _)| std::str::from_utf8(name).ok());
        let here = names.map(str::to_owned).collect();
        Ok(Self { objects: notes.read(place)?, lost, here, absent: HashSet::new() })
    }

    /// Whether nothing is noted of it.
    pub fn is_unknown(&self) -> bool {
        self.objects.is_empty() && self.lost.is_empty()
    }

    pub fn objects(&self) -> u64 {
        (self.objects.len() + self.lost.len()) as u64
    }

    /// How many files the objects hold, each counted once, and their bytes.
    pub fn files_and_bytes(&self) -> (u64, u64) {
        let mut seen = HashSet::new();
        let all = self.objects.iter().flat_map(|(_, object)| object.files());
        let each = all.filter(|file| seen.insert(&file.name));
        each.fold((0, 0), |(files, bytes), file| (files + 1, bytes + file.size))
    }

    fn objects_and_lost(&self) -> impl Iterator<Item = &HourManifest> {
        let lost = self.lost.iter().filter_map(|(_, object)| object.as_ref());
        self.objects.iter().map(|(_, object)| object).chain(lost)
    }

    /// Stems of what tombstones hide that lie here.
    fn hidden_here(&self) -> HashSet<&str> {
        self.here.iter().map(String::as_str).filter(|name| is_tombstone(name)).map(stem).collect()
    }

    /// Segments and chat that lie here in sight, whatever tombstones objects know.
    fn in_sight_here(&self) -> impl Iterator<Item = &str> {
        let hidden = self.hidden_here();
        let is_understood = |name: &&str| matches!(parse_file_name(name), FileName::Understood(_));
        let names = self.here.iter().map(String::as_str).filter(is_understood);
        names.filter(move |name| is_in_sight(name, &hidden))
    }

    /// Tombstones that objects know, but those that would hide what lies here in sight.
    fn tombstones(&self) -> BTreeSet<&str> {
        let here: HashSet<&str> = self.in_sight_here().map(stem).collect();
        let known = self.objects_and_lost().flat_map(HourManifest::tombstones).map(AsRef::as_ref);
        known.filter(|tombstone| !here.contains(stem(tombstone))).collect()
    }

    fn in_sight_of<'o>(
        &'o self,
        objects: impl Iterator<Item = &'o HourManifest>,
    ) -> impl Iterator<Item = &'o ManifestFile> {
        let mut hidden = self.hidden_here();
        hidden.extend(self.tombstones().into_iter().map(stem));
        objects.flat_map(HourManifest::files).filter(move |file| is_in_sight(&file.name, &hidden))
    }

    /// Files in sight in what is there, also in what is damaged: most of such an object may be right.
    fn in_sight_there(&self) -> impl Iterator<Item = &ManifestFile> {
        let lost = self.lost.iter().filter_map(|(digest, object)| Some((digest, object.as_ref()?)));
        let all = self.objects.iter().map(|(digest, object)| (digest, object)).chain(lost);
        self.in_sight_of(all.filter(|(digest, _)| !self.absent.contains(*digest)).map(|(_, object)| object))
    }

    /// Files in sight that lie in objects and not here, by their names: who lists the hour sees these no more when the objects are gone.
    fn only_there(&self) -> BTreeSet<&str> {
        let names = self.in_sight_of(self.objects.iter().map(|(_, object)| object)).map(|file| &*file.name);
        names.filter(|name| !self.here.contains(*name)).collect()
    }

    /// Whether segments or chat lie here, in sight, so that there is still an hour when the objects are gone.
    pub fn is_here(&self) -> bool {
        self.in_sight_here().next().is_some()
    }

    /// Whether something in sight goes with the objects, so that it is not to be fetched again.
    pub fn takes_something(&self) -> bool {
        !self.is_here() || !self.only_there().is_empty()
    }

    /// Whether less of it lies here than before.
    fn has_less_here_than(&self, before: &Self) -> bool {
        before.is_here() && !self.is_here() || !self.only_there().is_subset(&before.only_there())
    }

    /// Whether a directory of it is left here.
    pub fn leaves_a_directory(&self) -> bool {
        !self.here.is_empty() || !self.tombstones().is_empty()
    }
}

fn is_in_sight(name: &str, hidden: &HashSet<&str>) -> bool {
    let is_hidden = may_be_hidden(name) && hidden.contains(stem(name));
    !is_hidden && !is_tombstone(name)
}

impl Archiver {
    /// The hours of which objects of this bucket are noted here, lost ones included.
    pub fn hours_in_bucket(&self) -> Result<Vec<HourPlace>, ArchiveError> {
        let base = self.keeper.guard().base()?;
        is_noted(&base, &self.bucket.identity())?;
        Ok(self.disk(BucketManifests::of(&base).places_with_any())?)
    }

    /// What is noted of it. The bucket is not asked.
    pub fn noted_hour(&self, place: &HourPlace) -> Result<OldHour, CrawlError> {
        let base = self.keeper.guard().base()?;
        self.disk(OldHour::read(&base, place))
    }

    /// The same, after the bucket was asked which objects the hour has; and, if it matters, which of those that are noted are there.
    pub fn old_hour(
        &self,
        place: &HourPlace,
        asks_each: bool,
        watch: &dyn ArchiveWatch,
    ) -> Result<OldHour, ArchiveError> {
        let _turn = self.turn(watch)?;
        if self.learn_hour(place, watch)?.unread > 0 {
            return Err(ArchiveError::Unread);
        }
        let mut hour = self.noted_hour(place)?;
        let noted = hour.objects.iter().map(|(digest, _)| *digest).chain(hour.lost.iter().map(|(digest, _)| *digest));
        let asked: Vec<Hash> = noted.filter(|_| asks_each).collect();
        for manifest in asked {
            let name = ObjectName { place: place.clone(), manifest };
            if self.wait(watch, async |stop| unless_stopped(stop, self.bucket.size_of(&name)).await)?.is_none() {
                hour.absent.insert(manifest);
            }
        }
        Ok(hour)
    }

    /// Files in sight that objects hold and this disk does not, as their bytes say: whatever lies here under their names is read and hashed.
    pub fn not_held_here(
        &self,
        place: &HourPlace,
        hour: &OldHour,
        watch: &dyn ArchiveWatch,
    ) -> Result<Vec<String>, ArchiveError> {
        let base = self.keeper.guard().base()?;
        let dir = self.disk(base.dir(&place.path()))?;
        let (mut missing, mut seen, mut room) = (Vec::new(), HashSet::new(), Vec::new());
        for file in hour.in_sight_there().filter(|file| seen.insert((&file.name, file.sha256))) {
            if watch.is_stopped() {
                return Err(BucketError::Stopped.into());
            }
            watch.moved(0);
            let (mut hasher, mut bytes) = (Sha256::new(), 0);
            let look = |piece: &[u8]| {
                hasher.update(piece);
                bytes += piece.len() as u64;
                ControlFlow::Continue(())
            };
            let read = match &dir {
                Some(dir) => self.disk(dir.read_whole(OsStr::new(&*file.name), 0, &mut room, look))?,
                None => WholeFile::Absent,
            };
            let is_it = bytes == file.size && Hash(hasher.finalize().into()) == file.sha256;
            if read != WholeFile::Read || !is_it {
                missing.push(file.name.to_string());
            }
        }
        Ok(missing)
    }

    /// Deletes the objects of an hour in the bucket. An error means that the rest of them is there.
    pub fn delete_hour(&self, place: &HourPlace, hour: &OldHour, watch: &dyn ArchiveWatch) -> Result<(), ArchiveError> {
        let _turn = self.turn(watch)?;
        let base = self.keeper.guard().base()?;
        claim(&base, &self.bucket.identity())?;
        if self.disk(OldHour::read(&base, place))?.has_less_here_than(hour) {
            return Err(ArchiveError::LessHere);
        }
        self.keep_hidden(&base, place, hour)?;
        let done = self.delete_each(&base, place, hour, watch);
        // What went is not listed any more, whatever became of the rest.
        self.lost_objects.changed();
        self.keeper.follow(place)?;
        done
    }

    fn keep_hidden(&self, base: &Base, place: &HourPlace, hour: &OldHour) -> Result<(), CrawlError> {
        let tombstones = hour.tombstones();
        if tombstones.iter().all(|name| hour.here.contains(*name)) {
            return Ok(());
        }
        let dir = self.disk(base.make_hour_dir(place))?;
        for name in tombstones {
            match write_tombstone(&dir, name, b"") {
                Ok(_) => {}
                Err(DownloadError::Disk(error)) if !error.is_occupied() => return self.disk(Err(error)),
                // Such a name hides nothing in an object either.
                Err(error) => {
                    tracing::debug!(name: "tombstone_of_object_left", hour = %place, %error, "a tombstone that only an object knows could not be put into the directory of its hour");
                }
            }
        }
        self.disk(atomic::sync_dir(&dir))?;
        self.keeper.reconcile(std::slice::from_ref(place), true)?;
        Ok(())
    }

    fn delete_each(
        &self,
        base: &Base,
        place: &HourPlace,
        hour: &OldHour,
        watch: &dyn ArchiveWatch,
    ) -> Result<(), ArchiveError> {
        let named = |manifest: Hash| ObjectName { place: place.clone(), manifest };
        for (digest, _) in &hour.lost {
            self.delete_unless_absent(&named(*digest), hour, watch)?;
            self.disk(BucketManifests::of(base).forget_lost(place, *digest))?;
        }
        let mut objects: Vec<&(Hash, HourManifest)> = hour.objects.iter().collect();
        objects.sort_by_key(|(digest, object)| (Reverse(object.bytes()), *digest));
        for (digest, object) in objects {
            if watch.is_stopped() {
                return Err(BucketError::Stopped.into());
            }
            let name = named(*digest);
            self.delete_unless_absent(&name, hour, watch)?;
            self.forget_object(base, &name)?;
            self.figures.deleted();
            if let Some(absent) = self.keeper.absent_files() {
                absent.forget(object.files());
            }
            tracing::info!(name: "object_expired", object = %name, files = object.files().len(), bytes = object.bytes(), "an object of the bucket was deleted for the age of its hour");
            watch.moved(0);
        }
        Ok(())
    }

    /// What was not there when the hour was weighed is only forgotten: nobody has asked who else has what is in it.
    fn delete_unless_absent(
        &self,
        name: &ObjectName,
        hour: &OldHour,
        watch: &dyn ArchiveWatch,
    ) -> Result<(), ArchiveError> {
        if hour.absent.contains(&name.manifest) {
            return Ok(());
        }
        self.wait(watch, async |_| self.bucket.delete(name).await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::name::tombstone_of;

    fn file(byte: u8) -> ManifestFile {
        let sha256 = Hash([byte; 32]);
        ManifestFile { name: format!("{byte:02}:00-2.0-full-{sha256}.ts").into(), size: 9, sha256 }
    }

    /// Objects that hold these files and hide those, beside what lies here.
    fn hour(objects: &[(&[u8], &[u8])], here: &[&str]) -> OldHour {
        let place = HourPlace::parse("c/source/2024-01-01T00").unwrap();
        let object = |(holds, hides): &(&[u8], &[u8])| {
            let files = holds.iter().map(|byte| file(*byte)).collect();
            let hides = hides.iter().map(|byte| tombstone_of(&file(*byte).name).into()).collect();
            let manifest = HourManifest::new(place.clone(), files, hides).unwrap();
            (manifest.object_name().manifest, manifest)
        };
        let here = here.iter().map(|name| (*name).to_owned()).collect();
        OldHour { objects: objects.iter().map(object).collect(), here, ..OldHour::default() }
    }

    #[test]
    fn what_objects_hide_is_hidden_there_and_never_what_lies_here_in_sight() {
        let names = [1, 2, 3].map(|byte| file(byte).name);
        let hour = hour(&[(&[1, 2, 3], &[]), (&[], &[1, 2])], &[&names[0]]);
        assert_eq!(hour.tombstones(), [tombstone_of(&names[1]).as_str()].into());
        assert!(hour.is_here() && hour.leaves_a_directory());
        assert_eq!(hour.only_there(), [&*names[2]].into());
        assert_eq!((hour.objects(), hour.files_and_bytes()), (2, (3, 27)));
    }

    #[test]
    fn what_a_tombstone_hides_here_and_what_nobody_understands_is_no_hour() {
        let name = file(1).name;
        let hidden = hour(&[(&[1], &[])], &[&name, &tombstone_of(&name), "notes.txt"]);
        assert!(!hidden.is_here() && hidden.only_there().is_empty() && hidden.leaves_a_directory());
        assert!(!hour(&[(&[1], &[])], &[]).leaves_a_directory());
    }

    #[test]
    fn an_hour_of_which_less_lies_here_by_now_is_seen() {
        let names = [1, 2].map(|byte| file(byte).name);
        let of = |here: &[&str]| hour(&[(&[1, 2], &[])], here);
        let both = of(&[&names[0], &names[1]]);
        assert!(of(&[&names[0]]).has_less_here_than(&both) && of(&[]).has_less_here_than(&both));
        assert!(!both.has_less_here_than(&both) && !both.has_less_here_than(&of(&[])));
        assert!(!of(&[]).has_less_here_than(&of(&[])));
        // A file that no object holds was all that lay here.
        assert!(of(&[]).has_less_here_than(&of(&[&file(9).name])));
    }
}
