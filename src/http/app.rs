//! What every handler shares: the archive, the index, and the limits on what may be asked.

use std::hash::{BuildHasher as _, RandomState};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use prometheus::Registry;
use tokio::sync::{Mutex, MutexGuard, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::Problem;
use super::auth::Auth;
use super::bucket_metrics::BucketMetrics;
use super::budget::AnswerBudget;
use super::changes::Followers;
use super::events::Listeners;
use super::exposition::Exposition;
use super::host::Hosts;
use super::jobs::JobMetrics;
use super::latest::LatestSegments;
use super::layout_problems::LayoutMetrics;
use super::node_metrics::NodeMetrics;
use super::node_problems::ProblemMetrics;
use super::playlist::FollowedClocks;
use super::problem::capital;
use super::read_view::{ReadView, Views};
use super::segment_read_metrics::SegmentReadMetrics;
use super::wire_cache::WireCache;
use crate::archive::Span;
use crate::archive::problems::layout::VideoDir;
use crate::archive::problems::video::ProblemThresholds;
use crate::bucket::SegmentReader;
use crate::disk::DiskError;
use crate::index::IndexError;
use crate::jobs::JobRegistry;
use crate::lifecycle::archiving::Archiver;
use crate::lifecycle::deleted::DeletionCounter;
use crate::lifecycle::handoffs::Handoffs;
use crate::lifecycle::retention::{Retention, RetentionError};
use crate::lifecycle::tombstones::MakeStay;
use crate::play::ffmpeg::Pool;
use crate::play::playback::{Playback, PlaybackError};
use crate::record::Recorders;
use crate::replicate::peer_proxy::PeerProxy;
use crate::replicate::placement::LayoutStore;
use crate::replicate::whole::WholeArchive;
use crate::report::coverage::LiveGauges;
use crate::sync::crawl::{Crawl, CrawlError, Keeper, Watch};
use crate::sync::scrub::Scrub;
use crate::wire::{PeerReport, SourceReport};

/// Questions that may be worked on at the same time where the answer is large: a list of an hour of 100,000 files takes 40 MB
/// to make. More would only wait for the same processors.
const HEAVY: usize = 8;
/// Files that may be opened at the same time: more would only wait longer for the disk. They do not wait behind lists.
const LIGHT: usize = 128;
/// Templates of thumbnails that are held while they come in and while their picture is made.
const TEMPLATES: usize = 16;
/// Locks by which a list is made by one at a time; lists that share one wait for each other.
const BUILDERS: usize = 64;
/// How long a question waits for its turn before it is told to come back.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a handler answers whose answer is JSON.
pub(super) type Answer<T> = Result<axum::Json<T>, Problem>;

type AcceptBurstsOf = Box<dyn Fn(Option<&str>) -> usize + Send + Sync>;

/// What a node shares with its routes, given to them whole.
pub struct ServedNode {
    pub(crate) name: String,
    /// For people.
    pub(crate) base_dir: PathBuf,
    /// By this number this process recognises itself.
    pub(crate) instance: u64,
    /// Index and disk.
    pub(crate) keeper: Arc<Keeper>,
    pub(crate) crawl: Arc<Crawl>,
    pub(crate) watch: Arc<Watch>,
    pub(crate) jobs: Arc<JobRegistry>,
    pub(crate) registry: Registry,
    pub(crate) playback: Arc<Playback>,
    /// Makes exact cuts, frames and waveforms.
    pub(crate) ffmpeg: Arc<Pool>,
    pub(crate) retention: Arc<Retention>,
    pub(crate) scrub: Arc<Scrub>,
    /// How long an hour must have been over, and unchanged, to be sealed.
    pub(crate) seal_after: Span,
    /// Who keeps what.
    pub(crate) layouts: Arc<LayoutStore>,
    /// What leaves for its owners, and what was promised to others.
    pub(crate) handoffs: Option<Arc<Handoffs>>,
    /// What is known of all nodes together; a command has none.
    pub(crate) whole: Option<Arc<WholeArchive>>,
    /// Takes sealed hours to the bucket, if one is named.
    pub(crate) archiver: Option<Arc<Archiver>>,
    /// Gives files of the hours that lie there.
    pub(crate) archived_segments: Option<SegmentReader>,
    /// What is recorded here; a command has none.
    pub(crate) recorders: Option<Arc<Recorders>>,
    pub(crate) deleted: Arc<DeletionCounter>,
    /// Says what no other node has and must therefore not be purged.
    pub(crate) last_copies: Option<Arc<MakeStay>>,
    /// The same of what lies in the bucket.
    pub(crate) last_copies_in_bucket: Option<Arc<MakeStay>>,
    /// Replication status per peer.
    pub(crate) peers: Box<dyn Fn() -> Vec<PeerReport> + Send + Sync>,
    /// Where the list of peers comes from.
    pub(crate) sources: Box<dyn Fn() -> Vec<SourceReport> + Send + Sync>,
    /// Takes over the tombstones of this peer, or of all, however many they are; says of how many peers.
    pub(crate) accept_bursts: AcceptBurstsOf,
    /// What peers say about their coverage.
    pub(crate) peer_proxy: Arc<PeerProxy>,
    /// Gauges of coverage, if they are shown.
    pub(crate) coverage: Option<LiveGauges>,
    /// From where on something is a problem.
    pub(crate) thresholds: ProblemThresholds,
    /// Directories with video where no segment is looked for.
    pub(crate) misplaced: Box<dyn Fn() -> Vec<VideoDir> + Send + Sync>,
    pub(crate) auth: Arc<Auth>,
    /// By which names the node may be asked over the loopback.
    pub(crate) hosts: Hosts,
    pub(crate) bounds: RequestBounds,
}

/// What the handlers share: the node, and what the routes keep for themselves.
pub struct App {
    pub(crate) node: ServedNode,
    pub(super) started: SystemTime,
    pub(super) gauges: Gauges,
    /// Wire bytes of listings.
    pub(super) cache: WireCache,
    turns: WorkPermits,
    pub(super) files: Arc<Semaphore>,
    /// One check at a time.
    pub(super) check: Arc<Semaphore>,
    /// One scrub that was asked for at a time, or one sealing.
    pub(super) scrubbing: Arc<Semaphore>,
    /// One order about the bucket at a time.
    pub(super) archiving: Arc<Semaphore>,
    /// One source to record from is tested at a time.
    pub(super) probing: Arc<Semaphore>,
    pub(super) budget: Arc<AnswerBudget>,
    pub(super) exposition: Exposition,
    pub(super) followers: Followers,
    pub(super) listeners: Listeners,
    pub(super) followed: FollowedClocks,
    views: Views,
}

/// What is worked out when metrics are asked for.
pub(super) struct Gauges {
    pub(super) latest: LatestSegments,
    pub(super) node: NodeMetrics,
    pub(super) jobs: JobMetrics,
    pub(super) problems: ProblemMetrics,
    pub(super) layout: LayoutMetrics,
    /// Where a bucket is named.
    pub(super) bucket: Option<BucketMetrics>,
    pub(super) archived_segments: Option<SegmentReadMetrics>,
}

/// Who may work at the same time.
struct WorkPermits {
    heavy: Arc<Semaphore>,
    encoders: Arc<Semaphore>,
    light: Arc<Semaphore>,
    templates: Arc<Semaphore>,
    builders: [Mutex<()>; BUILDERS],
    hasher: RandomState,
}

/// Bounds on what may be asked at once.
#[derive(Debug, Clone, Copy)]
pub struct RequestBounds {
    /// Records in a page.
    pub max_page: usize,
    /// Hours that a question may bring up to date.
    pub max_hours: usize,
    /// Files in a list of extras.
    pub max_extras: usize,
    /// Bytes of listings that are cached.
    pub listing_cache: usize,
    /// Bytes of answers that wait to be taken.
    pub held: usize,
    /// Who may listen to events at once: in all, and of one client.
    pub listeners: (usize, usize),
    /// Who may wait for changes at once: in all, and of one client.
    pub waiting: (usize, usize),
}

impl App {
    /// Over what the node shares.
    pub fn new(node: ServedNode) -> prometheus::Result<Self> {
        Ok(Self {
            started: SystemTime::now(),
            gauges: Gauges {
                latest: LatestSegments::register(&node.registry)?,
                node: NodeMetrics::register(&node.registry)?,
                jobs: JobMetrics::register(&node.registry)?,
                problems: ProblemMetrics::register(&node.registry)?,
                layout: LayoutMetrics::register(&node.registry)?,
                bucket: node.archiver.as_ref().map(|_| BucketMetrics::register(&node.registry)).transpose()?,
                archived_segments: match &node.archived_segments {
                    Some(_) => Some(SegmentReadMetrics::register(&node.registry)?),
                    None => None,
                },
            },
            cache: WireCache::new(node.bounds.listing_cache),
            turns: WorkPermits {
                heavy: Arc::new(Semaphore::new(HEAVY)),
                encoders: Arc::new(Semaphore::new(HEAVY)),
                light: Arc::new(Semaphore::new(LIGHT)),
                templates: Arc::new(Semaphore::new(TEMPLATES)),
                builders: [const { Mutex::const_new(()) }; BUILDERS],
                hasher: RandomState::new(),
            },
            files: Arc::new(Semaphore::new(super::limits::files_sent_at_once())),
            check: Arc::new(Semaphore::new(1)),
            scrubbing: Arc::new(Semaphore::new(1)),
            archiving: Arc::new(Semaphore::new(1)),
            probing: Arc::new(Semaphore::new(1)),
            budget: AnswerBudget::new(node.bounds.held),
            exposition: Exposition::default(),
            followers: Followers::new(&node.bounds),
            listeners: Listeners::new(&node.bounds),
            followed: FollowedClocks::default(),
            views: Views::new(&node),
            node,
        })
    }

    /// What is answered from: what all nodes have, where that is known and nobody asks for this node alone.
    pub(super) fn view(&self, local: bool) -> Arc<ReadView> {
        self.views.now(&self.node, local)
    }

    /// Why nobody can be answered for all nodes yet, if so.
    pub(super) fn is_opening(&self) -> Option<&'static str> {
        let is_opening = self.node.whole.as_ref().is_some_and(|whole| whole.is_opening());
        is_opening.then_some("the node has just begun and is putting together what other nodes have; what lies on it alone is answered with local=true")
    }

    /// Lets those who wait for changes go when the node ends.
    #[must_use]
    pub fn until(mut self, ending: CancellationToken) -> Self {
        self.followers.ending = ending;
        self
    }

    /// Is cancelled when the node ends: whatever lasts looks at it.
    pub fn ending(&self) -> &CancellationToken {
        &self.followers.ending
    }

    /// Runs a question that may wait for the disk and whose answer may be large, off the threads that serve connections.
    pub async fn ask<T: Send + 'static>(
        self: &Arc<Self>,
        question: impl FnOnce(&Self) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        self.ask_in(&self.turns.heavy, question).await
    }

    /// The same for a question that takes next to no memory, such as for an open file.
    pub async fn ask_light<T: Send + 'static>(
        self: &Arc<Self>,
        question: impl FnOnce(&Self) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        self.ask_in(&self.turns.light, question).await
    }

    /// Waits until nobody else makes what this key names. To be had before `ask`, never after.
    pub(super) async fn alone(&self, key: &str) -> Result<MutexGuard<'_, ()>, Problem> {
        let at = usize::try_from(self.turns.hasher.hash_one(key) % BUILDERS as u64).unwrap_or_default();
        let lock = self.turns.builders.get(at).ok_or_else(|| Problem::internal("no-such-lock"))?;
        tokio::time::timeout(PATIENCE, lock.lock()).await.map_err(|_| busy())
    }

    /// A place among the answers that are compressed at once, if there is one.
    pub(super) fn encoder(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.turns.encoders).try_acquire_owned().ok()
    }

    /// A place among the files that may be open at once because they are being sent.
    pub(super) fn file_permit(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let permit = Arc::clone(&self.files).try_acquire_owned();
        permit.map_err(|_| Problem::unavailable(1, "as many files are being sent as this process may have open"))
    }

    /// A place among those who bring a template.
    pub(super) async fn template_permit(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let turn = tokio::time::timeout(PATIENCE, Arc::clone(&self.turns.templates).acquire_owned()).await;
        turn.ok().and_then(Result::ok).ok_or_else(busy)
    }

    async fn ask_in<T: Send + 'static>(
        self: &Arc<Self>,
        turns: &Arc<Semaphore>,
        question: impl FnOnce(&Self) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let turn = tokio::time::timeout(PATIENCE, Arc::clone(turns).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else { return Err(busy()) };
        let app = Arc::clone(self);
        let answer = tokio::task::spawn_blocking(move || {
            let answer = question(&app);
            drop(turn);
            answer
        });
        answer.await.unwrap_or_else(|_| Err(Problem::internal("question-failed")))
    }
}

fn busy() -> Problem {
    Problem::unavailable(1, "too many questions are waiting for the disk; ask again in a moment")
}

impl From<CrawlError> for Problem {
    fn from(error: CrawlError) -> Self {
        match error {
            CrawlError::Away(away) => Self::unavailable(5, &format!("the archive is not there: {}", away.reason)),
            CrawlError::Doubt(doubt) => Self::unavailable(60, &doubt.to_string()),
            CrawlError::Disk(error) => error.into(),
            CrawlError::Index(error) => error.into(),
            CrawlError::Absent(error) => Self::unavailable(5, &error.to_string()),
        }
    }
}

impl From<DiskError> for Problem {
    fn from(error: DiskError) -> Self {
        if error.is_full() { Self::insufficient_storage() } else { Self::unavailable(5, &error.to_string()) }
    }
}

impl From<PlaybackError> for Problem {
    fn from(error: PlaybackError) -> Self {
        match error {
            PlaybackError::Crawl(error) => error.into(),
            PlaybackError::Holes { ref lacking, .. } => {
                let detail = format!("{} with allow_holes=true.", capital(&error.to_string()));
                Self::not_acceptable(&detail, super::cut::holes(lacking))
            }
            PlaybackError::Nothing(_) => Self::not_acceptable(&format!("{}.", capital(&error.to_string())), Vec::new()),
            changed @ PlaybackError::Changed(_) => Self::unavailable(1, &changed.to_string()),
            reading @ PlaybackError::StillReading => Self::unavailable(2, &reading.to_string()),
            other @ PlaybackError::NotOneFile(_) => Self::unsuitable(&other.to_string()),
            PlaybackError::ReadingFailed => Self::internal("reading-failed"),
            PlaybackError::NoStream(stream) => Self::not_found(&format!("video of {stream} in the archive")),
            PlaybackError::NoChannel(channel) => Self::not_found(&format!("channel {channel} in the archive")),
            PlaybackError::ImplicitTooLong { hours, limit } => {
                let got = format!("not both given, and {hours} hours would be meant");
                Self::bad_parameter("start and end", &got, &format!("both, for more than {limit} hours"))
            }
            PlaybackError::TooManyHours { got, limit } => Self::too_much("number of hours with segments", got, limit),
            PlaybackError::TooManyGaps { got, limit } => Self::too_much("number of entries for holes", got, limit),
        }
    }
}

impl From<RetentionError> for Problem {
    fn from(error: RetentionError) -> Self {
        match error {
            RetentionError::Crawl(error) => error.into(),
            RetentionError::Disk(error) => error.into(),
            other => Self::unavailable(5, &other.to_string()),
        }
    }
}

impl From<IndexError> for Problem {
    fn from(error: IndexError) -> Self {
        Self::unavailable(2, &error.to_string())
    }
}
