//! Whether a client takes what it asked for, or only looks as if it did: a few bytes now and then hold a connection as well as none.
//!
//! Only the time counts in which the client is waited for, so that an answer that we make slowly is nobody's fault but ours.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::limits::ConnectionLimits;

/// An answer that is held in memory is taken within so many seconds: at `min_rate` one of 64 MiB would be held for 18 hours.
const TAKEN_WITHIN_S: u64 = 300;

/// How much a client takes while it is waited for, from one look to the next after a `write_stall_timeout`.
#[derive(Debug)]
pub(super) struct ClientPace {
    since: AtomicU64,
    taken: AtomicU64,
    /// In the stretch before.
    taken_before: AtomicU64,
    waited_ms: AtomicU64,
}

impl ClientPace {
    pub(super) fn new(now: u64) -> Self {
        Self {
            since: AtomicU64::new(now),
            taken: AtomicU64::new(0),
            taken_before: AtomicU64::new(0),
            waited_ms: AtomicU64::new(0),
        }
    }

    pub(super) fn take(&self, bytes: usize) {
        self.taken.fetch_add(bytes as u64, Relaxed);
    }

    /// How much it has taken of late: in this stretch and in the one before, as this one may just have begun.
    pub(super) fn of_late(&self) -> u64 {
        self.taken.load(Relaxed).saturating_add(self.taken_before.load(Relaxed))
    }

    /// The client was waited for from then to now.
    pub(super) fn waited(&self, now: u64, from: u64) {
        self.waited_ms.fetch_add(now.saturating_sub(from.max(self.since.load(Relaxed))), Relaxed);
    }

    /// Whether it took less than it must: `min_rate`, or what takes all that is held in memory for it in [`TAKEN_WITHIN_S`]. To be asked
    /// again and again; decides at the end of each stretch, and begins the next.
    pub(super) fn is_slow(&self, now: u64, blocked_since: u64, held: u64, limits: &ConnectionLimits) -> bool {
        let stretch = now.saturating_sub(self.since.load(Relaxed));
        if u128::from(stretch) < limits.write_stall_timeout.as_millis() {
            return false;
        }
        self.waited(now, blocked_since);
        self.since.store(now, Relaxed);
        let (taken, waited_ms) = (self.taken.swap(0, Relaxed), self.waited_ms.swap(0, Relaxed));
        self.taken_before.store(taken, Relaxed);
        let least = limits.min_rate.max(held / TAKEN_WITHIN_S);
        // Who is not waited for most of the time keeps up with what we make.
        waited_ms > stretch / 4 * 3 && taken < least.saturating_mul(waited_ms) / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_takes_less_than_the_least_rate_is_slow_and_who_waits_for_us_is_not() {
        let limits = ConnectionLimits::default();
        let window = u64::try_from(limits.write_stall_timeout.as_millis()).unwrap();
        let enough = usize::try_from(limits.min_rate * window / 1000).unwrap() + 1;
        for (taken, blocked_ms, slow) in
            [(enough / 2, window, true), (enough, window, false), (enough / 2, window / 2, false), (0, window, true)]
        {
            let pace = ClientPace::new(1);
            pace.take(taken);
            assert!(!pace.is_slow(window / 2, window / 2, 0, &limits), "it is too early to say");
            let now = window + 1;
            let found = pace.is_slow(now, now - blocked_ms, 0, &limits);
            assert_eq!(found, slow, "{taken} bytes, waited for {blocked_ms} ms");
            assert!(!pace.is_slow(now + 5, now, 0, &limits), "a new stretch has begun");
            assert_eq!(pace.of_late(), taken as u64);
        }
    }

    #[test]
    fn who_has_much_held_for_it_must_take_more() {
        let limits = ConnectionLimits::default();
        let window = u64::try_from(limits.write_stall_timeout.as_millis()).unwrap();
        let enough = usize::try_from(limits.min_rate * window / 1000).unwrap() + 1;
        for (held, slow) in [(limits.min_rate * TAKEN_WITHIN_S, false), (64 << 20, true)] {
            let pace = ClientPace::new(1);
            pace.take(enough);
            assert_eq!(pace.is_slow(window + 1, 1, held, &limits), slow, "{held} bytes are held");
        }
    }
}
