//! The way of a walk: every hour of every stream, newest first; what lies beyond the horizon comes last, so that however much of it there is
//! today is not kept waiting.

use std::cmp::Reverse;

use crate::archive::{Horizon, Hour, HourPlace, Stream};
use crate::index::Catalog;

/// Where a walk is: everything up to here, this hour included, is done. Newer hours come first, and of the same hour the streams
/// in order of their names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct CrawlCursor {
    /// The hour, as a number: hours since 1970.
    hour: Reverse<i32>,
    /// `CHANNEL/QUALITY`.
    stream: String,
}

impl CrawlCursor {
    pub fn at(place: &HourPlace) -> Self {
        Self { hour: Reverse(place.hour.number()), stream: place.stream.to_string() }
    }

    fn is_beyond(&self, horizon: Horizon) -> bool {
        self.hour.0 > horizon.last().number()
    }
}

/// The hours that are ahead, in order.
#[derive(Debug, Default)]
pub struct CrawlPlan {
    streams: Vec<Stream>,
    hours: Vec<(Hour, u32)>,
    next: usize,
}

impl CrawlPlan {
    /// All hours that the index knows strictly after a place; all of them without one.
    pub fn new(catalog: &Catalog, after: Option<&CrawlCursor>, horizon: Horizon) -> Self {
        let streams = catalog.streams();
        let mut hours = Vec::with_capacity(catalog.hour_count());
        for (index, stream) in (0_u32..).zip(&streams) {
            let name = stream.to_string();
            let is_ahead = |hour: &Hour| match after {
                Some(cursor) => {
                    let reached = (cursor.is_beyond(horizon), cursor.hour, cursor.stream.as_str());
                    (horizon.is_beyond(*hour), Reverse(hour.number()), name.as_str()) > reached
                }
                None => true,
            };
            hours.extend(catalog.hours(&name, ..).into_iter().filter(is_ahead).map(|hour| (hour, index)));
        }
        hours.sort_unstable_by_key(|(hour, stream)| (horizon.rank(*hour), *stream));
        Self { streams, hours, next: 0 }
    }

    /// The hour in which the visitor is comes first, whatever has turned up before it since: what is done of it is not done again.
    pub fn begin_with(&mut self, inside: &CrawlCursor) {
        let is_it = |place: &HourPlace| CrawlCursor::at(place) == *inside;
        let found = (0..self.hours.len()).find(|at| self.chunk(*at, 1).first().is_some_and(is_it));
        if let Some(at) = found {
            // Newer ones have been passed to the catch-up job, and are visited in the next cycle.
            self.next = at;
        }
    }

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

    pub fn go_on(&mut self, count: usize) {
        self.next = (self.next + count).min(self.hours.len());
    }

    fn place(&self, hour: Hour, stream: u32) -> Option<HourPlace> {
        self.streams.get(stream as usize).map(|stream| HourPlace { stream: stream.clone(), hour })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::Timestamp;
    use crate::index::{Batch, HourUpdate, Index, IndexOptions, StampUpdate};

    fn index(hours: &[&str]) -> Index {
        let index = Index::in_memory(IndexOptions::default()).unwrap();
        let update = |hour: &&str| HourUpdate::Change {
            stream: Stream::parse("a/source").unwrap(),
            hour: Hour::parse(hour).unwrap(),
            changes: Vec::new(),
            stamp: StampUpdate::Keep,
        };
        index.apply(Batch { hours: hours.iter().map(update).collect(), ..Batch::default() }).unwrap();
        index
    }

    #[test]
    fn what_lies_beyond_the_horizon_comes_last_and_nothing_is_left_out() {
        let index = index(&["2026-03-04T09", "2026-03-04T10", "2099-06-01T03", "2999-01-01T00"]);
        let horizon = Horizon::at(Timestamp::parse("2026-03-04T10:30:00").unwrap());
        let hours = |after: Option<&CrawlCursor>| {
            let plan = CrawlPlan::new(index.catalog(), after, horizon);
            plan.ahead(10).iter().map(|place| place.hour.to_string()).collect::<Vec<_>>()
        };
        let all = ["2026-03-04T10", "2026-03-04T09", "2999-01-01T00", "2099-06-01T03"];
        assert_eq!(hours(None), all);
        for (at, done) in all.iter().enumerate() {
            let cursor = CrawlCursor::at(&HourPlace::parse(&format!("a/source/{done}")).unwrap());
            assert_eq!(hours(Some(&cursor)), all[at + 1..], "{done}");
        }
    }
}
