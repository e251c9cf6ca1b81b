//! Brings the whole index into line, as fast as possible: after a start, when the disk is back, and when the index began anew.
//!
//! 1. Every hour is looked at, newest first, in several threads. When that is done the node is ready.
//! 2. Afterwards hours that turn up, or that the index did not take, are looked at as soon as they are handed over.
//! 3. While the disk is away nothing is done; when it is back it begins again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use super::plan::CrawlPlan;
use super::reconcile::{HourAction, look};
use super::{CrawlCounts, CrawlError, Keeper};
use crate::archive::HourPlace;
use crate::jobs::{Backoff, Failure, Job, JobHandle, JobState, Next, Stop};

/// Hours that are taken at a time.
const CHUNK: usize = 512;
/// Of these, hours that are read and committed together.
const READ_TOGETHER: usize = 16;
/// How often it checks for work.
const GLANCE: Duration = Duration::from_millis(100);
/// How long 512 hours may take; a disk behind a network that is away takes longer.
const DEADLINE: Duration = Duration::from_secs(600);
/// How long it waits after an error.
const AFTER_ERROR: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CatchUpState {
    #[default]
    CatchingUp,
    Ready,
    Away,
    Stalled,
}

#[derive(Debug, Clone, Default)]
pub struct CatchUpStatus {
    pub state: CatchUpState,
    pub done: u64,
    pub total: u64,
    pub began: Option<SystemTime>,
    /// What it found the last time, and how long it took.
    pub last: Option<(CrawlCounts, Duration)>,
    /// Why it cannot go on, where it cannot.
    pub trouble: Option<String>,
}

pub(super) struct CatchUp {
    keeper: Arc<Keeper>,
    threads: usize,
    stop: Stop,
    kick: AtomicBool,
    meter: Meter,
    status: Mutex<CatchUpStatus>,
    ready: tokio::sync::watch::Sender<bool>,
    generation: AtomicU64,
}

impl CatchUp {
    pub(super) fn new(keeper: Arc<Keeper>, threads: usize, stop: Stop) -> Self {
        Self {
            keeper,
            threads,
            stop,
            kick: AtomicBool::new(false),
            meter: Meter::default(),
            status: Mutex::default(),
            ready: tokio::sync::watch::Sender::new(false),
            generation: AtomicU64::new(0),
        }
    }

    pub(super) fn ready(&self) -> tokio::sync::watch::Receiver<bool> {
        self.ready.subscribe()
    }

    /// Whether the index that is open now has caught up with the disk: one that was just recreated has not.
    pub(super) fn is_ready(&self) -> bool {
        *self.ready.borrow() && self.is_of_this_index()
    }

    fn is_of_this_index(&self) -> bool {
        self.generation.load(Ordering::SeqCst) == self.keeper.index.catalog().generation()
    }

    pub(super) fn status(&self) -> CatchUpStatus {
        let mut status = self.status.lock().clone();
        (status.done, status.total) = (self.meter.done(), self.meter.total());
        status
    }

    fn set_ready(&self, ready: bool) {
        self.keeper.index.caught_up(ready);
        self.ready.send_replace(ready);
    }

    /// Others have compared everything, or do so when it is asked about.
    pub(super) fn is_done(&self) {
        self.generation.store(self.keeper.index.catalog().generation(), Ordering::SeqCst);
        self.set_ready(true);
    }

    /// Begins again as soon as possible: the disk has come back, or was found away.
    pub(super) fn kick(&self) {
        self.set_ready(false);
        self.kick.store(true, Ordering::SeqCst);
    }

    fn finish(&self, found: CrawlCounts) {
        let mut status = self.status.lock();
        let took = status.began.and_then(|began| began.elapsed().ok()).unwrap_or_default();
        tracing::info!(
            name: "caught_up", hours = self.meter.total(), read = found.count(CrawlCounts::READ), put = found.count(CrawlCounts::PUT),
            removed = found.count(CrawlCounts::REMOVED), errors = found.count(CrawlCounts::ERRORS), seconds = took.as_secs_f64(),
            "the index has caught up with the disk"
        );
        status.last = Some((found, took));
        (status.state, status.trouble) = (CatchUpState::Ready, None);
    }

    fn follow(&self, handle: &JobHandle) -> Result<(), CrawlError> {
        let hours = self.keeper.take_handed_over();
        for (number, part) in hours.chunks(CHUNK).enumerate() {
            handle.working("hours that turned up");
            bring_into_line(&self.keeper, part).inspect_err(|_| {
                // Nothing else would examine the rest of them soon.
                self.keeper.hand_over(hours.get(number * CHUNK..).unwrap_or_default().to_vec());
            })?;
        }
        let mut status = self.status.lock();
        if status.state != CatchUpState::Ready {
            (status.state, status.trouble) = (CatchUpState::Ready, None);
        }
        Ok(())
    }

    /// One walk past every hour; `None` if it was interrupted.
    fn all(&self, handle: &JobHandle) -> Result<Option<CrawlCounts>, CrawlError> {
        handle.working("every hour, at full speed");
        {
            let mut status = self.status.lock();
            (status.state, status.began) = (CatchUpState::CatchingUp, Some(SystemTime::now()));
        }
        self.meter.begin(0);
        self.keeper.begin_comparing();
        let structure = self.keeper.reconcile_structure()?;
        // They are part of the plan.
        self.keeper.take_handed_over();
        let plan = CrawlPlan::new(self.keeper.index.catalog(), None, self.keeper.horizon());
        self.meter.begin(plan.left() as u64);
        let mut found = CrawlCounts::of(CrawlCounts::ERRORS, structure.unreadable);
        found.last_error = structure.last_error;
        let next = AtomicUsize::new(0);
        let failed = AtomicBool::new(false);
        let work = || self.part(&plan, &next, &failed, handle);
        let parts: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (1..self.threads).map(|_| scope.spawn(work)).collect();
            let own = work();
            // A thread that crashed has not looked at its part.
            let joined = threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            std::iter::once(own).chain(joined).collect()
        });
        for part in parts {
            found.add(&part?);
        }
        if !self.is_interrupted() {
            found.add(&self.keeper.hide_all_twins()?);
        }
        Ok((!self.is_interrupted()).then_some(found))
    }

    fn part(
        &self,
        plan: &CrawlPlan,
        next: &AtomicUsize,
        failed: &AtomicBool,
        handle: &JobHandle,
    ) -> Result<CrawlCounts, CrawlError> {
        let mut found = CrawlCounts::nothing();
        while !self.is_interrupted() && !failed.load(Ordering::Relaxed) {
            let hours = plan.chunk(next.fetch_add(CHUNK, Ordering::Relaxed), CHUNK);
            if hours.is_empty() {
                break;
            }
            found.add(&bring_into_line(&self.keeper, &hours).inspect_err(|_| failed.store(true, Ordering::Relaxed))?);
            self.meter.add(hours.len() as u64);
            handle.progress(self.meter.done(), self.meter.total());
        }
        Ok(found)
    }

    fn is_interrupted(&self) -> bool {
        self.stop.is_stopped() || self.kick.load(Ordering::SeqCst) || !self.is_of_this_index()
    }
}

pub struct CatchingUp {
    catch_up: Arc<CatchUp>,
    /// With which generation of the index it is done.
    caught_up: Option<u64>,
}

impl CatchingUp {
    pub(super) fn new(catch_up: Arc<CatchUp>) -> Self {
        Self { catch_up, caught_up: None }
    }

    fn look(&mut self, handle: &JobHandle) -> Result<Next, CrawlError> {
        let shared = &*self.catch_up;
        let generation = shared.keeper.index.catalog().generation();
        if shared.kick.swap(false, Ordering::SeqCst) || self.caught_up != Some(generation) {
            self.caught_up = None;
            shared.set_ready(false);
        }
        shared.generation.store(generation, Ordering::SeqCst);
        if self.caught_up.is_some() {
            shared.follow(handle)?;
            handle.set_state(JobState::Waiting, "for new hours", None);
            return Ok(Next::WhenWoken(GLANCE));
        }
        if let Some(found) = shared.all(handle)?
            && !shared.kick.load(Ordering::SeqCst)
            && shared.keeper.index.catalog().generation() == generation
        {
            self.caught_up = Some(generation);
            shared.finish(found);
            shared.set_ready(true);
        }
        Ok(Next::Again)
    }
}

impl Job for CatchingUp {
    fn kind(&self) -> &'static str {
        "catch-up"
    }

    fn deadline(&self) -> Duration {
        DEADLINE
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(AFTER_ERROR, AFTER_ERROR)
    }

    fn step(&mut self, handle: &JobHandle) -> Result<Next, Failure> {
        self.look(handle).map_err(|error| {
            let is_stalled = matches!(error, CrawlError::Index(_));
            if !is_stalled {
                self.caught_up = None;
                self.catch_up.set_ready(false);
            }
            // Answers are right without an index that takes writes: who was ready stays so.
            let state = if is_stalled { CatchUpState::Stalled } else { CatchUpState::Away };
            let mut status = self.catch_up.status.lock();
            (status.state, status.trouble) = (state, Some(error.to_string()));
            drop(status);
            error.into()
        })
    }
}

/// Brings hours into line, at full speed. What is wrong with one of them is counted.
pub fn bring_into_line(keeper: &Keeper, hours: &[HourPlace]) -> Result<CrawlCounts, CrawlError> {
    let mut found = CrawlCounts::nothing();
    let mut differing = Vec::new();
    for (look, place) in look(keeper, hours)?.into_iter().zip(hours) {
        match look {
            HourAction::Same | HourAction::Verify => {}
            HourAction::Differs => differing.push(place.clone()),
            HourAction::Unreadable(why) => found.add(&CrawlCounts::error(why)),
        }
    }
    found.add(&CrawlCounts::of(CrawlCounts::READ, differing.len() as u64));
    for chunk in differing.chunks(READ_TOGETHER) {
        match keeper.reconcile(chunk, false) {
            Ok(applied) => found.add(&changed(applied)),
            // One bad directory must not keep the others from being looked at.
            Err(CrawlError::Disk(_)) => chunk.iter().try_for_each(|place| one(keeper, place, &mut found))?,
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

fn one(keeper: &Keeper, place: &HourPlace, found: &mut CrawlCounts) -> Result<(), CrawlError> {
    match keeper.reconcile(std::slice::from_ref(place), false) {
        Ok(applied) => found.add(&changed(applied)),
        Err(CrawlError::Disk(error)) => {
            tracing::warn!(name: "hour_unreadable", hour = %place, %error, "an hour cannot be read; the index keeps what it knew of it");
            found.add(&CrawlCounts::error(format!("{place}: {error}")));
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

fn changed(applied: crate::index::Applied) -> CrawlCounts {
    CrawlCounts::of(CrawlCounts::PUT, applied.put).and(CrawlCounts::REMOVED, applied.removed)
}

#[derive(Debug, Default)]
struct Meter {
    done: AtomicU64,
    total: AtomicU64,
}

impl Meter {
    fn begin(&self, total: u64) {
        self.done.store(0, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
    }

    fn add(&self, count: u64) {
        self.done.fetch_add(count, Ordering::Relaxed);
    }

    fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }
}
