//! The state of everything that works in the background, for status, metrics and page.
//!
//! 1. Each job reports through a [`JobHandle`] of its own: a thread through the [`Runner`](super::Runner), an async worker by
//!    itself.
//! 2. Work that lasts longer than its deadline without a sign of going on is *overdue*. Each job is judged by itself, so that one that
//!    works hides none that hangs.
//! 3. A job whose handle is dropped stays registered as ended; one that is wanted no more is removed. What was counted stays counted.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use super::{Clock, SystemClock};

/// Characters of an error, and of what a job does, that are kept: a screen has no room for more.
const WORDS: usize = 500;
/// A look that lasts so long is work, even if nothing was said of it.
const GLANCE: Duration = Duration::from_millis(250);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum JobState {
    /// There is nothing to do, or something else must come first.
    #[default]
    Waiting,
    Working,
    /// It rests after work, to take no more than its share.
    Resting,
    BackingOff,
    /// It can do nothing: its disk or index is away.
    Stalled,
    Ended,
}

impl JobState {
    pub const ALL: [Self; 6] =
        [Self::Waiting, Self::Working, Self::Resting, Self::BackingOff, Self::Stalled, Self::Ended];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Working => "working",
            Self::Resting => "resting",
            Self::BackingOff => "backing-off",
            Self::Stalled => "stalled",
            Self::Ended => "ended",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobStatus {
    /// What sort of job it is; there are few, so that it is a label.
    pub kind: &'static str,
    /// Which of them, where there are several, such as a peer's name.
    pub of: Option<String>,
    pub state: JobState,
    pub doing: String,
    pub since: SystemTime,
    /// When it goes on, if that is known.
    pub next: Option<SystemTime>,
    /// How much of its work is done, if that is known.
    pub done: u64,
    /// How much there is to do; 0 if that is not known.
    pub total: u64,
    /// Steps in which something was done, since the start.
    pub steps: u64,
    /// Failures in a row.
    pub failures: u32,
    pub failures_in_all: u64,
    /// The last failure, and when that was, also if all is well since.
    pub error: Option<(String, SystemTime)>,
    pub worked: Duration,
    /// How long it may work without a sign of going on.
    pub deadline: Duration,
    /// For how long it has shown no sign, where that is longer.
    pub overdue: Option<Duration>,
}

impl fmt::Display for JobStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind)?;
        self.of.as_ref().map_or(Ok(()), |of| write!(f, " {of}"))
    }
}

/// What all jobs of a kind amount to, those that are not there any more included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobKind {
    /// Jobs in each state, in the order of [`JobState::ALL`].
    pub states: [u64; JobState::ALL.len()],
    pub overdue: u64,
    /// The most failures in a row of any of them.
    pub failing: u32,
    pub failures: u64,
    pub worked: Duration,
}

/// All jobs of a node. Share it by `Arc`.
pub struct JobRegistry {
    clock: Arc<dyn Clock>,
    slots: Mutex<Slots>,
}

#[derive(Default)]
struct Slots {
    live: Vec<Arc<RegisteredJob>>,
    /// What those have counted that were removed.
    removed: BTreeMap<&'static str, (u64, Duration)>,
}

impl Default for JobRegistry {
    fn default() -> Self {
        Self::new(Arc::new(SystemClock::new()))
    }
}

impl fmt::Debug for JobRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobRegistry").field("jobs", &self.slots.lock().live.len()).finish_non_exhaustive()
    }
}

impl JobRegistry {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, slots: Mutex::default() }
    }

    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Registers a job. `deadline` is how long it may work without a sign of going on.
    pub fn register(self: &Arc<Self>, kind: &'static str, of: Option<String>, deadline: Duration) -> JobHandle {
        let shown = JobView {
            state: JobState::Waiting,
            doing: Cow::Borrowed("has not begun"),
            since: self.clock.wall(),
            next: None,
            running: None,
            done: 0,
            total: 0,
            steps: 0,
            failures: 0,
            failures_in_all: 0,
            error: None,
            worked: Duration::ZERO,
            is_logged: false,
        };
        let slot = Arc::new(RegisteredJob { kind, of, deadline, shown: Mutex::new(shown) });
        self.slots.lock().live.push(Arc::clone(&slot));
        JobHandle { registry: Arc::clone(self), slot }
    }

    pub fn jobs(&self) -> Vec<JobStatus> {
        let now = self.clock.now();
        let mut jobs: Vec<JobStatus> = self.slots.lock().live.iter().map(|slot| slot.status(now)).collect();
        jobs.sort_by(|a, b| (a.kind, &a.of).cmp(&(b.kind, &b.of)));
        jobs
    }

    pub fn kinds(&self) -> BTreeMap<&'static str, JobKind> {
        let removed = self.slots.lock().removed.clone();
        let jobs = self.jobs();
        let mut kinds: BTreeMap<&'static str, JobKind> = BTreeMap::new();
        for (kind, (failures, worked)) in removed {
            let sums = kinds.entry(kind).or_default();
            (sums.failures, sums.worked) = (failures, worked);
        }
        for job in jobs {
            let sums = kinds.entry(job.kind).or_default();
            if let Some(count) = sums.states.get_mut(job.state as usize) {
                *count += 1;
            }
            sums.overdue += u64::from(job.overdue.is_some());
            sums.failing = sums.failing.max(job.failures);
            sums.failures += job.failures_in_all;
            sums.worked += job.worked;
        }
        kinds
    }

    /// Logs each job that has become overdue, once, and once that it goes on. Somebody has to call it now and then.
    pub fn log_overdue(&self) {
        let now = self.clock.now();
        let up = self.slots.lock().live.clone();
        for slot in up {
            let job = slot.status(now);
            let was_logged = std::mem::replace(&mut slot.shown.lock().is_logged, job.overdue.is_some());
            match (job.overdue, was_logged) {
                (Some(silent), false) => {
                    tracing::warn!(name: "job_overdue", %job, doing = job.doing, seconds = silent.as_secs(), "a job makes no progress");
                }
                (None, true) => tracing::info!(name: "job_goes_on", %job, "a job that was overdue goes on"),
                _ => {}
            }
        }
    }
}

struct RegisteredJob {
    kind: &'static str,
    of: Option<String>,
    deadline: Duration,
    shown: Mutex<JobView>,
}

struct JobView {
    state: JobState,
    doing: Cow<'static, str>,
    since: SystemTime,
    next: Option<SystemTime>,
    running: Option<Running>,
    done: u64,
    total: u64,
    steps: u64,
    failures: u32,
    failures_in_all: u64,
    error: Option<(String, SystemTime)>,
    worked: Duration,
    is_logged: bool,
}

#[derive(Clone, Copy)]
struct Running {
    since: Duration,
    wall: SystemTime,
    sign: Duration,
}

impl RegisteredJob {
    fn status(&self, now: Duration) -> JobStatus {
        let shown = self.shown.lock();
        let worked_now = shown.running.map(|running| now.saturating_sub(running.since));
        // Who works on for long is at work, whatever it said last.
        let at_work = shown.running.filter(|_| worked_now.is_some_and(|worked| worked >= GLANCE));
        let (state, since) = at_work
            .filter(|_| shown.state != JobState::Working)
            .map_or((shown.state, shown.since), |running| (JobState::Working, running.wall));
        let silent = shown.running.map(|running| now.saturating_sub(running.sign));
        JobStatus {
            kind: self.kind,
            of: self.of.clone(),
            state,
            doing: shown.doing.clone().into_owned(),
            since,
            next: shown.next.filter(|_| state != JobState::Working),
            done: shown.done,
            total: shown.total,
            steps: shown.steps,
            failures: shown.failures,
            failures_in_all: shown.failures_in_all,
            error: shown.error.clone(),
            worked: shown.worked + worked_now.unwrap_or_default(),
            deadline: self.deadline,
            overdue: silent.filter(|silent| *silent > self.deadline),
        }
    }
}

/// Reports the state of one job. When it is dropped, the job has ended.
pub struct JobHandle {
    registry: Arc<JobRegistry>,
    slot: Arc<RegisteredJob>,
}

impl fmt::Debug for JobHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Post").field("kind", &self.slot.kind).field("of", &self.slot.of).finish_non_exhaustive()
    }
}

impl JobHandle {
    /// What it does now, in a few words. A sign that it goes on.
    pub fn doing(&self, what: impl Into<Cow<'static, str>>) {
        let now = self.registry.clock.now();
        let mut shown = self.slot.shown.lock();
        shown.doing = short(what.into());
        sign(&mut shown, now);
    }

    /// How far it is with what it does. A sign that it goes on.
    pub fn progress(&self, done: u64, total: u64) {
        let now = self.registry.clock.now();
        let mut shown = self.slot.shown.lock();
        (shown.done, shown.total) = (done, total);
        sign(&mut shown, now);
    }

    pub fn sign(&self) {
        sign(&mut self.slot.shown.lock(), self.registry.clock.now());
    }

    pub fn working(&self, what: impl Into<Cow<'static, str>>) {
        self.begin();
        self.set(JobState::Working, what, None);
    }

    /// It is not at work: it waits, rests, is stalled or has ended; goes on after this time, if that is known.
    pub fn set_state(&self, state: JobState, what: impl Into<Cow<'static, str>>, next: Option<Duration>) {
        self.end();
        self.set(state, what, next);
    }

    pub fn succeeded(&self) {
        let mut shown = self.slot.shown.lock();
        (shown.failures, shown.steps) = (0, shown.steps + 1);
    }

    /// A step failed. Returns how many have in a row.
    pub fn failed(&self, error: &str) -> u32 {
        let at = self.registry.clock.wall();
        let mut shown = self.slot.shown.lock();
        shown.failures = shown.failures.saturating_add(1);
        shown.failures_in_all += 1;
        shown.error = Some((short(error.to_owned().into()).into_owned(), at));
        shown.failures
    }

    /// Removes it: nobody wants this job any more.
    pub fn remove(&self) {
        self.end();
        let mut slots = self.registry.slots.lock();
        let Some(at) = slots.live.iter().position(|slot| Arc::ptr_eq(slot, &self.slot)) else { return };
        slots.live.swap_remove(at);
        let shown = self.slot.shown.lock();
        let sums = slots.removed.entry(self.slot.kind).or_default();
        *sums = (sums.0 + shown.failures_in_all, sums.1 + shown.worked);
    }

    /// Work begins; unless something is said of it, and it lasts, nobody sees it.
    pub(super) fn begin(&self) {
        let (now, wall) = (self.registry.clock.now(), self.registry.clock.wall());
        let mut shown = self.slot.shown.lock();
        let running = shown.running.get_or_insert(Running { since: now, wall, sign: now });
        running.sign = now;
    }

    pub(super) fn end(&self) -> Duration {
        let now = self.registry.clock.now();
        let mut shown = self.slot.shown.lock();
        let worked = shown.running.take().map_or(Duration::ZERO, |running| now.saturating_sub(running.since));
        shown.worked += worked;
        worked
    }

    /// There was nothing to do: it waits, unless it has said itself why it does nothing.
    pub(super) fn idles(&self) {
        let state = self.slot.shown.lock().state;
        if !matches!(state, JobState::Waiting | JobState::Stalled) {
            self.becomes(JobState::Waiting, None);
        }
    }

    /// Changes the state, and nothing of what was said.
    pub(super) fn becomes(&self, state: JobState, next: Option<Duration>) {
        let (wall, next) = (self.registry.clock.wall(), self.later(next));
        let mut shown = self.slot.shown.lock();
        if shown.state != state {
            (shown.state, shown.since) = (state, wall);
        }
        shown.next = next;
    }

    fn set(&self, state: JobState, what: impl Into<Cow<'static, str>>, next: Option<Duration>) {
        self.becomes(state, next);
        self.slot.shown.lock().doing = short(what.into());
    }

    fn later(&self, after: Option<Duration>) -> Option<SystemTime> {
        after.and_then(|after| self.registry.clock.wall().checked_add(after))
    }
}

impl Drop for JobHandle {
    fn drop(&mut self) {
        self.set_state(JobState::Ended, "has ended", None);
    }
}

fn sign(shown: &mut JobView, now: Duration) {
    if let Some(running) = &mut shown.running {
        running.sign = now;
    }
}

fn short(text: Cow<'static, str>) -> Cow<'static, str> {
    if text.len() <= WORDS && !text.contains(char::is_control) {
        return text;
    }
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(WORDS).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::super::TestClock;
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn registry() -> (Arc<TestClock>, Arc<JobRegistry>) {
        let clock = Arc::new(TestClock::default());
        let registry = Arc::new(JobRegistry::new(Arc::<TestClock>::clone(&clock)));
        (clock, registry)
    }

    fn only(registry: &JobRegistry) -> JobStatus {
        let mut jobs = registry.jobs();
        assert_eq!(jobs.len(), 1, "{jobs:?}");
        jobs.remove(0)
    }

    #[test]
    fn a_job_that_works_hides_none_that_hangs() {
        let (clock, registry) = registry();
        let (lives, hangs) = (
            registry.register("backfill", Some("a".into()), MINUTE),
            registry.register("backfill", Some("b".into()), MINUTE),
        );
        lives.working("fetches");
        hangs.working("fetches");
        clock.pass(MINUTE);
        lives.progress(3, 10);
        assert!(registry.jobs().iter().all(|job| job.overdue.is_none()), "a deadline is not over when it is reached");
        clock.pass(Duration::from_secs(1));
        let overdue: Vec<Option<Duration>> = registry.jobs().iter().map(|job| job.overdue).collect();
        assert_eq!(overdue, [None, Some(Duration::from_secs(61))]);
        assert_eq!(registry.kinds()["backfill"].overdue, 1);
        hangs.set_state(JobState::Resting, "rests", Some(MINUTE));
        clock.pass(MINUTE * 100);
        assert_eq!(
            registry.kinds()["backfill"].overdue,
            1,
            "who rests is late for nothing, and now the other one hangs"
        );
        assert_eq!(registry.jobs()[0].overdue, Some(MINUTE * 100 + Duration::from_secs(1)));
    }

    #[test]
    fn time_worked_and_failures_are_counted_and_stay_counted() {
        let (clock, registry) = registry();
        let handle = registry.register("retention", None, MINUTE);
        handle.working("deletes");
        clock.pass(MINUTE * 2);
        assert_eq!(only(&registry).worked, MINUTE * 2, "also while it lasts");
        assert_eq!((handle.failed("no\u{1b}[2J disk"), handle.failed("no disk")), (1, 2));
        handle.set_state(JobState::BackingOff, "waits", Some(MINUTE));
        clock.pass(MINUTE);
        let job = only(&registry);
        assert_eq!((job.worked, job.failures, job.failures_in_all), (MINUTE * 2, 2, 2));
        assert_eq!(job.error.unwrap().0, "no disk");
        assert_eq!(job.next, Some(clock.wall()), "it was said a minute ago that it is a minute");
        handle.succeeded();
        let after = only(&registry);
        assert_eq!((after.failures, after.failures_in_all, after.steps), (0, 2, 1));
        assert!(after.error.is_some(), "the last error is remembered");
        handle.remove();
        assert_eq!((registry.jobs(), registry.kinds()["retention"].failures), (vec![], 2));
        let again = registry.register("retention", None, MINUTE);
        again.failed(&"x".repeat(10_000));
        assert_eq!(only(&registry).error.unwrap().0.len(), WORDS);
        assert_eq!((registry.kinds()["retention"].failures, registry.kinds()["retention"].worked), (3, MINUTE * 2));
    }

    #[test]
    fn a_short_look_is_no_work_and_a_long_one_is() {
        let (clock, registry) = registry();
        let handle = registry.register("reasons", None, MINUTE);
        handle.set_state(JobState::Waiting, "waits", None);
        let since = only(&registry).since;
        clock.pass(MINUTE);
        handle.begin();
        clock.pass(GLANCE / 2);
        assert_eq!((only(&registry).state, only(&registry).since), (JobState::Waiting, since));
        clock.pass(GLANCE);
        assert_eq!(only(&registry).state, JobState::Working);
        handle.end();
        assert_eq!((only(&registry).state, only(&registry).since), (JobState::Waiting, since));
        drop(handle);
        assert_eq!(only(&registry).state, JobState::Ended);
    }
}
