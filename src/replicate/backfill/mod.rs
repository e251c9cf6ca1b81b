//! Pulls from other nodes what is missing here: a union of sets, in which a tombstone is one more element that hides another.
//!
//! 1. [`Backfill`] (`manager`) keeps a `worker` for each peer of the list, and one peer's trouble is not another's. What they share, and what
//!    one of them carries through a round, is in `shared`; what is configured in `options`.
//! 2. A `round` compares digests where the peer has them (`digest_sync`), lists what differs, and remembers what left nothing to do (`memory`).
//!    Between rounds such a peer is followed (`follow`); what is not due yet is `waiting`.
//! 3. What to fetch is planned by [`plan()`](plan::plan), and fetched and verified by `fetch`, `bundle_fetch` and `extras` and published by
//!    `publish`, all through `peer` and `disk`. `targets` keeps a segment from being fetched from two peers at once, and removes an hour directory that
//!    was made in vain. `budget` bounds what a peer may fill.
//!    Under a layout `mirror_names` learns besides which names a peer has.
//! 4. Tombstones are taken over by `tombstone_intake`, or wait: `tombstone_bursts` weighs them by `burst`, and what waits anywhere is fetched from nobody
//!    (`deletions`).
//! 5. The state of each peer is in `peer_state`; rounds are summed up by `report`, and logged, counted and written to a file by `round_log`; `hole_offers` reports
//!    what a peer has of holes.
//! 6. Nothing here deletes anything, and nothing is concluded from what a peer does not have.

mod budget;
mod bundle_fetch;
pub mod burst;
mod deletions;
mod digest_sync;
mod extras;
mod fetch;
mod follow;
mod heard;
mod hole_offers;
mod layout_exchange;
mod manager;
mod memory;
mod mirror_names;
mod options;
mod owned_hours;
mod peer_state;
pub mod plan;
mod publish;
mod report;
mod round;
mod round_log;
mod shared;
mod skew;
mod targets;
mod tombstone_bursts;
mod tombstone_intake;
mod waiting;
mod worker;

pub use heard::HeardSegments;
pub use manager::{Backfill, BackfillError};
pub use options::{BackfillOptions, BackfillParts, Wants};
pub use peer_state::{PeerState, PeerStatus};
pub use skew::RecorderSkew;
pub(crate) use tombstone_bursts::RECORD as BURSTS;
