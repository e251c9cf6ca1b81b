//! Hours that are too old for the bucket: what leaves it with them, and deleting it there. Whether an hour is to go is decided by retention.
//!
//! 1. The bucket is asked first which objects the hour has, so that those of other nodes go as well. Only what was known when the hour was
//!    looked at is deleted: what came since waits for the next time.
//! 2. Tombstones that only objects know are put into the hour's directory before one of them goes: what is hidden stays hidden, here and for who asks.
//! 3. Objects with files in them go first, those that only hide something last.
//! 4. An object is forgotten here when the store has said that it is gone.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashSet};

use super::archiver::{ArchiveError, ArchiveWatch, Archiver};
use super::own_bucket::{claim, is_noted};
use crate::archive::name::{is_tombstone, may_be_hidden, stem};
use crate::archive::{FileName, Hash, HourManifest, HourPlace, ManifestFile, ObjectName, parse_file_name};
use crate::disk::{Base, BucketManifests, DiskError, DownloadError, Scan, atomic, write_tombstone};
use crate::sync::crawl::CrawlError;

/// What is noted of an hour in the bucket, and what of it lies here.
#[derive(Debug, Default)]
pub struct OldHour {
    objects: Vec<(Hash, HourManifest)>,
    /// Of those that turned out to be lost, or damaged, in which case they may lie there all the same.
    lost: Vec<(Hash, Option<HourManifest>)>,
    /// Names in its directory.
    here: HashSet<String>,
}

impl OldHour {
    fn read(base: &Base, place: &HourPlace) -> Result<Self, DiskError> {
        let notes = BucketManifests::of(base);
        let lost = notes.lost_digests(place)?.into_iter();
        let lost = lost.map(|digest| Ok((digest, notes.lost_manifest(place, digest)?))).collect::<Result<_, _>>()?;
        let scan = base.dir(&place.path())?.map(|dir| dir.scan()).transpose()?;
        let names = scan.iter().flat_map(Scan::iter).filter_map(|(name, _)| std::str::from_utf8(name).ok());
        Ok(Self { objects: notes.read(place)?, lost, here: names.map(str::to_owned).collect() })
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

    fn tombstones(&self) -> BTreeSet<&str> {
        let lost = self.lost.iter().filter_map(|(_, object)| object.as_ref());
        let known = self.objects.iter().map(|(_, object)| object).chain(lost);
        known.flat_map(HourManifest::tombstones).map(AsRef::as_ref).collect()
    }

    fn hidden(&self) -> HashSet<&str> {
        let here = self.here.iter().map(String::as_str).filter(|name| is_tombstone(name));
        self.tombstones().into_iter().chain(here).map(stem).collect()
    }

    /// Files in sight that lie in objects and not here: who lists the hour sees these no more when the objects are gone.
    pub fn only_there(&self) -> Vec<String> {
        let hidden = self.hidden();
        let files = self.objects.iter().flat_map(|(_, object)| object.files());
        let names = files.map(|file: &ManifestFile| &*file.name);
        let gone = names.filter(|name| is_in_sight(name, &hidden) && !self.here.contains(*name));
        gone.map(str::to_owned).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Whether segments or chat lie here, in sight, so that there is still an hour when the objects are gone.
    pub fn is_here(&self) -> bool {
        let hidden = self.hidden();
        let is_understood = |name: &str| matches!(parse_file_name(name), FileName::Understood(_));
        self.here.iter().any(|name| is_understood(name) && is_in_sight(name, &hidden))
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
        let notes = BucketManifests::of(&base);
        let mut places = self.disk(notes.places())?;
        places.extend(self.disk(notes.places_with_lost())?);
        places.sort_unstable();
        places.dedup();
        Ok(places)
    }

    /// What is noted of it. The bucket is not asked.
    pub fn noted_hour(&self, place: &HourPlace) -> Result<OldHour, CrawlError> {
        let base = self.keeper.guard().base()?;
        self.disk(OldHour::read(&base, place))
    }

    /// The same, after the bucket was asked which objects the hour has.
    pub fn old_hour(&self, place: &HourPlace, watch: &dyn ArchiveWatch) -> Result<OldHour, ArchiveError> {
        let _turn = self.turn(watch)?;
        if self.learn_hour(place, watch)?.unread > 0 {
            return Err(ArchiveError::Unread);
        }
        Ok(self.noted_hour(place)?)
    }

    /// Deletes the objects of an hour in the bucket, and says how many. An error means that the rest of them is there.
    pub fn delete_hour(
        &self,
        place: &HourPlace,
        hour: &OldHour,
        watch: &dyn ArchiveWatch,
    ) -> Result<u64, ArchiveError> {
        let _turn = self.turn(watch)?;
        let base = self.keeper.guard().base()?;
        claim(&base, &self.bucket.identity())?;
        self.keep_hidden(&base, place, hour)?;
        let mut deleted = 0;
        let done = self.delete_each(&base, place, hour, &mut deleted, watch);
        // What went is not listed any more, whatever became of the rest.
        self.lost_objects.changed();
        self.keeper.follow(place)?;
        done.map(|()| deleted)
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
        deleted: &mut u64,
        watch: &dyn ArchiveWatch,
    ) -> Result<(), ArchiveError> {
        let named = |manifest: Hash| ObjectName { place: place.clone(), manifest };
        for (digest, _) in &hour.lost {
            self.wait(watch, async |_| self.bucket.delete(&named(*digest)).await)?;
            self.disk(BucketManifests::of(base).forget_lost(place, *digest))?;
            *deleted += 1;
        }
        let mut objects: Vec<&(Hash, HourManifest)> = hour.objects.iter().collect();
        objects.sort_by_key(|(digest, object)| (Reverse(object.bytes()), *digest));
        for (digest, object) in objects {
            if watch.is_stopped() {
                return Err(crate::bucket::BucketError::Stopped.into());
            }
            let name = named(*digest);
            self.wait(watch, async |_| self.bucket.delete(&name).await)?;
            self.forget_object(base, &name)?;
            self.figures.deleted();
            if let Some(absent) = self.keeper.absent_files() {
                absent.forget(object.files());
            }
            tracing::info!(name: "object_expired", object = %name, files = object.files().len(), bytes = object.bytes(), "an object of the bucket was deleted for the age of its hour");
            *deleted += 1;
            watch.moved(0);
        }
        Ok(())
    }
}
