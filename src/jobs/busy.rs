//! How busy a node is with what somebody waits for: requests and backfill. The crawl gives way to that.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

/// Units in a second from which on a node is fully busy. A unit is a request, or a mebibyte that is sent or fetched: monitors and
/// other nodes that ask now and then are no load.
const FULLY: f64 = 20.0;
/// Bytes of a unit.
const UNIT_BYTES: u64 = 1 << 20;
/// A look counts for so long at least, so that a single request between two looks is not taken for a storm.
const SHORTEST: Duration = Duration::from_millis(250);

/// Counts what is done for others. Share it by `Arc`.
#[derive(Debug, Default)]
pub struct ForegroundLoad {
    /// In thousandths of a unit.
    done: AtomicU64,
    last: Mutex<(Duration, u64, f64)>,
}

impl ForegroundLoad {
    /// Something was done, with so many bytes.
    pub fn add(&self, bytes: u64) {
        self.done.fetch_add(1_000 + bytes.saturating_mul(1_000) / UNIT_BYTES, Ordering::Relaxed);
    }

    /// How busy it was since the last look, 0 to 1.
    pub fn level(&self, now: Duration) -> f64 {
        let mut last = self.last.lock();
        let (at, before, level) = *last;
        let since = now.saturating_sub(at);
        if since < SHORTEST {
            return level;
        }
        let done = self.done.load(Ordering::Relaxed);
        let milli = u32::try_from(done.wrapping_sub(before)).unwrap_or(u32::MAX);
        let fresh = (f64::from(milli) / 1_000.0 / since.as_secs_f64() / FULLY).min(1.0);
        *last = (now, done, fresh);
        fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_requests_or_much_data_is_busy_and_a_few_are_not() {
        let busy = ForegroundLoad::default();
        let second = |number: u64| Duration::from_secs(number);
        assert!(busy.level(second(1)) < 0.01);
        busy.add(100);
        assert!(busy.level(second(2)) < 0.06);
        (0..100).for_each(|_| busy.add(0));
        assert!((busy.level(second(3)) - 1.0).abs() < 0.01);
        assert!((busy.level(second(3)) - 1.0).abs() < 0.01, "asked at once again it is as it was");
        busy.add(30 << 20);
        assert!((busy.level(second(4)) - 1.0).abs() < 0.01);
        assert!(busy.level(second(5)) < 0.01);
    }
}
