//! What was compared with a peer before and left nothing to do, so that it need not be compared again.
//!
//! In memory only, and bounded: to forget costs one comparison.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use xxhash_rust::xxh3::xxh3_64;

use crate::domain::{Day, HourPlace, Stream};
use crate::peer::Seen;

/// Pairs that are remembered: a peer with thirteen qualities and a year of differing hours has 120,000.
const MOST_PAIRS: usize = 200_000;
/// Lists that are remembered, of peers without digests: eleven years of a quality.
const MOST_LISTS: usize = 100_000;

/// What was compared.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    /// A quality.
    Quality(Stream),
    /// A day of it.
    Day(Stream, Day),
    /// An hour of that.
    Hour(HourPlace),
}

/// Two digests, ours and theirs, as one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pair(u64);

impl Pair {
    /// Of these two.
    pub(super) fn of(ours: &str, theirs: &str) -> Self {
        Self(xxh3_64(format!("{ours} {theirs}").as_bytes()))
    }
}

/// What is remembered of all peers.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pairs: Mutex<HashMap<(String, Subject), Pair>>,
    lists: Mutex<HashMap<(String, HourPlace), (String, Seen)>>,
}

impl Memory {
    /// Whether these digests were compared before, and left nothing to do.
    pub(super) fn is_settled(&self, peer: &str, subject: &Subject, pair: Pair) -> bool {
        self.pairs().get(&(peer.to_owned(), subject.clone())) == Some(&pair)
    }

    /// These digests were compared, and there is nothing to do: neither now nor later.
    pub(super) fn settle(&self, peer: &str, subject: Subject, pair: Pair) {
        let mut pairs = self.pairs();
        if pairs.len() >= MOST_PAIRS {
            pairs.clear();
        }
        pairs.insert((peer.to_owned(), subject), pair);
    }

    /// The list of a peer that left nothing to do when ours had this digest.
    pub(super) fn list(&self, peer: &str, place: &HourPlace, ours: &str) -> Option<Seen> {
        let lists = self.lists();
        let (digest, seen) = lists.get(&(peer.to_owned(), place.clone()))?;
        (digest == ours).then(|| seen.clone())
    }

    /// This list left nothing to do where ours has this digest.
    pub(super) fn settle_list(&self, peer: &str, place: HourPlace, ours: String, seen: Seen) {
        let mut lists = self.lists();
        if lists.len() >= MOST_LISTS {
            lists.clear();
        }
        lists.insert((peer.to_owned(), place), (ours, seen));
    }

    /// Forgets all: what is wanted or kept has changed.
    pub(super) fn clear(&self) {
        self.pairs().clear();
        self.lists().clear();
    }

    fn pairs(&self) -> MutexGuard<'_, HashMap<(String, Subject), Pair>> {
        self.pairs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lists(&self) -> MutexGuard<'_, HashMap<(String, HourPlace), (String, Seen)>> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_remembered_for_its_peer_and_subject_alone() {
        let memory = Memory::default();
        let stream = Stream::parse("a/b").unwrap();
        let (quality, pair) = (Subject::Quality(stream.clone()), Pair::of("1", "2"));
        memory.settle("x", quality.clone(), pair);
        assert!(memory.is_settled("x", &quality, pair));
        assert!(!memory.is_settled("y", &quality, pair));
        assert!(!memory.is_settled("x", &quality, Pair::of("2", "1")));
        let day = Subject::Day(stream, Day::parse("2020-01-01").unwrap());
        assert!(!memory.is_settled("x", &day, pair));
        memory.clear();
        assert!(!memory.is_settled("x", &quality, pair));
    }

    #[test]
    fn there_is_a_bound() {
        let memory = Memory::default();
        let place = |hour: u32| HourPlace::parse(&format!("a/b{hour}/2020-01-01T00")).unwrap();
        for hour in 0..u32::try_from(MOST_PAIRS).unwrap() + 10 {
            memory.settle("x", Subject::Hour(place(hour)), Pair::of("1", "2"));
        }
        assert_eq!(memory.pairs().len(), 10);
    }
}
