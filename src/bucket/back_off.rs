//! For how long after a failure the same answer is given without asking the store: three hundred requests of a player must not become three
//! hundred that wait for a store that is away.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::archive::Hash;

/// After the first failure in a row; each one more doubles it.
const FIRST: Duration = Duration::from_secs(1);
/// Of the store: whoever waits wants to know soon that it is back.
const LONGEST_OF_THE_STORE: Duration = Duration::from_secs(5);
/// Of an object or of a file in it, which seldom become right again.
const LONGEST_OF_AN_OBJECT: Duration = Duration::from_secs(60);
/// Of how many objects and files it is remembered.
const MOST_REMEMBERED: usize = 256;

/// What a failure says something of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum FailedPart {
    Store,
    /// By the hash of its manifest.
    Object(Hash),
    /// With its place in the order of the manifest.
    File(Hash, usize),
}

/// What failed lately, with an error for each.
#[derive(Debug)]
pub(super) struct BackOff<E> {
    failed: HashMap<FailedPart, Failure<E>>,
}

#[derive(Debug)]
struct Failure<E> {
    until: Instant,
    pause: Duration,
    error: E,
}

impl<E: Clone> BackOff<E> {
    pub(super) fn new() -> Self {
        Self { failed: HashMap::new() }
    }

    /// The error that is still the answer for a file of an object.
    pub(super) fn answer(&self, object: Hash, at: usize, now: Instant) -> Option<E> {
        self.of(object, at).find(|failure| now < failure.until).map(|failure| failure.error.clone())
    }

    /// The error that was last given for a file of an object and after which nothing went well.
    pub(super) fn last(&self, object: Hash, at: usize) -> Option<E> {
        self.of(object, at).next().map(|failure| failure.error.clone())
    }

    fn of(&self, object: Hash, at: usize) -> impl Iterator<Item = &Failure<E>> {
        let parts = [FailedPart::Store, FailedPart::Object(object), FailedPart::File(object, at)];
        parts.into_iter().filter_map(|part| self.failed.get(&part))
    }

    pub(super) fn failed(&mut self, part: FailedPart, error: E, now: Instant) {
        // A store that says what is wrong with an object is there.
        let longest = if part == FailedPart::Store {
            LONGEST_OF_THE_STORE
        } else {
            self.failed.remove(&FailedPart::Store);
            LONGEST_OF_AN_OBJECT
        };
        let before = self.failed.remove(&part);
        // Several that were asked for at once fail at once, and are one failure.
        if let Some(failure) = before.as_ref().filter(|failure| now < failure.until) {
            let (until, pause) = (failure.until, failure.pause);
            self.failed.insert(part, Failure { until, pause, error });
            return;
        }
        let pause = before.map_or(FIRST, |failure| (failure.pause * 2).min(longest));
        if self.failed.len() >= MOST_REMEMBERED {
            let first = self.failed.iter().min_by_key(|(_, failure)| failure.until).map(|(first, _)| *first);
            first.and_then(|first| self.failed.remove(&first));
        }
        self.failed.insert(part, Failure { until: now + pause, pause, error });
    }

    /// It works again.
    pub(super) fn went_well(&mut self, part: FailedPart) {
        self.failed.remove(&part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_answer_is_given_for_a_while_that_grows_and_ends_with_success() {
        let (mut back_off, begun) = (BackOff::new(), Instant::now());
        let (object, other) = (Hash([1; 32]), Hash([2; 32]));
        let after = |seconds: u64| begun + Duration::from_secs(seconds);
        back_off.failed(FailedPart::Store, "away", begun);
        back_off.failed(FailedPart::Store, "still away", begun);
        assert_eq!(back_off.answer(object, 0, begun), Some("still away"));
        assert_eq!(back_off.answer(object, 0, after(1)), None);
        for (at, until) in [(1, 3), (3, 7), (7, 12), (12, 17)] {
            back_off.failed(FailedPart::Store, "away", after(at));
            assert_eq!(back_off.answer(other, 5, after(until - 1)), Some("away"), "{at}");
            assert_eq!(back_off.answer(other, 5, after(until)), None, "{at}");
        }
        back_off.went_well(FailedPart::Store);
        back_off.failed(FailedPart::Store, "away", after(20));
        assert_eq!(back_off.answer(object, 0, after(21)), None);
        back_off.failed(FailedPart::File(object, 3), "damaged", after(30));
        back_off.failed(FailedPart::Object(other), "gone", after(30));
        let answers = [(object, 3), (object, 4), (other, 3)].map(|(hash, at)| back_off.answer(hash, at, after(30)));
        assert_eq!(answers, [Some("damaged"), None, Some("gone")]);
        assert_eq!(back_off.answer(object, 3, after(99)), None);
        assert_eq!(back_off.last(object, 3), Some("damaged"), "nothing went well since");
        back_off.failed(FailedPart::Store, "away", after(100));
        assert_eq!(back_off.last(other, 3), Some("away"));
        back_off.failed(FailedPart::Object(other), "cold", after(101));
        assert_eq!(
            (back_off.last(other, 3), back_off.answer(object, 0, after(101))),
            (Some("cold"), None),
            "it answers"
        );
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (mut back_off, begun) = (BackOff::new(), Instant::now());
        for at in 0..2 * MOST_REMEMBERED {
            let now = begun + Duration::from_millis(u64::try_from(at).unwrap());
            back_off.failed(FailedPart::File(Hash([0; 32]), at), "damaged", now);
        }
        assert_eq!(back_off.failed.len(), MOST_REMEMBERED);
        assert_eq!(back_off.answer(Hash([0; 32]), 2 * MOST_REMEMBERED - 1, begun), Some("damaged"));
    }
}
