//! Which segments are being fetched, so that no two peers are asked for the same one at once.
//!
//! A claim holds as long as something comes: who is asked and sends nothing for a few seconds is not waited for, and another may
//! be asked. Should both send it in the end, the second finds it there.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::archive::HourPlace;

/// How long a claim holds without anything coming. More than it takes a disk to wake up, less than anybody wants to wait.
const HOLDS: Duration = Duration::from_secs(3);

type Key = (HourPlace, Box<str>);

/// What is being fetched, whoever fetches it.
#[derive(Debug, Clone)]
pub(super) struct Claims(Arc<Held>);

#[derive(Debug)]
struct Held {
    began: Instant,
    keys: Mutex<HashMap<Key, Arc<AtomicU64>>>,
    freed: Notify,
}

/// The right to fetch one file, until it is dropped.
#[derive(Debug)]
pub(super) struct FetchClaim {
    claims: Claims,
    key: Key,
    /// When something came last, in milliseconds.
    touched: Arc<AtomicU64>,
}

impl Default for Claims {
    fn default() -> Self {
        Self(Arc::new(Held { began: Instant::now(), keys: Mutex::default(), freed: Notify::new() }))
    }
}

impl Claims {
    /// The right to fetch this file; `None` while another has it.
    pub(super) fn claim(&self, place: &HourPlace, name: &str) -> Option<FetchClaim> {
        let key = (place.clone(), Box::from(name));
        let now = self.now();
        let mut keys = self.0.keys.lock();
        let holds = |touched: &Arc<AtomicU64>| {
            let until = touched.load(Ordering::Relaxed).saturating_add(HOLDS.as_millis().try_into().unwrap_or(0));
            now < until
        };
        if keys.get(&key).is_some_and(holds) {
            return None;
        }
        let touched = Arc::new(AtomicU64::new(now));
        keys.insert(key.clone(), Arc::clone(&touched));
        Some(FetchClaim { claims: self.clone(), key, touched })
    }

    /// The right to fetch this file, as soon as no other has it.
    pub(super) async fn claim_when_free(&self, place: &HourPlace, name: &str) -> FetchClaim {
        loop {
            // Made before looking, so that what is freed in between is noticed.
            let freed = self.0.freed.notified();
            if let Some(claim) = self.claim(place, name) {
                return claim;
            }
            // One that does not hold any more tells nobody.
            timeout(HOLDS, freed).await.unwrap_or_default();
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.0.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl FetchClaim {
    /// It holds until something comes: we ourselves are slow.
    pub(super) fn hold(&self) {
        self.touched.store(u64::MAX, Ordering::Relaxed);
    }

    /// Something came.
    pub(super) fn touch(&self) {
        self.touched.store(self.claims.now(), Ordering::Relaxed);
    }
}

impl Drop for FetchClaim {
    fn drop(&mut self) {
        let mut keys = self.claims.0.keys.lock();
        // It may be another's by now.
        if keys.get(&self.key).is_some_and(|held| Arc::ptr_eq(held, &self.touched)) {
            keys.remove(&self.key);
        }
        drop(keys);
        self.claims.0.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> HourPlace {
        HourPlace::parse("a/b/2019-11-13T02").unwrap()
    }

    #[test]
    fn a_file_is_fetched_by_one_at_a_time() {
        let claims = Claims::default();
        let first = claims.claim(&place(), "x.ts").unwrap();
        assert!(claims.claim(&place(), "x.ts").is_none());
        assert!(claims.claim(&place(), "y.ts").is_some());
        drop(first);
        assert!(claims.claim(&place(), "x.ts").is_some());
    }

    #[tokio::test]
    async fn who_waits_gets_it_when_it_is_free() {
        let claims = Claims::default();
        let first = claims.claim(&place(), "x.ts").unwrap();
        let waiting = tokio::spawn({
            let claims = claims.clone();
            async move { drop(claims.claim_when_free(&place(), "x.ts").await) }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(first);
        waiting.await.unwrap();
    }

    #[test]
    fn one_to_whom_nothing_comes_is_not_waited_for() {
        let claims = Claims::default();
        let first = claims.claim(&place(), "x.ts").unwrap();
        first.touched.store(0, Ordering::Relaxed);
        let later = Claims(Arc::new(Held {
            began: claims.0.began.checked_sub(HOLDS).unwrap(),
            keys: Mutex::new(claims.0.keys.lock().clone()),
            freed: Notify::new(),
        }));
        let second = later.claim(&place(), "x.ts").unwrap();
        drop(FetchClaim { claims: later.clone(), key: (place(), "x.ts".into()), touched: Arc::clone(&first.touched) });
        assert!(later.claim(&place(), "x.ts").is_none(), "the second keeps it when the first gives up");
        drop(second);
        first.touch();
        assert!(claims.claim(&place(), "x.ts").is_none());
        first.hold();
        assert!(claims.claim(&place(), "x.ts").is_none());
    }
}
