//! Keeps the bytes of listings as they go over the wire, until the listing changes.
//!
//! An entry is found by the request's path as it came, so that a hit parses nothing; whether it is still right is decided by
//! its version. Entries that have not been used for longest go when the cap is reached.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parking_lot::RwLock;

use super::Encoding;
use crate::archive::Hour;
use crate::index::Version;

/// What a list is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListSubject {
    /// Channels, qualities or hours: as long as no hour comes or goes.
    Structure,
    /// A master playlist: as long as what it was made from is right.
    Master(Box<crate::play::playback::Basis>),
    /// The files of an hour.
    Hour {
        /// `CHANNEL/QUALITY`.
        stream: String,
        /// The hour.
        hour: Hour,
    },
}

/// A list as it goes over the wire.
#[derive(Debug)]
pub struct CachedList {
    /// What it lists.
    pub subject: ListSubject,
    /// Which state of it.
    pub version: Version,
    /// Of the plain bytes.
    pub hash: String,
    plain: Bytes,
    gzip: OnceLock<Bytes>,
    zstd: OnceLock<Bytes>,
    used: AtomicU64,
}

impl CachedList {
    /// A list that was just made.
    pub fn new(subject: ListSubject, version: Version, plain: Bytes) -> Self {
        let hash = format!("{:032x}", xxhash_rust::xxh3::xxh3_128(&plain));
        Self { subject, version, hash, plain, gzip: OnceLock::new(), zstd: OnceLock::new(), used: AtomicU64::new(0) }
    }

    /// The bytes in this encoding, if they are there.
    pub fn body(&self, encoding: Encoding) -> Option<Bytes> {
        match encoding {
            Encoding::Identity => Some(self.plain.clone()),
            Encoding::Gzip => self.gzip.get().cloned(),
            Encoding::Zstd => self.zstd.get().cloned(),
        }
    }

    fn size(&self) -> usize {
        let encoded = [&self.gzip, &self.zstd].into_iter().filter_map(OnceLock::get).map(Bytes::len).sum::<usize>();
        self.plain.len() + encoded + 256
    }
}

/// The kept lists.
#[derive(Debug)]
pub struct WireCache {
    cap: usize,
    bytes: AtomicUsize,
    clock: AtomicU64,
    entries: RwLock<HashMap<Box<str>, Arc<CachedList>>>,
}

impl WireCache {
    /// Keeps up to `cap` bytes.
    pub fn new(cap: usize) -> Self {
        Self { cap, bytes: AtomicUsize::new(0), clock: AtomicU64::new(1), entries: RwLock::default() }
    }

    /// Bytes kept.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// What is kept for this request, right or not.
    pub fn get(&self, request: &str) -> Option<Arc<CachedList>> {
        let entries = self.entries.read();
        let entry = entries.get(request)?;
        entry.used.store(self.clock.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        Some(Arc::clone(entry))
    }

    /// Keeps a list, unless it is so large that it would push out most others.
    pub fn put(&self, request: &str, entry: &Arc<CachedList>) {
        if entry.size() > self.cap / 4 || request.len() > 2048 {
            return;
        }
        let mut entries = self.entries.write();
        entry.used.store(self.clock.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        let before =
            entries.insert(request.into(), Arc::clone(entry)).map_or(0, |before| before.size() + request.len());
        self.bytes.fetch_add(entry.size() + request.len(), Ordering::Relaxed);
        self.bytes.fetch_sub(before, Ordering::Relaxed);
        self.shrink(&mut entries);
    }

    /// Adds encoded bytes to a kept list.
    pub fn put_encoded(&self, request: &str, entry: &Arc<CachedList>, encoding: Encoding, body: Bytes) {
        let mut entries = self.entries.write();
        let slot = match encoding {
            Encoding::Identity => return,
            Encoding::Gzip => &entry.gzip,
            Encoding::Zstd => &entry.zstd,
        };
        let size = body.len();
        let kept = entries.get(request).is_some_and(|kept| Arc::ptr_eq(kept, entry));
        if slot.set(body).is_ok() && kept {
            self.bytes.fetch_add(size, Ordering::Relaxed);
            self.shrink(&mut entries);
        }
    }

    /// Drops the least used, down to nine tenths, so that it is not done for every entry.
    fn shrink(&self, entries: &mut HashMap<Box<str>, Arc<CachedList>>) {
        if self.bytes() <= self.cap {
            return;
        }
        let mut by_use: Vec<(u64, Box<str>)> =
            entries.iter().map(|(request, entry)| (entry.used.load(Ordering::Relaxed), request.clone())).collect();
        by_use.sort_unstable();
        for (_, request) in by_use {
            if self.bytes() <= self.cap / 10 * 9 {
                return;
            }
            if let Some(entry) = entries.remove(&request) {
                self.bytes.fetch_sub(entry.size() + request.len(), Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(size: usize) -> Arc<CachedList> {
        Arc::new(CachedList::new(ListSubject::Structure, Version::default(), Bytes::from(vec![b'x'; size])))
    }

    #[test]
    fn the_cap_holds_and_the_least_used_goes_first() {
        let cache = WireCache::new(100_000);
        for index in 0..50 {
            cache.put(&format!("/{index}"), &entry(10_000));
            let _used = cache.get("/0");
            assert!(cache.bytes() <= 100_000, "{}", cache.bytes());
        }
        assert!(cache.get("/0").is_some() && cache.get("/49").is_some() && cache.get("/1").is_none());
    }

    #[test]
    fn encoded_bytes_count_and_replacing_gives_them_back() {
        let cache = WireCache::new(100_000);
        let first = entry(1_000);
        cache.put("/a", &first);
        let plain_only = cache.bytes();
        cache.put_encoded("/a", &first, Encoding::Gzip, Bytes::from(vec![0; 500]));
        assert_eq!(cache.bytes(), plain_only + 500);
        assert_eq!(first.body(Encoding::Gzip).map(|body| body.len()), Some(500));
        cache.put("/a", &entry(1_000));
        assert_eq!(cache.bytes(), plain_only);
        cache.put("/b", &entry(60_000));
        assert!(cache.get("/b").is_none(), "one list may not push out all others");
    }
}
