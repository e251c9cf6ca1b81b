//! Time, injected: what waits or measures in the background asks a clock, so that tests need not sleep.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use super::Stop;

/// A clock that also waits.
pub trait Clock: Send + Sync {
    /// Since some moment before everything that is measured by it; never goes back.
    fn now(&self) -> Duration;

    /// What the machine says it is; may jump.
    fn wall(&self) -> SystemTime;

    /// Waits; true if it is time to end, however long was left.
    fn wait(&self, stop: &Stop, time: Duration) -> bool;

    /// How long a wait lasts at most before one looks whether something else is wanted.
    fn glance(&self) -> Duration {
        Duration::from_millis(100)
    }

    /// Waits like [`Clock::wait`], and no longer as soon as `wanted` is true: whoever sets it says so by [`Stop::nudge`].
    fn wait_unless(&self, stop: &Stop, time: Duration, wanted: &AtomicBool) -> bool {
        if wanted.load(Ordering::SeqCst) { stop.is_stopped() } else { self.wait(stop, time) }
    }
}

/// The clock of the machine.
#[derive(Debug)]
pub struct SystemClock(Instant);

impl SystemClock {
    /// Begins now.
    pub fn new() -> Self {
        Self(Instant::now())
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    fn wait(&self, stop: &Stop, time: Duration) -> bool {
        stop.wait(time)
    }

    fn wait_unless(&self, stop: &Stop, time: Duration, wanted: &AtomicBool) -> bool {
        stop.wait_unless(time, || wanted.load(Ordering::SeqCst))
    }
}

/// A clock that moves when it is told to, and when somebody waits.
#[cfg(test)]
pub mod test_clock {
    use parking_lot::Mutex;

    use super::*;

    /// See the module. Waiting takes no time and moves the clock.
    #[derive(Debug, Default)]
    pub struct TestClock {
        now: Mutex<Duration>,
        /// All that was waited.
        waited: Mutex<Duration>,
        /// It ends everything after so long.
        end: Mutex<Option<Duration>>,
    }

    impl TestClock {
        /// Some work takes so long.
        pub fn pass(&self, time: Duration) {
            *self.now.lock() += time;
        }

        /// How long was waited in all.
        pub fn waited(&self) -> Duration {
            *self.waited.lock()
        }

        /// Whoever waits at that time is told to end.
        pub fn end_at(&self, time: Duration) {
            *self.end.lock() = Some(time);
        }
    }

    impl Clock for TestClock {
        fn now(&self) -> Duration {
            *self.now.lock()
        }

        fn wall(&self) -> SystemTime {
            SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000) + self.now()
        }

        fn wait(&self, stop: &Stop, time: Duration) -> bool {
            self.pass(time);
            *self.waited.lock() += time;
            if self.end.lock().is_some_and(|end| self.now() >= end) {
                stop.stop();
            }
            stop.is_stopped()
        }

        fn glance(&self) -> Duration {
            Duration::MAX
        }
    }
}
