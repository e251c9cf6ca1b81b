//! When segments of a stream begin that tells no times: when it came, and then each where the one before it ended. Pure.
//!
//! 1. A line of time stamps begins by the clock here, by the part of its first segment that came with the least delay: what a server had kept
//!    and sent at once lies before it.
//! 2. What follows is held steady by its durations, whatever the network does; [`Drift`] is let out by at most 5 ms a segment.
//! 3. Where all of the last segments came much too late, the source paused its own time, and it begins anew by the clock.
//! 4. What begins anew less than [`JITTER_US`] before the end of what was recorded last begins at that end. Further before, it is the same once more,
//!    and lies where it belongs.

use super::drift::Drift;
use super::ts_cutter::CutEnd;
use crate::archive::time::SECOND_US;
use crate::archive::{Span, Timestamp};

/// Later than this all the time is no drift.
const BREAK_US: i64 = 5 * SECOND_US;
/// How exactly the arrival of something says when it was.
const JITTER_US: i64 = SECOND_US;

/// When a segment begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlacedCut {
    pub start: Timestamp,
    /// How far its time lies ahead of the clock here, if that is more than a network does.
    pub ahead: Option<Span>,
}

/// The times of one stream.
#[derive(Debug, Default)]
pub struct StreamTimes {
    end: Option<Timestamp>,
    late: Drift,
}

impl StreamTimes {
    /// Of a stream that was recorded up to then.
    pub fn after(end: Option<Timestamp>) -> Self {
        Self { end, late: Drift::default() }
    }

    pub fn place(&mut self, cut: &CutEnd) -> PlacedCut {
        let start = match self.end.filter(|_| !cut.is_anew) {
            Some(end) => {
                let late = (cut.begun - end).us();
                let step = self.late.step(late);
                if self.late.least().is_some_and(|least| least > BREAK_US) { self.anew(cut.begun) } else { end + step }
            }
            None => self.anew(cut.begun),
        };
        self.end = Some(start + cut.duration);
        let ahead = start - cut.begun;
        PlacedCut { start, ahead: Some(ahead).filter(|ahead| ahead.us() > BREAK_US) }
    }

    fn anew(&mut self, begun: Timestamp) -> Timestamp {
        self.late.clear();
        let is_near = |end: &Timestamp| (0..JITTER_US).contains(&(*end - begun).us());
        self.end.filter(is_near).unwrap_or(begun)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const S: i64 = SECOND_US;

    fn cut(begun: i64, duration: i64, is_anew: bool) -> CutEnd {
        let (begun, duration) = (Timestamp::from_us(begun), Span::from_us(duration));
        CutEnd { duration, begun, is_anew, plays_alone: true, is_cut_off: false }
    }

    fn start(times: &mut StreamTimes, cut: &CutEnd) -> i64 {
        times.place(cut).start.us()
    }

    #[test]
    fn a_stream_begins_when_it_came_and_goes_on_where_it_ended() {
        let mut times = StreamTimes::default();
        assert_eq!(start(&mut times, &cut(100 * S, 2 * S, true)), 100 * S);
        assert_eq!(start(&mut times, &cut(104 * S, 2 * S, false)), 102 * S, "the network was slow");
        assert_eq!(start(&mut times, &cut(110 * S, 2 * S, true)), 110 * S, "a hole");
        assert_eq!(
            start(&mut times, &cut(111 * S + S / 2, 2 * S, true)),
            112 * S,
            "what the network does is no overlap"
        );
        assert_eq!(start(&mut times, &cut(110 * S, 2 * S, true)), 110 * S, "a server sent again what it had kept");
        let mut again = StreamTimes::after(Some(Timestamp::from_us(99 * S)));
        assert_eq!(start(&mut again, &cut(98 * S + S / 2, 2 * S, true)), 99 * S);
    }

    #[test]
    fn a_source_that_paused_its_own_time_begins_anew_when_that_is_certain() {
        let mut times = StreamTimes::default();
        let starts: Vec<i64> = (0..20)
            .map(|number| {
                let paused = if number < 2 { 0 } else { 60 * S };
                start(&mut times, &cut(paused + number * 2 * S, 2 * S, number == 0))
            })
            .collect();
        assert!(starts[16] < 36 * S && starts[17] == 60 * S + 34 * S && starts[18] == starts[17] + 2 * S, "{starts:?}");
    }

    #[test]
    fn what_comes_faster_than_time_passes_is_said() {
        let mut times = StreamTimes::default();
        let ahead: Vec<bool> =
            (0..5).map(|number| times.place(&cut(100 * S, 2 * S, number == 0)).ahead.is_some()).collect();
        assert_eq!(ahead, [false, false, false, true, true]);
    }

    proptest! {
        /// A source whose clock is off by up to 0.2 % behind a network that delays: neither holes nor overlaps, and times stay where it is.
        #[test]
        fn drift_is_let_out_without_holes_and_overlaps(
            off in -4_000_i64..4_000,
            delays in prop::collection::vec(0_i64..1_000_000, 600),
        ) {
            let (mut times, mut end) = (StreamTimes::default(), None);
            for (number, delay) in (0_i64..).zip(&delays) {
                let real = number * (2 * S + off);
                let placed = start(&mut times, &cut(real + delay, 2 * S, number == 0));
                if let Some(end) = end {
                    let gap: i64 = placed - end;
                    prop_assert!(gap.abs() < 10_000, "{gap} µs");
                }
                prop_assert!((placed - real).abs() < 1_200_000, "{} µs off", placed - real);
                end = Some(placed + 2 * S);
            }
        }
    }
}
