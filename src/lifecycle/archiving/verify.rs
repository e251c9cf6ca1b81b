//! Reads objects back: after they were sent, and again whenever somebody asks.
//!
//! 1. What has a receipt is read, whatever has become of the hour here: what is gone from here may be in the bucket alone.
//! 2. An object that is not what it should be is read once more before anybody says so: a line flips a bit, and a store lags behind.
//! 3. The receipt of one that is lost or damaged goes, so that nobody relies on it. Whatever else is wrong says nothing of it.

use std::ops::ControlFlow;

use tokio_util::sync::CancellationToken;

use super::archiver::{ArchiveError, ArchiveWatch, Archiver, unless_stopped};
use super::order::{ArchiveObserver, Work};
use super::receipt::Receipt;
use crate::archive::{HourPlace, ObjectName, PackedHour};
use crate::bucket::BucketError;
use crate::disk::Receipts;
use crate::sync::crawl::CrawlError;
use crate::wire::ArchiveSummary;

impl Archiver {
    /// The hours that the index knows in these places, and those that have a receipt; an error names a place that has neither.
    pub fn noted_places(&self, within: &[String]) -> Result<Result<Vec<HourPlace>, String>, CrawlError> {
        let base = self.keeper.guard().base()?;
        let noted = self.disk(Receipts::of(&base).places())?;
        Ok(self.keeper.places_and(within, noted))
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
                        (hour.object, hour.bytes) = (Some(object.to_string()), Some(bytes));
                    });
                }
                Err(error) => work.failed(place, error)?,
            }
        }
        Ok(work.end())
    }

    /// Reads the object of an hour back that has a receipt of this bucket; `None` if it has none. Says how many bytes the object has.
    pub fn verify(
        &self,
        place: &HourPlace,
        watch: &dyn ArchiveWatch,
    ) -> Result<Option<(ObjectName, u64)>, ArchiveError> {
        let _turn = self.turn(watch)?;
        let base = self.keeper.guard().base()?;
        let Some((receipt, describes)) = self.receipt(&base, place)? else { return Ok(None) };
        let here = self.sealed(&base, place)?.filter(|(packed, _)| packed.object_name() == receipt.object);
        let packed = here.as_ref().map(|(packed, _)| packed);
        match self.wait(watch, async |stop| self.check_noted(&receipt, packed, stop, watch).await) {
            Ok(()) => {}
            Err(ArchiveError::Bucket(error)) if error.is_loss() => {
                tracing::error!(name: "object_lost", hour = %place, %error, "the object of an archived hour is not what it should be; it is uploaded again if the hour is still here");
                self.disk(Receipts::remove(&base, place))?;
                self.figures.lost(self.bytes(place)?);
                return Err(error.into());
            }
            Err(error) => return Err(error),
        }
        let describes = here.map_or(describes, |(_, describes)| describes);
        self.note(&base, receipt.object.clone(), receipt.bytes, describes)?;
        Ok(Some((receipt.object, receipt.bytes)))
    }

    async fn check_noted(
        &self,
        receipt: &Receipt,
        here: Option<&PackedHour>,
        stop: &CancellationToken,
        watch: &dyn ArchiveWatch,
    ) -> Result<(), BucketError> {
        if let Some(packed) = here {
            return self.check(packed, stop, watch).await;
        }
        // What was uploaded is not what is here by now: the object tells itself what is in it.
        let packed = twice(&receipt.object, async || {
            unless_stopped(stop, self.bucket.packed(&receipt.object, receipt.bytes)).await
        });
        self.check(&packed.await?, stop, watch).await
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
