//! What of a peer is known and not here yet, in order of when it is due: too recent, busy elsewhere, or failed a moment ago.
//!
//! Time is the monotonic clock's, given in. What waits here came from the peer's change log or a list; nothing is read or
//! fetched here. There is a bound: what is beyond it is left to the next round, which finds it by comparing digests.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use crate::archive::HourPlace;
use crate::jobs::Backoff;

/// Names that may wait: two days of a stream, and some 20 MB.
pub(super) const MOST: usize = 100_000;
/// Attempts before a name is left to the next round.
const TRIES: u32 = 4;
/// The first wait after an attempt that failed; it doubles.
const RETRY: Duration = Duration::from_secs(2);

type WaitingKey = (HourPlace, Box<str>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub place: HourPlace,
    pub name: Box<str>,
    /// Its number in the peer's change log, if it came from there.
    pub seq: Option<u64>,
    pub tries: u32,
}

#[derive(Debug, Default)]
pub(super) struct WaitingFiles {
    by_name: HashMap<WaitingKey, (Instant, u64)>,
    by_time: BTreeMap<(Instant, u64), Item>,
    /// Numbers of the change log that are not done, each with its name's number here.
    seqs: BTreeSet<(u64, u64)>,
    /// Numbers of what was taken and is being fetched.
    in_hand: BTreeSet<u64>,
    retrying: usize,
    next: u64,
}

impl WaitingFiles {
    /// Lets a name wait until it is due. One that waits already is due at the earlier of the two times. False if there is no
    /// room.
    pub(super) fn push(&mut self, item: Item, due: Instant) -> bool {
        let key = (item.place.clone(), item.name.clone());
        if let Some(at) = self.by_name.get(&key).copied() {
            let Some(mut known) = self.by_time.remove(&at) else { return false };
            let due = due.min(at.0);
            if let Some(seq) = item.seq
                && known.seq.is_none_or(|first| seq < first)
            {
                if let Some(first) = known.seq {
                    self.seqs.remove(&(first, at.1));
                }
                known.seq = Some(seq);
                self.seqs.insert((seq, at.1));
            }
            self.by_name.insert(key, (due, at.1));
            self.by_time.insert((due, at.1), known);
            return true;
        }
        if self.by_name.len() >= MOST {
            return false;
        }
        self.next += 1;
        let at = (due, self.next);
        self.seqs.extend(item.seq.map(|seq| (seq, at.1)));
        self.retrying += usize::from(item.tries > 0);
        self.by_name.insert(key, at);
        self.by_time.insert(at, item);
        true
    }

    /// Lets a name wait again after an attempt that failed; not after the last one.
    pub(super) fn again(&mut self, item: Item, now: Instant) {
        let tries = item.tries + 1;
        if tries < TRIES {
            self.push(Item { tries, ..item }, now + Backoff::from(RETRY).wait(tries));
        }
    }

    /// Up to `most` names of one hour that are due, the hour whose name has waited longest.
    pub(super) fn take_due(&mut self, now: Instant, most: usize) -> Vec<Item> {
        let Some(place) = self.due(now).next().map(|(_, item)| item.place.clone()) else { return Vec::new() };
        let of_hour = self.due(now).filter(|(_, item)| item.place == place).map(|(at, _)| *at);
        let taken: Vec<(Instant, u64)> = of_hour.take(most).collect();
        let items: Vec<Item> = taken.into_iter().filter_map(|at| self.remove(at)).collect();
        self.in_hand.extend(items.iter().filter_map(|item| item.seq));
        items
    }

    pub(super) fn hands_are_empty(&mut self) {
        self.in_hand.clear();
    }

    /// Whether something waits that has failed before.
    pub(super) fn is_retrying(&self) -> bool {
        self.retrying > 0
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.by_time.first_key_value().map(|((due, _), _)| *due)
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.next_due().is_some_and(|due| due <= now)
    }

    /// The first number of the change log that is not done.
    pub(super) fn first_seq(&self) -> Option<u64> {
        let waits = self.seqs.first().map(|(seq, _)| *seq);
        waits.into_iter().chain(self.in_hand.first().copied()).min()
    }

    pub(super) fn clear(&mut self) {
        *self = Self { next: self.next, ..Self::default() };
    }

    fn due(&self, now: Instant) -> impl Iterator<Item = (&(Instant, u64), &Item)> {
        self.by_time.range(..=(now, u64::MAX))
    }

    fn remove(&mut self, at: (Instant, u64)) -> Option<Item> {
        let item = self.by_time.remove(&at)?;
        self.by_name.remove(&(item.place.clone(), item.name.clone()));
        self.retrying -= usize::from(item.tries > 0);
        if let Some(seq) = item.seq {
            self.seqs.remove(&(seq, at.1));
        }
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn item(hour: u8, name: &str, seq: Option<u64>) -> Item {
        let place = HourPlace::parse(&format!("a/b/2020-01-01T{hour:02}")).unwrap();
        Item { place, name: name.into(), seq, tries: 0 }
    }

    fn names(items: &[Item]) -> Vec<&str> {
        items.iter().map(|item| &*item.name).collect()
    }

    #[test]
    fn what_is_due_comes_by_hour_and_in_order() {
        let now = Instant::now();
        let later = |seconds| now + Duration::from_secs(seconds);
        let mut waiting = WaitingFiles::default();
        for (hour, name, due) in [(1, "b", 2), (2, "x", 1), (1, "a", 3), (2, "y", 9)] {
            assert!(waiting.push(item(hour, name, None), later(due)));
        }
        assert_eq!(waiting.take_due(now, 9), []);
        assert_eq!(waiting.next_due(), Some(later(1)));
        assert_eq!(names(&waiting.take_due(later(3), 9)), ["x"]);
        assert_eq!(names(&waiting.take_due(later(3), 1)), ["b"]);
        assert_eq!(names(&waiting.take_due(later(3), 9)), ["a"]);
        assert_eq!(waiting.next_due(), Some(later(9)));
    }

    #[test]
    fn a_number_is_done_when_its_name_is() {
        let now = Instant::now();
        let mut waiting = WaitingFiles::default();
        waiting.push(item(1, "a", Some(5)), now);
        waiting.push(item(1, "b", Some(7)), now);
        waiting.push(item(1, "b", Some(9)), now);
        waiting.push(item(1, "a", None), now + Duration::from_secs(9));
        assert_eq!(waiting.first_seq(), Some(5));
        let taken = waiting.take_due(now, 1);
        assert_eq!((names(&taken), waiting.first_seq()), (vec!["a"], Some(5)), "it is in hand");
        waiting.hands_are_empty();
        assert_eq!((waiting.first_seq(), waiting.is_retrying()), (Some(7), false));
        waiting.again(taken[0].clone(), now);
        assert_eq!((waiting.first_seq(), waiting.is_retrying()), (Some(5), true));
        assert_eq!(names(&waiting.take_due(now, 9)), ["b"]);
        waiting.clear();
        assert_eq!((waiting.first_seq(), waiting.next_due()), (None, None));
    }

    #[test]
    fn what_fails_again_and_again_is_left_to_the_next_round() {
        let mut now = Instant::now();
        let mut waiting = WaitingFiles::default();
        waiting.push(item(1, "a", Some(1)), now);
        let mut attempts = 0;
        while let Some(due) = waiting.next_due() {
            now = now.max(due);
            for taken in waiting.take_due(now, 9) {
                attempts += 1;
                waiting.again(taken, now);
            }
            waiting.hands_are_empty();
        }
        assert_eq!((attempts, waiting.first_seq()), (TRIES, None));
    }

    proptest! {
        #[test]
        fn it_equals_a_list(steps in prop::collection::vec((0..3_u8, 0..4_u8, 0..6_u64, prop::option::of(0..20_u64)), 0..60)) {
            let begin = Instant::now();
            let at = |seconds| begin + Duration::from_secs(seconds);
            let mut waiting = WaitingFiles::default();
            let mut model: Vec<(Item, u64)> = Vec::new();
            let mut now = 0;
            for (hour, name, seconds, seq) in steps {
                if name == 3 {
                    now += seconds;
                    let taken = waiting.take_due(at(now), 2);
                    waiting.hands_are_empty();
                    prop_assert!(taken.len() <= 2 && taken.iter().all(|one| one.place == taken[0].place));
                    let due = model.iter().filter(|(_, due)| *due <= now).count();
                    prop_assert_eq!(taken.is_empty(), due == 0);
                    for one in taken {
                        let found = model.iter().position(|(known, when)| *known == one && *when <= now);
                        prop_assert!(found.is_some());
                        model.swap_remove(found.unwrap());
                    }
                } else {
                    let new = item(hour, ["a", "b", "c"][usize::from(name)], seq);
                    let due = now + seconds;
                    waiting.push(new.clone(), at(due));
                    match model.iter_mut().find(|(known, _)| (&known.place, &known.name) == (&new.place, &new.name)) {
                        Some((known, when)) => {
                            *when = due.min(*when);
                            known.seq = known.seq.into_iter().chain(new.seq).min();
                        }
                        None => model.push((new, due)),
                    }
                }
                prop_assert_eq!(waiting.first_seq(), model.iter().filter_map(|(known, _)| known.seq).min());
                prop_assert_eq!(waiting.next_due(), model.iter().map(|(_, due)| at(*due)).min());
            }
        }
    }
}
