//! The daemon: builds everything, joins it, and ends it in order.
//!
//! 1. Locks, marker, index ([`crate::sync::startup`]).
//! 2. The watcher places its watches; the crawl catches up; questions are answered from the first moment.
//! 3. The jobs run, each in a thread of its own and all under one contract ([`crate::jobs::Job`]); how they are stands on one board.
//! 4. Once the index has caught up, retention deletes old hours, and the reasons of holes are worked out.
//! 5. At the end: no new connections, what is in hand is finished, the jobs stop, the index is closed.

mod address;
mod pulse;
mod reports;
mod sentinel;
pub mod service;
mod survey;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use prometheus::Registry;
use tokio_util::sync::CancellationToken;

use self::address::{AddressFile, renew};
use self::reports::{report_of, source_report};
use self::sentinel::Sentinel;
use self::survey::SurveyJob;
use crate::archive::origins::ConfiguredStreams;
use crate::archive::problems::video::ProblemThresholds;
use crate::disk::BaseGuard;
use crate::http::operator_actions::BackfillActions;
use crate::http::{App, AppParts, Auth, ConnectionLimits, Hosts, HttpMetrics, RequestBounds, listen, router, serve};
use crate::index::{Index, IndexOptions};
use crate::jobs::{Job, JobRegistry, Runner, Stop, SystemClock, Wake};
use crate::lifecycle::deleted::DeletionCounter;
use crate::lifecycle::retention::{Retention, RetentionOptions, Runs};
use crate::net::tls;
use crate::play::ffmpeg::{Pool, PoolOptions};
use crate::play::playback::{FactsVisitor, Playback, PlaybackOptions};
use crate::replicate::backfill::{Backfill, BackfillError, BackfillOptions, KeepRules, RefusedContent};
use crate::replicate::hole_reasons::{PeerQuery, ReasonFinder};
use crate::replicate::peer::{Peer, PeerClient, PeerError, PeerLimits};
use crate::replicate::peer_proxy::PeerProxy;
use crate::replicate::sources::{OwnNode, SourceOptions, Sources};
use crate::report::coverage::{LiveGauges, MapParts, MapWriter, ShownNode};
use crate::sync::crawl::{
    CensusVerifier, Crawl, CrawlPace, Housekeeping, Keeper, Pacing, Reconcile, Visitor, Watch, WatchOptions,
};
use crate::sync::scrub::{Healing, QuarantineContents, Scrub, ScrubOptions, ScrubVisitor};
use crate::sync::startup::{Locked, StartupError};

use pulse::VitalJobs;
pub use pulse::{ENDING, NodePulse};

/// Configuration of a node.
#[derive(Debug, Clone)]
pub struct NodeOptions {
    /// Its name.
    pub name: String,
    /// The archive.
    pub base_dir: PathBuf,
    /// Where index and address lie.
    pub state_dir: PathBuf,
    /// Where to listen; port 0 picks one.
    pub listen: SocketAddr,
    /// The index.
    pub index: IndexOptions,
    /// The watcher.
    pub watch: WatchOptions,
    /// The crawl.
    pub crawl: CrawlPace,
    /// One directory in so many is read in each cycle although it seems unchanged.
    pub verify_one_in: u64,
    /// The scrub.
    pub scrub: ScrubOptions,
    /// Files of a channel that may be missing at once without confirmation.
    pub doubt_above: u64,
    /// From where on something is a problem.
    pub thresholds: ProblemThresholds,
    /// Connections.
    pub http: ConnectionLimits,
    /// The certificate to show, for https instead of http.
    pub tls: Option<Arc<tls::TlsServer>>,
    /// Questions.
    pub bounds: RequestBounds,
    /// By which names it may be asked over the loopback.
    pub hosts: Hosts,
    /// Who may read and write.
    pub auth: Arc<Auth>,
    /// Hours of each quality whose gauges of coverage are shown one by one, and series of all of them; none where no such gauges are shown.
    pub gauges: Option<(u32, usize)>,
    /// How often maps and pages are written beneath the base; none where they are not.
    pub maps: Option<Duration>,
    /// Bytes of listings that are cached.
    pub listing_cache: usize,
    /// How much may be watched at once.
    pub playback: PlaybackOptions,
    /// What ffmpeg may do.
    pub ffmpeg: PoolOptions,
    /// Where other nodes to fetch from are found.
    pub sources: SourceOptions,
    /// How to.
    pub backfill: BackfillOptions,
    /// What is deleted, and when.
    pub retention: RetentionOptions,
    /// What the configuration names: it is no stranger's.
    pub named: ConfiguredStreams,
}

/// Why a node could not start.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// Locks, marker, index.
    #[error(transparent)]
    Startup(#[from] StartupError),
    /// The address.
    #[error("cannot listen on {address}: {cause}; choose another with --listen")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        cause: io::Error,
    },
    /// A thread.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
    /// The client towards other nodes.
    #[error(transparent)]
    Backfill(#[from] BackfillError),
    /// The client by which retention asks other nodes.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// Metrics registered twice.
    #[error("cannot set up metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// A node that runs.
pub struct Node {
    /// Where it listens.
    pub address: SocketAddr,
    /// `http` or `https`.
    pub scheme: &'static str,
    keeper: Arc<Keeper>,
    watch: Arc<Watch>,
    crawl: Arc<Crawl>,
    board: Arc<JobRegistry>,
    stop: Stop,
    shutdown: CancellationToken,
    server: tokio::task::JoinHandle<()>,
    fetching: tokio::task::JoinHandle<()>,
    threads: Vec<JoinHandle<()>>,
    vital: VitalJobs,
    ffmpeg: Arc<Pool>,
    address_file: Arc<AddressFile>,
    locked: Locked,
}

impl Node {
    /// Starts a node; when this returns it is listening.
    pub async fn start(options: NodeOptions, registry: Registry) -> Result<Self, NodeError> {
        let opened = tokio::task::spawn_blocking({
            let options = options.clone();
            move || open(&options)
        });
        let (locked, index, guard) = opened.await.map_err(|error| NodeError::Thread(io::Error::other(error)))??;
        let (stop, board) = (Stop::new(), Arc::new(JobRegistry::default()));
        let keeper = Arc::new(Keeper::new(index, guard).doubt_above(options.doubt_above).naming(options.named));
        let watch = Arc::new(Watch::new(Arc::clone(&keeper), options.watch, stop.clone()));
        let (busy, clock) = (Arc::clone(&options.backfill.busy), Arc::new(SystemClock::new()));
        let kept = Arc::new(QuarantineContents::default());
        let scrub = Arc::new(Scrub::new(Arc::clone(&keeper), options.scrub, Arc::clone(&kept)));
        let playback = Arc::new(Playback::new(Arc::clone(&keeper), Arc::new(SystemClock::new()), options.playback));
        let visitors = visitors(&scrub, &playback, options.verify_one_in);
        let counted = Arc::clone(&busy);
        let crawl =
            Arc::new(Crawl::new(Arc::clone(&keeper), visitors, options.crawl, Arc::clone(&busy), clock, stop.clone()));

        let listening = |cause| NodeError::Listen { address: options.listen, cause };
        let listener = listen(options.listen).map_err(listening)?;
        let address = listener.local_addr().map_err(listening)?;
        options.auth.listens_at(address.ip());
        let metrics = HttpMetrics::register(&registry, counted)?;
        let shutdown = CancellationToken::new();
        let instance = options.backfill.instance;
        let own = OwnNode { listen: Some(address) };
        let sources = Arc::new(Sources::new(options.sources, own, &locked.state_dir, &registry)?);
        let deleted = Arc::new(DeletionCounter::register(&registry)?);
        let dates = crate::replicate::peer::Dates::of(instance);
        let parts = crate::lifecycle::retention::RetentionParts {
            keeper: Arc::clone(&keeper),
            is_ready: crawl.readiness(),
            deletions: Arc::clone(&deleted),
            client: PeerClient::with_token(
                PeerLimits { dates: dates.clone(), ..PeerLimits::default() },
                &options.backfill.tls,
                options.backfill.token.as_ref(),
            )?,
            peers: sources.peers(),
            instance,
            handle: tokio::runtime::Handle::current(),
            clocks: Arc::new(crate::lifecycle::clock::SystemClocks::new(dates.clone())),
            free: crate::lifecycle::retention::free_space(),
        };
        let retention = Arc::new(Retention::new(parts, options.retention, &registry)?);
        let (knowledge, wants) = (Arc::clone(&options.backfill.knowledge), options.backfill.wants.clone());
        let (keeping, listing, meant) = (Arc::clone(&retention), Arc::clone(&sources), Arc::clone(&keeper));
        let asks = PeerQuery {
            wants: Box::new(move |place| {
                let (channel, quality) = (place.stream.channel.as_str(), place.stream.quality.as_str());
                let is_left = wants.leaves(place.hour, meant.horizon());
                wants.channel(channel) && wants.quality(quality) && wants.hour(place.hour) && !is_left
            }),
            keeps: Box::new(move |place| keeping.keeps(place) != Some(false)),
            peers: Box::new(move || {
                let names = || listing.peers().borrow().iter().map(|peer| peer.name.clone()).collect();
                listing.are_tried().then(names)
            }),
            damaged: {
                let lost = Arc::clone(&kept);
                Box::new(move |stream, hole| lost.lost_within(stream, hole))
            },
        };
        let reasons = ReasonFinder::new(Arc::clone(keeper.index()), knowledge, asks, crawl.ready(), &registry)?;
        let retired = Arc::clone(&retention);
        let peer_proxy = PeerProxy::new(sources.peers(), &options.backfill.tls, options.backfill.token.as_ref())?;
        let adding = Arc::clone(&retired);
        let keeps =
            KeepRules::new(move |place| retired.keeps(place)).with_room(move |place| adding.room_beside_own(place));
        let refuses = RefusedContent::new(move |place, name| kept.is_bad_name(place, name));
        let heard = dates.clone();
        let wanted = BackfillOptions { keeps, refuses, board: Arc::clone(&board), dates, ..options.backfill };
        let backfill = Arc::new(Backfill::new(Arc::clone(&keeper), sources.peers(), wanted, &registry)?);
        let comparing = Arc::downgrade(&backfill);
        retention.on_change(Box::new(move || {
            if let Some(running) = comparing.upgrade() {
                running.compare_again();
            }
        }));
        let refetching = Arc::downgrade(&backfill);
        scrub.on_move(Box::new(move || {
            if let Some(running) = refetching.upgrade() {
                running.round_now();
            }
        }));
        let maps = options.maps.map(|every| {
            let (name, peers) = (options.name.clone(), sources.peers());
            let nodes = Box::new(move || nodes(&name, &peers.borrow()));
            MapWriter::new(MapParts { keeper: Arc::clone(&keeper), ready: crawl.ready(), nodes }, every, stop.clone())
        });
        let ffmpeg = Arc::new(Pool::new(options.ffmpeg, &registry)?);
        let (reported, listed) = (Arc::clone(&backfill), Arc::clone(&sources));
        let survey = SurveyJob::new(Arc::clone(&keeper));
        let surveyed = survey.found();
        let app = App::new(AppParts {
            name: options.name.clone(),
            base_dir: options.base_dir,
            keeper: Arc::clone(&keeper),
            crawl: Arc::clone(&crawl),
            watch: Arc::clone(&watch),
            registry,
            board: Arc::clone(&board),
            backfill_actions: backfill_actions(&backfill),
            instance,
            peers: Box::new(move || reported.status().into_iter().map(|status| report_of(status, &heard)).collect()),
            peer_proxy: Arc::new(peer_proxy),
            hosts: options.hosts,
            auth: Arc::clone(&options.auth),
            deleted,
            last_copies: Some(last_copies(&retention)),
            sources: Box::new(move || listed.status().into_iter().map(source_report).collect()),
            retention: Arc::clone(&retention),
            scrub: Arc::clone(&scrub),
            coverage: options.gauges.map(|(hours, series)| LiveGauges::new(hours, series)),
            playback,
            ffmpeg: Arc::clone(&ffmpeg),
            listing_cache: options.listing_cache,
            thresholds: options.thresholds,
            misplaced: Box::new(move || surveyed.lock().clone()),
            bounds: options.bounds,
        })?;
        let app = Arc::new(app.until(shutdown.clone()));
        let fetching = tokio::spawn(fetch(
            backfill,
            (sources, Arc::clone(&board)),
            (crawl.ready(), Arc::clone(&scrub)),
            shutdown.clone(),
        ));
        let vital = VitalJobs::default();
        let serving = serve(listener, router(app, &metrics), options.http, options.tls.clone(), shutdown.clone());
        let held = vital.hold("server");
        let server = tokio::spawn(async move {
            let _held = held;
            serving.await;
        });
        let shown = options.tls.as_ref().map(|shown| shown.fingerprint());
        let address_file = AddressFile::new(&locked.state_dir, address, &options.name, shown, options.auth.own());
        let address_file = Arc::new(address_file);
        if let Some(followed) = options.tls {
            tokio::spawn(renew(followed, Arc::clone(&address_file), shutdown.clone()));
        }
        let mut node = Self {
            address,
            scheme: if shown.is_some() { "https" } else { "http" },
            keeper,
            watch,
            crawl,
            board,
            stop,
            shutdown,
            server,
            fetching,
            threads: Vec::new(),
            vital,
            ffmpeg,
            address_file,
            locked,
        };
        let healing = Healing::new(scrub, node.ready());
        node.spawn_jobs(retention, reasons, healing, maps)?;
        node.spawn_job(survey, Wake::new(&node.stop))?;
        Ok(node)
    }

    fn spawn_jobs(
        &mut self,
        retention: Arc<Retention>,
        reasons: ReasonFinder,
        healing: Healing,
        maps: Option<MapWriter>,
    ) -> Result<(), NodeError> {
        let watch = Arc::clone(&self.watch);
        self.spawn("watch", move || watch.run())?;
        let (catching_up, carry) = self.crawl.jobs();
        let catching_up = Runner::new(catching_up, &self.board, Wake::new(&self.stop));
        self.spawn("catch-up", move || catching_up.run())?;
        let carry = Runner::new(carry, &self.board, Wake::new(&self.stop));
        self.spawn("crawl", move || {
            be_last();
            carry.run();
        })?;
        self.address_file.write_or_warn();
        let retires = Wake::new(&self.stop);
        self.spawn_job(Runs::new(retention, self.stop.clone(), retires.clone()), retires.clone())?;
        self.spawn_job(reasons, Wake::new(&self.stop))?;
        self.spawn_job(healing, Wake::new(&self.stop))?;
        if let Some(maps) = maps {
            self.spawn_job(maps, Wake::new(&self.stop))?;
        }
        let sentinel = Sentinel::new(sentinel::SentinelParts {
            keeper: Arc::clone(&self.keeper),
            watch: Arc::clone(&self.watch),
            crawl: Arc::clone(&self.crawl),
            address_file: Arc::clone(&self.address_file),
            board: Arc::clone(&self.board),
            woken: vec![retires],
        });
        self.spawn_job(sentinel, Wake::new(&self.stop))
    }

    fn spawn_job(&mut self, job: impl Job + 'static, wake: Wake) -> Result<(), NodeError> {
        let name = job.kind();
        let runner = Runner::new(job, &self.board, wake);
        self.spawn(name, move || runner.run())
    }

    /// None of these threads may end before the node does: when one does, a service manager may start the node anew.
    fn spawn(&mut self, name: &'static str, job: impl FnOnce() + Send + 'static) -> Result<(), NodeError> {
        let held = self.vital.hold(name);
        let job = move || {
            let _held = held;
            job();
        };
        self.threads.push(std::thread::Builder::new().name(name.into()).spawn(job).map_err(NodeError::Thread)?);
        Ok(())
    }

    /// The pace of the crawl.
    pub fn pacing(&self) -> &Pacing {
        self.crawl.pacing()
    }

    /// Turns true when the index has caught up with the disk.
    pub fn ready(&self) -> tokio::sync::watch::Receiver<bool> {
        self.crawl.ready()
    }

    /// How it is, for a service manager; can be asked until the very end.
    pub fn pulse(&self) -> NodePulse {
        NodePulse::new(Arc::clone(&self.keeper), Arc::clone(&self.crawl), self.vital.clone())
    }

    /// Ends it in order.
    pub async fn stop(self) {
        self.vital.ending();
        self.shutdown.cancel();
        if self.fetching.await.is_err() {
            tracing::error!(name: "backfill_ended_badly", "backfill crashed");
        }
        if self.server.await.is_err() {
            tracing::error!(name: "server_failed", "the server crashed");
        }
        self.ffmpeg.end();
        self.stop.stop();
        self.watch.wake();
        let (threads, keeper) = (self.threads, self.keeper);
        let ended = tokio::task::spawn_blocking(move || {
            for thread in threads {
                if thread.join().is_err() {
                    tracing::error!(name: "job_failed", "a job crashed");
                }
            }
            keeper.index().close();
        });
        if ended.await.is_err() {
            tracing::error!(name: "end_failed", "the index was not closed; it is checked at the next start");
        }
        self.address_file.remove();
        drop(self.locked);
    }
}

/// Who is carried past every hour, over and over.
fn visitors(scrub: &Arc<Scrub>, playback: &Playback, verify_one_in: u64) -> Vec<Box<dyn Visitor>> {
    let (keeper, expiring) = (scrub.keeper(), Arc::clone(scrub));
    vec![
        Box::new(Reconcile::new(Arc::clone(keeper), verify_one_in)),
        Box::new(CensusVerifier::new(Arc::clone(keeper))),
        Box::new(Housekeeping::new(Arc::clone(keeper)).with(Box::new(move || expiring.expire().map(drop)))),
        Box::new(ScrubVisitor::new(Arc::clone(scrub))),
        Box::new(FactsVisitor::new(playback)),
    ]
}

/// This thread runs only when the processor is idle.
fn be_last() {
    if let Err(error) = rustix::process::setpriority_process(None, 19) {
        tracing::debug!(name: "priority_kept", %error, "the crawl runs with the same priority as everything else");
    }
}

fn open(options: &NodeOptions) -> Result<(Locked, Arc<Index>, Arc<BaseGuard>), NodeError> {
    let locked = Locked::acquire(&options.base_dir, &options.state_dir)?;
    let index = locked.open_index(options.index.clone())?;
    if let Some(from) = index.report().migrated_from {
        tracing::info!(name: "index_migrated", from, "the index was brought up to the current format");
    }
    if let Some((aside, why)) = &index.report().set_aside {
        tracing::error!(name: "index_set_aside", file = %aside.display(), why, "the index was damaged; it is being made anew from the files");
    }
    let identity = locked.identify(&index)?;
    let base = crate::disk::Base::open(&options.base_dir).map_err(StartupError::from)?;
    Ok((locked, Arc::new(index), Arc::new(BaseGuard::new(base, identity))))
}

/// Fetches from other nodes as soon as the index has caught up: before, what is here would look missing.
async fn fetch(
    backfill: Arc<Backfill>,
    (sources, board): (Arc<Sources>, Arc<JobRegistry>),
    (mut ready, scrub): (tokio::sync::watch::Receiver<bool>, Arc<Scrub>),
    stop: CancellationToken,
) {
    let fetching = async {
        tokio::select! {
            caught_up = ready.wait_for(|ready| *ready) => if caught_up.is_err() { return },
            () = stop.cancelled() => return,
        }
        // Which names are not to be fetched. Where it cannot be read now that is tried again, and nothing is fetched before.
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || scrub.prepare().map(drop)).await {
            tracing::warn!(name: "quarantine_unreadable", %error, "what lies in the quarantine cannot be read; nothing is fetched until it can");
        }
        backfill.run(stop.clone()).await;
    };
    tokio::join!(fetching, sources.run(stop.clone(), &board));
}

/// Whose maps a page shows: this node's, and those of all that it knows.
fn nodes(name: &str, peers: &[Peer]) -> Vec<ShownNode> {
    let own = ShownNode { name: name.to_owned(), url: None };
    let others = peers.iter().map(|peer| ShownNode::peer(peer.name.clone(), &peer.url.to_string()));
    std::iter::once(own).chain(others).collect()
}

/// What an operator may ask of backfill.
fn backfill_actions(backfill: &Arc<Backfill>) -> BackfillActions {
    let accepting = Arc::clone(backfill);
    BackfillActions { accept_bursts: Box::new(move |peer| accepting.accept_bursts(peer)) }
}

/// Files that no other node has are not purged, if retention is configured so.
fn last_copies(retention: &Arc<Retention>) -> Arc<crate::lifecycle::tombstones::MakeStay> {
    let retention = Arc::clone(retention);
    Arc::new(move || Box::new(retention.hidden_last_copies()))
}
