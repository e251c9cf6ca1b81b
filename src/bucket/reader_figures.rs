//! What a reader of archived segments has done since it began.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one reader.
#[derive(Debug, Default)]
pub(super) struct ReaderCounters {
    pub(super) requests: AtomicU64,
    pub(super) fetched_bytes: AtomicU64,
    pub(super) hits: AtomicU64,
    pub(super) hit_bytes: AtomicU64,
    pub(super) misses: AtomicU64,
    pub(super) damaged: AtomicU64,
}

/// Their values at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReaderFigures {
    /// Requests to the store.
    pub requests: u64,
    /// Bytes that came of them.
    pub fetched_bytes: u64,
    /// Segments that were given from the cache.
    pub hits: u64,
    /// Bytes of these.
    pub hit_bytes: u64,
    /// Segments for which the store had to be waited for.
    pub misses: u64,
    /// Segments that came with another content than their hash says.
    pub damaged: u64,
    /// Files in the cache that were not what they are called.
    pub kept_wrong: u64,
    /// Bytes of the cache.
    pub kept_bytes: u64,
    /// Bytes that it may have.
    pub limit_bytes: u64,
}

pub(super) fn count(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

impl ReaderCounters {
    pub(super) fn figures(&self) -> ReaderFigures {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ReaderFigures {
            requests: of(&self.requests),
            fetched_bytes: of(&self.fetched_bytes),
            hits: of(&self.hits),
            hit_bytes: of(&self.hit_bytes),
            misses: of(&self.misses),
            damaged: of(&self.damaged),
            ..ReaderFigures::default()
        }
    }
}
