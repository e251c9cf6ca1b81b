//! Ends jobs: a flag that is also a clock that can be interrupted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

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
