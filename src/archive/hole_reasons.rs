//! The ledger of raw holes: since when each is known, why it is open, when it closed and by whom.
//!
//! 1. A [`HoleReasonChange`] leads from the holes that were to those that are. Nothing else opens or closes an entry, so that the open entries
//!    are the raw holes exactly, and every instant that was missing and is not any more lies in a closed entry.
//! 2. A hole that shrinks, splits or grows is known since the earliest of those that it was made of.
//! 3. Who closed it is told by what arrived meanwhile ([`Arrival`]).
//! 4. Why it is open is worked out elsewhere ([`why()`]) and remembered in the entry.
//!
//! Nothing here reads anything: neither clock nor index.

mod turn;
pub mod why;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

pub use turn::HoleReasonChange;
pub use why::{HoleFacts, HoleOffer, PeerFacts, why};

use super::coverage::Stretch;
use super::time::Timestamp;

/// Why a hole is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HoleReason {
    /// A peer has segments in it.
    PeerHas = 0,
    /// A peer has segments in it, and they are being fetched, or wait until they are old enough.
    Fetching = 1,
    /// All peers were asked after it was first seen, and none has a segment in it.
    NobodyHas = 2,
    /// Tombstones hide what was in it.
    Tombstoned = 3,
    /// Retention took it.
    Retention = 4,
    /// The disk was away at the time.
    DiskAway = 5,
    /// Some peers were not asked since it was first seen.
    NotAsked = 6,
    /// What was in it was damaged here and lies in the quarantine, all peers were asked, and none has it.
    Lost = 7,
}

impl HoleReason {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::PeerHas,
        Self::Fetching,
        Self::NobodyHas,
        Self::Tombstoned,
        Self::Retention,
        Self::DiskAway,
        Self::NotAsked,
        Self::Lost,
    ];

    /// As it is told.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PeerHas => "peer_has",
            Self::Fetching => "fetching",
            Self::NobodyHas => "nobody_has",
            Self::Tombstoned => "tombstoned",
            Self::Retention => "retention",
            Self::DiskAway => "disk_away",
            Self::NotAsked => "not_asked",
            Self::Lost => "lost",
        }
    }

    /// The inverse of its number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| *reason as u8 == number)
    }
}

impl fmt::Display for HoleReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is known about why a hole is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoleKnowledge {
    /// In one word.
    pub reason: HoleReason,
    /// All peers were asked since it was first seen, and none has a segment in it: it cannot be filled, as far as is known.
    pub unfillable: bool,
    /// Since when it is known to be so.
    pub since: Timestamp,
    /// Those who have segments in it; where it is unfillable, all who were asked; or those who were not asked.
    pub peers: Vec<String>,
    /// A sentence for people.
    pub detail: String,
}

/// A hole that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenHole {
    /// What is missing.
    pub hole: Stretch,
    /// When it was first seen.
    pub first_seen: Timestamp,
    /// When it last grew: who was asked before then was not asked about all of it.
    pub grown: Timestamp,
    /// Why, as far as it was worked out.
    pub known: Option<HoleKnowledge>,
}

/// From whom something came.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum HoleFiller {
    /// A peer, by way of backfill.
    Peer(Arc<str>),
    /// Nobody whom we asked: the recorder, or a person who put a file there.
    Recorder,
    /// Nothing came: the segments after it have gone, or a tombstone was taken back.
    Nothing,
}

impl HoleFiller {
    /// How what nobody gave us is told.
    pub const RECORDER: &'static str = "recorder";

    /// As it is told; nothing if nothing came.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Peer(name) => Some(name),
            Self::Recorder => Some(Self::RECORDER),
            Self::Nothing => None,
        }
    }
}

/// What was missing and is not any more, of one hole and from one giver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedHoleReason {
    /// What was missing.
    pub hole: Stretch,
    /// When it was first seen.
    pub first_seen: Timestamp,
    /// When it closed.
    pub closed: Timestamp,
    /// From whom.
    pub by: HoleFiller,
}

/// A segment that has become known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// What it covers.
    pub covers: Stretch,
    /// Who gave it.
    pub by: HoleFiller,
}

/// How the holes that are differ from those that were.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HoleChanges {
    gone: BTreeSet<Stretch>,
    new: BTreeSet<Stretch>,
}

impl HoleChanges {
    /// Adds what became of some of them; the same one may go and come again.
    pub fn add(&mut self, old: impl IntoIterator<Item = Stretch>, new: impl IntoIterator<Item = Stretch>) {
        for hole in old {
            if !self.new.remove(&hole) {
                self.gone.insert(hole);
            }
        }
        for hole in new {
            if !self.gone.remove(&hole) {
                self.new.insert(hole);
            }
        }
    }

    /// Whether all is as it was.
    pub fn is_empty(&self) -> bool {
        self.gone.is_empty() && self.new.is_empty()
    }

    /// Those that are no more, in order.
    pub fn gone(&self) -> impl Iterator<Item = Stretch> {
        self.gone.iter().copied()
    }
}

#[cfg(test)]
mod tests;
