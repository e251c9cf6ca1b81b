//! Where recordings go, by their time stamps and by what else is known of them.

use proptest::prelude::*;

use super::*;
use crate::archive::{FileName, parse_file_name};
use crate::media::{TICKS, WRAP};

const NOW: Timestamp = Timestamp(1_700_000_000 * SECOND_US);

fn at(seconds: i64) -> Timestamp {
    Timestamp(NOW.us() - 100_000 * SECOND_US + seconds * SECOND_US)
}

fn recording(first_s: i64, length_s: i64, begins: Option<(i64, StartFrom)>) -> Recording {
    let clock = StampSpan { first: (first_s * TICKS).rem_euclid(WRAP), length: length_s * TICKS };
    Recording { clock, begins: begins.map(|(seconds, from)| (at(seconds), from)) }
}

fn before(start_s: i64, of: &Recording) -> Before {
    Before { start: at(start_s), length: Span(microseconds(of.clock.length)), clock: of.clock }
}

#[test]
fn a_recording_goes_on_from_the_one_before_whatever_its_clock_says_to_the_second() {
    let one = recording(-1, 2, None);
    let before = before(10, &one);
    for off in [-2, 0, 3, 59] {
        let two = recording(1, 2, Some((12 + off, StartFrom::LastChange)));
        let placed = place(&two, Some(&before), NOW).unwrap();
        assert_eq!((placed.start, placed.from), (at(12), StartFrom::Continues), "{off}");
    }
    // A restart ten minutes later, whose time stamps happen to go on.
    let restart = recording(1, 2, Some((612, StartFrom::LastChange)));
    assert_eq!(place(&restart, Some(&before), NOW).unwrap().start, at(612));
    // A file is missing in between: the distance is that of the time stamps.
    let later = recording(7, 2, Some((19, StartFrom::Name)));
    assert_eq!(place(&later, Some(&before), NOW).unwrap().start, at(18));
    let elsewhere = recording(7, 2, Some((40, StartFrom::Name)));
    assert_eq!(
        place(&elsewhere, Some(&before), NOW).unwrap(),
        Placement { start: at(40), length: Span(2 * SECOND_US), from: StartFrom::Name }
    );
}

#[test]
fn without_a_clock_only_what_goes_on_has_a_place() {
    let one = recording(100, 2, None);
    assert_eq!(place(&one, None, NOW), Err(NotPlaced::Unknown));
    let before = before(0, &one);
    assert_eq!(place(&recording(102, 2, None), Some(&before), NOW).unwrap().start, at(2));
    assert_eq!(place(&recording(110, 2, None), Some(&before), NOW).unwrap().start, at(10));
    for first in [100, 1, 4_000] {
        assert_eq!(place(&recording(first, 2, None), Some(&before), NOW), Err(NotPlaced::Unknown), "{first}");
    }
}

#[test]
fn what_overlaps_by_less_than_names_can_say_begins_at_the_end_of_the_one_before() {
    let before = before(0, &recording(100, 2, None));
    let start = |seconds, from| place(&recording(1, 2, Some((seconds, from))), Some(&before), NOW).unwrap().start;
    assert_eq!(start(1, StartFrom::Name), at(2));
    assert_eq!(start(1, StartFrom::Given), at(1));
    assert_eq!(start(-3, StartFrom::Name), at(-3));
    assert_eq!(start(3, StartFrom::Name), at(3));
}

#[test]
fn what_no_name_can_say_and_what_is_to_come_is_refused() {
    let long = recording(0, 3_601, Some((0, StartFrom::Given)));
    let told = place(&long, None, NOW).unwrap_err();
    assert!(matches!(told, NotPlaced::TooLong(_)) && told.to_string().contains("-c copy -f segment"), "{told}");
    assert!(place(&recording(0, 3_600, Some((0, StartFrom::Given))), None, NOW).is_ok());
    let future = recording(0, 2, Some((100_600, StartFrom::Name)));
    assert!(place(&future, None, NOW).unwrap_err().to_string().contains("--name-zone"));
}

#[test]
fn what_is_only_estimated_reaches_up_to_the_next_and_a_gap_stays() {
    let placement = |start_us, length_us, from| Placement { start: Timestamp(start_us), length: Span(length_us), from };
    let one = placement(0, 2_000_000, StartFrom::Given);
    let length = |start, from| one.up_to(&placement(start, 1, from)).length.us();
    assert_eq!(length(2_020_000, StartFrom::Continues), 2_020_000);
    assert_eq!(length(1_900_000, StartFrom::Continues), 1_900_000);
    assert_eq!(length(2_100_000, StartFrom::Continues), 2_000_000);
    assert_eq!(length(2_020_000, StartFrom::Name), 2_000_000);
}

#[test]
fn numbers_in_names_count_as_numbers() {
    let mut names =
        ["n10.ts", "n9.ts", "n.ts", "n010.ts", "m11.ts", "n1-2.ts", "n1-10.ts", "n99999999999999999999.ts", "n"];
    names.sort_by(|one, other| natural_order(one, other));
    assert_eq!(
        names,
        ["m11.ts", "n", "n1-2.ts", "n1-10.ts", "n9.ts", "n010.ts", "n10.ts", "n99999999999999999999.ts", "n.ts"]
    );
}

#[test]
fn other_containers_are_known_by_their_first_bytes() {
    assert_eq!(other_container(b"\0\0\0\x20ftypisom"), Some("MP4 without fragments"));
    assert_eq!(other_container(b"\x1a\x45\xdf\xa3\x01"), Some("Matroska or WebM"));
    assert_eq!(other_container(b"\x47\x40\x11\x10"), None);
    assert_eq!(other_container(b""), None);
}

proptest! {
    #[test]
    fn a_run_lies_side_by_side_however_its_files_are_imported(
        first in 0..WRAP, lengths in prop::collection::vec(1..3_600 * TICKS, 1..12), drift in -1_000_000..1_000_000_i64,
    ) {
        let (mut clock, mut begins, mut last): (i64, i64, Option<(Placement, Before)>) = (first, at(0).us(), None);
        for length in lengths {
            if begins - at(0).us() > 80_000 * SECOND_US {
                break;
            }
            let next = Recording {
                clock: StampSpan { first: clock.rem_euclid(WRAP), length },
                begins: Some((Timestamp(begins + drift), StartFrom::LastChange)),
            };
            let placed = place(&next, last.as_ref().map(|(_, before)| before), NOW).unwrap();
            if let Some((earlier, _)) = last {
                let joined = earlier.up_to(&placed);
                prop_assert_eq!(joined.start + joined.length, placed.start);
            }
            last = Some((placed, Before { start: placed.start, length: placed.length, clock: next.clock }));
            clock += length;
            begins += microseconds(length);
        }
    }

    #[test]
    fn a_place_is_a_name_that_is_understood(us in Timestamp::MIN.0..Timestamp::MAX.0, length in 1..=HOUR_US, hash in prop::array::uniform32(0_u8..)) {
        let placement = Placement { start: Timestamp(us), length: Span(length), from: StartFrom::Given };
        let (hour, name) = placement.name(SegmentKind::Full, Container::Ts, Hash(hash));
        let FileName::Understood(key) = parse_file_name(&name) else { panic!("{name}") };
        prop_assert_eq!((key.start(hour), key.duration(), key.hash), (Timestamp(us), Span(length), Hash(hash)));
    }

    #[test]
    fn the_order_of_names_is_one(one in "[a0-9]{0,6}", two in "[a0-9]{0,6}", three in "[a0-9]{0,6}") {
        prop_assert_eq!(natural_order(&one, &two), natural_order(&two, &one).reverse());
        prop_assert_eq!(natural_order(&one, &two) == Ordering::Equal, one == two);
        if natural_order(&one, &two).is_le() && natural_order(&two, &three).is_le() {
            prop_assert!(natural_order(&one, &three).is_le());
        }
    }
}
