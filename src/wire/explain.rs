//! What covers a point in time, as the API answers and `gapless explain` prints it.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ClosedHole, HoleRecord, HourLimits, SequenceSegment};
use crate::archive::best::SequencePiece;
use crate::archive::explain::{CoveredBy, Moment};
use crate::archive::{Channel, Quality, Span, Stream, Timestamp};

/// What covers a point in time in a quality, or the hole that it lies in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExplainedTime {
    /// The channel.
    pub channel: Channel,
    /// The quality.
    pub quality: Quality,
    /// The point in time, such as `2019-11-13T02:55:08.000000Z`.
    pub time: Timestamp,
    /// The segment that is played; null in a hole.
    pub played: Option<SequenceSegment>,
    /// Others that cover it.
    pub others: Vec<OtherSegment>,
    /// The hole; null where a segment is played.
    pub hole: Option<ExplainedHole>,
    /// Holes that it lay in and that closed, at most ten.
    #[serde(default)]
    pub was_missing: Vec<ClosedHole>,
    /// What retention has done, or will do, with the hour of that time.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub limits: Option<HourLimits>,
    /// Where the bytes of the played segment lie, or of the file that was asked about, if an object of the bucket holds it or held it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stored: Option<StoredFile>,
}

/// Where a file lies that an object of the bucket holds or held.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StoredFile {
    /// It lies on this disk as well.
    pub here: bool,
    /// Which bucket.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bucket: Option<String>,
    /// The objects that hold it, such as `v1/CHANNEL/QUALITY/HOUR/DIGEST.tar`.
    pub objects: Vec<String>,
    /// Those that held it and are lost.
    #[serde(default)]
    pub lost: Vec<String>,
    /// Why it could not be read there when it was last asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub unread: Option<UnreadFile>,
}

/// Why a file could not be read from the bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UnreadFile {
    /// A word for it, such as `unreachable` or `cold`.
    pub reason: String,
    /// What was answered.
    pub why: String,
}

impl fmt::Display for StoredFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bucket = self.bucket.as_deref().unwrap_or("the bucket");
        match &*self.objects {
            [] => write!(
                f,
                "it was in {bucket}, in {}, which is lost: see `gapless archive verify`",
                self.lost.join(", ")
            )?,
            objects => {
                let alone = if self.here { "as well as on this disk" } else { "alone" };
                write!(f, "in {bucket} {alone}: {}", objects.join(", "))?;
                if !self.lost.is_empty() {
                    write!(f, "; and in {}, which is lost", self.lost.join(", "))?;
                }
            }
        }
        let unread = self.unread.as_ref();
        unread.map_or(Ok(()), |UnreadFile { reason, why }| {
            write!(f, "; it could not be read from there ({reason}): {why}")
        })
    }
}

/// A segment that is not played, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OtherSegment {
    /// The segment.
    pub segment: SequenceSegment,
    /// In words.
    pub not_played_because: String,
}

/// A hole, by the segments that it lies between.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExplainedHole {
    /// Where the segment before ends; null where there is none.
    pub start: Option<Timestamp>,
    /// Where the segment after starts; null where there is none.
    pub end: Option<Timestamp>,
    /// How long it is, if it has two ends.
    pub seconds: Option<f64>,
    /// The segment before.
    pub before: Option<SequenceSegment>,
    /// The segment after.
    pub after: Option<SequenceSegment>,
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

    /// With where that segment lies.
    #[must_use]
    pub fn with_stored(self, stored: Option<StoredFile>) -> Self {
        Self { stored, ..self }
    }

    /// With what retention does with its hour.
    #[must_use]
    pub fn with_limits(self, limits: Option<HourLimits>) -> Self {
        Self { limits, ..self }
    }

    /// Of what was found in this quality.
    pub fn new(stream: &Stream, at: Timestamp, found: &Moment) -> Self {
        let others = found.others.iter().map(|(other, instead)| OtherSegment {
            segment: SequenceSegment::from(other),
            not_played_because: why_not_played(instead),
        });
        let hole = found.chosen.is_none().then(|| ExplainedHole {
            start: found.before.as_ref().map(SequencePiece::end),
            end: found.after.as_ref().map(SequencePiece::start),
            seconds: found.hole().map(Span::seconds),
            before: found.before.as_ref().map(SequenceSegment::from),
            after: found.after.as_ref().map(SequenceSegment::from),
            ledger: None,
        });
        Self {
            channel: stream.channel.clone(),
            quality: stream.quality.clone(),
            time: at,
            played: found.chosen.as_ref().map(SequenceSegment::from),
            others: others.collect(),
            hole,
            was_missing: Vec::new(),
            limits: None,
            stored: None,
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
