//! The contract of everything that works in the background in a thread of its own, and who runs it.
//!
//! 1. A job does one step: bounded work. It says what comes next: more of it, a rest, or nothing until it is wanted.
//! 2. The runner rests as it is told. A wait can be cut short by a [`Wake`], a rest that is owed cannot; the end cuts short both.
//! 3. A step that fails is tried again, later each time in a row. One that panics has failed as well: a job never ends in silence.
//! 4. Whatever happens stands on the [`JobRegistry`].

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{Backoff, JobHandle, JobRegistry, JobState, Stop};

/// The first wait after a failure, where a job says nothing else.
const RETRY: Duration = Duration::from_secs(1);
/// And the longest.
const LONGEST: Duration = Duration::from_secs(5 * 60);

/// Why a step failed: any error, or words.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What comes after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Something was done, and there may be more.
    Again,
    /// Something was done; now a rest.
    After(Duration),
    /// There was nothing to do. Look again when somebody wants it, and after this time anyway.
    WhenWanted(Duration),
}

/// Something that works in the background.
pub trait Job: Send {
    /// What sort of job it is: its label in the metrics and its line in the status.
    fn kind(&self) -> &'static str;

    /// How long a step may take without a sign of going on ([`JobHandle::sign`]).
    fn deadline(&self) -> Duration;

    /// How long it waits after failures.
    fn backoff(&self) -> Backoff {
        Backoff::new(RETRY, LONGEST)
    }

    /// Bounded work. By `post` it may tell what it does and how far it is.
    fn step(&mut self, post: &JobHandle) -> Result<Next, Failure>;
}

/// Cuts short a job's wait.
#[derive(Debug, Clone)]
pub struct Wake {
    wanted: Arc<AtomicBool>,
    stop: Stop,
}

impl Wake {
    /// For jobs that end with this.
    pub fn new(stop: &Stop) -> Self {
        Self { wanted: Arc::default(), stop: stop.clone() }
    }

    /// The job is to look now, or right after the step that it is doing.
    pub fn wake(&self) {
        self.wanted.store(true, Ordering::SeqCst);
        self.stop.nudge();
    }
}

/// Runs a job until it is stopped.
pub struct Runner<J> {
    job: J,
    board: Arc<JobRegistry>,
    post: JobHandle,
    wake: Wake,
}

impl<J: Job> Runner<J> {
    /// Puts it on the board.
    pub fn new(job: J, board: &Arc<JobRegistry>, wake: Wake) -> Self {
        let post = board.post(job.kind(), None, job.deadline());
        Self { job, board: Arc::clone(board), post, wake }
    }

    /// Works until it is stopped.
    pub fn run(mut self) {
        while !self.wake.stop.is_stopped() {
            self.wake.wanted.store(false, Ordering::SeqCst);
            self.post.begin();
            let result = catch_unwind(AssertUnwindSafe(|| self.job.step(&self.post)));
            self.post.end();
            match result {
                Ok(Ok(next)) => self.went(next),
                Ok(Err(error)) => {
                    tracing::debug!(name: "job_step_failed", job = self.job.kind(), %error, "a job failed; it is tried again");
                    self.failed(&error.to_string());
                }
                Err(panic) => {
                    let words = words(panic.as_ref());
                    tracing::error!(name: "job_panicked", job = self.job.kind(), words, "a job panicked; it will be retried");
                    self.failed(&format!("it crashed, which is a bug in gapless: {words}"));
                }
            }
        }
    }

    fn went(&self, next: Next) {
        let (clock, stop) = (self.board.clock(), &self.wake.stop);
        match next {
            Next::Again => self.post.succeeded(),
            Next::After(rest) => {
                self.post.succeeded();
                self.post.becomes(JobState::Resting, Some(rest));
                clock.wait(stop, rest);
            }
            Next::WhenWanted(longest) => {
                self.post.idles();
                clock.wait_unless(stop, longest, &self.wake.wanted);
            }
        }
    }

    fn failed(&self, error: &str) {
        let failures = self.post.failed(error);
        let wait = self.job.backoff().wait(failures);
        self.post.becomes(JobState::BackingOff, Some(wait));
        self.board.clock().wait_unless(&self.wake.stop, wait, &self.wake.wanted);
    }
}

/// What a panic said.
fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a word")
}

#[cfg(test)]
mod tests;
