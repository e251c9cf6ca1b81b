//! The ledger of raw holes in the index: one row for each that is open, and for a while one for each that closed.
//!
//! 1. It is turned in the transaction that settles the summaries (`keep`): who reads sees both as they belong together.
//! 2. A quality of which hours are left for later transactions keeps its rows until all are settled, and is then compared as a whole.
//! 3. It is the one thing here that does not follow from the tree. Losing it costs the past of the holes, and nothing else.
//! 4. Who gave a file is known for as long as it takes to be indexed (`givers`).

mod givers;
mod missed;
mod query;
mod rows;
mod tables;
mod turn;
mod update;

pub(super) use givers::Givers;
pub(super) use missed::MissedTable;
pub use query::{ClosedPage, HoleReasonRows, LedgerCopy};
pub use rows::HoleKey;
pub(super) use tables::HoleTables;
#[cfg(test)]
pub(super) use tables::OPEN_HOLES;
pub(super) use update::HoleReasonUpdate;
