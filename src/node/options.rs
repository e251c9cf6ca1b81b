//! All that a node is told: what each room of it is to do.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::archive::Span;
use crate::archive::origins::ConfiguredStreams;
use crate::archive::problems::video::ProblemThresholds;
use crate::bucket::{Bucket, CACHE_DIR, CacheBounds, SegmentCache, SegmentReader};
use crate::disk::BaseGuard;
use crate::http::{Auth, ConnectionLimits, Hosts, RequestBounds};
use crate::index::IndexOptions;
use crate::lifecycle::archiving::{BucketFiles, LearnedStreams, LocalLimits};
use crate::lifecycle::handoffs::HandoffOptions;
use crate::lifecycle::retention::RetentionOptions;
use crate::net::tls;
use crate::play::ffmpeg::PoolOptions;
use crate::play::playback::PlaybackOptions;
use crate::record::RecordOptions;
use crate::replicate::backfill::BackfillOptions;
use crate::replicate::placement::LayoutOptions;
use crate::replicate::sources::SourceOptions;
use crate::sync::crawl::{AbsentFiles, CrawlPace, WatchOptions};
use crate::sync::scrub::ScrubOptions;

/// The bucket that sealed hours are uploaded to.
#[derive(Debug, Clone)]
pub struct BucketOptions {
    pub bucket: Bucket,
    /// How often it is looked for hours that were sealed, and for some that may leave the disk.
    pub every: Duration,
    /// Of which hours the node learns from the bucket's list, if of any.
    pub learns: Option<LearnedStreams>,
    /// When files leave this disk that lie in the bucket as well.
    pub limits: LocalLimits,
    /// How much of what was read from it is kept here.
    pub cache: CacheBounds,
}

impl BucketOptions {
    /// What reads single files of its objects. Needs a runtime around it.
    pub fn reader(&self, state_dir: &Path) -> SegmentReader {
        let cache = SegmentCache::open(state_dir.join(CACHE_DIR), self.cache);
        SegmentReader::new(self.bucket.clone(), cache, Handle::current())
    }

    /// What opens files of an archive that lie in it alone.
    pub fn files(&self, guard: &Arc<BaseGuard>, reader: SegmentReader) -> Arc<dyn AbsentFiles> {
        Arc::new(BucketFiles::new(Arc::clone(guard), self.bucket.clone(), reader))
    }
}

#[derive(Debug, Clone)]
pub struct NodeOptions {
    pub name: String,
    pub base_dir: PathBuf,
    /// Where index and address lie.
    pub state_dir: PathBuf,
    /// Where to listen; port 0 picks one.
    pub listen: SocketAddr,
    pub index: IndexOptions,
    pub watch: WatchOptions,
    pub crawl: CrawlPace,
    /// One directory in so many is read in each cycle although it seems unchanged.
    pub verify_one_in: u64,
    pub scrub: ScrubOptions,
    /// Whether hours are sealed.
    pub seal: bool,
    /// How long they must have been over and unchanged.
    pub seal_after: Span,
    /// Where sealed hours are uploaded to, if anywhere.
    pub bucket: Option<BucketOptions>,
    /// Files of a channel that may be missing at once without confirmation.
    pub doubt_above: u64,
    /// From where on something is a problem.
    pub thresholds: ProblemThresholds,
    pub http: ConnectionLimits,
    /// The certificate to show, for https instead of http.
    pub tls: Option<Arc<tls::TlsServer>>,
    pub bounds: RequestBounds,
    /// By which names it may be asked over the loopback.
    pub hosts: Hosts,
    pub auth: Arc<Auth>,
    /// Hours of each quality whose gauges of coverage are shown one by one, and series of all of them; none where no such gauges are shown.
    pub gauges: Option<(u32, usize)>,
    /// How often maps and pages are written beneath the base; none where they are not.
    pub maps: Option<Duration>,
    pub playback: PlaybackOptions,
    pub ffmpeg: PoolOptions,
    /// Where other nodes to fetch from are found.
    pub sources: SourceOptions,
    pub backfill: BackfillOptions,
    pub layouts: LayoutOptions,
    pub handoffs: HandoffOptions,
    /// Clients are sent to the nodes that have what they ask for.
    pub redirect: bool,
    pub retention: RetentionOptions,
    pub record: Vec<RecordOptions>,
    /// What the configuration names: it is no stranger's.
    pub named: ConfiguredStreams,
}
