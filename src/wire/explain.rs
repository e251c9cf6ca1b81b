//! What covers a point in time, as the API answers and `gapless explain` prints it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ClosedHole, HoleRecord};
use crate::archive::best::SequencePiece;
use crate::archive::explain::{CoveredBy, Moment};
use crate::archive::{Span, Stream, Timestamp};

/// What covers a point in time in a quality, or the hole that it lies in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExplainedTime {
    /// The channel.
    pub channel: String,
    /// The quality.
    pub quality: String,
    /// The point in time, such as `2019-11-13T02:55:08.000000Z`.
    pub time: String,
    /// The segment that is played; null in a hole.
    pub played: Option<CoveringSegment>,
    /// Others that cover it.
    pub others: Vec<OtherSegment>,
    /// The hole; null where a segment is played.
    pub hole: Option<ExplainedHole>,
    /// Holes that it lay in and that closed, at most ten.
    #[serde(default)]
    pub was_missing: Vec<ClosedHole>,
}

/// A segment and when it lasts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CoveringSegment {
    /// The hour directory, such as `2019-11-13T02`.
    pub hour: String,
    /// The file name.
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

/// A segment that is not played, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OtherSegment {
    /// The segment.
    pub segment: CoveringSegment,
    /// In words.
    pub not_played_because: String,
}

/// A hole, by the segments that it lies between.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExplainedHole {
    /// Where the segment before ends; null where there is none.
    pub start: Option<String>,
    /// Where the segment after starts; null where there is none.
    pub end: Option<String>,
    /// How long it is, if it has two ends.
    pub seconds: Option<f64>,
    /// The segment before.
    pub before: Option<CoveringSegment>,
    /// The segment after.
    pub after: Option<CoveringSegment>,
    /// What the ledger knows of it: since when, why, who has it; absent where it knows nothing, as before the first segment.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ledger: Option<HoleRecord>,
}

/// Holes that closed of which [`ExplainedTime`] tells.
pub const MOST_CLOSED: usize = 10;

impl ExplainedTime {
    /// With what the ledger knows of that time.
    #[must_use]
    pub fn with_ledger(self, open: Option<HoleRecord>, was_missing: Vec<ClosedHole>) -> Self {
        let hole = self.hole.map(|hole| ExplainedHole { ledger: open, ..hole });
        Self { hole, was_missing, ..self }
    }

    /// Of what was found in this quality.
    pub fn new(stream: &Stream, at: Timestamp, found: &Moment) -> Self {
        let others = found.others.iter().map(|(other, instead)| OtherSegment {
            segment: CoveringSegment::from(other),
            not_played_because: why_not_played(instead),
        });
        let hole = found.chosen.is_none().then(|| ExplainedHole {
            start: found.before.as_ref().map(|before| before.end().to_string()),
            end: found.after.as_ref().map(|after| after.start().to_string()),
            seconds: found.hole().map(Span::seconds),
            before: found.before.as_ref().map(CoveringSegment::from),
            after: found.after.as_ref().map(CoveringSegment::from),
            ledger: None,
        });
        Self {
            channel: stream.channel.to_string(),
            quality: stream.quality.to_string(),
            time: at.to_string(),
            played: found.chosen.as_ref().map(CoveringSegment::from),
            others: others.collect(),
            hole,
            was_missing: Vec::new(),
        }
    }
}

impl From<&SequencePiece> for CoveringSegment {
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

/// Why a segment is not played, in words.
pub fn why_not_played(instead: &CoveredBy) -> String {
    match instead {
        CoveredBy::Hidden => "hidden by its tombstone".to_owned(),
        CoveredBy::Beaten(by, merit) => format!("not the best for its start: {by} is, because {merit}"),
        CoveredBy::Unplayable(why) => format!("never played: {why}"),
        CoveredBy::Later => "it starts later than the one that is played".to_owned(),
    }
}
