//! Times as they are typed.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::domain::{Timestamp, time_input};

/// What the clock of the machine says.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_us(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// Reads a time; says what was expected if it is none.
pub fn time(text: &str) -> Result<Timestamp, String> {
    time_input::read(text, now()).map_err(|error| error.advice())
}

/// The same as ISO 8601 in UTC.
pub fn utc(text: &str) -> Result<String, String> {
    time(text).map(|time| time.to_string())
}
