//! Objects of a bucket as a place that files come from. Which objects an hour has is known to whoever asks: by notes, or by the bucket's list.

use std::collections::HashMap;
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;

use futures_util::TryStreamExt as _;

use super::{Capabilities, CopyWorth, Remote};
use crate::archive::{HourPlace, ManifestFile, ObjectPiece, PackedHour};
use crate::bucket::{Bucket, BucketError};
use crate::disk::{Intake, MissingFile};

/// Bytes between two files that are read and dropped, so that both come in one request.
const NEAR: u64 = 1 << 20;

#[derive(Debug, Clone)]
pub struct StoredObjects {
    bucket: Bucket,
    objects: Vec<Arc<PackedHour>>,
    worth: CopyWorth,
    name: String,
}

impl StoredObjects {
    /// Of objects whose manifests are known, and of which nobody has looked whether they are right.
    pub fn new(bucket: Bucket, objects: Vec<Arc<PackedHour>>) -> Self {
        Self { name: bucket.identity().to_string(), bucket, objects, worth: CopyWorth::Nothing }
    }

    /// Of objects that were read back and were right.
    pub fn read_back(bucket: Bucket, objects: Vec<Arc<PackedHour>>) -> Self {
        Self { worth: CopyWorth::ReadBack, ..Self::new(bucket, objects) }
    }

    fn of<'o>(&'o self, place: &'o HourPlace) -> impl Iterator<Item = &'o Arc<PackedHour>> {
        self.objects.iter().filter(move |packed| packed.manifest().place() == place)
    }
}

impl Remote for StoredObjects {
    type Error = BucketError;

    fn name(&self) -> &str {
        &self.name
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { copies: self.worth, bundles: false }
    }

    /// What those objects hold that are there, as the store says now.
    async fn list(&self, place: &HourPlace) -> Result<Vec<Box<str>>, BucketError> {
        let mut names = Vec::new();
        for packed in self.of(place) {
            if self.bucket.size_of(&packed.object_name()).await? == Some(packed.size()) {
                names.extend(packed.manifest().files().iter().map(|file| file.name.clone()));
            }
        }
        Ok(names)
    }

    /// Files that lie near one another come in one request. That an object is gone is an error, and says which.
    async fn open<I>(&self, place: &HourPlace, files: &[MissingFile], into: &mut I) -> Result<(), I::Error>
    where
        I: Intake<Error: From<BucketError>>,
    {
        let mut wanted: HashMap<&str, &MissingFile> = files.iter().map(|file| (&*file.name, file)).collect();
        for packed in self.of(place) {
            let mut held = HashMap::new();
            let mut sought = Vec::new();
            for file in packed.manifest().files() {
                let is_it = wanted.get(&*file.name).is_some_and(|wanted| wanted.hash == file.sha256);
                if is_it
                    && let Some(wanted) = wanted.remove(&*file.name)
                    && into.has_room_for(file.size)
                {
                    sought.push(file);
                    held.insert(&*file.name, wanted);
                }
            }
            for file in sought.iter().filter(|file| file.size == 0).filter_map(|file| held.get(&*file.name)) {
                into.begin(file).await?;
                into.end(file).await?;
            }
            for run in runs(packed, &sought) {
                self.give(packed, run, &held, into).await?;
            }
        }
        for file in wanted.into_values() {
            into.gone(file);
        }
        Ok(())
    }
}

impl StoredObjects {
    /// Takes a run of an object apart into its files.
    async fn give<I>(
        &self,
        packed: &PackedHour,
        run: Range<u64>,
        held: &HashMap<&str, &MissingFile>,
        into: &mut I,
    ) -> Result<(), I::Error>
    where
        I: Intake<Error: From<BucketError>>,
    {
        let (name, mut at) = (packed.object_name(), run.start);
        let mut coming = pin!(self.bucket.read(&name, run).await?);
        while let Some(bytes) = coming.try_next().await? {
            into.came(bytes.len() as u64);
            let end = at + bytes.len() as u64;
            let mut rest = &*bytes;
            for piece in packed.pieces(at..end) {
                let (content, left) = rest.split_at(length(&piece).min(rest.len()));
                rest = left;
                let ObjectPiece::File(file, range) = piece else { continue };
                let Some(wanted) = held.get(&*file.name) else { continue };
                if range.start == 0 {
                    into.begin(wanted).await?;
                }
                into.write(content).await?;
                if range.end == file.size {
                    into.end(wanted).await?;
                }
            }
            at = end;
        }
        Ok(())
    }
}

fn length(piece: &ObjectPiece<'_>) -> usize {
    match piece {
        ObjectPiece::Bytes(between) => between.len(),
        ObjectPiece::File(_, range) => usize::try_from(range.end - range.start).unwrap_or(usize::MAX),
    }
}

/// The ranges of an object that hold these files, in the order of the manifest, with little between them.
fn runs(packed: &PackedHour, sought: &[&ManifestFile]) -> Vec<Range<u64>> {
    let mut runs: Vec<Range<u64>> = Vec::new();
    for content in sought.iter().filter(|file| file.size > 0).filter_map(|file| packed.range_of(&file.name)) {
        match runs.last_mut().filter(|last| content.start.saturating_sub(last.end) <= NEAR) {
            Some(last) => last.end = content.end,
            None => runs.push(content),
        }
    }
    runs
}
