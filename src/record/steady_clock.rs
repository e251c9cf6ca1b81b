//! The clock by which what tells no times is placed: it goes on as before when somebody sets the machine's, so that a stream gets neither a hole nor an
//! overlap of that length.
//!
//! It begins as the machine's clock is, and is that again when nothing has come for [`PAUSE`]: there is a hole then anyway, and a clock that was wrong at the
//! start does not stay so for ever.

use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};

use crate::archive::{Span, Timestamp};

/// How long nothing comes before what the machine says is taken for the time again.
const PAUSE: Duration = Duration::from_secs(60);

/// One for all that is recorded of a stream.
#[derive(Debug)]
pub struct SteadyClock(Mutex<Reading>);

#[derive(Debug, Clone, Copy)]
struct Reading {
    /// What the machine said, and for how long it ran then.
    wall: Timestamp,
    at: Duration,
    /// For how long it ran when something came last.
    came: Duration,
}

impl Reading {
    fn new(wall: Timestamp, at: Duration) -> Self {
        Self { wall, at, came: at }
    }

    fn now(&mut self, wall: Timestamp, at: Duration) -> Timestamp {
        if at.saturating_sub(self.came) >= PAUSE {
            *self = Self::new(wall, at);
        }
        let passed = at.saturating_sub(self.at).as_micros();
        self.wall + Span::from_us(i64::try_from(passed).unwrap_or(i64::MAX))
    }
}

impl SteadyClock {
    /// Begins as the machine's clock is.
    pub fn new() -> Self {
        Self(Mutex::new(Reading::new(wall(), running())))
    }

    pub fn now(&self) -> Timestamp {
        self.0.lock().now(wall(), running())
    }

    /// Something came.
    pub fn came(&self) {
        self.0.lock().came = running();
    }

    /// How far the machine's clock is ahead of this one.
    pub fn machine_is_ahead(&self) -> Span {
        wall() - self.now()
    }
}

impl Default for SteadyClock {
    fn default() -> Self {
        Self::new()
    }
}

fn wall() -> Timestamp {
    SystemTime::now().into()
}

/// For how long the machine has run, asleep or not: sources do not wait for it.
fn running() -> Duration {
    let since = clock_gettime(ClockId::Boottime);
    Duration::new(since.tv_sec.unsigned_abs(), u32::try_from(since.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on_as_before_until_nothing_has_come_for_a_minute() {
        let (second, at) = (Duration::from_secs, |second: i64| Timestamp::from_us(second * 1_000_000));
        let mut reading = Reading::new(at(5_000), second(100));
        assert_eq!(reading.now(at(5_010), second(110)), at(5_010));
        // It was set by an hour, in both directions.
        assert_eq!(reading.now(at(8_620), second(120)), at(5_020));
        assert_eq!(reading.now(at(1_430), second(130)), at(5_030));
        reading.came = second(130);
        assert_eq!(reading.now(at(1_489), second(189)), at(5_089));
        assert_eq!(reading.now(at(1_490), second(190)), at(1_490));
        assert_eq!(reading.now(at(9_999), second(191)), at(1_491));
    }
}
