//! The crawl: carries its visitors past every hour, newest first, and starts over.
//!
//! 1. The first cycle after a start, or after the index began anew or the disk came back, runs at full speed in several threads; when it is
//!    done the index has caught up, and the node is ready.
//! 2. Every later one works in slices and rests in between, to keep to its share of one processor.
//! 3. Hours that turn up between cycles are handed over, and are visited at once.
//! 4. While the disk is away nothing is done; when it is back a cycle begins at once.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::{CrawlError, Found, Keeper, Visitor};
use crate::domain::{Hour, HourPlace, Stream};
use crate::runtime::{Meter, Stop, rest_after};

/// Hours that are handed to a visitor at a time.
const CHUNK: usize = 512;
/// How often a resting crawl looks whether it is wanted.
const GLANCE: Duration = Duration::from_millis(100);

/// How fast the crawl goes.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// From the start of one cycle to the start of the next, at least.
    pub minimum_cycle: Duration,
    /// Share of one processor, 0 to 1.
    pub cpu_share: f64,
    /// Work between two rests, at most.
    pub slice: Duration,
    /// Threads of the first cycle.
    pub threads: usize,
}

/// What the crawl is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CrawlState {
    /// Catching up: the first cycle.
    #[default]
    CatchingUp,
    /// A later cycle.
    Walking,
    /// Between cycles.
    Resting,
    /// The disk is not there.
    Away,
    /// The index takes no writes.
    Stalled,
}

/// How far the crawl is.
#[derive(Debug, Clone, Default)]
pub struct CrawlStatus {
    /// What it is doing.
    pub state: CrawlState,
    /// Number of the cycle that runs, or of the last one, from 1.
    pub cycle: u64,
    /// Hours looked at in this cycle.
    pub done: u64,
    /// Hours to look at in this cycle.
    pub total: u64,
    /// When this cycle began.
    pub began: Option<SystemTime>,
    /// When the next one begins, while resting.
    pub next: Option<SystemTime>,
    /// What the last complete cycle found, and how long it took.
    pub last: Option<(Found, Duration)>,
    /// Why it cannot go on, where it cannot.
    pub trouble: Option<String>,
}

/// The crawl. Runs in a thread of its own; others look at it.
pub struct Crawl {
    keeper: Arc<Keeper>,
    visitors: Vec<Box<dyn Visitor>>,
    pace: Pace,
    stop: Stop,
    kick: AtomicBool,
    meter: Meter,
    status: Mutex<CrawlStatus>,
    ready: tokio::sync::watch::Sender<bool>,
    /// Of which generation of the index this cycle is.
    generation: AtomicU64,
}

impl Crawl {
    /// Ready to [`Crawl::run`].
    pub fn new(keeper: Arc<Keeper>, visitors: Vec<Box<dyn Visitor>>, pace: Pace, stop: Stop) -> Self {
        let ready = tokio::sync::watch::Sender::new(false);
        Self {
            keeper,
            visitors,
            pace,
            stop,
            kick: AtomicBool::new(false),
            meter: Meter::default(),
            status: Mutex::default(),
            ready,
            generation: AtomicU64::new(0),
        }
    }

    /// Turns true when the index has caught up with the disk.
    pub fn ready(&self) -> tokio::sync::watch::Receiver<bool> {
        self.ready.subscribe()
    }

    /// Whether the index that is open now has caught up with the disk: one that has just begun anew has not, whatever was said before.
    pub fn is_ready(&self) -> bool {
        *self.ready.borrow() && self.is_of_this_index()
    }

    fn is_of_this_index(&self) -> bool {
        self.generation.load(Ordering::SeqCst) == self.keeper.index.catalog().generation()
    }

    /// How far it is.
    pub fn status(&self) -> CrawlStatus {
        let mut status = self.lock().clone();
        (status.done, status.total) = (self.meter.done(), self.meter.total());
        status
    }

    fn set_ready(&self, ready: bool) {
        self.keeper.index.caught_up(ready);
        self.ready.send_replace(ready);
    }

    /// Begins a full-speed cycle as soon as possible: the disk has come back.
    pub fn kick(&self) {
        self.set_ready(false);
        self.kick.store(true, Ordering::SeqCst);
    }

    /// Works until it is stopped.
    pub fn run(&self) {
        let mut caught_up = None;
        let mut stalled = false;
        while !self.stop.is_stopped() {
            let generation = self.keeper.index.catalog().generation();
            if self.kick.swap(false, Ordering::SeqCst) || caught_up != Some(generation) {
                caught_up = None;
                self.set_ready(false);
            }
            self.generation.store(generation, Ordering::SeqCst);
            let began = Instant::now();
            match self.cycle(stalled || caught_up.is_none()) {
                Ok(Some(found)) => {
                    stalled = false;
                    self.visitors.iter().for_each(|visitor| visitor.cycle_done());
                    if !self.kick.load(Ordering::SeqCst) && self.keeper.index.catalog().generation() == generation {
                        caught_up = Some(generation);
                        self.set_ready(true);
                    }
                    self.finish(found, began);
                    self.rest(began);
                }
                Ok(None) => {}
                Err(error) => {
                    stalled = matches!(error, CrawlError::Index(_));
                    if !stalled {
                        caught_up = None;
                        self.set_ready(false);
                    }
                    // Answers are right without an index that takes writes: who was ready stays so.
                    let state = if stalled { CrawlState::Stalled } else { CrawlState::Away };
                    let mut status = self.lock();
                    (status.state, status.trouble) = (state, Some(error.to_string()));
                    drop(status);
                    self.stop.wait(Duration::from_millis(500));
                }
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, CrawlStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finish(&self, found: Found, began: Instant) {
        let took = began.elapsed();
        let mut status = self.lock();
        tracing::info!(
            name: "crawl_cycle", cycle = status.cycle, hours = self.meter.total(), read = found.read, put = found.put,
            removed = found.removed, errors = found.errors, seconds = took.as_secs_f64(), "crawl cycle done"
        );
        status.last = Some((found, took));
        status.trouble = None;
    }

    fn rest(&self, began: Instant) {
        let until = began + self.pace.minimum_cycle;
        let left = until.saturating_duration_since(Instant::now());
        {
            let mut status = self.lock();
            status.state = CrawlState::Resting;
            status.next = Some(SystemTime::now() + left);
        }
        let generation = self.keeper.index.catalog().generation();
        loop {
            let rest = GLANCE.min(until.saturating_duration_since(Instant::now()));
            let wanted = self.kick.load(Ordering::SeqCst) || self.keeper.index.catalog().generation() != generation;
            // After an error the next cycle finds out what it is about, and looks at all hours anyway.
            if rest.is_zero() || wanted || self.stop.wait(rest) || self.visit_handed_over().is_err() {
                return;
            }
        }
    }

    /// One walk past every hour; `None` if it was stopped.
    fn cycle(&self, full_speed: bool) -> Result<Option<Found>, CrawlError> {
        {
            let mut status = self.lock();
            status.cycle += 1;
            status.state = if full_speed { CrawlState::CatchingUp } else { CrawlState::Walking };
            status.began = Some(SystemTime::now());
            status.next = None;
        }
        self.meter.begin(0);
        let structure = self.keeper.reconcile_structure()?;
        // They are part of the plan.
        self.keeper.take_handed_over();
        let plan = Plan::new(&self.keeper);
        self.meter.begin(plan.hours.len() as u64);
        let found = if full_speed && self.pace.threads > 1 { self.fast(&plan) } else { self.paced(&plan, full_speed) };
        Ok(found?.map(|mut found| {
            found.add(Found { errors: structure.unreadable, last_error: structure.last_error, ..Found::default() });
            found
        }))
    }

    fn visit_handed_over(&self) -> Result<(), CrawlError> {
        for hours in self.keeper.take_handed_over().chunks(CHUNK) {
            self.visit(hours)?;
        }
        Ok(())
    }

    fn visit(&self, hours: &[HourPlace]) -> Result<Found, CrawlError> {
        let mut found = Found::default();
        for visitor in &self.visitors {
            found.add(visitor.visit(hours)?);
        }
        Ok(found)
    }

    /// Visits a part of the plan.
    fn advance(&self, plan: &Plan, chunk: usize) -> Result<Found, CrawlError> {
        let hours = plan.chunk(chunk);
        let found = self.visit(&hours)?;
        self.meter.add(hours.len() as u64);
        Ok(found)
    }

    fn interrupted(&self) -> bool {
        self.stop.is_stopped() || self.kick.load(Ordering::SeqCst) || !self.is_of_this_index()
    }

    fn paced(&self, plan: &Plan, full_speed: bool) -> Result<Option<Found>, CrawlError> {
        let mut found = Found::default();
        let mut slice = Instant::now();
        for index in 0..plan.chunks() {
            if self.interrupted() {
                return Ok(None);
            }
            found.add(self.advance(plan, index)?);
            self.visit_handed_over()?;
            let worked = slice.elapsed();
            if !full_speed && worked >= self.pace.slice {
                self.stop.wait(rest_after(worked, self.pace.cpu_share));
                slice = Instant::now();
            }
        }
        Ok(Some(found))
    }

    fn fast(&self, plan: &Plan) -> Result<Option<Found>, CrawlError> {
        let next = AtomicUsize::new(0);
        let failed = AtomicU64::new(0);
        let work = || -> Result<Found, CrawlError> {
            let mut found = Found::default();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= plan.chunks() || self.interrupted() || failed.load(Ordering::Relaxed) > 0 {
                    return Ok(found);
                }
                found.add(self.advance(plan, index).inspect_err(|_| {
                    failed.fetch_add(1, Ordering::Relaxed);
                })?);
            }
        };
        let results: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..self.pace.threads).map(|_| scope.spawn(work)).collect();
            threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
        });
        let mut found = Found::default();
        for result in results {
            found.add(result?);
        }
        Ok((!self.interrupted()).then_some(found))
    }
}

/// The hours of a cycle, newest first.
struct Plan {
    streams: Vec<Stream>,
    hours: Vec<(Hour, u32)>,
}

impl Plan {
    fn new(keeper: &Keeper) -> Self {
        let catalog = keeper.index.catalog();
        let streams = catalog.streams();
        let mut hours = Vec::with_capacity(catalog.hour_count());
        for (index, stream) in (0_u32..).zip(&streams) {
            hours.extend(catalog.hours(&stream.to_string(), ..).into_iter().map(|hour| (hour, index)));
        }
        hours.sort_unstable_by(|a, b| b.cmp(a));
        Self { streams, hours }
    }

    fn chunks(&self) -> usize {
        self.hours.len().div_ceil(CHUNK)
    }

    fn chunk(&self, index: usize) -> Vec<HourPlace> {
        let hours = self.hours.chunks(CHUNK).nth(index).unwrap_or_default();
        let place = |(hour, stream): &(Hour, u32)| {
            self.streams.get(*stream as usize).map(|stream| HourPlace { stream: stream.clone(), hour: *hour })
        };
        hours.iter().filter_map(place).collect()
    }
}
