//! Times as they are typed.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::archive::{Hour, Timestamp, time_input};

/// What the clock of the machine says.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_us(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// Reads a time; the error says what was expected.
pub fn time(text: &str) -> Result<Timestamp, String> {
    time_input::read(text, now()).map_err(|error| error.advice())
}

/// The hour in which a time lies.
pub fn hour(text: &str) -> Result<Hour, String> {
    time(text).map(Timestamp::hour)
}

/// The hour in which a time lies, or the one that was so many hours ago.
pub fn since(text: &str) -> Result<Hour, String> {
    let is_number = text.parse::<u32>().is_ok();
    let words = if is_number { format!("{text}h ago") } else { text.to_owned() };
    hour(&words).map_err(|advice| format!("{advice}, or a number of hours ago"))
}
