//! The crawl as others see it: one thread that catches up, one that carries the visitors, and how far both are.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::catch_up::{CatchUp, CatchUpState, CatchingUp};
use super::pace::{CrawlPace, Pacing};
use super::reconcile::Reconcile;
use super::rounds::{Rounds, RoundsJob, RoundsParts};
use super::state::{VisitorPulse, VisitorStatus};
use super::{CrawlCounts, Keeper, Visitor};
use crate::jobs::{Clock, ForegroundLoad, Stop};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CrawlState {
    /// Every hour is being looked at, at full speed.
    #[default]
    CatchingUp,
    Walking,
    Resting,
    Away,
    Stalled,
}

#[derive(Debug, Clone, Default)]
pub struct CrawlStatus {
    pub state: CrawlState,
    /// Cycle of [`Reconcile`] that runs, or the last one; 0 before the first.
    pub cycle: u64,
    /// Hours looked at while catching up, or in all cycles that run; in the last one of [`Reconcile`] where none runs.
    pub done: u64,
    pub total: u64,
    /// Seconds left while catching up, or until every cycle that runs is done.
    pub seconds_left: Option<f64>,
    /// When the next cycle begins, where none runs.
    pub next: Option<SystemTime>,
    /// What was found when it last caught up or compared everything, and how long that took.
    pub last: Option<(CrawlCounts, Duration)>,
    /// Why it cannot go on, where it cannot.
    pub trouble: Option<String>,
    pub visitors: Vec<VisitorStatus>,
    pub pulse: VisitorPulse,
}

/// The crawl. Others look at it while its two threads work.
pub struct Crawl {
    catch_up: Arc<CatchUp>,
    rounds: Arc<Rounds>,
    pacing: Pacing,
}

impl Crawl {
    pub fn new(
        keeper: Arc<Keeper>,
        visitors: Vec<Box<dyn Visitor>>,
        pace: CrawlPace,
        busy: Arc<ForegroundLoad>,
        clock: Arc<dyn Clock>,
        stop: Stop,
    ) -> Self {
        let catch_up = Arc::new(CatchUp::new(Arc::clone(&keeper), pace.threads, stop.clone()));
        let pacing = Pacing::new(pace);
        let ready = Arc::clone(&catch_up);
        let is_ready: Box<dyn Fn() -> bool + Send + Sync> = Box::new(move || ready.is_ready());
        let rounds = Arc::new(Rounds::new(RoundsParts {
            keeper,
            visitors,
            pacing: pacing.clone(),
            busy,
            clock,
            stop,
            is_ready,
        }));
        Self { catch_up, rounds, pacing }
    }

    /// Its two jobs: one catches up and goes on doing so, the other carries the visitors.
    pub fn jobs(&self) -> (CatchingUp, RoundsJob) {
        (CatchingUp::new(Arc::clone(&self.catch_up)), RoundsJob::new(Arc::clone(&self.rounds)))
    }

    pub fn pacing(&self) -> &Pacing {
        &self.pacing
    }

    /// Has a visitor begin a cycle as soon as possible; false if there is no such visitor.
    pub fn request_cycle(&self, visitor: &str) -> bool {
        self.rounds.request_cycle(visitor)
    }

    /// For a process that runs none of its jobs, and compares hours with the disk when it is asked about them.
    pub fn caught_up(&self) {
        self.catch_up.is_done();
    }

    /// Turns true when the index has caught up with the disk.
    pub fn ready(&self) -> tokio::sync::watch::Receiver<bool> {
        self.catch_up.ready()
    }

    /// Whether the index that is open now has caught up with the disk: one that was just recreated has not.
    pub fn is_ready(&self) -> bool {
        self.catch_up.is_ready()
    }

    /// The same question, for who asks it again and again.
    pub fn readiness(&self) -> Box<dyn Fn() -> bool + Send + Sync> {
        let catch_up = Arc::clone(&self.catch_up);
        Box::new(move || catch_up.is_ready())
    }

    /// Catches up again as soon as possible: the disk has come back.
    pub fn kick(&self) {
        self.catch_up.kick();
    }

    pub fn status(&self) -> CrawlStatus {
        let (caught, visitors, pulse) = (self.catch_up.status(), self.rounds.status(), self.rounds.pulse());
        let running = || visitors.iter().filter(|visitor| visitor.state.is_running);
        let reconcile = visitors.iter().find(|visitor| visitor.name == Reconcile::NAME);
        let cycle = reconcile.map_or(0, |visitor| visitor.state.cycle);
        let mut status = CrawlStatus {
            cycle,
            done: caught.done,
            total: caught.total,
            last: caught.last.clone(),
            trouble: caught.trouble.clone().or_else(|| pulse.error.clone()),
            ..CrawlStatus::default()
        };
        status.state = match caught.state {
            CatchUpState::CatchingUp => CrawlState::CatchingUp,
            CatchUpState::Away => CrawlState::Away,
            CatchUpState::Stalled => CrawlState::Stalled,
            CatchUpState::Ready if running().next().is_some() => CrawlState::Walking,
            CatchUpState::Ready => CrawlState::Resting,
        };
        if status.state == CrawlState::CatchingUp {
            status.seconds_left = left(&caught);
        } else {
            status.seconds_left = running().filter_map(VisitorStatus::seconds_left).reduce(f64::max);
        }
        if let Some(visitor) = reconcile.filter(|visitor| visitor.state.cycle > 0) {
            let of = |one: &VisitorStatus| (one.state.hours, one.state.hours + one.hours_left.unwrap_or(0));
            if status.state == CrawlState::Walking {
                let both = |a: (u64, u64), b: (u64, u64)| (a.0 + b.0, a.1 + b.1);
                (status.done, status.total) = running().map(of).fold((0, 0), both);
            } else if status.state == CrawlState::Resting {
                (status.done, status.total) = of(visitor);
            }
            let began = caught.began.and_then(|began| began.duration_since(SystemTime::UNIX_EPOCH).ok());
            let since = began.map_or(0, |began| i64::try_from(began.as_micros()).unwrap_or(i64::MAX));
            let newest = visitor.state.history.front().filter(|newest| newest.began_us >= since);
            if let Some(last) = newest {
                let took = u64::try_from(last.ended_us - last.began_us).unwrap_or(0);
                status.last = Some((last.found.clone(), Duration::from_micros(took)));
            }
        }
        if status.state == CrawlState::Resting {
            status.next = visitors.iter().filter_map(|visitor| visitor.next_cycle).min();
        }
        (status.visitors, status.pulse) = (visitors, pulse);
        status
    }
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn left(caught: &super::catch_up::CatchUpStatus) -> Option<f64> {
    let elapsed = caught.began?.elapsed().ok().filter(|_| caught.done > 0)?;
    Some(elapsed.as_secs_f64() * caught.total.saturating_sub(caught.done) as f64 / caught.done as f64)
}
