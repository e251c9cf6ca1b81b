//! An hour as it is put together to be uploaded, from files that lie here and from objects that are in the bucket already, part by part. What
//! is in memory is one part.
//!
//! Every file is hashed while it passes, wherever it comes from. Files that lie near one another in an object come in one request, and none
//! of these goes beyond a part, so that no answer waits for what is sent meanwhile.

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt as _};
use sha2::{Digest as _, Sha256};

use super::client::{Bucket, LinePace};
use super::error::BucketError;
use super::local_hour::LocalHour;
use super::part_source::PartSource;
use super::upload_error::{LocalHourError, UploadError};
use crate::archive::escape::shown;
use crate::archive::{Hash, ManifestFile, ObjectName, ObjectPiece, PackedHour};

/// Bytes between two files in an object that are read and dropped, so that both come in one request.
const NEAR: u64 = 1 << 20;

/// What an hour is put together from.
pub struct CopySources {
    /// Its directory, if any of it is to come from there: what lies in it under the right name with the right size.
    pub here: Option<LocalHour>,
    /// The first that has a file gives it, if it is not here.
    pub objects: Vec<Arc<PackedHour>>,
}

/// An hour that is put together. `read` receives bytes of objects as they come.
pub struct CopiedHour<R> {
    bucket: Bucket,
    packed: Arc<PackedHour>,
    sources: CopySources,
    at: u64,
    hasher: Sha256,
    pace: LinePace,
    read: R,
}

/// Bytes of an object as they come.
struct ObjectRun<'b> {
    object: usize,
    pieces: Pin<Box<dyn Stream<Item = Result<Bytes, BucketError>> + 'b>>,
    /// What is open of the object.
    left: Range<u64>,
    /// The beginning of that, as far as it came.
    came: Bytes,
}

/// Where some bytes of a file lie.
enum Origin {
    Here,
    In(usize, Range<u64>),
}

impl<R: FnMut(u64)> CopiedHour<R> {
    /// Of what the bucket holds.
    pub fn new(bucket: &Bucket, packed: Arc<PackedHour>, sources: CopySources, read: R) -> Self {
        Self { bucket: bucket.clone(), packed, sources, at: 0, hasher: Sha256::new(), pace: bucket.pace(), read }
    }

    /// Bytes of files that come from objects.
    pub fn bytes_of_objects(&self) -> Result<u64, LocalHourError> {
        let mut bytes = 0;
        for file in self.packed.manifest().files() {
            if let Origin::In(_, range) = self.origin(file, &(0..file.size))? {
                bytes += range.end - range.start;
            }
        }
        Ok(bytes)
    }

    fn origin(&self, file: &ManifestFile, range: &Range<u64>) -> Result<Origin, LocalHourError> {
        if let Some(here) = &self.sources.here
            && here.has(file)?
        {
            return Ok(Origin::Here);
        }
        let content = |object: &Arc<PackedHour>| {
            let at = object.manifest().position(&file.name)?;
            (object.manifest().files().get(at)? == file).then(|| object.content(at).start)
        };
        let found = self.sources.objects.iter().enumerate().find_map(|(at, object)| Some((at, content(object)?)));
        let (at, begin) = found.ok_or_else(|| self.changed(file, "it is neither here nor in another object"))?;
        Ok(Origin::In(at, begin + range.start..begin + range.end))
    }

    fn changed(&self, file: &ManifestFile, why: &'static str) -> LocalHourError {
        LocalHourError::Changed { name: self.packed.manifest().path_of(file), why }
    }

    async fn part(&mut self, end: u64) -> Result<Vec<u8>, UploadError> {
        let (packed, bucket) = (Arc::clone(&self.packed), self.bucket.clone());
        let mut part = Vec::with_capacity(usize::try_from(end - self.at).unwrap_or_default());
        let mut pieces = Vec::new();
        for piece in packed.pieces(self.at..end) {
            let origin = match &piece {
                ObjectPiece::Bytes(_) => None,
                ObjectPiece::File(file, range) => Some(self.origin(file, range)?),
            };
            pieces.push((piece, origin));
        }
        let names: Vec<ObjectName> = self.sources.objects.iter().map(|object| object.object_name()).collect();
        let mut run = None::<ObjectRun<'_>>;
        for (at, (piece, origin)) in pieces.iter().enumerate() {
            match (piece, origin) {
                (ObjectPiece::Bytes(made), _) => part.extend_from_slice(made),
                (ObjectPiece::File(file, range), Some(Origin::In(object, wanted))) => {
                    let name = names.get(*object).ok_or(BucketError::Stopped)?;
                    let is_open = |open: &ObjectRun<'_>| open.object == *object && open.left.contains(&wanted.start);
                    let mut open = if let Some(open) = run.take().filter(is_open) {
                        open
                    } else {
                        let left = wanted.start..near_end(wanted, *object, pieces.get(at + 1..).unwrap_or_default());
                        let coming = Box::pin(bucket.pieces(name, left.clone()).await?);
                        ObjectRun { object: *object, pieces: coming, left, came: Bytes::new() }
                    };
                    let before = part.len();
                    self.take(&mut open, wanted, &mut part).await?;
                    run = Some(open);
                    self.hasher.update(part.get(before..).unwrap_or_default());
                    if range.end == file.size && Hash(self.hasher.finalize_reset().into()) != file.sha256 {
                        let why = format!("the content of {} is another one than its hash says", shown(&file.name));
                        return Err(BucketError::damaged(name, &why).into());
                    }
                }
                (ObjectPiece::File(file, range), _) => {
                    let here = self.sources.here.take().ok_or_else(|| self.changed(file, "it is not here"))?;
                    let (back, read) = here.read_file((*file).clone(), range.clone()).await?;
                    self.sources.here = Some(back);
                    part.extend_from_slice(&read?);
                }
            }
        }
        Ok(part)
    }

    /// Takes these bytes of what is open, and drops those before them.
    async fn take(
        &mut self,
        run: &mut ObjectRun<'_>,
        wanted: &Range<u64>,
        part: &mut Vec<u8>,
    ) -> Result<(), BucketError> {
        while run.left.start < wanted.end {
            if run.came.is_empty() {
                let Some(came) = run.pieces.try_next().await? else { return Err(BucketError::Stopped) };
                (self.read)(came.len() as u64);
                self.pace.spend(came.len() as u64).await;
                run.came = came;
            }
            let length = |until: u64| usize::try_from(until - run.left.start).unwrap_or(usize::MAX).min(run.came.len());
            let is_before = run.left.start < wanted.start;
            let taken = run.came.split_to(length(if is_before { wanted.start } else { wanted.end }));
            run.left.start += taken.len() as u64;
            if !is_before {
                part.extend_from_slice(&taken);
            }
        }
        Ok(())
    }
}

impl<R: FnMut(u64)> PartSource for CopiedHour<R> {
    fn packed(&self) -> &Arc<PackedHour> {
        &self.packed
    }

    async fn next_part(&mut self, bytes: u64) -> Result<Option<Bytes>, UploadError> {
        let end = self.packed.size().min(self.at.saturating_add(bytes));
        if self.at == end {
            return Ok(None);
        }
        let part = self.part(end).await?;
        self.at = end;
        Ok(Some(part.into()))
    }
}

/// Where a request ends that begins with these bytes of an object, and brings what follows near them as well.
fn near_end(first: &Range<u64>, object: usize, following: &[(ObjectPiece<'_>, Option<Origin>)]) -> u64 {
    let mut end = first.end;
    for origin in following.iter().filter_map(|(_, origin)| origin.as_ref()) {
        match origin {
            Origin::In(at, range) if *at == object && range.start >= end && range.start - end <= NEAR => {
                end = range.end;
            }
            _ => break,
        }
    }
    end
}
