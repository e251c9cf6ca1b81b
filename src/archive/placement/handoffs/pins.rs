//! Pins that this node has granted: promises that an hour stays.

use std::collections::BTreeMap;

use super::effect::PlacementNote;
use super::terms::PlacementTerms;
use crate::archive::Span;
use crate::archive::time::HOUR_US;

/// How long an hour stays that was promised: long enough that all owners can be asked, and short enough that retention can wait.
pub const PIN: Span = Span::from_us(HOUR_US);
/// How long a node relies on what was promised to it, from when it asked. Half of it, so that clocks that run differently and
/// a deletion that has begun do not matter.
pub const RELY: Span = Span::from_us(HOUR_US / 2);

/// The pins of one node, in the time by which they are counted.
#[derive(Debug, Clone)]
pub(super) struct Pins<T: PlacementTerms> {
    until: BTreeMap<T::Hour, Span>,
    /// Everything is pinned until then: the journal could not be read, and it may have been.
    all_until: Option<Span>,
}

impl<T: PlacementTerms> Pins<T> {
    pub(super) const fn none() -> Self {
        Self { until: BTreeMap::new(), all_until: None }
    }

    /// Promises until then, and never less than before.
    pub(super) fn extend(&mut self, hour: T::Hour, until: Span) {
        let known = self.until.entry(hour).or_insert(until);
        *known = until.max(*known);
    }

    /// Promises everything until then.
    pub(super) fn extend_all(&mut self, until: Span) {
        self.all_until = self.all_until.max(Some(until));
    }

    pub(super) fn holds(&self, hour: &T::Hour, now: Span) -> bool {
        self.all_until.is_some_and(|until| now < until) || self.until.get(hour).is_some_and(|until| now < *until)
    }

    pub(super) fn forget_expired(&mut self, now: Span) {
        self.until.retain(|_, until| now < *until);
    }

    /// What holds still, as lines of a journal.
    pub(super) fn notes(&self, now: Span) -> Vec<PlacementNote<T>> {
        let all = self.all_until.filter(|until| now < *until).map(|until| PlacementNote::AllPinned { until });
        let one = |(hour, until): (&T::Hour, &Span)| PlacementNote::Pinned { hour: hour.clone(), until: *until };
        all.into_iter().chain(self.until.iter().filter(|(_, until)| now < **until).map(one)).collect()
    }
}
