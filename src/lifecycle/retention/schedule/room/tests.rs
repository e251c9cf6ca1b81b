//! Room against what its rules say: nobody's hours go for another's.

use proptest::prelude::*;

use super::super::{Schedule, SuspectPlan, schedule};
use super::*;
use crate::archive::blocks::BLOCK;
use crate::archive::origins::{GiftedHour, Origin};
use crate::archive::retention::StreamLimit;
use crate::archive::time::HOUR_US;
use crate::archive::{Span, Timestamp};
use crate::lifecycle::retention::shrinking::Levels;

fn now() -> Timestamp {
    Timestamp::parse("2020-01-10T12:30").unwrap()
}

/// An hour so many hours before the one that runs, of a hundred bytes.
fn stored(stream: &str, ago: i64, fetched: bool) -> Stored {
    let hour = (now() - Span::from_us(ago * HOUR_US)).hour();
    let place = HourPlace { stream: Stream::parse(stream).unwrap(), hour };
    let decided = EarlierDecision::Nothing;
    let origin = Origin { fetched, ..Origin::default() };
    Stored { place, bytes: 100, other_bytes: 0, segments: 10, tombstones: 0, decided, origin }
}

fn limit(channel: &str, quality: Option<&str>, max_bytes: Option<u64>) -> StreamLimit {
    let quality = quality.map(str::to_owned);
    StreamLimit { channel: channel.to_owned(), quality, max_age: None, bucket_age: None, max_bytes }
}

/// The same with blocks in place of bytes.
fn in_blocks(hours: &[Stored]) -> Vec<Stored> {
    let scaled = |stored: &Stored| {
        let added = stored.origin.added.bytes;
        let origin =
            Origin { added: GiftedHour { files: added.min(1), bytes: added * BLOCK, tombstones: 0 }, ..stored.origin };
        Stored { bytes: stored.bytes * BLOCK, segments: stored.bytes.min(1), origin, ..stored.clone() }
    };
    hours.iter().map(scaled).collect()
}

fn limits_in_blocks(limits: &RetentionLimits) -> RetentionLimits {
    let scaled = |most: Option<u64>| most.map(|most| most * BLOCK);
    let section = |section: &StreamLimit| StreamLimit { max_bytes: scaled(section.max_bytes), ..section.clone() };
    let streams = limits.streams.iter().map(section).collect();
    let (max_bytes, min_free) = (scaled(limits.max_bytes), scaled(limits.min_free));
    RetentionLimits { max_bytes, min_free, streams, ..RetentionLimits::default() }
}

fn going(schedule: &Schedule, reason: RetentionReason) -> Vec<String> {
    let of_reason = schedule.going.iter().filter(|going| going.reason == reason);
    of_reason.map(|going| going.stored.place.to_string()).collect()
}

#[test]
fn junk_of_others_displaces_nothing_wherever_it_lies_in_time() {
    let max_bytes = Some(4_200);
    let limits = RetentionLimits { max_bytes, ..RetentionLimits::default() };
    for (stream, first) in [("junk/source", 2), ("own/source", 60), ("own/source", -40)] {
        let mut all: Vec<Stored> = (0..41).map(|ago| stored("own/source", ago, false)).collect();
        all.extend((first..first + 37).map(|ago| stored(stream, ago, true)));
        all.dedup_by(|a, b| a.place == b.place);
        let plan = schedule(all.clone(), &limits, now(), None);
        assert!(plan.going.iter().all(|going| going.reason == RetentionReason::Fetched), "{stream} {first}: {plan:?}");
        assert!(first < 0 || plan.going.len() == 36 && plan.doubt().is_none(), "{stream} {first}: {plan:?}");
        // Taken for own, it pushes half of what was recorded out.
        for hour in &mut all {
            hour.origin.fetched = false;
        }
        let without = schedule(all, &limits, now(), None);
        assert!(
            first != 2
                || going(&without, RetentionReason::Size).iter().filter(|place| place.starts_with("own")).count() > 15
        );
    }
}

#[test]
fn for_free_space_what_came_from_others_goes_first_and_what_cannot_go_yet_costs_nobody() {
    let mut all: Vec<Stored> = (2..10).map(|ago| stored("own/source", ago, false)).collect();
    all.extend((2..4).map(|ago| stored("junk/source", ago, true)));
    let limits = RetentionLimits { min_free: Some(500), ..RetentionLimits::default() };
    let plan =
        |hours: &[Stored], free: u64| schedule(in_blocks(hours), &limits_in_blocks(&limits), now(), Some(free * BLOCK));
    assert_eq!(going(&plan(&all, 350), RetentionReason::Fetched).len(), 2);
    assert_eq!(going(&plan(&all, 250), RetentionReason::Space), ["own/source/2020-01-10T03"]);
    // The newest hours of others cannot go yet: they are not made room for.
    all.extend((0..2).map(|ago| stored("junk/source", ago, true)));
    assert!(going(&plan(&all, 150), RetentionReason::Space).is_empty());
}

#[test]
fn a_section_bounds_its_own_streams_and_the_more_specific_one_wins() {
    let sections = vec![limit("a", None, Some(300)), limit("a", Some("source"), Some(500))];
    let limits = RetentionLimits { streams: sections, ..RetentionLimits::default() };
    let streams = ["a/source", "a/480p", "a/160p", "b/source"];
    let all: Vec<Stored> = streams.iter().flat_map(|stream| (2..8).map(|ago| stored(stream, ago, false))).collect();
    let plan = schedule(all, &limits, now(), None);
    let gone = going(&plan, RetentionReason::Stream);
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
    let limits = RetentionLimits { max_age: hours(5), streams, ..RetentionLimits::default() };
    assert!(limits.too_old(&place("x/y"), now()) && limits.too_old(&place("sized/y"), now()));
    assert!(!limits.too_old(&place("kept/y"), now()));
    let long = RetentionLimits { max_age: hours(50), ..limits };
    assert!(long.too_old(&place("short/y"), now()) && !long.too_old(&place("x/y"), now()));
}

#[test]
fn what_had_to_go_is_not_fetched_again_and_keeps_nobody_else_away() {
    let place = |stream: &str, ago| stored(stream, ago, false).place;
    let limits =
        RetentionLimits { max_bytes: Some(1), streams: vec![limit("a", None, Some(1))], ..RetentionLimits::default() };
    let gone = [
        (place("own/s", 30), RetentionReason::Size),
        (place("junk/s", 10), RetentionReason::Fetched),
        (place("a/s", 5), RetentionReason::Stream),
    ];
    let horizons = Horizons::of(gone.iter().map(|(at, reason)| (at, *reason)));
    let has_room = |stream: &str, ago, is_fetched| horizons.has_room(&place(stream, ago), is_fetched, &limits);
    assert!(!has_room("junk/s", 11, true) && has_room("junk/s", 9, true), "others' hours have a horizon of their own");
    assert!(has_room("own/s", 11, false) && !has_room("own/s", 31, false));
    assert!(!has_room("a/other", 6, false) && has_room("a/other", 4, false) && has_room("b/s", 6, false));
    let without = RetentionLimits::default();
    assert!(horizons.has_room(&place("own/s", 31), true, &without), "a limit that is gone keeps nothing away");
}

/// An hour of one's own to which others have added so much.
fn added(stream: &str, ago: i64, added: u64) -> Stored {
    let own = stored(stream, ago, false);
    let given = GiftedHour { files: added.min(1), bytes: added, tombstones: 0 };
    Stored { bytes: own.bytes + added, origin: Origin { added: given, ..Origin::default() }, ..own }
}

fn named(stream: &str, ago: i64) -> Stored {
    Stored { origin: Origin { fetched: true, named: true, ..Origin::default() }, ..stored(stream, ago, true) }
}

#[test]
fn what_others_add_to_hours_of_ones_own_makes_none_of_them_go() {
    let plan = |hours: &[Stored], limits: &RetentionLimits, free: Option<u64>| {
        schedule(in_blocks(hours), &limits_in_blocks(limits), now(), free.map(|free| free * BLOCK))
    };
    let all: Vec<Stored> = (2..43).map(|ago| added("own/source", ago, if ago % 2 == 0 { 400 } else { 0 })).collect();
    for limits in [
        RetentionLimits { max_bytes: Some(4_200), ..RetentionLimits::default() },
        RetentionLimits { streams: vec![limit("own", None, Some(4_200))], ..RetentionLimits::default() },
        RetentionLimits { min_free: Some(20_000), ..RetentionLimits::default() },
    ] {
        assert!(plan(&all, &limits, Some(11_600)).going.is_empty(), "{limits:?}");
        let mut strangers = all.clone();
        for hour in &mut strangers {
            hour.origin.added = GiftedHour::default();
        }
        assert!(plan(&strangers, &limits, Some(11_600)).going.len() > 10, "{limits:?}");
    }
    // Of the free space it takes no more than half.
    let full = RetentionLimits { min_free: Some(16_000), ..RetentionLimits::default() };
    assert!(!plan(&all, &full, Some(7_900)).going.is_empty());
    // Where one's own is too much by itself, only as much goes as that asks for.
    let less = RetentionLimits { max_bytes: Some(3_950), ..RetentionLimits::default() };
    assert_eq!(going(&plan(&all, &less, None), RetentionReason::Size).len(), 2);
}

#[test]
fn files_of_a_byte_that_others_give_take_blocks_and_no_hours_of_ones_own_place() {
    let (files, of_hour) = (160, 10 * BLOCK);
    let hour = |ago| {
        let own = stored("own/source", ago, false);
        let added = GiftedHour { files, bytes: files, tombstones: 0 };
        let origin = Origin { added, ..Origin::default() };
        Stored { bytes: of_hour + files, segments: 10 + files, origin, ..own }
    };
    let all: Vec<Stored> = (2..42).map(hour).collect();
    let junk = 40 * files * BLOCK;
    let limits = RetentionLimits { min_free: Some(3 * junk), ..RetentionLimits::default() };
    let room = 3 * junk - junk;
    assert!(schedule(all.clone(), &limits, now(), Some(room)).going.is_empty());
    // By the bytes in them they would take nothing, and what was recorded would go for them.
    let mut by_bytes = all;
    for each in &mut by_bytes {
        each.origin.added.files = 0;
    }
    assert!(!schedule(by_bytes, &limits, now(), Some(room)).going.is_empty());
}

#[test]
fn many_hours_of_named_channels_do_not_make_the_loss_of_all_that_was_recorded_look_small() {
    let mut all: Vec<Stored> = (2..1_002).map(|ago| Stored { bytes: 1, ..named("named/source", ago) }).collect();
    assert_eq!(schedule(all.clone(), &RetentionLimits::default(), now(), None).own.hours, 1_000, "nothing is own");
    all.extend((2..102).map(|ago| stored("own/source", ago, false)));
    let limits = RetentionLimits { streams: vec![limit("own", None, Some(0))], ..RetentionLimits::default() };
    let plan = schedule(all, &limits, now(), None);
    assert_eq!((plan.own.hours, plan.own_after().hours), (100, 0));
    assert_eq!(plan.doubt(), Some(SuspectPlan::MoreThanHalf { going: 100, of: 100 }));
}

#[test]
fn one_stray_hour_of_ones_own_does_not_make_the_loss_of_a_whole_mirror_look_small() {
    let mut all: Vec<Stored> = (2..42).map(|ago| named("mirror/source", ago)).collect();
    all.push(stored("test/source", 5, false));
    let plan = |hours: &[Stored], most| {
        let limits = RetentionLimits { max_bytes: Some(most), ..RetentionLimits::default() };
        schedule(hours.to_vec(), &limits, now(), None)
    };
    let half = plan(&all, 2_000);
    assert_eq!((half.named.hours, half.named_after().hours, half.own_after().hours), (40, 19, 1));
    assert_eq!(half.doubt(), Some(SuspectPlan::MoreThanHalf { going: 21, of: 41 }));
    // In small steps, as a run after another sees it.
    let (mut levels, mut left) = (Levels::default(), all.clone());
    for most in (1..41).rev().map(|count| count * 100) {
        let step = plan(&left, most);
        levels.note(Span::from_us(0), step.named);
        assert_eq!(step.doubt(), None);
        if levels.shrinks(step.named_after()).is_none() {
            left.retain(|stored| !step.going.iter().any(|going| going.stored.place == stored.place));
        } else {
            break;
        }
    }
    assert_eq!(left.len(), 21);
    // Where most was recorded here, what others give beside it is taken as before.
    all.extend((2..50).map(|ago| stored("own/source", ago, false)));
    assert_eq!(plan(&all, 5_000).doubt(), None);
}

#[test]
fn so_much_may_be_added_beside_ones_own() {
    let stream = |text: &str| Stream::parse(text).unwrap();
    let streams = vec![limit("a", None, Some(500))];
    let limits = RetentionLimits { max_bytes: Some(1_000), min_free: Some(400), streams, ..RetentionLimits::default() };
    let given = [(stream("a/x"), 30), (stream("b/x"), 40)];
    let so_far = |of: &dyn Fn(&Stream) -> bool| given.iter().filter(|(at, _)| of(at)).map(|(_, bytes)| *bytes).sum();
    assert_eq!(limits.room_beside_own(&stream("a/y"), so_far), 20);
    assert_eq!(limits.room_beside_own(&stream("b/y"), so_far), 30);
    assert_eq!(RetentionLimits::default().room_beside_own(&stream("a/y"), so_far), u64::MAX);
}

#[test]
fn strangers_go_before_what_is_named_and_that_before_what_was_recorded() {
    let mut all: Vec<Stored> = (20..30).map(|ago| stored("own/source", ago, false)).collect();
    all.extend((2..8).map(|ago| named("own/zzz", ago)));
    all.extend((2..8).map(|ago| stored("junk/source", ago, true)));
    let plan = |most| {
        let limits = RetentionLimits { max_bytes: Some(most), ..RetentionLimits::default() };
        let plan = schedule(all.clone(), &limits, now(), None);
        plan.going.into_iter().map(|going| going.stored.place.stream.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(plan(1_700), ["junk/source"; 5]);
    assert_eq!(plan(1_400), [vec!["junk/source"; 6], vec!["own/zzz"; 2]].concat());
    assert_eq!(plan(900), [vec!["junk/source"; 6], vec!["own/zzz"; 6], vec!["own/source"]].concat());
    // Within a section as well.
    let by_section = RetentionLimits { streams: vec![limit("own", None, Some(1_200))], ..RetentionLimits::default() };
    let of_section = schedule(all.clone(), &by_section, now(), None);
    assert_eq!(of_section.going.iter().filter(|going| going.stored.place.stream.to_string() == "own/zzz").count(), 4);
    assert_eq!((of_section.going.len(), of_section.doubt()), (4, None));
    // Where nothing was recorded what is named is one's own.
    let mirror: Vec<Stored> = (2..12).map(|ago| named("own/zzz", ago)).collect();
    let smaller = RetentionLimits { max_bytes: Some(800), ..RetentionLimits::default() };
    assert_eq!(going(&schedule(mirror, &smaller, now(), None), RetentionReason::Size).len(), 2);
}

fn any_hours() -> impl Strategy<Value = Vec<Stored>> {
    let one = (prop::sample::select(vec!["a/x", "a/y", "b/x", "c/x"]), -3..60_i64, 0..200_u64, any::<bool>(), 0..8_u8);
    let one = one.prop_map(|(stream, ago, bytes, fetched, kept)| {
        let decided = if kept == 0 { EarlierDecision::Keep } else { EarlierDecision::Nothing };
        Stored { bytes, decided, ..stored(stream, ago, fetched && kept > 0) }
    });
    prop::collection::vec(one, 0..80).prop_map(|mut all| {
        all.sort_by(|a, b| a.place.cmp(&b.place));
        all.dedup_by(|a, b| a.place == b.place);
        all
    })
}

fn any_limits() -> impl Strategy<Value = RetentionLimits> {
    let bytes = || prop::option::of(0..6_000_u64);
    (bytes(), bytes(), bytes(), bytes()).prop_map(|(max_bytes, min_free, channel, quality)| {
        let streams = vec![limit("a", None, channel), limit("a", Some("x"), quality)];
        RetentionLimits { max_bytes, min_free, streams, ..RetentionLimits::default() }
    })
}

proptest! {
    #[test]
    fn with_or_without_others_the_same_of_ones_own_goes(
        all in any_hours(), limits in any_limits(), free in prop::option::of(0..6_000_u64), share in 0..100_u64,
    ) {
        let (mut all, limits, free) = (in_blocks(&all), limits_in_blocks(&limits), free.map(|free| free * BLOCK));
        prop_assume!(all.iter().any(|stored| !stored.origin.fetched && stored.segments > 0));
        // Free space lends others only a half of what is to stay free; here none of it is asked for.
        let share = if free.is_some() { 0 } else { share };
        for hour in all.iter_mut().filter(|hour| !hour.origin.fetched) {
            let bytes = hour.bytes * share / 100;
            hour.origin.added = GiftedHour { files: bytes.min(1), bytes, tombstones: 0 };
        }
        let without = |stored: &Stored| Stored { bytes: stored.bytes - stored.origin.added.bytes, origin: Origin::default(), ..stored.clone() };
        let own: Vec<Stored> = all.iter().filter(|stored| !stored.origin.fetched).map(without).collect();
        let others: u64 = all.iter().filter(|stored| stored.origin.fetched).map(|stored| stored.bytes).sum();
        let of_own = |plan: &Schedule| {
            let going = plan.going.iter().filter(|going| !going.stored.origin.fetched);
            let mut gone: Vec<String> = going.map(|going| going.stored.place.to_string()).collect();
            gone.sort();
            gone
        };
        let with = schedule(all, &limits, now(), free);
        // What others' files take of the disk is what would be free without them.
        let alone = schedule(own, &limits, now(), free.map(|free| free + others));
        prop_assert_eq!(of_own(&with), of_own(&alone));
    }

    #[test]
    fn a_section_takes_from_nobody_else_and_ends_below_its_limit(mut all in any_hours(), limits in any_limits()) {
        for hour in &mut all {
            hour.origin.fetched = false;
        }
        let plan = schedule(all.clone(), &limits, now(), None);
        let goes = |stored: &Stored| plan.going.iter().any(|going| going.stored.place == stored.place);
        for going in plan.going.iter().filter(|going| going.reason == RetentionReason::Stream) {
            prop_assert_eq!(going.stored.place.stream.channel.as_str(), "a");
        }
        let (safe, last) = (now().hour().previous(), now().hour().next());
        for (number, section) in limits.streams.iter().enumerate() {
            let Some(most) = section.max_bytes else { continue };
            let of_section = |stored: &&Stored| limits.section(&stored.place.stream) == Some(number);
            let left: Vec<&Stored> = all.iter().filter(of_section).filter(|stored| !goes(stored)).collect();
            let bytes: u64 = left.iter().filter(|stored| stored.place.hour <= last).map(|stored| stored.bytes).sum();
            let could = |stored: &&&Stored| stored.decided == EarlierDecision::Nothing && stored.place.hour < safe && stored.bytes > 0;
            prop_assert!(bytes <= most || left.iter().filter(could).count() == 0);
            // By its own limit alone no more goes than it asks for.
            let by_section: Vec<Stored> = plan.going.iter().filter(|going| going.reason == RetentionReason::Stream).map(|going| going.stored.clone()).collect();
            let newest = by_section.iter().filter(|stored| of_section(stored)).max_by_key(|stored| (stored.place.hour, stored.place.stream.clone()));
            if let Some(newest) = newest {
                let all_but_global: u64 = all.iter().filter(of_section).filter(|stored| stored.place.hour <= last).filter(|stored| !by_section.contains(stored)).map(|stored| stored.bytes).sum();
                prop_assert!(all_but_global + newest.bytes > most);
            }
        }
    }
}
