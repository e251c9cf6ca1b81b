//! The life of a peer's worker: a round, then following, then a round again, until the peer is in no list any more.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;

use super::budget;
use super::digest_sync::PeerCursor;
use super::follow::{End, follow, remember, remember_unfollowed, take_due, until_eligible};
use super::peer_state::{FollowedPeer, PeerState};
use super::plan::Rules;
use super::report::RoundError;
use super::round::{RoundResult, round};
use super::round_log;
use super::shared::{PeerJob, Shared, now};
use super::tombstone_bursts::ArrivalMark;
use super::waiting::{Item, WaitingFiles};
use crate::archive::Hour;
use crate::jobs::Backoff;

/// The first wait after a round that failed.
const RETRY: Duration = Duration::from_secs(5);
/// A round in which nothing happens for so long is given up.
const STALLED: Duration = Duration::from_secs(15 * 60);
/// How long a worker may work without a sign of going on: rounds are given up before.
pub(super) const DEADLINE: Duration = Duration::from_secs(20 * 60);
/// How often it is looked whether something happens.
const LOOK: Duration = Duration::from_secs(15);

/// Works with one peer until that is in no list any more, or the node ends; begins again after a mistake of ours.
pub(super) async fn work_for_ever(shared: Arc<Shared>, known: Arc<FollowedPeer>, mut followed: Option<(u64, u64)>) {
    let _one = WorkerGuard::new(&shared);
    loop {
        let working = tokio::spawn(work(Arc::clone(&shared), Arc::clone(&known), followed.take()));
        match AbortOnDropHandle::new(working).await {
            Err(error) if error.is_panic() => {
                tracing::error!(name: "backfill_worker_failed", peer = known.peer.name, "the worker of a peer crashed; it begins again");
                known.handle.failed("it crashed, which is a bug in gapless");
                known.update(|status| status.state = PeerState::BackingOff);
                sleep(RETRY).await;
            }
            _ => return,
        }
    }
}

/// One of the workers that there are, until it is dropped.
struct WorkerGuard(Arc<Shared>);

impl WorkerGuard {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.workers.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(shared))
    }
}

impl Drop for WorkerGuard {
    fn drop(&mut self) {
        self.0.workers.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn work(shared: Arc<Shared>, known: Arc<FollowedPeer>, followed: Option<(u64, u64)>) {
    let cursor = followed.map(|(epoch, seq)| PeerCursor { epoch, seq });
    let mut worker = Worker {
        job: PeerJob::new(&shared, &known),
        cursor,
        waiting: WaitingFiles::default(),
        fails: 0,
        began: Instant::now(),
    };
    let stop = known.stop.clone();
    tokio::select! {
        () = worker.live() => {}
        () = stop.cancelled() => {}
    }
    worker.leave().await;
}

struct Worker {
    job: PeerJob,
    /// How far the peer's log was read; nothing if it is not followed.
    cursor: Option<PeerCursor>,
    waiting: WaitingFiles,
    /// Rounds in a row that failed since the start.
    fails: u32,
    began: Instant,
}

impl Worker {
    async fn live(&mut self) {
        // After a restart what changed meanwhile comes first; the round that follows is a safety net.
        if self.cursor.is_some() {
            self.between_rounds(Instant::now() + Duration::from_secs(2)).await;
        }
        loop {
            let worked = self.round().await;
            let wait = if worked {
                self.job.shared.options.interval.mul_f64(rand::random_range(0.9..1.1))
            } else {
                Backoff::from(RETRY).wait_scattered(self.fails.max(1))
            };
            let state = if worked { PeerState::Resting } else { PeerState::BackingOff };
            self.job.followed.update(|status| {
                status.state = state;
                status.next = SystemTime::now().checked_add(wait);
            });
            self.between_rounds(Instant::now() + wait).await;
        }
    }

    async fn round(&mut self) -> bool {
        let known = Arc::clone(&self.job.followed);
        self.began = Instant::now();
        self.job.shared.look_at_the_clock();
        round_log::went_on(&mut self.job);
        self.job.accept_bursts = known.accept_bursts.swap(false, Ordering::Relaxed);
        self.job.begin_round();
        let heard_from = now();
        known.update(|status| (status.state, status.next) = (PeerState::Round, None));
        let result = tokio::select! {
            result = round(&mut self.job) => result,
            () = stalled(&known) => Err(RoundError::Stalled(STALLED)),
        };
        let (mut complete, mut itself) = (false, false);
        round_log::compared(&self.job, result.as_ref().ok().copied(), heard_from);
        match result {
            Ok(result) => {
                complete = self.job.report.is_complete();
                itself = result == RoundResult::Itself;
                self.cursor = if let RoundResult::Kind(cursor) = result { Some(self.from(cursor)) } else { None };
                self.let_wait();
            }
            Err(error) => {
                if self.job.accept_bursts {
                    // The confirmation was given for a round that reaches the peer.
                    known.accept_bursts.store(true, Ordering::Relaxed);
                }
                tracing::warn!(name: "backfill_failed", peer = known.peer.name, %error, "a round failed; it is tried again");
                self.job.report.failed(error);
                self.cursor = None;
            }
        }
        (self.job.accept_bursts, self.job.whole) = (false, complete);
        // Between rounds the peer is asked all the time: whatever is here was here before.
        self.job.began = ArrivalMark::NEVER;
        self.fails = if complete { 0 } else { self.fails.saturating_add(1) };
        if itself {
            self.is_itself().await;
        }
        budget::look(&self.job).await;
        round_log::round_done(&mut self.job, self.began.elapsed(), complete);
        if complete && !self.waiting.is_due(Instant::now()) {
            known.set_behind(0, true);
        }
        match self.cursor {
            Some(cursor) => remember(&self.job, cursor, &self.waiting).await,
            None => remember_unfollowed(&self.job).await,
        }
        if complete {
            self.job.shared.report_file.write().await;
        }
        complete
    }

    /// Where following goes on: where it was, if that is further than the digests stood.
    fn from(&self, digests: PeerCursor) -> PeerCursor {
        match self.cursor {
            Some(cursor) if cursor.epoch == digests.epoch && cursor.seq > digests.seq => cursor,
            _ => digests,
        }
    }

    fn let_wait(&mut self) {
        let rules = Rules::taking_all(Hour::MIN, now(), self.job.shared.options.cutoff);
        let at = Instant::now();
        let later = std::mem::take(&mut self.job.later).into_iter();
        let later = later.map(|(named, eligible)| (named, at + until_eligible(&rules, eligible)));
        let busy = std::mem::take(&mut self.job.busy).into_iter().map(|named| (named, at + Duration::from_secs(1)));
        for ((place, name), due) in later.chain(busy) {
            // What finds no room is found by the next round.
            self.waiting.push(Item { place, name, seq: None, tries: 0 }, due);
        }
        self.job.failed.clear();
    }

    /// Follows, or waits, until it is time for the next round.
    async fn between_rounds(&mut self, until: Instant) {
        let known = Arc::clone(&self.job.followed);
        let working = async {
            let result = match &mut self.cursor {
                Some(cursor) => {
                    known.update(|status| status.state = PeerState::Following);
                    follow(&mut self.job, cursor, &mut self.waiting, until).await
                }
                None => wait(&mut self.job, &mut self.waiting, until).await,
            };
            round_log::went_on(&mut self.job);
            match result {
                Ok(End::Due) => {}
                Ok(End::Gap) => {
                    self.cursor = None;
                    self.waiting.clear();
                    // A peer that finds a gap again and again would keep us, and the disk, busy.
                    sleep(soon(until)).await;
                }
                Err(error) => {
                    tracing::debug!(name: "following_ended", peer = known.peer.name, %error, "a peer is not followed for the moment");
                    known.update(|status| status.error = Some(error.to_string()));
                    known.set_behind(0, false);
                    // The next round says what is wrong, or goes on.
                    sleep(if self.cursor.is_some() { soon(until) } else { left(until) }).await;
                }
            }
        };
        tokio::select! {
            () = working => {}
            () = known.round_wanted.notified() => {}
        }
    }

    /// The peer is this node: it is left alone until the list changes.
    async fn is_itself(&self) {
        self.job.followed.update(|status| {
            (status.state, status.error, status.failures) = (PeerState::Itself, None, 0);
        });
        self.job.followed.set_behind(0, true);
        tracing::info!(name: "peer_is_itself", peer = self.job.peer().name, "this node is in its own list of peers, and is skipped");
        // Another may answer there one day.
        sleep(self.job.shared.options.interval).await;
    }

    async fn leave(&self) {
        if let Some(cursor) = self.cursor {
            remember(&self.job, cursor, &self.waiting).await;
        }
    }
}

/// A moment, but no longer than until then.
fn soon(until: Instant) -> Duration {
    RETRY.mul_f64(rand::random_range(0.1..1.0)).min(left(until))
}

fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}

/// Waits for the next round; what becomes due meanwhile is fetched.
async fn wait(job: &mut PeerJob, waiting: &mut WaitingFiles, until: Instant) -> Result<End, RoundError> {
    loop {
        if waiting.is_due(Instant::now()) {
            take_due(job, waiting).await?;
        }
        let due = waiting.next_due().map_or(until, |due| due.min(until));
        tokio::time::sleep_until(due).await;
        if Instant::now() >= until {
            return Ok(End::Due);
        }
    }
}

/// Comes back when a round has not gone on for a long time.
async fn stalled(known: &FollowedPeer) {
    let (mut steps, mut since) = (known.steps(), Instant::now());
    loop {
        sleep(LOOK).await;
        let now = known.steps();
        if now != steps {
            (steps, since) = (now, Instant::now());
        } else if since.elapsed() >= STALLED {
            return;
        }
    }
}
