//! Opens files that lie in a bucket alone: finds which object of the hour holds one, and has its bytes brought here.
//!
//! Manifests of the objects that were asked for last are kept in memory, as a player asks for one segment of an hour after the other.

use std::collections::{HashSet, VecDeque};
use std::fmt::Display;
use std::fs::File;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use super::own_bucket::is_noted;
use super::receipt::{LARGEST, Receipt};
use crate::archive::{Hash, HourManifest, HourPlace, PackedHour, name};
use crate::bucket::{Bucket, BucketIdentity, SegmentReader};
use crate::disk::{BaseGuard, BucketManifests, DiskError, Receipts};
use crate::sync::crawl::{AbsentError, AbsentFile, AbsentFiles};

/// Objects whose manifests stay in memory; one of an hour of two-second segments takes less than a megabyte.
const KEPT: usize = 16;

/// The files of one archive that lie in one bucket.
pub struct BucketFiles {
    notes: Arc<ObjectNotes>,
    bucket: Bucket,
    reader: SegmentReader,
}

/// Which files the objects of the bucket hold, as it is noted here.
struct ObjectNotes {
    guard: Arc<BaseGuard>,
    /// Used last at the end.
    kept: Mutex<VecDeque<Arc<PackedHour>>>,
}

/// Where a file is found.
enum Found {
    In(Arc<PackedHour>, Hash),
    Tombstone,
    Hidden,
    Unknown,
}

impl BucketFiles {
    /// Of the archive that is guarded, read so.
    pub fn new(guard: Arc<BaseGuard>, bucket: Bucket, reader: SegmentReader) -> Self {
        Self { notes: Arc::new(ObjectNotes { guard, kept: Mutex::default() }), bucket, reader }
    }
}

impl ObjectNotes {
    /// A look at the disk, and at manifests that are not in memory.
    fn find(&self, place: &HourPlace, file: &str, bucket: &BucketIdentity) -> Result<Found, AbsentError> {
        if let Ok(base) = self.guard.base() {
            is_noted(&base, bucket).map_err(|error| absent(place, file, "another_bucket", &error))?;
        }
        let failed = |error: DiskError| absent(place, file, "failed", &error);
        let objects = self.objects(place).map_err(failed)?;
        let hides = |packed: &Arc<PackedHour>| {
            let mut tombstones = packed.manifest().tombstones().iter();
            tombstones.any(|tombstone| name::stem(tombstone) == name::stem(file))
        };
        let is_hidden = objects.iter().any(hides) || self.is_hidden_by_lost(place, file).map_err(failed)?;
        if name::is_tombstone(file) {
            return Ok(if is_hidden { Found::Tombstone } else { Found::Unknown });
        }
        if is_hidden && name::may_be_hidden(file) {
            return Ok(Found::Hidden);
        }
        let holds = |packed: Arc<PackedHour>| {
            let at = packed.manifest().position(file)?;
            let sha256 = packed.manifest().files().get(at)?.sha256;
            Some(Found::In(packed, sha256))
        };
        Ok(objects.into_iter().find_map(holds).unwrap_or(Found::Unknown))
    }

    fn objects(&self, place: &HourPlace) -> Result<Vec<Arc<PackedHour>>, DiskError> {
        let Ok(base) = self.guard.base() else { return Ok(Vec::new()) };
        let notes = BucketManifests::of(&base);
        let mut objects = Vec::new();
        for digest in notes.digests(place)? {
            let known = self.kept(place, digest);
            let packed = match known {
                Some(packed) => packed,
                None => match notes.manifest(place, digest)? {
                    Some(manifest) => self.keep(manifest),
                    None => continue,
                },
            };
            objects.push(packed);
        }
        Ok(objects)
    }

    /// Whether an object that is lost said that the file is hidden.
    fn is_hidden_by_lost(&self, place: &HourPlace, file: &str) -> Result<bool, DiskError> {
        let Ok(base) = self.guard.base() else { return Ok(false) };
        let notes = BucketManifests::of(&base);
        for digest in notes.lost_digests(place)? {
            let lost = notes.lost_manifest(place, digest)?;
            let mut tombstones = lost.iter().flat_map(HourManifest::tombstones);
            if tombstones.any(|tombstone| name::stem(tombstone) == name::stem(file)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Those that were read back from this bucket: what only its list has told proves nothing.
    fn read_back(&self, place: &HourPlace, bucket: &BucketIdentity) -> Result<Vec<Arc<PackedHour>>, DiskError> {
        let Ok(base) = self.guard.base() else { return Ok(Vec::new()) };
        let noted = Receipts::of(&base).read(place, LARGEST)?;
        let receipt = noted.and_then(|noted| Receipt::read(place, &noted.bytes));
        let Some(receipt) = receipt.filter(|receipt| receipt.bucket == *bucket) else { return Ok(Vec::new()) };
        let mut objects = self.objects(place)?;
        objects.retain(|packed| receipt.objects.contains(&packed.object_name().manifest));
        Ok(objects)
    }

    fn kept(&self, place: &HourPlace, digest: Hash) -> Option<Arc<PackedHour>> {
        let mut kept = self.kept.lock();
        let is_it =
            |packed: &Arc<PackedHour>| packed.manifest().place() == place && packed.object_name().manifest == digest;
        let at = kept.iter().position(is_it)?;
        let packed = kept.remove(at)?;
        kept.push_back(Arc::clone(&packed));
        Some(packed)
    }

    fn keep(&self, manifest: HourManifest) -> Arc<PackedHour> {
        let packed = Arc::new(PackedHour::plan(manifest));
        let mut kept = self.kept.lock();
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(Arc::clone(&packed));
        packed
    }
}

impl AbsentFiles for BucketFiles {
    fn open<'f>(&'f self, place: &'f HourPlace, file: &'f str) -> BoxFuture<'f, Result<AbsentFile, AbsentError>> {
        let (notes, wanted) = (Arc::clone(&self.notes), (place.clone(), file.to_owned()));
        let bucket = self.bucket.identity();
        let finding = tokio::task::spawn_blocking(move || notes.find(&wanted.0, &wanted.1, &bucket));
        Box::pin(async move {
            match finding.await.unwrap_or(Ok(Found::Unknown))? {
                Found::In(packed, sha256) => match self.reader.open(&packed, file).await {
                    Ok(opened) => Ok(AbsentFile::Open(opened, sha256)),
                    Err(error) => Err(absent(place, file, error.reason(), &error)),
                },
                other => without_bytes(&other, place, file),
            }
        })
    }

    fn held<'f>(&'f self, place: &'f HourPlace) -> BoxFuture<'f, Result<HashSet<String>, AbsentError>> {
        let (notes, wanted, bucket) = (Arc::clone(&self.notes), place.clone(), self.bucket.identity());
        let reading = tokio::task::spawn_blocking(move || notes.read_back(&wanted, &bucket));
        Box::pin(async move {
            let objects = reading.await.unwrap_or(Ok(Vec::new()));
            let objects = objects.map_err(|error| absent(place, "", "failed", &error))?;
            let mut held = HashSet::new();
            for packed in objects {
                let there = self.bucket.size_of(&packed.object_name()).await;
                let there = there.map_err(|error| absent(place, "", error.reason(), &error))?;
                if there == Some(packed.size()) {
                    held.extend(packed.manifest().files().iter().map(|file| file.name.to_string()));
                }
            }
            Ok(held)
        })
    }

    fn failure(&self, place: &HourPlace, file: &str) -> Option<AbsentError> {
        let Ok(Found::In(packed, _)) = self.notes.find(place, file, &self.bucket.identity()) else { return None };
        let error = self.reader.last_failure(&packed, file)?;
        Some(absent(place, file, error.reason(), &error))
    }

    fn open_blocking(&self, place: &HourPlace, file: &str) -> Result<AbsentFile, AbsentError> {
        match self.notes.find(place, file, &self.bucket.identity())? {
            Found::In(packed, sha256) => match self.reader.open_blocking(&packed, file) {
                Ok(opened) => Ok(AbsentFile::Open(opened, sha256)),
                Err(error) => Err(absent(place, file, error.reason(), &error)),
            },
            other => without_bytes(&other, place, file),
        }
    }
}

/// A tombstone that an object tells of is an empty file; what was written into it stayed here.
fn without_bytes(found: &Found, place: &HourPlace, file: &str) -> Result<AbsentFile, AbsentError> {
    match found {
        Found::Tombstone => {
            let empty = File::open("/dev/null").map_err(|error| absent(place, file, "failed", &error))?;
            Ok(AbsentFile::Open(empty, Hash(Sha256::digest([]).into())))
        }
        Found::Hidden => Ok(AbsentFile::Hidden),
        Found::In(..) | Found::Unknown => Ok(AbsentFile::Unknown),
    }
}

fn absent(place: &HourPlace, file: &str, reason: &'static str, why: &dyn Display) -> AbsentError {
    AbsentError { path: format!("{place}/{file}"), reason, why: why.to_string() }
}
