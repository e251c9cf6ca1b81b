//! The newest hour that can be meant: how far ahead of the clock the name of an hour may be before it is nowhere the newest.
//!
//! Names of hours are written by cameras without a battery, by recorders with a wrong time zone, and by anybody who offers segments. One
//! stray `2099-06-01T03` must not take the watches, the gauges, the live edge and the maps away from today. So whoever looks for the
//! newest hour looks up to the horizon, and everything beyond is there for whoever asks for it by its time.
//!
//! 1. The margin is two hours: clocks of machines that keep time at all differ by less, an hour that has just begun elsewhere is not cut
//!    off, and a recorder that took daylight saving for UTC is still seen. Days would let a stray hour through.
//! 2. Where a quality has no hour up to the horizon, the clock here may be the one that is wrong (a machine without a battery begins in
//!    1970): then names are all there is, and they are believed.
//! 3. At the other end what is shown by default begins after the last silence of more than five years: a stray `1970-01-01T00` makes
//!    no picture of half a century.
//!
//! No clock is read here.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::time::{HOUR_US, Hour, Span, Timestamp};

/// How far ahead of the clock an hour may begin.
pub const MARGIN: Span = Span::from_us(2 * HOUR_US);

/// What lies before a longer silence is not shown unless it is asked for: five years, in hours.
const SILENCE_HOURS: i32 = 5 * 8_766;

/// Up to which hour names are believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Horizon {
    running: Hour,
    last: Hour,
}

impl Horizon {
    /// Nothing is beyond it.
    pub const OPEN: Self = Self { running: Hour::MAX, last: Hour::MAX };

    /// At this time.
    pub fn at(now: Timestamp) -> Self {
        Self { running: now.hour(), last: (now + MARGIN).hour() }
    }

    /// The same, or as far as at this time if that is later: where this node's clock may be the one that is behind.
    #[must_use]
    pub fn or_at(self, other: Option<Timestamp>) -> Self {
        let Some(other) = other else { return self };
        Self { last: self.last.max(Self::at(other).last), ..self }
    }

    /// The last hour that is not beyond it.
    pub const fn last(self) -> Hour {
        self.last
    }

    /// Whether an hour lies beyond it.
    pub fn is_beyond(self, hour: Hour) -> bool {
        hour > self.last
    }

    /// The last hour that may be the newest of these; any hour where all of them lie beyond.
    pub fn bound<T>(self, hours: &BTreeMap<Hour, T>) -> Hour {
        let has_some = hours.first_key_value().is_some_and(|(first, _)| !self.is_beyond(*first));
        if has_some { self.last } else { Hour::MAX }
    }

    /// The hours of a quality that may be its newest, the newest first.
    pub fn newest<T>(self, hours: &BTreeMap<Hour, T>) -> impl Iterator<Item = Hour> {
        hours.range(..=self.bound(hours)).rev().map(|(hour, _)| *hour)
    }

    /// How many hours of a quality lie beyond it.
    pub fn count_beyond<T>(self, hours: &BTreeMap<Hour, T>) -> usize {
        if self.last == Hour::MAX { 0 } else { hours.range(self.last.next()..).count() }
    }

    /// The first and the last hour of a quality that are shown where nobody says which.
    pub fn view<T>(self, hours: &BTreeMap<Hour, T>) -> Option<(Hour, Hour)> {
        let last = self.newest(hours).next()?;
        let is_silence = |later: Hour, earlier: Hour| later.number() - earlier.number() > SILENCE_HOURS;
        let (begin, _) = hours.first_key_value()?;
        if !is_silence(last, *begin) {
            return Some((*begin, last));
        }
        let mut first = last;
        for hour in self.newest(hours) {
            if is_silence(first, hour) {
                break;
            }
            first = hour;
        }
        Some((first, last))
    }

    /// The hours of a quality in which something may be recorded now: so many of the newest, as many up to the hour that runs, which
    /// those of the margin must not displace, and of what lies beyond the one that changed last. If that is being recorded, the clock here
    /// is behind; if it is not, it costs one watch. With each hour goes the number of its last change.
    pub fn watched(self, hours: &BTreeMap<Hour, u64>, count: usize) -> BTreeSet<Hour> {
        let mut watched: BTreeSet<Hour> = self.newest(hours).take(count).collect();
        watched.extend(hours.range(..=self.running).rev().take(count).map(|(hour, _)| *hour));
        if self.last < Hour::MAX {
            let beyond = hours.range(self.last.next()..);
            watched.extend(beyond.max_by_key(|(_, changed)| **changed).map(|(hour, _)| *hour));
        }
        watched
    }

    /// Sorts hours newest first, and those beyond it last.
    pub fn rank(self, hour: Hour) -> (bool, Reverse<Hour>) {
        (self.is_beyond(hour), Reverse(hour))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hour(text: &str) -> Hour {
        Hour::parse(text).unwrap()
    }

    fn hours(texts: &[&str]) -> BTreeMap<Hour, u64> {
        texts.iter().zip(1..).map(|(text, changed)| (hour(text), changed)).collect()
    }

    fn at(text: &str) -> Horizon {
        Horizon::at(Timestamp::parse(text).unwrap())
    }

    #[test]
    fn a_stray_hour_of_the_future_is_not_the_newest() {
        let now = at("2026-03-04T10:30:00");
        let all = hours(&["2026-03-04T09", "2026-03-04T10", "2099-06-01T03"]);
        assert_eq!(now.newest(&all).next(), Some(hour("2026-03-04T10")));
        assert_eq!(now.count_beyond(&all), 1);
        assert_eq!(now.view(&all), Some((hour("2026-03-04T09"), hour("2026-03-04T10"))));
        assert_eq!(Horizon::OPEN.newest(&all).next(), Some(hour("2099-06-01T03")));
    }

    #[test]
    fn an_hour_within_the_margin_is_the_newest_and_does_not_displace_the_one_that_runs() {
        let now = at("2026-03-04T10:30:00");
        let all = hours(&["2026-03-04T09", "2026-03-04T10", "2026-03-04T11", "2026-03-04T12", "2026-03-04T13"]);
        assert_eq!(now.newest(&all).next(), Some(hour("2026-03-04T12")));
        let watched = now.watched(&all, 2);
        assert!(watched.contains(&hour("2026-03-04T10")) && watched.contains(&hour("2026-03-04T12")), "{watched:?}");
    }

    #[test]
    fn an_hour_that_changes_is_watched_whatever_the_clock_says_of_it() {
        let behind = at("2026-03-04T02:00:00");
        let mut all = hours(&["2026-03-04T01", "2026-03-04T08", "2026-03-04T09", "2999-01-01T00"]);
        all.insert(hour("2026-03-04T09"), 99);
        let watched = behind.watched(&all, 1);
        assert!(watched.contains(&hour("2026-03-04T09")), "{watched:?}");
        assert_eq!(watched.len(), 2, "what lies beyond costs one watch: {watched:?}");
    }

    #[test]
    fn where_everything_lies_beyond_names_are_believed() {
        let without_battery = at("1970-01-01T00:05:00");
        let all = hours(&["2026-03-04T09", "2026-03-04T10"]);
        assert_eq!(without_battery.newest(&all).next(), Some(hour("2026-03-04T10")));
        assert_eq!(without_battery.view(&all), Some((hour("2026-03-04T09"), hour("2026-03-04T10"))));
    }

    #[test]
    fn what_lies_before_a_silence_of_many_years_is_shown_only_where_it_is_asked_for() {
        let now = at("2026-03-04T10:30:00");
        let all = hours(&["1970-01-01T00", "2000-01-01T00", "2022-05-01T00", "2026-03-04T10"]);
        assert_eq!(now.view(&all), Some((hour("2022-05-01T00"), hour("2026-03-04T10"))));
        assert_eq!(now.view(&hours(&["1970-01-01T00"])), Some((hour("1970-01-01T00"), hour("1970-01-01T00"))));
        assert_eq!(now.view(&hours(&[])), None);
    }

    proptest! {
        #[test]
        fn of_any_hours_the_newest_is_up_to_the_horizon_unless_all_lie_beyond(
            numbers in prop::collection::btree_map(-700_000..80_000_000_i32, any::<u64>(), 0..40), now in 0..4_000_000_000_i64,
        ) {
            let base = hour("1970-01-01T00");
            let all: BTreeMap<Hour, u64> = numbers.into_iter()
                .map(|(number, changed)| (Timestamp::from_us(i64::from(number) * HOUR_US).hour(), changed))
                .filter(|(hour, _)| *hour >= base.earlier(700_000)).collect();
            let horizon = Horizon::at(Timestamp::from_us(now * 1_000_000));
            let within: Vec<Hour> = all.keys().copied().filter(|hour| !horizon.is_beyond(*hour)).collect();
            let expected = within.last().or(all.keys().last()).copied();
            prop_assert_eq!(horizon.newest(&all).next(), expected);
            prop_assert_eq!(horizon.count_beyond(&all), all.len() - within.len());
            prop_assert_eq!(horizon.view(&all).map(|(_, last)| last), expected);
            prop_assert!(horizon.watched(&all, 2).len() <= 5);
        }
    }
}
