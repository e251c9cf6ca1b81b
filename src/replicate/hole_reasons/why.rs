//! Why a hole is open, by what is known of peers, tombstones, retention and the disk.
//!
//! A peer that has it comes first, because that is what can be done about it. What tombstones hide, retention does not keep, was damaged
//! here, or the disk or the recorder missed is the reason where it makes up at least half of the hole; less of it is mentioned.

use std::collections::BTreeMap;

use crate::archive::coverage::Stretch;
use crate::archive::hole_reasons::{
    DETAIL_BYTES, HoleKnowledge, HoleReason, MOST_PEERS, MissedRecording, NAME_BYTES, OpenHole, shortened,
};
use crate::archive::time::{Span, Timestamp};

/// Of what the recorder missed of a hole, so many are told.
const MOST_TOLD: usize = 4;

/// What a peer offers of a hole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HoleOffer {
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
    pub offer: Option<HoleOffer>,
}

/// What is known with regard to a hole; stretches are cut to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HoleFacts {
    /// Of each peer.
    pub peers: Vec<PeerFacts>,
    /// Backfill does not fetch its hours, because it is configured so, others own them by the layout, or they lie in the future: no peer is asked.
    pub unwanted: bool,
    /// What tombstones hide.
    pub tombstones: Vec<Stretch>,
    /// The hours that retention does not keep.
    pub retired: Vec<Stretch>,
    /// When the disk was away.
    pub away: Vec<Stretch>,
    /// What the recorder here did not get.
    pub missed: Vec<MissedRecording>,
    /// What was here, was damaged, and lies in the quarantine.
    pub damaged: Vec<Stretch>,
    /// What objects of the bucket held that are lost.
    pub lost_objects: Vec<Stretch>,
}

/// Why a hole is open; what was known before holds on where those that it was learnt from were not asked since.
pub fn why(open: &OpenHole, facts: &HoleFacts, now: Timestamp) -> HoleKnowledge {
    let fresh = worked_out(open, facts, now);
    let fresh = match &open.known {
        Some(before) if fresh.reason == HoleReason::NotAsked || fresh.reason.is_of_this_node() => {
            held(before, &fresh).unwrap_or(fresh)
        }
        _ => fresh,
    };
    match &open.known {
        Some(before) if (HoleKnowledge { since: before.since, ..fresh.clone() }) == *before => before.clone(),
        _ => fresh,
    }
}

fn worked_out(open: &OpenHole, facts: &HoleFacts, now: Timestamp) -> HoleKnowledge {
    let with = |offer: HoleOffer| names(facts.peers.iter().filter(move |peer| peer.offer.as_ref() == Some(&offer)));
    let (coming, failed) = (with(HoleOffer::Coming), with(HoleOffer::Failed));
    let (buried, retired, away) = (total(&facts.tombstones), total(&facts.retired), total(&facts.away));
    let (damaged, lost_objects) = (total(&facts.damaged), total(&facts.lost_objects));
    let is_most = |of: Span| of.us() > 0 && of.us() >= open.hole.length().us() / 2;
    let is_silent = |peer: &&PeerFacts| peer.heard.is_none_or(|heard| heard < open.grown);
    let silent = names(facts.peers.iter().filter(is_silent));
    let are_all_asked = silent.is_empty();
    let all = names(facts.peers.iter());
    let said: Vec<&MissedRecording> =
        facts.missed.iter().filter(|each| !is_known_better(each, &facts.missed)).collect();
    let missed = missed_most(&said).filter(|(_, of)| is_most(*of));
    let or_missed = |reason| missed.map_or(reason, |(reason, _)| reason);
    let or_away = |reason| if is_most(away) { HoleReason::DiskAway } else { or_missed(reason) };
    let or_object = |reason| if is_most(lost_objects) { HoleReason::ObjectLost } else { or_away(reason) };
    let or_lost = |reason| if is_most(damaged) { HoleReason::Lost } else { or_object(reason) };
    let (reason, peers, sentence) = if !coming.is_empty() {
        let told = format!("{} it, which are being fetched or wait for their turn", has(&coming));
        (HoleReason::Fetching, coming, told)
    } else if !failed.is_empty() {
        let told = format!("{} it, which could not be fetched and are tried again: see `gapless status`", has(&failed));
        (HoleReason::PeerHas, failed, told)
    } else if is_most(buried) {
        (HoleReason::Tombstoned, Vec::new(), "it was deleted".to_owned())
    } else if is_most(retired) {
        (HoleReason::Retention, Vec::new(), "it is not kept: see `gapless retention list`".to_owned())
    } else if facts.unwanted {
        let told = "no peer is asked: other nodes own it by the layout, the settings of backfill exclude it, or it lies in the future".to_owned();
        (or_away(HoleReason::NotAsked), Vec::new(), told)
    } else if !silent.is_empty() {
        let told = format!("not asked about it yet: {}", silent.join(", "));
        (or_away(HoleReason::NotAsked), silent, told)
    } else if all.is_empty() {
        (or_lost(HoleReason::NobodyHas), all, "there is no peer to ask for it".to_owned())
    } else {
        let told = format!("asked, and have nothing in it: {}", all.join(", "));
        (or_lost(HoleReason::NobodyHas), all, told)
    };
    let unfillable = (is_nowhere(reason) || reason.is_of_this_node()) && !facts.unwanted && are_all_asked;
    let mut detail = sentence;
    for (what, of) in [("tombstones hide", buried), ("retention does not keep", retired)] {
        if of.us() > 0 {
            detail = format!("{detail}; {what} {} s of it", of.seconds());
        }
    }
    if damaged.us() > 0 {
        let told = "was damaged here and lies in the quarantine: see `gapless quarantine list`";
        detail = format!("{detail}; {} s of it {told}", damaged.seconds());
    }
    if lost_objects.us() > 0 {
        let told = "lay in an object of the bucket that is lost: see `gapless archive verify`";
        detail = format!("{detail}; {} s of it {told}", lost_objects.seconds());
    }
    if let Some(first) = facts.away.first() {
        let last = facts.away.iter().map(|absence| absence.end).max().unwrap_or(first.end);
        detail = format!("{detail}; between {} and {last} the disk was away for {} s", first.start, away.seconds());
    }
    let mut longest = said;
    longest.sort_by_key(|each| std::cmp::Reverse(each.missed.length()));
    for each in longest.into_iter().take(MOST_TOLD) {
        detail =
            format!("{detail}; {} s of it were not recorded here: {}", each.missed.length().seconds(), each.detail);
    }
    HoleKnowledge { reason, unfillable, since: now, peers, detail: shortened(&detail, DETAIL_BYTES).to_owned() }
}

/// Of what the recorder missed, the reason that makes up the most of a hole; of several that make up as much, the one that was said most exactly.
fn missed_most(missed: &[&MissedRecording]) -> Option<(HoleReason, Span)> {
    let mut by_reason: BTreeMap<HoleReason, Vec<Stretch>> = BTreeMap::new();
    for each in missed {
        by_reason.entry(each.reason).or_default().push(each.missed);
    }
    let most = by_reason.into_iter().map(|(reason, stretches)| (reason, total(&stretches)));
    most.max_by_key(|(reason, of)| (*of, is_exact(*reason)))
}

/// Whether it is said of what was missing when a recorder began, and another reason was known before.
fn is_known_better(each: &MissedRecording, all: &[MissedRecording]) -> bool {
    let knows = |other: &MissedRecording| {
        other.reason != each.reason && each.missed.cut(other.missed).is_some_and(|both| both == each.missed)
    };
    each.reason == HoleReason::NotRecording && all.iter().any(knows)
}

/// Whether it says that nothing has it, as far as is known.
const fn is_nowhere(reason: HoleReason) -> bool {
    matches!(reason, HoleReason::NobodyHas | HoleReason::Lost | HoleReason::ObjectLost)
}

/// Whether it is said of one segment each; the others are said of all that lies between two segments that came.
const fn is_exact(reason: HoleReason) -> bool {
    matches!(reason, HoleReason::SourceSkipped | HoleReason::NotReceived | HoleReason::DiskFull | HoleReason::Ad)
}

/// How much time stretches cover together.
fn total(stretches: &[Stretch]) -> Span {
    let mut sorted = stretches.to_vec();
    sorted.sort_unstable();
    let (mut us, mut reach) = (0, Timestamp::MIN);
    for stretch in sorted {
        us += (stretch.end.us() - stretch.start.max(reach).us()).max(0);
        reach = reach.max(stretch.end);
    }
    Span::from_us(us)
}

/// What was known before, if nobody that it was learnt from has been asked since, and nobody else is left to ask.
fn held(before: &HoleKnowledge, fresh: &HoleKnowledge) -> Option<HoleKnowledge> {
    let holds = match before.reason {
        HoleReason::PeerHas | HoleReason::Fetching => before.peers.iter().any(|name| fresh.peers.contains(name)),
        reason if is_nowhere(reason) || reason.is_of_this_node() => {
            before.unfillable && fresh.peers.iter().all(|name| before.peers.contains(name))
        }
        _ => false,
    };
    (holds && !fresh.unfillable && !fresh.peers.is_empty()).then(|| before.clone())
}

fn names<'a>(peers: impl Iterator<Item = &'a PeerFacts>) -> Vec<String> {
    peers.take(MOST_PEERS).map(|peer| shortened(&peer.name, NAME_BYTES).to_owned()).collect()
}

fn has(names: &[String]) -> String {
    format!("{} {}", names.join(", "), if names.len() == 1 { "has segments in" } else { "have segments in" })
}

#[cfg(test)]
mod tests;
