//! Counts hours by where they are on their way into the bucket: a few looks at the disk for each, and none at the store.

use std::time::SystemTime;

use super::archiver::{Archiver, CopyState};
use super::receipt::{LARGEST, Receipt};
use crate::archive::retention::RetentionLimits;
use crate::archive::{HourPlace, Timestamp};
use crate::bucket::BucketIdentity;
use crate::disk::{Base, BucketManifests, DiskError, Manifests, Receipts};
use crate::sync::crawl::CrawlError;
use crate::wire::{ArchiveReport, ArchiveShare};

/// What was found.
pub(super) struct HourCount {
    /// In the order of the places.
    pub(super) waiting: Vec<HourPlace>,
    /// Of an hour that could not be looked at, which does not hold up the others.
    pub(super) unseen: Option<DiskError>,
    pub(super) report: ArchiveReport,
}

/// Sealed hours without a receipt of this bucket that counts, and not too old for it, by the notes on the disk alone: for whoever has no index.
pub fn hours_that_wait(base: &Base, bucket: &BucketIdentity, ages: &RetentionLimits) -> Result<u64, DiskError> {
    let (manifests, mut waiting) = (Manifests::of(base), 0);
    let now = Timestamp::from(SystemTime::now());
    for place in manifests.places()?.into_iter().filter(|place| !ages.too_old_in_bucket(place, now)) {
        let described = manifests.describes(&place)?;
        if described.is_none() || described != base.stamp(&place.path())?.map(|stamp| stamp.ctime_ns) {
            continue;
        }
        let noted = Receipts::of(base).read(&place, LARGEST)?.filter(|noted| Some(noted.describes_ns) == described);
        let receipt = noted.and_then(|noted| Receipt::read(&place, &noted.bytes));
        let receipt = receipt.filter(|receipt| receipt.bucket == *bucket);
        let objects = BucketManifests::of(base).digests(&place)?;
        waiting += u64::from(receipt.is_none_or(|receipt| !receipt.is_of_an_hour(&objects)));
    }
    Ok(waiting)
}

impl Archiver {
    /// What was counted last, and what fails now: without a look at anything.
    pub fn known(&self) -> ArchiveReport {
        let (bucket, known) = (Some(self.bucket.identity().to_string()), self.figures.known());
        ArchiveReport { bucket, failing: known.failing, ..known.counted.unwrap_or_default() }
    }

    /// Looks at each of these hours.
    pub(super) fn count(&self, places: &[HourPlace]) -> Result<HourCount, CrawlError> {
        let report = ArchiveReport { bucket: Some(self.bucket.identity().to_string()), ..ArchiveReport::default() };
        let mut count = HourCount { waiting: Vec::new(), unseen: None, report };
        let base = self.keeper.guard().base()?;
        let notes = BucketManifests::of(&base);
        for place in self.disk(notes.places_with_lost())? {
            count.report.lost += self.disk(notes.lost_digests(&place))?.len() as u64;
        }
        for place in places {
            match self.count_hour(place, &mut count) {
                Err(CrawlError::Disk(error)) if !error.is_shortage() => count.unseen = Some(error),
                done => done?,
            }
        }
        Ok(count)
    }

    fn count_hour(&self, place: &HourPlace, count: &mut HourCount) -> Result<(), CrawlError> {
        let (state, bytes) = (self.state(place)?, self.bytes(place)?);
        let report = &mut count.report;
        let share: &mut ArchiveShare = match state {
            CopyState::Open { has_manifest } => {
                report.unsealed += u64::from(has_manifest);
                &mut report.open
            }
            CopyState::Waiting => {
                let base = self.keeper.guard().base()?;
                let sealed =
                    self.disk(Manifests::of(&base).written_at(place))?.map(|ns| Timestamp::from_us(ns / 1_000));
                report.waiting_since = report.waiting_since.iter().copied().chain(sealed).min();
                count.waiting.push(place.clone());
                &mut report.waiting
            }
            CopyState::TooOld => &mut report.too_old,
            CopyState::InBucket => &mut report.archived,
            CopyState::Archived { read_back } => {
                report.last_read_back = report.last_read_back.max(Some(read_back));
                &mut report.archived
            }
        };
        share.hours += 1;
        share.bytes += bytes;
        Ok(())
    }
}
