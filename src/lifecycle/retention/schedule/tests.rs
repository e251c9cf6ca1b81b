//! Retention against what its rules say, and against itself: what is left after a plan needs no other.

use proptest::prelude::*;

use super::*;
use crate::archive::blocks::{BLOCK, on_disk};
use crate::archive::origins::Origin;
use crate::archive::{HourPlace, Stream};

const NOW: &str = "2020-01-10T12:30";

fn now() -> Timestamp {
    Timestamp::parse(NOW).unwrap()
}

/// An hour so many hours before the one that runs.
fn stored(stream: &str, ago: i64, bytes: u64) -> Stored {
    let hour = (now() - Span::from_us(ago * crate::archive::time::HOUR_US)).hour();
    let place = HourPlace { stream: Stream::parse(stream).unwrap(), hour };
    Stored {
        place,
        bytes,
        other_bytes: 0,
        segments: bytes.div_ceil(10),
        tombstones: 0,
        decided: EarlierDecision::Nothing,
        origin: Origin::default(),
    }
}

fn hours(count: i64) -> RetentionLimits {
    RetentionLimits {
        max_age: Some(Span::from_us(count * crate::archive::time::HOUR_US)),
        ..RetentionLimits::default()
    }
}

fn going(schedule: &Schedule) -> Vec<(String, RetentionReason)> {
    schedule.going.iter().map(|going| (going.stored.place.to_string(), going.reason)).collect()
}

#[test]
fn nothing_goes_without_a_limit() {
    let all: Vec<Stored> = (0..50).map(|ago| stored("a/b", ago, 100)).collect();
    let schedule = schedule(all, &RetentionLimits::default(), now(), Some(0));
    assert_eq!((schedule.going.len(), schedule.doubt(), schedule.hours, schedule.bytes), (0, None, 50, 5_000));
}

#[test]
fn an_hour_is_too_old_when_its_end_is() {
    let all: Vec<Stored> = (0..10).map(|ago| stored("a/b", ago, 100)).collect();
    // The hour of six hours ago ended five and a half hours ago.
    let schedule = schedule(all, &hours(6), now(), None);
    let expected = ["a/b/2020-01-10T03", "a/b/2020-01-10T04", "a/b/2020-01-10T05"];
    assert_eq!(going(&schedule), expected.map(|place| (place.to_owned(), RetentionReason::Age)));
    assert_eq!((schedule.doubt(), schedule.going_bytes()), (None, 300));
}

#[test]
fn the_two_newest_hours_stay_whatever_the_limits_are() {
    let all = vec![stored("a/b", -5, 100), stored("a/b", 0, 100), stored("a/b", 1, 100), stored("a/b", 2, 100)];
    let limits = RetentionLimits {
        max_age: Some(Span::from_us(0)),
        max_bytes: Some(0),
        min_free: Some(u64::MAX),
        ..RetentionLimits::default()
    };
    let schedule = schedule(all, &limits, now(), Some(0));
    assert_eq!(going(&schedule), [("a/b/2020-01-10T10".to_owned(), RetentionReason::Age)]);
}

#[test]
fn size_and_space_take_the_oldest_of_all_streams_until_it_is_enough() {
    let all: Vec<Stored> = (0..6).flat_map(|ago| [stored("b/q", ago, 10), stored("a/q", ago, 10)]).collect();
    let size = RetentionLimits { max_bytes: Some(95), ..RetentionLimits::default() };
    let expected = ["a/q/2020-01-10T07", "b/q/2020-01-10T07", "a/q/2020-01-10T08"];
    assert_eq!(
        going(&schedule(all.clone(), &size, now(), None)),
        expected.map(|it| (it.to_owned(), RetentionReason::Size))
    );
    // Each takes a block.
    let space = RetentionLimits { min_free: Some(1_000 * BLOCK), ..RetentionLimits::default() };
    let for_space = ["a/q/2020-01-10T07", "b/q/2020-01-10T07"];
    assert_eq!(
        going(&schedule(all.clone(), &space, now(), Some(998 * BLOCK + 1))),
        for_space.map(|it| (it.to_owned(), RetentionReason::Space))
    );
    assert!(schedule(all, &space, now(), None).going.is_empty(), "nobody knows how much is free");
}

#[test]
fn more_than_half_at_once_is_doubted() {
    let all: Vec<Stored> = (2..10).map(|ago| stored("a/b", ago, 100)).collect();
    let doubt = |max_bytes| {
        let limits = RetentionLimits { max_bytes: Some(max_bytes), ..RetentionLimits::default() };
        schedule(all.clone(), &limits, now(), None).doubt()
    };
    assert_eq!(doubt(400), None);
    assert_eq!(doubt(399), Some(SuspectPlan::MoreThanHalf { going: 5, of: 8 }));
}

#[test]
fn a_clock_far_ahead_is_doubted_and_one_far_behind_deletes_nothing() {
    let all: Vec<Stored> = (0..100).map(|ago| stored("a/b", ago, 100)).collect();
    let at = |text: &str| schedule(all.clone(), &hours(90), Timestamp::parse(text).unwrap(), None);
    assert_eq!(at(NOW).doubt(), None);
    assert!(matches!(at("2030-01-10T12:30").doubt(), Some(SuspectPlan::Clock { newest: Some(_), .. })));
    assert!(at("1999-01-01T00:00").going.is_empty());
    // A segment from the far future does not make an old archive look new.
    let mut planted = all.clone();
    planted.push(stored("a/b", -80_000, 100));
    let then = Timestamp::parse("2021-01-10T12:30").unwrap();
    assert!(matches!(schedule(planted, &hours(90), then, None).doubt(), Some(SuspectPlan::Clock { .. })));
}

#[test]
fn hours_from_the_future_push_nothing_out_by_size() {
    let mut all: Vec<Stored> = (-1..9).map(|ago| stored("a/b", ago, 100)).collect();
    let limits = RetentionLimits { max_bytes: Some(1_000), ..RetentionLimits::default() };
    all.push(stored("a/b", -80_000, 100));
    let little = schedule(all.clone(), &limits, now(), None);
    assert_eq!((going(&little), little.doubt()), (Vec::new(), None));
    all.push(stored("a/b", -80_001, 1_000_000));
    let much = schedule(all.clone(), &limits, now(), None);
    assert!(going(&much).is_empty());
    assert!(matches!(much.doubt(), Some(SuspectPlan::Future { bytes: 1_000_100, of: 1_001_100, .. })));
    // What is full of them has less free space all the same; nothing goes for that without a word.
    let space = RetentionLimits { min_free: Some(1_000), ..RetentionLimits::default() };
    let full = schedule(all.clone(), &space, now(), Some(950));
    assert!(full.going.len() == 1 && matches!(full.doubt(), Some(SuspectPlan::Future { .. })));
    assert_eq!(schedule(all, &hours(6), now(), None).doubt(), None, "age does not look at bytes");
}

#[test]
fn what_was_begun_is_finished_and_what_is_kept_stays() {
    let mut all: Vec<Stored> = (2..10).map(|ago| stored("a/b", ago, 100)).collect();
    all[0].decided = EarlierDecision::Begun(RetentionReason::Size);
    all[7].decided = EarlierDecision::Keep;
    let schedule = schedule(all, &hours(6), now(), None);
    let names: Vec<String> = going(&schedule).into_iter().map(|(place, _)| place).collect();
    assert_eq!(names, ["a/b/2020-01-10T04", "a/b/2020-01-10T05", "a/b/2020-01-10T10"]);
    assert_eq!(schedule.begun().count(), 1);
}

#[test]
fn a_doubt_says_what_to_do() {
    let future = SuspectPlan::Future { bytes: 2, of: 3, newest: now().hour() };
    for doubt in
        [SuspectPlan::MoreThanHalf { going: 5, of: 8 }, SuspectPlan::Clock { newest: None, now: now() }, future]
    {
        assert!(doubt.to_string().contains("gapless retention run --yes"), "{doubt}");
    }
}

fn any_hours() -> impl Strategy<Value = Vec<Stored>> {
    let one = (0..3_usize, -5..400_i64, prop_oneof![Just(0), 1..1000_u64], 0..10_u8).prop_map(
        |(stream, ago, bytes, decided)| {
            let mut stored = stored(["a/b", "a/c", "d/b"][stream], ago, bytes);
            stored.decided = match decided {
                0 => EarlierDecision::Keep,
                1 => EarlierDecision::Begun(RetentionReason::Age),
                _ => EarlierDecision::Nothing,
            };
            stored
        },
    );
    prop::collection::vec(one, 0..60).prop_map(|mut all| {
        all.sort_by(|a, b| a.place.cmp(&b.place));
        all.dedup_by(|a, b| a.place == b.place);
        all
    })
}

fn any_limits() -> impl Strategy<Value = RetentionLimits> {
    let age = prop::option::of((0..400_i64).prop_map(|hours| Span::from_us(hours * crate::archive::time::HOUR_US)));
    (age, prop::option::of(0..30_000_u64), prop::option::of((0..3_000_u64).prop_map(|blocks| blocks * BLOCK))).prop_map(
        |(max_age, max_bytes, min_free)| RetentionLimits { max_age, max_bytes, min_free, ..RetentionLimits::default() },
    )
}

proptest! {
    #[test]
    fn a_plan_keeps_what_it_must_and_ends_below_the_limits(all in any_hours(), limits in any_limits(), free in 0..3_000 * BLOCK) {
        let plan = schedule(all.clone(), &limits, now(), Some(free));
        let goes = |stored: &Stored| plan.going.iter().any(|going| going.stored.place == stored.place);
        let left: Vec<Stored> = all.iter().filter(|stored| !goes(stored)).cloned().collect();
        let safe = now().hour().previous();
        let could = |stored: &&Stored| stored.decided == EarlierDecision::Nothing && stored.place.hour < safe;
        for going in plan.going.iter().filter(|going| !matches!(going.stored.decided, EarlierDecision::Begun(_))) {
            prop_assert!(could(&&going.stored));
        }
        // Nothing that is too old is left; and where a limit is exceeded, nothing is left that could go.
        prop_assert!(!left.iter().filter(could).any(|stored| limits.too_old(&stored.place, now())));
        let freed = free + plan.going.iter().map(|going| on_disk(going.stored.segments, going.stored.bytes)).sum::<u64>();
        let counts = |stored: &&Stored| stored.place.hour <= now().hour().next();
        let total: u64 = left.iter().filter(counts).map(|stored| stored.bytes).sum();
        let exceeded = limits.max_bytes.is_some_and(|most| total > most) || limits.min_free.is_some_and(|least| freed < least);
        if exceeded {
            prop_assert!(left.iter().filter(could).all(|stored| stored.bytes == 0));
        }
        // What is left needs no other plan.
        let again = schedule(left, &limits, now(), Some(freed));
        prop_assert!(again.going.is_empty());
    }

    #[test]
    fn what_goes_for_its_size_is_older_than_all_that_stays(all in any_hours(), limits in any_limits(), free in 0..30_000_u64) {
        let plan = schedule(all.clone(), &limits, now(), Some(free));
        let last = plan.going.iter().rfind(|going| {
            going.stored.decided == EarlierDecision::Nothing && going.reason != RetentionReason::Age
        });
        if let Some(last) = last {
            let older = |stored: &&Stored| {
                (stored.place.hour, &stored.place.stream) < (last.stored.place.hour, &last.stored.place.stream)
            };
            for stored in all.iter().filter(older).filter(|stored| stored.decided == EarlierDecision::Nothing && stored.bytes > 0) {
                prop_assert!(plan.going.iter().any(|going| going.stored.place == stored.place));
            }
        }
    }

    #[test]
    fn the_order_in_which_hours_are_told_does_not_matter(mut all in any_hours(), limits in any_limits()) {
        let plan = schedule(all.clone(), &limits, now(), Some(100));
        all.reverse();
        prop_assert_eq!(schedule(all, &limits, now(), Some(100)), plan);
    }
}
