//! Keeps the bytes of listings as they go over the wire, until the listing changes.
//!
//! An entry is found by the request's path as it came, so that a hit parses nothing; whether it is still right is decided by
//! its version. Within the cap, what is asked for again stays longest.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;
use quick_cache::Weighter;
use quick_cache::unsync::Cache;

use super::Encoding;
use crate::archive::Hour;
use crate::index::Version;

/// Longer requests are not kept.
const LONGEST_REQUEST: usize = 2048;
/// Bytes of a list as a rule: by it the cache expects how many there will be.
const USUAL: usize = 64 << 10;

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

/// A list as it goes over the wire. It never changes: with one encoding more it is another one.
#[derive(Debug, Clone)]
pub struct CachedList {
    /// What it lists.
    pub subject: ListSubject,
    /// Which state of it.
    pub version: Version,
    /// Of the plain bytes.
    pub hash: String,
    plain: Bytes,
    gzip: Option<Bytes>,
    zstd: Option<Bytes>,
}

impl CachedList {
    /// A list that was just made.
    pub fn new(subject: ListSubject, version: Version, plain: Bytes) -> Self {
        let hash = format!("{:032x}", xxhash_rust::xxh3::xxh3_128(&plain));
        Self { subject, version, hash, plain, gzip: None, zstd: None }
    }

    /// The bytes in this encoding, if they are there.
    pub fn body(&self, encoding: Encoding) -> Option<Bytes> {
        match encoding {
            Encoding::Identity => Some(self.plain.clone()),
            Encoding::Gzip => self.gzip.clone(),
            Encoding::Zstd => self.zstd.clone(),
        }
    }

    /// The same with the bytes in one encoding more.
    fn with(&self, encoding: Encoding, body: Bytes) -> Self {
        let mut list = self.clone();
        match encoding {
            Encoding::Identity => {}
            Encoding::Gzip => list.gzip = Some(body),
            Encoding::Zstd => list.zstd = Some(body),
        }
        list
    }

    fn size(&self) -> usize {
        let encoded = [&self.gzip, &self.zstd].into_iter().flatten().map(Bytes::len).sum::<usize>();
        self.plain.len() + encoded + 256
    }
}

/// What an entry takes.
#[derive(Debug, Clone)]
struct InBytes;

impl Weighter<Box<str>, Arc<CachedList>> for InBytes {
    fn weight(&self, request: &Box<str>, list: &Arc<CachedList>) -> u64 {
        (list.size() + request.len()) as u64
    }
}

/// The kept lists.
#[derive(Debug)]
pub struct WireCache {
    cap: usize,
    entries: RwLock<Cache<Box<str>, Arc<CachedList>, InBytes>>,
}

impl WireCache {
    /// Keeps up to `cap` bytes.
    pub fn new(cap: usize) -> Self {
        Self { cap, entries: RwLock::new(Cache::with_weighter(cap / USUAL, cap as u64, InBytes)) }
    }

    /// Bytes kept.
    pub fn bytes(&self) -> usize {
        usize::try_from(self.entries.read().weight()).unwrap_or(usize::MAX)
    }

    /// What is kept for this request, right or not.
    pub fn get(&self, request: &str) -> Option<Arc<CachedList>> {
        self.entries.read().get(request).cloned()
    }

    /// The same without counting as being asked for: for whoever has asked before.
    pub fn peek(&self, request: &str) -> Option<Arc<CachedList>> {
        self.entries.read().peek(request).cloned()
    }

    /// Keeps a list, unless it is so large that it would push out most others.
    pub fn put(&self, request: &str, entry: &Arc<CachedList>) {
        if entry.size() <= self.cap / 4 && request.len() <= LONGEST_REQUEST {
            self.entries.write().insert(request.into(), Arc::clone(entry));
        }
    }

    /// Adds encoded bytes to a list, if it is kept.
    pub fn put_encoded(&self, request: &str, entry: &CachedList, encoding: Encoding, body: Bytes) {
        let mut entries = self.entries.write();
        // Somebody may have added another encoding meanwhile, or put a newer list in its place.
        let kept = entries.peek(request).filter(|kept| (kept.version, &kept.hash) == (entry.version, &entry.hash));
        if let Some(more) = kept.map(|kept| kept.with(encoding, body)) {
            // What is too large with it goes, which costs no more than to make it again. It is no sign of being asked for again.
            entries.replace(request.into(), Arc::new(more), true).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(size: usize) -> Arc<CachedList> {
        Arc::new(CachedList::new(ListSubject::Structure, Version::default(), Bytes::from(vec![b'x'; size])))
    }

    #[test]
    fn the_cap_holds_and_what_is_asked_for_again_stays() {
        let cache = WireCache::new(100_000);
        for index in 0..50 {
            cache.put(&format!("/{index}"), &entry(10_000));
            let _used = cache.get("/0");
            assert!(cache.bytes() <= 100_000, "{}", cache.bytes());
        }
        assert!(cache.get("/0").is_some() && cache.get("/49").is_some() && cache.get("/1").is_none());
    }

    /// How many of some lists stay that are asked for again, while many others are asked for once, and encoded then.
    fn kept_beside_a_scan(encoded: bool) -> usize {
        let cache = WireCache::new(100_000);
        let often = ["/a", "/b", "/c", "/d"];
        let mut found = 0;
        for index in 0..200 {
            let path = format!("/{index}");
            cache.put(&path, &entry(10_000));
            if encoded {
                let kept = cache.peek(&path).unwrap();
                cache.put_encoded(&path, &kept, Encoding::Gzip, Bytes::from_static(b"gzip"));
            }
            let again = often[index / 2 % often.len()];
            match cache.get(again) {
                Some(_) => found += 1,
                None => cache.put(again, &entry(10_000)),
            }
        }
        found
    }

    #[test]
    fn encoding_a_list_is_not_asking_for_it_again() {
        assert!(kept_beside_a_scan(false) > 0);
        assert_eq!(kept_beside_a_scan(true), kept_beside_a_scan(false));
    }

    #[test]
    fn encoded_bytes_count_and_replacing_gives_them_back() {
        let cache = WireCache::new(100_000);
        let first = entry(1_000);
        cache.put("/a", &first);
        let plain_only = cache.bytes();
        cache.put_encoded("/a", &first, Encoding::Gzip, Bytes::from(vec![0; 500]));
        assert_eq!(cache.bytes(), plain_only + 500);
        cache.put_encoded("/a", &first, Encoding::Zstd, Bytes::from(vec![0; 100]));
        assert_eq!(cache.bytes(), plain_only + 600);
        let kept = cache.get("/a").unwrap();
        let size = |encoding| kept.body(encoding).map(|body| body.len());
        assert_eq!(Encoding::ALL.map(size), [Some(1_000), Some(500), Some(100)]);
        cache.put("/a", &entry(1_000));
        assert_eq!(cache.bytes(), plain_only);
        cache.put_encoded("/a", &entry(900), Encoding::Gzip, Bytes::from(vec![0; 500]));
        cache.put_encoded("/gone", &first, Encoding::Gzip, Bytes::from(vec![0; 500]));
        assert_eq!(cache.bytes(), plain_only, "it is not the list that is kept");
        cache.put("/b", &entry(60_000));
        assert!(cache.get("/b").is_none(), "one list may not push out all others");
    }

    proptest! {
        #[test]
        fn whatever_is_put_what_is_kept_is_within_the_cap_and_counted(
            steps in prop::collection::vec((0..12_u8, 0..40_000_usize, prop::sample::select(Encoding::ALL.to_vec())), 1..200),
        ) {
            let cache = WireCache::new(100_000);
            for (request, size, encoding) in steps {
                let request = format!("/{request}");
                match (encoding, cache.get(&request)) {
                    (Encoding::Identity, _) | (_, None) => cache.put(&request, &entry(size)),
                    (_, Some(kept)) => cache.put_encoded(&request, &kept, encoding, Bytes::from(vec![0; size])),
                }
                let entries = cache.entries.read();
                let sum: usize = entries.iter().map(|(key, list)| list.size() + key.len()).sum();
                prop_assert_eq!(entries.weight(), sum as u64);
                prop_assert!(sum <= 100_000, "{} bytes are kept", sum);
            }
        }
    }
}
