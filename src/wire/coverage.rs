//! Coverage, holes and timespans, as the API answers and the command line prints them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::OrNewer;
use crate::archive::coverage::{CoverageKind, HourFigures, LaneFigures, Stretch, TimeTally};
use crate::archive::hole_reasons::{ClosedHoleReason, HoleReason, OpenHole};
use crate::archive::{Channel, Hour, Quality, Span, Timestamp};

/// The figures of the hours of a quality.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CoverageList {
    /// The channel.
    pub channel: Channel,
    /// The quality.
    pub quality: Quality,
    /// Hours that have a directory or lie between the first segment and the last, in order.
    pub hours: Vec<HourCoverage>,
    /// Give this as `from` to get the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<Timestamp>,
}

/// The figures of an hour.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HourCoverage {
    /// Such as `2019-11-13T02`.
    pub hour: Hour,
    /// Full segments.
    pub full: KindCoverage,
    /// Suspect segments.
    pub suspect: KindCoverage,
    /// Partial segments.
    pub partial: KindCoverage,
    /// `.ts` files whose name is not understood.
    pub bad: u64,
    /// What any best segment covers.
    pub raw: LaneCoverage,
    /// What the editable sequence covers.
    pub editable: LaneCoverage,
}

/// The segments of one type in an hour.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct KindCoverage {
    /// How many.
    pub count: u64,
    /// Seconds of all of them, overlaps included.
    pub seconds: f64,
    /// Those that overlap others.
    pub overlaps: u64,
    /// Seconds of these overlaps.
    pub overlap_seconds: f64,
}

/// How much of each piece of a window is missing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Timeline {
    /// The channel.
    pub channel: Channel,
    /// The quality.
    pub quality: Quality,
    /// When the window begins, ISO 8601 in UTC.
    pub from: Timestamp,
    /// When it ends.
    pub to: Timestamp,
    /// Into how many pieces it is cut.
    pub pixels: u64,
    /// From the first segment to the furthest end of all there are; absent if there are none.
    pub extent: Option<TimeExtent>,
    /// Pieces that are alike, in order.
    pub runs: Vec<TimelineRun>,
    /// Hours of the window of which files lie in a bucket and not on the disk here, neighbours as one, in order.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub in_bucket: Vec<TimeExtent>,
}

/// A stretch of time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TimeExtent {
    /// ISO 8601, in UTC.
    pub start: Timestamp,
    /// ISO 8601, in UTC.
    pub end: Timestamp,
}

/// How many pieces; per mille of each that is missing, −1 where it lies outside the extent; per mille that only segments cover which
/// are not full. Both are rounded up, except that 1000 is all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TimelineRun(pub u32, pub i16, pub i16);

/// What is covered of an hour, and what is missing.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LaneCoverage {
    /// Seconds that are covered.
    pub seconds: f64,
    /// Holes; one that reaches over the hour counts in each.
    pub holes: u64,
    /// Seconds in holes.
    pub hole_seconds: f64,
}

/// The holes of a window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HoleList {
    /// The channel.
    pub channel: Channel,
    /// The quality.
    pub quality: Quality,
    /// `raw` or `editable`.
    #[schema(value_type = CoverageKind)]
    pub kind: OrNewer<CoverageKind>,
    /// Seconds of the window that are covered.
    pub covered_seconds: f64,
    /// In order, cut to the window, or to the page: one that reaches over the end of a page goes on at the start of the next.
    pub holes: Vec<HoleRecord>,
    /// Give this as `from` to get the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<Timestamp>,
}

/// A hole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HoleRecord {
    /// Where it begins, such as `2019-11-13T02:55:08.000000Z`.
    pub start: Timestamp,
    /// Where it ends.
    pub end: Timestamp,
    /// How long it is.
    pub seconds: f64,
    /// When it was first seen. This and what follows is told of raw holes only, and not of what is missing at an edge.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub first_seen: Option<Timestamp>,
    /// Why it is open: `peer_has`, `fetching`, `nobody_has`, `tombstoned`, `retention`, `disk_away`, `lost`, `object_lost` or `not_asked`, or of the recorder
    /// here `source_offline`, `source_stalled`, `source_skipped`, `not_received`, `disk_full`, `not_recording` or `ad`; absent until that was worked
    /// out for the first time.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<HoleReason>)]
    pub reason: Option<OrNewer<HoleReason>>,
    /// Since when that is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason_since: Option<Timestamp>,
    /// All peers were asked since it was first seen, and none has a segment in it.
    #[serde(skip_serializing_if = "is_false", default)]
    pub unfillable: bool,
    /// The peers that have segments in it; where it is unfillable, all that were asked; where some were not asked, those.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub peers: Vec<String>,
    /// The reason as a sentence for people.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub detail: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde asks for it")]
fn is_false(flag: &bool) -> bool {
    !flag
}

impl HoleRecord {
    /// With what the ledger knows of it.
    #[must_use]
    pub fn known(self, entry: &OpenHole) -> Self {
        let first_seen = Some(entry.first_seen);
        let Some(known) = &entry.known else { return Self { first_seen, ..self } };
        Self {
            first_seen,
            reason: Some(known.reason.into()),
            reason_since: Some(known.since),
            unfillable: known.unfillable,
            peers: known.peers.clone(),
            detail: Some(known.detail.clone()),
            ..self
        }
    }

    /// Holes with what the ledger knows of each, both in order.
    pub fn with_ledger(holes: Vec<Stretch>, ledger: &[OpenHole]) -> Vec<Self> {
        let with = |hole: Stretch| {
            let first = ledger.partition_point(|entry| entry.hole.end < hole.end);
            let entry = ledger.get(first).filter(|entry| hole.cut(entry.hole) == Some(hole));
            entry.map_or_else(|| Self::from(hole), |entry| Self::from(hole).known(entry))
        };
        holes.into_iter().map(with).collect()
    }
}

/// Holes that closed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ClosedHoleList {
    /// The channel.
    pub channel: Channel,
    /// The quality.
    pub quality: Quality,
    /// In order of start and of when they closed; not cut to the window.
    pub closed: Vec<ClosedHole>,
    /// Give this as `after` to get the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<String>,
}

/// What was missing and is not any more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ClosedHole {
    /// Where it began.
    pub start: Timestamp,
    /// Where it ended.
    pub end: Timestamp,
    /// How long it was.
    pub seconds: f64,
    /// When it was first seen.
    pub first_seen: Timestamp,
    /// When it closed, or the last part of it did.
    pub closed: Timestamp,
    /// The peer that it came from, or `recorder` for whoever writes into the archive here; absent where nothing came, because the segments after it have gone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub closed_by: Option<String>,
}

impl From<&ClosedHoleReason> for ClosedHole {
    fn from(entry: &ClosedHoleReason) -> Self {
        Self {
            start: entry.hole.start,
            end: entry.hole.end,
            seconds: entry.hole.length().seconds(),
            first_seen: entry.first_seen,
            closed: entry.closed,
            closed_by: entry.by.name().map(str::to_owned),
        }
    }
}

/// The timespans of a window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TimespanList {
    /// The channel.
    pub channel: Channel,
    /// The quality.
    pub quality: Quality,
    /// In order, cut to the window, or to the page: one that reaches over the end of a page goes on at the start of the next.
    pub timespans: Vec<Timespan>,
    /// Give this as `from` to get the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<Timestamp>,
}

/// A longest run without a hole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Timespan {
    /// Where it begins, such as `2019-11-13T02:55:08.000000Z`.
    pub start: Timestamp,
    /// Seconds that it lasts.
    pub duration: f64,
}

/// Microseconds as seconds: exact to the microsecond for three centuries.
pub fn seconds(us: u64) -> f64 {
    Span::from_us(i64::try_from(us).unwrap_or(i64::MAX)).seconds()
}

/// The inverse of [`seconds`].
#[expect(clippy::cast_possible_truncation, reason = "a cast of a float ends at the limits of the integer")]
pub fn microseconds(seconds: f64) -> i64 {
    (seconds * 1e6).round() as i64
}

impl From<Stretch> for HoleRecord {
    fn from(hole: Stretch) -> Self {
        Self {
            start: hole.start,
            end: hole.end,
            seconds: hole.length().seconds(),
            first_seen: None,
            reason: None,
            reason_since: None,
            unfillable: false,
            peers: Vec::new(),
            detail: None,
        }
    }
}

impl From<Stretch> for Timespan {
    fn from(run: Stretch) -> Self {
        Self { start: run.start, duration: run.length().seconds() }
    }
}

impl From<&HourFigures> for HourCoverage {
    fn from(figures: &HourFigures) -> Self {
        let kind = |index: usize| {
            let (all, overlaps) = (figures.video[index], figures.overlaps[index]);
            KindCoverage {
                count: all.count,
                seconds: seconds(all.us),
                overlaps: overlaps.count,
                overlap_seconds: seconds(overlaps.us),
            }
        };
        let lane = |of: LaneFigures| LaneCoverage {
            seconds: seconds(of.covered_us),
            holes: of.holes,
            hole_seconds: seconds(of.hole_us),
        };
        Self {
            hour: figures.hour,
            full: kind(0),
            suspect: kind(1),
            partial: kind(2),
            bad: figures.bad,
            raw: lane(figures.lane(CoverageKind::Raw)),
            editable: lane(figures.lane(CoverageKind::Editable)),
        }
    }
}

impl From<&HourCoverage> for HourFigures {
    fn from(hour: &HourCoverage) -> Self {
        let us = |seconds: f64| microseconds(seconds).unsigned_abs();
        let kinds = [&hour.full, &hour.suspect, &hour.partial];
        let lane = |of: &LaneCoverage| LaneFigures {
            covered_us: us(of.seconds),
            holes: of.holes,
            hole_us: us(of.hole_seconds),
        };
        Self {
            hour: hour.hour,
            video: kinds.map(|of| TimeTally { count: of.count, us: us(of.seconds) }),
            bad: hour.bad,
            overlaps: kinds.map(|of| TimeTally { count: of.overlaps, us: us(of.overlap_seconds) }),
            lanes: [lane(&hour.raw), lane(&hour.editable)],
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn figures_are_read_as_they_were_written(
            hour in -1_000_000..1_000_000_i64, counts in prop::array::uniform9(any::<u64>()),
            // A year of microseconds, over and over.
            us in prop::array::uniform10(0..1_000_000_000_000_000_u64),
        ) {
            let tallies = |from: usize| std::array::from_fn(|kind| TimeTally { count: counts[from + kind], us: us[from + kind] });
            let lane = |at: usize| LaneFigures { covered_us: us[at], holes: counts[at], hole_us: us[at + 1] };
            let figures = HourFigures {
                hour: crate::archive::Timestamp(hour * 3_600_000_000).hour(),
                video: tallies(0),
                bad: counts[6],
                overlaps: tallies(3),
                lanes: [lane(7), lane(8)],
            };
            let text = serde_json::to_string(&HourCoverage::from(&figures)).unwrap();
            let read: HourCoverage = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(HourFigures::from(&read), figures);
        }
    }
}
