//! By how much the times of recorders differ, measured by what they have in common: equal content under two starts.

use std::collections::{BTreeMap, VecDeque};

use crate::archive::{Span, Stream, Timestamp};

/// Segments that the measure is taken from.
const SAMPLES: usize = 16;
/// Qualities that are measured of a peer.
const MOST_STREAMS: usize = 1_000;
/// From here on a difference is old, and shown no more.
const SHOWN_FOR: Span = Span::from_us(crate::archive::time::HOUR_US);

/// How much later a peer's recording begins than the one that is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecorderSkew {
    pub stream: Stream,
    /// The median of the newest segments that both have; negative if it begins earlier there.
    pub later: Span,
    /// So many segments were compared.
    pub segments: usize,
    /// The newest of them begins then here.
    pub newest: Timestamp,
}

/// The differences of one peer.
#[derive(Debug, Clone, Default)]
pub(super) struct RecorderSkews(BTreeMap<Stream, VecDeque<(Timestamp, Span)>>);

impl RecorderSkews {
    /// Notes differences, each with the start of the segment here.
    pub(super) fn note(&mut self, stream: &Stream, shifts: &[(Timestamp, Span)]) {
        if shifts.is_empty() || (self.0.len() >= MOST_STREAMS && !self.0.contains_key(stream)) {
            return;
        }
        let of_stream = self.0.entry(stream.clone()).or_default();
        for (start, later) in shifts.iter().rev().take(SAMPLES).rev() {
            of_stream.retain(|(known, _)| known != start);
            let at = of_stream.partition_point(|(known, _)| known < start);
            of_stream.insert(at, (*start, *later));
            if of_stream.len() > SAMPLES {
                of_stream.pop_front();
            }
        }
    }

    /// Those that are no older than an hour.
    pub(super) fn shown(&self, now: Timestamp) -> Vec<RecorderSkew> {
        let measured = self.0.iter().filter_map(|(stream, samples)| {
            let newest = samples.back().map(|(start, _)| *start).filter(|newest| now - *newest <= SHOWN_FOR)?;
            let mut shifts: Vec<Span> = samples.iter().map(|(_, later)| *later).collect();
            shifts.sort_unstable();
            let later = *shifts.get(shifts.len() / 2)?;
            Some(RecorderSkew { stream: stream.clone(), later, segments: shifts.len(), newest })
        });
        measured.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_the_newest_is_shown_for_an_hour() {
        let mut skews = RecorderSkews::default();
        let stream = Stream::parse("a/source").unwrap();
        let at = |seconds: i64| Timestamp::from_us(seconds * 1_000_000);
        let shift = |seconds: i64, ms: i64| (at(seconds), Span::from_us(ms * 1_000));
        skews.note(&stream, &(0..20).map(|number| shift(number * 2, 400)).collect::<Vec<_>>());
        skews.note(&stream, &[shift(1, 9_000), shift(40, 380), shift(40, 390)]);
        let [shown] = &skews.shown(at(100))[..] else { panic!("one") };
        assert_eq!((shown.later, shown.segments, shown.newest), (Span::from_us(400_000), SAMPLES, at(40)));
        assert!(skews.shown(at(3_641)).is_empty());
    }
}
