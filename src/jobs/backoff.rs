//! How long to leave alone what has failed: longer each time, and never for ever.

use std::time::Duration;

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
    use super::*;

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
}
