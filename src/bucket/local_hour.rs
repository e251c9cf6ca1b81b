//! A sealed hour as it is read from the disk to be uploaded: part by part, from the beginning to the end.
//!
//! Every file is hashed while it is read. One that is not what the manifest says ends the upload before it is complete: a bucket must not
//! hold under the digest of right bytes any others.

use std::ffi::OsStr;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::error::BucketError;
use super::part_source::PartSource;
use super::upload_error::{LocalHourError, UploadError};
use crate::archive::{Hash, ManifestFile, ObjectPiece, PackedHour};
use crate::disk::{Base, Dir, WholeFile};

/// An hour that is being read.
#[derive(Debug)]
pub struct LocalHour {
    packed: Arc<PackedHour>,
    /// Absent while somebody reads.
    reading: Option<Reading>,
}

/// The directory, and how far it was read.
#[derive(Debug)]
struct Reading {
    packed: Arc<PackedHour>,
    dir: Dir,
    at: u64,
    hasher: Sha256,
    room: Vec<u8>,
}

impl LocalHour {
    /// Opens its directory.
    pub fn open(base: &Base, packed: Arc<PackedHour>) -> Result<Self, LocalHourError> {
        let place = packed.manifest().place();
        let gone = || LocalHourError::Changed { name: place.to_string(), why: "its directory is gone" };
        let dir = base.dir(&place.path())?.ok_or_else(gone)?;
        let reading = Reading { packed: Arc::clone(&packed), dir, at: 0, hasher: Sha256::new(), room: Vec::new() };
        Ok(Self { packed, reading: Some(reading) })
    }

    /// Whether a file of this name and size lies here.
    pub(super) fn has(&self, file: &ManifestFile) -> Result<bool, LocalHourError> {
        let Some(reading) = &self.reading else { return Ok(false) };
        Ok(reading.dir.stat_file(OsStr::new(&*file.name))?.is_some_and(|meta| meta.size == file.size))
    }

    /// These bytes of a file, which is read from its beginning to its end with several of these calls.
    pub(super) async fn read_file(
        self,
        file: ManifestFile,
        range: Range<u64>,
    ) -> Result<(Self, Result<Vec<u8>, LocalHourError>), BucketError> {
        let Self { packed, reading: Some(mut reading) } = self else { return Err(BucketError::Stopped) };
        let read = tokio::task::spawn_blocking(move || {
            let mut part = Vec::new();
            let done = reading.file(&file, &range, &mut part).map(|()| part);
            (reading, done)
        });
        // It ends otherwise only with the runtime.
        let (back, done) = read.await.map_err(|_| BucketError::Stopped)?;
        Ok((Self { packed, reading: Some(back) }, done))
    }
}

impl PartSource for LocalHour {
    fn packed(&self) -> &Arc<PackedHour> {
        &self.packed
    }

    async fn next_part(&mut self, bytes: u64) -> Result<Option<Bytes>, UploadError> {
        let Some(mut reading) = self.reading.take() else { return Ok(None) };
        let read = tokio::task::spawn_blocking(move || {
            let part = reading.next_part(bytes);
            (reading, part)
        });
        let (back, part) = read.await.map_err(|_| BucketError::Stopped)?;
        let part = part?;
        self.reading = Some(back);
        Ok(part)
    }
}

impl Reading {
    fn next_part(&mut self, bytes: u64) -> Result<Option<Bytes>, LocalHourError> {
        let end = self.packed.size().min(self.at.saturating_add(bytes));
        if self.at == end {
            return Ok(None);
        }
        let mut part = Vec::with_capacity(usize::try_from(end - self.at).unwrap_or_default());
        let packed = Arc::clone(&self.packed);
        for piece in packed.pieces(self.at..end) {
            match piece {
                ObjectPiece::Bytes(made) => part.extend_from_slice(&made),
                ObjectPiece::File(file, range) => self.file(file, &range, &mut part)?,
            }
        }
        self.at = end;
        Ok(Some(part.into()))
    }

    fn file(&mut self, file: &ManifestFile, range: &Range<u64>, part: &mut Vec<u8>) -> Result<(), LocalHourError> {
        let changed = |why| LocalHourError::Changed { name: self.packed.manifest().path_of(file), why };
        let mut left = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let hasher = &mut self.hasher;
        let read = self.dir.read_whole(OsStr::new(&*file.name), range.start, &mut self.room, |piece| {
            let piece = piece.get(..left.min(piece.len())).unwrap_or_default();
            hasher.update(piece);
            part.extend_from_slice(piece);
            left -= piece.len();
            if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        if read == WholeFile::Absent {
            return Err(changed("it is gone"));
        }
        if left > 0 {
            return Err(changed("it is shorter"));
        }
        if range.end == file.size && Hash(self.hasher.finalize_reset().into()) != file.sha256 {
            return Err(changed("its content is another one"));
        }
        Ok(())
    }
}
