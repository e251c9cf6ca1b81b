//! What one peer's worker carries through a round or through following: the report, and what has to be looked at again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::known::Known;
use super::memory::Era;
use super::report::RoundReport;
use super::shared::Shared;
use super::waiting;
use crate::domain::plan::{Burst, burst};
use crate::domain::{HourPlace, Timestamp};
use crate::peer::Peer;

/// How long tombstones are counted together: what comes bit by bit within it is a burst like all at once.
const WINDOW: Duration = Duration::from_secs(3600);

/// A name of an hour.
pub(super) type Named = (HourPlace, Box<str>);

/// Work with one peer.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own about the peer or the round")]
pub(super) struct Job {
    pub(super) shared: Arc<Shared>,
    pub(super) known: Arc<Known>,
    /// What was done since it was last taken away.
    pub(super) report: RoundReport,
    /// Names that are too recent, and when each may be fetched.
    pub(super) later: Vec<(Named, Timestamp)>,
    /// Names that another peer was being asked for.
    pub(super) busy: Vec<Named>,
    /// Names that could not be fetched.
    pub(super) failed: Vec<Named>,
    /// Hours in which something was done, or is left.
    pub(super) unsettled: HashSet<HourPlace>,
    /// Tombstones taken lately.
    pub(super) taken: Taken,
    /// Since when those are counted.
    taken_since: Instant,
    /// When what is compared now was begun.
    pub(super) era: Era,
    /// Something that the peer lists could not be asked for, and it is not known which hours that is about.
    pub(super) unheard: bool,
    /// The last round was complete.
    pub(super) whole: bool,
    /// The operator's word.
    pub(super) accept_bursts: bool,
    /// The files that came last were small: they are asked for many at once.
    pub(super) small_files: bool,
}

impl Job {
    pub(super) fn new(shared: &Arc<Shared>, known: &Arc<Known>) -> Self {
        Self {
            shared: Arc::clone(shared),
            known: Arc::clone(known),
            report: RoundReport::default(),
            later: Vec::new(),
            busy: Vec::new(),
            failed: Vec::new(),
            unsettled: HashSet::new(),
            taken: Taken::default(),
            taken_since: Instant::now(),
            era: shared.memory.era(),
            unheard: false,
            whole: false,
            accept_bursts: false,
            small_files: false,
        }
    }

    /// The peer.
    pub(super) fn peer(&self) -> &Peer {
        &self.known.peer
    }

    /// A request was answered.
    pub(super) fn asked(&mut self) {
        self.report.requests += 1;
        self.known.step();
    }

    /// Forgets what the last round noted; what waits between rounds is not in here.
    pub(super) fn begin_round(&mut self) {
        self.report = RoundReport::default();
        self.unheard = false;
        (self.later, self.busy, self.failed) = (Vec::new(), Vec::new(), Vec::new());
        self.unsettled = HashSet::new();
        self.era = self.shared.memory.era();
        // Not with each round: when one begins is up to the peer.
        if self.taken_since.elapsed() >= WINDOW || self.accept_bursts {
            (self.taken, self.taken_since) = (Taken::default(), Instant::now());
        }
    }

    /// Notes names, as many as there is room for; the hour is looked at again anyway.
    pub(super) fn note(list: &mut Vec<Named>, names: impl IntoIterator<Item = Named>) {
        let room = waiting::MOST.saturating_sub(list.len());
        list.extend(names.into_iter().take(room));
    }
}

/// Tombstones that were taken over from a peer lately: what a burst is measured by.
#[derive(Debug, Default)]
pub(super) struct Taken {
    by_hour: HashMap<HourPlace, usize>,
    total: usize,
}

impl Taken {
    /// Whether so many more wait for the operator, in an hour of which `known` segments are known.
    pub(super) fn burst(&self, place: &HourPlace, more: usize, known: usize) -> Option<Burst> {
        let of_hour = self.by_hour.get(place).copied().unwrap_or(0);
        if more == 0 { None } else { burst(of_hour + more, known, self.total - of_hour) }
    }

    /// So many more were taken.
    pub(super) fn add(&mut self, place: &HourPlace, count: usize) {
        *self.by_hour.entry(place.clone()).or_default() += count;
        self.total += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_after_the_other_is_a_burst_like_all_at_once() {
        let place = HourPlace::parse("a/b/2020-01-01T00").unwrap();
        let mut taken = Taken::default();
        assert_eq!(taken.burst(&place, 0, 0), None);
        for _ in 0..20 {
            assert_eq!(taken.burst(&place, 1, 100), None);
            taken.add(&place, 1);
        }
        assert!(matches!(taken.burst(&place, 1, 100), Some(Burst::Hour { tombstones: 21, known: 100 })));
        let other = HourPlace::parse("a/b/2020-01-01T01").unwrap();
        assert_eq!(taken.burst(&other, 200, 1000), None);
        assert!(matches!(taken.burst(&other, 980, 10_000), Some(Burst::Round { tombstones: 1000 })));
    }
}
