//! Which files of an hour no other node has: asked before the last copy of anything is deleted.
//!
//! A peer has what its plain listing names; one that does not answer has nothing. What a peer says is believed: it is the operator
//! who chose it. Nothing is deleted or fetched here.

use std::collections::{BTreeSet, HashSet};

use tokio::sync::watch;

use crate::domain::HourPlace;
use crate::peer::{Peer, PeerClient};

/// Asks the peers of a list that may change what they have.
#[derive(Debug)]
pub struct Copies {
    client: PeerClient,
    peers: watch::Receiver<Vec<Peer>>,
    /// Those that did not answer: not asked again in the same pass, so that a dead one costs its patience once.
    silent: BTreeSet<String>,
}

impl Copies {
    /// Asks these peers by this client. For one pass: make another for the next.
    pub fn new(client: PeerClient, peers: watch::Receiver<Vec<Peer>>) -> Self {
        Self { client, peers, silent: BTreeSet::new() }
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
            if self.silent.contains(&peer.name) {
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
