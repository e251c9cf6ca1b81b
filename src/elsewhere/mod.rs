//! What other nodes say about their coverage, for whoever looks at this node: this node asks them, so that a browser need not reach them.
//!
//! 1. Only nodes of the list are asked, by the name that they have there, and only for timelines and holes.
//! 2. What they answer is read into our own shape and bounded before it is passed on: a peer is trusted with nothing.
//! 3. The same question is asked once in three seconds however many look, and only so many at a time.
//!
//! Nothing is fetched into the archive here, and nothing that is answered changes what backfill does.

mod kept;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, watch};

use crate::domain::Stream;
use crate::peer::{Limits, Peer, PeerClient, PeerError};
use crate::tls::ClientConfig;
use crate::tokens::Token;
use crate::wire::{HoleList, Run, Timeline};
use kept::Kept;

/// Questions to other nodes at the same time: a page with ten rows and three peers asks thirty.
const AT_ONCE: usize = 32;
/// How long a question waits for its turn.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of an answer: 4,096 runs of a timeline have 80 kB, a page of 10,000 holes 1.2 MB.
const ANSWER_BYTES: usize = 2 << 20;

/// Why a node could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ElsewhereError {
    /// There is none of that name.
    #[error("no peer of that name")]
    Unknown,
    /// It does not have such an address.
    #[error("the peer {0} cannot say: it answers only the fixed part of the protocol, or is an older version")]
    FixedPart(String),
    /// It wants a token.
    #[error("the peer {0} wants a token, and does not take the one that this node shows")]
    Token(String),
    /// It is away, or answered something else.
    #[error("the peer {0} did not say: {1}")]
    Peer(String, PeerError),
    /// Its answer is not about what it was asked.
    #[error("the peer {0} answered something else than what it was asked")]
    Nonsense(String),
    /// Too many questions wait.
    #[error("too many questions to other nodes are waiting")]
    Busy,
}

/// What is asked of another node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Question {
    /// Shares of the pixels of a window.
    Timeline,
    /// Holes in a window.
    Holes,
}

/// Asks other nodes.
pub struct Elsewhere {
    client: PeerClient,
    list: watch::Receiver<Vec<Peer>>,
    turns: Semaphore,
    kept: Kept,
}

impl Elsewhere {
    /// Asks the nodes of a list that may change.
    pub fn new(list: watch::Receiver<Vec<Peer>>, tls: &ClientConfig, token: Option<&Token>) -> Result<Self, PeerError> {
        // Somebody is looking at a page: what does not come soon is of no use.
        let limits = Limits {
            connect: Duration::from_secs(3),
            silence: Duration::from_secs(6),
            listing_time: Duration::from_secs(8),
            listing_bytes: ANSWER_BYTES,
            ..Limits::default()
        };
        let client = PeerClient::with_token(limits, tls, token)?;
        Ok(Self { client, list, turns: Semaphore::new(AT_ONCE), kept: Kept::default() })
    }

    /// What the node of this name says about a quality, as JSON. `query` is passed on as it is: the node checks it.
    pub async fn ask(
        self: &Arc<Self>,
        name: &str,
        question: Question,
        stream: &Stream,
        query: &[(String, String)],
    ) -> Result<Bytes, ElsewhereError> {
        let peer = self.list.borrow().iter().find(|peer| peer.name == name).cloned().ok_or(ElsewhereError::Unknown)?;
        let key = format!("{name}\n{question:?}\n{stream}\n{query:?}");
        let slot = self.kept.slot(&key);
        // Whoever asks the same meanwhile waits for the same answer.
        let mut answer = slot.lock().await;
        if let Some(known) = answer.fresh() {
            return Ok(known);
        }
        let turn = tokio::time::timeout(PATIENCE, self.turns.acquire()).await;
        let Ok(Ok(_turn)) = turn else { return Err(ElsewhereError::Busy) };
        let bytes = match question {
            Question::Timeline => self.timeline(&peer, stream, query).await?,
            Question::Holes => self.holes(&peer, stream, query).await?,
        };
        answer.put(bytes.clone());
        Ok(bytes)
    }

    async fn timeline(
        &self,
        peer: &Peer,
        stream: &Stream,
        query: &[(String, String)],
    ) -> Result<Bytes, ElsewhereError> {
        let found: Timeline = self.get(peer, "timeline", stream, query).await?;
        let drawn: u64 = found.runs.iter().map(|Run(pixels, ..)| u64::from(*pixels)).sum();
        let is_whole = drawn == found.pixels
            && found.runs.iter().all(|Run(pixels, missing, partial)| {
                *pixels > 0 && (-1..=1000).contains(missing) && (0..=1000).contains(partial)
            });
        if !is_whole
            || (found.channel.as_str(), found.quality.as_str()) != (stream.channel.as_str(), stream.quality.as_str())
        {
            return Err(ElsewhereError::Nonsense(peer.name.clone()));
        }
        encoded(&found, peer)
    }

    async fn holes(&self, peer: &Peer, stream: &Stream, query: &[(String, String)]) -> Result<Bytes, ElsewhereError> {
        let found: HoleList = self.get(peer, "holes", stream, query).await?;
        encoded(&found, peer)
    }

    async fn get<T: DeserializeOwned>(
        &self,
        peer: &Peer,
        what: &str,
        stream: &Stream,
        query: &[(String, String)],
    ) -> Result<T, ElsewhereError> {
        let path = ["api", "v1", what, stream.channel.as_str(), stream.quality.as_str()];
        let query: Vec<(&str, &str)> = query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let name = || peer.name.clone();
        self.client.get_json(peer, &path, &query, ANSWER_BYTES).await.map_err(|error| {
            match error.status().map(|status| status.as_u16()) {
                Some(404 | 405 | 501) => ElsewhereError::FixedPart(name()),
                Some(401 | 403) => ElsewhereError::Token(name()),
                _ => ElsewhereError::Peer(name(), error),
            }
        })
    }
}

fn encoded(answer: &impl serde::Serialize, peer: &Peer) -> Result<Bytes, ElsewhereError> {
    serde_json::to_vec(answer).map(Bytes::from).map_err(|_| ElsewhereError::Nonsense(peer.name.clone()))
}
