//! How good a table is: what nodes own beside what they should, and how well copies are spread over zones.

use super::layout::Layout;
use super::shares::SlotShare;
use super::takers::Takers;

/// What a node owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeLoad {
    /// The number of the node.
    pub node: u8,
    /// Slots that it owns.
    pub slots: usize,
    /// Slots that it should own, at the weights that there are; 0 of one that takes nothing.
    pub share: SlotShare,
}

/// How good a table is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableFigures {
    /// Of each node.
    pub loads: Vec<NodeLoad>,
    /// Slots with more copies in one zone than need be, as another one has fewer than it could.
    pub crowded: usize,
    /// Slots with fewer owners than copies are wanted: there are too few nodes.
    pub short: usize,
}

impl TableFigures {
    /// Of the table of so many copies, if there is one.
    pub fn of(layout: &Layout, copies: u8) -> Option<Self> {
        let table = layout.tables().get(&copies)?;
        let takers = Takers::of(layout.nodes(), copies, table.rows().len());
        let load = |(node, _)| {
            let taker = takers.numbers.iter().position(|number| *number == node);
            let share = taker.and_then(|taker| takers.shares.get(taker)).copied().unwrap_or(SlotShare::NONE);
            NodeLoad { node, slots: table.load(node), share }
        };
        // A node that drains counts where it is, as long as it owns something.
        let zone_of = |owner: &u8| {
            let node = layout.nodes().get(usize::from(*owner))?;
            takers.zone_names.iter().position(|name| *name == node.zone)
        };
        let is_crowded = |row: &&[u8]| {
            let copies_in = |zone: usize| row.iter().filter(|owner| zone_of(owner) == Some(zone)).count();
            takers.zones.iter().enumerate().any(|(at, bounds)| !bounds.contains(&copies_in(at)))
        };
        Some(Self {
            loads: layout.numbered().map(load).collect(),
            crowded: table.rows().filter(is_crowded).count(),
            short: table.rows().filter(|row| row.len() < usize::from(copies)).count(),
        })
    }

    /// The largest deviation of a node from its share, as a part of it.
    pub fn off_balance(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "at most 4,096 slots")]
        let of_node = |load: &NodeLoad| (load.slots as f64 - load.share.as_f64()).abs() / load.share.as_f64();
        self.loads.iter().filter(|load| load.share != SlotShare::NONE).map(of_node).fold(0.0, f64::max)
    }
}
