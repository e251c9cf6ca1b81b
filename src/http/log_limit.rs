//! Keeps a line that every request could cause from filling the log: some at once, then one a second.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

/// At once: as many as one looks at. From then on one a second.
const AT_ONCE: NonZeroU32 = NonZeroU32::MIN.saturating_add(19);

/// Says whether a line may be written.
#[derive(Debug)]
pub(super) struct LogLimit {
    limiter: DefaultDirectRateLimiter,
    unsaid: AtomicU64,
}

impl Default for LogLimit {
    fn default() -> Self {
        let limiter = RateLimiter::direct(Quota::per_second(NonZeroU32::MIN).allow_burst(AT_ONCE));
        Self { limiter, unsaid: AtomicU64::new(0) }
    }
}

impl LogLimit {
    /// How many lines were not written since the last one, if this one may be.
    pub(super) fn unsaid(&self) -> Option<u64> {
        if self.limiter.check().is_ok() {
            return Some(self.unsaid.swap(0, Ordering::Relaxed));
        }
        self.unsaid.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_told_in_a_few_lines_that_say_what_they_leave_out() {
        let limit = LogLimit::default();
        let told = (0..10_000).filter_map(|_| limit.unsaid()).count() as u64;
        // More only if this machine took seconds for it.
        assert!((20..1000).contains(&told), "{told}");
        let left_out = limit.unsaid.load(Ordering::Relaxed);
        assert!(left_out > 9000 && told + left_out <= 10_000, "{told} told, {left_out} left out");
    }
}
