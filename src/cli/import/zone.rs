//! The time zone of names that recorders give: they write the local time of their machine.

use chrono::{Local, LocalResult, NaiveDateTime, TimeZone as _};

use crate::archive::import::NameTime;
use crate::archive::{Span, Timestamp, time_input};

/// Which zone names are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Zone {
    /// That of this machine.
    Local,
    /// So far ahead of UTC.
    Ahead(Span),
}

impl Zone {
    /// Reads it.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "local" => Ok(Self::Local),
            text => time_input::offset(text)
                .map(Self::Ahead)
                .ok_or_else(|| format!("--name-zone {text:?}: expected local, utc, or an offset such as +01:00")),
        }
    }

    /// The time that a name means; of two, in the hour that daylight saving repeats, the one nearer to `about`.
    pub fn time(self, named: NameTime, about: Timestamp) -> Option<Timestamp> {
        let local = match named {
            NameTime::Utc(time) => return Some(time),
            NameTime::Local(local) => local,
        };
        match self {
            Self::Ahead(ahead) => Some(utc(local) - ahead),
            Self::Local => match Local.from_local_datetime(&local) {
                LocalResult::Single(time) => Some(Timestamp::from_us(time.timestamp_micros())),
                LocalResult::Ambiguous(one, other) => {
                    let both = [one, other].map(|time| Timestamp::from_us(time.timestamp_micros()));
                    both.into_iter().min_by_key(|time| (*time - about).us().abs())
                }
                LocalResult::None => None,
            },
        }
    }
}

fn utc(local: NaiveDateTime) -> Timestamp {
    Timestamp::from_us(local.and_utc().timestamp_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_the_zone_that_was_named() {
        let local = Timestamp::from_us(1_573_613_708_000_000);
        let named = NameTime::Local(chrono::DateTime::from_timestamp_micros(local.us()).unwrap().naive_utc());
        let time = |zone: &str| Zone::parse(zone).unwrap().time(named, local).unwrap();
        assert_eq!((time("utc"), time("+00:00")), (local, local));
        assert_eq!(time("+01:00"), local - Span::from_us(3_600_000_000));
        assert_eq!(time("-0530"), local + Span::from_us(19_800_000_000));
        assert_eq!(Zone::Local.time(NameTime::Utc(local), local), Some(local));
        for wrong in ["", "CET", "1", "Europe/Berlin"] {
            assert!(Zone::parse(wrong).unwrap_err().contains("+01:00"), "{wrong}");
        }
    }
}
