//! Retention as a job: a run when it is time, when one is asked for, and again after one that failed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Retention;
use crate::jobs::{Backoff, Failure, Job, JobHandle, JobState, Next, Stop, Wake};

/// How often it is looked whether there is anything to do.
const LOOK: Duration = Duration::from_millis(500);
/// After a run that failed it is tried again at least so often: until the journal was read nothing is fetched.
const RETRY_WITHIN: Duration = Duration::from_secs(60);
/// How long it may work without a sign of going on: an hour's files on a slow disk, or an answer of each peer about them.
const DEADLINE: Duration = Duration::from_secs(15 * 60);

/// The job.
pub struct Runs {
    retention: Arc<Retention>,
    stop: Stop,
    due: Instant,
}

impl Runs {
    /// The first run comes when the index has caught up. By `wake` the job learns of requests.
    pub fn new(retention: Arc<Retention>, stop: Stop, wake: Wake) -> Self {
        retention.wakes(wake);
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

    fn step(&mut self, post: &JobHandle) -> Result<Next, Failure> {
        self.retention.know_journal();
        let asked = self.retention.run_requests().take();
        if asked.is_none() {
            if !self.retention.is_ready() {
                post.is(JobState::Waiting, "waits until the index has caught up", None);
                return Ok(Next::WhenWanted(LOOK));
            }
            let left = self.due.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                return Ok(Next::WhenWanted(LOOK));
            }
        }
        post.works("looks for what is to be deleted");
        let report = self.retention.once(asked.is_some_and(|taken| taken.confirmed), &self.stop, Some(post));
        if let Some(taken) = asked {
            self.retention.run_requests().done(taken);
        }
        if let Some(error) = report.error {
            // A run is due until there is one that works.
            self.due = Instant::now();
            post.doing("waits for the next attempt");
            return Err(error.into());
        }
        let interval = self.retention.interval();
        self.due = Instant::now() + interval;
        let waits = if report.doubt.is_some() {
            "needs confirmation (`gapless retention run --yes`)"
        } else {
            "waits for the next run"
        };
        post.is(JobState::Waiting, waits, Some(interval));
        Ok(Next::Again)
    }
}
