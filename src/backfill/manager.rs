//! The peers, their rounds, and what the rounds share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::agree::Pair;
use super::claims::Claims;
use super::options::BackfillOptions;
use super::report::RoundReport;
use super::round::{RoundError, round};
use crate::crawl::{CrawlError, Keeper};
use crate::domain::Stream;
use crate::peer::{Limits, Peer, PeerClient, PeerError};

/// Downloads at once, from all peers together: each holds a piece of a file in memory.
const DOWNLOADS: usize = 32;
/// How often a round that lasts tells how far it is.
const TELL: Duration = Duration::from_secs(300);
/// The first wait after a round that failed; it doubles up to four times.
const RETRY: Duration = Duration::from_secs(5);

/// What is known of a peer.
#[derive(Debug, Clone)]
pub struct PeerStatus {
    /// The peer.
    pub peer: Peer,
    /// Rounds that were completed.
    pub rounds: u64,
    /// What the last one did, and how long it took.
    pub last: Option<(RoundReport, Duration)>,
    /// Rounds in a row that failed.
    pub failures: u32,
    /// Why the last one did.
    pub error: Option<String>,
}

/// What the rounds share.
pub(super) struct Shared {
    pub(super) keeper: Arc<Keeper>,
    pub(super) client: PeerClient,
    pub(super) options: BackfillOptions,
    pub(super) claims: Claims,
    pub(super) downloads: Semaphore,
    /// By peer and quality: the digests that were compared, and whether that left nothing to do.
    pairs: Mutex<HashMap<(String, Stream), (Pair, bool)>>,
    stopped: AtomicBool,
    told: Mutex<Instant>,
}

impl Shared {
    /// Runs what waits for the disk.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, RoundError> + Send + 'static,
    ) -> Result<T, RoundError> {
        tokio::task::spawn_blocking(work).await.map_err(|error| RoundError::Thread(error.to_string()))?
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// An error if the disk is not there, or has less room than is to stay free.
    pub(super) async fn room(&self) -> Result<(), RoundError> {
        let (keeper, floor) = (Arc::clone(&self.keeper), self.options.free_floor);
        self.blocking(move || {
            let base = keeper.guard().base().map_err(CrawlError::Away)?;
            let (free, _) = base.free_space().map_err(CrawlError::Disk)?;
            if free < floor { Err(RoundError::NoRoom { free, floor }) } else { Ok(()) }
        })
        .await
    }

    fn pairs(&self) -> std::sync::MutexGuard<'_, HashMap<(String, Stream), (Pair, bool)>> {
        self.pairs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether these digests were compared before, and left nothing to do.
    pub(super) fn is_settled(&self, peer: &Peer, stream: &Stream, pair: &Pair) -> bool {
        let key = (peer.name.clone(), stream.clone());
        self.pairs().get(&key).is_some_and(|(known, settled)| *settled && known == pair)
    }

    /// These digests are being compared now.
    pub(super) fn compared(&self, peer: &Peer, stream: &Stream, pair: Pair) {
        self.pairs().insert((peer.name.clone(), stream.clone()), (pair, false));
    }

    /// The round with this peer left nothing to do: neither now nor later.
    fn settle(&self, peer: &Peer) {
        self.pairs()
            .iter_mut()
            .filter(|((name, _), _)| *name == peer.name)
            .for_each(|(_, (_, settled))| *settled = true);
    }

    /// A line now and then.
    pub(super) fn progress(&self, peer: &Peer, done: usize, total: usize, report: &RoundReport) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.elapsed() >= TELL {
            *told = Instant::now();
            tracing::info!(
                name: "backfill_progress", peer = peer.name, hours = done, of = total, fetched = report.fetched, bytes = report.bytes,
                "a round goes on"
            );
        }
    }
}

/// Backfill from the peers of a list that may change.
pub struct Backfill {
    shared: Arc<Shared>,
    list: watch::Receiver<Vec<Peer>>,
    known: Mutex<Vec<Arc<Known>>>,
}

/// A peer, and how it goes with it.
struct Known {
    peer: Peer,
    status: Mutex<PeerStatus>,
    stop: CancellationToken,
}

impl Known {
    fn lock(&self) -> MutexGuard<'_, PeerStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backfill {
    /// Between this archive and the peers of this list.
    pub fn new(
        keeper: Arc<Keeper>,
        list: watch::Receiver<Vec<Peer>>,
        options: BackfillOptions,
    ) -> Result<Self, PeerError> {
        let limits = Limits { idle_connections: options.concurrency.max(1), ..Limits::default() };
        let shared = Shared {
            keeper,
            client: PeerClient::new(limits)?,
            options,
            claims: Claims::default(),
            downloads: Semaphore::new(DOWNLOADS),
            pairs: Mutex::default(),
            stopped: AtomicBool::new(false),
            told: Mutex::new(Instant::now()),
        };
        Ok(Self { shared: Arc::new(shared), list, known: Mutex::default() })
    }

    /// How it goes with each peer.
    pub fn status(&self) -> Vec<PeerStatus> {
        self.known().iter().map(|known| known.lock().clone()).collect()
    }

    /// One round with each peer, at the same time. Tells what became of each.
    pub async fn once(&self) -> Vec<PeerStatus> {
        let known = self.take_over_list(self.list.borrow().clone());
        futures_util::future::join_all(known.iter().map(|known| one(&self.shared, known))).await;
        self.status()
    }

    /// Rounds with every peer of the list, as it is at the time, until it is stopped.
    pub async fn run(&self, stop: CancellationToken) {
        let mut list = self.list.clone();
        let mut workers = JoinSet::new();
        loop {
            let peers = list.borrow_and_update().clone();
            for known in self.take_over_list(peers) {
                workers.spawn(follow(Arc::clone(&self.shared), known));
            }
            tokio::select! {
                changed = list.changed() => if changed.is_err() {
                    // Nobody changes it any more.
                    stop.cancelled().await;
                    break;
                },
                Some(ended) = workers.join_next(), if !workers.is_empty() => if let Err(error) = ended {
                    tracing::error!(name: "backfill_worker_failed", %error, "a peer's worker ended badly");
                },
                () = stop.cancelled() => break,
            }
        }
        self.shared.stopped.store(true, Ordering::Relaxed);
        workers.shutdown().await;
    }

    fn known(&self) -> MutexGuard<'_, Vec<Arc<Known>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops the workers of peers that are not in the list any more, and tells which are new.
    fn take_over_list(&self, peers: Vec<Peer>) -> Vec<Arc<Known>> {
        let mut known = self.known();
        for gone in known.extract_if(.., |known| !peers.contains(&known.peer)) {
            gone.stop.cancel();
        }
        let new: Vec<Peer> = peers.into_iter().filter(|peer| !known.iter().any(|known| known.peer == *peer)).collect();
        let begin = |peer: Peer| {
            let status = PeerStatus { peer: peer.clone(), rounds: 0, last: None, failures: 0, error: None };
            Arc::new(Known { peer, status: Mutex::new(status), stop: CancellationToken::new() })
        };
        let new: Vec<Arc<Known>> = new.into_iter().map(begin).collect();
        known.extend(new.iter().cloned());
        new
    }
}

/// Rounds with one peer until it is not in the list any more.
async fn follow(shared: Arc<Shared>, known: Arc<Known>) {
    let rounds = async {
        loop {
            one(&shared, &known).await;
            let failures = known.lock().failures;
            let wait = if failures == 0 { shared.options.interval } else { RETRY * 2_u32.pow((failures - 1).min(4)) };
            tokio::time::sleep(wait.mul_f64(rand::random_range(0.9..1.1))).await;
        }
    };
    tokio::select! {
        () = rounds => {}
        () = known.stop.cancelled() => {}
    }
}

async fn one(shared: &Arc<Shared>, known: &Known) {
    let peer = known.peer.clone();
    let began = Instant::now();
    let mut report = RoundReport::default();
    let result = round(shared, &peer, &mut report).await;
    let took = began.elapsed();
    let mut status = known.lock();
    match result {
        Ok(()) => {
            if report.fetched > 0 || report.tombstones > 0 || !report.is_complete() {
                tracing::info!(
                    name: "backfill_round", peer = peer.name, fetched = report.fetched, bytes = report.bytes,
                    tombstones = report.tombstones, errors = report.errors, seconds = took.as_secs_f64(), "round done"
                );
            }
            if report.changed_nothing_and_waits_for_nothing() {
                shared.settle(&peer);
            }
            status.rounds += 1;
            status.failures = if report.is_complete() { 0 } else { status.failures.saturating_add(1) };
            status.error.clone_from(&report.last_error);
            status.last = Some((report, took));
        }
        Err(error) => {
            status.failures = status.failures.saturating_add(1);
            tracing::warn!(name: "backfill_failed", peer = peer.name, %error, failures = status.failures, "a round failed; it is tried again");
            status.error = Some(error.to_string());
            report.failed(error);
            status.last = Some((report, took));
        }
    }
}
