//! Whether this node keeps hours in place of owners that are away. Asked often, and answered from memory.

use crate::archive::HourPlace;

/// Whoever hears of other nodes knows.
pub trait StandIns: Send + Sync {
    /// Whether this hour is kept here in the place of one of its owners.
    fn stands_in(&self, place: &HourPlace) -> bool;

    /// Whether any node is away, so that hours may have to be kept that nobody here owns.
    fn is_anybody_away(&self) -> bool;
}
