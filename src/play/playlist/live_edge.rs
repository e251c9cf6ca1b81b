//! Decides what a live playlist publishes, and when: a list that only ever grows at its end.
//!
//! 1. Segments are told in order of start, as the best sequence goes on from what was told last. What starts earlier than that comes
//!    too late, whatever it is.
//! 2. A `full` segment that joins is told at once. Where a segment would come after a discontinuity, or bring one, it is held
//!    back: what is missing, or is better, may come late.
//! 3. Nothing is held back for longer than [`HOLD_BACK`] since it was first seen, whatever the clock of its name says: recorders may be
//!    late by more, or have a wrong clock. Only what is there when a list is begun goes by its name: nobody knows since when.
//! 4. What would leap over a part of the future is not told before its time has come: one stray name would end the list for all that
//!    comes after.
//! 5. One in MP4 of which nobody knows yet how long its initialisation segment is is held back, for as long; one that has none is left out.
//! 6. A segment longer than the list's target duration is never told in it.
//!
//! Clocks are not read here.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::archive::best::{Chain, Link, SequenceStep};
use crate::archive::segment::SegmentKind;
use crate::archive::time::{Span, Timestamp};

/// How long a late segment is waited for.
pub const HOLD_BACK: Duration = Duration::from_secs(15);

/// So far ahead of the clock a segment may leap: clocks of recorders differ.
pub const AHEAD: Span = Span::from_us(60_000_000);

/// How soon it is looked again for what is being read.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The time at which a question is asked.
#[derive(Debug, Clone, Copy)]
pub struct AskedAt {
    /// As the machine says.
    pub wall: Timestamp,
    /// Since some moment; never goes back.
    pub since: Duration,
}

/// What was told of a stretch, as far as what comes next depends on it.
#[derive(Debug, Clone)]
pub struct PublishedEdge {
    chain: Chain,
    longest: Span,
    is_begun: bool,
    /// When each segment that was not told yet was first seen, by its start.
    seen: BTreeMap<Timestamp, Duration>,
}

/// What may be told now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Growth<T> {
    /// In order; how each goes on from the one before it.
    pub told: Vec<(SequenceStep, Link, T)>,
    /// How long it takes at most until more may be told of what is there, if anything is held back.
    pub wait: Option<Duration>,
}

impl PublishedEdge {
    /// Nothing yet, of a stretch that begins at `start`, in a list with this target duration.
    pub const fn new(start: Timestamp, longest: Span) -> Self {
        Self { chain: Chain::new(start), longest, is_begun: false, seen: BTreeMap::new() }
    }

    /// The last segment that was told.
    pub const fn last(&self) -> Option<Link> {
        self.chain.last()
    }

    /// What comes next depends on this.
    pub const fn chain(&self) -> Chain {
        self.chain
    }

    /// When a segment that is not told was first seen.
    fn seen_first(&self, link: &Link, now: AskedAt) -> Duration {
        self.seen.get(&link.start).copied().unwrap_or(now.since)
    }

    /// Whether what was told reaches `end`, and `end` has been over for as long as is waited for.
    pub fn is_over(&self, end: Timestamp, now: AskedAt) -> bool {
        self.chain.reaches(end) && now.wall >= end + hold_back()
    }

    /// Tells what may be told of the best segments that are there, in order of start.
    pub fn grow<T>(&mut self, best: impl IntoIterator<Item = (Link, T)>, now: AskedAt) -> Growth<T> {
        let last = self.chain.last();
        let may_come = |link: &Link| last.is_none_or(|last| link.start > last.start);
        let best: Vec<(Link, T)> =
            best.into_iter().filter(|(link, _)| may_come(link) && link.end - link.start <= self.longest).collect();
        let first = |link: &Link| self.seen.get(&link.start).copied().unwrap_or(now.since);
        let by_name = !std::mem::replace(&mut self.is_begun, true);
        let left = best.iter().map(|(link, _)| {
            let since_seen = (first(link) + HOLD_BACK).saturating_sub(now.since);
            if by_name { by_its_name(*link, now).min(since_seen) } else { since_seen }
        });
        let left: Vec<Duration> = left.collect();
        // Nothing waits for longer than it may: also not behind one that came later.
        let due = left.iter().rposition(Duration::is_zero).map_or(0, |at| at + 1);
        let seen = best.iter().map(|(link, _)| (link.start, first(link))).collect();
        let mut growth = Growth { told: Vec::new(), wait: None };
        for (at, (link, segment)) in best.into_iter().enumerate() {
            let mut next = self.chain;
            let step = next.step(link);
            let is_sure =
                matches!(step, SequenceStep::Joined | SequenceStep::Changed) && link.kind == SegmentKind::Full;
            if step == SequenceStep::Skipped {
                continue;
            }
            if !link.is_playable() {
                let waits = (self.seen_first(&link, now) + HOLD_BACK).saturating_sub(now.since);
                if !link.is_unread() || waits.is_zero() {
                    continue;
                }
                growth.wait = Some(waits.min(LOOK_AGAIN));
                break;
            }
            if self.chain.last().is_some_and(|before| link.start > before.end.max(now.wall) + AHEAD) {
                break;
            }
            if at >= due && !is_sure {
                growth.wait = left.get(at..).and_then(|left| left.iter().min()).copied();
                break;
            }
            self.chain = next;
            growth.told.push((step, link, segment));
        }
        self.seen = seen;
        if let Some(newest) = self.chain.last() {
            self.seen.retain(|start, _| *start > newest.start);
        }
        growth
    }
}

fn hold_back() -> Span {
    Span::from_us(i64::try_from(HOLD_BACK.as_micros()).unwrap_or(i64::MAX))
}

/// How long a segment is held back by the clock of its name.
fn by_its_name(link: Link, now: AskedAt) -> Duration {
    let left = link.end + hold_back() - now.wall;
    Duration::from_micros(u64::try_from(left.us()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::{Container, Edges, InitSection};
    use proptest::prelude::*;

    fn link(start_ms: i64, length_ms: i64, kind: SegmentKind) -> Link {
        let (start, end) = (Timestamp(start_ms * 1_000), Timestamp((start_ms + length_ms) * 1_000));
        Link { start, end, kind, container: Container::Ts, media: None }
    }

    fn at(ms: i64) -> AskedAt {
        // The monotonic clock has its own beginning.
        AskedAt { wall: Timestamp(ms * 1_000), since: Duration::from_millis(u64::try_from(ms + 7_000_000).unwrap()) }
    }

    fn told(growth: &Growth<&'static str>) -> Vec<(bool, &'static str)> {
        growth.told.iter().map(|(step, _, name)| (*step == SequenceStep::Broken, *name)).collect()
    }

    const LONG: Span = Span::from_us(10_000_000);

    #[test]
    fn mp4_is_told_when_its_initialisation_segment_is_known_and_holds_nothing_back_for_longer_than_anything_does() {
        let known = |init| Some(Edges { init, ..Edges::default() });
        let mp4 = |slot: i64, media| {
            let link = link(slot * 2_000, 2_000, SegmentKind::Full);
            Link { container: Container::Mp4, media, ..link }
        };
        let init = InitSection::new(700, 1);
        let mut list = PublishedEdge::new(Timestamp(0), LONG);
        // An old stretch, so that nothing is held back by its name. The third has none.
        let now = 100_000;
        let there = |second| {
            [(mp4(0, known(init)), "a"), (mp4(1, second), "b"), (mp4(2, known(None)), "c"), (mp4(3, known(init)), "d")]
        };
        let growth = list.grow(there(None), at(now));
        assert_eq!((told(&growth), growth.wait), (vec![(false, "a")], Some(LOOK_AGAIN)));
        assert_eq!(told(&list.grow(there(None), at(now + 14_900))), []);
        let mut other = list.clone();
        assert_eq!(told(&list.grow(there(None), at(now + 15_000))), [(true, "d")], "it is waited for no longer");
        assert_eq!(told(&other.grow(there(known(init)), at(now + 14_950))), [(false, "b")]);
        assert_eq!(told(&other.grow(there(known(init)), at(now + 15_000))), [(true, "d")]);
    }

    #[test]
    fn what_joins_is_told_at_once_and_a_gap_waits_for_what_is_late() {
        let mut list = PublishedEdge::new(Timestamp(0), LONG);
        let a = (link(0, 2_000, SegmentKind::Full), "a");
        let b = (link(2_000, 2_000, SegmentKind::Full), "b");
        let c = (link(4_000, 2_000, SegmentKind::Full), "c");
        assert_eq!(told(&list.grow([a], at(2_100))), [(false, "a")]);
        let held = list.grow([a, c], at(6_100));
        assert_eq!((told(&held), held.wait), (vec![], Some(HOLD_BACK)));
        assert_eq!(told(&list.grow([a, b, c], at(9_000))), [(false, "b"), (false, "c")]);
    }

    #[test]
    fn after_fifteen_seconds_a_gap_is_a_discontinuity_that_stays() {
        let mut list = PublishedEdge::new(Timestamp(0), LONG);
        let a = (link(0, 2_000, SegmentKind::Full), "a");
        let b = (link(2_000, 2_000, SegmentKind::Full), "b");
        let c = (link(4_000, 2_000, SegmentKind::Full), "c");
        let d = (link(6_000, 2_000, SegmentKind::Full), "d");
        list.grow([a], at(2_100));
        assert_eq!(told(&list.grow([a, c, d], at(8_100))), []);
        assert_eq!(told(&list.grow([a, c, d], at(23_200))), [(true, "c"), (false, "d")]);
        assert_eq!(told(&list.grow([a, b, c, d], at(24_000))), [], "b comes too late");
    }

    #[test]
    fn a_recorder_whose_clock_is_ahead_holds_nothing_back_for_longer() {
        let mut list = PublishedEdge::new(Timestamp(0), LONG);
        let ahead = (link(3_600_000, 2_000, SegmentKind::Full), "ahead");
        let further = (link(3_650_000, 2_000, SegmentKind::Full), "further");
        assert_eq!(list.grow([ahead, further], at(0)).wait, Some(HOLD_BACK));
        let later = list.grow([ahead, further], at(15_000));
        assert_eq!(told(&later), [(true, "ahead"), (true, "further")], "both have been seen for as long");
    }

    #[test]
    fn a_stray_name_from_the_future_ends_no_list() {
        let mut list = PublishedEdge::new(Timestamp(0), LONG);
        let a = (link(0, 2_000, SegmentKind::Full), "a");
        let b = (link(2_000, 2_000, SegmentKind::Full), "b");
        let stray = (link(3_600_000, 2_000, SegmentKind::Full), "stray");
        list.grow([a, stray], at(2_100));
        assert_eq!(told(&list.grow([a, stray], at(60_000))), []);
        assert_eq!(told(&list.grow([a, b, stray], at(80_000))), [(false, "b")]);
        assert_eq!(told(&list.grow([a, b, stray], at(3_600_000))), [(true, "stray")], "its time has come");
    }

    #[test]
    fn a_recorder_that_is_always_late_is_waited_for_all_the_same() {
        let mut list = PublishedEdge::new(Timestamp(0), LONG);
        let a = (link(0, 2_000, SegmentKind::Full), "a");
        let b = (link(2_000, 2_000, SegmentKind::Full), "b");
        let c = (link(4_000, 2_000, SegmentKind::Full), "c");
        list.grow([a], at(62_000));
        assert_eq!(told(&list.grow([a, c], at(66_000))), []);
        assert_eq!(told(&list.grow([a, b, c], at(66_200))), [(false, "b"), (false, "c")]);
    }

    #[test]
    fn a_better_one_takes_the_place_of_one_that_is_not_full_as_long_as_that_is_held_back() {
        let mut list = PublishedEdge::new(Timestamp(0), LONG);
        assert_eq!(told(&list.grow([(link(0, 2_000, SegmentKind::Partial), "partial")], at(2_000))), []);
        assert_eq!(told(&list.grow([(link(0, 2_000, SegmentKind::Full), "full")], at(3_000))), [(false, "full")]);
    }

    #[test]
    fn what_is_longer_than_the_target_is_left_out() {
        let mut list = PublishedEdge::new(Timestamp(0), Span::from_us(2_000_000));
        let long = (link(0, 2_001, SegmentKind::Full), "long");
        assert_eq!(
            told(&list.grow([long, (link(2_001, 2_000, SegmentKind::Full), "next")], at(60_000))),
            [(true, "next")]
        );
    }

    proptest! {
        /// Whatever comes whenever, and whatever goes again: only ever appended to, in order, and never for longer than the
        /// hold-back behind.
        #[test]
        fn a_list_only_grows_and_nothing_waits_for_longer_than_is_allowed(
            events in prop::collection::vec((0..20_i64, 0..3_usize, 0..4_i64, any::<bool>()), 1..60),
        ) {
            let mut list = PublishedEdge::new(Timestamp(0), LONG);
            let mut there: BTreeMap<i64, Link> = BTreeMap::new();
            let mut first_seen: BTreeMap<i64, i64> = BTreeMap::new();
            let mut all: Vec<Link> = Vec::new();
            let mut now = 0;
            for (slot, kind, pause, gone) in events {
                now += pause * 1_300;
                if gone {
                    there.remove(&slot);
                    first_seen.remove(&slot);
                } else {
                    there.insert(slot, link(slot * 2_000, 2_000, SegmentKind::VIDEO[kind]));
                    first_seen.entry(slot).or_insert(now);
                }
                let before = list.last();
                let growth = list.grow(there.values().map(|link| (*link, *link)), at(now));
                for (step, _, link) in growth.told {
                    let broken = step == SequenceStep::Broken;
                    if let Some(last) = all.last() {
                        prop_assert!(link.start > last.start);
                        prop_assert_eq!(broken, last.kind != SegmentKind::Full || link.start > last.end);
                    } else {
                        prop_assert_eq!(broken, link.start > Timestamp(0));
                    }
                    all.push(link);
                }
                prop_assert!(growth.wait.is_none_or(|wait| wait <= HOLD_BACK));
                prop_assert!(before <= list.last() || before.is_none());
                // What has been there for as long as is waited for is told, or is older than what was told.
                for (place, seen) in &first_seen {
                    if now - seen >= 15_000 {
                        prop_assert!(list.last().is_some_and(|last| last.start >= there[place].start));
                    }
                }
            }
        }
    }
}
