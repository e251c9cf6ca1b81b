//! The ledger against brute force: whatever comes and goes, it knows exactly what is missing and what is not any more.

use proptest::prelude::*;

use super::*;
use crate::archive::hole_reasons::test_holes::{at, entry, stretch};

fn difference(old: &[Stretch], new: &[Stretch]) -> HoleChanges {
    let mut difference = HoleChanges::default();
    difference.add(old.iter().copied(), new.iter().copied());
    difference
}

fn from(start: i64, end: i64, peer: &str) -> Arrival {
    let by = if peer.is_empty() { HoleFiller::Recorder } else { HoleFiller::Peer(peer.into()) };
    Arrival { covers: stretch(start, end), by }
}

fn closed(turn: &HoleReasonChange) -> Vec<(i64, i64, Option<&str>)> {
    turn.closed.iter().map(|each| (each.hole.start.us(), each.hole.end.us(), each.by.name())).collect()
}

const MS: i64 = 1_000;

#[test]
fn a_hole_that_is_filled_in_the_middle_splits_and_both_parts_are_known_since_it_was() {
    let old = [entry(0, 900 * MS, 5)];
    let split = difference(&[stretch(0, 900 * MS)], &[stretch(0, 300 * MS), stretch(600 * MS, 900 * MS)]);
    let turn = HoleReasonChange::of(&old, &split, vec![from(300 * MS, 600 * MS, "b")], at(7));
    assert_eq!(turn.open, [entry(0, 300 * MS, 5), entry(600 * MS, 900 * MS, 5)]);
    assert_eq!(closed(&turn), [(300 * MS, 600 * MS, Some("b"))]);
    assert_eq!((turn.closed[0].first_seen, turn.closed[0].closed), (at(5), at(7)));
}

#[test]
fn holes_that_grow_into_one_are_known_since_the_first_and_asked_about_anew() {
    let old = [entry(0, 100 * MS, 5), entry(200 * MS, 300 * MS, 3)];
    let grown = difference(&[old[0].hole, old[1].hole], &[stretch(0, 300 * MS)]);
    let turn = HoleReasonChange::of(&old, &grown, Vec::new(), at(9));
    assert_eq!(turn.open, [OpenHole { grown: at(9), ..entry(0, 300 * MS, 3) }]);
    assert_eq!(turn.closed, []);
}

#[test]
fn each_giver_has_its_part_and_gaps_that_are_no_holes_belong_to_one_of_them() {
    let old = [entry(0, 1_000 * MS, 1)];
    let all = difference(&[old[0].hole], &[]);
    let came = vec![from(205 * MS, 500 * MS, "b"), from(-50 * MS, 200 * MS, "b"), from(400 * MS, 995 * MS, "")];
    assert_eq!(
        closed(&HoleReasonChange::of(&old, &all, came, at(2))),
        [(0, 500 * MS, Some("b")), (500 * MS, 1_000 * MS, Some("recorder"))]
    );
    // Without anything that came it is no hole any more because it does not lie between segments.
    assert_eq!(closed(&HoleReasonChange::of(&old, &all, Vec::new(), at(2))), [(0, 1_000 * MS, None)]);
    let some = vec![from(300 * MS, 600 * MS, "c")];
    assert_eq!(
        closed(&HoleReasonChange::of(&old, &all, some, at(2))),
        [(0, 300 * MS, None), (300 * MS, 600 * MS, Some("c")), (600 * MS, 1_000 * MS, None)]
    );
}

#[test]
fn what_goes_and_comes_again_is_no_difference() {
    let mut both = difference(&[stretch(0, 5)], &[stretch(7, 9)]);
    both.add([stretch(7, 9)], [stretch(0, 5)]);
    assert!(both.is_empty());
}

/// The time that a slot takes.
fn slot_at(number: usize) -> Stretch {
    let number = i64::try_from(number).unwrap();
    stretch(20 * MS * number, 20 * MS * (number + 1))
}

/// Slots that are missing, as the holes that they make.
fn holes(missing: &[bool]) -> Vec<Stretch> {
    let mut found: Vec<Stretch> = Vec::new();
    for (number, _) in missing.iter().enumerate().filter(|(_, missing)| **missing) {
        let slot = slot_at(number);
        match found.last_mut() {
            Some(last) if last.end == slot.start => last.end = slot.end,
            _ => found.push(slot),
        }
    }
    found
}

proptest! {
    #[test]
    fn the_open_entries_are_the_holes_and_what_is_not_missing_any_more_lies_in_a_closed_one(
        steps in prop::collection::vec(prop::collection::vec(any::<bool>(), 12), 1..8),
    ) {
        let mut was = vec![false; 12];
        let mut first_missing = [i64::MAX; 12];
        let mut open: Vec<OpenHole> = Vec::new();
        for (step, missing) in steps.into_iter().enumerate() {
            let now = i64::try_from(step).unwrap();
            let differs = difference(&holes(&was), &holes(&missing));
            let gone: Vec<OpenHole> = open.iter().filter(|entry| differs.gone().any(|hole| hole == entry.hole)).cloned().collect();
            let came = (0..12).filter(|slot| was[*slot] && !missing[*slot]);
            let giver = |slot: usize| if slot.is_multiple_of(3) { HoleFiller::Peer("b".into()) } else { HoleFiller::Recorder };
            let arrivals: Vec<Arrival> = came.map(|slot| Arrival { covers: slot_at(slot), by: giver(slot) }).collect();
            let turn = HoleReasonChange::of(&gone, &differs, arrivals.clone(), at(now));
            open.retain(|entry| !gone.contains(entry));
            open.extend(turn.open.iter().cloned());
            open.sort_by_key(|entry| entry.hole);
            prop_assert_eq!(open.iter().map(|entry| entry.hole).collect::<Vec<_>>(), holes(&missing));
            // Closed is exactly what came, and each part by its giver.
            let total: i64 = turn.closed.iter().map(|each| each.hole.length().us()).sum();
            prop_assert_eq!(total, arrivals.iter().map(|each| each.covers.length().us()).sum::<i64>());
            for arrival in &arrivals {
                let within = turn.closed.iter().find(|each| arrival.covers.cut(each.hole) == Some(arrival.covers));
                prop_assert_eq!(within.map(|each| &each.by), Some(&arrival.by));
            }
            for slot in 0..12 {
                first_missing[slot] = if missing[slot] { first_missing[slot].min(now) } else { i64::MAX };
            }
            for entry in &open {
                let slots = (0..12).filter(|slot| slot_at(*slot).cut(entry.hole).is_some());
                let earliest = slots.map(|slot| first_missing[slot]).min().unwrap();
                // A part may be known for longer than what is missing now, never for shorter.
                prop_assert!(entry.first_seen.us() <= earliest);
                prop_assert!(entry.first_seen <= entry.grown && entry.grown <= at(now));
            }
            was = missing;
        }
    }
}
