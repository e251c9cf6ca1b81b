//! What retention would do, has done, and what it says about itself.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{microseconds, seconds};
use crate::archive::retention::{RetentionLimits, StreamLimit};
use crate::archive::{HourPlace, Span, Stream, Timestamp};

/// What retention would delete now, and what it has deleted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RetentionView {
    /// What would go now.
    pub plan: RetentionPlan,
    /// Hours that have gone or are going, newest first; at most 10000 of them.
    pub retired: Vec<RetiredHour>,
    /// How many there are in all.
    pub retired_hours: u64,
    /// Hours that the operator keeps, whatever the limits say.
    pub kept: Vec<HourPlace>,
}

/// What retention would delete now. Nothing is changed by asking.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RetentionPlan {
    /// Whether there is any limit.
    pub enabled: bool,
    /// Whole hours that would go, oldest first; at most 10000 of them.
    pub hours: Vec<RetentionHour>,
    /// How many there are in all.
    #[serde(default)]
    pub planned_hours: u64,
    /// Segments and chat batches in all of them.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Hours that hold anything.
    pub archive_hours: u64,
    /// Bytes of all of them.
    pub archive_bytes: u64,
    /// Free bytes on the disk.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub free_bytes: Option<u64>,
    /// What looks like a mistake: nothing would be deleted without a person's word.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub doubt: Option<String>,
    /// The guard that says so, to be named in the answer. Others may ask when it is answered.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub asks: Option<AskingGuard>,
    /// Why nothing can be deleted now.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub blocked: Option<String>,
    /// What would leave the bucket for its age (`archive.max_age`).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bucket: Option<BucketPlan>,
    /// Whether it is by limits that were asked about, and not by the node's own.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub other_limits: bool,
}

/// Hours that retention would delete in the bucket.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BucketPlan {
    /// Those that would leave it, oldest first; at most 10000 of them.
    pub hours: Vec<BucketHour>,
    /// How many there are in all.
    pub planned_hours: u64,
    /// Hours that lie there, as far as that is noted here.
    pub bucket_hours: u64,
}

/// An hour that would leave the bucket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BucketHour {
    /// `CHANNEL/QUALITY/HOUR`.
    pub hour: HourPlace,
    /// Objects, those that turned out to be lost or damaged included.
    pub objects: u64,
    /// Files in them.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Whether files of it lie on this disk, where they stay.
    pub is_here: bool,
}

/// Limits that a plan is asked about; what is left out is without limit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PlanLimits {
    /// How long ago an hour may have ended, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age: Option<f64>,
    /// Bytes of all hours together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u64>,
    /// Bytes that stay free on the disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_free: Option<u64>,
    /// How long ago an hour may have ended that lies in the bucket, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archive_max_age: Option<f64>,
    /// Limits of channels and qualities.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub streams: Vec<PlanStreamLimits>,
}

/// Limits of a channel, or of a quality of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PlanStreamLimits {
    /// The channel.
    pub channel: String,
    /// The quality; all that have no limits of their own where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quality: Option<String>,
    /// In place of that of all, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age: Option<f64>,
    /// No age limits them, whatever holds for all.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub any_age: bool,
    /// The same of hours in the bucket, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archive_max_age: Option<f64>,
    /// No age limits them there.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub any_age_in_archive: bool,
    /// Bytes of these hours together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u64>,
}

impl From<&RetentionLimits> for PlanLimits {
    fn from(limits: &RetentionLimits) -> Self {
        let age = |span: Span| seconds(u64::try_from(span.us()).unwrap_or_default());
        let streams = limits.streams.iter().map(|limit| PlanStreamLimits {
            channel: limit.channel.clone(),
            quality: limit.quality.clone(),
            max_age: limit.max_age.flatten().map(age),
            any_age: limit.max_age == Some(None),
            archive_max_age: limit.bucket_age.flatten().map(age),
            any_age_in_archive: limit.bucket_age == Some(None),
            max_bytes: limit.max_bytes,
        });
        Self {
            max_age: limits.max_age.map(age),
            max_bytes: limits.max_bytes,
            min_free: limits.min_free,
            archive_max_age: limits.bucket_age.map(age),
            streams: streams.collect(),
        }
    }
}

impl From<PlanLimits> for RetentionLimits {
    fn from(limits: PlanLimits) -> Self {
        let age = |given: f64| Span::from_us(microseconds(given));
        let streams = limits.streams.into_iter().map(|limit| StreamLimit {
            channel: limit.channel,
            quality: limit.quality,
            max_age: if limit.any_age { Some(None) } else { limit.max_age.map(|given| Some(age(given))) },
            bucket_age: if limit.any_age_in_archive {
                Some(None)
            } else {
                limit.archive_max_age.map(|given| Some(age(given)))
            },
            max_bytes: limit.max_bytes,
        });
        Self {
            max_age: limits.max_age.map(age),
            max_bytes: limits.max_bytes,
            min_free: limits.min_free,
            bucket_age: limits.archive_max_age.map(age),
            streams: streams.collect(),
        }
    }
}

/// An hour that would go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RetentionHour {
    /// `CHANNEL/QUALITY/HOUR`.
    pub hour: HourPlace,
    /// `age`, `size` or `space`.
    pub reason: String,
    /// Segments and chat batches, hidden ones included.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Tombstones, which stay until the reclaim age.
    pub tombstones: u64,
}

/// An hour that has gone or is going.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RetiredHour {
    /// `CHANNEL/QUALITY/HOUR`.
    pub hour: HourPlace,
    /// `retiring` (being deleted), `retired` (tombstones are left) or `gone`.
    pub state: String,
    /// `age`, `size` or `space`.
    pub reason: String,
    /// When it came into this state.
    pub since: Timestamp,
}

/// How retention goes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RetentionReport {
    /// Whether there is any limit.
    pub enabled: bool,
    /// When everything was last looked at.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_run: Option<Timestamp>,
    /// Hours that were retired in that run.
    pub hours: u64,
    /// Their segments and chat batches.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Hours that should be gone and stay for now, as other nodes were promised that they do: an hour at most.
    #[serde(default)]
    pub pinned_hours: u64,
    /// Hours that left the bucket in that run.
    #[serde(default)]
    pub bucket_hours: u64,
    /// Hours that should have left the bucket and have not.
    #[serde(default)]
    pub bucket_overdue_hours: u64,
    /// Hours whose tombstones went in that run.
    pub reclaimed: u64,
    /// Hours whose tombstones stay though the reclaim age is over: what they hide might be shown again. Of those that were asked about.
    #[serde(default)]
    pub tombstones_stay: u64,
    /// The first of them, and why.
    #[serde(default)]
    pub first_tombstones_stay: Vec<String>,
    /// Bytes that should be gone and are not.
    pub overdue_bytes: u64,
    /// Segments that stay because no other node has them.
    pub last_copies: u64,
    /// The first of them.
    #[serde(default)]
    pub first_last_copies: Vec<String>,
    /// Who fills the disk.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub disk: Option<DiskFilled>,
    /// Peers that answered and do not count as other copies, and why.
    #[serde(default)]
    pub unproven_copies: Vec<String>,
    /// What looks like a mistake and needs confirmation (`gapless retention run --yes`).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub doubt: Option<String>,
    /// The guard that says so, to be named in the answer. Others may ask when it is answered.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub asks: Option<AskingGuard>,
    /// Why the clock of this machine is not believed now; nothing is deleted meanwhile.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub clock: Option<String>,
    /// Records that protect the archive and cannot be relied on; nothing is deleted until `retention accept`.
    #[serde(default)]
    pub unusable_records: Vec<UnusableRecord>,
    /// Why the last run failed, or left something undone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
}

/// Who fills the disk, in bytes, and by how much that has grown since the run before.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DiskFilled {
    /// What was recorded here, was here before, or is named in the configuration.
    pub own: u64,
    /// What came from other nodes.
    pub fetched: u64,
    /// All else that is used: other programs, the index, and what the file system keeps for itself.
    pub other: u64,
    /// What is free.
    pub free: u64,
    /// Growth of one's own; negative where it has shrunk.
    pub own_grown: i64,
    /// Growth of what came from other nodes.
    pub fetched_grown: i64,
    /// Growth of all else.
    pub other_grown: i64,
}

/// A record beneath `.gapless` that cannot be relied on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UnusableRecord {
    /// `retired` (the journal of retired hours), `time`, `levels`, `records`, or another one.
    pub name: String,
    /// What is wrong with it.
    pub why: String,
}

/// What became of records that could not be relied on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AcceptedRecords {
    /// Those that begin anew from what could be read.
    pub records: Vec<UnusableRecord>,
    /// Where their damaged copies are kept.
    pub kept_aside: Vec<String>,
}

/// What has become of an hour by retention, or will.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum HourFate {
    /// It is exempt from all limits.
    Kept,
    /// It is being deleted.
    Retiring,
    /// It was deleted, and its tombstones are left.
    Retired,
    /// It was deleted, and its tombstones are gone, too.
    Gone,
    /// It is too old: the next run deletes it.
    Due,
    /// It will be too old.
    Ages,
    /// No age limits it. It goes when room is needed.
    Room,
    /// Nothing limits it.
    Unlimited,
}

/// What retention has done, or will do, with an hour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HourLimits {
    /// Which of these.
    pub state: HourFate,
    /// Why it was deleted: `age`, `stream`, `fetched`, `size` or `space`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// When it came into that state, or when it is too old.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub at: Option<Timestamp>,
    /// Whether it may go before that, for want of room.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub by_room: bool,
    /// When its objects are deleted in the bucket for its age, where it has any.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub leaves_bucket_at: Option<Timestamp>,
    /// Whether it stays, whatever the limits, until another node has all of it.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub needs_copy: bool,
}

impl fmt::Display for HourLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at.map(|at| at.to_string()).unwrap_or_default();
        let reason = self.reason.as_deref().unwrap_or("unknown");
        match self.state {
            HourFate::Kept => f.write_str("retention never deletes its hour: `gapless retention keep` exempts it"),
            HourFate::Retiring => write!(f, "retention is deleting its hour since {at}, for the reason {reason}"),
            HourFate::Retired | HourFate::Gone => {
                write!(f, "retention deleted its hour at {at}, for the reason {reason}; it is not fetched again")
            }
            HourFate::Due => write!(f, "its hour is too old since {at}: the next run of retention deletes it"),
            HourFate::Ages => write!(f, "retention deletes its hour at {at} for its age"),
            HourFate::Room => f.write_str("retention deletes its hour when room is needed; no age limits it"),
            HourFate::Unlimited => f.write_str("no limit of retention concerns it"),
        }?;
        if self.by_room && self.state == HourFate::Ages {
            f.write_str(", or earlier when room is needed")?;
        }
        if self.needs_copy && matches!(self.state, HourFate::Due | HourFate::Ages | HourFate::Room) {
            f.write_str(", and not before another node has all of it")?;
        }
        self.leaves_bucket_at.map_or(Ok(()), |time| {
            write!(f, "; its objects in the bucket are too old from {time} on, and are deleted there then")
        })
    }
}

impl AskingGuard {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Clock, Self::Quiet, Self::Future, Self::Shrinking, Self::Bucket];

    /// As in JSON and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Clock => "clock",
            Self::Quiet => "quiet",
            Self::Future => "future",
            Self::Shrinking => "shrinking",
            Self::Bucket => "bucket",
        }
    }
}

/// A guard that asks a person before a run deletes. An answer holds for the guard that it names, and for no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AskingGuard {
    /// The clock is contradicted, or nobody vouches for it.
    Clock,
    /// Hours would go for their age, and the newest is far older than the clock says.
    Quiet,
    /// Much of what decides about room is from the future.
    Future,
    /// More than half of the archive would go at once, or within a week.
    Shrinking,
    /// More than half of the hours in the bucket would leave it at once, or within a week.
    Bucket,
}

/// A run of retention that is ordered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RunRetention {
    /// The guard whose question, as plan and report show it, is answered by yes; or a list of them.
    #[serde(skip_serializing_if = "Vec::is_empty", default, with = "named_guards")]
    #[schema(value_type = Option<AskingGuard>)]
    pub yes: Vec<AskingGuard>,
}

/// One name stands for a list of one, as in earlier versions. A bare `true` says yes to whatever may be asked, which nobody has seen.
mod named_guards {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::AskingGuard;

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Given {
        Bare(bool),
        Named(AskingGuard),
        All(Vec<AskingGuard>),
    }

    pub fn serialize<S: Serializer>(guards: &[AskingGuard], to: S) -> Result<S::Ok, S::Error> {
        match guards {
            [one] => one.serialize(to),
            all => all.serialize(to),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<AskingGuard>, D::Error> {
        match Option::<Given>::deserialize(from)? {
            None | Some(Given::Bare(false)) => Ok(Vec::new()),
            Some(Given::Named(guard)) => Ok(vec![guard]),
            Some(Given::All(guards)) => Ok(guards),
            Some(Given::Bare(true)) => {
                Err(D::Error::custom("`yes` names the guard that it answers, as `asks` of the plan does"))
            }
        }
    }
}

/// Hours that are to be kept whatever the limits say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeepHours {
    /// `CHANNEL/QUALITY/HOUR`.
    pub places: Vec<String>,
    /// They are to be kept no more than any other hour.
    #[serde(default)]
    pub release: bool,
}

/// What was ordered by [`KeepHours`] is done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeptHours {
    /// Those of them under which nothing is here: they may come, or be misspelt.
    #[serde(default)]
    pub not_here: Vec<AbsentHour>,
}

/// An hour under whose name nothing is here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AbsentHour {
    /// `CHANNEL/QUALITY/HOUR`.
    pub hour: HourPlace,
    /// `CHANNEL/QUALITY` that is here and differs by one letter.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub meant: Option<Stream>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guards_are_answered_by_their_names_alone() {
        let read = |text: &str| serde_json::from_str::<RunRetention>(text).map(|order| order.yes).ok();
        for guard in AskingGuard::ALL {
            let one = serde_json::to_string(&RunRetention { yes: vec![guard] }).unwrap();
            assert_eq!(one, format!("{{\"yes\":\"{}\"}}", guard.as_str()));
            assert_eq!(read(&one), Some(vec![guard]));
        }
        let both = RunRetention { yes: vec![AskingGuard::Quiet, AskingGuard::Bucket] };
        assert_eq!(read(&serde_json::to_string(&both).unwrap()), Some(both.yes));
        assert_eq!(
            (read("{}"), read("{\"yes\":null}"), read("{\"yes\":false}")),
            (Some(Vec::new()), Some(Vec::new()), Some(Vec::new()))
        );
        assert_eq!((read("{\"yes\":true}"), read("{\"yes\":\"all\"}"), read("{\"yes\":[true]}")), (None, None, None));
    }

    #[test]
    fn limits_are_the_same_after_they_were_sent() {
        let stream = |quality: Option<&str>, max_age| StreamLimit {
            channel: "a".to_owned(),
            quality: quality.map(str::to_owned),
            max_age,
            bucket_age: max_age,
            max_bytes: Some(5),
        };
        let age = Span::from_us(86_400_000_001);
        let limits = RetentionLimits {
            max_age: Some(age),
            max_bytes: None,
            min_free: Some(1),
            bucket_age: Some(age),
            streams: vec![stream(None, None), stream(Some("b"), Some(None)), stream(Some("c"), Some(Some(age)))],
        };
        let sent = serde_json::to_string(&PlanLimits::from(&limits)).unwrap();
        assert_eq!(RetentionLimits::from(serde_json::from_str::<PlanLimits>(&sent).unwrap()), limits);
        assert_eq!(serde_json::to_string(&PlanLimits::from(&RetentionLimits::default())).unwrap(), "{}");
    }
}
