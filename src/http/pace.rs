//! Whether a client takes what it asked for, or only looks as if it did: a few bytes now and then hold a connection as well as none.
//!
//! Only the time counts in which the client is waited for, so that an answer that we make slowly is nobody's fault but ours.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::limits::Limits;

/// How much a client takes while it is waited for, from one look to the next after a `write_stall_timeout`.
#[derive(Debug)]
pub(super) struct Pace {
    since: AtomicU64,
    pub(super) taken: AtomicU64,
    waited_ms: AtomicU64,
}

impl Pace {
    pub(super) fn new(now: u64) -> Self {
        Self { since: AtomicU64::new(now), taken: AtomicU64::new(0), waited_ms: AtomicU64::new(0) }
    }

    pub(super) fn take(&self, bytes: usize) {
        self.taken.fetch_add(bytes as u64, Relaxed);
    }

    /// The client was waited for from then to now.
    pub(super) fn waited(&self, now: u64, from: u64) {
        self.waited_ms.fetch_add(now.saturating_sub(from.max(self.since.load(Relaxed))), Relaxed);
    }

    /// Whether it took less than it must. To be asked again and again; decides at the end of each stretch, and begins the next.
    pub(super) fn is_slow(&self, now: u64, blocked_since: u64, limits: &Limits) -> bool {
        let stretch = now.saturating_sub(self.since.load(Relaxed));
        if u128::from(stretch) < limits.write_stall_timeout.as_millis() {
            return false;
        }
        self.waited(now, blocked_since);
        self.since.store(now, Relaxed);
        let (taken, waited_ms) = (self.taken.swap(0, Relaxed), self.waited_ms.swap(0, Relaxed));
        // Who is not waited for most of the time keeps up with what we make.
        waited_ms > stretch / 4 * 3 && taken < limits.min_rate.saturating_mul(waited_ms) / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_takes_less_than_the_least_rate_is_slow_and_who_waits_for_us_is_not() {
        let limits = Limits::default();
        let window = u64::try_from(limits.write_stall_timeout.as_millis()).unwrap();
        let enough = usize::try_from(limits.min_rate * window / 1000).unwrap() + 1;
        for (taken, blocked_ms, slow) in
            [(enough / 2, window, true), (enough, window, false), (enough / 2, window / 2, false), (0, window, true)]
        {
            let pace = Pace::new(1);
            pace.take(taken);
            assert!(!pace.is_slow(window / 2, window / 2, &limits), "it is too early to say");
            let now = window + 1;
            assert_eq!(pace.is_slow(now, now - blocked_ms, &limits), slow, "{taken} bytes, waited for {blocked_ms} ms");
            assert!(!pace.is_slow(now + 5, now, &limits), "a new stretch has begun");
        }
    }
}
