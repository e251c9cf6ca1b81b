//! Which files of an hour no other node has: asked before the last copy of anything is deleted.
//!
//! A peer has what its plain listing names; one that does not answer has nothing. What a peer says is believed: it is the operator
//! who chose it. Nothing is deleted or fetched here.

use std::collections::{BTreeSet, HashSet};

use tokio::sync::watch;

use crate::domain::HourPlace;
use crate::peer::{Peer, PeerClient, PeerError};
use crate::wire::{QualityDigests, TombstonePage};

/// Bytes of an answer.
const ANSWER_BYTES: usize = 8 << 20;
/// Pages of an answer: with more, a peer would keep us asking.
const PAGES: usize = 64;

/// Asks the peers of a list that may change what they have.
#[derive(Debug)]
pub struct Copies {
    client: PeerClient,
    peers: watch::Receiver<Vec<Peer>>,
    /// By this number a peer that is this node itself is recognised: what only it has, nobody else has.
    instance: u64,
    /// Those that were asked whether they are somebody else, and are.
    others: BTreeSet<String>,
    /// Those that did not answer, or are this node: not asked again in the same pass, so that a dead one costs its patience once.
    silent: BTreeSet<String>,
}

impl Copies {
    /// Asks these peers by this client. For one pass: make another for the next.
    pub fn new(client: PeerClient, peers: watch::Receiver<Vec<Peer>>, instance: u64) -> Self {
        Self { client, peers, instance, others: BTreeSet::new(), silent: BTreeSet::new() }
    }

    /// Those of the hidden files that no peer has the bytes of. A peer does not list what is hidden: it is asked what its
    /// tombstones hide, which only one of our kind can tell.
    pub async fn hidden_and_held_by_nobody(&mut self, place: &HourPlace, names: Vec<String>) -> Vec<String> {
        let mut missing = self.held_by_nobody(place, names).await;
        // Not in the head of the loop: the list would be locked until its end, and whoever has a new one would wait with the node.
        let peers = self.peers.borrow().clone();
        for peer in peers {
            if missing.is_empty() || self.silent.contains(&peer.name) {
                continue;
            }
            match self.hidden_at(&peer, place).await {
                Ok(held) => missing.retain(|name| !held.contains(name)),
                Err(error) => {
                    tracing::debug!(name: "hidden_not_asked", peer = peer.name, hour = %place, %error, "a peer did not say what it hides");
                }
            }
        }
        missing
    }

    /// The hidden files of an hour whose bytes a peer still has.
    async fn hidden_at(&self, peer: &Peer, place: &HourPlace) -> Result<HashSet<String>, PeerError> {
        let (channel, quality) = (place.stream.channel.as_str(), place.stream.quality.as_str());
        let hour = place.hour.to_string();
        let (mut held, mut after) = (HashSet::new(), None::<String>);
        for _ in 0..PAGES {
            let mut query = vec![("channel", channel), ("quality", quality), ("hour", &hour)];
            query.extend(after.as_deref().map(|after| ("after", after)));
            let page: TombstonePage =
                self.client.get_json(peer, &["api", "v1", "tombstones"], &query, ANSWER_BYTES).await?;
            held.extend(page.tombstones.into_iter().filter_map(|tombstone| tombstone.hides));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        Ok(held)
    }

    /// Whether a peer is somebody else. One of the fixed part does not say, and can only be recognised by its address.
    async fn is_somebody_else(&mut self, peer: &Peer, place: &HourPlace) -> bool {
        if self.others.contains(&peer.name) {
            return true;
        }
        let (stream, path) = (place.stream.to_string(), ["api", "v1", "digests"]);
        let asked: Result<QualityDigests, _> =
            self.client.get_json(peer, &path, &[("quality", &stream)], ANSWER_BYTES).await;
        if asked.is_ok_and(|digests| digests.instance == Some(self.instance)) {
            self.silent.insert(peer.name.clone());
            return false;
        }
        self.others.insert(peer.name.clone());
        true
    }

    /// Those of the names that no peer has, in the order in which they were given. Peers are asked one after another until
    /// everything was found.
    pub async fn held_by_nobody(&mut self, place: &HourPlace, names: Vec<String>) -> Vec<String> {
        let peers = self.peers.borrow().clone();
        let mut missing = names;
        for peer in peers {
            if missing.is_empty() {
                break;
            }
            if self.silent.contains(&peer.name) || !self.is_somebody_else(&peer, place).await {
                continue;
            }
            let stream = &place.stream;
            match self.client.segments(&peer, &stream.channel, &stream.quality, place.hour).await {
                Ok(listing) => {
                    let held: HashSet<&str> = listing.names.iter().map(|name| &**name).collect();
                    missing.retain(|name| !held.contains(name.as_str()));
                }
                Err(error) if error.status().is_some_and(|status| status.as_u16() == 404) => {}
                Err(error) => {
                    tracing::warn!(name: "copies_not_asked", peer = peer.name, hour = %place, %error, "a peer did not say what it has; it counts as having nothing");
                    self.silent.insert(peer.name.clone());
                }
            }
        }
        missing
    }
}

#[cfg(test)]
mod tests;
