//! The index: an embedded database of every file of the archive, and the only place that uses redb.
//!
//! It is derived from the tree on disk and can be thrown away at any time. It never touches the archive itself.
//!
//! 1. Each table belongs to a module that says its key and its rows and writes them, and everybody else asks that module (a few readers are
//!    given its range and decode with it): [`files`], [`hours`],
//!    [`streams`], `directories`, [`changes`], `census`, `summaries`, `facts`, `hole_reasons::tables`, `visitors`, [`peers`], [`meta`]. What rows have in
//!    common is in [`codec`]. A table whose rows change their layout gets a new number in its name; the format has a number, and `migrations/`
//!    leads from each to the next.
//! 2. There is one [`writer`]: it gathers what is asked for, commits, and only then answers.
//! 3. Readers see a snapshot. What they read is checked against sums kept beside it; a contradiction is an error, never a
//!    wrong list.
//! 4. The `ledger` of holes is the one thing that does not follow from the tree; it may be lost without harm.
//! 5. The `facts` of segments are read from the archive again where there are none: they may be lost without harm, too.
//! 6. An index that is damaged is set aside and a new, empty one begins ([`store`]); those who fill it are told by a new
//!    *generation*.

pub mod agree;
mod apply;
pub mod bulk;
pub mod catalog;
mod census;
pub mod changes;
pub mod codec;
pub mod coverage;
mod directories;
mod equal_files;
pub mod error;
mod facts;
mod file;
pub mod files;
mod hole_reasons;
pub mod hours;
mod inspect;
pub mod meta;
mod odd_names;
pub mod peers;
pub mod query;
mod recent_best;
pub mod schema;
pub mod store;
pub mod streams;
mod summaries;
mod summary_update;
#[cfg(test)]
mod tests;
mod visitors;
pub mod writer;

pub use agree::{ChangePage, Position, StreamSums};
pub use catalog::{Catalog, CatalogState, StreamEntry, Version};
pub use changes::ChangeRow;
pub use coverage::Covered;
pub use equal_files::EqualBy;
pub use error::IndexError;
pub use facts::{HourFacts, Learnt};
pub use hole_reasons::{ClosedPage, HoleKey, HoleReasonRows, LedgerCopy};
pub use hours::HourRow;
pub use inspect::{FileLook, look};
pub use peers::PeerRow;
pub use query::HourView;
pub use store::{Health, Index, IndexOptions, OpenReport};
pub use writer::{Applied, Batch, DirUpdate, HourUpdate, StampUpdate};
