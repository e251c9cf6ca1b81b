//! Which hours leave the bucket for their age: a pure function of those that are noted here, the limits and the time.
//!
//! What lies on this disk is not looked at, and neither size nor free space decides: a bucket has room.

use std::fmt;

use super::shrinking::{Shrinking, StreamSize};
use crate::archive::retention::RetentionLimits;
use crate::archive::{Hour, HourPlace, Timestamp};

/// What leaves it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BucketSchedule {
    /// Oldest first.
    pub going: Vec<HourPlace>,
    /// Hours of which objects are noted.
    pub hours: u64,
}

impl BucketSchedule {
    /// Of these hours. The operator keeps some, whatever the limits say.
    pub fn of(
        mut places: Vec<HourPlace>,
        is_kept: impl Fn(&HourPlace) -> bool,
        limits: &RetentionLimits,
        now: Timestamp,
    ) -> Self {
        let hours = places.len() as u64;
        let first_safe = now.hour().previous();
        places.retain(|place| place.hour < first_safe && limits.too_old_in_bucket(place, now) && !is_kept(place));
        places.sort_unstable_by(|a, b| (a.hour, &a.stream).cmp(&(b.hour, &b.stream)));
        Self { going: places, hours }
    }

    /// How many there are.
    pub fn level(&self) -> StreamSize {
        StreamSize { hours: self.hours, bytes: 0 }
    }

    /// How many are left when all have gone that go.
    pub fn after(&self) -> StreamSize {
        self.level().without(self.going.len() as u64, 0)
    }

    /// Whether more than half would go at once.
    pub fn is_more_than_half(&self) -> bool {
        self.going.len() as u64 * 2 > self.hours
    }
}

/// Why a person is asked before hours leave the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BucketDoubt {
    /// The newest hour of the archive is far older than the clock says it could be.
    Quiet { newest: Option<Hour>, now: Timestamp },
    /// Too many would go at once.
    MoreThanHalf { going: u64, of: u64 },
    /// Too few would be left.
    Shrinking(Shrinking),
}

impl fmt::Display for BucketDoubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let look = "nothing is deleted there until you say that this is right: look at `gapless retention plan`, then `gapless retention run --yes`";
        match self {
            Self::Quiet { newest, now } => {
                let newest = newest.map_or_else(|| "none".to_owned(), |hour| hour.to_string());
                write!(
                    f,
                    "the clock says {now}, but the newest hour is {newest}; no hour leaves the bucket for its age until you say that the clock is right: `gapless retention run --yes`"
                )
            }
            Self::MoreThanHalf { going, of } => {
                write!(f, "{going} of {of} hours in the bucket would be deleted at once; {look}")
            }
            Self::Shrinking(Shrinking { left, highest }) => write!(
                f,
                "the bucket held up to {} hours within seven days that this node has run, and {} would be left, less than half; {look}",
                highest.hours, left.hours
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::archive::Span;
    use crate::archive::retention::StreamLimit;
    use crate::archive::time::HOUR_US;

    fn now() -> Timestamp {
        Timestamp::parse("2026-11-20T21:40:00").unwrap()
    }

    fn place(stream: &str, ago: i64) -> HourPlace {
        let hour = (now() - Span::from_us(ago * HOUR_US)).hour();
        HourPlace::parse(&format!("{stream}/{hour}")).unwrap()
    }

    fn limits(hours: i64) -> RetentionLimits {
        let bucket_age = Some(Span::from_us(hours * HOUR_US));
        RetentionLimits { bucket_age, max_age: Some(Span::from_us(0)), ..RetentionLimits::default() }
    }

    #[test]
    fn an_hour_leaves_the_bucket_by_the_age_of_the_bucket_alone() {
        let places = || vec![place("a/s", 3), place("b/s", 9), place("a/s", 9), place("a/s", -5)];
        let plan = |limits: &RetentionLimits| BucketSchedule::of(places(), |_| false, limits, now());
        assert_eq!(plan(&limits(5)).going, [place("a/s", 9), place("b/s", 9)]);
        assert_eq!((plan(&limits(5)).level().hours, plan(&limits(5)).after().hours), (4, 2));
        assert!(!plan(&limits(5)).is_more_than_half() && plan(&limits(1)).is_more_than_half());
        let local_alone = RetentionLimits { bucket_age: None, ..limits(5) };
        assert!(plan(&local_alone).going.is_empty() && !local_alone.limits_bucket());
        let of = |channel: &str, bucket_age| StreamLimit {
            channel: channel.to_owned(),
            quality: None,
            max_age: None,
            bucket_age: Some(bucket_age),
            max_bytes: None,
        };
        let kept = RetentionLimits { streams: vec![of("a", None)], ..limits(5) };
        assert_eq!(plan(&kept).going, [place("b/s", 9)]);
        let sized =
            StreamLimit { quality: Some("s".to_owned()), bucket_age: None, max_bytes: Some(1), ..of("a", None) };
        let beside = RetentionLimits { streams: vec![sized, of("a", None)], ..limits(5) };
        assert_eq!(
            plan(&beside).going,
            [place("b/s", 9)],
            "what is said of the size of a quality says nothing of its age"
        );
        let alone = RetentionLimits { streams: vec![of("b", limits(8).bucket_age)], ..local_alone };
        assert_eq!(plan(&alone).going, [place("b/s", 9)]);
        assert!(alone.limits_bucket());
    }

    proptest! {
        #[test]
        fn what_runs_what_is_to_come_and_what_is_kept_stays(
            agos in prop::collection::btree_set(-20..40_i64, 0..30), age in 0..20_i64, kept in 0..40_i64,
        ) {
            let places: Vec<HourPlace> = agos.iter().map(|ago| place("a/s", *ago)).collect();
            let plan = BucketSchedule::of(places.clone(), |at| *at == place("a/s", kept), &limits(age), now());
            let goes = |ago: &&i64| **ago > 1 && **ago != kept && place("a/s", **ago).hour.end() + Span::from_us(age * HOUR_US) <= now();
            let expected: Vec<HourPlace> = agos.iter().rev().filter(goes).map(|ago| place("a/s", *ago)).collect();
            prop_assert_eq!(plan.hours, places.len() as u64);
            prop_assert_eq!(plan.going, expected);
        }
    }
}
