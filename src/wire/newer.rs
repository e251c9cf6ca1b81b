//! Words of which a later version may know more: an earlier one reads the rest of the answer, and passes them on as they came.
//!
//! In the `OpenAPI` document they are of this version (`value_type`).

use std::fmt;

use serde::{Deserialize, Serialize};

/// A value that this version knows, or the word of a newer one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OrNewer<T> {
    /// Of this version.
    Known(T),
    /// As it was sent.
    Newer(String),
}

impl<T> From<T> for OrNewer<T> {
    fn from(value: T) -> Self {
        Self::Known(value)
    }
}

impl<T: fmt::Display> fmt::Display for OrNewer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(value) => value.fmt(f),
            Self::Newer(word) => word.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{HoleRecord, ProblemReport, SegmentRecord};
    use super::*;
    use crate::archive::problems::Severity;

    /// Read, and sent on as it came.
    fn passes<T: Serialize + for<'de> Deserialize<'de>>(text: &str) {
        let read: T = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), serde_json::from_str::<serde_json::Value>(text).unwrap());
    }

    #[test]
    fn words_of_a_newer_version_spoil_nothing_and_are_passed_on() {
        passes::<ProblemReport>(r#"{"kind": "melting", "level": "disaster", "what": "it is hot"}"#);
        passes::<HoleRecord>(
            r#"{"start": "2019-11-13T02:55:08.000000Z", "end": "2019-11-13T02:55:09.000000Z", "seconds": 1.0, "reason": "sun_spots"}"#,
        );
        let hash = crate::archive::Hash([7; 32]);
        passes::<SegmentRecord>(&format!(
            r#"{{"hour": "2019-11-13T02", "name": "x", "start": "2019-11-13T02:55:08.000000Z", "duration": 2.0, "type": "live",
                "size": 1, "hash": "{hash}", "tombstoned": false}}"#
        ));
        let known: OrNewer<Severity> = serde_json::from_str("\"error\"").unwrap();
        assert_eq!(known, Severity::Error.into());
        assert!(serde_json::from_str::<OrNewer<Severity>>("7").is_err());
    }
}
