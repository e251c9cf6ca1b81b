//! Whoever deletes a whole hour asks first: it may have been promised to another node that it stays.
//!
//! A wish that nobody has repeated for a while is forgotten, as what is wished for is not promised anew.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::error::HandoffError;
use super::machine::{Handoffs, Machine};
use crate::archive::HourPlace;
use crate::archive::placement::handoffs::{PlacementEffect, PlacementEvent};
use crate::disk::Base;

/// After how long a wish is forgotten: longer than any pin, and than retention rests between two runs where it runs at all often.
const FORGOTTEN: Duration = Duration::from_secs(6 * 3_600);

/// Whether an hour may be deleted.
#[derive(Debug)]
pub enum RetireVerdict {
    /// Until this is dropped; nothing of it is promised meanwhile.
    May(RetirePermit),
    /// Another node was promised that it stays. Ask again: nothing is promised anew, so it takes an hour at most.
    Pinned,
}

/// Permission to delete an hour. Dropping it says that the deletion has ended, however it did.
#[derive(Debug)]
pub struct RetirePermit {
    handoffs: Arc<Handoffs>,
    place: HourPlace,
}

impl Drop for RetirePermit {
    fn drop(&mut self) {
        self.handoffs.deletion_ended(&self.place, true);
    }
}

impl Handoffs {
    /// Asks whether an hour may be deleted whole. An error if nothing is known of what was promised: then it may not.
    pub fn may_retire(self: &Arc<Self>, place: &HourPlace) -> Result<RetireVerdict, HandoffError> {
        let may = self.turn(|machine, base| {
            let effects = self.step(machine, base, PlacementEvent::RetireWanted { hour: place.clone() })?;
            let may = effects.iter().any(|effect| matches!(effect, PlacementEffect::Retire { .. }));
            if may {
                machine.wishes.remove(place);
                machine.deleting.insert(place.clone());
            } else {
                machine.wishes.insert(place.clone(), Instant::now());
            }
            Ok(may)
        })?;
        Ok(if may {
            RetireVerdict::May(RetirePermit { handoffs: Arc::clone(self), place: place.clone() })
        } else {
            RetireVerdict::Pinned
        })
    }

    /// Forgets wishes that nobody has repeated.
    pub(super) fn forget_wishes(&self) -> Result<(), HandoffError> {
        self.turn(|machine, base| {
            let is_old = |(place, since): (&HourPlace, &Instant)| (since.elapsed() >= FORGOTTEN).then(|| place.clone());
            let old: Vec<HourPlace> = machine.wishes.iter().filter_map(is_old).collect();
            old.iter().try_for_each(|place| self.give_up(machine, base, place))
        })
    }

    fn give_up(&self, machine: &mut Machine, base: &Base, place: &HourPlace) -> Result<(), HandoffError> {
        machine.wishes.remove(place);
        self.step(machine, base, PlacementEvent::RetireGivenUp { hour: place.clone() }).map(drop)
    }
}

impl std::fmt::Debug for Handoffs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handoffs").field("options", &self.options).finish_non_exhaustive()
    }
}
