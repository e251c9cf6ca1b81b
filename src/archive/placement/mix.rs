//! Exchanges copies that move anyway, so that the owners of a node's slots are as many others as can be.
//!
//! Of the plans that move the fewest copies, most are bad: they give whole runs of slots the same owners. When one of them goes, few others
//! have all of it to copy, and the next plan finds its slots in the wrong zones and has to move more. So copies that have no owner to
//! go back to are exchanged between slots, in pairs, as long as that makes it more even with whom a node shares its slots.
//! No slot gets more new copies by it, and no node other loads.

use super::repair::mixed;
use super::takers::Takers;

/// How often each new copy is offered for exchange. After a dozen times hardly any is taken.
const ROUNDS: usize = 24;

/// Exchanges copies that are not among the owners of before.
/// Leaves each row in order.
pub fn mix(rows: &mut [Vec<usize>], before: &[Vec<usize>], takers: &Takers) {
    let is_new = |slot: usize, node: &usize| !before[slot].contains(node);
    // Where the new copies are: slot, and place in its row.
    let mut new = Vec::new();
    for (slot, row) in rows.iter().enumerate() {
        new.extend((0..row.len()).filter(|place| is_new(slot, &row[*place])).map(|place| (slot, place)));
    }
    let mut pairs = Pairs::of(rows, takers.numbers.len());
    for round in 0..ROUNDS {
        for at in 0..new.len() {
            let with = usize::try_from(mixed(at, round, 0) % new.len() as u64).unwrap_or(0);
            let ((slot, place), (other_slot, other_place)) = (new[at], new[with]);
            let (row, other_row) = (&rows[slot], &rows[other_slot]);
            let (node, other) = (row[place], other_row[other_place]);
            let fits = may_change(row, node, other, takers) && may_change(other_row, other, node, takers);
            if fits && pairs.exchange(row, other_row, node, other) {
                rows[slot][place] = other;
                rows[other_slot][other_place] = node;
            }
        }
    }
    for row in rows {
        row.sort_unstable();
    }
}

/// Whether a slot may have one owner instead of another.
fn may_change(row: &[usize], leaves: usize, comes: usize, takers: &Takers) -> bool {
    let (from, to) = (takers.zone_of[leaves], takers.zone_of[comes]);
    let copies_in = |zone: usize| row.iter().filter(|owner| takers.zone_of[**owner] == zone).count();
    let is_free = !row.contains(&comes);
    is_free && (from == to || copies_in(from) > *takers.zones[from].start() && copies_in(to) < *takers.zones[to].end())
}

/// How many slots each two nodes share.
struct Pairs {
    nodes: usize,
    slots: Vec<i64>,
    /// What a slot more counts: less for those that have many slots.
    weights: Vec<i64>,
}

impl Pairs {
    fn of(rows: &[Vec<usize>], nodes: usize) -> Self {
        let mut slots = vec![0; nodes * nodes];
        let mut loads = vec![0_i64; nodes];
        for row in rows {
            for node in row {
                loads[*node] += 1;
                for other in row.iter().filter(|other| *other != node) {
                    slots[node * nodes + other] += 1;
                }
            }
        }
        let all: i64 = loads.iter().sum();
        let weight = |node: i64, other: i64| (all * all * 256) / (node * other).max(1);
        let weights = loads.iter().flat_map(|node| loads.iter().map(move |other| weight(*node, *other))).collect();
        Self { nodes, slots, weights }
    }

    /// Takes `node` out of its row and puts `other` there, and the other way round, if that makes pairs more even (the sum of the squares
    /// smaller).
    fn exchange(&mut self, row: &[usize], other_row: &[usize], node: usize, other: usize) -> bool {
        let only_in = |these: &[usize], those: &[usize], but: usize| -> Vec<usize> {
            these.iter().copied().filter(|one| *one != but && !those.contains(one)).collect()
        };
        let (with_node, with_other) = (only_in(row, other_row, node), only_in(other_row, row, other));
        let change = |these: usize, those: &[usize], by: i64| -> i64 {
            let one = |that: &usize| {
                let at = these * self.nodes + that;
                (2 * self.slots[at] * by + 1) * self.weights[at]
            };
            those.iter().map(one).sum()
        };
        let sum = change(node, &with_node, -1) + change(other, &with_node, 1);
        if sum + change(other, &with_other, -1) + change(node, &with_other, 1) >= 0 {
            return false;
        }
        for (this, those, by) in
            [(node, &with_node, -1), (other, &with_node, 1), (other, &with_other, -1), (node, &with_other, 1)]
        {
            for that in those {
                self.slots[this * self.nodes + that] += by;
                self.slots[that * self.nodes + this] += by;
            }
        }
        true
    }
}
