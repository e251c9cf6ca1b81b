//! Why holes are open: what backfill comes to know of its peers, and the job that works out reasons from it and has the index remember
//! them.
//!
//! 1. Backfill reports to [`Knowledge`] which peers there are, when a comparison with one came to its end, and what it offers.
//! 2. [`ReasonFinder`] goes through the open holes whenever something may have changed, asks what else is known (tombstones, retention,
//!    absences of the disk, what recorders of this node put into the [`MissedQueue`]), and hands on what differs from what is remembered.
//! 3. Whoever is asked about a hole reads the index, with or without this. Nothing here fetches or deletes anything.

mod gauges;
mod knowledge;
mod missed_queue;
mod reasons;
mod why;

pub use knowledge::Knowledge;
pub use missed_queue::MissedQueue;
pub use reasons::{PeerQuery, ReasonFinder};
