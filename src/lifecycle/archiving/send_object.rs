//! Brings an object into the bucket, unless it is there, and reads it back.
//!
//! What is already there under the same name with the right size is not sent again: the name is the content's, and whether the content is
//! right is seen when it is read back, which always comes before anything is noted of it. What is there and wrong is written over.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::archiver::{ArchiveError, ArchiveWatch, Archiver, unless_stopped};
use crate::archive::PackedHour;
use crate::bucket::{BucketError, CopiedHour, CopySources, LocalHour, LocalHourError, UploadError};
use crate::disk::Base;

impl Archiver {
    /// Of files that lie here. What was not listed a moment ago is not asked for.
    pub(super) fn send_local(
        &self,
        base: &Base,
        packed: &Arc<PackedHour>,
        is_unlisted: bool,
        watch: &dyn ArchiveWatch,
    ) -> Result<(), ArchiveError> {
        self.send(packed, is_unlisted, watch, async |stop| {
            let hour = LocalHour::open(base, Arc::clone(packed))?;
            self.bucket.upload(hour, stop, |bytes| self.was_sent(bytes, watch)).await
        })
    }

    /// Of files that lie here or in these objects.
    pub(super) fn send_copied(
        &self,
        base: &Base,
        packed: &Arc<PackedHour>,
        objects: &[Arc<PackedHour>],
        watch: &dyn ArchiveWatch,
    ) -> Result<(), ArchiveError> {
        self.send(packed, false, watch, async |stop| {
            let copied = |is_here: bool| {
                let here = if is_here { local(base, packed)? } else { None };
                let sources = CopySources { here, objects: objects.to_vec() };
                let read = |bytes| self.was_read(bytes, watch);
                Ok::<_, UploadError>(CopiedHour::new(&self.bucket, Arc::clone(packed), sources, read))
            };
            match self.bucket.upload(copied(true)?, stop, |bytes| self.was_sent(bytes, watch)).await {
                Err(UploadError::Local(LocalHourError::Changed { name, why })) => {
                    tracing::debug!(name: "not_copied_from_here", file = name, why, "a file here is not what an object of the bucket holds under its name; all is copied from the bucket");
                    self.bucket.upload(copied(false)?, stop, |bytes| self.was_sent(bytes, watch)).await
                }
                done => done,
            }
        })
    }

    /// Bytes that would be read for that, apart from what is read back.
    pub(super) fn bytes_to_copy(
        &self,
        base: &Base,
        packed: &Arc<PackedHour>,
        objects: &[Arc<PackedHour>],
    ) -> Result<u64, ArchiveError> {
        let sources = CopySources { here: local(base, packed)?, objects: objects.to_vec() };
        Ok(CopiedHour::new(&self.bucket, Arc::clone(packed), sources, |_| ()).bytes_of_objects()?)
    }

    fn send(
        &self,
        packed: &PackedHour,
        is_unlisted: bool,
        watch: &dyn ArchiveWatch,
        upload: impl AsyncFnOnce(&CancellationToken) -> Result<(), UploadError>,
    ) -> Result<(), ArchiveError> {
        self.wait(watch, async |stop| {
            let size = async || unless_stopped(stop, self.bucket.size_of(&packed.object_name())).await;
            let there = if is_unlisted { None } else { size().await? };
            if there == Some(packed.size()) && !self.is_damaged(packed, stop, watch).await? {
                return Ok(());
            }
            upload(stop).await?;
            Ok::<(), ArchiveError>(self.check(packed, stop, watch).await?)
        })
    }

    async fn is_damaged(
        &self,
        packed: &PackedHour,
        stop: &CancellationToken,
        watch: &dyn ArchiveWatch,
    ) -> Result<bool, BucketError> {
        match self.check(packed, stop, watch).await {
            Ok(()) => Ok(false),
            Err(error) if error.is_loss() => {
                self.figures.failed(&error);
                tracing::warn!(name: "object_replaced", object = %packed.object_name(), %error, "an object in the bucket is not what it is called after; it is written over");
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    fn was_sent(&self, bytes: u64, watch: &dyn ArchiveWatch) {
        watch.moved(bytes);
        self.figures.uploaded(bytes);
    }

    fn was_read(&self, bytes: u64, watch: &dyn ArchiveWatch) {
        watch.moved(bytes);
        self.figures.read(bytes);
    }
}

/// The hour's directory, if it has one.
fn local(base: &Base, packed: &Arc<PackedHour>) -> Result<Option<LocalHour>, LocalHourError> {
    match LocalHour::open(base, Arc::clone(packed)) {
        Ok(here) => Ok(Some(here)),
        Err(LocalHourError::Changed { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
