//! Clocks that jump, gain days in each boot, or are vouched for by others: what is made of them.

use proptest::prelude::*;

use super::*;

const DAY: i64 = 24 * HOUR_US;
const BEGIN: i64 = 1_600_000_000_000_000;

fn line() -> TimeMark {
    TimeMark::begin("one".to_owned(), Span::from_us(100), Timestamp::from_us(BEGIN), true)
}

/// The clock is off by so much after so long.
fn seen(elapsed: i64, off: i64) -> Witnesses {
    Witnesses {
        wall: Timestamp::from_us(BEGIN + elapsed + off),
        boottime: Span::from_us(100 + elapsed),
        kernel: None,
        is_synchronised: None,
        peers: Vec::new(),
    }
}

fn peer(elapsed: i64, is_local: bool) -> PeerTime {
    PeerTime { name: "b".to_owned(), wall: Timestamp::from_us(BEGIN + elapsed), is_local }
}

#[test]
fn a_clock_that_jumps_within_a_boot_contradicts_what_has_elapsed() {
    for off in [40 * DAY, -40 * DAY, HOUR_US, 2 * TOLERANCE.us()] {
        assert!(matches!(judge(&line(), &seen(5_000_000, off)), ClockVerdict::Contradict(_)), "{off}");
    }
    for (elapsed, off) in [(0, 0), (DAY, 59_000_000), (DAY, -59_000_000), (30 * DAY, 600_000_000)] {
        assert_eq!(judge(&line(), &seen(elapsed, off)), ClockVerdict::Agree);
    }
}

#[test]
fn a_restart_within_a_boot_changes_nothing_and_counts_as_lived() {
    let mut first = line();
    first.advance(Span::from_us(1_000_100));
    let again = TimeMark::parse(&first.text()).unwrap().resume("one", Span::from_us(5_000_100));
    assert_eq!((again.lived(Span::from_us(5_000_100)), again.is_settled), (Span::from_us(5_000_000), true));
    assert_eq!(judge(&again, &seen(5_000_000, 0)), ClockVerdict::Agree);
    assert!(matches!(judge(&again, &seen(5_000_000, 3_650 * DAY)), ClockVerdict::Contradict(_)));
}

#[test]
fn another_boot_adds_nothing_to_what_was_lived_and_may_not_go_back() {
    let mut first = line();
    first.advance(Span::from_us(100 + DAY));
    let again = first.resume("two", Span::from_us(5));
    assert_eq!((again.lived(Span::from_us(5)), again.is_settled), (Span::from_us(DAY), false));
    let at = |off: i64| Witnesses { boottime: Span::from_us(5), ..seen(0, DAY + off) };
    assert_eq!(judge(&again, &at(0)), ClockVerdict::Settle);
    assert_eq!(judge(&again, &at(6 * DAY)), ClockVerdict::Settle);
    assert!(matches!(judge(&again, &at(-HOUR_US)), ClockVerdict::Contradict(_)));
    assert!(matches!(judge(&again, &at(3_650 * DAY)), ClockVerdict::Unknown(_)));
    let kernel = Witnesses { is_synchronised: Some(true), ..at(30 * DAY) };
    assert!(
        matches!(judge(&again, &kernel), ClockVerdict::Unknown(_)),
        "somebody may have set it after it was synchronised"
    );
    let by_peer = Witnesses { peers: vec![peer(31 * DAY, false)], ..at(30 * DAY) };
    assert_eq!(judge(&again, &by_peer), ClockVerdict::Settle);
    let by_this_machine = Witnesses { peers: vec![peer(31 * DAY, true)], ..at(30 * DAY) };
    assert!(matches!(judge(&again, &by_this_machine), ClockVerdict::Unknown(_)));
    let disputed = Witnesses { peers: vec![peer(31 * DAY, false), peer(DAY, false)], ..at(30 * DAY) };
    assert!(matches!(judge(&again, &disputed), ClockVerdict::Unknown(_)));
}

#[test]
fn a_clock_that_gains_days_in_each_boot_is_not_believed_for_ever() {
    let boots = |vouched: bool| {
        let (mut line, mut off) = (line(), 0);
        let mut verdicts = Vec::new();
        for boot in 0..10 {
            off += 6 * DAY;
            line = TimeMark::parse(&line.text()).unwrap().resume(&format!("boot {boot}"), Span::from_us(5));
            let peers = if vouched { vec![peer(off, false)] } else { Vec::new() };
            let witnesses = Witnesses { boottime: Span::from_us(5), peers, ..seen(0, off) };
            let verdict = judge(&line, &witnesses);
            line.take(&verdict, &witnesses);
            verdicts.push(verdict == ClockVerdict::Settle);
        }
        verdicts
    };
    assert_eq!(boots(false), [vec![true], vec![false; 9]].concat());
    assert_eq!(boots(true), [true; 10]);
}

#[test]
fn another_machine_or_a_person_proves_what_was_only_believed() {
    let begun = TimeMark { believed: Span::from_us(6 * DAY), ..line() };
    let believed = |peers| {
        let (mut line, witnesses) = (begun.clone(), Witnesses { peers, ..seen(0, 0) });
        let verdict = judge(&line, &witnesses);
        line.take(&verdict, &witnesses);
        line.believed
    };
    assert_eq!(believed(vec![peer(0, false)]), Span::from_us(0));
    for unproven in [vec![], vec![peer(0, true)], vec![peer(0, false), peer(DAY, false)]] {
        assert_eq!(believed(unproven), begun.believed);
    }
    let mut by_person = begun.clone();
    by_person.settle(Span::from_us(200), Timestamp::from_us(BEGIN));
    assert_eq!(by_person.believed, Span::from_us(0));
}

#[test]
fn a_line_of_an_earlier_version_has_believed_nothing() {
    let text = line().text();
    let earlier = text.strip_suffix("believed 0\n").unwrap();
    assert_eq!(TimeMark::parse(earlier), Some(line()));
    assert_eq!(TimeMark::parse(&format!("{earlier}believed much\n")), None);
}

#[test]
fn a_stepped_clock_needs_the_kernel_and_another_node() {
    let stepped = |is_synchronised, peers| Witnesses { is_synchronised, peers, ..seen(0, 90 * DAY) };
    assert_eq!(judge(&line(), &stepped(Some(true), vec![peer(90 * DAY, false)])), ClockVerdict::Settle);
    for (synchronised, peers) in [
        (Some(true), Vec::new()),
        (None, vec![peer(90 * DAY, false)]),
        (Some(true), vec![peer(90 * DAY, true)]),
        (Some(true), vec![peer(0, false)]),
        (Some(true), vec![peer(90 * DAY, false), peer(0, false)]),
    ] {
        assert!(matches!(judge(&line(), &stepped(synchronised, peers)), ClockVerdict::Contradict(_)));
    }
}

#[test]
fn other_nodes_and_the_kernel_contradict_a_clock_that_goes_along_with_the_line() {
    let agreed = |peers| judge(&line(), &Witnesses { peers, ..seen(0, 0) });
    assert!(matches!(agreed(vec![peer(40 * DAY, true)]), ClockVerdict::Contradict(_)));
    assert_eq!(agreed(vec![peer(40 * DAY, false), peer(0, false)]), ClockVerdict::Agree, "one of two is wrong itself");
    let kernel = Some(Timestamp::from_us(BEGIN + DAY));
    assert!(matches!(judge(&line(), &Witnesses { kernel, ..seen(0, 0) }), ClockVerdict::Contradict(_)));
}

proptest! {
    #[test]
    fn what_is_written_is_read(since in 0..1_000_000_i64, lived in 0..i64::MAX / 4, believed in 0..DAY, is_settled: bool) {
        let (lived, believed) = (Span::from_us(lived), Span::from_us(believed));
        let line = TimeMark { since: Span::from_us(since), lived, is_settled, believed, ..line() };
        prop_assert_eq!(TimeMark::parse(&line.text()), Some(line));
    }

    #[test]
    fn no_clock_makes_the_lived_time_grow(off in -1_000 * DAY..1_000 * DAY, elapsed in 0..DAY) {
        let mut one = line();
        let mut other = line();
        let seen = seen(elapsed, off);
        one.settle(seen.boottime, seen.wall);
        other.advance(seen.boottime);
        prop_assert_eq!(one.lived(seen.boottime), other.lived(seen.boottime));
    }
}
