//! What zones and nodes should have: bounds and shares.

use proptest::prelude::*;

use crate::archive::placement::shares::slot_shares;
use crate::archive::placement::zones::zone_bounds;

/// All ways of dealing out copies to zones.
fn all_ways(nodes_in_zones: &[usize], copies: usize) -> Vec<Vec<usize>> {
    let Some((nodes, rest)) = nodes_in_zones.split_first() else {
        return if copies == 0 { vec![Vec::new()] } else { Vec::new() };
    };
    let with = |here: usize| all_ways(rest, copies - here).into_iter().map(move |way| [vec![here], way].concat());
    (0..=copies.min(*nodes)).flat_map(with).collect()
}

proptest! {
    #[test]
    fn bounds_allow_the_most_even_ways_and_no_others(
        nodes_in_zones in prop::collection::vec(1..5_usize, 1..5),
        copies in 1..7_usize,
    ) {
        let copies = copies.min(nodes_in_zones.iter().sum());
        let bounds = zone_bounds(&nodes_in_zones, copies);
        // The most even ones have the smallest sum of squares.
        let unevenness = |way: &Vec<usize>| way.iter().map(|here| here * here).sum::<usize>();
        let ways = all_ways(&nodes_in_zones, copies);
        let least = ways.iter().map(unevenness).min().unwrap();
        for way in &ways {
            let is_within = way.iter().zip(&bounds).all(|(here, bounds)| bounds.contains(here));
            prop_assert_eq!(is_within, unevenness(way) == least, "{:?} within {:?}", way, bounds);
        }
    }

    #[test]
    fn shares_are_in_proportion_but_where_slots_and_zones_leave_no_choice(
        described in prop::collection::vec((0..4_usize, prop_oneof![1..20_u64, 1..=u64::MAX]), 1..12),
        copies in 1..6_usize,
        slots in 1..5_000_usize,
    ) {
        let mut names: Vec<usize> = described.iter().map(|(zone, _)| *zone).collect();
        names.sort_unstable();
        names.dedup();
        let zone_of: Vec<usize> = described.iter().map(|(zone, _)| names.binary_search(zone).unwrap()).collect();
        let weights: Vec<u64> = described.iter().map(|(_, weight)| *weight).collect();
        let copies = copies.min(weights.len());
        let nodes_in: Vec<usize> = (0..names.len()).map(|zone| zone_of.iter().filter(|one| **one == zone).count()).collect();
        let bounds = zone_bounds(&nodes_in, copies);
        let shares = slot_shares(&weights, &zone_of, &bounds, slots, copies);

        // Sums of fractions are compared with a rounding of less than a hundred-millionth of a slot.
        let near = |one: f64, other: f64| (one - other).abs() < 1e-8 * other.max(1.0);
        let number = |number: usize| f64::from(u32::try_from(number).unwrap());
        let sum = |zone: Option<usize>| {
            let of_zone = shares.iter().zip(&zone_of).filter(|(_, one)| zone.is_none_or(|zone| zone == **one));
            of_zone.map(|(share, _)| share.as_f64()).sum::<f64>()
        };
        prop_assert!(near(sum(None), number(slots * copies)));
        let mut at_lowest = Vec::new();
        let mut at_highest = Vec::new();
        let mut between = Vec::new();
        for (zone, limits) in bounds.iter().enumerate() {
            let (low, high) = (number(slots * limits.start()), number(slots * limits.end()));
            let all = sum(Some(zone));
            prop_assert!((near(all, low) || all > low) && (near(all, high) || all < high), "zone {}: {}", zone, all);
            // Within a zone one level fills all, up to the cap.
            let levels = || {
                let of_zone = (0..shares.len()).filter(|at| zone_of[*at] == zone);
                of_zone.map(|at| (shares[at].as_f64(), shares[at].as_f64() / to_f64(weights[at])))
            };
            let level = levels().filter(|(share, _)| !near(*share, number(slots))).map(|(_, level)| level).next();
            for (share, own) in levels() {
                prop_assert!(share < number(slots) || near(share, number(slots)));
                if let Some(level) = level {
                    prop_assert!(near(own / level, 1.0) || near(share, number(slots)) && own < level, "{} at level {}", share, own);
                }
            }
            let Some(level) = level else { continue };
            match (near(all, low), near(all, high)) {
                (true, true) => {}
                (true, false) => at_lowest.push(level),
                (false, true) => at_highest.push(level),
                (false, false) => between.push(level),
            }
        }
        // Zones that have a choice are at one level; who has to have more than at that one is above it, who may not is below.
        for level in &between {
            prop_assert!(between.iter().all(|other| near(other / level, 1.0)));
            prop_assert!(at_lowest.iter().all(|other| near(other / level, 1.0) || other > level));
            prop_assert!(at_highest.iter().all(|other| near(other / level, 1.0) || other < level));
        }
        for lowest in &at_lowest {
            prop_assert!(at_highest.iter().all(|highest| near(highest / lowest, 1.0) || highest < lowest));
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "compared with a tolerance")]
fn to_f64(weight: u64) -> f64 {
    weight as f64
}

#[test]
fn copies_spread_over_zones() {
    assert_eq!(zone_bounds(&[3, 3, 3, 3], 3), [0..=1, 0..=1, 0..=1, 0..=1]);
    assert_eq!(zone_bounds(&[1, 5, 2], 3), [1..=1, 1..=1, 1..=1]);
    assert_eq!(zone_bounds(&[1, 5], 3), [1..=1, 2..=2]);
    assert_eq!(zone_bounds(&[4, 4, 4], 4), [1..=2, 1..=2, 1..=2]);
    assert_eq!(zone_bounds(&[2], 3), [2..=2]);
    assert_eq!(zone_bounds(&[], 3), []);
}

#[test]
fn shares_of_equal_nodes_are_whole_slots() {
    let shares = slot_shares(&[4; 12], &[0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3], &[0..=1, 0..=1, 0..=1, 0..=1], 4_096, 3);
    assert!(shares.iter().all(|share| (share.floor(), share.ceil()) == (1_024, 1_024)));
    // A node of the greatest weight owns each slot once, and the others share the rest.
    let uneven = slot_shares(&[u64::MAX, 1, 3], &[0, 0, 0], &[2..=2], 4_096, 2);
    assert_eq!(uneven.iter().map(|share| share.floor()).collect::<Vec<_>>(), [4_096, 1_024, 3_072]);
}
