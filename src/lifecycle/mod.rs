//! The end of segments: retention, tombstones and the count of what was deleted.
//!
//! What deletes here goes by limits, the journal and the witnesses of the clock (`docs/guards.md`), never by what it is about to delete.

pub mod archiving;
pub mod clock;
pub mod deleted;
pub mod handoffs;
pub mod retention;
pub mod seal;
pub mod tombstones;
