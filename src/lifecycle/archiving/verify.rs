//! Reads objects back: after they were sent, and again whenever somebody asks.
//!
//! 1. Whatever is known to be there is read, whatever has become of the hour here: what is gone from here may be in the bucket alone.
//! 2. An object that is not what it should be is read once more before anybody says so: a line flips a bit, and a store lags behind.
//! 3. One that is gone because another node has purged it is forgotten, once all that it held, but what is hidden, was read back from others:
//!    the bucket is asked which there are before anybody says that it is lost.
//! 4. One that is lost or damaged does not count any more, so that nobody relies on it. Whatever else is wrong says nothing of it.

use std::collections::HashSet;
use std::ops::ControlFlow;

use tokio_util::sync::CancellationToken;

use super::archiver::{ArchiveError, ArchiveWatch, Archiver, unless_stopped};
use super::order::{ArchiveObserver, Work};
use super::own_bucket::claim;
use crate::archive::{Hash, HourManifest, HourPlace, ObjectName, PackedHour};
use crate::bucket::BucketError;
use crate::disk::{Base, BucketManifests};
use crate::sync::crawl::CrawlError;
use crate::wire::ArchiveSummary;

impl Archiver {
    /// The hours that the index knows in these places, and those that have objects; an error names a place that has neither.
    pub fn noted_places(&self, within: &[String]) -> Result<Result<Vec<HourPlace>, String>, CrawlError> {
        let base = self.keeper.guard().base()?;
        let places = self.disk(BucketManifests::of(&base).places_with_any())?;
        Ok(self.keeper.places_and(within, places))
    }

    /// Reads the objects of these hours back, or those of a share of them that chance chooses.
    pub fn verify_all(
        &self,
        places: &[HourPlace],
        sample: Option<f64>,
        observer: &dyn ArchiveObserver,
    ) -> Result<ArchiveSummary, ArchiveError> {
        let chosen: Vec<HourPlace> =
            places.iter().filter(|_| sample.is_none_or(|share| rand::random::<f64>() < share)).cloned().collect();
        let mut work = Work::begin(self, &chosen, observer)?;
        for place in chosen.iter().rev().filter(|_| !observer.is_stopped()) {
            let done = self.verify(place, &work);
            work.told();
            match done {
                Ok(None) => work.summary.open += 1,
                Ok(Some((object, bytes))) => {
                    work.summary.done += 1;
                    work.hour(place, "right", |hour| {
                        (hour.object, hour.bytes) = (object.map(|object| object.to_string()), Some(bytes));
                    });
                }
                Err(error) => work.failed(place, error)?,
            }
        }
        Ok(work.end())
    }

    /// Reads the objects of an hour back; `None` if it has none. Says which, if it is one, and how many bytes they have.
    pub fn verify(
        &self,
        place: &HourPlace,
        watch: &dyn ArchiveWatch,
    ) -> Result<Option<(Option<ObjectName>, u64)>, ArchiveError> {
        let _turn = self.turn(watch)?;
        let base = self.keeper.guard().base()?;
        claim(&base, &self.bucket.identity())?;
        let noted = self.disk(BucketManifests::of(&base).read(place))?;
        let mut found = VerifiedObjects::default();
        for (_, manifest) in noted {
            self.verify_object(&base, PackedHour::plan(manifest), &mut found, watch)?;
        }
        if !found.gone.is_empty() {
            let known: HashSet<Hash> = self.disk(BucketManifests::of(&base).digests(place))?.into_iter().collect();
            self.learn_hour(place, watch)?;
            for (digest, manifest) in self.disk(BucketManifests::of(&base).read(place))? {
                if !known.contains(&digest) {
                    self.verify_object(&base, PackedHour::plan(manifest), &mut found, watch)?;
                }
            }
        }
        let VerifiedObjects { right: packed, gone, mut lost } = found;
        for (object, error) in gone {
            if !self.forget_replaced(&base, &object, &packed)? {
                self.lose(&base, place, object.object_name().manifest, &error)?;
                lost = lost.or(Some(error));
            }
        }
        let mut right: Vec<Hash> = packed.iter().map(|object| object.object_name().manifest).collect();
        let mut bytes = packed.iter().map(PackedHour::size).sum();
        self.verify_lost(&base, place, &mut right, &mut bytes, &mut lost, watch)?;
        if !right.is_empty()
            && let Some((receipt, describes)) = self.receipt(&base, place)?
        {
            self.note(&base, place, right.clone(), receipt.manifest.map(|manifest| (manifest, describes)))?;
        }
        if let Some(error) = lost {
            return Err(error.into());
        }
        let only = <[Hash; 1]>::try_from(right).map(|[manifest]| ObjectName { place: place.clone(), manifest });
        Ok((bytes > 0).then(|| (only.ok(), bytes)))
    }

    fn verify_object(
        &self,
        base: &Base,
        packed: PackedHour,
        found: &mut VerifiedObjects,
        watch: &dyn ArchiveWatch,
    ) -> Result<(), ArchiveError> {
        match self.wait(watch, async |stop| self.check(&packed, stop, watch).await) {
            Ok(()) => found.right.push(packed),
            Err(ArchiveError::Bucket(error @ BucketError::Gone(_))) => found.gone.push((packed, error)),
            Err(ArchiveError::Bucket(error)) if error.is_loss() => {
                self.lose(base, packed.manifest().place(), packed.object_name().manifest, &error)?;
                found.lost = found.lost.take().or(Some(error));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Forgets an object that is gone, if others that were read back hold all of it, or hide it; false if they do not.
    pub(super) fn forget_replaced(
        &self,
        base: &Base,
        object: &PackedHour,
        right: &[PackedHour],
    ) -> Result<bool, CrawlError> {
        let (name, place) = (object.object_name(), object.manifest().place());
        let right: Vec<&HourManifest> = right.iter().map(PackedHour::manifest).collect();
        if object.manifest().without(&right).is_some() {
            return Ok(false);
        }
        tracing::info!(name: "object_replaced_elsewhere", object = %name, "an object of the bucket is gone, and others hold all of it that is not hidden; it is forgotten");
        self.forget_object(base, &name)?;
        self.keeper.reconcile(std::slice::from_ref(place), false)?;
        Ok(true)
    }

    /// Objects that were lost before: whoever has put one back has it counted again, and what others hold by now is forgotten.
    fn verify_lost(
        &self,
        base: &Base,
        place: &HourPlace,
        right: &mut Vec<Hash>,
        bytes: &mut u64,
        lost: &mut Option<BucketError>,
        watch: &dyn ArchiveWatch,
    ) -> Result<(), ArchiveError> {
        let notes = BucketManifests::of(base);
        for digest in self.disk(notes.lost_digests(place))? {
            let Some(manifest) = self.disk(notes.lost_manifest(place, digest))? else { continue };
            let held = self.disk(notes.read(place))?;
            let rest = manifest.without(&held.iter().map(|(_, held)| held).collect::<Vec<_>>());
            let packed = PackedHour::plan(manifest);
            match self.wait(watch, async |stop| self.check(&packed, stop, watch).await) {
                Ok(()) => {
                    tracing::info!(name: "object_found", object = %packed.object_name(), "an object of the bucket that was lost is there again");
                    self.disk(notes.find(place, digest))?;
                    self.found();
                    self.keeper.reconcile(std::slice::from_ref(place), false)?;
                    *bytes += packed.size();
                    right.push(digest);
                }
                Err(ArchiveError::Bucket(error)) if error.is_loss() && rest.is_none() => {
                    self.disk(notes.forget_lost(place, digest))?;
                    self.found();
                }
                Err(ArchiveError::Bucket(error)) if error.is_loss() => *lost = lost.take().or(Some(error)),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// An object that was lost is none any more.
    fn found(&self) {
        self.figures.found();
        self.lost_objects.changed();
    }

    pub(super) async fn check(
        &self,
        packed: &PackedHour,
        stop: &CancellationToken,
        watch: &dyn ArchiveWatch,
    ) -> Result<(), BucketError> {
        let read = |bytes| {
            watch.moved(bytes);
            self.figures.read(bytes);
            if stop.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        twice(&packed.object_name(), async || unless_stopped(stop, self.bucket.check(packed, read)).await).await
    }
}

/// What became of objects that were read back.
#[derive(Default)]
struct VerifiedObjects {
    right: Vec<PackedHour>,
    /// As the store says.
    gone: Vec<(PackedHour, BucketError)>,
    /// The first that is lost.
    lost: Option<BucketError>,
}

/// Once more, if the first answer says that an object is lost or damaged.
pub(super) async fn twice<T>(
    name: &ObjectName,
    read: impl AsyncFn() -> Result<T, BucketError>,
) -> Result<T, BucketError> {
    match read().await {
        Err(error) if error.is_loss() => {
            tracing::info!(name: "object_read_again", object = %name, %error, "an object is not what it should be, and is read once more before it counts as lost");
            read().await
        }
        done => done,
    }
}
