//! Names, owners and stand-ins of an archive.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::archive::Hour;

proptest! {
    #[test]
    fn names_contain_what_sets_of_names_contain(
        one in prop::collection::btree_set("[ab]{1,2}", 0..4),
        other in prop::collection::btree_set("[ab]{1,2}", 0..4),
    ) {
        let of = |set: &BTreeSet<String>| FileNames::of(set.iter().map(String::as_str));
        prop_assert_eq!(of(&one).contains(&of(&other)), one.is_superset(&other));
        prop_assert_eq!(of(&one).digest() == of(&other).digest(), one == other);
        prop_assert_eq!(of(&one).is_empty(), one.is_empty());
        let names = of(&one);
        prop_assert_eq!(names.iter().collect::<Vec<_>>(), one.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

#[test]
fn every_node_that_takes_copies_owns_an_hour_or_may_stand_in_for_it() {
    let layout = layout(&[LayoutChange::Add { name: name("d"), zone: name("cellar"), weight: 4 }]);
    let mut first = BTreeSet::new();
    let mut hours = Vec::new();
    let mut next = Hour::parse("2019-11-13T02").unwrap();
    for _ in 0..50 {
        hours.push(HourPlace { hour: next, ..hour() });
        next = next.next();
    }
    for hour in hours {
        let (owners, others) = (layout.owners(&hour), layout.stand_ins(&hour));
        assert_eq!((owners.len(), layout.copies(&hour), layout.zones()), (2, 2, 3));
        let all: BTreeSet<PlaceName> = owners.iter().chain(&others).map(|place| place.node.clone()).collect();
        assert_eq!((all.len(), others.len()), (4, 2));
        assert_eq!(layout.stand_ins(&hour), others, "the same on every node");
        first.insert(others[0].node.clone());
    }
    assert_eq!(first.len(), 4, "they take turns");
}

#[test]
fn where_each_node_keeps_everything_all_of_them_own_it() {
    let all = LayoutChange::Copies { channel: Some(hour().stream.channel), copies: Some(CopiesWanted::All) };
    let layout = layout(&[all]);
    assert_eq!((layout.owners(&hour()).len(), layout.copies(&hour()), layout.stand_ins(&hour()).len()), (3, 3, 0));
}
