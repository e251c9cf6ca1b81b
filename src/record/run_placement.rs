//! Where the segments of one run of a playlist belong, where nobody tells times: all are shifted as the first that comes is.
//!
//! Which one that is makes no difference to the others: what is here from before, or what other nodes have of the same bytes, says of each of
//! them where the run belongs. Until then they wait for one another here, and not for a segment that does not come.
//!
//! An encoder that begins anew may begin with the same bytes as before (a picture that says "soon"), so what is here may be of the run before.
//! That shows as soon as one of the run comes for whose time something else is here: then all of the run belongs after what is here, and what was
//! found here before comes once more ([`RunPlacement::is_refuted`]).

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::time::{Duration, Instant};

use super::publish::{HereBefore, RecordedQuality, RecordedSegment};
use super::segment_fetch::{FetchFailure, FetchedSegment};
use super::start_times::StartTime;
use crate::archive::{SegmentKind, Span, Timestamp};

/// For so long the oldest of a run comes alone: it is the one that is most likely here, or at another node.
const ALONE_FOR: Duration = Duration::from_secs(4);

/// What is found here within this, before the time at which it appeared, is not of another run: playlists come late, and by caches.
const LONG_AGO: Span = Span::from_us(-8_000_000);
/// Segments of a run that are remembered, so that content that recurs within half a minute is known.
const OWN: usize = 64;
/// So many segments after the first one may say where a run belongs that was placed by the clock.
const GUESSED_FOR: u32 = 64;
/// A run does not begin so long after the clock says, whatever is here.
const AHEAD: Span = Span::from_us(15_000_000);

#[derive(Debug)]
pub struct RunPlacement {
    /// Where the run before ended: it does not begin earlier.
    floor: Timestamp,
    began: Instant,
    is_old: bool,
    /// Held while the disk is asked where the run belongs.
    deciding: Mutex<()>,
    /// Never held while the disk is asked: whoever only looks does not wait for that.
    placed: Mutex<Placed>,
}

#[derive(Debug, Clone)]
struct Placed {
    /// None until the first has come.
    shift: Option<Span>,
    certainty: Certainty,
    /// Where the estimated times of the run begin, as far as it has come.
    first: Option<Timestamp>,
    /// The estimated time of the newest that was found here, which the shift was learnt from.
    learnt_from: Option<Timestamp>,
    /// Where all ended that was here before the run.
    end_before: Option<Timestamp>,
    /// What began earlier is of a run before, whatever its bytes are.
    here_from: Timestamp,
    /// When the newest segments of the run begin that were published by it. What has the bytes of one of them is content that recurs.
    own: VecDeque<Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Certainty {
    /// It was placed by the clock, and so many segments may still be found here.
    Guessed(u32),
    /// What came so far is here; the next may show that it is of another run.
    Found,
    Proven,
    /// What was found here is of another run.
    Refuted,
}

impl Placed {
    fn unknown() -> Self {
        Self {
            shift: None,
            certainty: Certainty::Guessed(GUESSED_FOR),
            first: None,
            learnt_from: None,
            end_before: None,
            here_from: Timestamp::MIN,
            own: VecDeque::new(),
        }
    }
}

impl RunPlacement {
    /// Of a run that begins now, of which nothing has come.
    pub fn begin(floor: Timestamp) -> Self {
        let placed = Mutex::new(Placed::unknown());
        Self { floor, began: Instant::now(), is_old: false, deciding: Mutex::default(), placed }
    }

    /// Of what comes after a break in a stream whose numbers go on: what is here from before that break is something else, whatever its bytes are.
    pub fn after_a_break(floor: Timestamp, longest: Span) -> Self {
        let placed = Placed { here_from: floor - longest, ..Placed::unknown() };
        Self { placed: Mutex::new(placed), ..Self::begin(floor) }
    }

    /// Of a stream that had ended before anybody asked: what is here of it from before may be old.
    pub fn of_what_has_ended() -> Self {
        Self { is_old: true, ..Self::begin(Timestamp::MIN) }
    }

    /// Of a run whose times are told.
    pub fn told() -> Self {
        let placed = Placed { shift: Some(Span::default()), certainty: Certainty::Proven, ..Placed::unknown() };
        Self { placed: Mutex::new(placed), ..Self::begin(Timestamp::MIN) }
    }

    /// Until when its oldest segment comes alone; none if it need not any more.
    pub fn alone_until(&self) -> Option<Instant> {
        let until = self.began + ALONE_FOR;
        let placed = self.placed.lock();
        let is_open = placed.shift.is_none() || placed.certainty == Certainty::Found;
        (is_open && Instant::now() < until).then_some(until)
    }

    /// What was found here may be of another run.
    pub fn is_in_doubt(&self) -> bool {
        self.placed.lock().certainty == Certainty::Found
    }

    /// What was found here while it was in doubt is of another run.
    pub fn is_refuted(&self) -> bool {
        self.placed.lock().certainty == Certainty::Refuted
    }

    /// When a segment begins, as far as that is known.
    pub fn start(&self, time: &StartTime) -> Timestamp {
        time.start + if time.source.is_told() { Span::default() } else { self.shift() }
    }

    /// By how much all that is not told is shifted, as far as that is known.
    pub fn shift(&self) -> Span {
        self.placed.lock().shift.unwrap_or_default()
    }

    /// Publishes one of them. Blocks.
    pub fn publish(
        &self,
        quality: &RecordedQuality,
        fetched: FetchedSegment,
        time: &StartTime,
        duration: Span,
    ) -> Result<RecordedSegment, FetchFailure> {
        if time.source.is_told() {
            let recorded = quality.publish(fetched, time.start, duration, time.source)?;
            self.placed.lock().shift.get_or_insert_default();
            return Ok(recorded);
        }
        // Whoever comes at the same moment waits until it is known where this one belongs.
        let deciding = self.deciding.lock();
        let mut placed = self.placed.lock().clone();
        placed.first = Some(placed.first.map_or(time.start, |first| first.min(time.start)));
        let is_full = fetched.kind == SegmentKind::Full;
        if let Some(shift) = placed.shift {
            self.refute_by(&mut placed, quality, &fetched, (time.start + shift, duration))?;
            let start = time.start + placed.shift.unwrap_or(shift);
            let here = HereBefore { from: placed.here_from, but: placed.own.iter().copied().collect() };
            if matches!(placed.certainty, Certainty::Proven | Certainty::Refuted) {
                self.placed.lock().decided(placed);
                drop(deciding);
                let recorded = quality.publish_from(&here, fetched, start, duration, time.source)?;
                self.placed.lock().published(&recorded);
                return Ok(recorded);
            }
            let recorded = quality.publish_from(&here, fetched, start, duration, time.source)?;
            placed.learn(&recorded, time, is_full);
            self.placed.lock().decided(placed);
            self.placed.lock().published(&recorded);
            return Ok(recorded);
        }
        let old = if is_full && self.is_old { quality.long_before(&fetched)? } else { None };
        let start = old.unwrap_or(time.start);
        let here = HereBefore { from: placed.here_from, but: Vec::new() };
        let recorded = if is_full {
            quality.publish_first(fetched, start, duration, (self.floor, &here))?
        } else {
            quality.publish_from(&here, fetched, start, duration, time.source)?
        };
        placed.shift = Some(recorded.start - time.start);
        if recorded.path.is_none() {
            placed.learnt_from = Some(time.start);
            placed.end_before = quality.newest_end()?;
        }
        placed.certainty = match (&recorded.path, old) {
            (None, None) => Certainty::Found,
            (None, Some(_)) => Certainty::Proven,
            (Some(_), _) => placed.certainty,
        };
        self.placed.lock().decided(placed);
        self.placed.lock().published(&recorded);
        Ok(recorded)
    }

    /// If this segment shows that what is here is of another run, the run lies after all that is here.
    fn refute_by(
        &self,
        placed: &mut Placed,
        quality: &RecordedQuality,
        fetched: &FetchedSegment,
        (start, duration): (Timestamp, Span),
    ) -> Result<(), FetchFailure> {
        let is_long_ago = placed.shift.is_some_and(|shift| shift < LONG_AGO);
        let may_be = is_long_ago && placed.certainty == Certainty::Found && fetched.kind == SegmentKind::Full;
        if may_be && quality.is_other_here(fetched, start, duration)? {
            let end = placed.end_before.unwrap_or(self.floor).max(self.floor);
            let first = placed.first.unwrap_or(end);
            let shift = Some(first.max(end) - first).filter(|shift| *shift <= AHEAD).unwrap_or_default();
            (placed.shift, placed.certainty, placed.here_from) = (Some(shift), Certainty::Refuted, first + shift);
        }
        Ok(())
    }
}

impl Placed {
    /// What was found out meanwhile; what was published meanwhile stays known.
    fn decided(&mut self, decided: Self) {
        let own = std::mem::take(&mut self.own);
        *self = decided;
        self.own = own;
    }

    fn published(&mut self, recorded: &RecordedSegment) {
        if recorded.path.is_some() {
            self.own.push_back(recorded.start);
            if self.own.len() > OWN {
                self.own.pop_front();
            }
        }
    }

    /// What a segment says that came after the first one.
    fn learn(&mut self, recorded: &RecordedSegment, time: &StartTime, is_full: bool) {
        self.certainty = match (self.certainty, &recorded.path) {
            // The newest says where what follows belongs: there may be a hole in what is here.
            (Certainty::Guessed(_) | Certainty::Found, None) if is_full => {
                if self.learnt_from.is_none_or(|before| before < time.start) {
                    (self.shift, self.learnt_from) = (Some(recorded.start - time.start), Some(time.start));
                }
                Certainty::Found
            }
            (Certainty::Guessed(left), _) => left.checked_sub(1).map_or(Certainty::Proven, Certainty::Guessed),
            (Certainty::Found, Some(_)) if is_full => Certainty::Proven,
            (other, _) => other,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::super::start_times::StartSource;
    use super::*;
    use crate::record::test_recording::TestRecording;

    const START: i64 = 1_573_614_000_000_000;
    const SECOND: i64 = 1_000_000;

    impl TestRecording {
        /// Segments of two seconds that appear in this order; says for each when it begins here, and whether it is new.
        fn take(&self, placement: &RunPlacement, listed: &[(&str, i64)]) -> Vec<(i64, bool)> {
            self.take_of(2, placement, listed)
        }

        /// The same of segments of so many seconds.
        fn take_of(&self, lasts: i64, placement: &RunPlacement, listed: &[(&str, i64)]) -> Vec<(i64, bool)> {
            let take = |(content, second): &(&str, i64)| {
                let start = Timestamp::from_us(START + second * SECOND);
                let fetched = self.fetched(content.as_bytes(), start);
                let time = StartTime { start, source: StartSource::Untold, is_doubtful: false, moved: Span::default() };
                let recorded = placement.publish(&self.quality, fetched, &time, Span::from_us(lasts * SECOND)).unwrap();
                ((recorded.start.us() - START) / SECOND, recorded.path.is_some())
            };
            listed.iter().map(take).collect()
        }
    }

    #[test]
    fn a_recorder_that_is_started_anew_goes_on_where_it_was() {
        let mut recorded = TestRecording::new();
        recorded.take(&RunPlacement::begin(Timestamp::MIN), &[("a", 0), ("b", 2), ("c", 4)]);
        recorded.is_started_anew();
        let again = RunPlacement::begin(Timestamp::MIN);
        // Its playlist was three seconds late, and what is newest comes next.
        let placed = recorded.take(&again, &[("b", 5), ("e", 11), ("d", 9), ("c", 7)]);
        assert_eq!(placed, [(2, false), (8, true), (6, true), (4, false)]);
        assert!(!again.is_refuted());
    }

    #[test]
    fn the_first_of_a_run_that_is_here_says_where_it_belongs_also_if_the_oldest_is_not() {
        let mut recorded = TestRecording::new();
        recorded.take(&RunPlacement::begin(Timestamp::MIN), &[("b", 2), ("c", 4)]);
        recorded.is_started_anew();
        let again = RunPlacement::begin(Timestamp::MIN);
        let placed = recorded.take(&again, &[("a", 3), ("b", 5), ("c", 7), ("d", 9)]);
        assert_eq!(placed, [(3, true), (2, false), (4, false), (6, true)]);
    }

    #[test]
    fn content_that_recurs_is_recorded_each_time_and_moves_nothing() {
        let recorded = TestRecording::new();
        let run = RunPlacement::begin(Timestamp::MIN);
        let listed = [("bumper", 0), ("ad", 2), ("bumper", 4), ("a", 6), ("bumper", 8), ("bumper", 8)];
        let placed = recorded.take(&run, &listed);
        assert_eq!(placed, [(0, true), (2, true), (4, true), (6, true), (8, true), (8, false)]);
    }

    #[test]
    fn an_encoder_that_begins_anew_with_the_same_picture_lies_after_the_run_before() {
        for lasts in [2, 3] {
            let mut recorded = TestRecording::new();
            recorded.take(&RunPlacement::begin(Timestamp::MIN), &[("soon", 0), ("a", 2), ("b", 4), ("c", 6)]);
            recorded.is_started_anew();
            let run = RunPlacement::begin(Timestamp::MIN);
            assert_eq!(recorded.take(&run, &[("soon", 12)]), [(0, false)], "it may be the run before");
            assert!(run.is_in_doubt() && !run.is_refuted());
            let placed = recorded.take_of(lasts, &run, &[("d", 14), ("e", 14 + lasts)]);
            assert_eq!(placed, [(14, true), (14 + lasts, true)]);
            assert!(run.is_refuted());
            assert_eq!(
                recorded.take(&run, &[("soon", 12), ("f", 20), ("f", 20)]),
                [(12, true), (20, true), (20, false)]
            );
        }
    }
}
