//! The peers of a list that may change, a worker for each, and what others may ask of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use prometheus::Registry;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::deletions::DeletionsAsked;
use super::memory::PeerMemory;
use super::options::BackfillOptions;
use super::peer_state::{FollowedPeer, PeerStatus};
use super::report::ReportFile;
use super::round::{round, second_look};
use super::round_log::BackfillMetrics;
use super::shared::PeerJob;
use super::shared::{Shared, now};
use super::targets::Claims;
use super::targets::Targets;
use super::tombstone_bursts::Arrivals;
use super::tombstone_bursts::Bursts;
use super::{budget, round_log, worker};
use crate::index::PeerRow;
use crate::replicate::peer::{Peer, PeerClient, PeerError, PeerLimits, Throttle};
use crate::sync::crawl::Keeper;

/// How long the workers have to remember how far they came.
const LEAVE: Duration = Duration::from_secs(2);

/// Why backfill cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum BackfillError {
    /// The client towards other nodes.
    #[error(transparent)]
    Client(#[from] PeerError),
    /// Metrics registered twice.
    #[error("cannot set up the metrics of backfill: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// Backfill from the peers of a list that may change.
pub struct Backfill {
    shared: Arc<Shared>,
    list: watch::Receiver<Vec<Peer>>,
    known: Arc<Mutex<Vec<Arc<FollowedPeer>>>>,
}

impl Backfill {
    /// Between this archive and the peers of this list.
    pub fn new(
        keeper: Arc<Keeper>,
        list: watch::Receiver<Vec<Peer>>,
        options: BackfillOptions,
        registry: &Registry,
    ) -> Result<Self, BackfillError> {
        let limits = PeerLimits {
            idle_connections: options.concurrency.max(1),
            throttle: Throttle::new(options.bandwidth),
            dates: options.dates.clone(),
            ..PeerLimits::default()
        };
        let known = Arc::<Mutex<Vec<Arc<FollowedPeer>>>>::default();
        let shared = Shared {
            keeper,
            client: PeerClient::with_token(limits, &options.tls, options.token.as_ref())?,
            claims: Claims::default(),
            peers: Arc::clone(&known),
            arrivals: Arrivals::default(),
            bursts: Bursts::default(),
            heard: DeletionsAsked::default(),
            targets: Targets::default(),
            memory: PeerMemory::default(),
            metrics: BackfillMetrics::register(registry)?,
            report_file: ReportFile::new(options.report_file.clone()),
            options,
            workers: AtomicUsize::new(0),
            clock: Mutex::new((std::time::SystemTime::now(), std::time::Instant::now())),
        };
        Ok(Self { shared: Arc::new(shared), list, known })
    }

    /// How it goes with each peer.
    pub fn status(&self) -> Vec<PeerStatus> {
        let all: Vec<PeerStatus> = self.known.lock().iter().map(|known| known.status()).collect();
        self.shared.metrics.lag(&all);
        all
    }

    /// The operator's word: the next round, which begins now, takes over tombstones however many they are. Of all peers, or of
    /// this one; tells how many that are.
    pub fn accept_bursts(&self, peer: Option<&str>) -> usize {
        let all = self.known.lock();
        let meant = all.iter().filter(|known| peer.is_none_or(|name| known.peer.name == name));
        meant
            .map(|known| {
                known.accept_bursts.store(true, Ordering::Relaxed);
                known.wanted.notify_one();
            })
            .count()
    }

    /// What is kept here has changed: what was compared before is compared again, now.
    pub fn compare_again(&self) {
        self.shared.memory.clear();
        self.known.lock().iter().for_each(|known| known.wanted.notify_one());
    }

    /// Something that was here is missing: a round with every peer begins now. What was compared before stays so, as far as it did
    /// not change.
    pub fn round_now(&self) {
        self.known.lock().iter().for_each(|known| known.wanted.notify_one());
    }

    /// One round with each peer, at the same time. Tells what became of each.
    pub async fn once(&self) -> Vec<PeerStatus> {
        let known = self.take_over_list(self.list.borrow().clone(), &HashMap::new());
        self.shared.workers.store(known.len(), Ordering::Relaxed);
        futures_util::future::join_all(known.iter().map(|known| once(&self.shared, known))).await;
        let status = self.status();
        if status.iter().all(|status| status.failures == 0) {
            self.shared.report_file.write().await;
        }
        status
    }

    /// Rounds with every peer of the list, as it is at the time, until it is stopped.
    pub async fn run(&self, stop: CancellationToken) {
        let mut list = self.list.clone();
        let mut workers = JoinSet::new();
        let rows = self.remembered().await;
        loop {
            let peers = list.borrow_and_update().clone();
            for known in self.take_over_list(peers, &rows) {
                let row = rows.get(&known.peer.name).filter(|row| row.url == known.peer.url.to_string());
                let followed = row.and_then(|row| row.followed);
                let (shared, told) = (Arc::clone(&self.shared), Arc::clone(&known));
                workers.spawn(async move {
                    tokio::select! {
                        () = worker::work_for_ever(shared, Arc::clone(&told), followed) => {}
                        () = round_log::progress(told) => {}
                    }
                });
            }
            if !self.changed(&mut list, &mut workers, &stop).await {
                break;
            }
        }
        self.known.lock().iter().for_each(|known| known.stop.cancel());
        let ended = async { while workers.join_next().await.is_some() {} };
        if tokio::time::timeout(LEAVE, ended).await.is_err() {
            tracing::warn!(name: "backfill_cut", "downloads were aborted; they are fetched after the next start");
        }
        workers.shutdown().await;
    }

    /// Waits for another list; false if it is stopped instead.
    async fn changed(
        &self,
        list: &mut watch::Receiver<Vec<Peer>>,
        workers: &mut JoinSet<()>,
        stop: &CancellationToken,
    ) -> bool {
        let mut is_final = false;
        loop {
            tokio::select! {
                changed = list.changed(), if !is_final => match changed {
                    Ok(()) => return true,
                    // Nobody changes it any more.
                    Err(_) => is_final = true,
                },
                Some(ended) = workers.join_next(), if !workers.is_empty() => if let Err(error) = ended {
                    tracing::error!(name: "backfill_worker_failed", %error, "the worker of a peer crashed");
                },
                () = stop.cancelled() => return false,
            }
        }
    }

    /// What is remembered of each peer.
    async fn remembered(&self) -> HashMap<String, PeerRow> {
        let read = self.shared.with_keeper(|keeper| Ok(keeper.index().peers()?)).await;
        read.inspect_err(|error| {
            tracing::warn!(name: "peers_not_remembered", %error, "it is not known how far the peers were followed; all are compared");
        })
        .unwrap_or_default()
        .into_iter()
        .collect()
    }

    /// Stops the workers of peers that are not in the list any more, and tells which are new.
    fn take_over_list(&self, peers: Vec<Peer>, rows: &HashMap<String, PeerRow>) -> Vec<Arc<FollowedPeer>> {
        let mut known = self.known.lock();
        for gone in known.extract_if(.., |known| !peers.contains(&known.peer)) {
            gone.stop.cancel();
            gone.post.take_down();
            self.shared.memory.forget(&gone.peer.name);
            self.shared.heard.forget(&gone.peer.name, || self.shared.bursts.forget(&gone.peer.name));
            self.shared.options.knowledge.forget(&gone.peer.name);
        }
        let new: Vec<Peer> = peers.into_iter().filter(|peer| !known.iter().any(|known| known.peer == *peer)).collect();
        let begin = |peer: Peer| {
            let row = rows.get(&peer.name).cloned();
            let post = self.shared.options.board.post("backfill", Some(peer.name.clone()), worker::DEADLINE);
            Arc::new(FollowedPeer::new(peer, row, CancellationToken::new(), post))
        };
        let new: Vec<Arc<FollowedPeer>> = new.into_iter().map(begin).collect();
        known.extend(new.iter().cloned());
        self.shared.options.knowledge.set_peers(known.iter().map(|known| known.peer.name.clone()));
        self.shared.report_file.set_peers(&known);
        new
    }
}

/// One round with a peer, to the end.
async fn once(shared: &Arc<Shared>, known: &Arc<FollowedPeer>) {
    let began = std::time::Instant::now();
    let mut job = PeerJob::new(shared, known);
    job.begin_round();
    let heard_from = now();
    let done = match round(&mut job).await {
        Ok(came) => {
            round_log::heard(&job, Some(came), heard_from);
            second_look(&mut job).await
        }
        Err(error) => Err(error),
    };
    if let Err(error) = done {
        tracing::warn!(name: "backfill_failed", peer = known.peer.name, %error, "a round failed");
        job.report.failed(error);
    }
    let complete = job.report.is_complete();
    budget::look(&job).await;
    round_log::round_done(&mut job, began.elapsed(), complete);
}
