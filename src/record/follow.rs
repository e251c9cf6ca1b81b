//! Follows the window of a live playlist: which segments are new, and what has become of it meanwhile. Pure.
//!
//! 1. A segment is known by its number within a *run* of the playlist. A run ends where the numbers begin anew: the stream was restarted.
//! 2. A window that lies before what is known is **stale** (a cache answered) where it lists what was seen, and a **restart** where it
//!    lists something else. What is the same is told by the times of both, else by file name, part and duration. A stale window that goes on
//!    growing three times without a fresh one in between is a restart under the old names.
//! 3. A window that goes on as it was, but calls what was seen by other names, is a restart if it does so once more by the same ones. Names that
//!    change each time are signed, and say nothing.
//! 4. What was listed before under other numbers is the same all the same: some packagers number each window from 0, some number anew, and two behind
//!    one address have numbers of their own. Its numbers are counted on.
//! 5. Whatever is listed and was not seen is new, in whatever window it stands: after a gap, and in a stale one, too.
//! 6. Memory is bounded by the window: numbers below the oldest remembered were seen.

use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash as _, Hasher as _};

use xxhash_rust::xxh3::Xxh3Default;

use super::last_listed::ListedName;
use super::playlist::{ListedSegment, MediaList};
use crate::archive::Timestamp;
use crate::archive::time::SECOND_US;

/// Numbers that are remembered beyond two windows.
const REMEMBERED: usize = 256;
/// Numbers are counted from here, so that those of older windows have room below.
const FIRST_NUMBER: i64 = 1 << 32;
/// Stale windows in a row, each longer than the one before, that are a stream of their own.
const STALE: u32 = 3;
/// Times of one segment may differ by so much from one playlist to the next: some are rounded to seconds.
const SAME_US: i64 = SECOND_US;

/// The same where the times of others are counted by durations that are rounded.
const COUNTED_US: i64 = 10 * SECOND_US;

/// What a playlist is that lists the end of a stream, whatever its addresses are at the moment; never 0.
pub fn window_print(list: &MediaList) -> u64 {
    let mut hasher = Xxh3Default::new();
    let newest = list.segments.last().map(|newest| (newest.said_sequence, SeenSegment::of(newest).print));
    (newest, list.has_ended).hash(&mut hasher);
    hasher.finish() | 1
}

/// What has become of the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowChange {
    /// It is the first one.
    First,
    Grew,
    /// Nothing is new.
    Still,
    /// It is an older one again.
    Stale,
    /// So many segments were never listed while somebody looked.
    Jumped {
        missed: u64,
    },
    /// The numbers began anew.
    Restarted,
}

/// How long nothing new has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoodStill {
    No,
    /// For longer than the source needs for a segment.
    ForASegment,
    /// For longer than any cache lags.
    ForLong,
}

/// What a playlist brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSegments<'l> {
    pub change: WindowChange,
    /// The run that they belong to.
    pub run: u64,
    /// In the order of their numbers.
    pub segments: Vec<&'l ListedSegment>,
}

/// What was seen of one playlist.
#[derive(Debug, Default)]
pub struct PlaylistFollower {
    run: u64,
    seen: BTreeMap<u64, SeenSegment>,
    /// By so much are numbers of the playlist moved beyond [`FIRST_NUMBER`], so that they are counted on.
    offset: i64,
    /// All numbers up to this one were seen, as far as anybody remembers.
    forgotten: Option<u64>,
    /// How often in a row a stale window has grown, and up to which number.
    stale: (u32, u64),
    /// The last playlist said that the stream has ended.
    has_ended: bool,
    /// What the last playlist called segments that had other names before.
    renamed: Option<BTreeMap<u64, u64>>,
    /// Names change from one playlist to the next.
    are_names_signed: bool,
    /// How many segments were listed last by a playlist that is no older one.
    listed: usize,
}

#[derive(Debug, Clone, Copy)]
struct SeenSegment {
    /// Of its name and its shape.
    print: u64,
    /// Of its part of a file, and how long it lasts.
    shape: u64,
    time: Option<Timestamp>,
}

impl SeenSegment {
    fn of(segment: &ListedSegment) -> Self {
        let path = segment.uri.split(['?', '#']).next().unwrap_or_default();
        let mut hasher = Xxh3Default::new();
        (segment.range, segment.duration.us()).hash(&mut hasher);
        let shape = hasher.finish();
        path.rsplit('/').next().unwrap_or_default().hash(&mut hasher);
        Self { print: hasher.finish(), shape, time: segment.time }
    }

    fn is_same(self, other: Self, counts_times: bool) -> bool {
        let off = if counts_times && self.print == other.print { COUNTED_US } else { SAME_US };
        match (self.time, other.time) {
            (Some(one), Some(two)) => (one - two).us().abs() <= off,
            _ => self.print == other.print,
        }
    }
}

/// The number under which a segment is counted on.
fn moved(segment: &ListedSegment, offset: i64) -> u64 {
    // Beyond the last number they begin below the first one, each with its own all the same.
    segment.said_sequence.wrapping_add_signed(FIRST_NUMBER).wrapping_add_signed(offset)
}

/// What a segment is called in its playlist, whatever signs its address.
pub fn listed_name(segment: &ListedSegment) -> ListedName {
    (segment.sequence, SeenSegment::of(segment).print)
}

impl PlaylistFollower {
    /// With the numbers under which its segments are known already, where the playlist gives them others. No more than `most_missed` can have been
    /// listed since it was read last.
    pub fn counted_on(&mut self, list: MediaList, most_missed: u64) -> MediaList {
        let is_known = |segment: &ListedSegment| {
            let known = self.seen.get(&moved(segment, self.offset));
            known.is_some_and(|seen| seen.is_same(SeenSegment::of(segment), list.counts_times))
        };
        let goes_on = self.seen.last_key_value().zip(list.segments.first()).is_some_and(|((newest, _), oldest)| {
            let first = moved(oldest, self.offset);
            first > *newest && first - newest <= most_missed.saturating_add(1)
        });
        if !goes_on && !list.segments.iter().any(is_known) {
            self.offset = self.renumbered_by(&list).unwrap_or(self.offset);
        }
        let segments = list.segments.into_iter().map(|segment| {
            let sequence = moved(&segment, self.offset);
            ListedSegment { sequence, ..segment }
        });
        MediaList { segments: segments.collect(), ..list }
    }

    /// By how much all numbers differ from those under which the same segments were seen. Names that are there twice say nothing.
    fn renumbered_by(&self, list: &MediaList) -> Option<i64> {
        let mut by_print: HashMap<u64, Option<(u64, SeenSegment)>> = HashMap::new();
        for (number, seen) in &self.seen {
            by_print.entry(seen.print).and_modify(|known| *known = None).or_insert(Some((*number, *seen)));
        }
        let mut offsets = list.segments.iter().filter_map(|segment| {
            let listed = SeenSegment::of(segment);
            let (number, seen) = (*by_print.get(&listed.print)?)?;
            let offset = i128::from(number) - i128::from(moved(segment, 0));
            seen.is_same(listed, list.counts_times).then_some(i64::try_from(offset).ok()?)
        });
        let first = offsets.next().filter(|first| offsets.all(|other| other == *first))?;
        // What was listed long ago under such names is something else: names come again.
        let newest = moved(list.segments.last()?, first);
        let window = 2 * list.segments.len() as u64;
        (newest.saturating_add(window) >= *self.seen.last_key_value()?.0).then_some(first)
    }

    /// Takes the next playlist that was fetched. It says how long nothing new has come.
    pub fn observe<'l>(&mut self, list: &'l MediaList, stood_still: StoodStill) -> NewSegments<'l> {
        let (Some(oldest), Some(latest)) = (list.segments.first(), list.segments.last()) else {
            let (change, run) = (WindowChange::Still, self.run);
            return NewSegments { change, run, segments: Vec::new() };
        };
        let newest = self.seen.last_key_value().map(|(number, _)| *number);
        let is_other = self.is_other(list);
        if !is_other {
            self.renamed = None;
        }
        let mut change = match newest {
            None => WindowChange::First,
            Some(newest) if latest.sequence < newest && self.begins_anew(list, stood_still) => WindowChange::Restarted,
            Some(_) if is_other && !self.is_only_renamed(list) => WindowChange::Restarted,
            Some(newest) if latest.sequence < newest => self.stale(latest.sequence),
            Some(newest) if latest.sequence == newest => WindowChange::Still,
            Some(newest) => match oldest.sequence.saturating_sub(newest).saturating_sub(1) {
                0 => WindowChange::Grew,
                missed => WindowChange::Jumped { missed },
            },
        };
        if change == WindowChange::Restarted {
            *self = Self { run: self.run + 1, ..Self::default() };
        }
        if change != WindowChange::Stale {
            self.stale = (0, 0);
            self.listed = list.segments.len();
            self.has_ended = list.has_ended;
        }
        let is_new = |segment: &&ListedSegment| {
            let is_forgotten = self.forgotten.is_some_and(|forgotten| segment.sequence <= forgotten);
            !is_forgotten && !self.seen.contains_key(&segment.sequence)
        };
        let segments: Vec<&ListedSegment> = list.segments.iter().filter(is_new).collect();
        if change == WindowChange::Still && !segments.is_empty() {
            change = WindowChange::Grew;
        }
        self.seen.extend(segments.iter().map(|segment| (segment.sequence, SeenSegment::of(segment))));
        self.bound_memory(list.segments.len());
        NewSegments { change, run: self.run, segments }
    }

    /// Whether it lists other segments under numbers that were seen, or long before all that is remembered.
    fn is_other(&self, list: &MediaList) -> bool {
        let (mut same, mut other) = (0_usize, 0_usize);
        for segment in &list.segments {
            match self.seen.get(&segment.sequence) {
                Some(seen) if seen.is_same(SeenSegment::of(segment), list.counts_times) => same += 1,
                Some(seen) if self.are_names_signed && seen.shape == SeenSegment::of(segment).shape => same += 1,
                Some(_) => other += 1,
                None => {}
            }
        }
        // Shortly before what is remembered lies what a cache still has.
        let cached = 2 * list.segments.len() as u64;
        let is_before = self.seen.first_key_value().zip(list.segments.last());
        let is_before = is_before.is_some_and(|((oldest, _), last)| last.sequence.saturating_add(cached) < *oldest);
        // Some servers correct the duration of the last one.
        other > same || is_before
    }

    /// Whether all that was seen has the same shape under another name, for the first time or once more under others.
    fn is_only_renamed(&mut self, list: &MediaList) -> bool {
        let prints = || list.segments.iter().map(|segment| (segment.sequence, SeenSegment::of(segment)));
        let known = prints().filter_map(|(number, listed)| Some((*self.seen.get(&number)?, listed)));
        let mut known = known.peekable();
        if known.peek().is_none()
            || !known.all(|(seen, listed)| seen.shape == listed.shape && seen.time.is_none() && listed.time.is_none())
        {
            return false;
        }
        let Some(before) = self.renamed.replace(prints().map(|(number, listed)| (number, listed.print)).collect())
        else {
            return true;
        };
        let is_again = |(number, listed): (u64, SeenSegment)| before.get(&number) == Some(&listed.print);
        self.are_names_signed = !prints().any(is_again);
        self.are_names_signed
    }

    /// An encoder that begins anew under the old names has ended its playlist before, or has left it as it was for a while, and lists little at first;
    /// no cache lags so far behind. Nor does any say that a stream goes on that has ended long ago.
    fn begins_anew(&self, list: &MediaList, stood_still: StoodStill) -> bool {
        let is_short = 2 * list.segments.len() <= self.listed && (self.has_ended || stood_still != StoodStill::No);
        let is_late = self.has_ended && stood_still == StoodStill::ForLong;
        (is_short || is_late) && !list.has_ended && list.segments.iter().all(|segment| segment.time.is_none())
    }

    fn stale(&mut self, last: u64) -> WindowChange {
        let (times, before) = self.stale;
        if times == 0 || last > before {
            self.stale = (times + 1, last);
        }
        if self.stale.0 > STALE { WindowChange::Restarted } else { WindowChange::Stale }
    }

    fn bound_memory(&mut self, window: usize) {
        while self.seen.len() > window.saturating_mul(2).saturating_add(REMEMBERED) {
            self.forgotten = self.seen.pop_first().map(|(number, _)| number).max(self.forgotten);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::archive::Span;

    fn segment(sequence: u64, name: &str) -> ListedSegment {
        ListedSegment {
            sequence,
            said_sequence: sequence,
            uri: format!("https://cdn.example/{name}.ts?token=x"),
            duration: Span::from_us(2_000_000),
            time: None,
            is_discontinuous: false,
            is_gap: false,
            range: None,
            cipher: None,
            is_ad: false,
            map: None,
        }
    }

    fn window(stream: &str, numbers: std::ops::Range<u64>) -> MediaList {
        let segments = numbers.map(|number| segment(number, &format!("{stream}{number}"))).collect();
        MediaList { target: Span::from_us(2_000_000), segments, ..MediaList::default() }
    }

    fn seen(follower: &mut PlaylistFollower, list: &MediaList) -> (WindowChange, Vec<u64>) {
        let new = follower.observe(list, StoodStill::No);
        (new.change, new.segments.iter().map(|segment| segment.sequence).collect())
    }

    #[test]
    fn a_window_grows_stands_still_jumps_goes_back_and_begins_anew() {
        use WindowChange::{First, Grew, Jumped, Restarted, Stale, Still};
        let mut follower = PlaylistFollower::default();
        for (list, change, new) in [
            (window("a", 100..103), First, vec![100, 101, 102]),
            (window("a", 100..103), Still, vec![]),
            (window("a", 101..104), Grew, vec![103]),
            (window("a", 107..109), Jumped { missed: 3 }, vec![107, 108]),
            // A cache that lags: what it has and nobody saw is new all the same.
            (window("a", 103..106), Stale, vec![104, 105]),
            (window("a", 107..110), Grew, vec![109]),
            (window("b", 0..3), Restarted, vec![0, 1, 2]),
            // A restart at numbers that were used, and go on: other names alone may be signatures.
            (window("c", 1..4), Grew, vec![3]),
            (window("c", 1..4), Restarted, vec![1, 2, 3]),
        ] {
            assert_eq!(seen(&mut follower, &list), (change, new), "{list:?}");
        }
        assert_eq!(follower.observe(&window("c", 1..4), StoodStill::No).run, 2);
    }

    /// As it is observed where numbers are counted on.
    fn counted(follower: &mut PlaylistFollower, list: MediaList) -> (WindowChange, Vec<u64>) {
        let list = follower.counted_on(list, 5);
        let new = follower.observe(&list, StoodStill::No);
        let counted = |segment: &&ListedSegment| segment.sequence.wrapping_add_signed(-FIRST_NUMBER);
        (new.change, new.segments.iter().map(counted).collect())
    }

    fn renumbered(list: MediaList, first: u64) -> MediaList {
        let segments = (first..).zip(list.segments).map(|(number, one)| {
            segment(number, one.uri.trim_start_matches("https://cdn.example/").trim_end_matches(".ts?token=x"))
        });
        MediaList { segments: segments.collect(), ..list }
    }

    #[test]
    fn what_was_listed_under_other_numbers_is_known() {
        use WindowChange::{First, Grew, Jumped, Restarted, Still};
        let mut from_zero = PlaylistFollower::default();
        assert_eq!(counted(&mut from_zero, renumbered(window("a", 0..4), 0)), (First, vec![0, 1, 2, 3]));
        for slid in 1..300 {
            let list = renumbered(window("a", slid..slid + 4), 0);
            assert_eq!(counted(&mut from_zero, list.clone()), (Grew, vec![slid + 3]));
            assert_eq!(counted(&mut from_zero, list), (Still, vec![]));
        }
        assert_eq!(counted(&mut from_zero, window("b", 0..2)).0, WindowChange::Stale, "names may be signed");
        assert_eq!(counted(&mut from_zero, window("b", 0..2)).0, Restarted);
        let mut follower = PlaylistFollower::default();
        for (list, expected) in [
            (window("a", 10..13), (First, vec![10, 11, 12])),
            (renumbered(window("a", 11..14), 5_011), (Grew, vec![13])),
            (window("a", 12..15), (Grew, vec![14])),
            (renumbered(window("a", 13..16), 5_013), (Grew, vec![15])),
            (renumbered(window("a", 20..22), 5_020), (Jumped { missed: 4 }, vec![20, 21])),
        ] {
            assert_eq!(counted(&mut follower, list), expected);
        }
        let one_name = |numbers: std::ops::Range<u64>| {
            let list = window("a", numbers);
            MediaList { segments: list.segments.iter().map(|one| segment(one.sequence, "same")).collect(), ..list }
        };
        let mut unnamed = PlaylistFollower::default();
        assert_eq!(counted(&mut unnamed, one_name(3..6)).0, First);
        assert_eq!(counted(&mut unnamed, one_name(8..11)), (Jumped { missed: 2 }, vec![8, 9, 10]));
        let again = |numbers: std::ops::Range<u64>| {
            let list = window("a", numbers);
            let name = |one: &ListedSegment| segment(one.sequence, &format!("live{}", one.sequence % 6));
            MediaList { segments: list.segments.iter().map(name).collect(), ..list }
        };
        let mut names_come_again = PlaylistFollower::default();
        assert_eq!(counted(&mut names_come_again, again(0..3)).0, First);
        assert_eq!(counted(&mut names_come_again, again(6..9)), (Jumped { missed: 3 }, vec![6, 7, 8]));
        let mut from_zero_and_stale = PlaylistFollower::default();
        counted(&mut from_zero_and_stale, renumbered(window("a", 8..12), 0));
        let (change, old) = counted(&mut from_zero_and_stale, renumbered(window("a", 6..10), 0));
        assert_eq!((change, old.len()), (WindowChange::Stale, 2));
    }

    #[test]
    fn names_that_are_signed_anew_each_time_are_those_of_the_same_stream() {
        use WindowChange::{First, Grew, Restarted, Stale, Still};
        let mut follower = PlaylistFollower::default();
        for (list, change, new) in [
            (window("a", 10..13), First, vec![10, 11, 12]),
            (window("b", 10..13), Still, vec![]),
            (window("c", 11..14), Grew, vec![13]),
            (window("d", 12..17), Grew, vec![14, 15, 16]),
            (window("e", 11..14), Stale, vec![]),
            (window("f", 0..2), Restarted, vec![0, 1]),
        ] {
            assert_eq!(seen(&mut follower, &list), (change, new), "{list:?}");
        }
        let mut two_servers = PlaylistFollower::default();
        seen(&mut two_servers, &window("a", 10..13));
        for number in 11..20 {
            let of = if number % 2 == 0 { "a" } else { "b" };
            assert_eq!(seen(&mut two_servers, &window(of, number..number + 3)), (Grew, vec![number + 2]));
        }
    }

    #[test]
    fn a_stream_that_begins_anew_under_the_old_names_is_taken_for_stale_three_times_at_most() {
        let mut follower = PlaylistFollower::default();
        seen(&mut follower, &window("a", 0..40));
        for last in 1..=3 {
            assert_eq!(seen(&mut follower, &window("a", 0..last)), (WindowChange::Stale, vec![]));
            assert_eq!(seen(&mut follower, &window("a", 0..last)), (WindowChange::Stale, vec![]));
        }
        assert_eq!(seen(&mut follower, &window("a", 0..4)), (WindowChange::Restarted, vec![0, 1, 2, 3]));
    }

    #[test]
    fn a_short_playlist_after_the_end_is_an_encoder_that_begins_anew_under_the_old_names() {
        use WindowChange::{First, Grew, Restarted, Stale};
        let ended = |list| MediaList { has_ended: true, ..list };
        let mut follower = PlaylistFollower::default();
        for (list, change, new) in [
            (window("a", 0..4), First, vec![0, 1, 2, 3]),
            (ended(window("a", 0..5)), Grew, vec![4]),
            // A cache that lags a little.
            (window("a", 0..4), Stale, vec![]),
            (ended(window("a", 0..5)), WindowChange::Still, vec![]),
            (window("a", 0..2), Restarted, vec![0, 1]),
            (window("a", 0..3), Grew, vec![2]),
            (window("a", 0..1), Stale, vec![]),
        ] {
            assert_eq!(seen(&mut follower, &list), (change, new), "{list:?}");
        }
        let mut killed = PlaylistFollower::default();
        seen(&mut killed, &window("a", 0..3));
        assert_eq!(
            killed.observe(&window("a", 0..1), StoodStill::ForASegment).change,
            Restarted,
            "it stood still for a while"
        );
    }

    #[test]
    fn whoever_has_just_begun_takes_what_a_cache_still_had_for_that_and_not_for_a_restart() {
        use WindowChange::{First, Grew, Restarted, Stale};
        let mut follower = PlaylistFollower::default();
        for (list, change, new) in [
            (window("a", 60..64), First, vec![60, 61, 62, 63]),
            (window("a", 50..54), Stale, vec![50, 51, 52, 53]),
            (window("a", 61..65), Grew, vec![64]),
            (window("a", 20..24), Restarted, vec![20, 21, 22, 23]),
        ] {
            assert_eq!(seen(&mut follower, &list), (change, new), "{list:?}");
        }
    }

    #[test]
    fn times_say_what_is_the_same_whatever_it_is_called() {
        let at = |list: &mut MediaList, us: i64| {
            for (number, segment) in (0..).zip(&mut list.segments) {
                segment.time = Some(Timestamp::from_us(us + number * 2_000_000));
            }
        };
        let mut follower = PlaylistFollower::default();
        let (mut one, mut two, mut three) = (window("a", 5..8), window("signed-anew-", 5..8), window("a", 5..8));
        at(&mut one, 0);
        at(&mut two, 400_000);
        at(&mut three, 60_000_000);
        seen(&mut follower, &one);
        assert_eq!(seen(&mut follower, &two), (WindowChange::Still, vec![]));
        assert_eq!(seen(&mut follower, &three), (WindowChange::Restarted, vec![5, 6, 7]));
    }

    proptest! {
        /// A stream of which windows are fetched at any moments, some of them from caches that lag, and which is restarted once: each segment
        /// that a window listed is new exactly once in its run.
        #[test]
        fn whatever_is_listed_is_new_exactly_once(
            length in 1_u64..20,
            steps in prop::collection::vec((0_u64..12, 0_u64..6), 1..150),
            restart in 1_usize..200,
        ) {
            let mut follower = PlaylistFollower::default();
            let (mut stream, mut end) = (0_u32, 1_000_u64);
            let (mut listed, mut new) = (BTreeSet::new(), Vec::new());
            for (at, (grown, lag)) in steps.into_iter().enumerate() {
                if at == restart {
                    (stream, end) = (1, 0);
                }
                // No cache lags so far that it has nothing that is remembered, or has what was before the restart.
                end += grown.max(u64::from(end == 0));
                let last = end - lag.min(length - 1).min(end - 1);
                let list = window(&format!("{stream}-"), last.saturating_sub(length)..last);
                listed.extend(list.segments.iter().map(|segment| (stream, segment.sequence)));
                let found = follower.observe(&list, StoodStill::No);
                prop_assert_eq!(found.run, u64::from(stream));
                new.extend(found.segments.iter().map(|segment| (stream, segment.sequence)));
            }
            let unique: BTreeSet<_> = new.iter().copied().collect();
            prop_assert_eq!(unique.len(), new.len(), "some were new twice");
            prop_assert_eq!(unique, listed);
            prop_assert!(follower.seen.len() <= 2 * 20 + REMEMBERED);
        }
    }
}
