//! Other nodes: who they are, what they have, and what is fetched from them; and buckets, as far as files come from there the same way.
//!
//! Nothing here deletes; tombstones of peers are weighed in `backfill`.

pub mod backfill;
pub mod hole_reasons;
pub mod peer;
pub mod peer_proxy;
pub mod placement;
pub mod remote;
pub mod sources;
pub mod whole;

use crate::archive::HourPlace;

/// What retention lets others bring into the archive. Asked often, and answered from memory.
pub trait HourRules: Send + Sync {
    /// Whether an hour is kept, and may be fetched; `None` while that is unknown, because the journal could not be read.
    fn keeps(&self, place: &HourPlace) -> Option<bool>;

    /// Bytes that may still be added to an hour that was recorded here.
    fn room_beside_own(&self, place: &HourPlace) -> u64;
}
