//! The nodes that take copies, and what each and its zone should have of them.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use super::layout::{LayoutNode, NodeState, PlaceName};
use super::shares::{SlotShare, slot_shares};
use super::zones::zone_bounds;

/// The nodes that take copies, in the order of their numbers.
pub struct Takers {
    /// Their numbers in the layout.
    pub numbers: Vec<u8>,
    /// Their zones, as numbers.
    pub zone_of: Vec<usize>,
    /// The names of these zones.
    pub zone_names: Vec<PlaceName>,
    /// How many copies of a slot each of these zones has.
    pub zones: Vec<RangeInclusive<usize>>,
    /// How many slots each should have.
    pub shares: Vec<SlotShare>,
    /// Copies of a slot: as many as are wanted, or as there are nodes.
    pub copies: usize,
}

impl Takers {
    /// Those of these nodes, for so many copies of so many slots.
    pub fn of(nodes: &[LayoutNode], copies: u8, slots: usize) -> Self {
        let are_in: Vec<(u8, &LayoutNode)> =
            (0..=u8::MAX).zip(nodes).filter(|(_, node)| node.state == NodeState::In).collect();
        let names: BTreeSet<&PlaceName> = are_in.iter().map(|(_, node)| &node.zone).collect();
        let number = |node: &LayoutNode| names.iter().position(|name| **name == node.zone).unwrap_or_default();
        let zone_of: Vec<usize> = are_in.iter().map(|(_, node)| number(node)).collect();
        let nodes_in = |zone: usize| zone_of.iter().filter(|one| **one == zone).count();
        let nodes_in_zones: Vec<usize> = (0..names.len()).map(nodes_in).collect();
        let copies = usize::from(copies).min(are_in.len());
        let zones = zone_bounds(&nodes_in_zones, copies);
        let weights: Vec<u64> = are_in.iter().map(|(_, node)| node.weight).collect();
        let shares = slot_shares(&weights, &zone_of, &zones, slots, copies);
        let zone_names = names.into_iter().cloned().collect();
        Self { numbers: are_in.into_iter().map(|(at, _)| at).collect(), zone_of, zone_names, zones, shares, copies }
    }
}
