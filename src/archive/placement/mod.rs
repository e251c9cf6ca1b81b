//! Placement: which nodes keep which hours, where not every node keeps everything.
//!
//! Hours fall into 4,096 slots, and a [`Layout`] says for each slot which nodes own it. [`plan`] makes the next versions of a layout, with the
//! fewest copies moved. Pure, and so far nothing else in the program acts on it: `docs/placement.md` says what there is.

mod figures;
mod layout;
mod layout_reader;
mod layout_writer;
mod mix;
mod moves;
mod owner_table;
mod planner;
mod repair;
mod shares;
mod slot;
mod takers;
mod versions;
mod zones;

#[cfg(test)]
mod tests;

pub use figures::{NodeLoad, TableFigures};
pub use layout::{CopiesWanted, Layout, LayoutNode, MOST_CHANNELS, MOST_COPIES, MOST_NODES, NodeState, PlaceName};
pub use layout_reader::{LARGEST_LAYOUT, LayoutError};
pub use moves::{SlotMove, moves};
pub use owner_table::{NOBODY, OwnerTable};
pub use planner::{LayoutChange, PlanError, plan};
pub use shares::SlotShare;
pub use slot::{SLOTS, Slot};
