//! Carries the visitors past every hour, over and over, at the pace that is allowed.
//!
//! 1. Each visitor whose cycle runs, or is due, is a candidate; they take turns, a slice each, and all share one budget.
//! 2. At the end of a slice what is booked and not committed yet is committed; then comes the rest that the work has earned.
//! 3. A cycle that was interrupted goes on strictly after the last hour that was committed. A new one does not begin right after a start.
//! 4. While the index has not caught up with the disk nothing is done: what is not read yet would look like a difference.
//! 5. After an error everything is read again from the index: what was booked and not committed has not happened.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use super::pace::{CrawlPace, Pacing};
use super::plan::CrawlPlan;
use super::state::{VisitorPulse, VisitorState, VisitorStatus};
use super::visit::{Round, Slice, Visitor};
use super::{CrawlCounts, CrawlError, Keeper};
use crate::archive::Timestamp;
use crate::index::Batch;
use crate::jobs::{
    Backoff, Clock, Failure, ForegroundLoad, Job, JobHandle, JobState, LONGEST, Next, Pacer, Stop, WorkCost,
};

/// Hours that are handed to a visitor at a time.
const CHUNK: usize = 512;
/// After a start no cycle begins before this time, unless it is allowed to be shorter: a machine that has just started is busy.
const SLOW_START: Duration = Duration::from_secs(300);
/// How long one hour may take a visitor; a disk behind a network that is away takes longer.
const DEADLINE: Duration = Duration::from_secs(600);
/// How long it waits after an error.
const AFTER_ERROR: Duration = Duration::from_millis(500);

pub(super) struct RoundsParts {
    pub(super) keeper: Arc<Keeper>,
    pub(super) visitors: Vec<Box<dyn Visitor>>,
    pub(super) pacing: Pacing,
    pub(super) busy: Arc<ForegroundLoad>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) stop: Stop,
    /// Whether the index has caught up with the disk.
    pub(super) is_ready: Box<dyn Fn() -> bool + Send + Sync>,
}

pub(super) struct Rounds {
    parts: RoundsParts,
    /// Visitors whose next cycle is to begin at once.
    requested: Vec<AtomicBool>,
    shown: Mutex<Vec<VisitorStatus>>,
    pulse: Mutex<VisitorPulse>,
}

struct VisitorProgress {
    state: VisitorState,
    plan: Option<CrawlPlan>,
    /// How old the running or last cycle was, and when that was noted.
    age: (Duration, Duration),
    ready_at: Duration,
    /// When this process began to work on the cycle, and how many hours were done in it then.
    since: (Duration, u64),
    /// One thing that takes it several turns, and how far it is with that.
    in_hand: Option<String>,
}

impl VisitorProgress {
    fn new(state: VisitorState, clock: &dyn Clock) -> Self {
        let age = age(&state, clock.wall());
        let (now, hours) = (clock.now(), state.hours);
        Self { state, plan: None, age: (age, now), ready_at: Duration::ZERO, since: (now, hours), in_hand: None }
    }

    fn age(&self, now: Duration) -> Duration {
        self.age.0.saturating_add(now.saturating_sub(self.age.1))
    }
}

/// How long ago a cycle began; nothing if the clock says that it has not begun yet, and for ever if there was none.
fn age(state: &VisitorState, now: SystemTime) -> Duration {
    if state.cycle == 0 {
        return Duration::MAX;
    }
    Duration::from_micros(u64::try_from(Timestamp::from(now).us().saturating_sub(state.began_us)).unwrap_or(0))
}

impl Rounds {
    pub(super) fn new(parts: RoundsParts) -> Self {
        let requested = parts.visitors.iter().map(|_| AtomicBool::new(false)).collect();
        Self { parts, requested, shown: Mutex::default(), pulse: Mutex::default() }
    }

    /// Has a visitor begin a cycle as soon as possible; false if there is no such visitor.
    pub(super) fn request_cycle(&self, visitor: &str) -> bool {
        let found = self.parts.visitors.iter().position(|one| one.name() == visitor);
        let request = found.and_then(|index| self.requested.get(index));
        request.inspect(|request| request.store(true, Ordering::SeqCst)).is_some()
    }

    pub(super) fn status(&self) -> Vec<VisitorStatus> {
        self.shown.lock().clone()
    }

    pub(super) fn pulse(&self) -> VisitorPulse {
        self.pulse.lock().clone()
    }

    fn is_ready(&self) -> bool {
        (self.parts.is_ready)()
    }

    fn name(&self, index: usize) -> &'static str {
        self.parts.visitors.get(index).map_or("", |visitor| visitor.name())
    }

    fn generation(&self) -> u64 {
        self.parts.keeper.index.catalog().generation()
    }

    fn load(&self) -> Result<Vec<VisitorState>, CrawlError> {
        let mut known: std::collections::BTreeMap<String, Vec<u8>> =
            self.parts.keeper.index.visitors()?.into_iter().collect();
        let state = |visitor: &dyn Visitor| {
            known.remove(visitor.name()).map(|bytes| VisitorState::read(&bytes)).unwrap_or_default()
        };
        Ok(self.parts.visitors.iter().map(|one| &**one).map(state).collect())
    }

    fn is_requested(&self, index: usize) -> bool {
        self.requested.get(index).is_some_and(|request| request.load(Ordering::SeqCst))
    }

    fn due(&self, index: usize, way: &VisitorProgress, pace: &CrawlPace, settled: Duration, now: Duration) -> Duration {
        if way.state.is_running {
            return way.ready_at;
        }
        if self.is_requested(index) {
            return now;
        }
        let name = self.name(index);
        let minimum = pace.minimum_cycle(name);
        let by_age = now.saturating_add(minimum.saturating_sub(way.age(now)));
        by_age.max(settled.saturating_add(SLOW_START.min(minimum)))
    }

    fn choose(
        &self,
        ways: &[VisitorProgress],
        pace: &CrawlPace,
        settled: Duration,
        last: usize,
        now: Duration,
    ) -> Option<usize> {
        let may = |index: &usize| ways.get(*index).is_some_and(|way| self.due(*index, way, pace, settled, now) <= now);
        (last + 1..ways.len()).chain(0..=last.min(ways.len().saturating_sub(1))).find(may)
    }

    fn next(&self, ways: &[VisitorProgress], pace: &CrawlPace, settled: Duration, now: Duration) -> Duration {
        let due = ways.iter().enumerate().map(|(index, way)| self.due(index, way, pace, settled, now));
        due.min().unwrap_or(Duration::MAX)
    }

    fn slice(
        &self,
        index: usize,
        way: &mut VisitorProgress,
        (pace, generation): (&CrawlPace, u64),
        handle: &JobHandle,
    ) -> Result<(), CrawlError> {
        let Some(visitor) = self.parts.visitors.get(index) else { return Ok(()) };
        let clock = &*self.parts.clock;
        let began = clock.now();
        let is_interrupted = || self.parts.stop.is_stopped() || !self.is_ready();
        let in_hand = Mutex::new(None);
        let doing = |what: String| *in_hand.lock() = Some(what);
        let slice = Slice { clock, began, until: began + pace.slice, is_interrupted: &is_interrupted, doing: &doing };
        let was_running = way.state.is_running;
        self.begin_or_go_on(&**visitor, way, began)?;
        let (mut is_dirty, mut read) = (!was_running, Duration::ZERO);
        while clock.now() < slice.until && !is_interrupted() {
            let plan = way.plan.get_or_insert_default();
            let hours = plan.ahead(CHUNK);
            if hours.is_empty() {
                visitor.cycle_done()?;
                self.end(&**visitor, way, began);
                is_dirty = true;
                break;
            }
            let mut round = Round::new(visitor.name(), &hours, &mut way.state, &slice, pace.reading);
            let within = round.within().to_vec();
            handle.sign();
            visitor.visit(&mut round)?;
            let (count, spent, uncommitted) = round.outcome();
            is_dirty |= uncommitted;
            read += spent;
            // A visitor that neither goes on nor is out of time would never come to an end.
            if count == 0
                && way.state.within == within
                && spent.is_zero()
                && clock.now() < slice.until
                && !is_interrupted()
            {
                let mut stuck = Round::new(visitor.name(), &hours, &mut way.state, &slice, pace.reading);
                stuck.done(&CrawlCounts::error(format!("{} could not go on", visitor.name())));
                plan.go_on(1);
            }
            plan.go_on(count);
            if read > AHEAD {
                break;
            }
        }
        way.in_hand = in_hand.lock().take();
        let worked = clock.now().saturating_sub(began);
        // However little may be read: something is read every five minutes, and a pace that was changed counts then at the latest.
        way.ready_at = began.saturating_add(read.min(LONGEST));
        if way.state.is_running {
            way.state.worked_us += u64::try_from(worked.as_micros()).unwrap_or(u64::MAX);
        }
        if is_dirty || way.state.is_running {
            self.commit(&**visitor, &way.state, generation)?;
        }
        // Only now has it begun: what fails before is begun again.
        if !was_running && let Some(request) = self.requested.get(index) {
            request.store(false, Ordering::SeqCst);
        }
        Ok(())
    }

    fn commit(&self, visitor: &dyn Visitor, state: &VisitorState, generation: u64) -> Result<(), CrawlError> {
        let visitors = vec![(visitor.name().to_owned(), state.write())];
        let batch = Batch { generation: Some(generation), visitors, ..Batch::default() };
        Ok(self.parts.keeper.index.apply(batch).map(drop)?)
    }

    fn begin_or_go_on(
        &self,
        visitor: &dyn Visitor,
        way: &mut VisitorProgress,
        now: Duration,
    ) -> Result<(), CrawlError> {
        if !way.state.is_running {
            way.state.begin(Timestamp::from(self.parts.clock.wall()));
            (way.age, way.since, way.plan) = ((Duration::ZERO, now), (now, 0), None);
        }
        if way.plan.is_none() {
            way.state.found.add(&visitor.cycle_begins(way.state.cycle)?);
            let keeper = &self.parts.keeper;
            let mut plan = CrawlPlan::new(keeper.index.catalog(), way.state.after.as_ref(), keeper.horizon());
            if let Some(inside) = &way.state.inside {
                plan.begin_with(inside);
            }
            way.plan = Some(plan);
        }
        Ok(())
    }

    fn end(&self, visitor: &dyn Visitor, way: &mut VisitorProgress, began: Duration) {
        let worked = self.parts.clock.now().saturating_sub(began);
        way.state.worked_us += u64::try_from(worked.as_micros()).unwrap_or(u64::MAX);
        way.state.end(Timestamp::from(self.parts.clock.wall()));
        way.plan = None;
        let state = &way.state;
        let counts: Vec<String> = state.found.counts().map(|(name, count)| format!("{count} {name}")).collect();
        tracing::info!(
            name: "crawl_cycle", visitor = visitor.name(), cycle = state.cycle, hours = state.hours,
            worked_ms = state.worked_us / 1_000, found = counts.join(", "), "a cycle of the crawl is done"
        );
    }

    fn show(&self, ways: &[VisitorProgress], settled: Duration) {
        let (now, wall, pace) = (self.parts.clock.now(), self.parts.clock.wall(), self.parts.pacing.get());
        let status = |(index, way): (usize, &VisitorProgress)| {
            let name = self.name(index);
            let left = way.plan.as_ref().map(|plan| plan.left() as u64);
            let at = |when: Duration| wall.checked_add(when.saturating_sub(now));
            let due = self.due(index, way, &pace, settled, now);
            VisitorStatus {
                name,
                state: way.state.clone(),
                hours_left: left.filter(|_| way.state.is_running),
                next_work: at(due),
                next_cycle: if way.state.is_running {
                    at(now.saturating_add(pace.minimum_cycle(name).saturating_sub(way.age(now))))
                } else {
                    at(due)
                },
                elapsed: now.saturating_sub(way.since.0),
                hours_since: way.state.hours.saturating_sub(way.since.1),
            }
        };
        *self.shown.lock() = ways.iter().enumerate().map(status).collect();
    }

    fn show_pulse(&self, works: Option<usize>, rest: Option<Duration>, error: Option<String>) {
        let wall = self.parts.clock.wall();
        let mut pulse = self.pulse.lock();
        pulse.works = works.and_then(|index| self.parts.visitors.get(index)).map(|visitor| visitor.name());
        pulse.next = rest.and_then(|rest| wall.checked_add(rest));
        if works.is_some() {
            pulse.slices += 1;
            pulse.error = None;
        }
        if error.is_some() {
            pulse.error = error;
        }
    }
}

pub struct RoundsJob {
    rounds: Arc<Rounds>,
    walking: Option<Walking>,
}

/// As long as the index is the same.
struct Walking {
    generation: u64,
    ways: Vec<VisitorProgress>,
    /// What was booked may not have been committed: it is to be read again.
    is_stale: bool,
    pacer: Pacer,
    share: f64,
    last: usize,
    settled: Duration,
    /// When the last step ended: since then it has rested.
    ended: Duration,
}

impl Walking {
    /// What takes a visitor several turns, if something does.
    fn in_hand(&self) -> Option<String> {
        self.ways.iter().find_map(|way| way.in_hand.clone())
    }
}

impl RoundsJob {
    pub(super) fn new(rounds: Arc<Rounds>) -> Self {
        Self { rounds, walking: None }
    }

    fn begin(&self, generation: u64) -> Result<Walking, CrawlError> {
        let (clock, share) = (&*self.rounds.parts.clock, self.rounds.parts.pacing.get().cpu_share);
        let ways: Vec<VisitorProgress> =
            self.rounds.load()?.into_iter().map(|state| VisitorProgress::new(state, clock)).collect();
        let now = clock.now();
        self.rounds.show(&ways, now);
        let (pacer, is_stale) = (Pacer::default(), false);
        Ok(Walking { generation, ways, is_stale, pacer, share, last: 0, settled: now, ended: now })
    }

    /// Reads from the index again where each visitor is. What is owed stays owed.
    fn begin_again(&self, walking: &mut Walking) -> Result<(), CrawlError> {
        for (way, state) in walking.ways.iter_mut().zip(self.rounds.load()?) {
            let (ready_at, age) = (way.ready_at, way.age);
            let is_same = state.cycle == way.state.cycle;
            *way = VisitorProgress::new(state, &*self.rounds.parts.clock);
            way.ready_at = ready_at;
            if is_same {
                way.age = age;
            }
        }
        walking.is_stale = false;
        Ok(())
    }

    fn walk(&self, walking: &mut Walking, handle: &JobHandle) -> Result<Next, CrawlError> {
        let (rounds, clock) = (&*self.rounds, &*self.rounds.parts.clock);
        let (pace, now, settled) = (rounds.parts.pacing.get(), clock.now(), walking.settled);
        if walking.share.to_bits() != pace.cpu_share.to_bits() {
            // What is owed was owed to another pace.
            (walking.pacer, walking.share) = (Pacer::default(), pace.cpu_share);
        }
        walking.pacer.rested(now.saturating_sub(walking.ended));
        walking.ended = now;
        let Some(index) = rounds.choose(&walking.ways, &pace, settled, walking.last, now) else {
            let pause = rounds.next(&walking.ways, &pace, settled, now).saturating_sub(now);
            rounds.show_pulse(None, None, None);
            let for_what = walking.in_hand().map_or("for the next cycle".into(), std::borrow::Cow::from);
            handle.set_state(JobState::Waiting, for_what, Some(pause));
            return Ok(Next::WhenWoken(pause.min(clock.glance()).max(Duration::from_millis(1))));
        };
        walking.last = index;
        // The index's writer works for the slice as well; for whom else it does meanwhile is not known.
        let cpu = || clock.thread_cpu().saturating_add(rounds.parts.keeper.index.writer_cpu());
        let cpu_before = cpu();
        rounds.show_pulse(Some(index), None, None);
        handle.working(rounds.name(index));
        let outcome = match walking.ways.get_mut(index) {
            Some(way) => {
                let outcome = rounds.slice(index, way, (&pace, walking.generation), handle);
                let left = way.plan.as_ref().map_or(0, |plan| plan.left() as u64);
                handle.progress(way.state.hours, way.state.hours + left);
                outcome
            }
            None => Ok(()),
        };
        if let Some(in_hand) = walking.in_hand() {
            handle.doing(in_hand);
        }
        walking.ended = clock.now();
        let share = pace.share(rounds.parts.busy.level(walking.ended));
        // The commit is part of the slice: while it waits for the disk it costs time, and no processor.
        let elapsed = walking.ended.saturating_sub(now);
        let cost = WorkCost { elapsed, cpu: cpu().saturating_sub(cpu_before).min(elapsed) };
        let rest = walking.pacer.rest_after(cost, share);
        outcome?;
        rounds.show(&walking.ways, settled);
        rounds.show_pulse(None, Some(rest), None);
        Ok(Next::After(rest))
    }
}

impl Job for RoundsJob {
    fn kind(&self) -> &'static str {
        "crawl"
    }

    fn deadline(&self) -> Duration {
        DEADLINE
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(AFTER_ERROR, AFTER_ERROR * 10)
    }

    fn step(&mut self, handle: &JobHandle) -> Result<Next, Failure> {
        if !self.rounds.is_ready() {
            self.walking.iter_mut().for_each(|walking| walking.is_stale = true);
            self.rounds.show_pulse(None, None, None);
            handle.set_state(JobState::Waiting, "until the index has caught up", None);
            return Ok(Next::WhenWoken(self.rounds.parts.clock.glance().min(AFTER_ERROR)));
        }
        let generation = self.rounds.generation();
        let known = self.walking.take().filter(|walking| walking.generation == generation);
        let mut walking = known.map_or_else(|| self.begin(generation), Ok)?;
        let next = if walking.is_stale { self.begin_again(&mut walking) } else { Ok(()) };
        let next = next.and_then(|()| self.walk(&mut walking, handle));
        // After an error the next visitor continues, so that none is stuck behind one that keeps failing.
        walking.is_stale = next.is_err();
        self.walking = Some(walking);
        Ok(next.inspect_err(|error| self.rounds.show_pulse(None, None, Some(error.to_string())))?)
    }
}

/// How far ahead of its allowance a visitor may read before its slice ends.
const AHEAD: Duration = Duration::from_secs(1);
