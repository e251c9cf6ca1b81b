//! Which peer has what: reported by backfill, hour by hour, and forgotten when a later comparison finds otherwise.
//!
//! In memory only, and bounded for each peer: what finds no room is left out, and the hole counts as not asked about.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::why::{HoleOffer, PeerFacts};
use crate::archive::coverage::Stretch;
use crate::archive::{Hour, HourPlace, Span, Stream, Timestamp};

/// Stretches that are known of a peer: what it offers of one hour at a time and what failed, some megabytes.
const MOST: usize = 50_000;

/// What is known of a stretch of an hour at a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OfferState {
    Coming,
    Failed,
    NotAsked,
}

#[derive(Debug, Default)]
struct PeerKnowledge {
    /// When the last comparison began that came to its end.
    compared_at: Option<Timestamp>,
    is_itself: bool,
    offers: BTreeMap<Stream, BTreeMap<Hour, HourOffers>>,
    count: usize,
}

#[derive(Debug)]
struct HourOffers {
    /// When it was last reported.
    reported_at: Timestamp,
    states: BTreeMap<Stretch, OfferState>,
}

#[derive(Debug, Default)]
pub struct Knowledge {
    peers: Mutex<BTreeMap<String, PeerKnowledge>>,
    version: AtomicU64,
}

impl Knowledge {
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::SeqCst)
    }

    pub fn set_peers(&self, names: impl IntoIterator<Item = String>) {
        let mut peers = self.peers.lock();
        let mut known = std::mem::take(&mut *peers);
        *peers = names.into_iter().map(|name| (name.clone(), known.remove(&name).unwrap_or_default())).collect();
    }

    /// Whether these are the peers that were reported.
    pub fn is_about(&self, names: &BTreeSet<String>) -> bool {
        self.peers.lock().keys().eq(names)
    }

    /// This peer is another one by now, with the same name.
    pub fn forget(&self, peer: &str) {
        self.peers.lock().remove(peer);
    }

    /// A peer turned out to be this node: nothing is asked of it.
    pub fn is_itself(&self, peer: &str) {
        self.change(peer, |known| known.is_itself = true);
    }

    /// A comparison with a peer that began then came to its end: what was not reported since is settled.
    pub fn compared(&self, peer: &str, began: Timestamp) {
        self.change(peer, |known| {
            (known.compared_at, known.is_itself) = (Some(began), false);
            for hours in known.offers.values_mut() {
                hours.retain(|_, offers| offers.reported_at >= began);
            }
            known.offers.retain(|_, hours| !hours.is_empty());
            known.count = known.offers.values().flat_map(BTreeMap::values).map(|offers| offers.states.len()).sum();
        });
    }

    pub fn not_asked(&self, peer: &str, place: &HourPlace, now: Timestamp) {
        self.change(peer, |known| known.put(place, now, false, [(Stretch::of(place.hour), OfferState::NotAsked)]));
    }

    /// A peer has these segments of an hour, which are missing here, and they are about to be fetched, or wait; with `all`, no others.
    pub fn coming(&self, peer: &str, place: &HourPlace, now: Timestamp, all: bool, segments: &[Stretch]) {
        self.change(peer, |known| known.put(place, now, all, segments.iter().map(|each| (*each, OfferState::Coming))));
    }

    /// Of what a peer offered these were asked for; those in `failed` did not come.
    pub fn asked_for(&self, peer: &str, place: &HourPlace, now: Timestamp, asked: &[Stretch], failed: &[Stretch]) {
        if asked.is_empty() && failed.is_empty() {
            return;
        }
        self.change(peer, |known| {
            known.put(place, now, false, []);
            known.take(place, asked);
            known.put(place, now, false, failed.iter().map(|each| (*each, OfferState::Failed)));
        });
    }

    /// What is known of each peer with regard to a hole.
    pub fn facts(&self, stream: &Stream, hole: Stretch) -> Vec<PeerFacts> {
        let peers = self.peers.lock();
        let asked = peers.iter().filter(|(_, known)| !known.is_itself);
        asked
            .map(|(name, known)| {
                let (mut offer, mut is_heard) = (None, true);
                for state in known.within(stream, hole) {
                    match state {
                        OfferState::Coming => offer = Some(HoleOffer::Coming),
                        OfferState::Failed => offer = offer.or(Some(HoleOffer::Failed)),
                        OfferState::NotAsked => is_heard = false,
                    }
                }
                PeerFacts { name: name.clone(), heard: known.compared_at.filter(|_| is_heard), offer }
            })
            .collect()
    }

    fn change(&self, peer: &str, change: impl FnOnce(&mut PeerKnowledge)) {
        // One that is in no list any more is not taken in again.
        if let Some(known) = self.peers.lock().get_mut(peer) {
            change(known);
            self.version.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl PeerKnowledge {
    fn put(
        &mut self,
        place: &HourPlace,
        now: Timestamp,
        all: bool,
        states: impl IntoIterator<Item = (Stretch, OfferState)>,
    ) {
        let hours = self.offers.entry(place.stream.clone()).or_default();
        let offers =
            hours.entry(place.hour).or_insert_with(|| HourOffers { reported_at: now, states: BTreeMap::new() });
        offers.reported_at = now;
        if all {
            self.count = self.count.saturating_sub(offers.states.len());
            offers.states.clear();
        }
        for (segment, state) in states {
            if self.count >= MOST {
                // What is offered is not known in full.
                offers.states.insert(Stretch::of(place.hour), OfferState::NotAsked);
                break;
            }
            self.count += usize::from(offers.states.insert(segment, state).is_none());
        }
    }

    fn take(&mut self, place: &HourPlace, segments: &[Stretch]) {
        let Some(hours) = self.offers.get_mut(&place.stream) else { return };
        let Some(offers) = hours.get_mut(&place.hour) else { return };
        for segment in segments {
            self.count = self.count.saturating_sub(usize::from(offers.states.remove(segment).is_some()));
        }
        if offers.states.is_empty() {
            hours.remove(&place.hour);
        }
    }

    /// The states of what lies in a hole, if only in part: a segment of the hour before may reach into it.
    fn within(&self, stream: &Stream, hole: Stretch) -> impl Iterator<Item = OfferState> {
        let last = (hole.end - Span::from_us(1)).hour();
        let first = hole.start.hour().previous().min(last);
        let hours = self.offers.get(stream).into_iter().flat_map(move |hours| hours.range(first..=last));
        let states = hours.flat_map(|(_, offers)| &offers.states);
        states.filter(move |(segment, _)| segment.cut(hole).is_some()).map(|(_, state)| *state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(hour: &str) -> HourPlace {
        HourPlace::parse(&format!("a/b/2020-01-01T{hour}")).unwrap()
    }

    fn at(second: i64) -> Timestamp {
        place("05").hour.start() + Span::from_us(second * 1_000_000)
    }

    fn stretch(start: i64, end: i64) -> Stretch {
        Stretch { start: at(start), end: at(end) }
    }

    fn knowing(peers: &[&str]) -> Knowledge {
        let knowledge = Knowledge::default();
        knowledge.set_peers(peers.iter().map(|&name| name.to_owned()));
        knowledge
    }

    fn of(knowledge: &Knowledge, hole: Stretch) -> (Option<Timestamp>, Option<HoleOffer>) {
        let facts = knowledge.facts(&place("05").stream, hole).remove(0);
        (facts.heard, facts.offer)
    }

    #[test]
    fn an_offer_is_coming_then_failed_or_gone_and_settled_by_the_next_comparison() {
        let knowledge = knowing(&["b"]);
        let hole = stretch(0, 10);
        assert_eq!(of(&knowledge, hole), (None, None));
        knowledge.coming("b", &place("05"), at(100), true, &[stretch(2, 4), stretch(4, 6)]);
        assert_eq!(of(&knowledge, hole), (None, Some(HoleOffer::Coming)));
        assert_eq!(of(&knowledge, stretch(6, 10)), (None, None));
        knowledge.asked_for("b", &place("05"), at(101), &[stretch(2, 4), stretch(4, 6)], &[stretch(4, 6)]);
        assert_eq!(of(&knowledge, hole).1, Some(HoleOffer::Failed));
        assert_eq!(of(&knowledge, stretch(0, 4)).1, None);
        knowledge.compared("b", at(99));
        assert_eq!(of(&knowledge, hole), (Some(at(99)), Some(HoleOffer::Failed)), "it was told since");
        knowledge.compared("b", at(102));
        assert_eq!(of(&knowledge, hole), (Some(at(102)), None));
    }

    #[test]
    fn an_hour_that_could_not_be_asked_about_is_not_heard_of_and_reaches_into_the_next() {
        let knowledge = knowing(&["b"]);
        knowledge.not_asked("b", &place("05"), at(50));
        knowledge.compared("b", at(40));
        assert_eq!(of(&knowledge, stretch(3_590, 3_610)).0, None);
        assert_eq!(of(&knowledge, stretch(3_600, 3_610)).0, Some(at(40)));
        knowledge.asked_for("b", &place("05"), at(50), &[stretch(3_590, 3_592)], &[stretch(3_590, 3_592)]);
        knowledge.not_asked("b", &place("05"), at(50));
        assert_eq!(
            of(&knowledge, stretch(3_590, 3_610)),
            (None, Some(HoleOffer::Failed)),
            "what it has is known all the same"
        );
        knowledge.coming("b", &place("05"), at(51), true, &[stretch(3_599, 3_602)]);
        assert_eq!(of(&knowledge, stretch(3_600, 3_610)), (Some(at(40)), Some(HoleOffer::Coming)));
    }

    #[test]
    fn only_peers_of_the_list_are_known_and_this_node_is_none() {
        let knowledge = knowing(&["b", "c"]);
        knowledge.is_itself("c");
        knowledge.compared("d", at(1));
        let names = |of: &Knowledge| {
            let facts = of.facts(&place("05").stream, stretch(0, 1));
            facts.into_iter().map(|peer| peer.name).collect::<Vec<_>>()
        };
        assert_eq!(names(&knowledge), ["b"]);
        knowledge.set_peers(["e".to_owned()]);
        assert_eq!(names(&knowledge), ["e"]);
    }

    #[test]
    fn there_is_a_bound_and_what_is_beyond_is_not_heard_of() {
        let knowledge = knowing(&["b"]);
        let many: Vec<Stretch> =
            (0..i64::try_from(MOST).unwrap() + 5).map(|second| stretch(second, second + 1)).collect();
        knowledge.compared("b", at(1));
        knowledge.coming("b", &place("05"), at(2), true, &many);
        assert_eq!(knowledge.peers.lock()["b"].count, MOST);
        knowledge.coming("b", &place("06"), at(3), true, &[stretch(3_700, 3_702)]);
        assert_eq!(of(&knowledge, stretch(7_000_000, 7_000_002)).0, Some(at(1)));
        assert_eq!(of(&knowledge, stretch(3_700, 3_702)), (None, Some(HoleOffer::Coming)));
        knowledge.compared("b", at(4));
        assert_eq!(knowledge.peers.lock()["b"].count, 0);
    }
}
