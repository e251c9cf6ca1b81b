//! Deletes in the bucket what tombstones hide: an object that holds such bytes is replaced by one without them, and then deleted.
//!
//! 1. The bucket is asked which objects these hours have, so that none is passed over that another node has uploaded.
//! 2. What an object holds and is not hidden goes into another one, which knows the tombstones as well, so that what is hidden stays hidden
//!    for whoever has nothing but the bucket. All of it is read back and noted before anything is deleted.
//! 3. Right before an object is deleted it is looked at again that what goes is hidden, and that all the rest is in objects that were read
//!    back here and now ([`held_by_no_other`]). What is noted of it is forgotten afterwards. So whatever is interrupted where, nothing is lost,
//!    and the next run comes to the same end.
//! 4. What must stay because no other node has it stays, with everything of the same stem.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::archiver::{ArchiveError, ArchiveWatch, Archiver, unless_stopped};
use super::order::{ArchiveObserver, Work};
use super::own_bucket::{claim, is_noted};
use super::purged_hour::{HourPurge, ObjectsOfHour};
use crate::archive::purged_object::{HiddenInHour, PurgedObject, held_by_no_other};
use crate::archive::{Hash, HourManifest, HourPlace, PackedHour};
use crate::bucket::BucketError;
use crate::disk::{Base, BucketManifests, DiskError, marker};
use crate::lifecycle::tombstones::Stay;
use crate::sync::crawl::CrawlError;
use crate::wire::ArchiveSummary;

/// What is to be purged.
pub struct BucketPurge<'a> {
    /// As they were given: `CHANNEL`, `CHANNEL/QUALITY` or `CHANNEL/QUALITY/HOUR`.
    pub within: &'a [String],
    /// The hours in them that are known here.
    pub places: &'a [HourPlace],
    /// Only say what would go, which asks the bucket nothing.
    pub is_dry: bool,
    /// What must stay; nothing, where not given.
    pub stay: Option<&'a Stay>,
}

impl Archiver {
    /// Deletes what tombstones hide in objects of these hours, or only says how much that is, the oldest first.
    pub fn purge_objects(
        &self,
        order: &BucketPurge<'_>,
        observer: &dyn ArchiveObserver,
    ) -> Result<ArchiveSummary, ArchiveError> {
        let BucketPurge { within, places, is_dry, stay } = *order;
        let base = self.keeper.guard().base()?;
        let mut work = Work::begin(self, places, observer)?;
        let mut unread = BTreeSet::new();
        if is_dry {
            is_noted(&base, &self.bucket.identity())?;
            work.summary.requests = Some(0);
        } else {
            self.may_purge(&base)?;
            claim(&base, &self.bucket.identity())?;
            let known: HashSet<&HourPlace> = places.iter().collect();
            for part in within {
                let below = format!("{}/", part.trim_end_matches('/'));
                unread.extend(self.learn_within((below, |place| known.contains(place)), &work)?.unread_places);
            }
        }
        for place in places.iter().rev().filter(|_| !observer.is_stopped()) {
            let mut purge = HourPurge::default();
            let done = if unread.contains(place) {
                Err(ArchiveError::Unread)
            } else {
                self.purge_hour(&base, place, (is_dry, stay), &mut purge, &work)
            };
            work.told();
            purge.tell(place, is_dry, &mut work);
            if let Err(error) = done {
                work.failed(place, error)?;
            } else if purge.is_nothing() {
                work.summary.before += 1;
            }
        }
        if let Some(requests) = work.summary.requests.as_mut().filter(|requests| **requests > 0) {
            *requests += within.len() as u64;
        }
        Ok(work.end())
    }

    /// Nothing is deleted while something that protects the archive cannot be relied on.
    fn may_purge(&self, base: &Base) -> Result<(), CrawlError> {
        let Some(first) = self.keeper.unusable_records().into_iter().next() else { return Ok(()) };
        let path = base.path().join(marker::OWN_DIR).join(&first.name);
        Err(DiskError::Record { path, why: first.why }.into())
    }

    fn purge_hour(
        &self,
        base: &Base,
        place: &HourPlace,
        (is_dry, stay): (bool, Option<&Stay>),
        purge: &mut HourPurge,
        work: &Work<'_>,
    ) -> Result<(), ArchiveError> {
        let _turn = self.turn(work)?;
        let Some(mut hour) = self.disk(ObjectsOfHour::read(base, place))? else { return Ok(()) };
        let mut hidden = self.disk(hour.hidden_now(base))?;
        let names: Vec<String> = hour.held(&hidden).into_iter().collect();
        let staying = match stay.filter(|_| !names.is_empty()) {
            Some(stay) => stay(place, &names),
            None => BTreeSet::new(),
        };
        if !staying.is_empty() {
            hidden = hidden.but(&staying);
            let goes = hour.held(&hidden);
            purge.kept = names.iter().filter(|name| !goes.contains(*name)).count() as u64;
        }
        let too_much = |error: crate::archive::ManifestError| ArchiveError::Unwritable(error.to_string());
        for object in hour.largest_first() {
            let Some(purged) = PurgedObject::of(object.manifest(), &hidden).map_err(too_much)? else { continue };
            if is_dry {
                self.plan_purge(base, &purged, &hour, &object, purge)?;
                continue;
            }
            match self.replace_object(base, &object, &purged, &mut hour, work) {
                Ok(()) => {}
                // Another node may have purged it.
                Err(ArchiveError::Bucket(BucketError::Gone(gone)))
                    if gone == object.object_name() && self.forget_if_replaced(base, &object, work)? =>
                {
                    continue;
                }
                Err(error) => return Err(error),
            }
            let still = self.disk(hour.hidden_now(base))?.but(&staying);
            let read_back: Vec<&HourManifest> = hour.read_back.iter().map(PackedHour::manifest).collect();
            if let Some(stays) = held_by_no_other(object.manifest(), &read_back, &still) {
                let name = purged.goes.first().map_or("", |file| &*file.name);
                return Err(ArchiveError::StillNeeded { name: name.to_owned(), stays: stays.to_owned() });
            }
            let name = object.object_name();
            self.wait(work, async |_| self.bucket.delete(&name).await)?;
            self.forget_object(base, &name)?;
            self.keeper.reconcile(std::slice::from_ref(place), false)?;
            self.figures.deleted();
            if let Some(absent) = self.keeper.absent_files() {
                absent.forget(&purged.goes);
            }
            let (files, bytes) = (purged.goes.len() as u64, purged.bytes());
            tracing::info!(name: "object_purged", object = %name, files, bytes, "an object of the bucket was deleted, because tombstones hide these files of it; the rest of it was read back from others");
            purge.add(&purged.goes);
        }
        if is_dry { Ok(()) } else { self.tell_of_lost(&hour, &hidden, work) }
    }

    /// An error if an object that is not what it should be lies in the bucket all the same, and held what is hidden: what is in it is not known.
    fn tell_of_lost(&self, hour: &ObjectsOfHour, hidden: &HiddenInHour, work: &Work<'_>) -> Result<(), ArchiveError> {
        let held = hour.lost.iter().filter(|object| object.files().iter().any(|file| hidden.hide(&file.name)));
        for name in held.map(HourManifest::object_name) {
            if self.wait(work, async |stop| unless_stopped(stop, self.bucket.size_of(&name)).await)?.is_some() {
                return Err(ArchiveError::LostHolds(name));
            }
        }
        Ok(())
    }

    /// What is left of an object is in the bucket, was read back and is noted, and the receipt of the hour names it in the object's place.
    fn replace_object(
        &self,
        base: &Base,
        object: &Arc<PackedHour>,
        purged: &PurgedObject,
        hour: &mut ObjectsOfHour,
        work: &Work<'_>,
    ) -> Result<(), ArchiveError> {
        let name = object.object_name();
        if let Some(knows) = hour.tombstones_of(purged) {
            // A note alone proves nothing.
            self.wait(work, async |stop| self.check(&knows, stop, work).await)?;
            hour.read_back.push(PackedHour::clone(&knows));
        }
        let read_back: Vec<&HourManifest> = hour.read_back.iter().map(PackedHour::manifest).collect();
        let mut stands_for = None;
        if !purged.is_known_to(&read_back) {
            let left = Arc::new(PackedHour::plan(purged.left.clone()));
            // The object itself first: whatever else holds the same may go as well.
            let objects: Vec<Arc<PackedHour>> = std::iter::once(object).chain(&hour.objects).cloned().collect();
            self.send_copied(base, &left, &objects, work)?;
            let digest = left.object_name().manifest;
            self.disk(BucketManifests::of(base).write(&name.place, digest, left.manifest_bytes()))?;
            hour.read_back.push(PackedHour::clone(&left));
            stands_for = Some(digest);
        }
        self.replace_in_receipt(base, &name, stands_for.or_else(|| hour.knows(purged)))?;
        self.keeper.reconcile(std::slice::from_ref(&name.place), false)?;
        Ok(())
    }

    /// Forgets an object if it is gone and others that are noted hold all of it when they are read back.
    fn forget_if_replaced(
        &self,
        base: &Base,
        object: &PackedHour,
        watch: &dyn ArchiveWatch,
    ) -> Result<bool, ArchiveError> {
        let name = object.object_name();
        match self.wait(watch, async |stop| self.check(object, stop, watch).await) {
            Err(ArchiveError::Bucket(BucketError::Gone(_))) => {}
            done => return done.map(|()| false),
        }
        let mut right = Vec::new();
        for (digest, manifest) in self.disk(BucketManifests::of(base).read(&name.place))? {
            if digest == name.manifest || !manifest.bears_on(object.manifest()) {
                continue;
            }
            let other = PackedHour::plan(manifest);
            match self.wait(watch, async |stop| self.check(&other, stop, watch).await) {
                Ok(()) => right.push(other),
                Err(ArchiveError::Bucket(error)) if error.is_loss() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.forget_replaced(base, object, &right)?)
    }

    /// What it would take to purge one object, as far as is known here.
    fn plan_purge(
        &self,
        base: &Base,
        purged: &PurgedObject,
        hour: &ObjectsOfHour,
        object: &Arc<PackedHour>,
        purge: &mut HourPurge,
    ) -> Result<(), ArchiveError> {
        purge.add(&purged.goes);
        // It is deleted, and it is asked whether it is.
        purge.requests += 2;
        if let Some(knows) = hour.tombstones_of(purged) {
            purge.over_line += knows.size();
            purge.requests += 1;
            return Ok(());
        }
        let left = Arc::new(PackedHour::plan(purged.left.clone()));
        let copied = self.bytes_to_copy(base, &left, std::slice::from_ref(object))?;
        purge.over_line += copied + 2 * left.size();
        purge.requests += self.bucket.requests_of(left.size()) + self.bucket.parts_of(copied);
        Ok(())
    }
}

impl HourPurge {
    /// Says what became of the hour, and adds it up.
    fn tell(&self, place: &HourPlace, is_dry: bool, work: &mut Work<'_>) {
        if self.files > 0 {
            work.summary.done += 1;
            if is_dry {
                work.summary.bytes += self.over_line;
                work.summary.requests = work.summary.requests.map(|requests| requests + self.requests);
            }
            work.hour(place, if is_dry { "purgeable" } else { "purged" }, |hour| {
                (hour.files, hour.bytes) = (Some(self.files), Some(self.bytes));
            });
        }
        if self.kept > 0 {
            work.summary.open += 1;
            work.hour(place, "kept", |hour| hour.files = Some(self.kept));
        }
    }
}

impl ObjectsOfHour {
    /// One that was read back here and knows the tombstones that are all that is left.
    fn knows(&self, purged: &PurgedObject) -> Option<Hash> {
        let mut known = self.read_back.iter().filter(|object| purged.is_known_to(&[object.manifest()]));
        known.next().map(|object| object.object_name().manifest)
    }
}
