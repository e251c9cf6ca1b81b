//! What is told of stretches that people watch or cut.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::OrNewer;
use crate::archive::{Hour, InitSection, SegmentKind, SequencePiece, Timestamp};

/// The best sequence of a stretch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SequenceList {
    /// In order of start; `null` is a discontinuity.
    pub sequence: Vec<Option<SequenceSegment>>,
}

/// A segment, and when it lasts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SequenceSegment {
    /// The hour directory that it lies in.
    pub hour: Hour,
    /// Its name, to the byte.
    pub name: String,
    /// When it starts.
    pub start: Timestamp,
    /// When it ends.
    pub end: Timestamp,
    /// `full`, `suspect` or `partial`.
    #[serde(rename = "type")]
    #[schema(value_type = SegmentKind)]
    pub kind: OrNewer<SegmentKind>,
    /// Bytes.
    pub size: u64,
    /// Of MP4: the initialisation segment with which it begins, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<SequenceInit>,
}

/// The initialisation segment at the beginning of a file in MP4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SequenceInit {
    /// Bytes.
    pub size: u32,
    /// A checksum: segments with the same size and checksum have the same one.
    pub checksum: u32,
}

impl From<InitSection> for SequenceInit {
    fn from(init: InitSection) -> Self {
        Self { size: init.length(), checksum: init.print() }
    }
}

impl From<&SequencePiece> for SequenceSegment {
    fn from(piece: &SequencePiece) -> Self {
        Self {
            hour: piece.hour,
            name: piece.file.name(),
            start: piece.start(),
            end: piece.end(),
            kind: piece.file.key.kind.into(),
            size: piece.file.size,
            init: None,
        }
    }
}

/// What keeps a cut from being whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CutHole {
    /// From when on.
    pub start: Timestamp,
    /// Until when.
    pub end: Timestamp,
    /// How long.
    pub seconds: f64,
    /// `missing`; or `suspect` or `partial`, where the segment before it is that.
    pub why: String,
}
