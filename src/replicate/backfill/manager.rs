//! The peers of a list that may change, and a worker for each.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use prometheus::Registry;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::deletions::DeletionsAsked;
use super::memory::PeerMemory;
use super::options::{BackfillOptions, BackfillParts};
use super::peer_state::{FollowedPeer, PeerStatus};
use super::round::{round, second_look};
use super::round_log::{BackfillMetrics, ReportFile};
use super::shared::{PeerJob, Shared, now};
use super::targets::{Claims, Targets};
use super::tombstone_bursts::{Arrivals, Bursts};
use super::{budget, round_log, worker};
use crate::index::PeerRow;
use crate::jobs::NodeEvent;
use crate::replicate::peer::{Peer, PeerClient, PeerError, PeerLimits, Throttle};
use crate::replicate::placement::LayoutState;

/// How long the workers have to store how far they got.
const LEAVE: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error)]
pub enum BackfillError {
    #[error(transparent)]
    Client(#[from] PeerError),
    /// Metrics registered twice.
    #[error("cannot set up the metrics of backfill: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// What changes which hours are kept here.
struct Heard {
    events: broadcast::Receiver<NodeEvent>,
    layout: Option<watch::Receiver<LayoutState>>,
}

/// Waits until another layout holds; for ever where there can be none.
async fn another(layout: &mut Option<watch::Receiver<LayoutState>>) {
    if let Some(seen) = layout
        && seen.changed().await.is_ok()
    {
        return;
    }
    std::future::pending::<()>().await;
}

/// Backfill from the peers of a list that may change.
pub struct Backfill {
    shared: Arc<Shared>,
    list: watch::Receiver<Vec<Peer>>,
    followed: Arc<Mutex<Vec<Arc<FollowedPeer>>>>,
}

impl Backfill {
    pub fn new(parts: BackfillParts, options: BackfillOptions, registry: &Registry) -> Result<Self, BackfillError> {
        let limits = PeerLimits {
            idle_connections: options.concurrency.max(1),
            throttle: Throttle::new(options.bandwidth),
            dates: parts.dates.clone(),
            ..PeerLimits::default()
        };
        let followed = Arc::<Mutex<Vec<Arc<FollowedPeer>>>>::default();
        let list = parts.list.clone();
        let shared = Shared {
            keeper: Arc::clone(&parts.keeper),
            parts,
            client: PeerClient::with_token(limits, &options.tls, options.token.as_ref())?,
            claims: Claims::default(),
            peers: Arc::clone(&followed),
            arrivals: Arrivals::default(),
            bursts: Bursts::default(),
            deletions_asked: DeletionsAsked::default(),
            targets: Targets::default(),
            memory: PeerMemory::default(),
            metrics: BackfillMetrics::register(registry)?,
            report_file: ReportFile::new(options.report_file.clone()),
            options,
            workers: AtomicUsize::new(0),
            clock: Mutex::new((std::time::SystemTime::now(), std::time::Instant::now())),
        };
        Ok(Self { shared: Arc::new(shared), list, followed })
    }

    pub fn status(&self) -> Vec<PeerStatus> {
        let all: Vec<PeerStatus> = self.followed.lock().iter().map(|followed| followed.status()).collect();
        self.shared.metrics.lag(&all);
        all
    }

    /// On the operator's confirmation: the next round, which begins now, takes over tombstones however many they are. Of all peers, or of
    /// this one; returns how many peers that are.
    pub fn accept_bursts(&self, peer: Option<&str>) -> usize {
        let all = self.followed.lock();
        let chosen = all.iter().filter(|followed| peer.is_none_or(|name| followed.peer.name == name));
        chosen
            .map(|followed| {
                followed.accept_bursts.store(true, Ordering::Relaxed);
                followed.round_wanted.notify_one();
            })
            .count()
    }

    /// A round with every peer begins now. Where other hours are kept than before, what was compared is compared again.
    fn heed(&self, event: &Result<NodeEvent, RecvError>) {
        match event {
            Ok(NodeEvent::FileQuarantined) => {}
            // What was missed may have been this.
            Ok(NodeEvent::HourRulesChanged | NodeEvent::BadNameForgotten) | Err(RecvError::Lagged(_)) => {
                self.shared.memory.clear();
            }
            // The sender is among our own parts.
            Err(RecvError::Closed) => return,
        }
        self.followed.lock().iter().for_each(|followed| followed.round_wanted.notify_one());
    }

    /// What belongs here is something else than before: all is compared again, from now on.
    fn heed_layout(&self) {
        self.shared.memory.clear();
        self.followed.lock().iter().for_each(|followed| followed.round_wanted.notify_one());
    }

    /// One round with each peer, all at the same time.
    pub async fn once(&self) -> Vec<PeerStatus> {
        let followed = self.take_over_list(self.list.borrow().clone(), &HashMap::new());
        self.shared.workers.store(followed.len(), Ordering::Relaxed);
        futures_util::future::join_all(followed.iter().map(|followed| once(&self.shared, followed))).await;
        let status = self.status();
        if status.iter().all(|status| status.failures == 0) {
            self.shared.report_file.write().await;
        }
        status
    }

    /// Rounds with every peer of the list, as it is at the time, until it is stopped.
    pub async fn run(&self, stop: CancellationToken) {
        let mut list = self.list.clone();
        let mut heard = Heard {
            events: self.shared.parts.events.listen(),
            layout: self.shared.parts.layouts.as_ref().map(|layouts| layouts.current().subscribe()),
        };
        let mut workers = JoinSet::new();
        let rows = self.remembered().await;
        loop {
            let peers = list.borrow_and_update().clone();
            for followed in self.take_over_list(peers, &rows) {
                let row = rows.get(&followed.peer.name).filter(|row| row.url == followed.peer.url.to_string());
                let cursor = row.and_then(|row| row.followed);
                let (shared, logged) = (Arc::clone(&self.shared), Arc::clone(&followed));
                workers.spawn(async move {
                    tokio::select! {
                        () = worker::work_for_ever(shared, Arc::clone(&logged), cursor) => {}
                        () = round_log::progress(logged) => {}
                    }
                });
            }
            if !self.changed(&mut list, &mut heard, &mut workers, &stop).await {
                break;
            }
        }
        self.followed.lock().iter().for_each(|followed| followed.stop.cancel());
        let ended = async { while workers.join_next().await.is_some() {} };
        if tokio::time::timeout(LEAVE, ended).await.is_err() {
            tracing::warn!(name: "backfill_cut", "downloads were aborted; they are fetched after the next start");
        }
        workers.shutdown().await;
    }

    /// Waits for another list, and heeds what happens meanwhile; false if it is stopped instead.
    async fn changed(
        &self,
        list: &mut watch::Receiver<Vec<Peer>>,
        heard: &mut Heard,
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
                event = heard.events.recv() => self.heed(&event),
                () = another(&mut heard.layout) => self.heed_layout(),
                Some(ended) = workers.join_next(), if !workers.is_empty() => if let Err(error) = ended {
                    tracing::error!(name: "backfill_worker_failed", %error, "the worker of a peer crashed");
                },
                () = stop.cancelled() => return false,
            }
        }
    }

    async fn remembered(&self) -> HashMap<String, PeerRow> {
        let read = self.shared.with_keeper(|keeper| Ok(keeper.index().peers()?)).await;
        read.inspect_err(|error| {
            tracing::warn!(name: "peers_not_remembered", %error, "it is not known how far the peers were followed; all are compared");
        })
        .unwrap_or_default()
        .into_iter()
        .collect()
    }

    /// Stops the workers of peers that are not in the list any more, and returns the new ones.
    fn take_over_list(&self, peers: Vec<Peer>, rows: &HashMap<String, PeerRow>) -> Vec<Arc<FollowedPeer>> {
        let mut followed = self.followed.lock();
        for gone in followed.extract_if(.., |followed| !peers.contains(&followed.peer)) {
            gone.stop.cancel();
            gone.handle.remove();
            self.shared.memory.forget(&gone.peer.name);
            self.shared.deletions_asked.forget(&gone.peer.name, || self.shared.bursts.forget(&gone.peer.name));
            self.shared.parts.knowledge.forget(&gone.peer.name);
            if let Some(layouts) = &self.shared.parts.layouts {
                layouts.leave(&gone.peer.name);
            }
        }
        let new: Vec<Peer> =
            peers.into_iter().filter(|peer| !followed.iter().any(|followed| followed.peer == *peer)).collect();
        let begin = |peer: Peer| {
            let row = rows.get(&peer.name).cloned();
            let handle = self.shared.parts.board.register("backfill", Some(peer.name.clone()), worker::DEADLINE);
            Arc::new(FollowedPeer::new(peer, row, CancellationToken::new(), handle))
        };
        let new: Vec<Arc<FollowedPeer>> = new.into_iter().map(begin).collect();
        followed.extend(new.iter().cloned());
        self.shared.parts.knowledge.set_peers(followed.iter().map(|followed| followed.peer.name.clone()));
        self.shared.report_file.set_peers(&followed);
        new
    }
}

async fn once(shared: &Arc<Shared>, followed: &Arc<FollowedPeer>) {
    let began = std::time::Instant::now();
    let mut job = PeerJob::new(shared, followed);
    job.begin_round();
    let began_at = now();
    let done = match round(&mut job).await {
        Ok(result) => {
            round_log::compared(&job, Some(result), began_at);
            second_look(&mut job).await
        }
        Err(error) => Err(error),
    };
    if let Err(error) = done {
        tracing::warn!(name: "backfill_failed", peer = followed.peer.name, %error, "a round failed");
        job.report.failed(error);
    }
    let complete = job.report.is_complete();
    budget::look(&job).await;
    round_log::round_done(&mut job, began.elapsed(), complete);
}

#[cfg(test)]
mod tests {
    use super::super::memory::{ComparedHours, ComparedSubject, DigestPair};
    use super::*;
    use crate::archive::{HourPlace, Stream};
    use crate::disk::{Base, BaseGuard, BaseIdentity};
    use crate::index::{Index, IndexOptions};
    use crate::replicate::HourRules;
    use crate::sync::crawl::Keeper;

    struct KeepsAll;

    impl HourRules for KeepsAll {
        fn keeps(&self, _: &HourPlace) -> Option<bool> {
            Some(true)
        }

        fn room_beside_own(&self, _: &HourPlace) -> u64 {
            u64::MAX
        }
    }

    #[test]
    fn other_rules_and_events_that_were_missed_have_everything_compared_again_and_a_lost_file_has_not() {
        let dir = tempfile::tempdir().unwrap();
        let index = Arc::new(Index::in_memory(IndexOptions::default()).unwrap());
        let identity = BaseIdentity::Unmarked { channels: Vec::new() };
        let guard = Arc::new(BaseGuard::new(Base::open(dir.path()).unwrap(), identity));
        let parts =
            BackfillParts::alone(Arc::new(Keeper::new(index, guard)), watch::channel(Vec::new()).1, Arc::new(KeepsAll));
        let backfill = Backfill::new(
            parts,
            BackfillOptions::of_all(crate::net::tls::trusting_nobody().unwrap()),
            &Registry::new(),
        )
        .unwrap();
        let memory = &backfill.shared.memory;
        let subject = || ComparedSubject::Quality(ComparedHours::whole(Stream::parse("a/source").unwrap()));
        let is_compared_again = |event| {
            memory.settle(memory.era(), "x", subject(), DigestPair::of("1", "2"));
            backfill.heed(&event);
            !memory.is_settled("x", &subject(), DigestPair::of("1", "2"))
        };
        assert!(!is_compared_again(Ok(NodeEvent::FileQuarantined)));
        assert!(is_compared_again(Ok(NodeEvent::HourRulesChanged)));
        assert!(is_compared_again(Ok(NodeEvent::BadNameForgotten)));
        assert!(is_compared_again(Err(RecvError::Lagged(3))));
    }
}
