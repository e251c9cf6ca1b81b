//! The recorders of `gapless demo`: what they record, what they miss, and what becomes of what was missed.
//!
//! 1. [`plan`] decides by a seed which node gets which segment, in which shape and when. It is pure.
//! 2. [`segment`] makes what a segment holds: a small moving picture in an MPEG transport stream, which the page can play.
//! 3. [`Recorders`] write into the base directories of nodes as recorders do: beside the nodes and without asking them. So they use
//!    plain file operations, and nothing of what the nodes use to look after their archives.
//! 4. [`Misses`] looks whether what a recorder missed has come to lie there after all.
//!
//! Nothing here starts a node, speaks to one or prints.

pub mod plan;
pub mod segment;

mod event;
mod misses;
mod recorders;

pub use event::{DemoEvent, RecordedStretch};
pub use misses::Misses;
pub use plan::{CHANNELS, DemoPlan, NODES, QUALITIES};
pub use recorders::{RecordedPast, Recorders};
