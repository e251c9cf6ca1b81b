//! The services of a node: each is built by its own room from its settings and from what it needs of those before it. A new one is a file in
//! its room and a line here.
//!
//! What one does and another acts on goes through [`NodeEvents`]; nothing here holds a service that comes later.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus::Registry;
use tokio::sync::{OnceCell, watch};
use tokio_util::sync::CancellationToken;

use super::survey::SurveyJob;
use super::{BucketOptions, NodeError, NodeOptions};
use crate::archive::HourPlace;
use crate::archive::hole_reasons::LostContent;
use crate::archive::problems::layout::VideoDir;
use crate::archive::{Span, Timestamp};
use crate::bucket::SegmentReader;
use crate::disk::BaseGuard;
use crate::http::{App, ServedNode};
use crate::index::Index;
use crate::jobs::{ForegroundLoad, Job, JobRegistry, NodeEvents, Stop, SystemClock, Wake};
use crate::lifecycle::archiving::{Archiver, DropJob, UploadJob, UploadPlan};
use crate::lifecycle::clock::SystemClocks;
use crate::lifecycle::deleted::DeletionCounter;
use crate::lifecycle::handoffs::{ConfirmationJob, HandoffJob, HandoffParts, Handoffs};
use crate::lifecycle::retention::{Retention, RetentionParts, Runs, free_space};
use crate::lifecycle::seal::{SealVisitor, Sealer};
use crate::play::ffmpeg::Pool;
use crate::play::playback::{FactsVisitor, Playback};
use crate::record::{ArchiveBase, MissedSink, PeerTimes, RecordMetrics, RecordParts, Recorders, StreamTools};
use crate::replicate::HourRules;
use crate::replicate::backfill::{Backfill, BackfillParts, HeardSegments, PeerState, PeerStatus, RecorderSkew};
use crate::replicate::hole_reasons::{Knowledge, MissedQueue, PeerQuery, ReasonFinder};
use crate::replicate::peer::{Dates, Peer, PeerClient, PeerLimits};
use crate::replicate::peer_proxy::PeerProxy;
use crate::replicate::placement::{CurrentLayout, LayoutState, LayoutStore, Ownership, StandIns};
use crate::replicate::sources::{OwnNode, SourceStatus, Sources};
use crate::replicate::whole::{WholeArchive, WholeJob, WholeParts};
use crate::report::coverage::{LiveGauges, MapParts, MapWriter, ShownNode};
use crate::sync::crawl::{CensusVerifier, Crawl, Housekeeping, Keeper, MirrorsNow, Reconcile, Visitor, Watch};
use crate::sync::scrub::{Healing, QuarantineContents, Scrub, ScrubVisitor};
use crate::wire::{PeerReport, RecorderSkewReport, SourceReport};

pub(super) struct Services {
    pub(super) keeper: Arc<Keeper>,
    pub(super) watch: Arc<Watch>,
    pub(super) crawl: Arc<Crawl>,
    pub(super) retention: Arc<Retention>,
    pub(super) ffmpeg: Arc<Pool>,
    pub(super) board: Arc<JobRegistry>,
    pub(super) busy: Arc<ForegroundLoad>,
    pub(super) stop: Stop,
    pub(super) recorders: Arc<Recorders>,
    archiver: Option<Arc<Archiver>>,
    archived_segments: Option<SegmentReader>,
    scrub: Arc<Scrub>,
    playback: Arc<Playback>,
    sources: Arc<Sources>,
    backfill: Arc<Backfill>,
    peer_proxy: Arc<PeerProxy>,
    deletions: Arc<DeletionCounter>,
    dates: Dates,
    instance: u64,
    misplaced: Arc<Mutex<Vec<VideoDir>>>,
    layouts: Arc<LayoutStore>,
    handoffs: Arc<Handoffs>,
    pub(super) whole: Arc<WholeArchive>,
    /// Told of each layout since the jobs were made that rest without one.
    layout: watch::Receiver<LayoutState>,
    resting: [Wake; 3],
}

/// What runs in threads of its own, and wakes it.
pub(super) type Jobs = Vec<(Box<dyn Job>, Wake)>;

impl Services {
    pub(super) fn build(
        options: &NodeOptions,
        (index, guard): (Arc<Index>, Arc<BaseGuard>),
        state_dir: &Path,
        address: SocketAddr,
        registry: &Registry,
    ) -> Result<(Self, Jobs), NodeError> {
        let (stop, board, events) = (Stop::new(), Arc::<JobRegistry>::default(), NodeEvents::default());
        let (busy, instance) = (Arc::<ForegroundLoad>::default(), rand::random());
        let dates = Dates::of(instance);
        let (tls, token) = (&options.backfill.tls, options.backfill.token.as_ref());

        let archived_segments = options.bucket.as_ref().map(|bucket| bucket.reader(state_dir));
        let absent = options.bucket.as_ref().zip(archived_segments.clone());
        let absent = absent.map(|(bucket, reader)| bucket.files(&guard, reader));
        let keeper = Keeper::new(index, guard).doubt_above(options.doubt_above).naming(options.named.clone());
        let keeper = keeper.with_absent(absent);
        let watch = Arc::new(Watch::new(Arc::clone(&keeper), options.watch, stop.clone()));
        let layouts = Arc::new(LayoutStore::new(Arc::clone(keeper.guard()), options.layouts.clone()));
        let quarantine = Arc::new(QuarantineContents::default());
        let scrub = Scrub::new(Arc::clone(&keeper), options.scrub, Arc::clone(&quarantine), events.clone());
        let scrub = Arc::new(scrub);
        let playback = Playback::new(Arc::clone(&keeper), Arc::new(SystemClock::new()), options.playback);
        let crawl = Arc::new(Crawl::new(
            Arc::clone(&keeper),
            visitors(&scrub, &playback, layouts.current(), options),
            options.crawl.clone(),
            Arc::clone(&busy),
            Arc::new(SystemClock::new()),
            stop.clone(),
        ));
        let sources = Sources::new(options.sources.clone(), OwnNode { listen: Some(address) }, state_dir, registry)?;
        let sources = Arc::new(sources);
        let deletions = Arc::new(DeletionCounter::register(registry)?);
        let limits = PeerLimits { dates: dates.clone(), ..PeerLimits::default() };
        let handoffs = HandoffParts {
            keeper: Arc::clone(&keeper),
            is_ready: crawl.readiness(),
            layouts: Arc::clone(&layouts),
            client: PeerClient::with_token(limits.clone(), tls, token)?,
            peers: sources.peers(),
            handle: tokio::runtime::Handle::current(),
            clocks: Arc::new(SystemClocks::new(dates.clone())),
            quarantine: Arc::clone(&quarantine),
            events: events.clone(),
        };
        let handoffs = Arc::new(Handoffs::new(handoffs, options.handoffs, registry)?);
        let archiver = options.bucket.as_ref().map(|BucketOptions { bucket, .. }| {
            let (keeper, keep_free) = (Arc::clone(&keeper), options.thresholds.keep_free);
            let archiver = Archiver::new(keeper, bucket.clone(), keep_free, tokio::runtime::Handle::current());
            Arc::new(archiver.with_ages(options.retention.limits.clone()).with_handoffs(&handoffs))
        });
        let retention = RetentionParts {
            keeper: Arc::clone(&keeper),
            is_ready: crawl.readiness(),
            deletions: Arc::clone(&deletions),
            client: PeerClient::with_token(limits, tls, token)?,
            bucket: options.bucket.as_ref().map(|bucket| bucket.bucket.clone()),
            peers: sources.peers(),
            instance,
            handle: tokio::runtime::Handle::current(),
            clocks: Arc::new(SystemClocks::new(dates.clone())),
            free: free_space(),
            events: events.clone(),
            wake: Wake::new(&stop),
            archiver: archiver.clone(),
            handoffs: Some(Arc::clone(&handoffs)),
        };
        let retention = Arc::new(Retention::new(retention, options.retention.clone(), registry)?);
        let rules = Arc::clone(&retention) as Arc<dyn HourRules>;
        let knowledge = Arc::<Knowledge>::default();
        let missed = Arc::<MissedQueue>::default();
        let lost_objects =
            archiver.as_ref().map(|archiver| Arc::clone(archiver.lost_objects()) as Arc<dyn LostContent>);
        let asks = PeerQuery {
            wants: owned_and_wanted(layouts.current(), options.backfill.wants.asker(&keeper)),
            rules: Arc::clone(&rules),
            peers: sources.asker(),
            quarantine: Arc::clone(&quarantine),
            missed: Arc::clone(&missed),
            lost_objects,
        };
        let holes = Arc::clone(keeper.index());
        let reasons = ReasonFinder::new(holes, Arc::clone(&knowledge), asks, crawl.ready(), registry)?;
        let heard = Arc::<HeardSegments>::default();
        let mirrors = Arc::<MirrorsNow>::default();
        let backfill = BackfillParts {
            keeper: Arc::clone(&keeper),
            list: sources.peers(),
            rules,
            quarantine: Some(quarantine),
            instance,
            knowledge,
            board: Arc::clone(&board),
            busy: Arc::clone(&busy),
            dates: dates.clone(),
            heard: Arc::clone(&heard),
            events,
            layouts: Some(Arc::clone(&layouts)),
            stand_ins: Some(Arc::clone(&handoffs) as Arc<dyn StandIns>),
            mirrors: Arc::clone(&mirrors),
        };
        let backfill = Arc::new(Backfill::new(backfill, options.backfill.clone(), registry)?);
        let whole = WholeArchive::new(WholeParts {
            keeper: Arc::clone(&keeper),
            layout: layouts.current().clone(),
            list: sources.peers(),
            client: PeerClient::with_token(reading_limits(&dates), tls, token)?,
            state_dir: state_dir.to_owned(),
            mirrors,
            redirect: options.redirect,
        });
        let peer_proxy = Arc::new(PeerProxy::new(sources.peers(), tls, token)?);
        let ffmpeg = Arc::new(Pool::new(options.ffmpeg.clone(), registry)?);
        let missing = MissedSink::new(move |stream, each| missed.put(stream, each));
        let recorders = RecordParts {
            archive: ArchiveBase::Guarded(Arc::clone(keeper.guard())),
            board: Arc::clone(&board),
            metrics: RecordMetrics::register(registry)?,
            missed: missing,
            peer_times: PeerTimes::new(move |stream, hash, near| heard.of(stream, hash, near)),
            tools: StreamTools::new(&options.ffmpeg.program),
            authorities: OnceCell::new(),
        };
        let recorders = Arc::new(Recorders::new(recorders, state_dir));
        let survey = SurveyJob::new(Arc::clone(&keeper));
        let misplaced = survey.found();

        let runs = Runs::new(Arc::clone(&retention), stop.clone());
        let healing = Healing::new(Arc::clone(&scrub), crawl.ready());
        let (layout, resting) = (layouts.current().subscribe(), [(); 3].map(|()| Wake::new(&stop)));
        let [for_handoffs, for_confirmations, for_whole] = resting.clone();
        let mut jobs: Jobs = vec![
            (Box::new(runs), retention.wake().clone()),
            (Box::new(reasons), Wake::new(&stop)),
            (Box::new(healing), Wake::new(&stop)),
            (Box::new(survey), Wake::new(&stop)),
            (Box::new(HandoffJob::new(Arc::clone(&handoffs), stop.clone())), for_handoffs),
            (Box::new(ConfirmationJob::new(Arc::clone(&handoffs), stop.clone())), for_confirmations),
            (Box::new(WholeJob::new(&whole)), for_whole),
        ];
        if let Some(every) = options.maps {
            let (name, peers) = (options.name.clone(), sources.peers());
            let nodes = Box::new(move || nodes(&name, &peers.borrow()));
            let parts = MapParts { keeper: Arc::clone(&keeper), ready: crawl.ready(), nodes };
            jobs.push((Box::new(MapWriter::new(parts, every, stop.clone())), Wake::new(&stop)));
        }
        if let (Some(archiver), Some(BucketOptions { every, limits: local, learns, .. })) = (&archiver, &options.bucket)
        {
            let (name, known) = (options.name.clone(), sources.peers());
            let peers = Box::new(move || known.borrow().iter().map(|peer| peer.name.clone()).collect());
            let plan = UploadPlan { every: *every, learns: learns.clone(), name, peers };
            let uploads = UploadJob::new(Arc::clone(archiver), plan, crawl.ready(), stop.clone());
            jobs.push((Box::new(uploads), Wake::new(&stop)));
            if !local.are_off() {
                let drops = DropJob::new(Arc::clone(archiver), *local, *every, crawl.ready(), stop.clone());
                jobs.push((Box::new(drops), Wake::new(&stop)));
            }
        }
        let services = Self {
            archiver,
            archived_segments,
            keeper,
            watch,
            crawl,
            retention,
            ffmpeg,
            board,
            busy,
            stop,
            scrub,
            recorders,
            playback: Arc::new(playback),
            sources,
            backfill,
            peer_proxy,
            deletions,
            dates,
            instance,
            misplaced,
            layouts,
            handoffs,
            whole,
            layout,
            resting,
        };
        Ok((services, jobs))
    }

    pub(super) fn app(&self, options: &NodeOptions, registry: Registry) -> prometheus::Result<App> {
        let (reported, accepting, dates) = (Arc::clone(&self.backfill), Arc::clone(&self.backfill), self.dates.clone());
        let (listed, misplaced) = (Arc::clone(&self.sources), Arc::clone(&self.misplaced));
        let (copies, bucket_copies) = (Arc::clone(&self.retention), Arc::clone(&self.retention));
        App::new(ServedNode {
            name: options.name.clone(),
            base_dir: options.base_dir.clone(),
            keeper: Arc::clone(&self.keeper),
            crawl: Arc::clone(&self.crawl),
            watch: Arc::clone(&self.watch),
            registry,
            jobs: Arc::clone(&self.board),
            accept_bursts: Box::new(move |peer| accepting.accept_bursts(peer)),
            instance: self.instance,
            peers: Box::new(move || reported.status().into_iter().map(|status| report_of(status, &dates)).collect()),
            peer_proxy: Arc::clone(&self.peer_proxy),
            hosts: options.hosts.clone(),
            auth: Arc::clone(&options.auth),
            deleted: Arc::clone(&self.deletions),
            last_copies: Some(Arc::new(move || Box::new(copies.hidden_last_copies()))),
            last_copies_in_bucket: Some(Arc::new(move || Box::new(bucket_copies.hidden_last_copies_in_bucket()))),
            sources: Box::new(move || listed.status().into_iter().map(source_report).collect()),
            retention: Arc::clone(&self.retention),
            scrub: Arc::clone(&self.scrub),
            seal_after: options.seal_after,
            layouts: Arc::clone(&self.layouts),
            handoffs: Some(Arc::clone(&self.handoffs)),
            whole: Some(Arc::clone(&self.whole)),
            archiver: self.archiver.clone(),
            archived_segments: self.archived_segments.clone(),
            coverage: options.gauges.map(|(hours, series)| LiveGauges::new(hours, series)),
            recorders: Some(Arc::clone(&self.recorders)),
            playback: Arc::clone(&self.playback),
            ffmpeg: Arc::clone(&self.ffmpeg),
            thresholds: options.thresholds,
            misplaced: Box::new(move || misplaced.lock().clone()),
            bounds: options.bounds,
        })
    }

    /// Keeps the list of peers, and fetches from them as soon as the index has caught up: before, what is here would look missing.
    pub(super) fn replicate(&self, stop: CancellationToken) -> impl Future<Output = ()> + Send + use<> {
        let (backfill, sources, board) =
            (Arc::clone(&self.backfill), Arc::clone(&self.sources), Arc::clone(&self.board));
        let (ready, scrub) = (self.crawl.ready(), Arc::clone(&self.scrub));
        let waking = wake_by_layout(self.layout.clone(), self.resting.clone(), stop.clone());
        async move {
            tokio::join!(fetch(backfill, ready, scrub, stop.clone()), sources.run(stop.clone(), &board), waking);
        }
    }
}

/// Somebody waits for what is asked with these: what does not come soon is asked of another one.
fn reading_limits(dates: &Dates) -> PeerLimits {
    PeerLimits {
        connect: Duration::from_secs(3),
        silence: Duration::from_secs(6),
        dates: dates.clone(),
        ..PeerLimits::default()
    }
}

/// Wakes what rests without a layout when there is one, or none any more.
async fn wake_by_layout(mut layout: watch::Receiver<LayoutState>, resting: [Wake; 3], stop: CancellationToken) {
    while let Some(Ok(())) = stop.run_until_cancelled(layout.changed()).await {
        resting.iter().for_each(Wake::wake);
    }
}

async fn fetch(backfill: Arc<Backfill>, mut ready: watch::Receiver<bool>, scrub: Arc<Scrub>, stop: CancellationToken) {
    tokio::select! {
        caught_up = ready.wait_for(|ready| *ready) => if caught_up.is_err() { return },
        () = stop.cancelled() => return,
    }
    // Which names are not to be fetched. Where it cannot be read now that is tried again, and nothing is fetched before.
    if let Ok(Err(error)) = tokio::task::spawn_blocking(move || scrub.prepare().map(drop)).await {
        tracing::warn!(name: "quarantine_unreadable", %error, "what lies in the quarantine cannot be read; nothing is fetched until it can");
    }
    backfill.run(stop).await;
}

/// Those that are carried past every hour, over and over.
fn visitors(
    scrub: &Arc<Scrub>,
    playback: &Playback,
    layout: &CurrentLayout,
    options: &NodeOptions,
) -> Vec<Box<dyn Visitor>> {
    let (keeper, expiring) = (scrub.keeper(), Arc::clone(scrub));
    let mut all: Vec<Box<dyn Visitor>> = vec![
        Box::new(Reconcile::new(Arc::clone(keeper), options.verify_one_in)),
        Box::new(CensusVerifier::new(Arc::clone(keeper))),
        Box::new(Housekeeping::new(Arc::clone(keeper)).with(Box::new(move || expiring.expire().map(drop)))),
        Box::new(ScrubVisitor::new(Arc::clone(scrub))),
        Box::new(FactsVisitor::new(playback)),
    ];
    if options.seal {
        let sealer = Arc::new(Sealer::new(Arc::clone(keeper)).under(layout));
        all.push(Box::new(SealVisitor::new(sealer, options.seal_after)));
    }
    all
}

/// Whose maps a page shows: this node's, and those of all its peers.
fn nodes(name: &str, peers: &[Peer]) -> Vec<ShownNode> {
    let own = ShownNode { name: name.to_owned(), url: None };
    let others = peers.iter().map(|peer| ShownNode::peer(peer.name.clone(), &peer.url.to_string()));
    std::iter::once(own).chain(others).collect()
}

pub(super) fn report_of(status: PeerStatus, dates: &Dates) -> PeerReport {
    let skews = status.skews().into_iter().map(skew_report).collect();
    let (last, took) = status.last.unwrap_or_default();
    let state = match status.state {
        PeerState::New => "new",
        PeerState::Round => "round",
        PeerState::Following => "following",
        PeerState::Resting => "resting",
        PeerState::BackingOff => "backing-off",
        PeerState::Itself => "itself",
    };
    let clock_ahead_seconds = dates.ahead_of(&status.peer.url).map(Span::seconds);
    PeerReport {
        clock_ahead_seconds,
        name: status.peer.name,
        url: status.peer.url.to_string(),
        state: state.to_owned(),
        speaks: status.is_ours.map(|is_ours| if is_ours { "gapless" } else { "fixed-part" }.to_owned()),
        trusted: status.peer.trusted,
        rounds: status.rounds,
        failures: status.failures,
        hours_done: status.hours.0,
        hours_total: status.hours.1,
        fetched: last.fetched,
        bytes: last.bytes,
        requests: last.requests,
        seconds: took.as_secs_f64(),
        fetched_in_all: status.all.fetched,
        bytes_in_all: status.all.bytes,
        extras_in_all: status.all.extras,
        tombstones_in_all: status.all.tombstones,
        errors_in_all: status.all.errors + status.all.hash_mismatches,
        behind_segments: status.behind,
        behind_seconds: status.lag.as_secs_f64(),
        complete_round: status.complete.map(Timestamp::from),
        next_round: status.next.map(Timestamp::from),
        future_hours: last.future,
        passed_over: last.passed_over,
        passed_over_names: last.passed_over_names,
        strangers_bytes: status.filled.used.bytes,
        strangers_budget_bytes: status.filled.budget,
        strangers_channels: status.filled.used.streams,
        strangers_full: status.full,
        bursts: last.bursts,
        conflict: status.conflict.map(|conflict| conflict.to_string()),
        skews,
        error: status.error,
    }
}

fn skew_report(skew: RecorderSkew) -> RecorderSkewReport {
    RecorderSkewReport {
        channel: skew.stream.channel,
        quality: skew.stream.quality,
        later_seconds: skew.later.seconds(),
        segments: skew.segments as u64,
        newest: skew.newest,
    }
}

pub(super) fn source_report(status: SourceStatus) -> SourceReport {
    SourceReport {
        kind: status.kind.to_owned(),
        place: status.place,
        peers: status.peers as u64,
        read: status.read.map(Timestamp::from),
        remembered: status.is_remembered,
        failures: status.failures,
        failing_since: status.failing_since.map(Timestamp::from),
        error: status.error,
        left_out: status.problems,
    }
}

/// Whether an hour is fetched: it belongs here, and the settings do not leave it out.
fn owned_and_wanted(
    layout: &CurrentLayout,
    wants: Box<dyn Fn(&HourPlace) -> bool + Send + Sync>,
) -> Box<dyn Fn(&HourPlace) -> bool + Send + Sync> {
    let layout = layout.clone();
    Box::new(move |place| wants(place) && matches!(layout.ownership(place), Ownership::Everything | Ownership::Owner))
}
