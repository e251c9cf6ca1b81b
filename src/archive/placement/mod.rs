//! Placement: which nodes keep which hours, where not every node keeps everything.
//!
//! Hours fall into 4,096 slots, and a [`Layout`] says for each slot which nodes own it. [`plan`] makes the next versions of a layout, with the
//! fewest copies moved; [`handoffs`] has the rules by which a node gives hours away and promises to keep them. Pure. What a node
//! fetches follows from it; nobody runs the rules of handoffs yet: `docs/placement.md` says what there is.

mod copy_rate;
mod dispersion;
mod figures;
pub mod handoffs;
mod layout;
mod layout_offer;
mod layout_reader;
mod layout_writer;
mod mix;
mod moves;
mod owner_table;
mod planner;
mod repair;
mod shares;
mod slot;
mod slot_set;
mod staged;
mod takers;
mod versions;
mod zones;

#[cfg(test)]
mod tests;

pub use copy_rate::CopyRate;
pub use dispersion::{Dispersion, MOST_SHORT, OwnerCopy, ShortHour};
pub use figures::{NodeLoad, TableFigures};
pub use layout::{CopiesWanted, Layout, LayoutNode, MOST_CHANNELS, MOST_COPIES, MOST_NODES, NodeState, PlaceName};
pub use layout_offer::{
    LayoutFork, LayoutId, OfferVerdict, PLAN_DIGITS, check_leap, check_parent, plan_digits, weigh_offer,
};
pub use layout_reader::{LARGEST_LAYOUT, LayoutError};
pub use moves::{SlotMove, moves};
pub use owner_table::{NOBODY, OwnerTable};
pub use planner::{LayoutChange, PlanError, plan};
pub use shares::SlotShare;
pub use slot::{SLOTS, Slot};
pub use slot_set::{OwnedBy, SlotSet};
pub use staged::{BadStaged, LARGEST_STAGED, MOST_STAGED, StagedChanges};
