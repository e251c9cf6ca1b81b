//! What this node keeps in place of owners that are away.

use std::sync::atomic::Ordering;

use super::machine::Handoffs;
use crate::archive::HourPlace;
use crate::replicate::placement::StandIns;

impl StandIns for Handoffs {
    fn stands_in(&self, place: &HourPlace) -> bool {
        self.is_anybody_away() && self.ask(|node, now| node.keeps(now, place)).unwrap_or_default()
    }

    fn is_anybody_away(&self) -> bool {
        self.somebody_is_away.load(Ordering::Relaxed)
    }
}
