//! The layout of this node: read from its file, changed by its operator, taken from other nodes that may give it, and told to whoever acts
//! on it.
//!
//! 1. [`LayoutStore`] is the only one that reads and writes the file; `BASE/.gapless/layout` is the truth, and what is in memory a copy of it.
//! 2. A file that cannot be read means that nothing is decided ([`LayoutState::Unusable`]), and never that there is no layout.
//! 3. [`CurrentLayout`] is what everybody else holds of it.
//!
//! What a plan is and which layout wins is decided in [`crate::archive::placement`].

mod current_layout;
mod layout_error;
mod layout_file;
mod layout_store;
mod peer_layouts;
mod slot_bytes;
mod stand_ins;

#[cfg(test)]
mod tests;

pub use current_layout::{CurrentLayout, KnownLayout, Ownership};

pub use current_layout::LayoutState;
pub use layout_error::LayoutStoreError;
pub use layout_store::{LayoutOptions, LayoutStore, PlannedLayout};
pub use peer_layouts::{HeardLayout, LayoutStanding};
pub use slot_bytes::SlotBytes;
pub use stand_ins::StandIns;
