//! Which segments are being fetched, so that no two peers are asked for the same one at once.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::domain::HourPlace;

type Key = (HourPlace, Box<str>);

/// What is being fetched, whoever fetches it.
#[derive(Debug, Clone, Default)]
pub(super) struct Claims(Arc<Held>);

#[derive(Debug, Default)]
struct Held {
    keys: Mutex<HashSet<Key>>,
    freed: Notify,
}

/// The right to fetch one file, until it is dropped.
#[derive(Debug)]
pub(super) struct Claim {
    claims: Claims,
    key: Key,
}

impl Claims {
    /// The right to fetch this file; `None` while another has it.
    pub(super) fn claim(&self, place: &HourPlace, name: &str) -> Option<Claim> {
        let key = (place.clone(), Box::from(name));
        let fresh = self.0.keys.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone());
        fresh.then(|| Claim { claims: self.clone(), key })
    }

    /// The right to fetch this file, as soon as no other has it.
    pub(super) async fn claim_when_free(&self, place: &HourPlace, name: &str) -> Claim {
        loop {
            // Made before looking, so that what is freed in between is noticed.
            let freed = self.0.freed.notified();
            if let Some(claim) = self.claim(place, name) {
                return claim;
            }
            freed.await;
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.claims.0.keys.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
        self.claims.0.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_fetched_by_one_at_a_time() {
        let claims = Claims::default();
        let place = HourPlace::parse("a/b/2019-11-13T02").unwrap();
        let first = claims.claim(&place, "x.ts").unwrap();
        assert!(claims.claim(&place, "x.ts").is_none());
        assert!(claims.claim(&place, "y.ts").is_some());
        drop(first);
        assert!(claims.claim(&place, "x.ts").is_some());
    }

    #[tokio::test]
    async fn who_waits_gets_it_when_it_is_free() {
        let claims = Claims::default();
        let place = HourPlace::parse("a/b/2019-11-13T02").unwrap();
        let first = claims.claim(&place, "x.ts").unwrap();
        let waiting = tokio::spawn({
            let (claims, place) = (claims.clone(), place.clone());
            async move { drop(claims.claim_when_free(&place, "x.ts").await) }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(first);
        waiting.await.unwrap();
    }
}
