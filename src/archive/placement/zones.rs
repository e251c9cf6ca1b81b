//! How many copies of a slot each zone may have, so that they are spread over zones as evenly as the nodes in them allow.

use std::ops::RangeInclusive;

/// For each zone how many of so many copies of one slot it has, given how many nodes it has. As many zones as possible have a copy, none
/// has two more than another one that has room for it, and no node has two. With fewer nodes than copies, each has one.
pub fn zone_bounds(nodes_in_zones: &[usize], copies: usize) -> Vec<RangeInclusive<usize>> {
    let up_to = |level: usize| nodes_in_zones.iter().map(move |nodes| level.min(*nodes));
    let level = (0..=copies).find(|level| up_to(*level).sum::<usize>() >= copies).unwrap_or(copies);
    let is_full = up_to(level).sum::<usize>() <= copies;
    // Where all that the level allows are needed, there is no choice left.
    let lowest = if is_full { level } else { level.saturating_sub(1) };
    up_to(lowest).zip(up_to(level)).map(|(fewest, most)| fewest..=most).collect()
}
