//! Pulls from other nodes what is missing here: a union of sets, in which a tombstone is one more element that hides another.
//!
//! 1. [`Backfill`] knows the peers and what is wanted; each peer has rounds of its own, and one peer's trouble is not another's.
//! 2. A round agrees cheaply where the peer is of our kind, and lists what differs; what to fetch is planned by
//!    [`crate::domain::plan()`], and fetched, verified and published by `peer` and `disk`.
//! 3. No segment is fetched from two peers at once (`claims`).
//! 4. Nothing here deletes anything, and nothing is concluded from what a peer does not have.

mod agree;
mod claims;
mod fetch;
mod manager;
mod options;
mod report;
mod round;

pub use manager::{Backfill, PeerStatus};
pub use options::{BackfillOptions, Keeps, Wants};
pub use report::RoundReport;
pub use round::RoundError;
