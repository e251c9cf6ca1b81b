//! Time, injected: what waits or measures in the background asks a clock, so that tests need not sleep.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::{Condvar, Mutex};
use rustix::time::{ClockId, clock_gettime};

/// A clock that also waits.
pub trait Clock: Send + Sync {
    /// Since some moment before everything that is measured by it; never goes back.
    fn now(&self) -> Duration;

    /// What the machine says it is; may jump.
    fn wall(&self) -> SystemTime;

    /// Processor time of the calling thread. A clock that cannot tell waiting from work counts all of it as work.
    fn thread_cpu(&self) -> Duration {
        self.now()
    }

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

    fn thread_cpu(&self) -> Duration {
        let used = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(used.tv_sec.cast_unsigned(), u32::try_from(used.tv_nsec).unwrap_or(0))
    }

    fn wait(&self, stop: &Stop, time: Duration) -> bool {
        stop.wait(time)
    }

    fn wait_unless(&self, stop: &Stop, time: Duration, wanted: &AtomicBool) -> bool {
        stop.wait_unless(time, || wanted.load(Ordering::SeqCst))
    }
}

/// A clock that is moved by hand, and when somebody waits.
#[cfg(test)]
pub mod test_clock {
    use parking_lot::Mutex;

    use super::*;

    /// See the module. Waiting takes no time and moves the clock.
    #[derive(Debug, Default)]
    pub struct TestClock {
        now: Mutex<Duration>,
        cpu: Mutex<Duration>,
        /// All that was waited.
        waited: Mutex<Duration>,
        /// It ends everything after so long.
        end: Mutex<Option<Duration>>,
    }

    impl TestClock {
        /// Some work takes so long, and the processor all the while.
        pub fn pass(&self, time: Duration) {
            *self.cpu.lock() += time;
            self.pass_waiting(time);
        }

        /// The disk takes so long.
        pub fn pass_waiting(&self, time: Duration) {
            *self.now.lock() += time;
        }

        /// How long was waited in all.
        pub fn waited(&self) -> Duration {
            *self.waited.lock()
        }

        /// Whoever waits at that time is stopped.
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

        fn thread_cpu(&self) -> Duration {
            *self.cpu.lock()
        }

        fn wait(&self, stop: &Stop, time: Duration) -> bool {
            self.pass_waiting(time);
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

/// Shared by all who must end together. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<(Mutex<bool>, Condvar)>, #[cfg(test)] Arc<std::sync::atomic::AtomicU64>);

impl Stop {
    /// Not stopped yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends everything that holds a clone.
    pub fn stop(&self) {
        *self.0.0.lock() = true;
        self.0.1.notify_all();
    }

    /// Ends everything when so many have looked whether it is time to.
    #[cfg(test)]
    pub fn after(looks: u64) -> Self {
        let stop = Self::new();
        stop.1.store(looks, std::sync::atomic::Ordering::SeqCst);
        stop
    }

    /// Whether it is time to end.
    pub fn is_stopped(&self) -> bool {
        #[cfg(test)]
        if self.1.load(std::sync::atomic::Ordering::SeqCst) > 0
            && self.1.fetch_sub(1, std::sync::atomic::Ordering::SeqCst) == 1
        {
            self.stop();
        }
        *self.0.0.lock()
    }

    /// Has everybody who waits look whether what they wait for is there.
    pub fn nudge(&self) {
        // Who has looked and does not wait yet holds the lock.
        drop(self.0.0.lock());
        self.0.1.notify_all();
    }

    /// Waits; true if it is time to end, however long was left.
    pub fn wait(&self, time: Duration) -> bool {
        self.wait_unless(time, || false)
    }

    /// Waits until something else is `wanted`, at most so long; true if it is time to end. Who wants says so by [`Stop::nudge`].
    pub fn wait_unless(&self, time: Duration, wanted: impl Fn() -> bool) -> bool {
        let deadline = Instant::now() + time;
        let mut stopped = self.0.0.lock();
        while !*stopped && !wanted() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            self.0.1.wait_for(&mut stopped, left);
        }
        *stopped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_when_it_is_stopped() {
        let stop = Stop::new();
        let other = stop.clone();
        let waiting = std::thread::spawn(move || other.wait(Duration::from_secs(60)));
        stop.stop();
        assert!(waiting.join().unwrap() && stop.is_stopped());
        assert!(!Stop::new().wait(Duration::from_millis(1)));
    }
}
