//! Opens files that lie in a bucket alone: finds which object of the hour holds one, and has its bytes brought here.
//!
//! 1. Manifests of the objects that were asked for last are kept in memory, as a player asks for one segment of an hour after the other.
//! 2. An object that does not give a file is no reason not to have it, if another one holds the same.
//! 3. An object that is gone may have been purged by another node, which has put another one in its place: the bucket is asked which objects
//!    the hour has before anybody is told that a file is gone.

use std::collections::{HashMap, VecDeque};
use std::fmt::Display;
use std::fs::File;
use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tokio::runtime::Handle;
use tokio::sync::Mutex as AsyncMutex;

use super::archiver::ArchiveError;
use super::learn::learn_below;
use super::own_bucket::is_noted;
use super::receipt::{LARGEST, Receipt};
use crate::archive::{Hash, HourManifest, HourPlace, ManifestFile, PackedHour, name};
use crate::bucket::{Bucket, BucketError, BucketIdentity, SegmentReadError, SegmentReader};
use crate::disk::{BaseGuard, BucketManifests, DiskError, Receipts};
use crate::sync::crawl::{AbsentError, AbsentFile, AbsentFiles, LearnedHour};

/// Objects whose manifests stay in memory; one of an hour of two-second segments takes less than a megabyte.
const KEPT: usize = 16;
/// How soon it is looked again which objects an hour has, after one of them was gone.
const AGAIN: Duration = Duration::from_secs(60);
/// The word of an error for that.
const GONE: &str = "gone";

/// The files of one archive that lie in one bucket.
pub struct BucketFiles {
    notes: Arc<ObjectNotes>,
    bucket: Bucket,
    reader: SegmentReader,
    /// Hours of which it was looked in the bucket which objects they have, because of which of them that were gone, and when. Locked while somebody looks.
    looked: Arc<AsyncMutex<HashMap<GoneObjects, Instant>>>,
    told: Arc<OnceLock<LearnedHour>>,
    runtime: Handle,
}

/// Which files the objects of the bucket hold, as it is noted here.
struct ObjectNotes {
    guard: Arc<BaseGuard>,
    /// Used last at the end.
    kept: Mutex<VecDeque<Arc<PackedHour>>>,
}

/// Objects of an hour that are gone.
type GoneObjects = (HourPlace, Vec<Hash>);

/// Where a file is found.
enum Found {
    /// In each of these, with the same SHA-256.
    In(Vec<Arc<PackedHour>>, Hash),
    Tombstone,
    Hidden,
    Unknown,
}

impl BucketFiles {
    /// Of the archive that is guarded, read so.
    pub fn new(guard: Arc<BaseGuard>, bucket: Bucket, reader: SegmentReader) -> Self {
        let notes = Arc::new(ObjectNotes { guard, kept: Mutex::default() });
        let runtime = reader.runtime().clone();
        Self { notes, bucket, reader, looked: Arc::default(), told: Arc::default(), runtime }
    }

    async fn find(&self, place: &HourPlace, file: &str) -> Result<Found, AbsentError> {
        let (notes, wanted, bucket) =
            (Arc::clone(&self.notes), (place.clone(), file.to_owned()), self.bucket.identity());
        let finding = self.runtime.spawn_blocking(move || notes.find(&wanted.0, &wanted.1, &bucket));
        finding.await.unwrap_or(Ok(Found::Unknown))
    }

    async fn open_or_learn(&self, place: &HourPlace, file: &str) -> Result<AbsentFile, AbsentError> {
        let found = self.find(place, file).await?;
        let Found::In(objects, sha256) = &found else { return without_bytes(&found, place, file) };
        let error = match self.open_in(objects, file).await {
            Ok(opened) => return Ok(AbsentFile::Open(opened, *sha256)),
            Err(error) => error,
        };
        let told = absent(place, file, error.reason(), &error);
        let gone = objects.iter().map(|object| object.object_name().manifest).collect();
        if error.reason() != GONE || !self.look(place, gone).await {
            return Err(told);
        }
        match self.find(place, file).await? {
            Found::In(now, sha256_now) => {
                let new: Vec<_> = now.into_iter().filter(|object| !objects.contains(object)).collect();
                match self.open_in(&new, file).await {
                    Ok(opened) => Ok(AbsentFile::Open(opened, sha256_now)),
                    Err(_) if new.is_empty() => Err(told),
                    Err(later) => Err(absent(place, file, later.reason(), &later)),
                }
            }
            other => without_bytes(&other, place, file),
        }
    }

    /// From the first of these that gives it.
    async fn open_in(&self, objects: &[Arc<PackedHour>], file: &str) -> Result<File, SegmentReadError> {
        let mut failed = None;
        for object in objects {
            match self.reader.open(object, file).await {
                Err(error) if error.is_loss() => drop(failed.get_or_insert(error)),
                done => return done,
            }
        }
        Err(failed.unwrap_or_else(|| SegmentReadError::from(BucketError::Stopped)))
    }

    /// Learns from the bucket which objects an hour has, unless that was done a moment ago, as of many segments in a row; false if the bucket
    /// does not say it.
    async fn look(&self, place: &HourPlace, gone: Vec<Hash>) -> bool {
        // Whoever comes meanwhile waits for what is learned now.
        let mut looked = Arc::clone(&self.looked).lock_owned().await;
        looked.retain(|_, since| since.elapsed() < AGAIN);
        let about = (place.clone(), gone);
        if looked.contains_key(&about) {
            return true;
        }
        let (notes, bucket, wanted) = (Arc::clone(&self.notes), self.bucket.clone(), place.clone());
        let (runtime, told) = (self.runtime.clone(), Arc::clone(&self.told));
        // It is done whether or not somebody waits for it, and touches the disk.
        let learning = self.runtime.spawn_blocking(move || {
            looked.insert(about, Instant::now());
            let base = notes.guard.base().map_err(ArchiveError::from)?;
            let hour = (format!("{wanted}/"), |found: &HourPlace| *found == wanted);
            let found = runtime.block_on(learn_below(&bucket, &base, hour, false, |_| ControlFlow::Continue(())))?;
            if found.learned > 0 {
                // Nobody waits for it here: whoever asks may be at work on that hour.
                runtime.spawn_blocking(move || told.get().inspect(|told| told(&wanted)).is_some());
            }
            Ok::<_, ArchiveError>(found)
        });
        match learning.await {
            Ok(Ok(found)) => {
                tracing::info!(name: "gone_object_looked_for", hour = %place, learned = found.learned, "an object of the bucket is gone, and it was looked which objects the hour has now");
                true
            }
            Ok(Err(error)) => {
                tracing::warn!(name: "gone_object_not_looked_for", hour = %place, %error, "an object of the bucket is gone, and the bucket does not say which others the hour has");
                false
            }
            Err(_) => false,
        }
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
            Some((packed, sha256))
        };
        let mut found = objects.into_iter().filter_map(holds);
        let Some((first, sha256)) = found.next() else { return Ok(Found::Unknown) };
        let same = found.filter(|(_, other)| *other == sha256).map(|(packed, _)| packed);
        Ok(Found::In(std::iter::once(first).chain(same).collect(), sha256))
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
        let lost = BucketManifests::of(&base).read_lost(place)?;
        let mut tombstones = lost.iter().flat_map(HourManifest::tombstones);
        Ok(tombstones.any(|tombstone| name::stem(tombstone) == name::stem(file)))
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
        Box::pin(self.open_or_learn(place, file))
    }

    fn read_back(&self, place: &HourPlace) -> Result<Vec<Arc<PackedHour>>, AbsentError> {
        self.notes.read_back(place, &self.bucket.identity()).map_err(|error| absent(place, "", "failed", &error))
    }

    fn failure(&self, place: &HourPlace, file: &str) -> Option<AbsentError> {
        let Ok(Found::In(objects, _)) = self.notes.find(place, file, &self.bucket.identity()) else { return None };
        // One that gives it is enough.
        let failures: Option<Vec<_>> = objects.iter().map(|packed| self.reader.last_failure(packed, file)).collect();
        let error = failures?.into_iter().next()?;
        Some(absent(place, file, error.reason(), &error))
    }

    fn tell_learned(&self, told: LearnedHour) {
        self.told.get_or_init(|| told);
    }

    fn forget(&self, files: &[ManifestFile]) {
        self.reader.let_go(files.iter().map(|file| file.sha256));
    }

    fn open_blocking(&self, place: &HourPlace, file: &str) -> Result<AbsentFile, AbsentError> {
        self.runtime.block_on(self.open_or_learn(place, file))
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
    let lies = "in the bucket alone, which does not give it";
    AbsentError { path: format!("{place}/{file}"), lies, reason, why: why.to_string() }
}
