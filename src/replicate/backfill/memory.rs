//! What was compared with a peer before and left nothing to do, so that it need not be compared again.
//!
//! In memory only, and bounded for each peer, so that none makes us forget what we know of others: to forget costs one
//! comparison. What is wanted or kept may change while something is compared: what was begun in an earlier era settles nothing.

use std::collections::{BTreeSet, HashMap};

use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_64;

use crate::archive::placement::OwnedBy;
use crate::archive::{Day, HourPlace, Stream};
use crate::replicate::peer::ListRead;

/// Pairs that are remembered of a peer: thirteen qualities and a year of differing hours have 120,000.
const MOST_PAIRS: usize = 200_000;
/// Lists that are remembered of a peer without digests: as many hours.
const MOST_LISTS: usize = 200_000;

/// Hours of a quality that are compared together: all of them, or those that the same nodes own where both have the same layout.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct ComparedHours {
    pub(super) stream: Stream,
    pub(super) owned_by: Option<OwnedBy>,
}

impl ComparedHours {
    pub(super) fn whole(stream: Stream) -> Self {
        Self { stream, owned_by: None }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum ComparedSubject {
    Quality(ComparedHours),
    Day(ComparedHours, Day),
    Hour(HourPlace),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DigestPair(u64);

impl DigestPair {
    pub(super) fn of(ours: &str, theirs: &str) -> Self {
        Self(xxh3_64(format!("{ours} {theirs}").as_bytes()))
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct MemoryEpoch(u64);

#[derive(Debug, Default)]
pub(super) struct PeerMemory {
    compared: Mutex<(MemoryEpoch, HashMap<String, PeerComparisons>)>,
    /// The qualities of which each has listed hours: what it is does not depend on what is wanted.
    listed: Mutex<HashMap<String, BTreeSet<Stream>>>,
}

#[derive(Debug, Default)]
struct PeerComparisons {
    pairs: HashMap<ComparedSubject, DigestPair>,
    lists: HashMap<HourPlace, (String, ListRead)>,
}

/// Qualities that are remembered of a peer.
const MOST_STREAMS: usize = 10_000;

impl PeerMemory {
    pub(super) fn era(&self) -> MemoryEpoch {
        self.compared.lock().0
    }

    /// Whether these digests were compared before, and left nothing to do.
    pub(super) fn is_settled(&self, peer: &str, subject: &ComparedSubject, pair: DigestPair) -> bool {
        self.compared.lock().1.get(peer).is_some_and(|known| known.pairs.get(subject) == Some(&pair))
    }

    /// These digests were compared in that era, and there is nothing to do: neither now nor later.
    pub(super) fn settle(&self, era: MemoryEpoch, peer: &str, subject: ComparedSubject, pair: DigestPair) {
        self.change(era, peer, |known| {
            if known.pairs.len() >= MOST_PAIRS {
                known.pairs.clear();
            }
            known.pairs.insert(subject, pair);
        });
    }

    /// The list of a peer that left nothing to do when ours had this digest.
    pub(super) fn list(&self, peer: &str, place: &HourPlace, ours: &str) -> Option<ListRead> {
        let memory = self.compared.lock();
        let (digest, seen) = memory.1.get(peer)?.lists.get(place)?;
        (digest == ours).then(|| seen.clone())
    }

    /// This list was compared in that era and left nothing to do where ours has this digest.
    pub(super) fn settle_list(&self, era: MemoryEpoch, peer: &str, place: HourPlace, ours: String, seen: ListRead) {
        self.change(era, peer, |known| {
            if known.lists.len() >= MOST_LISTS {
                known.lists.clear();
            }
            known.lists.insert(place, (ours, seen));
        });
    }

    pub(super) fn lists(&self, peer: &str, stream: &Stream) {
        let mut listed = self.listed.lock();
        let of_peer = listed.entry(peer.to_owned()).or_default();
        if of_peer.len() < MOST_STREAMS && !of_peer.contains(stream) {
            of_peer.insert(stream.clone());
        }
    }

    /// Whether a peer has listed hours of such a quality.
    pub(super) fn has_listed(&self, peer: &str, is_it: impl Fn(&Stream) -> bool) -> bool {
        let listed = self.listed.lock();
        listed.get(peer).is_some_and(|of_peer| of_peer.iter().any(is_it))
    }

    pub(super) fn forget(&self, peer: &str) {
        self.compared.lock().1.remove(peer);
        self.listed.lock().remove(peer);
    }

    /// Forgets all: what is wanted or kept has changed.
    pub(super) fn clear(&self) {
        let mut memory = self.compared.lock();
        memory.0.0 += 1;
        memory.1.clear();
    }

    fn change(&self, era: MemoryEpoch, peer: &str, change: impl FnOnce(&mut PeerComparisons)) {
        let mut memory = self.compared.lock();
        if memory.0 == era {
            change(memory.1.entry(peer.to_owned()).or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quality() -> ComparedSubject {
        ComparedSubject::Quality(ComparedHours::whole(Stream::parse("a/b").unwrap()))
    }

    #[test]
    fn a_pair_is_remembered_for_its_peer_and_subject_alone() {
        let memory = PeerMemory::default();
        let (era, pair) = (memory.era(), DigestPair::of("1", "2"));
        memory.settle(era, "x", quality(), pair);
        assert!(memory.is_settled("x", &quality(), pair));
        assert!(!memory.is_settled("y", &quality(), pair));
        assert!(!memory.is_settled("x", &quality(), DigestPair::of("2", "1")));
        let day = ComparedSubject::Day(
            ComparedHours::whole(Stream::parse("a/b").unwrap()),
            Day::parse("2020-01-01").unwrap(),
        );
        assert!(!memory.is_settled("x", &day, pair));
        memory.forget("x");
        assert!(!memory.is_settled("x", &quality(), pair));
    }

    #[test]
    fn what_was_compared_before_all_was_forgotten_settles_nothing() {
        let memory = PeerMemory::default();
        let (before, pair) = (memory.era(), DigestPair::of("1", "2"));
        memory.clear();
        memory.settle(before, "x", quality(), pair);
        assert!(!memory.is_settled("x", &quality(), pair));
        memory.settle(memory.era(), "x", quality(), pair);
        assert!(memory.is_settled("x", &quality(), pair));
    }

    #[test]
    fn there_is_a_bound_for_each_peer() {
        let memory = PeerMemory::default();
        memory.settle(memory.era(), "y", quality(), DigestPair::of("1", "2"));
        let place = |hour: u32| HourPlace::parse(&format!("a/b{hour}/2020-01-01T00")).unwrap();
        for hour in 0..u32::try_from(MOST_PAIRS).unwrap() + 10 {
            memory.settle(memory.era(), "x", ComparedSubject::Hour(place(hour)), DigestPair::of("1", "2"));
        }
        assert_eq!(memory.compared.lock().1["x"].pairs.len(), 10);
        assert!(memory.is_settled("y", &quality(), DigestPair::of("1", "2")), "nobody else is forgotten");
    }
}
