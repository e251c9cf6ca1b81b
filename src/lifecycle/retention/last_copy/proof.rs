//! Whether a peer's list proves another copy: a probe distinguishes its disk from this one, and whole files are fetched and
//! hashed, as many as the budget of a pass allows. None of them is stored.

use std::collections::HashMap;

use rand::seq::IteratorRandom as _;

use super::super::probe::{Probed, probe};
use super::Copies;
use crate::archive::HourPlace;
use crate::archive::guards::Guard;
use crate::replicate::peer::{Peer, ProbeAnswer};
use crate::replicate::remote::CopyWorth;

/// Files of an hour that a peer is asked for, before its list counts.
const SAMPLED: usize = 4;

#[derive(Debug, Clone, Copy)]
pub(super) struct SampleBudget {
    pub(super) files: usize,
    bytes: u64,
}

impl SampleBudget {
    /// Of a pass: enough for 250 hours of one other copy.
    pub(super) const FULL: Self = Self { files: 1_000, bytes: 4 << 30 };

    pub(super) const fn is_used_up(self) -> bool {
        self.files == 0 || self.bytes == 0
    }
}

/// What a remote says that it holds.
pub(in crate::lifecycle::retention) struct HolderClaim {
    pub(super) worth: CopyWorth,
    /// Whom a probe and a sample can be asked of.
    pub(super) peer: Option<Peer>,
    /// What it has of the names that were asked about, and the name under which it has each.
    pub(in crate::lifecycle::retention) names: HashMap<String, String>,
}

impl Copies {
    /// Those of the names that no claim is about which holds when it is looked into. Claims are looked into one after another until
    /// everything was found.
    pub(in crate::lifecycle::retention) async fn unproven_of(
        &mut self,
        place: &HourPlace,
        names: Vec<String>,
        claims: Vec<HolderClaim>,
    ) -> Vec<String> {
        let mut missing = names;
        for HolderClaim { worth, peer, names: listed } in claims {
            let wanted: Vec<&String> = missing.iter().filter_map(|name| listed.get(name)).collect();
            let holds = match (worth, &peer) {
                _ if wanted.is_empty() => false,
                (CopyWorth::ReadBack, _) => true,
                (CopyWorth::OnceProven, Some(peer)) => self.holds(peer, place, &wanted).await,
                // Nobody can be looked into.
                (CopyWorth::OnceProven, None) | (CopyWorth::Nothing, _) => false,
            };
            if holds {
                missing.retain(|name| !listed.contains_key(name));
            }
        }
        missing
    }

    /// Whether what a peer lists is there, and on another disk, as far as can be found out.
    async fn holds(&mut self, peer: &Peer, place: &HourPlace, wanted: &[&String]) -> bool {
        if !self.asking.keeper.guards().stands(Guard::LastCopy) {
            return true;
        }
        if !self.is_another_disk(peer, place).await {
            // Neither is what else it shows of this quality worth asking for.
            self.standings.insert((peer.url.clone(), place.stream.clone()), None);
            return false;
        }
        self.gives_what_it_lists(peer, place, wanted).await
    }

    /// Whether what a peer shows lies on another disk. One that names another archive may still serve a directory of this one: a mount
    /// within its own, or a proxy that asks two servers.
    async fn is_another_disk(&mut self, peer: &Peer, place: &HourPlace) -> bool {
        match probe(&self.asking.keeper, &self.asking.client, peer, place).await {
            Probed::AnotherDisk => return true,
            Probed::ThisDisk => {
                tracing::error!(name: "copy_is_this_disk", peer = peer.name, hour = %place, "a peer serves this same directory; it does not count as a copy");
                let stream = &place.stream;
                self.not_proven(
                    peer,
                    format!("it serves this very directory of {stream}: a file written here was seen through it"),
                );
            }
            Probed::Unknown(why) => {
                self.not_proven(peer, format!("it is not known whether it serves this very directory: {why}"));
            }
        }
        false
    }

    /// Whether a peer has the bytes of what it lists, as far as some of the files show: a list may come from a cache, from a server
    /// whose disk is away, or from one that lies.
    async fn gives_what_it_lists(&mut self, peer: &Peer, place: &HourPlace, wanted: &[&String]) -> bool {
        let sample = wanted.iter().sample(&mut rand::rng(), SAMPLED);
        for name in sample {
            if self.budget.is_used_up() {
                let why = "one run looks into no more files; the next one goes on";
                self.not_proven(peer, why.to_owned());
                return false;
            }
            self.budget.files -= 1;
            let given = self.asking.client.gives_segment(peer, place, name, self.budget.bytes).await;
            let why = match given {
                Ok(ProbeAnswer::Right(bytes)) => {
                    self.budget.bytes = self.budget.bytes.saturating_sub(bytes);
                    continue;
                }
                Ok(ProbeAnswer::Nothing) => "answers that there is no such file".to_owned(),
                Ok(ProbeAnswer::Wrong(bytes)) => {
                    self.budget.bytes = self.budget.bytes.saturating_sub(bytes);
                    self.silent.insert(peer.url.clone());
                    tracing::error!(name: "copy_is_false", peer = peer.name, hour = %place, file = %name, "a peer sends content that does not match the hash in the name; it does not count as a copy");
                    "sends content that does not match the hash in the name; nothing that it has counts in this run"
                        .to_owned()
                }
                Err(error) => {
                    self.silent.insert(peer.url.clone());
                    error.to_string()
                }
            };
            self.not_proven(peer, format!("it lists {place}/{name}, and when asked for it: {why}"));
            return false;
        }
        true
    }
}
