//! Values of the archive as they are sent and kept in JSON: as the text that they are shown with.
//!
//! Whatever is written is read again as the same value, so that both ends of the API share one type for it, and none of them travels as
//! text inside the program. In the `OpenAPI` document each is a string, with a format where there is one.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::openapi::{KnownFormat, RefOr};

use super::coverage::CoverageKind;
use super::hole_reasons::HoleReason;
use super::problems::Severity;
use super::{Channel, Day, Hash, Hour, HourPlace, Quality, SegmentKind, Stream, Timestamp};

macro_rules! sent_as_text {
    ($($type:ty: $what:literal, $format:expr, $read:expr;)*) => {
        $(
            impl Serialize for $type {
                fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                    serializer.collect_str(self)
                }
            }

            impl<'de> Deserialize<'de> for $type {
                fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                    deserializer.deserialize_str(Text { read: $read, what: $what })
                }
            }

            impl utoipa::PartialSchema for $type {
                fn schema() -> RefOr<Schema> {
                    string($format)
                }
            }

            impl utoipa::ToSchema for $type {}
        )*
    };
}

sent_as_text! {
    Timestamp: "a time such as 2019-11-13T02:55:08.000000Z", Some(KnownFormat::DateTime), read_time;
    Hour: "an hour such as 2019-11-13T02", None, |text| Self::parse(text).ok();
    Day: "a day such as 2019-11-13", Some(KnownFormat::Date), |text| Self::parse(text).ok();
    Channel: "a channel", None, |text| Self::new(text).ok();
    Quality: "a quality", None, |text| Self::new(text).ok();
    Stream: "a channel and quality such as desertbus/source", None, |text| Self::parse(text).ok();
    HourPlace: "an hour such as desertbus/source/2019-11-13T02", None, |text| Self::parse(text).ok();
    Hash: "a SHA-256 in URL-safe base64", None, |text| Self::parse(text.as_bytes());
    SegmentKind: "full, suspect, partial or chat", None,
        |text| (0..4).filter_map(Self::from_number).find(|kind| kind.as_str() == text);
    CoverageKind: "raw or editable", None, |text| Self::ALL.into_iter().find(|kind| kind.as_str() == text);
    HoleReason: "why a hole is open", None, |text| Self::ALL.into_iter().find(|reason| reason.as_str() == text);
    Severity: "error, warning or notice", None, |text| Self::ALL.into_iter().find(|level| level.as_str() == text);
}

/// Reads what is a text in JSON.
struct Text<T> {
    read: fn(&str) -> Option<T>,
    what: &'static str,
}

impl<T> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.read)(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

fn string(format: Option<KnownFormat>) -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::String).format(format.map(SchemaFormat::KnownFormat)).into()
}

/// Reads a time as it is written; also one that no name can have, such as the end of the last segment of the year 9999.
fn read_time(text: &str) -> Option<Timestamp> {
    Timestamp::parse(text).or_else(|| {
        if let Some(us) = text.strip_suffix(" µs") {
            return us.parse().ok().map(Timestamp::from_us);
        }
        let signed = if text.starts_with('-') { text.to_owned() } else { format!("+{text}") };
        signed.parse::<DateTime<Utc>>().ok().map(|time| Timestamp::from_us(time.timestamp_micros()))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{from_str, to_string};

    use super::*;

    fn comes_back<T: fmt::Display + Serialize + for<'de> Deserialize<'de> + PartialEq + fmt::Debug>(value: &T) {
        let sent = to_string(value).unwrap();
        assert_eq!(sent, to_string(&value.to_string()).unwrap(), "it is sent as it is shown");
        assert_eq!(from_str::<T>(&sent).unwrap(), *value, "{sent}");
    }

    proptest! {
        #[test]
        fn any_time_and_hour_is_read_as_it_was_written(us: i64, number in any::<u32>(), hash in prop::array::uniform32(0_u8..)) {
            comes_back(&Timestamp::from_us(us));
            comes_back(&Timestamp::from_us(us >> 12));
            comes_back(&Hash(hash));
            if let Some(hour) = Hour::from_sortable(number) {
                comes_back(&hour);
                comes_back(&Day::of(hour));
                comes_back(&HourPlace { stream: Stream::new("ü \"x", "480p").unwrap(), hour });
            }
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            let text = to_string(&text).unwrap();
            let _either = (from_str::<Timestamp>(&text), from_str::<Hour>(&text), from_str::<HourPlace>(&text));
        }
    }

    #[test]
    fn kinds_are_read_as_they_were_written_and_nothing_else() {
        (0..4).filter_map(SegmentKind::from_number).for_each(|kind| comes_back(&kind));
        CoverageKind::ALL.iter().for_each(comes_back);
        HoleReason::ALL.iter().for_each(comes_back);
        Severity::ALL.iter().for_each(comes_back);
        comes_back(&Timestamp::MAX);
        let error = from_str::<SegmentKind>("\"temp\"").unwrap_err().to_string();
        assert!(error.contains("expected full, suspect, partial or chat"), "{error}");
        assert!(from_str::<Channel>("\"../x\"").is_err() && from_str::<Hour>("7").is_err());
    }
}
