//! Room against what its rules say: nobody's hours go for another's.

use proptest::prelude::*;

use super::super::{Schedule, schedule};
use super::*;
use crate::domain::time::HOUR_US;

fn now() -> Timestamp {
    Timestamp::parse("2020-01-10T12:30").unwrap()
}

/// An hour so many hours before the one that runs, of a hundred bytes.
fn stored(stream: &str, ago: i64, fetched: bool) -> Stored {
    let hour = (now() - Span::from_us(ago * HOUR_US)).hour();
    let place = HourPlace { stream: Stream::parse(stream).unwrap(), hour };
    let decided = Decided::Nothing;
    Stored { place, bytes: 100, other_bytes: 0, segments: 10, tombstones: 0, decided, fetched }
}

fn limit(channel: &str, quality: Option<&str>, max_bytes: Option<u64>) -> StreamLimit {
    StreamLimit { channel: channel.to_owned(), quality: quality.map(str::to_owned), max_age: None, max_bytes }
}

fn going(schedule: &Schedule, reason: Reason) -> Vec<String> {
    let of_reason = schedule.going.iter().filter(|going| going.reason == reason);
    of_reason.map(|going| going.stored.place.to_string()).collect()
}

#[test]
fn junk_of_others_displaces_nothing_wherever_it_lies_in_time() {
    let max_bytes = Some(4_200);
    let limits = Limits { max_bytes, ..Limits::default() };
    for (stream, first) in [("junk/source", 2), ("own/source", 60), ("own/source", -40)] {
        let mut all: Vec<Stored> = (0..41).map(|ago| stored("own/source", ago, false)).collect();
        all.extend((first..first + 37).map(|ago| stored(stream, ago, true)));
        all.dedup_by(|a, b| a.place == b.place);
        let plan = schedule(all.clone(), &limits, now(), None);
        assert!(plan.going.iter().all(|going| going.reason == Reason::Fetched), "{stream} {first}: {plan:?}");
        assert!(first < 0 || plan.going.len() == 36 && plan.doubt.is_none(), "{stream} {first}: {plan:?}");
        // Taken for own, it pushes half of what was recorded out.
        for hour in &mut all {
            hour.fetched = false;
        }
        let without = schedule(all, &limits, now(), None);
        assert!(
            first != 2 || going(&without, Reason::Size).iter().filter(|place| place.starts_with("own")).count() > 15
        );
    }
}

#[test]
fn for_free_space_what_came_from_others_goes_first_and_what_cannot_go_yet_costs_nobody() {
    let mut all: Vec<Stored> = (2..10).map(|ago| stored("own/source", ago, false)).collect();
    all.extend((2..4).map(|ago| stored("junk/source", ago, true)));
    let limits = Limits { min_free: Some(500), ..Limits::default() };
    let plan = |hours: &[Stored], free| schedule(hours.to_vec(), &limits, now(), Some(free));
    assert_eq!(going(&plan(&all, 350), Reason::Fetched).len(), 2);
    assert_eq!(going(&plan(&all, 250), Reason::Space), ["own/source/2020-01-10T03"]);
    // The newest hours of others cannot go yet: they are not made room for.
    all.extend((0..2).map(|ago| stored("junk/source", ago, true)));
    assert!(going(&plan(&all, 150), Reason::Space).is_empty());
}

#[test]
fn a_section_bounds_its_own_streams_and_the_more_specific_one_wins() {
    let sections = vec![limit("a", None, Some(300)), limit("a", Some("source"), Some(500))];
    let limits = Limits { streams: sections, ..Limits::default() };
    let streams = ["a/source", "a/480p", "a/160p", "b/source"];
    let all: Vec<Stored> = streams.iter().flat_map(|stream| (2..8).map(|ago| stored(stream, ago, false))).collect();
    let plan = schedule(all, &limits, now(), None);
    let gone = going(&plan, Reason::Stream);
    assert_eq!(gone.iter().filter(|place| place.starts_with("a/source")).count(), 1);
    assert_eq!(gone.iter().filter(|place| place.starts_with("a/480p") || place.starts_with("a/160p")).count(), 9);
    assert_eq!(gone.len(), 10);
}

#[test]
fn an_age_of_a_stream_stands_in_place_of_that_of_all() {
    let place = |stream: &str| stored(stream, 10, false).place;
    let hours = |count: i64| Some(Span::from_us(count * HOUR_US));
    let of = |channel: &str, max_age| StreamLimit { max_age: Some(max_age), ..limit(channel, None, None) };
    let streams = vec![of("kept", None), of("short", hours(2)), limit("sized", None, Some(5))];
    let limits = Limits { max_age: hours(5), streams, ..Limits::default() };
    assert!(limits.too_old(&place("x/y"), now()) && limits.too_old(&place("sized/y"), now()));
    assert!(!limits.too_old(&place("kept/y"), now()));
    let long = Limits { max_age: hours(50), ..limits };
    assert!(long.too_old(&place("short/y"), now()) && !long.too_old(&place("x/y"), now()));
}

#[test]
fn what_had_to_go_is_not_fetched_again_and_keeps_nobody_else_away() {
    let place = |stream: &str, ago| stored(stream, ago, false).place;
    let limits = Limits { max_bytes: Some(1), streams: vec![limit("a", None, Some(1))], ..Limits::default() };
    let gone =
        [(place("own/s", 30), Reason::Size), (place("junk/s", 10), Reason::Fetched), (place("a/s", 5), Reason::Stream)];
    let horizons = Horizons::of(gone.iter().map(|(at, reason)| (at, *reason)));
    let has_room = |stream: &str, ago, is_fetched| horizons.has_room(&place(stream, ago), is_fetched, &limits);
    assert!(!has_room("junk/s", 11, true) && has_room("junk/s", 9, true), "others' hours have a horizon of their own");
    assert!(has_room("own/s", 11, false) && !has_room("own/s", 31, false));
    assert!(!has_room("a/other", 6, false) && has_room("a/other", 4, false) && has_room("b/s", 6, false));
    let without = Limits::default();
    assert!(horizons.has_room(&place("own/s", 31), true, &without), "a limit that is gone keeps nothing away");
}

fn any_hours() -> impl Strategy<Value = Vec<Stored>> {
    let one = (prop::sample::select(vec!["a/x", "a/y", "b/x", "c/x"]), -3..60_i64, 0..200_u64, any::<bool>(), 0..8_u8);
    let one = one.prop_map(|(stream, ago, bytes, fetched, kept)| {
        let decided = if kept == 0 { Decided::Keep } else { Decided::Nothing };
        Stored { bytes, decided, ..stored(stream, ago, fetched && kept > 0) }
    });
    prop::collection::vec(one, 0..80).prop_map(|mut all| {
        all.sort_by(|a, b| a.place.cmp(&b.place));
        all.dedup_by(|a, b| a.place == b.place);
        all
    })
}

fn any_limits() -> impl Strategy<Value = Limits> {
    let bytes = || prop::option::of(0..6_000_u64);
    (bytes(), bytes(), bytes(), bytes()).prop_map(|(max_bytes, min_free, channel, quality)| {
        let streams = vec![limit("a", None, channel), limit("a", Some("x"), quality)];
        Limits { max_age: None, max_bytes, min_free, streams }
    })
}

proptest! {
    #[test]
    fn with_or_without_others_the_same_of_ones_own_goes(all in any_hours(), limits in any_limits(), free in 0..6_000_u64) {
        let own: Vec<Stored> = all.iter().filter(|stored| !stored.fetched).cloned().collect();
        prop_assume!(own.iter().any(|stored| stored.segments > 0));
        // The channel of the sections is configured, so nothing in it counts as others'.
        let all: Vec<Stored> = all.into_iter().filter(|stored| !stored.fetched || stored.place.stream.channel.as_str() != "a").collect();
        let others: u64 = all.iter().filter(|stored| stored.fetched).map(|stored| stored.bytes).sum();
        let of_own = |plan: &Schedule| {
            let mut gone: Vec<String> = plan.going.iter().filter(|going| !going.stored.fetched).map(|going| going.stored.place.to_string()).collect();
            gone.sort();
            gone
        };
        let with = schedule(all, &limits, now(), Some(free));
        // What others' files take of the disk is what would be free without them.
        let alone = schedule(own, &limits, now(), Some(free + others));
        prop_assert_eq!(of_own(&with), of_own(&alone));
    }

    #[test]
    fn a_section_takes_from_nobody_else_and_ends_below_its_limit(all in any_hours(), limits in any_limits()) {
        let plan = schedule(all.clone(), &limits, now(), None);
        let goes = |stored: &Stored| plan.going.iter().any(|going| going.stored.place == stored.place);
        for going in plan.going.iter().filter(|going| going.reason == Reason::Stream) {
            prop_assert_eq!(going.stored.place.stream.channel.as_str(), "a");
        }
        let (safe, last) = (now().hour().previous(), now().hour().next());
        for (number, section) in limits.streams.iter().enumerate() {
            let Some(most) = section.max_bytes else { continue };
            let of_section = |stored: &&Stored| limits.section(&stored.place.stream) == Some(number);
            let left: Vec<&Stored> = all.iter().filter(of_section).filter(|stored| !goes(stored)).collect();
            let bytes: u64 = left.iter().filter(|stored| stored.place.hour <= last).map(|stored| stored.bytes).sum();
            let could = |stored: &&&Stored| stored.decided == Decided::Nothing && stored.place.hour < safe && stored.bytes > 0;
            prop_assert!(bytes <= most || left.iter().filter(could).count() == 0);
            // By its own limit alone no more goes than it asks for.
            let by_section: Vec<Stored> = plan.going.iter().filter(|going| going.reason == Reason::Stream).map(|going| going.stored.clone()).collect();
            let newest = by_section.iter().filter(|stored| of_section(stored)).max_by_key(|stored| (stored.place.hour, stored.place.stream.clone()));
            if let Some(newest) = newest {
                let all_but_global: u64 = all.iter().filter(of_section).filter(|stored| stored.place.hour <= last).filter(|stored| !by_section.contains(stored)).map(|stored| stored.bytes).sum();
                prop_assert!(all_but_global + newest.bytes > most);
            }
        }
    }
}
