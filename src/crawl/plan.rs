//! The way of a walk: every hour of every stream, newest first.

use std::cmp::Reverse;

use crate::domain::{Hour, HourPlace, Stream};
use crate::index::Catalog;

/// Where a walk is: everything up to here, this hour included, is done. Newer hours come first, and of the same hour the streams
/// in order of their names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Cursor {
    /// The hour, as a number: hours since 1970.
    hour: Reverse<i32>,
    /// `CHANNEL/QUALITY`.
    stream: String,
}

impl Cursor {
    /// At this place.
    pub fn at(place: &HourPlace) -> Self {
        Self { hour: Reverse(place.hour.number()), stream: place.stream.to_string() }
    }
}

/// The hours that are ahead, in order.
#[derive(Debug, Default)]
pub struct Plan {
    streams: Vec<Stream>,
    hours: Vec<(Hour, u32)>,
    next: usize,
}

impl Plan {
    /// All hours that the index knows strictly after a place; all of them without one.
    pub fn new(catalog: &Catalog, after: Option<&Cursor>) -> Self {
        let streams = catalog.streams();
        let mut hours = Vec::with_capacity(catalog.hour_count());
        for (index, stream) in (0_u32..).zip(&streams) {
            let name = stream.to_string();
            let is_ahead = |hour: &Hour| match after {
                Some(cursor) => (Reverse(hour.number()), name.as_str()) > (cursor.hour, cursor.stream.as_str()),
                None => true,
            };
            hours.extend(catalog.hours(&name, ..).into_iter().filter(is_ahead).map(|hour| (hour, index)));
        }
        hours.sort_unstable_by_key(|(hour, stream)| (Reverse(*hour), *stream));
        Self { streams, hours, next: 0 }
    }

    /// The hour in which the visitor is comes first, whatever has turned up before it since: what is done of it is not done again.
    pub fn begin_with(&mut self, inside: &Cursor) {
        let is_it = |place: &HourPlace| Cursor::at(place) == *inside;
        let found = (0..self.hours.len()).find(|at| self.chunk(*at, 1).first().is_some_and(is_it));
        if let Some(at) = found {
            // Newer ones have been handed to whoever looks at what turns up, and are visited in the next cycle.
            self.next = at;
        }
    }

    /// How many there are ahead.
    pub fn left(&self) -> usize {
        self.hours.len() - self.next
    }

    /// The next `count`, without going on.
    pub fn ahead(&self, count: usize) -> Vec<HourPlace> {
        let part = self.hours.get(self.next..).unwrap_or_default();
        part.iter().take(count).filter_map(|(hour, stream)| self.place(*hour, *stream)).collect()
    }

    /// Those from `from` on, of all that there were.
    pub fn chunk(&self, from: usize, count: usize) -> Vec<HourPlace> {
        let part = self.hours.get(from..).unwrap_or_default();
        part.iter().take(count).filter_map(|(hour, stream)| self.place(*hour, *stream)).collect()
    }

    /// So many are done.
    pub fn go_on(&mut self, count: usize) {
        self.next = (self.next + count).min(self.hours.len());
    }

    fn place(&self, hour: Hour, stream: u32) -> Option<HourPlace> {
        self.streams.get(stream as usize).map(|stream| HourPlace { stream: stream.clone(), hour })
    }
}
