//! Pulls from other nodes what is missing here: a union of sets, in which a tombstone is one more element that hides another.
//!
//! 1. [`Backfill`] (`manager`) knows the peers and what is wanted; each peer has a `worker` of its own, and one peer's trouble is
//!    not another's.
//! 2. A `round` agrees cheaply where the peer is of our kind (`agree`), lists what differs, and remembers what left nothing to do
//!    (`memory`). Between rounds a peer of our kind is followed (`follow`); what is not due yet is `waiting`.
//! 3. What to fetch is planned by [`crate::archive::plan()`], and fetched, verified and published (`fetch`, `bundle_fetch`, `publish`, `fetch_outcome`)
//!    by `peer` and `disk`. No segment is fetched from two peers at once (`claims`), and an hour directory that was made in vain is removed (`targets`).
//! 4. Tombstones are weighed and taken over, or wait, by `take`, `bursts` and `arrivals`; what waits anywhere is fetched from nobody
//!    (`deletions`), and those for names that are not here are bounded by `made_up`.
//! 5. The status of each peer is kept in `peer_state`; rounds are logged by `round_log`, counted by `metrics` and written by `report_file`; what
//!    a peer offers is known by `offers`, and what it may fill by `budget`.
//! 6. Nothing here deletes anything, and nothing is concluded from what a peer does not have.

mod arrivals;
mod budget;
mod bundle_fetch;
mod deletions;
mod digest_sync;
mod error;
mod extras;
mod fetch;
mod fetch_outcome;
mod fixed_part;
mod follow;
mod hole_offers;
mod in_flight;
mod job;
mod manager;
mod memory;
mod metrics;
mod options;
mod peer_state;
mod publish;
mod report;
mod report_file;
mod round;
mod round_log;
mod shared;
mod targets;
mod tombstone_bursts;
mod tombstone_intake;
mod tombstone_reasons;
mod tombstones_of_unseen_names;
mod waiting;
mod worker;

pub use error::RoundError;
pub use manager::{Backfill, BackfillError};
pub use options::{BackfillOptions, KeepRules, RefusedContent, Wants};
pub use peer_state::{PeerState, PeerStatus};
pub use report::RoundReport;
pub(crate) use tombstone_bursts::RECORD as BURSTS;
