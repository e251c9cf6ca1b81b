//! The daemon: builds everything, joins it, and ends it in order.
//!
//! 1. Locks, marker, index ([`crate::startup`]).
//! 2. The watcher places its watches; the crawl catches up; questions are answered from the first moment.
//! 3. The sentinel looks after the disk: whether it is there, and what to do when it is back.
//! 4. Retention deletes what is not to be kept, once the index has caught up; why holes are open is worked out from then on.
//! 5. At the end: no new connections, what is in hand is finished, the jobs stop, the index is closed.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use prometheus::Registry;
use tokio_util::sync::CancellationToken;

use crate::backfill::{Backfill, BackfillError, BackfillOptions, Keeps, PeerState, PeerStatus};
use crate::coverage::{LiveGauges, MapParts, MapWriter, Shown};
use crate::crawl::{CountAgain, Crawl, Housekeeping, Keeper, Pace, Pacing, Reconcile, Visitor, Watch, WatchOptions};
use crate::deleted::Deletions;
use crate::disk::{Checked, Guard};
use crate::domain::Timestamp;
use crate::domain::coverage::Stretch;
use crate::elsewhere::Elsewhere;
use crate::http::orders::Orders;
use crate::http::{App, Auth, Bounds, HttpMetrics, Limits, Parts, listen, router, serve};
use crate::index::{Index, IndexOptions};
use crate::ledger::{Asks, Reasons};
use crate::peer::{Limits as PeerLimits, Peer, PeerClient, PeerError};
use crate::retention::{Retention, RetentionOptions};
use crate::runtime::{Stop, SystemClock};
use crate::sources::{Own, SourceOptions, SourceStatus, Sources};
use crate::startup::{Locked, StartupError};
use crate::tls::{self, Fingerprint};
use crate::tokens::Token;
use crate::wire::{PeerReport, SourceReport};

/// How often it is looked whether the disk is there.
const LOOK: Duration = Duration::from_millis(500);

/// What a node is told.
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
    pub crawl: Pace,
    /// One directory in so many is read in each cycle although it seems unchanged.
    pub verify_one_in: u64,
    /// Files of a channel that may be missing at once without a question.
    pub doubt_above: u64,
    /// Connections.
    pub http: Limits,
    /// The certificate to show, for https instead of http.
    pub tls: Option<Arc<tls::Server>>,
    /// Questions.
    pub bounds: Bounds,
    /// Who may read and write.
    pub auth: Arc<Auth>,
    /// Hours of each quality whose gauges of coverage are told one by one; none where no such gauges are told.
    pub gauge_hours: Option<u32>,
    /// How often maps and pages are written beneath the base; none where they are not.
    pub maps: Option<Duration>,
    /// Bytes of listings that are kept.
    pub listing_cache: usize,
    /// Where other nodes to fetch from are found.
    pub sources: SourceOptions,
    /// How to.
    pub backfill: BackfillOptions,
    /// What is deleted, and when.
    pub retention: RetentionOptions,
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
    retention: Arc<Retention>,
    reasons: Arc<Reasons>,
    stop: Stop,
    shutdown: CancellationToken,
    server: tokio::task::JoinHandle<()>,
    fetching: tokio::task::JoinHandle<()>,
    threads: Vec<JoinHandle<()>>,
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
        let stop = Stop::new();
        let keeper = Arc::new(Keeper::new(index, guard).doubt_above(options.doubt_above));
        let watch = Arc::new(Watch::new(Arc::clone(&keeper), options.watch, stop.clone()));
        let (busy, clock) = (Arc::clone(&options.backfill.busy), Arc::new(SystemClock::new()));
        let visitors = visitors(&keeper, options.verify_one_in);
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
        let own = Own { name: options.name.clone(), listen: Some(address) };
        let sources = Arc::new(Sources::new(options.sources, own, &locked.state_dir, &registry)?);
        let deleted = Arc::new(Deletions::register(&registry)?);
        let parts = crate::retention::Parts {
            keeper: Arc::clone(&keeper),
            ready: crawl.ready(),
            deletions: Arc::clone(&deleted),
            client: PeerClient::with_token(
                PeerLimits::default(),
                &options.backfill.tls,
                options.backfill.token.as_ref(),
            )?,
            peers: sources.peers(),
            instance,
            handle: tokio::runtime::Handle::current(),
        };
        let retention = Arc::new(Retention::new(parts, options.retention, &registry)?);
        let (knowledge, wants) = (Arc::clone(&options.backfill.knowledge), options.backfill.wants.clone());
        let (keeping, listing) = (Arc::clone(&retention), Arc::clone(&sources));
        let asks = Asks {
            wants: Box::new(move |place| {
                let (channel, quality) = (place.stream.channel.as_str(), place.stream.quality.as_str());
                wants.channel(channel) && wants.quality(quality) && wants.hour(place.hour)
            }),
            keeps: Box::new(move |place| keeping.keeps(place) != Some(false)),
            peers: Box::new(move || {
                let names = || listing.peers().borrow().iter().map(|peer| peer.name.clone()).collect();
                listing.are_tried().then(names)
            }),
        };
        let reasons = Arc::new(Reasons::new(Arc::clone(keeper.index()), knowledge, asks, &registry)?);
        let retired = Arc::clone(&retention);
        let elsewhere = Elsewhere::new(sources.peers(), &options.backfill.tls, options.backfill.token.as_ref())?;
        let wanted = BackfillOptions { keeps: Keeps::new(move |place| retired.keeps(place)), ..options.backfill };
        let backfill = Arc::new(Backfill::new(Arc::clone(&keeper), sources.peers(), wanted, &registry)?);
        let comparing = Arc::downgrade(&backfill);
        retention.on_change(Box::new(move || {
            if let Some(running) = comparing.upgrade() {
                running.compare_again();
            }
        }));
        let maps = options.maps.map(|every| {
            let (name, peers) = (options.name.clone(), sources.peers());
            let nodes = Box::new(move || nodes(&name, &peers.borrow()));
            MapWriter::new(MapParts { keeper: Arc::clone(&keeper), ready: crawl.ready(), nodes }, every)
        });
        let (reported, listed) = (Arc::clone(&backfill), Arc::clone(&sources));
        let app = App::new(Parts {
            name: options.name.clone(),
            base_dir: options.base_dir,
            keeper: Arc::clone(&keeper),
            crawl: Arc::clone(&crawl),
            watch: Arc::clone(&watch),
            registry,
            orders: orders(&backfill),
            instance,
            peers: Box::new(move || reported.status().into_iter().map(report_of).collect()),
            elsewhere: Arc::new(elsewhere),
            auth: Arc::clone(&options.auth),
            deleted,
            last_copies: Some(last_copies(&retention)),
            sources: Box::new(move || listed.status().into_iter().map(source_report).collect()),
            retention: Arc::clone(&retention),
            coverage: options.gauge_hours.map(LiveGauges::new),
            listing_cache: options.listing_cache,
            bounds: options.bounds,
        })?;
        let app = Arc::new(app.until(shutdown.clone()));
        let fetching = tokio::spawn(fetch(backfill, sources, crawl.ready(), shutdown.clone()));
        let server =
            tokio::spawn(serve(listener, router(app, &metrics), options.http, options.tls.clone(), shutdown.clone()));
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
            retention,
            reasons,
            stop,
            shutdown,
            server,
            fetching,
            threads: Vec::new(),
            address_file,
            locked,
        };
        node.spawn_jobs(maps)?;
        Ok(node)
    }

    fn spawn_jobs(&mut self, maps: Option<MapWriter>) -> Result<(), NodeError> {
        let watch = Arc::clone(&self.watch);
        self.spawn("watch", move || watch.run())?;
        let crawl = Arc::clone(&self.crawl);
        self.spawn("catch-up", move || crawl.run())?;
        let rounds = Arc::clone(&self.crawl);
        self.spawn("crawl", move || {
            be_last();
            rounds.run_rounds();
        })?;
        self.address_file.write_or_warn();
        let (retention, stop) = (Arc::clone(&self.retention), self.stop.clone());
        self.spawn("retention", move || retention.run(&stop))?;
        let (reasons, ready, ending) = (Arc::clone(&self.reasons), self.crawl.ready(), self.stop.clone());
        self.spawn("reasons", move || reasons.run(&ready, &ending))?;
        if let Some(maps) = maps {
            let until = self.stop.clone();
            self.spawn("coverage-maps", move || maps.run(&until))?;
        }
        let sentinel = Sentinel {
            keeper: Arc::clone(&self.keeper),
            watch: Arc::clone(&self.watch),
            crawl: Arc::clone(&self.crawl),
            address_file: self.address_file.clone(),
            stop: self.stop.clone(),
        };
        self.spawn("sentinel", move || sentinel.run())
    }

    fn spawn(&mut self, name: &str, job: impl FnOnce() + Send + 'static) -> Result<(), NodeError> {
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

    /// Ends it in order.
    pub async fn stop(self) {
        self.shutdown.cancel();
        if self.fetching.await.is_err() {
            tracing::error!(name: "backfill_ended_badly", "backfill ended badly");
        }
        if self.server.await.is_err() {
            tracing::error!(name: "server_failed", "the server ended badly");
        }
        self.stop.stop();
        self.watch.wake();
        let (threads, keeper) = (self.threads, self.keeper);
        let ended = tokio::task::spawn_blocking(move || {
            for thread in threads {
                if thread.join().is_err() {
                    tracing::error!(name: "job_failed", "a job ended badly");
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
fn visitors(keeper: &Arc<Keeper>, verify_one_in: u64) -> Vec<Box<dyn Visitor>> {
    vec![
        Box::new(Reconcile::new(Arc::clone(keeper), verify_one_in)),
        Box::new(CountAgain::new(Arc::clone(keeper))),
        Box::new(Housekeeping::new(Arc::clone(keeper))),
    ]
}

/// What this thread does is done when nobody else wants the processor.
fn be_last() {
    if let Err(error) = rustix::process::setpriority_process(None, 19) {
        tracing::debug!(name: "priority_kept", %error, "the crawl runs with the same priority as everything else");
    }
}

fn open(options: &NodeOptions) -> Result<(Locked, Arc<Index>, Arc<Guard>), NodeError> {
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
    Ok((locked, Arc::new(index), Arc::new(Guard::new(base, identity))))
}

/// Fetches from other nodes as soon as the index has caught up: before, what is here would look missing.
async fn fetch(
    backfill: Arc<Backfill>,
    sources: Arc<Sources>,
    mut ready: tokio::sync::watch::Receiver<bool>,
    stop: CancellationToken,
) {
    let fetching = async {
        tokio::select! {
            caught_up = ready.wait_for(|ready| *ready) => if caught_up.is_err() { return },
            () = stop.cancelled() => return,
        }
        backfill.run(stop.clone()).await;
    };
    tokio::join!(fetching, sources.run(stop.clone()));
}

/// Whose maps a page shows: this node's, and those of all that it knows.
fn nodes(name: &str, peers: &[Peer]) -> Vec<Shown> {
    let own = Shown { name: name.to_owned(), url: None };
    let others = peers.iter().map(|peer| Shown::peer(peer.name.clone(), &peer.url.to_string()));
    std::iter::once(own).chain(others).collect()
}

/// Follows the certificate's files until the node ends. Who reads the address file knows a certificate before it is shown.
async fn renew(server: Arc<tls::Server>, address_file: Arc<AddressFile>, stop: CancellationToken) {
    let announce = move |fresh| {
        address_file.show(fresh);
        address_file.write_or_warn();
    };
    tokio::select! {
        () = server.follow_files(announce) => {}
        () = stop.cancelled() => {}
    }
}

fn report_of(status: PeerStatus) -> PeerReport {
    let (last, took) = status.last.unwrap_or_default();
    let state = match status.state {
        PeerState::New => "new",
        PeerState::Round => "round",
        PeerState::Following => "following",
        PeerState::Resting => "resting",
        PeerState::BackingOff => "backing-off",
        PeerState::Itself => "itself",
    };
    PeerReport {
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
        complete_round: status.complete.map(time),
        next_round: status.next.map(time),
        bursts: last.bursts,
        error: status.error,
    }
}

fn source_report(status: SourceStatus) -> SourceReport {
    SourceReport {
        kind: status.kind.to_owned(),
        place: status.place,
        peers: status.peers as u64,
        read: status.read.map(time),
        remembered: status.is_remembered,
        failures: status.failures,
        failing_since: status.failing_since.map(time),
        error: status.error,
        left_out: status.problems,
    }
}

fn time(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_us(i64::try_from(since.as_micros()).unwrap_or(i64::MAX)).to_string()
}

/// Backfill, as far as it takes orders.
fn orders(backfill: &Arc<Backfill>) -> Orders {
    let accepting = Arc::clone(backfill);
    Orders { accept_bursts: Box::new(move |peer| accepting.accept_bursts(peer)) }
}

/// What no other node has is not purged, where retention is told so.
fn last_copies(retention: &Arc<Retention>) -> Arc<crate::tombstones::Stay> {
    let retention = Arc::clone(retention);
    Arc::new(move |place, names| retention.hidden_last_copies(place, names))
}

/// Tells the command line where the daemon is, and by which certificate it is known.
///
/// The token lies beside the address in a file of its own: anybody on this machine may know where the daemon is, and only who may
/// read what belongs to its user may change something through it.
struct AddressFile {
    dir: PathBuf,
    address: SocketAddr,
    name: String,
    token: Token,
    state: Mutex<AddressState>,
}

#[derive(Default)]
struct AddressState {
    /// The certificate that is shown, and the one before, which is still shown for a moment after it was renewed.
    certificates: Vec<Fingerprint>,
    /// Whether all this stands in the file.
    written: bool,
}

impl AddressFile {
    const NAME: &str = "daemon.json";
    const TOKEN: &str = "daemon.token";

    fn new(dir: &Path, address: SocketAddr, name: &str, shown: Option<Fingerprint>, token: &Token) -> Self {
        let state = AddressState { certificates: shown.into_iter().collect(), written: false };
        let (name, token) = (name.to_owned(), token.clone());
        Self { dir: dir.to_owned(), address, name, token, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, AddressState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another certificate is about to be shown.
    fn show(&self, fresh: Fingerprint) {
        let mut state = self.state();
        state.certificates.insert(0, fresh);
        state.certificates.truncate(2);
        state.written = false;
    }

    fn is_written(&self) -> bool {
        self.state().written
    }

    fn text(&self, state: &AddressState) -> String {
        let certificates: Vec<String> = state.certificates.iter().map(Fingerprint::to_string).collect();
        let scheme = if certificates.is_empty() { "http" } else { "https" };
        let text = serde_json::json!({
            "address": self.address.to_string(), "scheme": scheme, "certificates": certificates,
            "pid": std::process::id(), "name": self.name,
        });
        text.to_string()
    }

    fn write(&self) -> Result<(), crate::disk::DiskError> {
        // Held while writing, so that what is newer is never overtaken by what is older.
        let mut state = self.state();
        if let Err(error) = std::fs::create_dir_all(&self.dir) {
            tracing::debug!(name: "state_dir_missing", directory = %self.dir.display(), %error, "the state directory still cannot be made");
        }
        let Some(dir) = crate::disk::Base::open(&self.dir)?.dir(Path::new(""))? else { return Ok(()) };
        // First, so that whoever finds the address finds the token that goes with it.
        crate::disk::atomic::replace_secret(&dir, Self::TOKEN.as_ref(), self.token.secret().as_bytes())?;
        crate::disk::atomic::replace(&dir, Self::NAME.as_ref(), self.text(&state).as_bytes())?;
        state.written = true;
        Ok(())
    }

    fn write_or_warn(&self) {
        if let Err(error) = self.write() {
            tracing::warn!(name: "address_not_written", %error, "other commands will not find this node by themselves until this can be written");
        }
    }

    fn remove(&self) {
        for name in [Self::NAME, Self::TOKEN] {
            let file = self.dir.join(name);
            if let Err(error) = std::fs::remove_file(&file) {
                tracing::debug!(name: "address_file_kept", file = %file.display(), %error, "the address file could not be removed");
            }
        }
    }
}

/// From when to when the disk was away.
fn absence(from: SystemTime, to: SystemTime) -> Stretch {
    let at = |time: SystemTime| {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_us(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    };
    Stretch { start: at(from), end: at(to) }
}

/// Looks after the disk.
struct Sentinel {
    keeper: Arc<Keeper>,
    watch: Arc<Watch>,
    crawl: Arc<Crawl>,
    address_file: Arc<AddressFile>,
    stop: Stop,
}

impl Sentinel {
    fn run(&self) {
        let (guard, catalog) = (self.keeper.guard(), self.keeper.index().catalog());
        let mut returns = 0;
        let mut generation = catalog.generation();
        let mut absences = Vec::new();
        while !self.stop.wait(LOOK) {
            let fine = guard.check() == Checked::Fine;
            if fine {
                guard.learn(|| catalog.channels());
            }
            // Others check as well, and may have been the first to see it return.
            let back = std::mem::replace(&mut returns, guard.returns()) != returns;
            let anew = std::mem::replace(&mut generation, catalog.generation()) != generation;
            if back {
                self.crawl.kick();
            }
            // While the index takes no writes they wait; there are never many.
            absences.extend(guard.take_absences().into_iter().map(|(from, to)| absence(from, to)));
            if !absences.is_empty() && self.keeper.index().remember_away(absences.clone()).is_ok() {
                absences.clear();
            }
            if back || anew {
                self.watch.rewatch();
            }
            // The disk was full or read-only, and may not be any more.
            if fine && !self.address_file.is_written() && self.address_file.write().is_ok() {
                tracing::debug!(name: "address_written", "other commands find this node again");
            }
        }
    }
}
