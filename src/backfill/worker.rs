//! The life of a peer's worker: a round, then following, then a round again, until the peer is in no list any more.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep};

use super::agree::Cursor;
use super::error::RoundError;
use super::follow::{End, follow, remember, remember_unfollowed, take_due, until_eligible};
use super::job::Job;
use super::known::{Known, PeerState};
use super::round::{Came, now, round};
use super::shared::Shared;
use super::tell;
use super::waiting::{Item, Waiting};
use crate::domain::Hour;
use crate::domain::plan::Rules;

/// The first wait after a round that failed; it doubles up to four times.
const RETRY: Duration = Duration::from_secs(5);
/// A round in which nothing happens for so long is given up.
const STALLED: Duration = Duration::from_secs(15 * 60);
/// How often it is looked whether something happens.
const LOOK: Duration = Duration::from_secs(15);

/// Works with one peer until that is in no list any more, or the node ends.
pub(super) async fn work(shared: Arc<Shared>, known: Arc<Known>, followed: Option<(u64, u64)>) {
    shared.workers.fetch_add(1, Ordering::Relaxed);
    let cursor = followed.map(|(epoch, seq)| Cursor { epoch, seq });
    let mut worker =
        Worker { job: Job::new(&shared, &known), cursor, waiting: Waiting::default(), fails: 0, began: Instant::now() };
    let stop = known.stop.clone();
    tokio::select! {
        () = worker.live() => {}
        () = stop.cancelled() => {}
    }
    worker.leave().await;
    shared.workers.fetch_sub(1, Ordering::Relaxed);
}

struct Worker {
    job: Job,
    /// How far the peer's log was read; nothing if it is not followed.
    cursor: Option<Cursor>,
    waiting: Waiting,
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
                self.job.shared.options.interval
            } else {
                RETRY * 2_u32.pow(self.fails.saturating_sub(1).min(4))
            };
            let wait = wait.mul_f64(rand::random_range(0.9..1.1));
            let state = if worked { PeerState::Resting } else { PeerState::BackingOff };
            self.job.known.update(|status| {
                status.state = state;
                status.next = SystemTime::now().checked_add(wait);
            });
            self.between_rounds(Instant::now() + wait).await;
        }
    }

    /// One round; tells whether it was complete.
    async fn round(&mut self) -> bool {
        let known = Arc::clone(&self.job.known);
        self.began = Instant::now();
        self.job.begin_round();
        self.job.accept_bursts = known.accept_bursts.swap(false, Ordering::Relaxed);
        known.update(|status| (status.state, status.next) = (PeerState::Round, None));
        let came = tokio::select! {
            came = round(&mut self.job) => came,
            () = stalled(&known) => Err(RoundError::Stalled(STALLED)),
        };
        let (mut complete, mut itself) = (false, false);
        match came {
            Ok(came) => {
                complete = self.job.report.is_complete();
                itself = came == Came::Itself;
                self.cursor = if let Came::Kind(cursor) = came { Some(self.from(cursor)) } else { None };
                self.let_wait();
            }
            Err(error) => {
                tracing::warn!(name: "backfill_failed", peer = known.peer.name, %error, "a round failed; it is tried again");
                self.job.report.failed(error);
                self.cursor = None;
            }
        }
        self.fails = if complete { 0 } else { self.fails.saturating_add(1) };
        if itself {
            self.is_itself().await;
        }
        tell::round_done(&self.job, self.began.elapsed(), complete);
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
    fn from(&self, digests: Cursor) -> Cursor {
        match self.cursor {
            Some(cursor) if cursor.epoch == digests.epoch && cursor.seq > digests.seq => cursor,
            _ => digests,
        }
    }

    /// The names that a round left for later.
    fn let_wait(&mut self) {
        let rules = Rules {
            hour: Hour::MIN,
            now: now(),
            cutoff: self.job.shared.options.cutoff,
            oldest: None,
            wanted: true,
            trusted: true,
        };
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
        let known = Arc::clone(&self.job.known);
        let working = async {
            let came = match &mut self.cursor {
                Some(cursor) => {
                    known.update(|status| status.state = PeerState::Following);
                    follow(&mut self.job, cursor, &mut self.waiting, until).await
                }
                None => wait(&mut self.job, &mut self.waiting, until).await,
            };
            tell::went_on(&mut self.job);
            match came {
                Ok(End::Due) => {}
                Ok(End::Gap) => {
                    self.cursor = None;
                    self.waiting.clear();
                }
                Err(error) => {
                    tracing::debug!(name: "following_ended", peer = known.peer.name, %error, "a peer is not followed for the moment");
                    known.update(|status| status.error = Some(error.to_string()));
                    known.set_behind(0, false);
                    // The next round says what is wrong, or goes on.
                    let soon = RETRY.mul_f64(rand::random_range(0.1..1.0));
                    sleep(soon.min(until.saturating_duration_since(Instant::now()))).await;
                }
            }
        };
        tokio::select! {
            () = working => {}
            () = known.wanted.notified() => {}
        }
    }

    /// The peer is this node: it is left alone until the list changes.
    async fn is_itself(&self) {
        self.job.known.update(|status| {
            (status.state, status.error, status.failures) = (PeerState::Itself, None, 0);
        });
        self.job.known.set_behind(0, true);
        tracing::info!(name: "peer_is_itself", peer = self.job.peer().name, "this node is in its own list of peers, and is left out");
        self.job.known.stop.cancelled().await;
    }

    /// Remembers how far it came.
    async fn leave(&self) {
        if let Some(cursor) = self.cursor {
            remember(&self.job, cursor, &self.waiting).await;
        }
    }
}

/// Waits for the next round; what becomes due meanwhile is fetched.
async fn wait(job: &mut Job, waiting: &mut Waiting, until: Instant) -> Result<End, RoundError> {
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
async fn stalled(known: &Known) {
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
