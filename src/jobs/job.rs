//! The contract of everything that works in the background in a thread of its own, and who runs it.
//!
//! 1. A job does one step: bounded work. It says what comes next: more of it, a rest, or nothing until it is wanted.
//! 2. The runner rests as the step says. A wait can be cut short by a [`Wake`], a rest that is owed cannot; the end cuts short both.
//! 3. A step that fails is tried again, later each time in a row. One that panics has failed as well: a job never ends in silence.
//! 4. Whatever happens stands on the [`JobRegistry`].

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{JobHandle, JobRegistry, JobState, Stop};

/// The first wait after a failure, where a job says nothing else.
const RETRY: Duration = Duration::from_secs(1);
/// And the longest.
const LONGEST: Duration = Duration::from_secs(5 * 60);

pub type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Something was done, and there may be more.
    Again,
    /// Something was done; now a rest.
    After(Duration),
    /// There was nothing to do. Look again when somebody wants it, and after this time anyway.
    WhenWoken(Duration),
}

pub trait Job: Send {
    /// What sort of job it is: its label in the metrics and its line in the status.
    fn kind(&self) -> &'static str;

    /// How long a step may take without a sign of going on ([`JobHandle::sign`]).
    fn deadline(&self) -> Duration;

    fn backoff(&self) -> Backoff {
        Backoff::new(RETRY, LONGEST)
    }

    /// Bounded work. Through `handle` it may report what it does and how far it is.
    fn step(&mut self, handle: &JobHandle) -> Result<Next, Failure>;
}

impl<J: Job + ?Sized> Job for Box<J> {
    fn kind(&self) -> &'static str {
        (**self).kind()
    }

    fn deadline(&self) -> Duration {
        (**self).deadline()
    }

    fn backoff(&self) -> Backoff {
        (**self).backoff()
    }

    fn step(&mut self, handle: &JobHandle) -> Result<Next, Failure> {
        (**self).step(handle)
    }
}

#[derive(Debug, Clone)]
pub struct Wake {
    requested: Arc<AtomicBool>,
    stop: Stop,
}

impl Wake {
    pub fn new(stop: &Stop) -> Self {
        Self { requested: Arc::default(), stop: stop.clone() }
    }

    /// The job is to look now, or right after the step that it is doing.
    pub fn wake(&self) {
        self.requested.store(true, Ordering::SeqCst);
        self.stop.nudge();
    }
}

/// Runs a job until it is stopped.
pub struct Runner<J> {
    job: J,
    registry: Arc<JobRegistry>,
    handle: JobHandle,
    wake: Wake,
}

impl<J: Job> Runner<J> {
    pub fn new(job: J, registry: &Arc<JobRegistry>, wake: Wake) -> Self {
        let handle = registry.register(job.kind(), None, job.deadline());
        Self { job, registry: Arc::clone(registry), handle, wake }
    }

    /// Works until it is stopped.
    pub fn run(mut self) {
        while !self.wake.stop.is_stopped() {
            self.wake.requested.store(false, Ordering::SeqCst);
            self.handle.begin();
            let result = catch_unwind(AssertUnwindSafe(|| self.job.step(&self.handle)));
            self.handle.end();
            match result {
                Ok(Ok(next)) => self.went(next),
                Ok(Err(error)) => {
                    tracing::debug!(name: "job_step_failed", job = self.job.kind(), %error, "a job failed; it is tried again");
                    self.failed(&error.to_string());
                }
                Err(panic) => {
                    let words = panic_message(panic.as_ref());
                    tracing::error!(name: "job_panicked", job = self.job.kind(), words, "a job panicked; it will be retried");
                    self.failed(&format!("it crashed, which is a bug in gapless: {words}"));
                }
            }
        }
    }

    fn went(&self, next: Next) {
        let (clock, stop) = (self.registry.clock(), &self.wake.stop);
        match next {
            Next::Again => self.handle.succeeded(),
            Next::After(rest) => {
                self.handle.succeeded();
                self.handle.becomes(JobState::Resting, Some(rest));
                clock.wait(stop, rest);
            }
            Next::WhenWoken(longest) => {
                self.handle.idles();
                clock.wait_unless(stop, longest, &self.wake.requested);
            }
        }
    }

    fn failed(&self, error: &str) {
        let failures = self.handle.failed(error);
        let wait = self.job.backoff().wait(failures);
        self.handle.becomes(JobState::BackingOff, Some(wait));
        self.registry.clock().wait_unless(&self.wake.stop, wait, &self.wake.requested);
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a word")
}

/// Doublings where nothing else is said: the longest wait is sixteen times the first.
const DOUBLINGS: u32 = 4;

/// Waits that double with each failure in a row, up to the longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
}

impl Backoff {
    /// The first wait is this; four failures later it does not get longer any more.
    pub fn from(first: Duration) -> Self {
        Self::new(first, first.saturating_mul(1 << DOUBLINGS))
    }

    /// The first wait, and the longest.
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self { first: first.min(longest), longest }
    }

    /// The wait after so many failures in a row; none after none.
    pub fn wait(&self, failures: u32) -> Duration {
        let Some(before) = failures.checked_sub(1) else { return Duration::ZERO };
        self.first.saturating_mul(1_u32.checked_shl(before).unwrap_or(u32::MAX)).min(self.longest)
    }

    /// The same, a tenth more or less, so that nodes that failed together do not come back together.
    pub fn wait_scattered(&self, failures: u32) -> Duration {
        self.wait(failures).mul_f64(rand::random_range(0.9..1.1))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Clock, TestClock};
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn waits_double_up_to_the_longest_however_often_it_failed() {
        let seconds = |backoff: Backoff| -> Vec<u64> {
            [0, 1, 2, 3, 4, 5, 6, 32, 33, u32::MAX].iter().map(|failed| backoff.wait(*failed).as_secs()).collect()
        };
        assert_eq!(seconds(Backoff::from(Duration::from_secs(5))), [0, 5, 10, 20, 40, 80, 80, 80, 80, 80]);
        let short = Backoff::new(Duration::from_secs(5), Duration::from_secs(2));
        assert_eq!(seconds(short)[..3], [0, 2, 2]);
        let scattered = Backoff::from(Duration::from_secs(10)).wait_scattered(2);
        assert!((18..=22).contains(&scattered.as_secs()), "{scattered:?}");
    }

    /// Does what the script says, step by step, and ends everything after it.
    struct Scripted {
        script: std::vec::IntoIter<ScriptStep>,
        clock: Arc<TestClock>,
        stop: Stop,
        began: Arc<parking_lot::Mutex<Vec<u64>>>,
    }

    enum ScriptStep {
        Says(Next),
        Works(Duration, Next),
        Fails,
        Panics,
    }

    impl Job for Scripted {
        fn kind(&self) -> &'static str {
            "scripted"
        }

        fn deadline(&self) -> Duration {
            SECOND * 60
        }

        fn backoff(&self) -> Backoff {
            Backoff::new(SECOND, SECOND * 4)
        }

        fn step(&mut self, handle: &JobHandle) -> Result<Next, Failure> {
            self.began.lock().push(self.clock.now().as_secs());
            match self.script.next() {
                None => {
                    self.stop.stop();
                    Ok(Next::WhenWoken(SECOND))
                }
                Some(ScriptStep::Says(next)) => Ok(next),
                Some(ScriptStep::Works(time, next)) => {
                    handle.working("works");
                    self.clock.pass(time);
                    Ok(next)
                }
                Some(ScriptStep::Fails) => Err("it rains".into()),
                Some(ScriptStep::Panics) => panic!("it {}", "pours"),
            }
        }
    }

    /// Runs a script; reports to the registry, and at which second each step began.
    fn run(script: Vec<ScriptStep>) -> (Arc<JobRegistry>, Vec<u64>) {
        let (clock, stop) = (Arc::new(TestClock::default()), Stop::new());
        let registry = Arc::new(JobRegistry::new(Arc::<TestClock>::clone(&clock)));
        let began = Arc::default();
        let job = Scripted { script: script.into_iter(), clock, stop: stop.clone(), began: Arc::clone(&began) };
        Runner::new(job, &registry, Wake::new(&stop)).run();
        let began = began.lock().clone();
        (registry, began)
    }

    #[test]
    fn it_rests_as_it_is_told_and_what_it_worked_is_counted() {
        let (registry, began) = run(vec![
            ScriptStep::Works(SECOND * 2, Next::Again),
            ScriptStep::Works(SECOND * 3, Next::After(SECOND * 10)),
            ScriptStep::Says(Next::WhenWoken(SECOND * 7)),
        ]);
        assert_eq!(began, [0, 2, 15, 22]);
        let job = &registry.jobs()[0];
        assert_eq!((job.steps, job.worked, job.failures_in_all), (2, SECOND * 5, 0), "a look is no step");
        assert_eq!(job.state, JobState::Ended);
    }

    #[test]
    fn after_failures_it_waits_longer_and_longer_until_something_works() {
        use ScriptStep::{Fails, Panics, Says, Works};
        let look = || Says(Next::WhenWoken(SECOND));
        let well = || Works(Duration::ZERO, Next::Again);
        let (registry, began) = run(vec![Fails, Fails, Panics, Fails, look(), Fails, well(), Fails, well()]);
        assert_eq!(
            began,
            [0, 1, 3, 7, 11, 12, 16, 16, 17, 17],
            "1, 2, 4, 4; a look in between forgets nothing; then 1 again"
        );
        let job = &registry.jobs()[0];
        assert_eq!((job.failures, job.failures_in_all), (0, 6));
        assert_eq!(job.error.as_ref().unwrap().0, "it rains");
    }

    #[test]
    fn a_panic_is_a_failure_with_its_words() {
        let (registry, began) = run(vec![ScriptStep::Panics]);
        assert_eq!(began, [0, 1]);
        let job = &registry.jobs()[0];
        assert_eq!(job.failures, 1);
        assert_eq!(job.error.as_ref().unwrap().0, "it crashed, which is a bug in gapless: it pours");
    }

    /// Waits until it is wanted, and says that it looked.
    struct Waits(std::sync::mpsc::Sender<()>);

    impl Job for Waits {
        fn kind(&self) -> &'static str {
            "waits"
        }

        fn deadline(&self) -> Duration {
            SECOND
        }

        fn step(&mut self, _: &JobHandle) -> Result<Next, Failure> {
            self.0.send(())?;
            Ok(Next::WhenWoken(SECOND * 3_600))
        }
    }

    #[test]
    fn who_waits_is_woken_and_ended_at_once() {
        let (registry, stop) = (Arc::new(JobRegistry::default()), Stop::new());
        let (tell, told) = std::sync::mpsc::channel();
        let wake = Wake::new(&stop);
        let runner = Runner::new(Waits(tell), &registry, wake.clone());
        let thread = std::thread::spawn(move || runner.run());
        let patience = SECOND * 20;
        for _ in 0..100 {
            told.recv_timeout(patience).unwrap();
            wake.wake();
        }
        told.recv_timeout(patience).unwrap();
        stop.stop();
        thread.join().unwrap();
    }
}
