//! Hours that somebody needs as they are for a while, such as a cut that is being sent: they do not leave for their owners meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::archive::{Hour, HourPlace, Stream, Timestamp};

/// Who holds what, by a number.
#[derive(Debug, Default)]
pub(super) struct HeldHours {
    last: u64,
    held: BTreeMap<u64, (Stream, Vec<(Hour, Hour)>)>,
}

impl HeldHours {
    fn hold(&mut self, stream: Stream, hours: Vec<(Hour, Hour)>) -> u64 {
        self.last += 1;
        self.held.insert(self.last, (stream, hours));
        self.last
    }

    pub(super) fn holds(&self, place: &HourPlace) -> bool {
        let within = |(first, last): &(Hour, Hour)| (*first..=*last).contains(&place.hour);
        self.held.values().any(|(stream, hours)| *stream == place.stream && hours.iter().any(within))
    }
}

/// Ends when it is dropped.
#[derive(Debug)]
pub struct HourHold {
    all: Arc<Mutex<HeldHours>>,
    number: u64,
}

impl HourHold {
    /// Of the hours of these stretches, and the one before each, of which a segment may reach into it.
    pub(super) fn of(
        all: &Arc<Mutex<HeldHours>>,
        stream: &Stream,
        stretches: &[(Option<Timestamp>, Option<Timestamp>)],
    ) -> Self {
        let hours = stretches.iter().map(hours_of).collect();
        let number = all.lock().hold(stream.clone(), hours);
        Self { all: Arc::clone(all), number }
    }
}

impl Drop for HourHold {
    fn drop(&mut self) {
        self.all.lock().held.remove(&self.number);
    }
}

fn hours_of((start, end): &(Option<Timestamp>, Option<Timestamp>)) -> (Hour, Hour) {
    let first = start.as_ref().map_or(Hour::MIN, |first| first.hour().previous());
    (first, end.map_or(Hour::MAX, Timestamp::hour))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_held_as_long_as_anybody_holds_it() {
        let place = |text: &str| HourPlace::parse(text).unwrap();
        let at = |text: &str| Timestamp::parse(text);
        let stream = place("c/source/2020-01-01T00").stream;
        let mut held = HeldHours::default();
        let stretch = hours_of(&(at("2020-01-01T05:10:00Z"), at("2020-01-01T06:00:00Z")));
        let (first, second) = (held.hold(stream.clone(), vec![stretch]), held.hold(stream.clone(), vec![stretch]));
        for (hour, is_held) in [("03", false), ("04", true), ("05", true), ("06", true), ("07", false)] {
            assert_eq!(held.holds(&place(&format!("c/source/2020-01-01T{hour}"))), is_held, "{hour}");
        }
        assert!(!held.holds(&place("c/low/2020-01-01T05")));
        held.held.remove(&first);
        assert!(held.holds(&place("c/source/2020-01-01T05")));
        held.held.remove(&second);
        assert!(!held.holds(&place("c/source/2020-01-01T05")));
        // Of all that there is.
        held.hold(stream, vec![hours_of(&(None, None))]);
        assert!(held.holds(&place("c/source/1999-01-01T05")));
    }
}
