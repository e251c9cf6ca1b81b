//! Why a hole is open, by what is known of peers, tombstones, retention and the disk.

use super::{Known, Open, Reason};
use crate::domain::coverage::Stretch;
use crate::domain::time::Timestamp;

/// Peers that are named in an entry: more than anybody asks.
pub const MOST_PEERS: usize = 32;
/// Bytes of a peer's name that are kept.
pub const NAME_BYTES: usize = 200;

/// What a peer offers of a hole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Offer {
    /// It is being fetched, or waits for its turn or until it is old enough.
    Coming,
    /// It was not fetched when that was tried.
    Failed,
}

/// What is known of a peer with regard to a hole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerFacts {
    /// Its name.
    pub name: String,
    /// When the last comparison with it began that came to its end.
    pub heard: Option<Timestamp>,
    /// What it has in the hole that is not here.
    pub offer: Option<Offer>,
}

/// What is known with regard to a hole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Of each peer.
    pub peers: Vec<PeerFacts>,
    /// Backfill is configured not to fetch its hours: no peer is asked.
    pub unwanted: bool,
    /// Segments in it that tombstones hide.
    pub tombstones: u64,
    /// The first of its hours that retention took.
    pub retired: Option<crate::domain::Hour>,
    /// When the disk was away, as far as that lies in the hole.
    pub away: Option<Stretch>,
}

/// Why a hole is open; what was known before holds on where those that it was learnt from were not asked since.
pub fn why(open: &Open, facts: &Facts, now: Timestamp) -> Known {
    let with = |offer: Offer| names(facts.peers.iter().filter(move |peer| peer.offer.as_ref() == Some(&offer)));
    let known =
        |reason, peers: Vec<String>, detail: String| Known { reason, unfillable: false, since: now, peers, detail };
    let (coming, failed) = (with(Offer::Coming), with(Offer::Failed));
    let fresh = if !coming.is_empty() {
        let detail = format!("{} it; it is being fetched, or waits for its turn", has(&coming));
        known(Reason::Fetching, coming, detail)
    } else if !failed.is_empty() {
        let detail = format!(
            "{} it, but it could not be fetched; it is tried again, and `gapless status` says what is wrong",
            has(&failed)
        );
        known(Reason::PeerHas, failed, detail)
    } else if facts.tombstones > 0 {
        let what = if facts.tombstones == 1 { "a tombstone hides a segment" } else { "tombstones hide segments" };
        known(Reason::Tombstoned, Vec::new(), format!("{what} in it ({})", facts.tombstones))
    } else if let Some(hour) = facts.retired {
        known(Reason::Retention, Vec::new(), format!("retention took {hour}; `gapless retention` lists what it took"))
    } else {
        asked(open, facts, now)
    };
    let fresh = match &open.known {
        Some(before) if fresh.reason == Reason::NotAsked => held(before, &fresh).unwrap_or(fresh),
        _ => fresh,
    };
    match &open.known {
        Some(before) if (Known { since: before.since, ..fresh.clone() }) == *before => before.clone(),
        _ => fresh,
    }
}

/// Nobody offers anything: because nobody has it, or because not all were asked.
fn asked(open: &Open, facts: &Facts, now: Timestamp) -> Known {
    let is_silent = |peer: &&PeerFacts| peer.heard.is_none_or(|heard| heard < open.grown);
    let silent = names(facts.peers.iter().filter(is_silent));
    let away = facts.away.map(|away| format!("the disk was away from {} to {}", away.start, away.end));
    let or_away = |reason| if away.is_some() { Reason::DiskAway } else { reason };
    let sentence = |rest: String| match &away {
        Some(away) => format!("{away}; {rest}"),
        None => rest,
    };
    let known = |reason, unfillable, peers, detail| Known { reason, unfillable, since: now, peers, detail };
    if facts.unwanted {
        let rest = "backfill is configured not to fetch this, so that no peer is asked for it".to_owned();
        known(or_away(Reason::NotAsked), false, Vec::new(), sentence(rest))
    } else if !silent.is_empty() {
        let rest = format!("not asked since it was first seen, or since it grew: {}", silent.join(", "));
        known(or_away(Reason::NotAsked), false, silent, sentence(rest))
    } else {
        let all = names(facts.peers.iter());
        let rest = if all.is_empty() {
            "there is no peer to ask for it".to_owned()
        } else {
            format!("asked, and without a segment in it: {}", all.join(", "))
        };
        known(or_away(Reason::NobodyHas), true, all, sentence(rest))
    }
}

/// What was known before, if nobody that it was learnt from has been asked since, and nobody else is left to ask.
fn held(before: &Known, fresh: &Known) -> Option<Known> {
    let holds = match before.reason {
        Reason::PeerHas | Reason::Fetching => before.peers.iter().any(|name| fresh.peers.contains(name)),
        Reason::NobodyHas => before.unfillable && fresh.peers.iter().all(|name| before.peers.contains(name)),
        _ => false,
    };
    (holds && !fresh.peers.is_empty()).then(|| before.clone())
}

fn names<'a>(peers: impl Iterator<Item = &'a PeerFacts>) -> Vec<String> {
    peers.take(MOST_PEERS).map(|peer| shortened(&peer.name, NAME_BYTES).to_owned()).collect()
}

/// As much of a text as fits into so many bytes.
pub fn shortened(text: &str, most: usize) -> &str {
    let cut = (0..=most.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.get(..cut).unwrap_or_default()
}

fn has(names: &[String]) -> String {
    format!("{} {}", names.join(", "), if names.len() == 1 { "has segments in" } else { "have segments in" })
}
