//! Which files of an hour no other node has: asked before the last copy of anything is deleted.
//!
//! A peer has what its plain listing names; one that does not answer has nothing. What a peer says is believed: it is the operator
//! who chose it. Nothing is deleted or fetched here.
//!
//! Nodes that ask each other at the same moment must not all rely on another that relies on them: of those that hold something the
//! one of the highest [`rank`] keeps it.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use reqwest::StatusCode;
use tokio::sync::watch;
use xxhash_rust::xxh3::xxh3_64;

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
    /// Those that were asked whether they are somebody else, and are; with their number, if they have one.
    others: BTreeMap<String, Option<u64>>,
    /// Those that did not answer, or are this node: not asked again in the same pass, so that a dead one costs its patience once.
    silent: BTreeSet<String>,
}

impl Copies {
    /// Asks these peers by this client. For one pass: make another for the next.
    pub fn new(client: PeerClient, peers: watch::Receiver<Vec<Peer>>, instance: u64) -> Self {
        Self { client, peers, instance, others: BTreeMap::new(), silent: BTreeSet::new() }
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

    /// Whether a peer is somebody else, and if so its number; one of the fixed part has none. Who cannot say now may be this node
    /// itself under another name, and counts as having nothing.
    async fn somebody_else(&mut self, peer: &Peer, place: &HourPlace) -> Option<Option<u64>> {
        if let Some(instance) = self.others.get(&peer.name) {
            return Some(*instance);
        }
        let (stream, path) = (place.stream.to_string(), ["api", "v1", "digests"]);
        let asked: Result<QualityDigests, _> =
            self.client.get_json(peer, &path, &[("quality", &stream)], ANSWER_BYTES).await;
        let instance = match asked {
            Ok(digests) if digests.instance == Some(self.instance) => None,
            Ok(digests) => Some(digests.instance),
            Err(error) if speaks_only_the_fixed_part(&error) => Some(None),
            Err(error) => {
                tracing::warn!(name: "copies_not_asked", peer = peer.name, hour = %place, %error, "a peer did not say whether it is another node; it counts as having nothing");
                None
            }
        };
        match instance {
            Some(instance) => drop(self.others.insert(peer.name.clone(), instance)),
            None => drop(self.silent.insert(peer.name.clone())),
        }
        instance
    }

    /// Those of the names that no peer has, in the order in which they were given. Peers are asked one after another until
    /// everything was found.
    pub async fn held_by_nobody(&mut self, place: &HourPlace, names: Vec<String>) -> Vec<String> {
        self.not_held(place, names, |_| true).await
    }

    /// Those of the names that must stay here: no peer has them of which it is certain that it does not let them go because this
    /// node has them. Such a peer has a higher rank, or is of the fixed part, which knows no such guard.
    pub async fn left_to_us(&mut self, place: &HourPlace, names: Vec<String>) -> Vec<String> {
        let ours = rank(place, self.instance);
        self.not_held(place, names, |instance| instance.is_none_or(|theirs| rank(place, theirs) > ours)).await
    }

    async fn not_held(
        &mut self,
        place: &HourPlace,
        names: Vec<String>,
        counts: impl Fn(Option<u64>) -> bool,
    ) -> Vec<String> {
        let peers = self.peers.borrow().clone();
        let mut missing = names;
        for peer in peers {
            if missing.is_empty() {
                break;
            }
            if self.silent.contains(&peer.name) || !self.somebody_else(&peer, place).await.is_some_and(&counts) {
                continue;
            }
            let stream = &place.stream;
            match self.client.segments(&peer, &stream.channel, &stream.quality, place.hour).await {
                Ok(listing) => {
                    let held: HashSet<&str> = listing.names.iter().map(|name| &**name).collect();
                    missing.retain(|name| !held.contains(name.as_str()));
                }
                Err(error) if error.status() == Some(StatusCode::NOT_FOUND) => {}
                Err(error) => {
                    tracing::warn!(name: "copies_not_asked", peer = peer.name, hour = %place, %error, "a peer did not say what it has; it counts as having nothing");
                    self.silent.insert(peer.name.clone());
                }
            }
        }
        missing
    }
}

/// Who keeps an hour: the highest of those that hold it. Every node works it out alike, and another one comes out for each hour, so
/// that what is kept is spread over all.
pub(super) fn rank(place: &HourPlace, instance: u64) -> u64 {
    xxh3_64(format!("{place} {instance}").as_bytes())
}

/// A peer that answers, but not this. One that refuses or fails for the moment is another matter.
fn speaks_only_the_fixed_part(error: &PeerError) -> bool {
    match error.status() {
        Some(status) => {
            [StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED, StatusCode::NOT_IMPLEMENTED].contains(&status)
        }
        None => matches!(error, PeerError::Unexpected { .. }),
    }
}
