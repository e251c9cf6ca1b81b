//! Sends an hour to a bucket: at once if it is small, and else in parts, from wherever they come ([`PartSource`]). Three parts are in memory: each
//! is read, then sent, so that the store has two to take in while the next one is read and hashed. Whoever keeps to a rate sends one at a time.
//!
//! The store compares each part with the SHA-256 that its request is signed over, which every store does. None is sent as a checksum of its own
//! beside it: that is the same hash once more, and not every store takes the header.
//!
//! An upload that does not come to its end is ended, so that no parts stay behind that nobody sees and that cost as much as objects. One
//! that a killed process has left is ended by [`Bucket::end_abandoned`].

use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use futures_util::stream::try_unfold;
use object_store::multipart::{MultipartStore as _, PartId};
use object_store::path::Path as Key;
use object_store::{MultipartId, ObjectStoreExt as _, PutPayload};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::client::Bucket;
use super::error::BucketError;
use super::part_source::PartSource;
use super::upload_error::UploadError;
use crate::archive::ObjectName;

/// Parts of an upload, at most.
const MOST_PARTS: u64 = 10_000;
/// Parts in memory: such that are sent, and one that is read.
const MOST_IN_MEMORY: usize = 3;
/// How long the store is given to say which upload it has begun for somebody who has had enough meanwhile: nobody could end it without that.
const BEGUN_WITHIN: Duration = Duration::from_millis(1_500);
/// How long it is given to end one.
const ENDED_WITHIN: Duration = Duration::from_secs(2);
/// How long an upload takes at most to come to its end in order once it is stopped.
pub const STOPS_WITHIN: Duration = Duration::from_secs(4);

impl Bucket {
    /// Sends an hour; an object of the same name is the same one, and is written over. `sent` receives bytes as they have arrived.
    pub async fn upload(
        &self,
        mut hour: impl PartSource,
        stop: &CancellationToken,
        mut sent: impl FnMut(u64),
    ) -> Result<(), UploadError> {
        let (name, size) = (hour.packed().object_name(), hour.packed().size());
        let key = self.key(&name)?;
        let part_bytes = self.settings.part_bytes.max(size.div_ceil(MOST_PARTS));
        let first = unless_stopped(stop, hour.next_part(part_bytes)).await??.unwrap_or_default();
        if size <= part_bytes {
            let sending = self.store.put(&key, PutPayload::from(first));
            let done = unless_stopped(stop, sending).await?;
            done.map_err(|error| self.error(&error, Some(&name)))?;
            sent(size);
            unless_stopped(stop, self.pace().spend(size)).await?;
            return Ok(());
        }
        let beginning = self.store.create_multipart(&key);
        let Some(begun) = unless_late(stop, BEGUN_WITHIN, beginning).await else {
            tracing::warn!(name: "upload_left", object = %name, error = "the store did not say which one it began", "an upload that failed could not be ended; it is when it is a day old");
            return Err(BucketError::Stopped.into());
        };
        let id = begun.map_err(|error| self.error(&error, Some(&name)))?;
        let done = self.send_parts(&name, (&key, &id), (first, &mut hour), part_bytes, stop, &mut sent).await;
        if done.is_err() {
            // What came of the rest is not known, and whoever asked is told of the first error.
            let ended = unless_late(stop, ENDED_WITHIN, self.end_upload(&name, &id)).await;
            if let Err(error) = ended.unwrap_or(Err(BucketError::Stopped)) {
                tracing::warn!(name: "upload_left", object = %name, %error, "an upload that failed could not be ended; it is when it is a day old");
            }
        }
        done
    }

    /// Ends an upload that was not completed; false if there is none any more.
    pub(super) async fn end_upload(&self, name: &ObjectName, id: &MultipartId) -> Result<bool, BucketError> {
        let done = self.store.abort_multipart(&self.key(name)?, id).await;
        match done.map_err(|error| self.error(&error, Some(name))) {
            Ok(()) => Ok(true),
            // It was completed, or somebody else has ended it.
            Err(BucketError::Gone(_) | BucketError::Refused { status: 404, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn send_parts(
        &self,
        name: &ObjectName,
        (key, id): (&Key, &MultipartId),
        (first, hour): (Bytes, &mut impl PartSource),
        part_bytes: u64,
        stop: &CancellationToken,
        sent: &mut impl FnMut(u64),
    ) -> Result<(), UploadError> {
        let failed = |error: object_store::Error| UploadError::from(self.error(&error, Some(name)));
        let most = if self.settings.bytes_per_second.is_some() { 1 } else { MOST_IN_MEMORY };
        let read = try_unfold((Some(first), hour, 0), |(first, hour, number)| async move {
            let part = if first.is_some() { first } else { hour.next_part(part_bytes).await? };
            Ok(part.map(|part| ((number, part), (None, hour, number + 1))))
        });
        let sending = read.map_ok(|(number, part)| async move {
            let length = part.len() as u64;
            let done = self.store.put_part(key, id, number, PutPayload::from(part)).await;
            Ok::<_, UploadError>((done.map_err(failed)?, length))
        });
        // While so many are on their way none is read.
        let mut sending = std::pin::pin!(sending.try_buffered(most));
        let (mut parts, mut pace) = (Vec::<PartId>::new(), self.pace());
        while let Some((part, length)) = unless_stopped(stop, sending.try_next()).await?? {
            parts.push(part);
            sent(length);
            unless_stopped(stop, pace.spend(length)).await?;
        }
        unless_stopped(stop, self.store.complete_multipart(key, id, parts)).await?.map_err(failed)?;
        Ok(())
    }
}

async fn unless_stopped<T>(stop: &CancellationToken, doing: impl Future<Output = T>) -> Result<T, BucketError> {
    tokio::select! {
        biased;
        () = stop.cancelled() => Err(BucketError::Stopped),
        done = doing => Ok(done),
    }
}

/// What is not dropped at once because of a stop, but so much later.
async fn unless_late<T>(stop: &CancellationToken, time: Duration, doing: impl Future<Output = T>) -> Option<T> {
    let late = async {
        stop.cancelled().await;
        sleep(time).await;
    };
    tokio::select! {
        done = doing => Some(done),
        () = late => None,
    }
}
