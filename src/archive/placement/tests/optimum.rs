//! The planner against all tables that there are, of few nodes and slots.

use proptest::prelude::*;

use super::node;
use crate::archive::placement::LayoutNode;
use crate::archive::placement::planner::plan_rows;
use crate::archive::placement::takers::Takers;

/// The fewest copies that have to be moved to a table in which each node has its share and each zone its copies: of all loads that can be had
/// with the first slots, with the least that each costs, one slot after another.
fn fewest_moves(before: &[Vec<u8>], nodes: &[LayoutNode], copies: u8) -> u16 {
    let takers = Takers::of(nodes, copies, before.len());
    let count = takers.numbers.len();
    let owners_of = |row: u32| (0..count).filter(move |taker| row >> taker & 1 == 1);
    let fits = |row: &u32| {
        let in_zone = |zone: usize| owners_of(*row).filter(|taker| takers.zone_of[*taker] == zone).count();
        owners_of(*row).count() == takers.copies
            && takers.zones.iter().enumerate().all(|(zone, bounds)| bounds.contains(&in_zone(zone)))
    };
    let rows: Vec<u32> = (0..1 << count).filter(fits).collect();
    // Loads are numbers in which each node has a digit.
    let digits: Vec<usize> = takers.shares.iter().map(|share| share.ceil() + 1).collect();
    let place = |taker: usize| digits[..taker].iter().product::<usize>();
    let load = |loads: usize, taker: usize| loads / place(taker) % digits[taker];
    let mut least = vec![u16::MAX; digits.iter().product()];
    least[0] = 0;
    for had in before {
        let kept = |taker: usize| had.contains(&takers.numbers[taker]);
        let mut next = vec![u16::MAX; least.len()];
        for loads in (0..least.len()).filter(|loads| least[*loads] < u16::MAX) {
            for row in rows.iter().filter(|row| owners_of(**row).all(|taker| load(loads, taker) + 1 < digits[taker])) {
                let more: usize = owners_of(*row).map(place).sum();
                let moved = owners_of(*row).filter(|taker| !kept(*taker)).count();
                let costs = least[loads] + u16::try_from(moved).unwrap();
                next[loads + more] = next[loads + more].min(costs);
            }
        }
        least = next;
    }
    let is_share = |loads: &usize| (0..count).all(|taker| load(*loads, taker) >= takers.shares[taker].floor());
    (0..least.len()).filter(is_share).map(|loads| least[loads]).min().unwrap()
}

/// The copies that the planner moves, to a table in which each node has its share and each zone its copies.
fn moved(before: &[Vec<u8>], nodes: &[LayoutNode], copies: u8) -> usize {
    let planned = plan_rows(before, nodes, copies).unwrap();
    let takers = Takers::of(nodes, copies, before.len());
    for row in &planned {
        let places: Vec<usize> =
            row.iter().map(|owner| takers.numbers.iter().position(|number| number == owner).unwrap()).collect();
        assert!(row.len() == takers.copies && row.is_sorted_by(|one, next| one < next), "{row:?}");
        for (zone, bounds) in takers.zones.iter().enumerate() {
            assert!(bounds.contains(&places.iter().filter(|place| takers.zone_of[**place] == zone).count()), "{row:?}");
        }
    }
    for (number, share) in takers.numbers.iter().zip(&takers.shares) {
        let load = planned.iter().filter(|row| row.contains(number)).count();
        assert!((share.floor()..=share.ceil()).contains(&load), "{number}: {load} of {share:?}");
    }
    let of_slot = |(old, new): (&Vec<u8>, &Vec<u8>)| new.iter().filter(|owner| !old.contains(owner)).count();
    before.iter().zip(&planned).map(of_slot).sum()
}

fn nodes(described: &[(usize, u64)]) -> Vec<LayoutNode> {
    let one = |(at, (zone, weight)): (usize, &(usize, u64))| node(&format!("n{at}"), &format!("z{zone}"), *weight);
    described.iter().enumerate().map(one).collect()
}

/// Zone and weight of up to six nodes, mostly of some that weigh the same.
fn some_nodes() -> impl Strategy<Value = Vec<LayoutNode>> {
    let weight = prop_oneof![Just(4_u64), 1..10_u64];
    let count = prop_oneof![1 => 1..=3_usize, 3 => 4..=6_usize];
    let described = (count, 1..=4_usize)
        .prop_flat_map(move |(count, zones)| prop::collection::vec((0..zones, weight.clone()), count));
    described.prop_map(|described| nodes(&described))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, ..ProptestConfig::default() })]

    #[test]
    fn no_table_with_the_same_shares_and_zones_moves_fewer_copies(
        now in some_nodes(),
        next in some_nodes(),
        slots in 1..=16_usize,
        copies in 1..=4_u8,
        next_copies in 1..=4_u8,
    ) {
        // Nodes come, go, and change zone and weight; those of one number are the same.
        let before = plan_rows(&vec![Vec::new(); slots], &now, copies).unwrap();
        prop_assert_eq!(moved(&before, &next, next_copies), usize::from(fewest_moves(&before, &next, next_copies)));
    }

    #[test]
    fn a_table_that_nobody_planned_is_repaired_with_as_few(
        next in some_nodes(),
        before in prop::collection::vec(prop::collection::btree_set(0..8_u8, 0..5), 1..=16),
        copies in 1..=4_u8,
    ) {
        let before: Vec<Vec<u8>> = before.into_iter().map(|row| row.into_iter().collect()).collect();
        prop_assert_eq!(moved(&before, &next, copies), usize::from(fewest_moves(&before, &next, copies)));
    }

    #[test]
    fn each_of_three_zones_has_one_or_two_of_four_copies(
        weights in prop::collection::vec(1..10_u64, 6),
        before in prop::collection::vec(prop::collection::btree_set(0..6_u8, 0..5), 1..=5),
    ) {
        let described: Vec<(usize, u64)> = weights.into_iter().enumerate().map(|(at, weight)| (at % 3, weight)).collect();
        let before: Vec<Vec<u8>> = before.into_iter().map(|row| row.into_iter().collect()).collect();
        let next = nodes(&described);
        prop_assert_eq!(moved(&before, &next, 4), usize::from(fewest_moves(&before, &next, 4)));
    }
}

#[test]
fn the_model_counts_what_is_counted_by_hand() {
    // Three nodes have eight copies of one each; a fourth one of the same zone has to get six of 24.
    let four = nodes(&[(0, 1), (0, 1), (0, 1), (0, 1)]);
    let before: Vec<Vec<u8>> = (0..8).map(|_| vec![0, 1, 2]).collect();
    assert_eq!(fewest_moves(&before, &four, 3), 6);
    // In zones of their own, a slot has all of three whatever the weights say.
    let three = nodes(&[(0, 1), (1, 1), (2, 9)]);
    assert_eq!(fewest_moves(&vec![vec![0, 1]; 8], &three, 3), 8);
    // Of two copies of one zone, one has to move.
    let pairs = nodes(&[(0, 1), (0, 1), (1, 1), (1, 1)]);
    assert_eq!(fewest_moves(&vec![vec![0, 1]; 4], &pairs, 2), 4);
}

#[test]
fn an_owner_gets_back_what_it_gave_where_that_is_the_cheapest_way() {
    // Without edges that save a copy this moves seven.
    let before = [[2, 3], [4, 5], [0, 4], [1, 2], [0, 3], [1, 5]].map(Vec::from);
    let next = nodes(&[(2, 9), (1, 5), (0, 1), (1, 1)]);
    assert_eq!((moved(&before, &next, 2), fewest_moves(&before, &next, 2)), (6, 6));
}
