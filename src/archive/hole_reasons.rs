//! Raw holes: since when each is known, why it is open, when it closed and by whom.
//!
//! Entries are opened and closed by the index (`index/hole_reasons`); why one is open is worked out by `replicate/hole_reasons`.

use std::fmt;
use std::sync::Arc;

use super::Stream;
use super::coverage::Stretch;
use super::time::Timestamp;

/// Peers that are named in an entry: more than anybody asks.
pub const MOST_PEERS: usize = 32;
/// Bytes of a peer's name that are kept.
pub const NAME_BYTES: usize = 200;
/// Bytes of a sentence that are kept.
pub const DETAIL_BYTES: usize = 2_000;

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
    /// The recorder here: the source did not answer, had ended, or began anew.
    SourceOffline = 8,
    /// The recorder here: the source answered, and its playlist stood still.
    SourceStalled = 9,
    /// The recorder here: the source left it out of what it listed, or marked it as missing.
    SourceSkipped = 10,
    /// The recorder here: it was listed and did not come.
    NotReceived = 11,
    /// The recorder here: there was no room for it.
    DiskFull = 12,
    /// The recorder here did not run.
    NotRecording = 13,
    /// The recorder here: it is an ad, and those are left out.
    Ad = 14,
    /// What was in it lay in an object of the bucket that is lost, all peers were asked, and none has it.
    ObjectLost = 15,
}

impl HoleReason {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::PeerHas,
        Self::Fetching,
        Self::NobodyHas,
        Self::Tombstoned,
        Self::Retention,
        Self::DiskAway,
        Self::NotAsked,
        Self::Lost,
        Self::SourceOffline,
        Self::SourceStalled,
        Self::SourceSkipped,
        Self::NotReceived,
        Self::DiskFull,
        Self::NotRecording,
        Self::Ad,
        Self::ObjectLost,
    ];

    /// Whether it says why this node has not got it in the first place, which it can say although some peers were not asked.
    pub const fn is_of_this_node(self) -> bool {
        matches!(
            self,
            Self::DiskAway
                | Self::SourceOffline
                | Self::SourceStalled
                | Self::SourceSkipped
                | Self::NotReceived
                | Self::DiskFull
                | Self::NotRecording
                | Self::Ad
        )
    }

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
            Self::SourceOffline => "source_offline",
            Self::SourceStalled => "source_stalled",
            Self::SourceSkipped => "source_skipped",
            Self::NotReceived => "not_received",
            Self::DiskFull => "disk_full",
            Self::NotRecording => "not_recording",
            Self::Ad => "ad",
            Self::ObjectLost => "object_lost",
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

/// What the recorder here did not get, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissedRecording {
    /// It may reach over what came all the same: only what is a hole counts.
    pub missed: Stretch,
    /// In one word.
    pub reason: HoleReason,
    /// For people.
    pub detail: String,
}

/// What was here and is lost, of what did not lie on this disk.
pub trait LostContent: Send + Sync {
    /// Another number after each change.
    fn version(&self) -> u64;
    /// Segments of it that lie in a hole, cut to it. May look at the disk.
    fn within(&self, stream: &Stream, hole: Stretch) -> Vec<Stretch>;
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

/// As much of a text as fits into so many bytes.
pub fn shortened(text: &str, most: usize) -> &str {
    let cut = (0..=most.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.get(..cut).unwrap_or_default()
}

/// Holes of tests, by their microseconds.
#[cfg(test)]
pub(crate) mod test_holes {
    use super::{OpenHole, Stretch, Timestamp};

    pub fn stretch(start: i64, end: i64) -> Stretch {
        Stretch { start: at(start), end: at(end) }
    }

    pub fn at(us: i64) -> Timestamp {
        Timestamp::from_us(us)
    }

    pub fn entry(start: i64, end: i64, first_seen: i64) -> OpenHole {
        OpenHole { hole: stretch(start, end), first_seen: at(first_seen), grown: at(first_seen), known: None }
    }
}
