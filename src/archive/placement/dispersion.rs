//! How many copies of each hour lie where the layout says, counted of all hours and not of a sample.
//!
//! A copy is in place where its owner says the same digest as all names together have that any node knows. One that lacks a name, or has one
//! that nobody else has, is not; nor is one of an owner that has not said anything.

use std::collections::BTreeSet;

use super::slot::{SLOTS, Slot};
use crate::archive::HourPlace;
use crate::archive::totals::Digest;

/// Hours with too few copies that are named; the rest is counted.
pub const MOST_SHORT: usize = 1_000;

/// What an owner says that lies there of an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnerCopy {
    /// It has said nothing yet.
    Unknown,
    /// Names with this digest, and so many bytes; of nothing both are 0.
    Lies {
        /// Of its names.
        digest: Digest,
        /// Of its files.
        bytes: u64,
    },
}

/// An hour that has fewer copies in place than owners.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ShortHour {
    /// Copies in place; first, so that the worst come first.
    pub copies: usize,
    /// The hour.
    pub hour: HourPlace,
    /// Its owners.
    pub wanted: usize,
}

/// What was counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dispersion {
    /// Hours that any node has.
    pub hours: u64,
    /// Of them, those with all copies in place.
    pub hours_in_place: u64,
    /// Of the others, those of which an owner has said nothing.
    pub hours_unknown: u64,
    /// Copies of all hours that there should be.
    pub copies: u64,
    /// Of them, those in place.
    pub copies_in_place: u64,
    /// Bytes that owners lack, as far as they have said what they have.
    pub bytes_missing: u64,
    short: BTreeSet<ShortHour>,
    used: Vec<SlotUse>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SlotUse {
    Empty,
    InPlace,
    Short,
}

impl Default for Dispersion {
    fn default() -> Self {
        Self {
            hours: 0,
            hours_in_place: 0,
            hours_unknown: 0,
            copies: 0,
            copies_in_place: 0,
            bytes_missing: 0,
            short: BTreeSet::new(),
            used: vec![SlotUse::Empty; SLOTS],
        }
    }
}

impl Dispersion {
    /// Counts an hour: what all its names together are, and what each of its owners has.
    pub fn count(&mut self, hour: &HourPlace, whole: Digest, bytes: u64, owners: &[OwnerCopy]) {
        let is_in_place = |copy: &&OwnerCopy| matches!(copy, OwnerCopy::Lies { digest, .. } if *digest == whole);
        let copies = owners.iter().filter(is_in_place).count();
        self.hours += 1;
        self.copies += owners.len() as u64;
        self.copies_in_place += copies as u64;
        let is_whole = copies == owners.len() && copies > 0;
        if let Some(used) = self.used.get_mut(Slot::of(hour).row()) {
            *used = if is_whole && *used != SlotUse::Short { SlotUse::InPlace } else { SlotUse::Short };
        }
        if is_whole {
            self.hours_in_place += 1;
            return;
        }
        self.hours_unknown += u64::from(owners.contains(&OwnerCopy::Unknown));
        for owner in owners {
            if let OwnerCopy::Lies { digest, bytes: there } = owner
                && *digest != whole
            {
                self.bytes_missing = self.bytes_missing.saturating_add(bytes.saturating_sub(*there));
            }
        }
        self.short.insert(ShortHour { copies, hour: hour.clone(), wanted: owners.len() });
        if self.short.len() > MOST_SHORT {
            self.short.pop_last();
        }
    }

    /// Slots that any hour falls into, and those of them all hours of which have all copies in place.
    pub fn slots(&self) -> (u64, u64) {
        let count = |is_such: fn(SlotUse) -> bool| self.used.iter().filter(|used| is_such(**used)).count() as u64;
        (count(|used| used != SlotUse::Empty), count(|used| used == SlotUse::InPlace))
    }

    /// Hours that lack copies, those with the fewest first, and at most [`MOST_SHORT`].
    pub fn short(&self) -> impl Iterator<Item = &ShortHour> {
        self.short.iter()
    }

    /// Whether every copy is in place.
    pub fn is_done(&self) -> bool {
        self.hours_in_place == self.hours
    }
}
