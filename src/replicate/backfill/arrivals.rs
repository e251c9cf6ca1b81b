//! Which files peers have given since this process began, and in which order: a tombstone for a file that came only after its
//! peer was asked hides nothing that was here. Who gave what over restarts is kept by the keeper.
//!
//! There is a bound. A file that was forgotten counts as one that was here all the time: its tombstone is weighed.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_64;

use crate::archive::HourPlace;

/// Files that are remembered: a month of a stream, and some 20 MB.
const MOST: usize = 250_000;
/// A round may last as long as a peer likes; files that have been here for so long were here.
const RECENT: Duration = Duration::from_secs(3_600);

/// A moment in the order of arrivals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ArrivalMark(u64);

impl ArrivalMark {
    /// After everything.
    pub(super) const NEVER: Self = Self(u64::MAX);
}

/// What came from peers.
#[derive(Debug, Default)]
pub(super) struct Arrivals(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    by_hour: HashMap<Arc<HourPlace>, HashMap<u64, (u64, Instant)>>,
    in_order: VecDeque<(Arc<HourPlace>, u64)>,
    next: u64,
}

impl Known {
    fn forget(&mut self, place: &HourPlace, file: u64) {
        if let Some(of_hour) = self.by_hour.get_mut(place) {
            of_hour.remove(&file);
            if of_hour.is_empty() {
                self.by_hour.remove(place);
            }
        }
    }
}

impl Arrivals {
    /// Now: what arrives from here on is later.
    pub(super) fn mark(&self) -> ArrivalMark {
        ArrivalMark(self.0.lock().next)
    }

    /// These files of an hour are about to appear.
    pub(super) fn note<'n>(&self, place: &HourPlace, names: impl IntoIterator<Item = &'n str>) {
        let mut known = self.0.lock();
        let known = &mut *known;
        let place =
            known.by_hour.get_key_value(place).map_or_else(|| Arc::new(place.clone()), |(at, _)| Arc::clone(at));
        let of_hour = known.by_hour.entry(Arc::clone(&place)).or_default();
        let now = Instant::now();
        for name in names {
            let file = xxh3_64(name.as_bytes());
            if of_hour.insert(file, (known.next, now)).is_none() {
                known.in_order.push_back((Arc::clone(&place), file));
            }
            known.next += 1;
        }
        while known.in_order.len() > MOST
            && let Some((at, file)) = known.in_order.pop_front()
        {
            known.forget(&at, file);
        }
    }

    /// Which files of an hour came after `began`.
    pub(super) fn since(&self, place: &HourPlace, began: ArrivalMark) -> impl Fn(&str) -> bool + use<> {
        let of_hour = self.0.lock().by_hour.get(place).cloned().unwrap_or_default();
        move |name| {
            let known = of_hour.get(&xxh3_64(name.as_bytes()));
            known.is_some_and(|(order, at)| *order >= began.0 && at.elapsed() < RECENT)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_after_the_peer_was_asked_is_told_from_what_was_here() {
        let place = HourPlace::parse("a/b/2020-01-01T00").unwrap();
        let arrivals = Arrivals::default();
        arrivals.note(&place, ["before"]);
        let began = arrivals.mark();
        arrivals.note(&place, ["after"]);
        assert_eq!(["recorded", "before", "after"].map(arrivals.since(&place, began)), [false, false, true]);
        assert!(!arrivals.since(&place, ArrivalMark::NEVER)("after"));
        let other = HourPlace::parse("a/b/2020-01-01T01").unwrap();
        assert!(!arrivals.since(&other, began)("after"));
    }

    #[test]
    fn there_is_a_bound_and_what_was_forgotten_counts_as_here() {
        let arrivals = Arrivals::default();
        let names: Vec<String> = (0..1_000).map(|number| number.to_string()).collect();
        let place = |hour: usize| HourPlace::parse(&format!("a/b{hour}/2020-01-01T00")).unwrap();
        let began = arrivals.mark();
        for hour in 0..=MOST / 1_000 {
            arrivals.note(&place(hour), names.iter().map(String::as_str));
        }
        assert!(!arrivals.since(&place(0), began)("7"));
        assert!(arrivals.since(&place(1), began)("7"));
        let known = arrivals.0.lock();
        assert_eq!((known.in_order.len(), known.by_hour.len()), (MOST, MOST / 1_000));
    }
}
