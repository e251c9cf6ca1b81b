//! What other nodes say about their coverage, for whoever looks at this node: this node asks them, so that a browser need not reach them.
//!
//! 1. Only nodes of the list are asked, by the name that they have there, and only for timelines, holes and listings of hours.
//! 2. What they answer is read into our own shape and bounded before it is passed on: a peer is trusted with nothing.
//! 3. The same question is asked once in three seconds however many look, and only so many at a time: of each node fewer than of
//!    all, so that one that hangs takes no turns from the others.
//!
//! Nothing is fetched into the archive here, and nothing that is answered changes what backfill does.

mod listings;
mod question;
mod segments;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use tokio::sync::{Mutex as AsyncMutex, Semaphore, watch};

use crate::net::tls::ClientConfig;
use crate::net::tokens::Token;
use crate::replicate::peer::{Peer, PeerClient, PeerError, PeerLimits};

pub use question::{MOST_PIXELS, Question, QuestionKind};

/// Questions to other nodes at the same time: a page with ten rows and three peers asks thirty.
const AT_ONCE: usize = 32;
/// Of them to the same node: one that hangs keeps no more.
const AT_ONCE_EACH: usize = 4;
/// How long a question waits for its turn.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of an answer: 4,096 runs of a timeline have 80 kB, a page of 10,000 holes 1.2 MB.
const ANSWER_BYTES: usize = 2 << 20;

#[derive(Debug, Clone, thiserror::Error)]
pub enum ProxyError {
    /// There is none of that name.
    #[error("no peer of that name")]
    Unknown,
    #[error("the peer {0} cannot say: it only lists files, or is an older version")]
    FixedPart(String),
    #[error("the peer {0} rejects this node's token")]
    Token(String),
    #[error("the peer {0} did not say: {1}")]
    Peer(String, Arc<PeerError>),
    #[error("the peer {0} sent an answer that does not match the request")]
    Nonsense(String),
    #[error("too many questions to other nodes are waiting")]
    Busy,
}

pub struct PeerProxy {
    client: PeerClient,
    list: watch::Receiver<Vec<Peer>>,
    turns: Semaphore,
    each: Mutex<HashMap<String, Arc<Semaphore>>>,
    cache: AnswerCache,
    listings: listings::Listings,
}

impl PeerProxy {
    pub fn new(list: watch::Receiver<Vec<Peer>>, tls: &ClientConfig, token: Option<&Token>) -> Result<Self, PeerError> {
        // Somebody is looking at a page: what does not come soon is of no use.
        let limits = PeerLimits {
            connect: Duration::from_secs(3),
            silence: Duration::from_secs(6),
            listing_time: Duration::from_secs(8),
            listing_bytes: ANSWER_BYTES,
            ..PeerLimits::default()
        };
        let client = PeerClient::with_token(limits, tls, token)?;
        Ok(Self {
            client,
            list,
            turns: Semaphore::new(AT_ONCE),
            each: Mutex::default(),
            cache: AnswerCache::default(),
            listings: listings::Listings::default(),
        })
    }

    pub async fn ask(&self, name: &str, question: &Question) -> Result<Bytes, ProxyError> {
        let peer = self.list.borrow().iter().find(|peer| peer.name == name).cloned().ok_or(ProxyError::Unknown)?;
        let key = format!("{name}\n{}\n{}\n{:?}", question.name(), question.stream, question.query());
        let slot = self.cache.slot(&key);
        // Whoever asks the same meanwhile waits for the same answer.
        let mut answer = slot.lock().await;
        if let Some(known) = answer.fresh() {
            return known;
        }
        let said = self.ask_in_turn(&peer, question).await;
        answer.put(said.clone());
        said
    }

    async fn ask_in_turn(&self, peer: &Peer, question: &Question) -> ProxyResult {
        let own = self.turns_of(&peer.name);
        // First its own, so that nobody waits for a node with a turn that another one could have.
        let turns = async { Some((own.acquire().await.ok()?, self.turns.acquire().await.ok()?)) };
        let Ok(Some(_turns)) = tokio::time::timeout(PATIENCE, turns).await else { return Err(ProxyError::Busy) };
        match question.kind {
            QuestionKind::Timeline => encoded(question.timeline(self.get(peer, question).await?), peer),
            QuestionKind::Holes => encoded(question.holes(self.get(peer, question).await?), peer),
        }
    }

    /// The turns of the node of this name; those of nodes that have left the list are forgotten.
    fn turns_of(&self, name: &str) -> Arc<Semaphore> {
        let mut each = self.each.lock();
        if !each.contains_key(name) {
            let list = self.list.borrow();
            each.retain(|known, _| list.iter().any(|peer| &peer.name == known));
        }
        Arc::clone(each.entry(name.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE_EACH))))
    }

    async fn get<T: DeserializeOwned>(&self, peer: &Peer, question: &Question) -> Result<T, ProxyError> {
        let stream = &question.stream;
        let path = ["api", "v1", question.name(), stream.channel.as_str(), stream.quality.as_str()];
        let query = question.query();
        let mut query: Vec<(&str, &str)> = query.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let name = || peer.name.clone();
        // Each row of the page shows what lies on that node.
        query.push(("local", "true"));
        let mut answer = self.client.get_json(peer, &path, &query, ANSWER_BYTES).await;
        if answer.as_ref().is_err_and(|error: &PeerError| error.status().is_some_and(|status| status == 400)) {
            // An older one refuses what it does not know, and knows of nobody but itself.
            query.pop();
            answer = self.client.get_json(peer, &path, &query, ANSWER_BYTES).await;
        }
        answer.map_err(|error| match error.status().map(|status| status.as_u16()) {
            Some(404 | 405 | 501) => ProxyError::FixedPart(name()),
            Some(401 | 403) => ProxyError::Token(name()),
            _ => ProxyError::Peer(name(), Arc::new(error)),
        })
    }
}

/// The answer as this node writes it; none is nonsense.
fn encoded(answer: Option<impl serde::Serialize>, peer: &Peer) -> ProxyResult {
    let bytes = answer.and_then(|answer| serde_json::to_vec(&answer).ok());
    bytes.map(Bytes::from).ok_or_else(|| ProxyError::Nonsense(peer.name.clone()))
}

/// How long an answer is good for. Pages ask again every few seconds.
const HOLDS: Duration = Duration::from_secs(3);
/// Answers that are kept. What is larger than [`LARGEST`] is not, so that all of them have 64 MB at the most.
const MOST: usize = 512;
/// Bytes of an answer that is kept.
const LARGEST: usize = 128 << 10;

/// What a question led to. That it failed is kept as well: whoever waited meanwhile would otherwise ask again, one after the other.
type ProxyResult = Result<Bytes, ProxyError>;

#[derive(Debug, Default)]
struct ProxyAnswer(Option<(Instant, ProxyResult)>);

impl ProxyAnswer {
    /// The answer, if it is still good.
    fn fresh(&self) -> Option<ProxyResult> {
        self.0.as_ref().filter(|(since, _)| since.elapsed() < HOLDS).map(|(_, said)| said.clone())
    }

    fn put(&mut self, said: ProxyResult) {
        let is_small = said.as_ref().map_or(true, |bytes| bytes.len() <= LARGEST);
        self.0 = is_small.then(|| (Instant::now(), said));
    }
}

#[derive(Debug, Default)]
struct AnswerCache(Mutex<HashMap<String, Arc<AsyncMutex<ProxyAnswer>>>>);

impl AnswerCache {
    fn slot(&self, key: &str) -> Arc<AsyncMutex<ProxyAnswer>> {
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
