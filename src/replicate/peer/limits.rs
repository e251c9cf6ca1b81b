//! The bounds of everything that a peer may send or take, each with its reason, and how fast files may arrive from all peers together.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use super::Dates;
use crate::archive::LARGEST_FILE;

/// Limits towards a peer. The defaults are for the real world; tests make them small.
#[derive(Debug, Clone)]
pub struct PeerLimits {
    /// Until a connection stands, name resolution included. A peer that is there answers within one round trip.
    pub connect: Duration,
    /// Longest silence: a peer may have to bring an hour up to date before it lists it.
    pub silence: Duration,
    /// For a whole listing: the largest one takes seconds on any line that is worth replicating over.
    pub listing_time: Duration,
    /// Bytes of a listing, before and after decompression. An hour of 1,800 names has 129 kB.
    pub listing_bytes: usize,
    /// Names in a listing, refused and repeated ones included: as many as one directory is read with on our side.
    pub listing_entries: usize,
    /// Bytes of one file. Segments have a few megabytes; this keeps one file from filling the disk.
    pub file_bytes: u64,
    /// For a whole file: as long as a round without progress may last.
    pub file_time: Duration,
    /// How long a file may arrive slowly; then it keeps others from being fetched.
    pub slow_window: Duration,
    /// Fewer bytes than this in the window are slow: 1 kB/s is slower than any line that can keep up with a stream.
    pub slow_bytes: u64,
    /// How fast files may come, from all peers together.
    pub throttle: Throttle,
    /// What peers say of the time, remembered from their answers.
    pub dates: Dates,
    /// Idle connections that are kept to each peer: as many as there are downloads at once.
    pub idle_connections: usize,
}

impl Default for PeerLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            silence: Duration::from_secs(30),
            listing_time: Duration::from_secs(60),
            listing_bytes: 64 << 20,
            listing_entries: 1_000_000,
            file_bytes: LARGEST_FILE,
            file_time: Duration::from_secs(15 * 60),
            slow_window: Duration::from_secs(60),
            slow_bytes: 60_000,
            throttle: Throttle::default(),
            dates: Dates::default(),
            idle_connections: 5,
        }
    }
}

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
