//! Sends an hour to a bucket: at once if it is small, and else in parts, of which one is sent while the next one is read from the disk. What is
//! in memory is two parts.
//!
//! An upload that does not come to its end is ended, so that no parts stay behind that nobody sees and that cost as much as objects. One
//! that a killed process has left is ended by [`Bucket::end_abandoned`].

use bytes::Bytes;
use object_store::multipart::{MultipartStore as _, PartId};
use object_store::path::Path as Key;
use object_store::{MultipartId, ObjectStoreExt as _, PutPayload};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::client::Bucket;
use super::error::BucketError;
use super::local_hour::{LocalHour, LocalHourError};
use crate::archive::ObjectName;

/// Parts of an upload, at most.
const MOST_PARTS: u64 = 10_000;

/// Why an hour was not sent.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The bucket.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// What is here.
    #[error(transparent)]
    Local(#[from] LocalHourError),
}

/// A part that is being read, and whoever reads the next one.
type Reading = JoinHandle<(LocalHour, Result<Option<Bytes>, LocalHourError>)>;

impl Bucket {
    /// Sends an hour; an object of the same name is the same one, and is written over. `sent` receives bytes as they have arrived.
    pub async fn upload(
        &self,
        hour: LocalHour,
        stop: &CancellationToken,
        mut sent: impl FnMut(u64),
    ) -> Result<(), UploadError> {
        let (name, size) = (hour.packed().object_name(), hour.packed().size());
        let key = self.key(&name)?;
        let part_bytes = self.settings.part_bytes.max(size.div_ceil(MOST_PARTS));
        let mut reading = read(hour, part_bytes);
        if size <= part_bytes {
            let (_, part) = read_of(&mut reading).await?;
            let sending = self.store.put(&key, PutPayload::from(part?.unwrap_or_default()));
            let done = unless_stopped(stop, sending).await?;
            done.map_err(|error| self.error(&error, Some(&name)))?;
            sent(size);
            unless_stopped(stop, self.pace().spend(size)).await?;
            return Ok(());
        }
        let begun = unless_stopped(stop, self.store.create_multipart(&key)).await?;
        let id = begun.map_err(|error| self.error(&error, Some(&name)))?;
        let done = self.send_parts(&name, (&key, &id), reading, part_bytes, stop, &mut sent).await;
        if done.is_err() {
            // What came of the rest is not known, and whoever asked is told of the first error.
            if let Err(error) = self.store.abort_multipart(&key, &id).await {
                tracing::warn!(name: "upload_left", object = %name, error = %self.error(&error, Some(&name)), "an upload that failed could not be ended; it is when it is a day old");
            }
        }
        done
    }

    async fn send_parts(
        &self,
        name: &ObjectName,
        (key, id): (&Key, &MultipartId),
        mut reading: Reading,
        part_bytes: u64,
        stop: &CancellationToken,
        sent: &mut impl FnMut(u64),
    ) -> Result<(), UploadError> {
        let failed = |error: object_store::Error| self.error(&error, Some(name));
        let (mut parts, mut pace) = (Vec::<PartId>::new(), self.pace());
        loop {
            let (hour, part) = read_of(&mut reading).await?;
            let Some(part) = part? else { break };
            reading = read(hour, part_bytes);
            let length = part.len() as u64;
            let sending = self.store.put_part(key, id, parts.len(), PutPayload::from(part));
            parts.push(unless_stopped(stop, sending).await?.map_err(failed)?);
            sent(length);
            unless_stopped(stop, pace.spend(length)).await?;
        }
        unless_stopped(stop, self.store.complete_multipart(key, id, parts)).await?.map_err(failed)?;
        Ok(())
    }
}

fn read(mut hour: LocalHour, bytes: u64) -> Reading {
    tokio::task::spawn_blocking(move || {
        let part = hour.next_part(bytes);
        (hour, part)
    })
}

async fn read_of(reading: &mut Reading) -> Result<(LocalHour, Result<Option<Bytes>, LocalHourError>), BucketError> {
    // It ends otherwise only with the runtime.
    reading.await.map_err(|_| BucketError::Stopped)
}

async fn unless_stopped<T>(stop: &CancellationToken, doing: impl Future<Output = T>) -> Result<T, BucketError> {
    tokio::select! {
        done = doing => Ok(done),
        () = stop.cancelled() => Err(BucketError::Stopped),
    }
}
