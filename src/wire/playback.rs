//! What is told of stretches that people watch or cut.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::archive::SequencePiece;

/// The best sequence of a stretch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SequenceList {
    /// In order of start; `null` is a discontinuity.
    pub sequence: Vec<Option<SequenceSegment>>,
}

/// A segment of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SequenceSegment {
    /// The hour directory that it lies in.
    pub hour: String,
    /// Its name, to the byte.
    pub name: String,
    /// When it starts.
    pub start: String,
    /// When it ends.
    pub end: String,
    /// `full`, `suspect` or `partial`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Bytes.
    pub size: u64,
}

impl From<&SequencePiece> for SequenceSegment {
    fn from(piece: &SequencePiece) -> Self {
        Self {
            hour: piece.hour.to_string(),
            name: piece.file.name(),
            start: piece.start().to_string(),
            end: piece.end().to_string(),
            kind: piece.file.key.kind.as_str().to_owned(),
            size: piece.file.size,
        }
    }
}

/// What keeps a cut from being whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CutHole {
    /// From when on.
    pub start: String,
    /// Until when.
    pub end: String,
    /// How long.
    pub seconds: f64,
    /// `missing`; or `suspect` or `partial`, where the segment before it is that.
    pub why: String,
}
