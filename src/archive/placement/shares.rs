//! How many slots each node should own: in proportion to the weights, as far as a node can own a slot only once and a zone has to have
//! its copies.
//!
//! Exact fractions, so that two machines agree on what is within one slot of them. Where caps and zones leave no choice, what is left over is
//! shared by the others in proportion; the amounts are those of the one level that fills all of them (of a node: the lesser of the level
//! times its weight and all slots; of a zone: the sum of its nodes, within its bounds).

use std::ops::RangeInclusive;

/// How many slots a node should own: an exact fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotShare {
    part: u128,
    whole: u128,
}

impl SlotShare {
    /// Nothing at all.
    pub const NONE: Self = Self { part: 0, whole: 1 };

    /// The largest whole number of slots within it.
    pub fn floor(self) -> usize {
        usize::try_from(self.part / self.whole).unwrap_or(usize::MAX)
    }

    /// The smallest whole number of slots that it fits in.
    pub fn ceil(self) -> usize {
        usize::try_from(self.part.div_ceil(self.whole)).unwrap_or(usize::MAX)
    }

    /// To be shown.
    #[expect(clippy::cast_precision_loss, reason = "shown with two decimals")]
    pub fn as_f64(self) -> f64 {
        self.part as f64 / self.whole as f64
    }
}

/// The share of each node in so many copies of so many slots, of which each zone has as many as its bounds say. Weights are at least 1, and
/// there are at most as many copies as nodes.
pub fn slot_shares(
    weights: &[u64],
    zone_of: &[usize],
    zones: &[RangeInclusive<usize>],
    slots: usize,
    copies: usize,
) -> Vec<SlotShare> {
    let mut shares = vec![SlotShare::NONE; weights.len()];
    let members = |zone: usize| (0..weights.len()).filter(move |node| zone_of[*node] == zone);
    let mut free: Vec<usize> = (0..zones.len()).collect();
    let mut left = (slots * copies) as u128;
    while !free.is_empty() {
        let all: Vec<usize> = free.iter().flat_map(|zone| members(*zone)).collect();
        let whole = fill(&all, weights, left, slots as u128, &mut shares);
        let bound = |slots_of_each: usize| (slots * slots_of_each) as u128 * whole;
        let sum = |zone: usize| members(zone).map(|node| shares[node].part).sum::<u128>();
        let over = |zone: usize| sum(zone).saturating_sub(bound(*zones[zone].end()));
        let under = |zone: usize| bound(*zones[zone].start()).saturating_sub(sum(zone));
        let all_over: u128 = free.iter().map(|zone| over(*zone)).sum();
        let all_under: u128 = free.iter().map(|zone| under(*zone)).sum();
        if all_over == 0 && all_under == 0 {
            break;
        }
        // With more beyond the upper bounds than below the lower ones the level can only rise: who is over it now stays there.
        let is_upper = all_over >= all_under;
        let (bound_now, still_free): (Vec<usize>, Vec<usize>) =
            free.iter().partition(|zone| if is_upper { over(**zone) > 0 } else { under(**zone) > 0 });
        for zone in bound_now {
            let amount = slots * if is_upper { zones[zone].end() } else { zones[zone].start() };
            let of_zone: Vec<usize> = members(zone).collect();
            fill(&of_zone, weights, amount as u128, slots as u128, &mut shares);
            left = left.saturating_sub(amount as u128);
        }
        free = still_free;
    }
    shares
}

/// Gives these nodes so many slots in proportion to their weights, none more than `most`; returns the denominator that their shares have.
fn fill(members: &[usize], weights: &[u64], amount: u128, most: u128, shares: &mut [SlotShare]) -> u128 {
    let mut heaviest_first = members.to_vec();
    heaviest_first.sort_by_key(|node| std::cmp::Reverse(weights[*node]));
    let mut weight: u128 = members.iter().map(|node| u128::from(weights[*node])).sum();
    let (mut left, mut full) = (amount, 0);
    for node in &heaviest_first {
        let own = u128::from(weights[*node]);
        if own * left < most * weight {
            break;
        }
        left = left.saturating_sub(most);
        weight -= own;
        full += 1;
    }
    let whole = weight.max(1);
    for (at, node) in heaviest_first.iter().enumerate() {
        let part = if at < full { most * whole } else { left * u128::from(weights[*node]) };
        shares[*node] = SlotShare { part, whole };
    }
    whole
}
