//! How fast files may come, from all peers together. Lists, digests and changes are not held up.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

/// A bound on bytes a second; cheap to clone, and shared by the clones.
#[derive(Clone, Default)]
pub struct Throttle(Option<Arc<(DefaultDirectRateLimiter, NonZeroU32)>>);

impl Throttle {
    /// At most so many bytes a second; 0 is no bound. What was not used within a second is not saved up.
    pub fn new(bytes_per_second: u64) -> Self {
        let rate = NonZeroU32::new(u32::try_from(bytes_per_second).unwrap_or(u32::MAX));
        Self(rate.map(|rate| Arc::new((RateLimiter::direct(Quota::per_second(rate)), rate))))
    }

    /// Waits until so many bytes may have come.
    pub async fn wait(&self, bytes: usize) {
        let Some((limiter, rate)) = self.0.as_deref() else { return };
        let mut left = u32::try_from(bytes).unwrap_or(u32::MAX);
        while let Some(now) = NonZeroU32::new(left.min(rate.get())) {
            // Never more than a second's worth at once, which is all that it could refuse.
            if limiter.until_n_ready(now).await.is_err() {
                return;
            }
            left -= now.get();
        }
    }
}

impl fmt::Debug for Throttle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Throttle").field(&self.0.as_deref().map(|(_, rate)| rate)).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn more_than_a_seconds_worth_waits_and_less_does_not() {
        let throttle = Throttle::new(1_000_000);
        throttle.wait(600_000).await;
        throttle.wait(400_000).await;
        let more = tokio::time::timeout(Duration::from_millis(20), throttle.clone().wait(500_000)).await;
        assert!(more.is_err(), "the second is used up, for all clones");
        Throttle::new(0).wait(usize::MAX).await;
        Throttle::default().wait(usize::MAX).await;
    }
}
