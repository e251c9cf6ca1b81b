//! What is asked of playlists, and how much of it may be left open.

use super::PlaybackError;
use crate::archive::{Stream, Timestamp};

/// A longer stretch wants both its ends given.
pub const IMPLICIT_HOURS: i64 = 12;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ask {
    /// Of what.
    pub stream: Stream,
    /// From when on; from the first segment on if it is not given.
    pub start: Option<Timestamp>,
    /// Until when; whatever comes if it is not given.
    pub end: Option<Timestamp>,
    /// Whether holes are told as entries.
    pub gaps: bool,
    /// Whether it is one of two lists that are played together, pictures and sound: players match their discontinuities one by one, so a hole in one of
    /// them is told as entries and is none, unless the time stamps behind it are others.
    pub apart: bool,
    /// Whether segments that only other nodes have are told by their addresses.
    pub peers: bool,
}

/// Everything is meant where an end is not given, but not more than clients of today expect.
pub fn check_implicit(
    start: Option<Timestamp>,
    end: Option<Timestamp>,
    extent: Option<(Timestamp, Timestamp)>,
) -> Result<(), PlaybackError> {
    let Some((first, last)) = extent.filter(|_| start.is_none() || end.is_none()) else { return Ok(()) };
    let hour = crate::archive::time::HOUR_US;
    let length = end.unwrap_or(last) - start.unwrap_or(first);
    if length.us() <= IMPLICIT_HOURS * hour {
        return Ok(());
    }
    let hours = length.us().unsigned_abs().div_ceil(hour.unsigned_abs());
    Err(PlaybackError::ImplicitTooLong { hours, limit: IMPLICIT_HOURS.unsigned_abs() })
}
