//! How the digests of hours add up to those of days and of qualities, so that two nodes compare years in one request.
//!
//! An hour counts together with its digest: the digest of the one name `HOUR DIGEST`, both as they are written. Hours without a
//! name that is replicated (their digest is zero) count as not there: an empty directory is no difference.

use std::fmt;

use super::totals::{Digest, HourTotals};
use super::{BadName, Hour, Timestamp, time};

/// Microseconds in a day.
const DAY_US: i64 = 24 * time::HOUR_US;

/// A day of UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(i32);

impl Day {
    /// The day of an hour.
    pub fn of(hour: Hour) -> Self {
        Self(hour.number().div_euclid(24))
    }

    /// Reads `YYYY-MM-DD`.
    pub fn parse(text: &str) -> Result<Self, BadName> {
        Hour::parse(&format!("{text}T00")).map(Self::of)
    }

    /// Its first hour.
    pub fn first(self) -> Hour {
        Timestamp::from_us(i64::from(self.0) * DAY_US).hour()
    }

    /// Its last hour.
    pub fn last(self) -> Hour {
        Timestamp::from_us((i64::from(self.0) + 1) * DAY_US - 1).hour()
    }
}

/// `2019-11-13`
impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hour = self.first().to_string();
        f.write_str(hour.get(..10).unwrap_or(&hour))
    }
}

/// What a number of hours add up to. Equal digests mean equal names in equal hours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum {
    /// The sum over the hours.
    pub digest: Digest,
    /// Hours that hold a name that is replicated.
    pub hours: u64,
    /// Segments and chat batches in them that are visible and understood.
    pub files: u64,
    /// Tombstones in them.
    pub tombstones: u64,
}

impl Sum {
    /// Of one hour.
    pub fn of_hour(hour: Hour, totals: &HourTotals) -> Self {
        if totals.digest == Digest::default() {
            return Self::default();
        }
        let digest = Digest::of_name(&format!("{hour} {}", totals.digest));
        Self { digest, hours: 1, files: replicated_files(totals), tombstones: u64::from(totals.tombstones) }
    }

    /// Of these hours and those.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            digest: self.digest.plus(other.digest),
            hours: self.hours.wrapping_add(other.hours),
            files: self.files.wrapping_add(other.files),
            tombstones: self.tombstones.wrapping_add(other.tombstones),
        }
    }

    /// Of these hours without those.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self {
            digest: self.digest.minus(other.digest),
            hours: self.hours.wrapping_sub(other.hours),
            files: self.files.wrapping_sub(other.files),
            tombstones: self.tombstones.wrapping_sub(other.tombstones),
        }
    }
}

/// Segments and chat batches of an hour that are visible and understood.
pub fn replicated_files(totals: &HourTotals) -> u64 {
    totals.video.iter().chain([&totals.chat]).map(|tally| u64::from(tally.files)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::HourContents;
    use crate::archive::test_names::any_name;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    proptest! {
        #[test]
        fn days_are_written_as_they_were_read(number in Hour::MIN.number()..=Hour::MAX.number()) {
            let hour = Timestamp::from_us(i64::from(number) * time::HOUR_US).hour();
            let day = Day::of(hour);
            prop_assert_eq!(Day::parse(&day.to_string()), Ok(day));
            prop_assert!(day.first() <= hour && hour <= day.last());
            prop_assert_eq!(day.last().number() - day.first().number(), 23);
            prop_assert_eq!((Day::of(day.first()), Day::of(day.last())), (day, day));
        }

        #[test]
        fn any_text_is_a_day_or_refused(text in "\\PC{0,12}") {
            let _either = Day::parse(&text);
        }

        #[test]
        fn sums_are_equal_where_the_names_are(
            one in prop::collection::btree_set((0..4_i64, any_name()), 0..12),
            other in prop::collection::btree_set((0..4_i64, any_name()), 0..12),
        ) {
            let hours = |names: &BTreeSet<(i64, String)>| {
                let mut hours: BTreeMap<i64, BTreeSet<String>> = BTreeMap::new();
                for (hour, name) in names {
                    hours.entry(*hour).or_default().insert(name.clone());
                }
                hours
            };
            let contents = |names: &BTreeSet<String>| HourContents::from_names(names.iter().map(|name| (name.as_str(), 1)));
            let sum = |names: &BTreeSet<(i64, String)>| {
                hours(names).iter().fold(Sum::default(), |sum, (hour, names)| {
                    sum.plus(Sum::of_hour(Timestamp::from_us(hour * time::HOUR_US).hour(), &HourTotals::of(&contents(names))))
                })
            };
            let replicated = |names: &BTreeSet<(i64, String)>| -> BTreeSet<(i64, String)> {
                hours(names).iter().flat_map(|(hour, names)| {
                    let listed = contents(names).listed(true).into_iter();
                    listed.filter(|name| matches!(crate::archive::parse_file_name(name), crate::archive::FileName::Understood(_)))
                        .map(|name| (*hour, name)).collect::<Vec<_>>()
                }).collect()
            };
            prop_assert_eq!(sum(&one).digest == sum(&other).digest, replicated(&one) == replicated(&other));
            prop_assert_eq!(sum(&one).plus(sum(&other)).minus(sum(&other)), sum(&one));
            let of_hours: BTreeSet<i64> = replicated(&one).iter().map(|(hour, _)| *hour).collect();
            prop_assert_eq!(sum(&one).hours, of_hours.len() as u64);
            let files = replicated(&one).iter().filter(|(_, name)| !name.ends_with(".tombstone")).count();
            prop_assert_eq!(sum(&one).files, files as u64);
            let tombstones = replicated(&one).iter().filter(|(_, name)| name.ends_with(".tombstone")).count();
            prop_assert!(sum(&one).tombstones >= tombstones as u64, "those that are odd count as well");
        }
    }

    #[test]
    fn days_that_are_not_days_are_refused() {
        for text in ["2019-02-29", "2019-11-1", "2019-11-13T02", "", "20191113", "2019-11-13 "] {
            assert!(Day::parse(text).is_err(), "{text}");
        }
    }
}
