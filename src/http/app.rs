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
use super::budget::AnswerBudget;
use super::changes::Followers;
use super::events::Listeners;
use super::exposition::Exposition;
use super::host::Hosts;
use super::problem::capital;
use super::wire_cache::WireCache;
use crate::archive::problems::layout::VideoDir;
use crate::archive::problems::video::ProblemThresholds;
use crate::disk::DiskError;
use crate::index::IndexError;
use crate::jobs::JobRegistry;
use crate::lifecycle::deleted::DeletionCounter;
use crate::lifecycle::retention::{Retention, RetentionError};
use crate::lifecycle::tombstones::MakeStay;
use crate::play::playback::{Playback, PlaybackError};
use crate::replicate::peer_proxy::PeerProxy;
use crate::report::coverage::LiveGauges;
use crate::sync::crawl::{Crawl, CrawlError, Keeper, Watch};

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

/// What the handlers share.
pub struct App {
    /// The node's name.
    pub name: String,
    /// The base directory, for people.
    pub base_dir: PathBuf,
    /// When the node started.
    pub started: SystemTime,
    /// Index and disk.
    pub keeper: Arc<Keeper>,
    /// The crawl, for its status.
    pub crawl: Arc<Crawl>,
    /// The watcher, for its status.
    pub watch: Arc<Watch>,
    /// All jobs.
    pub board: Arc<JobRegistry>,
    /// All metrics.
    pub registry: Registry,
    /// Gauges about the node itself.
    pub node_metrics: super::node_metrics::NodeMetrics,
    /// What is told of the jobs.
    pub job_metrics: super::jobs::JobMetrics,
    /// How many problems there are.
    pub(super) problem_metrics: super::node_problems::ProblemMetrics,
    /// From where on something is a problem.
    pub thresholds: ProblemThresholds,
    /// Video that lies where no segment is looked for.
    pub misplaced: MisplacedVideo,
    /// Coverage, if it is told.
    pub coverage: Option<LiveGauges>,
    /// The newest segments.
    pub latest: super::latest::LatestSegments,
    /// What people watch.
    pub playback: Arc<Playback>,
    /// Makes exact cuts, frames and waveforms.
    pub ffmpeg: Arc<crate::play::ffmpeg::Pool>,
    /// Wire bytes of listings.
    pub cache: WireCache,
    /// By this number this process is recognised, by itself.
    pub instance: u64,
    /// How it goes with other nodes.
    pub peers: PeerReports,
    /// What they say about their coverage.
    pub peer_proxy: Arc<PeerProxy>,
    /// Deletes what is not to be kept.
    pub retention: Arc<Retention>,
    /// Verifies bytes.
    pub scrub: Arc<crate::sync::scrub::Scrub>,
    /// Where their list comes from.
    pub sources: SourceReports,
    /// Bounds on questions.
    pub bounds: RequestBounds,
    /// What an operator may ask of backfill.
    pub backfill_actions: super::operator_actions::BackfillActions,
    /// By which names it may be asked over the loopback.
    pub hosts: Hosts,
    /// Who may read and write.
    pub auth: Arc<Auth>,
    /// Counts what is deleted.
    pub deleted: Arc<DeletionCounter>,
    /// Says what no other node has and must therefore not be purged.
    pub last_copies: Option<Arc<MakeStay>>,
    pub(super) followed: super::playlist::FollowedClocks,
    heavy: Arc<Semaphore>,
    light: Arc<Semaphore>,
    pub(super) files: Arc<Semaphore>,
    builders: [Mutex<()>; BUILDERS],
    hasher: RandomState,
    /// One check at a time.
    pub check: Arc<Semaphore>,
    /// One scrub that was asked for at a time.
    pub scrubbing: Arc<Semaphore>,
    /// Templates that are held at the same time for whoever brings one.
    pub(super) templates: Arc<Semaphore>,
    pub(super) budget: Arc<AnswerBudget>,
    pub(super) exposition: Exposition,
    pub(super) followers: Followers,
    pub(super) listeners: Listeners,
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
    /// Bytes of answers that wait to be taken.
    pub held: usize,
    /// Who may listen to events at once: in all, and of one client.
    pub listeners: (usize, usize),
    /// Who may wait for changes at once: in all, and of one client.
    pub waiting: (usize, usize),
}

/// Tells how it goes with other nodes.
pub type PeerReports = Box<dyn Fn() -> Vec<crate::wire::PeerReport> + Send + Sync>;

/// Reports directories with video where no segment is looked for.
pub type MisplacedVideo = Box<dyn Fn() -> Vec<VideoDir> + Send + Sync>;

/// Tells where their list comes from.
pub type SourceReports = Box<dyn Fn() -> Vec<crate::wire::SourceReport> + Send + Sync>;

/// What the node builds the app from.
pub struct AppParts {
    /// The node's name.
    pub name: String,
    /// The base directory.
    pub base_dir: PathBuf,
    /// Index and disk.
    pub keeper: Arc<Keeper>,
    /// The crawl.
    pub crawl: Arc<Crawl>,
    /// The watcher.
    pub watch: Arc<Watch>,
    /// All jobs.
    pub board: Arc<JobRegistry>,
    /// All metrics.
    pub registry: Registry,
    /// By this number this process is recognised, by itself.
    pub instance: u64,
    /// How it goes with other nodes.
    pub peers: PeerReports,
    /// What they say about their coverage.
    pub peer_proxy: Arc<PeerProxy>,
    /// Deletes what is not to be kept.
    pub retention: Arc<Retention>,
    /// Verifies bytes.
    pub scrub: Arc<crate::sync::scrub::Scrub>,
    /// Where their list comes from.
    pub sources: SourceReports,
    /// Gauges of coverage, if they are told.
    pub coverage: Option<LiveGauges>,
    /// What people watch.
    pub playback: Arc<Playback>,
    /// Makes exact cuts, frames and waveforms.
    pub ffmpeg: Arc<crate::play::ffmpeg::Pool>,
    /// From where on something is a problem.
    pub thresholds: ProblemThresholds,
    /// Video that lies where no segment is looked for.
    pub misplaced: MisplacedVideo,
    /// Bytes of listings that are kept.
    pub listing_cache: usize,
    /// Bounds on questions.
    pub bounds: RequestBounds,
    /// What an operator may ask of backfill.
    pub backfill_actions: super::operator_actions::BackfillActions,
    /// By which names it may be asked over the loopback.
    pub hosts: Hosts,
    /// Who may read and write.
    pub auth: Arc<Auth>,
    /// Counts what is deleted.
    pub deleted: Arc<DeletionCounter>,
    /// Says what no other node has and must therefore not be purged.
    pub last_copies: Option<Arc<MakeStay>>,
}

impl App {
    /// From its parts.
    pub fn new(parts: AppParts) -> prometheus::Result<Self> {
        Ok(Self {
            followed: super::playlist::FollowedClocks::default(),
            latest: super::latest::LatestSegments::register(&parts.registry)?,
            node_metrics: super::node_metrics::NodeMetrics::register(&parts.registry)?,
            job_metrics: super::jobs::JobMetrics::register(&parts.registry)?,
            problem_metrics: super::node_problems::ProblemMetrics::register(&parts.registry)?,
            thresholds: parts.thresholds,
            misplaced: parts.misplaced,
            board: parts.board,
            coverage: parts.coverage,
            name: parts.name,
            base_dir: parts.base_dir,
            started: SystemTime::now(),
            keeper: parts.keeper,
            crawl: parts.crawl,
            watch: parts.watch,
            registry: parts.registry,
            playback: parts.playback,
            ffmpeg: parts.ffmpeg,
            cache: WireCache::new(parts.listing_cache),
            peers: parts.peers,
            peer_proxy: parts.peer_proxy,
            retention: parts.retention,
            scrub: parts.scrub,
            sources: parts.sources,
            instance: parts.instance,
            bounds: parts.bounds,
            backfill_actions: parts.backfill_actions,
            hosts: parts.hosts,
            auth: parts.auth,
            deleted: parts.deleted,
            last_copies: parts.last_copies,
            heavy: Arc::new(Semaphore::new(HEAVY)),
            light: Arc::new(Semaphore::new(LIGHT)),
            files: Arc::new(Semaphore::new(super::limits::files_sent_at_once())),
            builders: [const { Mutex::const_new(()) }; BUILDERS],
            hasher: RandomState::new(),
            check: Arc::new(Semaphore::new(1)),
            scrubbing: Arc::new(Semaphore::new(1)),
            templates: Arc::new(Semaphore::new(TEMPLATES)),
            budget: AnswerBudget::new(parts.bounds.held),
            exposition: Exposition::default(),
            followers: Followers::new(&parts.bounds),
            listeners: Listeners::new(&parts.bounds),
        })
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
        self.ask_in(&self.heavy, question).await
    }

    /// The same for a question that takes next to no memory, such as for an open file.
    pub async fn ask_light<T: Send + 'static>(
        self: &Arc<Self>,
        question: impl FnOnce(&Self) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        self.ask_in(&self.light, question).await
    }

    /// Waits until nobody else makes what this key names. To be had before `ask`, never after.
    pub(super) async fn alone(&self, key: &str) -> Result<MutexGuard<'_, ()>, Problem> {
        let at = usize::try_from(self.hasher.hash_one(key) % BUILDERS as u64).unwrap_or_default();
        let lock = self.builders.get(at).ok_or_else(|| Problem::internal("no-such-lock"))?;
        tokio::time::timeout(PATIENCE, lock.lock()).await.map_err(|_| busy())
    }

    /// A place among the files that may be open at once because they are being sent.
    pub(super) fn file_permit(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let permit = Arc::clone(&self.files).try_acquire_owned();
        permit.map_err(|_| Problem::unavailable(1, "as many files are being sent as this process may have open"))
    }

    /// A place among those who bring a template.
    pub(super) async fn template_permit(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let turn = tokio::time::timeout(PATIENCE, Arc::clone(&self.templates).acquire_owned()).await;
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
