//! Other nodes: who they are, what they have, and what is fetched from them.
//!
//! Nothing here deletes; tombstones of peers are weighed in `backfill`.

pub mod backfill;
pub mod hole_reasons;
pub mod peer;
pub mod peer_proxy;
pub mod sources;
