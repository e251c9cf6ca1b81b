//! Sets of slots against the table that they are made of.

use std::collections::BTreeSet;

use super::*;
use crate::archive::{Channel, HourPlace, Stream, Timestamp};

/// Twelve nodes in four zones with three copies, of which one is leaving; channels of two copies and of all.
fn mixed() -> Layout {
    let number = |channel: &str, copies| LayoutChange::Copies {
        channel: Some(Channel::new(channel).unwrap()),
        copies: Some(copies),
    };
    let before = layout(3, &equal_nodes(12, 4));
    let changes = [
        number("twice", CopiesWanted::Number(2)),
        number("precious", CopiesWanted::All),
        LayoutChange::Drain(name("n05")),
    ];
    last(&plan(&before, &changes).unwrap())
}

/// An hour for each of many slots.
fn places(channel: &str) -> Vec<HourPlace> {
    let stream = Stream::new(channel, "source").unwrap();
    let hour = |at: i64| Timestamp::from_us(at * 3_600_000_000).hour();
    (0..3_000).map(|at| HourPlace { stream: stream.clone(), hour: hour(at) }).collect()
}

#[test]
fn the_set_of_a_node_has_the_slots_that_it_owns() {
    let layout = mixed();
    for channel in ["any", "twice", "precious"] {
        let of_channel = Channel::new(channel).unwrap();
        for node in layout.nodes() {
            let set = layout.slots_of(&of_channel, &node.name);
            for place in places(channel) {
                let slot = Slot::of(&place);
                assert_eq!(slot, Slot::in_stream(&place.stream.to_string(), place.hour));
                let is_owner = layout.owners_of(&of_channel, slot).iter().any(|owner| owner.name == node.name);
                assert_eq!(set.has(slot), is_owner, "{place} on {}", node.name);
            }
        }
        assert_eq!(layout.slots_of(&of_channel, &name("stranger")), SlotSet::none());
    }
    assert_eq!(layout.slots_of(&Channel::new("precious").unwrap(), &name("n01")), SlotSet::all());
    assert_eq!(layout.slots_of(&Channel::new("precious").unwrap(), &name("n05")), SlotSet::none());
}

#[test]
fn each_hour_is_compared_once_by_two_nodes() {
    let layout = mixed();
    let channel = Channel::new("any").unwrap();
    let mut seen = BTreeSet::new();
    for (asker, peer) in [("n00", "n01"), ("n00", "n00"), ("n00", "n05"), ("n00", "stranger"), ("stranger", "n00")] {
        let sets = OwnedBy::ALL.map(|owners| layout.compared_slots(&channel, &name(asker), &name(peer), owners));
        for place in places("any") {
            let slot = Slot::of(&place);
            let owned = |node| layout.owners_of(&channel, slot).iter().any(|owner| owner.name == name(node));
            let expected = [owned(asker) && owned(peer), owned(asker) && !owned(peer), !owned(asker)];
            assert_eq!(sets.each_ref().map(|set| set.has(slot)), expected, "{place} from {peer} to {asker}");
            seen.insert(expected);
        }
    }
    assert_eq!(seen.len(), 3, "each had some");
}

#[test]
fn owners_are_read_as_they_are_written() {
    for owners in OwnedBy::ALL {
        assert_eq!(OwnedBy::parse(owners.as_str()), Some(owners));
    }
    for text in ["", "Both", "all", "both "] {
        assert_eq!(OwnedBy::parse(text), None);
    }
}
