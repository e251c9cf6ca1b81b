//! Points in time, lengths of time and hours: integer microseconds and hours since 1970-01-01T00:00 UTC.
//!
//! No floating point and no time zone takes part in any decision. Reading a clock is not done here.

use std::fmt;
use std::time::SystemTime;

use chrono::{DateTime, Datelike, NaiveDate, Timelike};

use super::BadName;

/// Microseconds in a second.
pub const SECOND_US: i64 = 1_000_000;
/// Microseconds in an hour.
pub const HOUR_US: i64 = 3_600 * SECOND_US;

/// A length of time in microseconds; never negative where the archive is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(pub i64);

impl Span {
    /// This many microseconds.
    pub const fn from_us(us: i64) -> Self {
        Self(us)
    }

    /// In microseconds.
    pub const fn us(self) -> i64 {
        self.0
    }

    /// In seconds, for display and gauges only.
    #[expect(clippy::cast_precision_loss, reason = "for display; a float of 53 bits holds 285 years of microseconds")]
    pub fn seconds(self) -> f64 {
        self.0 as f64 / 1e6
    }
}

/// A point in time, in microseconds since 1970-01-01T00:00:00 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The earliest time that can be written (year 0).
    pub const MIN: Self = Self(Hour::MIN.0 as i64 * HOUR_US);
    /// Just past the latest hour that can be written (year 9999).
    pub const MAX: Self = Self((Hour::MAX.0 as i64 + 1) * HOUR_US);

    /// This many microseconds after the epoch.
    pub const fn from_us(us: i64) -> Self {
        Self(us)
    }

    /// Microseconds since the epoch.
    pub const fn us(self) -> i64 {
        self.0
    }

    /// The hour this lies in, clamped to what can be written.
    #[expect(clippy::cast_possible_truncation, reason = "clamped to the range of Hour first")]
    pub fn hour(self) -> Hour {
        let hours = self.0.div_euclid(HOUR_US);
        Hour(hours.clamp(i64::from(Hour::MIN.0), i64::from(Hour::MAX.0)) as i32)
    }
}

/// A time before 1970 is 1970: no clock that says so is right.
impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_micros()).unwrap_or(i64::MAX)).min(Self::MAX)
    }
}

impl std::ops::Add<Span> for Timestamp {
    type Output = Self;
    fn add(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl std::ops::Add for Span {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl std::ops::Sub for Span {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl std::ops::Sub<Span> for Timestamp {
    type Output = Self;
    fn sub(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.0))
    }
}

impl std::ops::Sub for Timestamp {
    type Output = Span;
    fn sub(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

/// `2019-11-13T02:55:08.000000Z`
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::from_timestamp_micros(self.0) {
            Some(time) => {
                let (date, clock) = (time.date_naive(), time.time());
                write!(
                    f,
                    "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z",
                    date.year(),
                    date.month(),
                    date.day(),
                    clock.hour(),
                    clock.minute(),
                    clock.second(),
                    clock.nanosecond() / 1_000
                )
            }
            None => write!(f, "{} µs", self.0),
        }
    }
}

/// An hour of UTC, counted from 1970-01-01T00. Years 0 to 9999 can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour(i32);

impl Hour {
    /// `0000-01-01T00`
    pub const MIN: Self = Self(-719_528 * 24);
    /// `9999-12-31T23`
    pub const MAX: Self = Self(2_932_896 * 24 + 23);

    /// Reads `YYYY-MM-DDTHH`.
    #[expect(clippy::cast_possible_truncation, reason = "four-digit years are at most 88 million hours away from 1970")]
    pub fn parse(text: &str) -> Result<Self, BadName> {
        let bytes = text.as_bytes();
        if bytes.len() != 13 || bytes[4] != b'-' || bytes[7] != b'-' || bytes[10] != b'T' {
            return Err(BadName::Hour);
        }
        let number = |range: std::ops::Range<usize>| digits(&bytes[range]).ok_or(BadName::Hour);
        let (year, month, day, hour) = (number(0..4)?, number(5..7)?, number(8..10)?, number(11..13)?);
        let date =
            NaiveDate::from_ymd_opt(year.cast_signed(), month, day).filter(|_| hour < 24).ok_or(BadName::Hour)?;
        let days = date.signed_duration_since(NaiveDate::default()).num_days() as i32;
        Ok(Self(days * 24 + hour.cast_signed()))
    }

    /// When it begins.
    pub fn start(self) -> Timestamp {
        Timestamp(i64::from(self.0) * HOUR_US)
    }

    /// When it ends: the start of the next.
    pub fn end(self) -> Timestamp {
        Timestamp((i64::from(self.0) + 1) * HOUR_US)
    }

    /// The next hour, or itself at the end of time.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1)).min(Self::MAX)
    }

    /// The hour before, or itself at the beginning of time.
    #[must_use]
    pub fn previous(self) -> Self {
        Self(self.0.saturating_sub(1)).max(Self::MIN)
    }

    /// So many hours before, or the beginning of time.
    #[must_use]
    pub fn earlier(self, hours: u32) -> Self {
        Self(self.0.saturating_sub_unsigned(hours)).max(Self::MIN)
    }

    /// Hours since 1970-01-01T00.
    pub const fn number(self) -> i32 {
        self.0
    }

    /// A number that sorts, as big-endian bytes, as the hours do.
    pub const fn sortable(self) -> u32 {
        self.0.cast_unsigned() ^ 0x8000_0000
    }

    /// The inverse of [`Hour::sortable`]; `None` outside the years that can be written.
    pub fn from_sortable(number: u32) -> Option<Self> {
        let hour = Self((number ^ 0x8000_0000).cast_signed());
        (Self::MIN..=Self::MAX).contains(&hour).then_some(hour)
    }
}

/// `2019-11-13T02`
impl fmt::Display for Hour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = NaiveDate::default() + chrono::Days::new(0);
        let days = i64::from(self.0.div_euclid(24));
        let date = date.checked_add_signed(chrono::TimeDelta::days(days)).unwrap_or(date);
        write!(f, "{:04}-{:02}-{:02}T{:02}", date.year(), date.month(), date.day(), self.0.rem_euclid(24))
    }
}

/// The value of a run of ASCII digits; `None` if there is anything else or it does not fit.
pub(super) fn digits(text: &[u8]) -> Option<u32> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u32, |value, byte| {
        if !byte.is_ascii_digit() {
            return None;
        }
        value.checked_mul(10)?.checked_add(u32::from(byte - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn hours_are_written_as_they_were_read(number in Hour::MIN.0..=Hour::MAX.0) {
            let hour = Hour(number);
            prop_assert_eq!(Hour::parse(&hour.to_string()), Ok(hour));
            prop_assert_eq!(Hour::from_sortable(hour.sortable()), Some(hour));
            prop_assert_eq!(hour.start().hour(), hour);
            prop_assert_eq!(Timestamp(hour.end().us() - 1).hour(), hour);
        }

        #[test]
        fn sortable_numbers_sort_as_hours(a in Hour::MIN.0..=Hour::MAX.0, b in Hour::MIN.0..=Hour::MAX.0) {
            prop_assert_eq!(Hour(a).cmp(&Hour(b)), Hour(a).sortable().cmp(&Hour(b).sortable()));
        }

        #[test]
        fn any_text_is_an_hour_or_refused(text in "\\PC*") {
            let _either = Hour::parse(&text);
        }
    }

    #[test]
    fn hours_that_are_not_hours_are_refused() {
        for text in [
            "2019-11-13T24",
            "2019-02-29T00",
            "2019-1-13T02",
            "2019-11-13T2",
            "2019-11-13 02",
            "2019-11-13T02:00",
            "２019-11-13T02",
        ] {
            assert_eq!(Hour::parse(text), Err(BadName::Hour), "{text}");
        }
    }
}
