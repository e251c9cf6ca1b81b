//! What objects of the bucket hold of an hour, and what is noted of that here: their manifests, and the receipt.
//!
//! 1. An object counts only if all of it was read back from the bucket that the settings name: before, as the receipt says, or now.
//! 2. Its manifest is noted before the receipt is. It stays when the receipt goes, and when the hour here changes or is gone.
//! 3. One that turns out to be lost counts no more, and what it held is kept ([`BucketManifests::lose`]).

use std::collections::HashSet;
use std::time::SystemTime;

use super::archiver::{ArchiveError, ArchiveWatch, Archiver, CopyState};
use super::receipt::{LARGEST, Receipt};
use crate::archive::{
    FileName, Hash, HourManifest, HourPlace, ObjectName, PackedHour, Timestamp, name, parse_file_name,
};
use crate::bucket::BucketError;
use crate::disk::{Base, BucketManifests, Receipts};
use crate::sync::crawl::CrawlError;

/// The time of a receipt that describes no directory.
const NO_DIRECTORY: i64 = 0;

impl Archiver {
    /// The objects that bear on this hour and are in the bucket. What was not read back from it before is read now.
    pub(super) fn held(
        &self,
        base: &Base,
        sealed: &HourManifest,
        watch: &dyn ArchiveWatch,
    ) -> Result<Vec<PackedHour>, ArchiveError> {
        let place = sealed.place();
        let read_back = self.receipt(base, place)?.map(|(receipt, _)| receipt.objects).unwrap_or_default();
        let mut held = Vec::new();
        for (digest, manifest) in self.disk(BucketManifests::of(base).read(place))? {
            if !manifest.bears_on(sealed) {
                continue;
            }
            let packed = PackedHour::plan(manifest);
            if read_back.contains(&digest) {
                held.push(packed);
                continue;
            }
            match self.wait(watch, async |stop| self.check(&packed, stop, watch).await) {
                Ok(()) => held.push(packed),
                Err(ArchiveError::Bucket(error)) if error.is_loss() => self.lose(base, place, digest, &error)?,
                Err(error) => return Err(error),
            }
        }
        Ok(held)
    }

    /// Whether nothing of an hour lies here but tombstones that its objects know, what these hide, and what is still being written.
    pub(super) fn is_in_bucket_alone(&self, base: &Base, place: &HourPlace) -> Result<bool, CrawlError> {
        if self.disk(base.stamp_in_bucket(&place.path()))?.is_none() {
            return Ok(false);
        }
        let Some(dir) = self.disk(base.dir(&place.path()))? else { return Ok(false) };
        let objects = self.disk(BucketManifests::of(base).read(place))?;
        let known: HashSet<&str> =
            objects.iter().flat_map(|(_, object)| object.tombstones()).map(AsRef::as_ref).collect();
        let is_known = |name: &str| {
            known.contains(name::tombstone_of(name).as_str()) || parse_file_name(name) == FileName::Temporary
        };
        let scan = self.disk(dir.scan())?;
        Ok(!objects.is_empty() && scan.iter().all(|(name, _)| std::str::from_utf8(name).is_ok_and(is_known)))
    }

    /// The object is not what it should be, as was read twice.
    pub(super) fn lose(
        &self,
        base: &Base,
        place: &HourPlace,
        digest: Hash,
        error: &BucketError,
    ) -> Result<(), CrawlError> {
        tracing::error!(name: "object_lost", hour = %place, %error, "the object of an archived hour is not what it should be; it is uploaded again if the hour is still here");
        let was_archived = matches!(self.state(place)?, CopyState::Archived { .. } | CopyState::InBucket);
        // First what whoever drops files looks at.
        if let Some((receipt, _)) = self.receipt(base, place)? {
            let others: Vec<Hash> = receipt.objects.into_iter().filter(|object| *object != digest).collect();
            if others.is_empty() {
                self.disk(Receipts::remove(base, place))?;
            } else {
                self.note(base, place, others, None)?;
            }
        }
        self.disk(BucketManifests::of(base).lose(place, digest))?;
        self.lost_objects.changed();
        self.figures.lost(if was_archived { Some(self.bytes(place)?) } else { None });
        self.keeper.reconcile(std::slice::from_ref(place), false)?;
        Ok(())
    }

    /// The receipt of the hour names another object, which was read back, in the place of this one; or none, if that is nothing new.
    pub(super) fn replace_in_receipt(
        &self,
        base: &Base,
        old: &ObjectName,
        new: Option<Hash>,
    ) -> Result<(), CrawlError> {
        let Some((mut receipt, describes)) = self.receipt(base, &old.place)? else { return Ok(()) };
        let before = receipt.objects.clone();
        receipt.objects.retain(|object| *object != old.manifest);
        receipt.objects.extend(new.filter(|new| !before.contains(new)));
        if receipt.objects.is_empty() {
            self.disk(Receipts::remove(base, &old.place))?;
        } else if receipt.objects != before {
            self.disk(Receipts::of(base).write(&old.place, &receipt.to_bytes(&old.place), describes))?;
        }
        Ok(())
    }

    /// Nobody counts on an object any more, and what it holds is not listed.
    pub(super) fn forget_object(&self, base: &Base, name: &ObjectName) -> Result<(), CrawlError> {
        self.replace_in_receipt(base, name, None)?;
        self.disk(BucketManifests::of(base).remove(&name.place, name.manifest))?;
        Ok(())
    }

    /// What is noted of an hour in this bucket, and which directory that describes.
    pub(super) fn receipt(&self, base: &Base, place: &HourPlace) -> Result<Option<(Receipt, i64)>, CrawlError> {
        let Some(noted) = self.disk(Receipts::of(base).read(place, LARGEST))? else { return Ok(None) };
        let receipt = Receipt::read(place, &noted.bytes).filter(|receipt| receipt.bucket == self.bucket.identity());
        Ok(receipt.map(|receipt| (receipt, noted.describes_ns)))
    }

    /// Notes that these objects were read back, and that they hold all of what this manifest lists, which describes a directory.
    pub(super) fn note(
        &self,
        base: &Base,
        place: &HourPlace,
        objects: Vec<Hash>,
        all_of: Option<(Hash, i64)>,
    ) -> Result<(), CrawlError> {
        let (bucket, read_back) = (self.bucket.identity(), Timestamp::from(SystemTime::now()));
        let receipt = Receipt { manifest: all_of.map(|(manifest, _)| manifest), objects, bucket, read_back };
        let describes = all_of.map_or(NO_DIRECTORY, |(_, describes)| describes);
        self.disk(Receipts::of(base).write(place, &receipt.to_bytes(place), describes))
    }
}
