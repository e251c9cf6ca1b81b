//! Changes that wait, and what is taken of other nodes.

use proptest::prelude::*;

use super::{add, copies, equal_nodes, last, layout, name};
use crate::archive::placement::*;
use crate::archive::{Channel, Hash};

fn any_change() -> impl Strategy<Value = LayoutChange> {
    let called = || "[a-zA-Z0-9._-]{1,64}".prop_map(|text| name(&text));
    let wanted = prop::option::of(prop_oneof![(1..=16_u8).prop_map(CopiesWanted::Number), Just(CopiesWanted::All)]);
    let channel = prop::option::of("[^./\0][^/\0]{0,20}|\\PC\\\\\n\r ".prop_map(|text| Channel::new(&text).ok()));
    prop_oneof![
        (called(), called(), any::<u64>()).prop_map(|(name, zone, weight)| LayoutChange::Add { name, zone, weight }),
        called().prop_map(LayoutChange::Drain),
        called().prop_map(LayoutChange::Lost),
        called().prop_map(LayoutChange::Remove),
        (called(), called()).prop_map(|(old, new)| LayoutChange::Replace { old, new }),
        (channel, wanted).prop_map(|(channel, copies)| LayoutChange::Copies { channel: channel.flatten(), copies }),
    ]
}

proptest! {
    #[test]
    fn staged_changes_are_read_as_they_were_written_and_nothing_else_is(
        changes in prop::collection::vec(any_change(), 0..6), becomes: Option<[u8; 32]>, at: prop::sample::Index, bit in 0..8_u8, cut: prop::sample::Index,
    ) {
        let staged = StagedChanges { changes, becomes: becomes.map(Hash) };
        let file = staged.to_bytes();
        prop_assert_eq!(StagedChanges::read(&file), Ok(staged));
        let mut flipped = file.clone();
        flipped[at.index(file.len())] ^= 1 << bit;
        prop_assert_eq!(StagedChanges::read(&flipped), Err(BadStaged));
        prop_assert_eq!(StagedChanges::read(&file[..cut.index(file.len())]), Err(BadStaged));
    }

    #[test]
    fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(StagedChanges::read(&bytes), Err(BadStaged));
    }
}

#[test]
fn the_highest_version_wins_and_what_does_not_follow_is_a_fork() {
    let one = layout(2, &equal_nodes(4, 2));
    let next = |before: &Layout, called: &str| last(&plan(before, &[add(called, "z9", 4)]).unwrap());
    let (two, other_two) = (next(&one, "a"), next(&one, "b"));
    let (three, other_three) = (next(&two, "c"), next(&other_two, "c"));
    let own = |layout: &Layout| Some((layout.id(), layout.parent()));
    assert_eq!(weigh_offer(None, two.id()), OfferVerdict::Newer);
    assert_eq!(weigh_offer(own(&one), two.id()), OfferVerdict::Newer);
    assert_eq!(weigh_offer(own(&two), two.id()), OfferVerdict::Same);
    assert_eq!(weigh_offer(own(&two), one.id()), OfferVerdict::Older);
    assert_eq!(weigh_offer(own(&two), other_two.id()), OfferVerdict::Fork(LayoutFork::SameVersion(2)));
    assert_eq!(weigh_offer(own(&three), other_two.id()), OfferVerdict::Fork(LayoutFork::NoParent(2)));
    // Of one that is further behind nothing can be said.
    assert_eq!(weigh_offer(own(&three), one.id()), OfferVerdict::Older);
    let first = last(&plan(&Layout::none(), &[copies(5)]).unwrap());
    assert_eq!(weigh_offer(own(&one), first.id()), OfferVerdict::Fork(LayoutFork::SameVersion(1)));

    let far = |version| LayoutId { version, ..two.id() };
    for here in [None, own(&two)] {
        assert_eq!(weigh_offer(here, far(u64::MAX)), OfferVerdict::Fork(LayoutFork::Leap(u64::MAX)));
        assert_eq!(weigh_offer(here, far(1_000_000)), OfferVerdict::Newer);
    }

    assert_eq!(check_parent(None, &three), Ok(()));
    assert_eq!(check_parent(Some(two.id()), &three), Ok(()));
    assert_eq!(check_parent(Some(two.id()), &other_three), Err(LayoutFork::OtherParent(3)));
    assert_eq!(check_parent(Some(one.id()), &other_three), Ok(()), "it is several versions ahead");
}
