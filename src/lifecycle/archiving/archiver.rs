//! Takes one sealed hour to the bucket, or looks whether it is there. What objects of the bucket hold of it already is not sent again.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::{Mutex, MutexGuard};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::bucket_figures::BucketFigures;
use super::lost_objects::LostObjects;
use super::own_bucket::{OwnBucketError, claim};
use crate::archive::object_trailer::LARGEST_MANIFEST;
use crate::archive::retention::RetentionLimits;
use crate::archive::{Hash, HourManifest, HourPlace, ObjectName, PackedHour, Timestamp};
use crate::bucket::{Bucket, BucketError, LocalHourError, STOPS_WITHIN, UploadError};
use crate::disk::{AwayReason, Base, BucketManifests, DiskError, Manifests, Receipts};
use crate::lifecycle::handoffs::{HandoffError, Handoffs, RetireVerdict};
use crate::lifecycle::seal::{SealState, Sealer};
use crate::sync::crawl::{CrawlError, Keeper};

/// How often it is looked whether whoever asked has enough.
const LOOK: Duration = Duration::from_millis(100);

/// Whoever waits for something that goes over the line.
pub trait ArchiveWatch: Sync {
    /// So many bytes went over it.
    fn moved(&self, bytes: u64);
    fn is_stopped(&self) -> bool;
}

/// Where an hour is on its way into the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyState {
    /// It is not sealed.
    Open {
        /// It was, or a copy of it in another directory is.
        has_manifest: bool,
    },
    /// It is sealed, and was not read back from this bucket.
    Waiting,
    /// It was, and has not changed since.
    Archived {
        /// When it was.
        read_back: Timestamp,
    },
    /// It is sealed, was not read back from this bucket, and is older than that keeps any.
    TooOld,
    /// Nothing of it is here any more, but tombstones that its objects know.
    InBucket,
}

/// What became of an hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArchiveOutcome {
    /// It was read back.
    Archived {
        /// What was sent; `None` if other objects hold all of it.
        object: Option<ObjectName>,
        /// Bytes of that.
        bytes: u64,
        /// Files that are in sight here and not in it, as a tombstone that the bucket knows hides them.
        hidden: u64,
    },
    /// Or nothing of it is here.
    WasArchived,
    /// It is not sealed.
    Open {
        /// It was, or a copy of it in another directory is.
        has_manifest: bool,
    },
    /// It is older than the bucket keeps any.
    TooOld,
    /// Something changed in it while it was sent; what was sent is the hour as it was.
    Changed,
}

/// Why an hour is not in the bucket, or does not come back.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error(transparent)]
    Crawl(#[from] CrawlError),
    #[error(transparent)]
    Bucket(#[from] BucketError),
    #[error(transparent)]
    Local(#[from] LocalHourError),
    #[error("{0}")]
    Unwritable(String),
    #[error(
        "{name} is hidden, and an object of the bucket holds it; but the object stays, as nothing else that was read back has {stays}"
    )]
    StillNeeded { name: String, stays: String },
    #[error(
        "an object of this hour that is not known here cannot be read, and it may hold what is hidden; `gapless archive ls` shows which there are"
    )]
    Unread,
    #[error(
        "the object {0} is damaged and lies in the bucket all the same, and what it held is hidden by now; `gapless archive verify` looks at it again, or delete it by hand"
    )]
    LostHolds(ObjectName),
    #[error(
        "less of this hour lies here than when it was weighed, so nothing of it is deleted in the bucket; the next run weighs it again"
    )]
    LessHere,
    #[error("nothing is deleted here while it is not known what was promised to other nodes: {0}")]
    Promises(#[source] HandoffError),
    #[error(transparent)]
    OwnBucket(#[from] OwnBucketError),
    #[error(
        "there is not enough room: {needed} bytes come back, {free} are free, and {keep} of them are kept free (backfill.keep_free)"
    )]
    Room { needed: u64, free: u64, keep: u64 },
    #[error(
        "the object {0} lies in a storage class that answers hours after it was asked, which it {1}; do this again when it has it"
    )]
    AskedFor(ObjectName, &'static str),
    #[error(
        "the object {0} lies in a storage class that answers hours after it was asked, and this access key may not ask for it; give it the right to (s3:RestoreObject)"
    )]
    MayNotAsk(ObjectName),
    #[error("the bucket has no hour of {0}; `gapless archive ls` shows what it has")]
    NotThere(String),
    #[error(
        "the bucket has {0} objects of this hour, and more than 1000 are not read; `tar xf` unpacks them one after the other"
    )]
    TooMany(usize),
}

impl ArchiveError {
    /// A word for it, where the bucket is the reason.
    pub fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Bucket(error) => Some(error.reason()),
            Self::AskedFor(..) | Self::MayNotAsk(_) => Some("cold"),
            _ => None,
        }
    }

    /// Whether an object is not what it should be, or not there.
    pub fn is_loss(&self) -> bool {
        matches!(self, Self::Bucket(error) if error.is_loss())
    }

    /// Whether whoever asked has enough.
    pub fn is_stopped(&self) -> bool {
        matches!(self, Self::Bucket(BucketError::Stopped))
    }

    /// Whether an object lies in a storage class that answers hours later.
    pub fn is_cold(&self) -> bool {
        matches!(self, Self::Bucket(error) if error.is_cold())
    }

    /// Whether other hours may go well all the same.
    pub fn is_about_the_hour(&self) -> bool {
        match self {
            Self::Bucket(error) => error.is_about_the_object(),
            Self::Local(LocalHourError::Changed { .. })
            | Self::Crawl(CrawlError::Doubt(_))
            | Self::Unwritable(_)
            | Self::StillNeeded { .. }
            | Self::Unread
            | Self::LostHolds(_)
            | Self::LessHere
            | Self::TooMany(_)
            | Self::AskedFor(..)
            | Self::MayNotAsk(_) => true,
            Self::Local(LocalHourError::Disk(error)) | Self::Crawl(CrawlError::Disk(error)) => !error.is_shortage(),
            Self::Crawl(_) | Self::Room { .. } | Self::NotThere(_) | Self::OwnBucket(_) | Self::Promises(_) => false,
        }
    }
}

impl From<AwayReason> for ArchiveError {
    fn from(away: AwayReason) -> Self {
        Self::Crawl(away.into())
    }
}

impl From<UploadError> for ArchiveError {
    fn from(error: UploadError) -> Self {
        match error {
            UploadError::Bucket(error) => error.into(),
            UploadError::Local(error) => error.into(),
        }
    }
}

/// Takes hours of one archive to one bucket.
pub struct Archiver {
    pub(super) keeper: Arc<Keeper>,
    pub(super) bucket: Bucket,
    pub(super) keep_free: u64,
    /// How long the bucket keeps hours.
    ages: RetentionLimits,
    /// What was promised to other nodes under a layout.
    handoffs: Option<Arc<Handoffs>>,
    sealer: Sealer,
    runtime: Handle,
    /// One hour at a time: what is sent takes memory, and the line.
    turn: Mutex<()>,
    /// Whether it was said that uploads which were left behind cannot be listed.
    pub(super) told_unlisted: AtomicBool,
    pub(super) figures: BucketFigures,
    pub(super) lost_objects: Arc<LostObjects>,
}

impl Archiver {
    /// Of this archive and bucket. What comes back leaves so many bytes free.
    pub fn new(keeper: Arc<Keeper>, bucket: Bucket, keep_free: u64, runtime: Handle) -> Self {
        let sealer = Sealer::new(Arc::clone(&keeper));
        let told_unlisted = AtomicBool::new(false);
        let (turn, figures) = (Mutex::default(), BucketFigures::default());
        let lost_objects = Arc::new(LostObjects::new(Arc::clone(keeper.guard())));
        let ages = RetentionLimits::default();
        let handoffs = None;
        Self { keeper, bucket, keep_free, ages, handoffs, sealer, runtime, turn, told_unlisted, figures, lost_objects }
    }

    /// Hours that are older than the bucket keeps any by these are not uploaded.
    #[must_use]
    pub fn with_ages(self, ages: RetentionLimits) -> Self {
        Self { ages, ..self }
    }

    /// What was promised to other nodes stays on this disk.
    #[must_use]
    pub fn with_handoffs(self, handoffs: &Arc<Handoffs>) -> Self {
        Self { handoffs: Some(Arc::clone(handoffs)), ..self }
    }

    /// Whether an hour may be taken from this disk, or was promised to stay; nothing where nobody keeps promises.
    pub(super) fn may_leave(&self, place: &HourPlace) -> Result<Option<RetireVerdict>, ArchiveError> {
        let Some(handoffs) = &self.handoffs else { return Ok(None) };
        match handoffs.may_retire(place) {
            Ok(verdict) => Ok(Some(verdict)),
            Err(HandoffError::Crawl(error)) => Err(error.into()),
            Err(error) => Err(ArchiveError::Promises(error)),
        }
    }

    pub fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    /// What is known of it without asking it.
    pub fn figures(&self) -> &BucketFigures {
        &self.figures
    }

    /// What lost objects held.
    pub fn lost_objects(&self) -> &Arc<LostObjects> {
        &self.lost_objects
    }

    /// A few looks at the disk.
    pub fn state(&self, place: &HourPlace) -> Result<CopyState, CrawlError> {
        match self.sealer.state(place)? {
            SealState::Sealed => {}
            SealState::InBucket => return Ok(CopyState::InBucket),
            state => {
                let is_in_bucket = self.is_in_bucket_alone(&*self.keeper.guard().base()?, place)?;
                let has_manifest = state == SealState::Unsealed;
                return Ok(if is_in_bucket { CopyState::InBucket } else { CopyState::Open { has_manifest } });
            }
        }
        let base = self.keeper.guard().base()?;
        let Some((receipt, describes)) = self.receipt(&base, place)? else { return Ok(self.waiting(place)) };
        let noted = self.disk(BucketManifests::of(&base).digests(place))?;
        if !receipt.is_of_an_hour(&noted) {
            return Ok(self.waiting(place));
        }
        if self.disk(Manifests::of(&base).describes(place))? == Some(describes) {
            return Ok(CopyState::Archived { read_back: receipt.read_back });
        }
        // The same hour in another directory, such as a copy of the archive, or another hour.
        let Some((sealed, now_ns)) = self.sealed(&base, place)? else {
            return Ok(CopyState::Open { has_manifest: true });
        };
        if Some(sealed.object_name().manifest) != receipt.manifest {
            return Ok(self.waiting(place));
        }
        self.disk(Receipts::of(&base).date(place, now_ns))?;
        Ok(CopyState::Archived { read_back: receipt.read_back })
    }

    fn waiting(&self, place: &HourPlace) -> CopyState {
        let now = Timestamp::from(SystemTime::now());
        if self.ages.too_old_in_bucket(place, now) { CopyState::TooOld } else { CopyState::Waiting }
    }

    /// Whether an hour leaves the bucket within a day.
    pub(super) fn leaves_soon(&self, place: &HourPlace) -> bool {
        self.ages.leaves_bucket_soon(place, Timestamp::from(SystemTime::now()))
    }

    /// Brings an hour into the bucket, and reads it back.
    pub fn archive(&self, place: &HourPlace, watch: &dyn ArchiveWatch) -> Result<ArchiveOutcome, ArchiveError> {
        let _turn = self.turn(watch)?;
        match self.state(place)? {
            CopyState::Open { has_manifest } => return Ok(ArchiveOutcome::Open { has_manifest }),
            CopyState::Archived { .. } | CopyState::InBucket => return Ok(ArchiveOutcome::WasArchived),
            CopyState::TooOld => return Ok(ArchiveOutcome::TooOld),
            CopyState::Waiting => {}
        }
        let base = self.keeper.guard().base()?;
        let Some((sealed, describes)) = self.sealed(&base, place)? else {
            return Ok(ArchiveOutcome::Open { has_manifest: true });
        };
        claim(&base, &self.bucket.identity())?;
        // Nothing is sent for a receipt that could not be written.
        self.disk(Receipts::of(&base).prepare(place))?;
        let is_unlisted = self.is_new_to_bucket(&base, place, watch)?;
        let held = self.held(&base, &sealed, watch)?;
        let mut objects: Vec<Hash> = held.iter().map(|held| held.object_name().manifest).collect();
        let known: Vec<&HourManifest> = held.iter().map(PackedHour::manifest).collect();
        let (new, hidden) = (sealed.without(&known), sealed.hidden_by(&known).count() as u64);
        let new = new.map(|new| Arc::new(PackedHour::plan(new)));
        if let Some(packed) = &new {
            self.send_local(&base, packed, is_unlisted, watch)?;
            let (name, bytes) = (packed.object_name(), packed.manifest().to_bytes());
            self.disk(BucketManifests::of(&base).write(place, name.manifest, &bytes))?;
            objects.push(name.manifest);
        }
        // What was read back is the hour as it was when it was read here.
        let is_unchanged = self.sealer.state(place)? == SealState::Sealed
            && self.sealed(&base, place)?.is_some_and(|now| now.1 == describes);
        let of_it = is_unchanged.then(|| (sealed.object_name().manifest, describes));
        self.note(&base, place, objects, of_it)?;
        self.keeper.reconcile(std::slice::from_ref(place), false)?;
        if !is_unchanged {
            return Ok(ArchiveOutcome::Changed);
        }
        let bytes = new.as_ref().map_or(0, |new| new.size());
        self.figures.archived(self.bytes(place)?);
        tracing::info!(name: "hour_archived", hour = %place, bytes, "a sealed hour was read back from the bucket");
        if hidden > 0 {
            tracing::warn!(name: "hidden_in_bucket", hour = %place, files = hidden, "files that are in sight here are hidden by tombstones that the bucket knows; they are not in it");
        }
        Ok(ArchiveOutcome::Archived { object: new.map(|new| new.object_name()), bytes, hidden })
    }

    /// Whether the bucket, which is asked, lists no object of an hour of which none is known here: those of other nodes are known from then on, so
    /// that what they hold is not sent again. False without asking where some are known.
    fn is_new_to_bucket(&self, base: &Base, place: &HourPlace, watch: &dyn ArchiveWatch) -> Result<bool, ArchiveError> {
        let notes = BucketManifests::of(base);
        if !self.disk(notes.digests(place))?.is_empty() || !self.disk(notes.lost_digests(place))?.is_empty() {
            return Ok(false);
        }
        Ok(self.learn_hour(place, watch)?.listed == 0)
    }

    pub(super) fn turn(&self, watch: &dyn ArchiveWatch) -> Result<MutexGuard<'_, ()>, BucketError> {
        loop {
            if let Some(turn) = self.turn.try_lock_for(LOOK) {
                return Ok(turn);
            }
            if watch.is_stopped() {
                return Err(BucketError::Stopped);
            }
            // Whoever has it is at work.
            watch.moved(0);
        }
    }

    /// The hour as its manifest says it, and which directory that describes.
    pub(super) fn sealed(&self, base: &Base, place: &HourPlace) -> Result<Option<(HourManifest, i64)>, CrawlError> {
        let Some(stored) = self.disk(Manifests::of(base).read(place, LARGEST_MANIFEST))? else { return Ok(None) };
        let manifest = HourManifest::parse(&stored.bytes).ok().filter(|manifest| manifest.place() == place);
        Ok(manifest.map(|manifest| (manifest, stored.describes_ns)))
    }

    /// Waits for what goes over the line, as long as whoever asked does. A store that says nothing does not hold up the end.
    pub(super) fn wait<T, E: Into<ArchiveError>>(
        &self,
        watch: &dyn ArchiveWatch,
        doing: impl AsyncFnOnce(&CancellationToken) -> Result<T, E>,
    ) -> Result<T, ArchiveError> {
        let stop = CancellationToken::new();
        self.runtime.block_on(async {
            let mut doing = std::pin::pin!(doing(&stop));
            let mut stopped = None;
            loop {
                tokio::select! {
                    done = &mut doing => return self.noted(done.map_err(Into::into)),
                    () = tokio::time::sleep(LOOK) => {}
                }
                if watch.is_stopped() {
                    stop.cancel();
                    let since = *stopped.get_or_insert_with(Instant::now);
                    if since.elapsed() > STOPS_WITHIN {
                        return Err(BucketError::Stopped.into());
                    }
                }
            }
        })
    }

    fn noted<T>(&self, done: Result<T, ArchiveError>) -> Result<T, ArchiveError> {
        match &done {
            Ok(_) => self.figures.answered(),
            Err(ArchiveError::Bucket(error)) => self.figures.failed(error),
            Err(_) => {}
        }
        done
    }

    /// An error may mean that the disk is away: the guard is told.
    pub(super) fn disk<T>(&self, done: Result<T, DiskError>) -> Result<T, CrawlError> {
        done.map_err(|error| {
            self.keeper.guard().report(&error);
            CrawlError::Disk(error)
        })
    }
}

/// What may be dropped at any moment.
pub(super) async fn unless_stopped<T, E: From<BucketError>>(
    stop: &CancellationToken,
    doing: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    tokio::select! {
        done = doing => done,
        () = stop.cancelled() => Err(BucketError::Stopped.into()),
    }
}
