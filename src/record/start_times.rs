//! When segments begin: as their playlist says, or else by when they appeared. Pure.
//!
//! 1. A time that is told is taken as it is: it is what makes names the same on every node.
//! 2. Where none is told, the newest segment ends when it appeared, and each begins where the one before it ended. So times are held steady
//!    along the numbers, whatever the network does to single playlists.
//!    So are times that are counted from one that is rounded to whole seconds: it says where a run begins, and others find it up to a second off.
//! 3. What durations and the clock here disagree about by and by ([`Drift`]) is let out by at most 5 ms a segment, which is neither a hole
//!    nor an overlap in this archive. Late are only those that always are: the least lateness of the last 16 windows counts.
//! 4. A segment that comes much too late after a window that stood still, or after numbers that nobody saw, begins anew by when it appeared,
//!    and never before the end of the one before: what is between is a true hole.

use super::drift::Drift;
use super::follow::NewSegments;
use super::playlist::{ListedSegment, MediaList};
use crate::archive::time::SECOND_US;
use crate::archive::{Span, Timestamp};

/// Later than this, or than three segments of the longest duration, is no drift.
const BREAK_US: i64 = 5 * SECOND_US;
/// And later than this is none in any case: what is here is looked for within 30 s.
const LONGEST_BREAK_US: i64 = 20 * SECOND_US;
/// No segment ends so long after it appeared.
const AHEAD_US: i64 = 15 * SECOND_US;
/// A told time that lies further before the end of the segment before contradicts it.
const CONTRADICTS_US: i64 = SECOND_US / 2;

/// Who says when a segment begins, and so how far other recorders agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartSource {
    /// The playlist says so of this segment: everybody finds the same.
    Told,
    /// The playlist says so of some segments alone, and durations are counted from there: with rounded ones, others may find it some milliseconds off.
    Counted,
    /// It is when the segment appeared here: others may find it seconds off.
    Untold,
}

impl StartSource {
    /// It follows from what the playlist says.
    pub const fn is_told(self) -> bool {
        matches!(self, Self::Told | Self::Counted)
    }
}

/// By so much is a window older at most that a cache still had; what is the same is found within twice that.
const LAGS_US: i64 = 15 * SECOND_US;

/// When a segment begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartTime {
    pub start: Timestamp,
    pub source: StartSource,
    /// It contradicts the segment before.
    pub is_doubtful: bool,
    /// How far it was moved to agree with other nodes.
    pub moved: Span,
}

/// Where the last segment ended.
#[derive(Debug, Clone, Copy)]
struct ChainEnd {
    run: u64,
    sequence: u64,
    end: Timestamp,
    is_told: bool,
}

/// The times of one playlist's segments.
#[derive(Debug, Default)]
pub struct StartTimes {
    last: Option<ChainEnd>,
    late: Drift,
    /// The playlist tells times of some segments alone.
    are_counted: bool,
    /// What it tells is rounded to whole seconds.
    are_rounded: bool,
}

impl StartTimes {
    fn source(&self, segment: &ListedSegment) -> StartSource {
        match self.told(segment) {
            None => StartSource::Untold,
            Some(_) if self.are_counted => StartSource::Counted,
            Some(_) => StartSource::Told,
        }
    }

    /// What is told says where a run begins, and no more.
    fn are_estimates(&self) -> bool {
        self.are_counted && self.are_rounded
    }

    /// What the playlist tells of it that names can be made of.
    fn told(&self, segment: &ListedSegment) -> Option<Timestamp> {
        segment.time.filter(|_| !self.are_estimates())
    }

    /// What is placed so far was found to lie elsewhere by so much.
    pub fn shift_end(&mut self, shift: Span) {
        if let Some(last) = self.last.as_mut().filter(|last| !last.is_told) {
            last.end = last.end + shift;
        }
    }

    /// When each of the new segments begins, which appeared in a playlist that was asked for at that time.
    pub fn place(&mut self, new: &NewSegments<'_>, list: &MediaList, appeared: Timestamp) -> Vec<StartTime> {
        (self.are_counted, self.are_rounded) = (list.counts_times, list.rounds_times);
        let run = new.run;
        // What a cache that lags still had, or a window that was shorter before, lies before what is placed already, and says nothing of now.
        let is_old = |segment: &&ListedSegment| {
            self.last.is_some_and(|last| last.run == run && segment.sequence <= last.sequence)
        };
        let (old, segments) = new.segments.split_at(new.segments.partition_point(is_old));
        let newest = old.last().map_or(0, |segment| segment.sequence);
        let mut placed: Vec<StartTime> = old.iter().map(|segment| self.before_the_last(segment, newest)).collect();
        let part = segments.iter().rposition(|segment| segment.is_discontinuous).unwrap_or_default();
        let (earlier, rest) = segments.split_at(part);
        if !earlier.is_empty() {
            let is_known = self.last.is_some_and(|last| last.run == run);
            let anew = (!is_known).then(|| self.not_before_the_end(beginning(segments, appeared), appeared));
            placed.extend(self.each(run, earlier, anew, Span::default()));
        }
        let Some(first) = rest.first().map(|segment| segment.sequence) else { return placed };
        let by_clock = self.not_before_the_end(beginning(rest, appeared), appeared);
        let goes_on = self.last.filter(|last| last.run == run && last.sequence.checked_add(1) == Some(first));
        let late = goes_on.map(|last| (beginning(rest, appeared) - last.end).us());
        let (anew, step) = match late {
            _ if rest.iter().any(|segment| self.told(segment).is_some()) => {
                (goes_on.is_none().then_some(by_clock), Span(0))
            }
            _ if goes_on.is_some() && self.are_estimates() && rest.iter().all(|segment| segment.time.is_none()) => {
                (None, Span(0))
            }
            // They are as late by the clock here as the source always is.
            _ if goes_on.is_some_and(|last| last.is_told) && !self.are_estimates() => (None, Span(0)),
            Some(late) if late <= self.latest(list) => (None, self.late.step(late)),
            _ => {
                self.late.clear();
                (Some(by_clock), Span(0))
            }
        };
        placed.extend(self.each(run, rest, anew, step));
        placed
    }

    /// One of an old window, of which that number is the newest.
    fn before_the_last(&self, segment: &ListedSegment, newest: u64) -> StartTime {
        let by_number = || {
            let last = self.last?;
            let length = |from: u64, to: u64| {
                let count = i64::try_from(to.checked_sub(from)?).unwrap_or(i64::MAX);
                Some(segment.duration.us().saturating_mul(count))
            };
            // Numbers between may have been left out, and no cache lags far.
            let lag = length(newest, last.sequence)?.min(LAGS_US);
            Some(
                last.end
                    - Span(length(segment.sequence, newest)?.saturating_add(lag).saturating_add(segment.duration.us())),
            )
        };
        let start = self.told(segment).or_else(by_number).unwrap_or(Timestamp::from_us(0));
        StartTime { start, source: self.source(segment), is_doubtful: false, moved: Span(0) }
    }

    /// Later than this is no drift.
    fn latest(&self, list: &MediaList) -> i64 {
        // A time that is told is off by its rounding, and no more.
        if self.are_estimates() {
            SECOND_US + SECOND_US / 2
        } else {
            (3 * list.target.us()).clamp(BREAK_US, LONGEST_BREAK_US)
        }
    }

    /// Unless that lies where nothing can lie yet: then what came before was placed wrongly.
    fn not_before_the_end(&self, start: Timestamp, appeared: Timestamp) -> Timestamp {
        let last = self.last.map(|last| last.end).filter(|end| end.us() <= appeared.us().saturating_add(AHEAD_US));
        last.map_or(start, |end| start.max(end))
    }

    /// One after the other: what is not told begins where the one before ended, and the first at that time if one is given.
    fn each(&mut self, run: u64, segments: &[&ListedSegment], anew: Option<Timestamp>, step: Span) -> Vec<StartTime> {
        let place = |(at, segment): (usize, &&ListedSegment)| {
            let last = self.last;
            let goes_on = last.map(|last| last.end + if at == 0 { step } else { Span(0) });
            let untold = anew.filter(|_| at == 0).or(goes_on);
            let start = self.told(segment).or(untold).unwrap_or(Timestamp::from_us(0));
            let sequence = segment.sequence;
            let before = last.filter(|last| last.run == run && last.sequence.checked_add(1) == Some(sequence));
            let contradicts_from = if self.are_rounded { SECOND_US } else { CONTRADICTS_US };
            let contradicts = before.is_some_and(|before| (before.end - start).us() > contradicts_from);
            let is_doubtful = self.told(segment).is_some() && !segment.is_discontinuous && contradicts;
            let is_told = self.told(segment).is_some() || before.is_some_and(|before| before.is_told);
            self.last = Some(ChainEnd { run, sequence, end: start + segment.duration, is_told });
            StartTime { start, source: self.source(segment), is_doubtful, moved: Span(0) }
        };
        segments.iter().enumerate().map(place).collect()
    }
}

/// When these begin if all follow one another: by the first of which a time is told, or else so that the last one ends now.
fn beginning(segments: &[&ListedSegment], now: Timestamp) -> Timestamp {
    let mut length = Span(0);
    for segment in segments {
        if let Some(told) = segment.time {
            return told - length;
        }
        length = length + segment.duration;
    }
    now - length
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::follow::{PlaylistFollower, StoodStill};
    use super::*;

    fn segment(sequence: u64, us: i64, time: Option<i64>) -> ListedSegment {
        ListedSegment {
            sequence,
            said_sequence: sequence,
            uri: format!("{sequence}.ts"),
            duration: Span::from_us(us),
            time: time.map(Timestamp::from_us),
            is_discontinuous: false,
            is_gap: false,
            range: None,
            cipher: None,
            is_ad: false,
            map: None,
        }
    }

    fn list(segments: Vec<ListedSegment>) -> MediaList {
        MediaList { target: Span::from_us(2_000_000), segments, ..MediaList::default() }
    }

    #[derive(Default)]
    struct Placing(PlaylistFollower, StartTimes);

    impl Placing {
        fn at(&mut self, appeared: i64, list: &MediaList) -> Vec<StartTime> {
            let new = self.0.observe(list, StoodStill::No);
            self.1.place(&new, list, Timestamp::from_us(appeared))
        }

        fn starts(&mut self, appeared: i64, list: &MediaList) -> Vec<i64> {
            self.at(appeared, list).iter().map(|placed| placed.start.us()).collect()
        }
    }

    const S: i64 = SECOND_US;

    #[test]
    fn told_times_are_taken_and_one_that_contradicts_its_neighbour_is_doubtful() {
        let times = [0, 2, 4, 5, 9].map(|second| Some(second * S));
        let segments = times.iter().zip(0..).map(|(time, number)| segment(number, 2 * S, *time)).collect();
        let placed = Placing::default().at(99 * S, &list(segments));
        let starts: Vec<_> = placed.iter().map(|placed| (placed.start.us() / S, placed.is_doubtful)).collect();
        assert_eq!(starts, [(0, false), (2, false), (4, false), (5, true), (9, false)]);
        assert!(placed.iter().all(|placed| placed.source == StartSource::Told));
    }

    #[test]
    fn the_newest_ends_when_it_appeared_and_others_lie_before_it() {
        let mut placing = Placing::default();
        let of = |numbers: std::ops::Range<u64>| list(numbers.map(|number| segment(number, 2 * S, None)).collect());
        assert_eq!(placing.starts(100 * S, &of(105..108)), [94 * S, 96 * S, 98 * S]);
        // A playlist that comes late moves nothing.
        assert_eq!(placing.starts(103 * S, &of(106..109)), [100 * S]);
        // The source was silent for a minute.
        assert_eq!(placing.starts(162 * S, &of(107..110)), [160 * S]);
        // Numbers that nobody saw.
        assert_eq!(placing.starts(180 * S, &of(117..119)), [176 * S, 178 * S]);
        // A restart never begins before the end.
        let mut anew = of(0..4);
        anew.segments.iter_mut().for_each(|segment| segment.uri.insert(0, 'b'));
        assert_eq!(placing.starts(181 * S, &anew), [180 * S, 182 * S, 184 * S, 186 * S]);
    }

    #[test]
    fn what_goes_on_from_a_told_time_goes_on_by_its_durations_however_late_the_source_is() {
        let mut placing = Placing::default();
        let of = |numbers: std::ops::Range<u64>, told: Option<i64>| {
            let time = |number| told.filter(|_| number == numbers.start);
            list(numbers.clone().map(|number| segment(number, 2 * S, time(number))).collect())
        };
        assert_eq!(placing.starts(160 * S, &of(0..2, Some(100 * S))), [100 * S, 102 * S]);
        for number in 2..9 {
            let begins = 100 + 2 * i64::try_from(number).unwrap();
            assert_eq!(placing.starts((begins + 60) * S, &of(number - 1..number + 1, None)), [begins * S]);
        }
    }

    #[test]
    fn one_time_a_playlist_in_whole_seconds_says_where_it_begins_and_makes_neither_holes_nor_overlaps() {
        let (mut placing, length) = (Placing::default(), 1_920_000);
        let mut end = None;
        for number in 0_u64..200 {
            let begins = |at: u64| 1_000 * S + i64::try_from(at).unwrap() * length;
            let rounded = begins(number) / S * S;
            let time = |number_in: u64| rounded + (begins(number_in) - begins(number));
            let segments = (number..number + 6).map(|one| segment(one, length, Some(time(one)))).collect();
            let window = MediaList { counts_times: true, rounds_times: true, ..list(segments) };
            for placed in placing.at(begins(number) + 12 * S, &window) {
                assert!(!placed.is_doubtful && placed.source == StartSource::Untold, "{placed:?}");
                let gap = end.map_or(0, |end: i64| placed.start.us() - end);
                assert!(gap.abs() <= 5_000, "{gap} µs before number {number}");
                end = Some(placed.start.us() + length);
            }
            let off = end.unwrap() - begins(number + 6);
            assert!((-S..=0).contains(&off), "{off} µs");
        }
    }

    #[test]
    fn what_a_cache_still_had_lies_before_what_is_known_whatever_numbers_were_left_out_between() {
        let mut placing = Placing::default();
        let of = |numbers: std::ops::Range<u64>| list(numbers.map(|number| segment(number, 2 * S, None)).collect());
        assert_eq!(placing.starts(100 * S, &of(503..505)), [96 * S, 98 * S]);
        assert_eq!(placing.starts(101 * S, &of(501..503)), [92 * S, 94 * S], "the two before");
        let mut after_a_jump = Placing::default();
        after_a_jump.at(100 * S, &of(540..550));
        let starts = after_a_jump.starts(101 * S, &of(520..530));
        assert_eq!((starts[0], starts[9]), (65 * S, 83 * S), "not as many seconds before as its numbers say");
    }

    #[test]
    fn what_lies_before_a_discontinuity_goes_on_and_what_comes_after_it_begins_when_it_appeared() {
        let mut placing = Placing::default();
        placing.at(100 * S, &list(vec![segment(0, 2 * S, None)]));
        let mut then = list((0..4).map(|number| segment(number, 2 * S, None)).collect());
        then.segments[2].is_discontinuous = true;
        assert_eq!(placing.starts(160 * S, &then), [100 * S, 156 * S, 158 * S]);
    }

    proptest! {
        /// A source whose durations are off by up to 0.2 %, asked at odd moments: between neighbours there is never a hole or an overlap of
        /// 10 ms, and times stay where the segments are.
        #[test]
        fn drift_is_let_out_without_holes_and_overlaps(
            off in -4_000_i64..4_000,
            delays in prop::collection::vec(0_i64..1_000_000, 600),
        ) {
            let mut placing = Placing::default();
            let (said, real) = (2 * S, 2 * S + off);
            let mut end = None;
            for (number, delay) in (0_u64..).zip(&delays) {
                let published = (1_000 + i64::try_from(number).unwrap()) * real;
                let window = list((number.saturating_sub(4)..=number).map(|at| segment(at, said, None)).collect());
                for start in placing.starts(published + delay, &window) {
                    if let Some(end) = end {
                        let gap: i64 = start - end;
                        prop_assert!(gap.abs() < 10_000, "{gap} µs before number {number}");
                    }
                    end = Some(start + said);
                }
                let wrong = end.unwrap() - published;
                prop_assert!(wrong.abs() <= 1_100_000, "{wrong} µs off at number {number}");
            }
        }
    }
}
