//! Every hour counts, and a copy counts only where its owner has all that anybody has.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::archive::HourPlace;
use crate::archive::placement::{Dispersion, MOST_SHORT, OwnerCopy, Slot};
use crate::archive::totals::Digest;

fn hour(number: usize) -> HourPlace {
    HourPlace::parse(&format!("c{}/source/2020-01-{:02}T{:02}", number / 672, 1 + number / 24 % 28, number % 24))
        .unwrap()
}

fn lies(name: &str, bytes: u64) -> OwnerCopy {
    OwnerCopy::Lies { digest: Digest::of_name(name), bytes }
}

const NOTHING: OwnerCopy = OwnerCopy::Lies { digest: Digest([0; 4]), bytes: 0 };

#[test]
fn an_hour_is_in_place_where_all_its_owners_have_all_of_it() {
    let mut counted = Dispersion::default();
    assert!(counted.is_done(), "where there is nothing, nothing is missing");
    let whole = Digest::of_name("all");
    counted.count(&hour(0), whole, 100, &[lies("all", 100), lies("all", 100)]);
    assert!(counted.is_done());
    counted.count(&hour(1), whole, 100, &[lies("all", 100), lies("some", 70)]);
    counted.count(&hour(2), whole, 100, &[NOTHING, OwnerCopy::Unknown]);
    assert!(!counted.is_done());
    assert_eq!((counted.hours, counted.hours_in_place, counted.hours_unknown), (3, 1, 1));
    assert_eq!((counted.copies, counted.copies_in_place, counted.bytes_missing), (6, 3, 130));
    let short: Vec<(usize, HourPlace)> = counted.short().map(|short| (short.copies, short.hour.clone())).collect();
    assert_eq!(short, [(0, hour(2)), (1, hour(1))], "the worst first");
    assert_eq!(counted.slots(), (3, 1));
    // An hour without an owner is nowhere in place.
    counted.count(&hour(3), whole, 100, &[]);
    assert_eq!((counted.hours_in_place, counted.hours), (1, 4));
}

#[test]
fn so_many_hours_are_named_and_all_are_counted() {
    let mut counted = Dispersion::default();
    let count = MOST_SHORT + 200;
    for number in 0..count {
        let second = if number < 300 { NOTHING } else { lies("all", 10) };
        counted.count(&hour(number), Digest::of_name("all"), 10, &[second, NOTHING]);
    }
    assert_eq!((counted.hours, counted.hours_in_place), (count as u64, 0));
    assert_eq!(counted.short().count(), MOST_SHORT);
    assert_eq!(counted.short().filter(|short| short.copies == 0).count(), 300, "none of the worst is left out");
}

proptest! {
    /// Whatever owners say: what is counted is what one counts by hand, in any order.
    #[test]
    fn what_is_counted_is_what_there_is(copies in prop::collection::vec(prop::collection::vec(0_u8..4, 0..4), 1..60)) {
        let said = |kind: u8| match kind {
            0 => OwnerCopy::Unknown,
            1 => NOTHING,
            2 => lies("some", 4),
            _ => lies("all", 10),
        };
        let mut counted = Dispersion::default();
        let (mut slots, mut all): (BTreeMap<Slot, bool>, u64) = (BTreeMap::new(), 0);
        for (number, owners) in copies.iter().enumerate().rev() {
            let whole = !owners.is_empty() && owners.iter().all(|kind| *kind == 3);
            *slots.entry(Slot::of(&hour(number))).or_insert(true) &= whole;
            all += u64::from(whole);
            let owners: Vec<OwnerCopy> = owners.iter().map(|kind| said(*kind)).collect();
            counted.count(&hour(number), Digest::of_name("all"), 10, &owners);
        }
        let there = copies.iter().flatten().filter(|kind| **kind == 3).count() as u64;
        let missing: u64 = copies.iter().flatten().map(|kind| match kind { 1 => 10, 2 => 6, _ => 0 }).sum();
        prop_assert_eq!((counted.hours_in_place, counted.copies_in_place, counted.bytes_missing), (all, there, missing));
        let in_place = slots.values().filter(|whole| **whole).count() as u64;
        prop_assert_eq!(counted.slots(), (slots.len() as u64, in_place));
        prop_assert_eq!(counted.is_done(), all == copies.len() as u64);
    }
}
