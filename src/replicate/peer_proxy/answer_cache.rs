//! Answers that are kept for a moment, so that many who look at the same thing ask for it once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Mutex as AsyncMutex;

use super::ProxyError;

/// How long an answer is good for. Pages ask again every few seconds.
const HOLDS: Duration = Duration::from_secs(3);
/// Answers that are kept. What is larger than [`LARGEST`] is not, so that all of them have 64 MB at the most.
const MOST: usize = 512;
/// Bytes of an answer that is kept.
const LARGEST: usize = 128 << 10;

/// What a question led to. That it failed is kept as well: whoever waited meanwhile would otherwise ask again, one after the other.
pub(super) type ProxyResult = Result<Bytes, ProxyError>;

/// One answer.
#[derive(Debug, Default)]
pub(super) struct ProxyAnswer(Option<(Instant, ProxyResult)>);

impl ProxyAnswer {
    /// The answer, if it is still good.
    pub(super) fn fresh(&self) -> Option<ProxyResult> {
        self.0.as_ref().filter(|(since, _)| since.elapsed() < HOLDS).map(|(_, said)| said.clone())
    }

    /// A new one, good from now on.
    pub(super) fn put(&mut self, said: ProxyResult) {
        let is_small = said.as_ref().map_or(true, |bytes| bytes.len() <= LARGEST);
        self.0 = is_small.then(|| (Instant::now(), said));
    }
}

/// Answers by what was asked.
#[derive(Debug, Default)]
pub(super) struct AnswerCache(Mutex<HashMap<String, Arc<AsyncMutex<ProxyAnswer>>>>);

impl AnswerCache {
    /// The place of the answer to this question.
    pub(super) fn slot(&self, key: &str) -> Arc<AsyncMutex<ProxyAnswer>> {
        let mut slots = self.0.lock();
        if let Some(slot) = slots.get(key) {
            return Arc::clone(slot);
        }
        if slots.len() >= MOST {
            // What somebody is waiting for cannot be looked at, and stays.
            slots.retain(|_, slot| slot.try_lock().map_or(true, |answer| answer.fresh().is_some()));
            if slots.len() >= MOST {
                // Nobody finds those any more; whoever has one keeps it.
                slots.clear();
            }
        }
        let slot = Arc::default();
        slots.insert(key.to_owned(), Arc::clone(&slot));
        slot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_is_found_again_and_their_number_is_bounded() {
        let kept = AnswerCache::default();
        let short = || Ok(Bytes::from_static(b"x"));
        kept.slot("a").lock().await.put(short());
        assert_eq!(kept.slot("a").lock().await.fresh().unwrap().unwrap(), Bytes::from_static(b"x"));
        assert!(kept.slot("b").lock().await.fresh().is_none());
        kept.slot("b").lock().await.put(Ok(Bytes::from(vec![0; LARGEST + 1])));
        assert!(kept.slot("b").lock().await.fresh().is_none(), "too large to be kept");
        kept.slot("b").lock().await.put(Err(ProxyError::Busy));
        assert!(matches!(kept.slot("b").lock().await.fresh(), Some(Err(ProxyError::Busy))), "a failure is kept");
        for number in 0..2 * MOST {
            kept.slot(&number.to_string()).lock().await.put(short());
        }
        assert!(kept.0.lock().len() <= MOST);
    }
}
