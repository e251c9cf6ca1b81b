//! Retention as a job: a run when it is time, when one is asked for, and again after one that failed.
//!
//! Requests are numbered, and a run answers all that were made before it began. Records that could not be relied on are read again less and less
//! often, because a journal may be large and reading it writes what is remembered of it; at once where the disk may be another, or a person asks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::Retention;
use super::schedule::Answered;
use crate::jobs::{Backoff, Failure, Job, JobHandle, JobState, Next, Stop};
use crate::wire::AskingGuard;

/// How often it is looked whether there is anything to do.
const LOOK: Duration = Duration::from_millis(500);
/// After a run that failed it is tried again at least so often: until the journal was read nothing is fetched.
const RETRY_WITHIN: Duration = Duration::from_secs(60);
/// How long it may work without a sign of going on: an hour's files on a slow disk, or an answer of each peer about them.
const DEADLINE: Duration = Duration::from_secs(15 * 60);

pub struct Runs {
    retention: Arc<Retention>,
    stop: Stop,
    due: Instant,
}

impl Runs {
    /// The first run comes when the index has caught up.
    pub fn new(retention: Arc<Retention>, stop: Stop) -> Self {
        Self { retention, stop, due: Instant::now() }
    }
}

impl Drop for Runs {
    fn drop(&mut self) {
        self.retention.end();
    }
}

impl Job for Runs {
    fn kind(&self) -> &'static str {
        "retention"
    }

    fn deadline(&self) -> Duration {
        DEADLINE
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(LOOK, self.retention.interval().min(RETRY_WITHIN))
    }

    fn step(&mut self, handle: &JobHandle) -> Result<Next, Failure> {
        self.retention.know_journal();
        let asked = self.retention.run_requests().take();
        if asked.is_none() {
            if !self.retention.is_ready() {
                handle.set_state(JobState::Waiting, "waits until the index has caught up", None);
                return Ok(Next::WhenWoken(LOOK));
            }
            let left = self.due.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                return Ok(Next::WhenWoken(LOOK));
            }
        }
        handle.working("looks for what is to be deleted");
        let report = {
            let answered = asked.as_ref().map(|taken| taken.answered.clone()).unwrap_or_default();
            self.retention.once(&answered, &self.stop, Some(handle))
        };
        if let Some(taken) = asked {
            self.retention.run_requests().done(&taken);
        }
        if let Some(error) = report.error {
            // A run is due until there is one that works.
            self.due = Instant::now();
            handle.doing("waits for the next attempt");
            return Err(error.into());
        }
        let interval = self.retention.interval();
        self.due = Instant::now() + interval;
        let waits = if report.doubt.is_some() {
            "needs confirmation (`gapless retention run --yes`)"
        } else {
            "waits for the next run"
        };
        handle.set_state(JobState::Waiting, waits, Some(interval));
        Ok(Next::Again)
    }
}

/// Requests that wait, and how many were answered.
#[derive(Debug)]
pub(super) struct RunRequests {
    asked: Mutex<Asked>,
    answered: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Asked {
    count: u64,
    /// What was said to guards, if any of them waits.
    waiting: Option<Answered>,
}

#[derive(Debug)]
pub struct RunRequest {
    number: u64,
    answered: watch::Receiver<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TakenRequests {
    /// What was said to guards.
    pub(super) answered: Answered,
    up_to: u64,
}

impl RunRequests {
    pub(super) fn new() -> Self {
        Self { asked: Mutex::default(), answered: watch::Sender::new(0) }
    }

    pub(super) fn ask(&self, yes: &[AskingGuard]) -> RunRequest {
        let mut asked = self.asked.lock();
        asked.count += 1;
        asked.waiting.get_or_insert_default().extend(yes.iter().copied());
        RunRequest { number: asked.count, answered: self.answered.subscribe() }
    }

    pub(super) fn take(&self) -> Option<TakenRequests> {
        let mut asked = self.asked.lock();
        asked.waiting.take().map(|answered| TakenRequests { answered, up_to: asked.count })
    }

    pub(super) fn done(&self, taken: &TakenRequests) {
        self.answered.send_replace(taken.up_to);
    }
}

impl RunRequest {
    /// Waits until a run that began after the request was made is done; false if there will be none, because the node ends.
    pub async fn answered(&mut self) -> bool {
        let number = self.number;
        self.answered.wait_for(|done| *done >= number).await.is_ok()
    }
}

/// The first wait, and the longest: somebody may put a better copy back without saying so.
const WAITS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

#[derive(Debug, Default)]
pub(super) struct Attempts {
    returns: u64,
    /// Whether the line of time and the levels were read since: what is known of them in memory is never behind the disk.
    is_begun: bool,
    failures: u32,
    not_before: Option<Instant>,
}

impl Attempts {
    pub(super) fn new(returns: u64) -> Self {
        Self { returns, ..Self::default() }
    }

    /// The disk has returned so often; true if it may be another one since this was last said.
    pub(super) fn returned(&mut self, returns: u64) -> bool {
        let is_new = self.returns != returns;
        if is_new {
            *self = Self::new(returns);
        }
        is_new
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.not_before.is_none_or(|time| now >= time)
    }

    pub(super) fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.not_before = now.checked_add(Backoff::new(WAITS.0, WAITS.1).wait(self.failures));
    }

    pub(super) fn succeeded(&mut self) {
        (self.failures, self.not_before) = (0, None);
    }

    pub(super) fn hurry(&mut self) {
        self.not_before = None;
    }

    /// Whether the line of time and the levels are to be read, too.
    pub(super) const fn is_first(&self) -> bool {
        !self.is_begun
    }

    pub(super) const fn begun(&mut self) {
        self.is_begun = true;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn a_run_answers_only_the_requests_made_before_it_began() {
        let requests = RunRequests::new();
        assert_eq!(requests.take(), None);
        let (mut first, mut with_it) = (requests.ask(&[AskingGuard::Clock]), requests.ask(&[]));
        let run = requests.take().unwrap();
        assert_eq!(
            run.answered,
            [AskingGuard::Clock].into(),
            "an answer that was given counts, and for no other guard"
        );
        let mut late = requests.ask(&[]);
        assert_eq!(first.answered().now_or_never(), None);
        requests.done(&run);
        assert_eq!((first.answered().now_or_never(), with_it.answered().now_or_never()), (Some(true), Some(true)));
        assert_eq!(late.answered().now_or_never(), None);
        let next = requests.take().unwrap();
        assert!(next.answered.is_empty(), "and counts once");
        requests.done(&next);
        assert_eq!(late.answered().now_or_never(), Some(true));
        assert_eq!(requests.take(), None);
    }
}

#[cfg(test)]
mod attempts_tests {
    use super::*;

    #[test]
    fn a_journal_that_stays_unusable_is_read_less_and_less_often() {
        let (begin, step) = (Instant::now(), Duration::from_millis(500));
        let mut attempts = Attempts::new(0);
        attempts.begun();
        let mut reads = 0;
        for look in 0..2_400 {
            let now = begin + step * look;
            if attempts.is_due(now) {
                reads += 1;
                attempts.failed(now);
            }
        }
        assert!((40..60).contains(&reads), "{reads} in 20 minutes, looked for twice a second");
        let last = begin + step * 2_399;
        assert!(!attempts.is_due(last) && attempts.is_due(last + WAITS.1));
        attempts.hurry();
        assert!(attempts.is_due(last) && !attempts.is_first());
        attempts.failed(last);
        assert!(!attempts.returned(0) && !attempts.is_due(last));
        assert!(attempts.returned(1) && attempts.is_due(last) && attempts.is_first());
    }
}
