//! What plans come to for clusters as there are: moved copies, balance, zones; and what is no plan.

use super::{add, copies, equal_nodes, fetched, last, layout, name};
use crate::archive::Channel;
use crate::archive::placement::*;

/// Plans a change, and compares the copies that move with those that have to, whatever the table: what nodes lack of their shares, or have too
/// much.
fn changed(before: &Layout, change: &LayoutChange) -> Layout {
    let versions = plan(before, std::slice::from_ref(change)).unwrap();
    assert_eq!(versions.len(), 1, "{change:?}: each slot moves once at most");
    let after = last(&versions);
    let figures = TableFigures::of(&after, 3).unwrap();
    let owned = |node: u8| {
        let called = &after.nodes()[usize::from(node)].name;
        let old = before.nodes().iter().position(|one| one.name == *called);
        old.map_or(0, |old| before.tables()[&3].load(u8::try_from(old).unwrap()))
    };
    let (mut lacking, mut spare) = (0, 0);
    for load in &figures.loads {
        lacking += load.share.floor().saturating_sub(owned(load.node));
        spare += owned(load.node).saturating_sub(load.share.ceil());
    }
    assert_eq!(fetched(before, &after), lacking.max(spare), "{change:?}");
    assert!(figures.off_balance() < 0.004, "{change:?}: {figures:?}");
    assert_eq!((figures.crowded, figures.short), (0, 0), "{change:?}");
    after
}

#[test]
fn a_node_more_or_less_moves_no_more_than_its_share() {
    let equal = layout(3, &equal_nodes(12, 4));
    changed(&equal, &add("n12", "z0", 4));
    changed(&equal, &LayoutChange::Drain(name("n05")));
    let of_sizes: Vec<_> = [4, 6, 8, 10, 12, 14, 16, 18, 20, 20]
        .iter()
        .enumerate()
        .map(|(at, terabytes)| (format!("n{at:02}"), format!("z{}", at % 5), *terabytes))
        .collect();
    changed(&layout(3, &of_sizes), &add("n10", "z0", 20));
    let three = layout(3, &equal_nodes(9, 3));
    changed(&three, &add("n09", "z0", 4));
    changed(&three, &add("n09", "z3", 4));
}

#[test]
fn fifty_nodes_have_their_shares_to_within_a_slot() {
    let fifty = layout(3, &equal_nodes(50, 5));
    changed(&fifty, &add("n50", "z0", 4));
    changed(&fifty, &LayoutChange::Lost(name("n07")));
}

#[test]
fn a_node_that_replaces_another_takes_over_its_slots_and_no_others_move() {
    let before = layout(3, &equal_nodes(9, 3));
    let after = changed(&before, &LayoutChange::Replace { old: name("n04"), new: name("m") });
    let node = |called: &str| after.nodes().iter().find(|node| node.name.as_str() == called).unwrap();
    assert_eq!((node("m").zone.as_str(), node("m").weight), ("z1", 4_000_000_000_000));
    assert_eq!((node("m").state, node("n04").state), (NodeState::In, NodeState::Draining));
    let number = |called: &str| u8::try_from(after.nodes().iter().position(|one| one.name.as_str() == called).unwrap());
    let (old, new) = (number("n04").unwrap(), number("m").unwrap());
    let moved = moves(&before, &after, None);
    assert!(moved.iter().all(|one| (one.from, one.to) == (Some(old), Some(new))), "{moved:?}");
    assert_eq!((after.tables()[&3].load(old), after.tables()[&3].load(new)), (0, 4_096 * 3 / 9));
    // One that is lost stays lost.
    let lost = last(&plan(&before, &[LayoutChange::Lost(name("n04"))]).unwrap());
    let replaced = last(&plan(&lost, &[LayoutChange::Replace { old: name("n04"), new: name("m") }]).unwrap());
    assert_eq!(replaced.nodes().iter().find(|one| one.name.as_str() == "n04").unwrap().state, NodeState::Lost);
}

#[test]
fn the_other_owners_of_a_nodes_slots_are_all_the_others() {
    let layout = layout(3, &equal_nodes(9, 3));
    let table = &layout.tables()[&3];
    let with_first = |other: u8| table.rows().filter(|row| row.contains(&0) && row.contains(&other)).count();
    // In each of the two other zones, three nodes share its 1,365 slots.
    for other in [1, 2, 4, 5, 7, 8] {
        assert!((400..510).contains(&with_first(other)), "{other}: {}", with_first(other));
    }
}

#[test]
fn a_slot_that_loses_two_owners_moves_in_two_versions_but_lost_ones_are_copied_at_once() {
    let before = layout(3, &equal_nodes(9, 3));
    let both = [name("n01"), name("n02")];
    let shared = before.tables()[&3].rows().filter(|row| row.contains(&1) && row.contains(&2)).count();
    assert!(shared > 100);
    let drained = plan(&before, &both.clone().map(LayoutChange::Drain)).unwrap();
    assert_eq!(drained.len(), 2);
    let left = |layout: &Layout| layout.tables()[&3].load(1) + layout.tables()[&3].load(2);
    assert_eq!((left(&drained[0]), left(&drained[1])), (shared, 0));
    let lost = plan(&before, &both.map(LayoutChange::Lost)).unwrap();
    assert_eq!(left(&lost[0]), 0);
}

#[test]
fn more_copies_are_fetched_and_fewer_are_not() {
    let three = layout(3, &equal_nodes(9, 3));
    let changed = |before: &Layout, wanted: CopiesWanted| {
        let change = LayoutChange::Copies { channel: None, copies: Some(wanted) };
        let versions = plan(before, &[change]).unwrap();
        assert_eq!(versions.len(), 1);
        last(&versions)
    };
    let all = changed(&three, CopiesWanted::All);
    assert_eq!((fetched(&three, &all), all.tables().len()), (6 * 4_096, 0));
    for number in [1, 2, 3, 9] {
        assert_eq!(fetched(&all, &changed(&all, CopiesWanted::Number(number))), 0);
    }
    let two = changed(&three, CopiesWanted::Number(2));
    assert_eq!(fetched(&three, &two), 0);
    assert_eq!(fetched(&two, &changed(&two, CopiesWanted::Number(3))), 4_096);
}

#[test]
fn a_channel_has_a_number_of_its_own_and_a_table_of_its_own() {
    let before = layout(3, &equal_nodes(9, 3));
    let (precious, other) = (Channel::new("precious").unwrap(), Channel::new("other").unwrap());
    let own = |copies| LayoutChange::Copies { channel: Some(precious.clone()), copies };
    let after = last(&plan(&before, &[own(Some(CopiesWanted::Number(5)))]).unwrap());
    assert_eq!(after.tables().keys().copied().collect::<Vec<_>>(), [3, 5]);
    assert_eq!(after.tables()[&3], before.tables()[&3]);
    // Its three owners of before stay.
    assert!(moves(&before, &after, Some(&precious)).iter().all(|one| one.from.is_none()));
    assert_eq!(moves(&before, &after, Some(&precious)).len(), 2 * 4_096);
    assert_eq!(moves(&before, &after, Some(&other)), []);
    let slot = Slot::of(&crate::archive::HourPlace::parse("precious/source/2019-11-13T02").unwrap());
    assert_eq!((after.owners_of(&precious, slot).len(), after.owners_of(&other, slot).len()), (5, 3));
    let back = last(&plan(&after, &[own(None)]).unwrap());
    assert_eq!((back.tables(), back.channels().len()), (before.tables(), 0));
}

#[test]
fn with_fewer_nodes_than_copies_each_has_everything() {
    let two = layout(3, &equal_nodes(2, 1));
    assert_eq!(TableFigures::of(&two, 3).unwrap().short, 4_096);
    assert!(two.tables()[&3].rows().all(|row| *row == [0, 1]));
    let three = last(&plan(&two, &[add("n02", "z1", 1)]).unwrap());
    assert_eq!((fetched(&two, &three), TableFigures::of(&three, 3).unwrap().short), (4_096, 0));
    // A layout without nodes, too.
    let none = last(&plan(&Layout::none(), &[copies(2)]).unwrap());
    assert_eq!((none.version(), none.tables()[&2].row(4_095)), (1, [].as_slice()));
}

#[test]
fn versions_name_the_one_before() {
    let first = layout(1, &equal_nodes(2, 1));
    let second = last(&plan(&first, &[add("n02", "z1", 1)]).unwrap());
    assert_eq!((first.version(), first.parent()), (1, None));
    assert_eq!((second.version(), second.parent()), (2, Some(first.hash())));
    let drained =
        plan(&layout(2, &equal_nodes(4, 1)), &["n00", "n01"].map(|one| LayoutChange::Drain(name(one)))).unwrap();
    assert_eq!((drained[1].version(), drained[1].parent()), (3, Some(drained[0].hash())));
}

#[test]
fn what_cannot_be_planned_is_refused_with_a_reason() {
    let before = layout(2, &equal_nodes(2, 2));
    let refused = |changes: &[LayoutChange]| plan(&before, changes).unwrap_err().to_string();
    assert_eq!(refused(&[LayoutChange::Lost(name("n9"))]), "the layout has no node n9; it has n00, n01");
    let all = ["n00", "n01"].map(|one| LayoutChange::Drain(name(one)));
    assert_eq!(refused(&all), "no node would be left that takes copies: add one first");
    assert!(refused(&[add("n02", "z1", 0)]).starts_with("a node offers at least one byte"));
    assert_eq!(refused(&[]), "nothing would change: version 1 has all of it already");
    assert_eq!(refused(&[add("n00", "z0", 4), copies(2)]), "nothing would change: version 1 has all of it already");
    let replaced = LayoutChange::Replace { old: name("n00"), new: name("n01") };
    assert!(refused(&[replaced]).starts_with("the layout has a node n01 already"));
    let many: Vec<_> = (0..256).map(|at| add(&format!("m{at}"), "z", 1)).collect();
    assert_eq!(refused(&many), "a layout has at most 255 nodes");
}

#[test]
fn a_node_leaves_the_list_when_it_owns_nothing_any_more_and_may_come_back() {
    let before = layout(3, &equal_nodes(9, 3));
    let remove = |layout: &Layout, called: &str| plan(layout, &[LayoutChange::Remove(name(called))]);
    let refused = remove(&before, "n04").unwrap_err().to_string();
    assert!(refused.starts_with("node n04 owns 1365 copies") || refused.starts_with("node n04 owns 1366 copies"));
    // Both at once would leave its slots without an owner that anybody knows.
    let drain = LayoutChange::Drain(name("n04"));
    assert!(plan(&before, &[drain.clone(), LayoutChange::Remove(name("n04"))]).is_err());
    let drained = last(&plan(&before, &[drain]).unwrap());
    let removed = last(&remove(&drained, "n04").unwrap());
    assert_eq!(removed.nodes().len(), 8);
    assert_eq!(moves(&drained, &removed, None), []);
    assert_eq!(remove(&removed, "n04").unwrap_err().to_string().split(';').next(), Some("the layout has no node n04"));
    assert_eq!(last(&plan(&removed, &[add("n04", "z1", 4)]).unwrap()).nodes().len(), 9);
    // One that takes copies stays, also where there are no tables.
    let all = last(&plan(&before, &[LayoutChange::Copies { channel: None, copies: Some(CopiesWanted::All) }]).unwrap());
    assert!(matches!(remove(&all, "n04"), Err(PlanError::StillOwns { slots: 0, .. })));
}
