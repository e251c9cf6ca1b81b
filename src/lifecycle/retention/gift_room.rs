//! How much others may add to what was recorded here: it goes with its hours and no sooner, so that it must not fill the disk.

use super::Retention;
use crate::archive::HourPlace;
use crate::archive::guards::Guard;

impl Retention {
    /// Bytes that may still be fetched into an hour that holds something of the archive's own. Answers from memory.
    pub fn room_beside_own(&self, place: &HourPlace) -> u64 {
        let keeper = &self.parts.keeper;
        if !keeper.guards().stands(Guard::OwnFirst) {
            return u64::MAX;
        }
        self.options.limits.room_beside_own(&place.stream, |of| keeper.added_bytes(of))
    }
}
