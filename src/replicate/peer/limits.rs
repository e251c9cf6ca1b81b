//! The bounds of everything that a peer may send or take, each with its reason.

use std::time::Duration;

use super::{Dates, Throttle};
use crate::archive::LARGEST_FILE;

/// What is borne from a peer. The defaults are for the real world; tests make them small.
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
