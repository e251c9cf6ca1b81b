//! Where the segments of one run of a playlist belong, where nobody tells times: all are shifted as the first that comes is.
//!
//! Which one that is makes no difference to the others: what is here from before, or what other nodes have of the same bytes, says of each of
//! them where the run belongs. Until then they wait for one another here, and not for a segment that does not come.
//!
//! An encoder that begins anew may begin with the same bytes as before (a picture that says "soon"), so what is here may be of the run before.
//! That shows as soon as one of the run comes for whose time something else is here: then all of the run belongs after what is here.

use parking_lot::Mutex;
use tokio::time::{Duration, Instant};

use super::publish::{RecordedQuality, RecordedSegment};
use super::segment_fetch::{FetchFailure, FetchedSegment};
use super::start_times::StartTime;
use crate::archive::{SegmentKind, Span, Timestamp};

/// For so long the oldest of a run comes alone: it is the one that is most likely here, or at another node.
const ALONE_FOR: Duration = Duration::from_secs(4);

/// So many segments of a run may show that it does not belong where the first of them is here.
const PROVEN_BY: u32 = 32;

#[derive(Debug)]
pub struct RunPlacement {
    /// Where the run before ended: it does not begin earlier.
    floor: Timestamp,
    began: Instant,
    is_old: bool,
    placed: Mutex<Placed>,
}

#[derive(Debug)]
struct Placed {
    /// None until the first has come.
    shift: Option<Span>,
    /// Where the estimated times of the run begin, as far as it has come.
    first: Option<Timestamp>,
    /// What began earlier is of a run before, whatever its bytes are.
    here_from: Timestamp,
    /// So many more may show that what is here from before is of another run.
    doubted: u32,
}

impl Placed {
    fn unknown(here_from: Timestamp) -> Self {
        Self { shift: None, first: None, here_from, doubted: 0 }
    }
}

impl RunPlacement {
    /// Of a run that begins now, of which nothing has come.
    pub fn begin(floor: Timestamp) -> Self {
        Self { floor, began: Instant::now(), is_old: false, placed: Mutex::new(Placed::unknown(Timestamp::MIN)) }
    }

    /// Of an encoder that has certainly begun anew: nothing of it is here from before that.
    pub fn after(floor: Timestamp) -> Self {
        Self { placed: Mutex::new(Placed::unknown(floor)), ..Self::begin(floor) }
    }

    /// Of a stream that had ended before anybody asked: what is here of it from before may be old.
    pub fn of_what_has_ended() -> Self {
        Self { is_old: true, ..Self::begin(Timestamp::MIN) }
    }

    /// Of a run whose times are told.
    pub fn told() -> Self {
        let placed = Placed { shift: Some(Span::default()), ..Placed::unknown(Timestamp::MIN) };
        Self { placed: Mutex::new(placed), ..Self::begin(Timestamp::MIN) }
    }

    /// Until when its oldest segment comes alone; none if it need not any more.
    pub fn alone_until(&self) -> Option<Instant> {
        let until = self.began + ALONE_FOR;
        (self.placed.lock().shift.is_none() && Instant::now() < until).then_some(until)
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
        let mut placed = self.placed.lock();
        placed.first = Some(placed.first.map_or(time.start, |first| first.min(time.start)));
        if let Some(shift) = placed.shift {
            let shift = self.unless_other_is_here(&mut placed, quality, &fetched, (time.start + shift, duration))?;
            let here_from = placed.here_from;
            drop(placed);
            return quality.publish_from(here_from, fetched, time.start + shift, duration, time.source);
        }
        let is_full = fetched.kind == SegmentKind::Full;
        let old = if is_full && self.is_old { quality.long_before(&fetched)? } else { None };
        let start = old.unwrap_or(time.start).max(placed.here_from);
        let recorded = if is_full {
            quality.publish_first(fetched, start, duration, (self.floor, placed.here_from))?
        } else {
            quality.publish_from(placed.here_from, fetched, start, duration, time.source)?
        };
        placed.shift = Some(recorded.start - time.start);
        placed.doubted = if recorded.path.is_none() && old.is_none() { PROVEN_BY } else { 0 };
        Ok(recorded)
    }

    /// The shift of the run, which is another one from here on if this segment shows that what is here is of another run.
    fn unless_other_is_here(
        &self,
        placed: &mut Placed,
        quality: &RecordedQuality,
        fetched: &FetchedSegment,
        (start, duration): (Timestamp, Span),
    ) -> Result<Span, FetchFailure> {
        let shift = placed.shift.unwrap_or_default();
        if placed.doubted == 0 || fetched.kind != SegmentKind::Full {
            return Ok(shift);
        }
        placed.doubted -= 1;
        if !quality.is_other_here(fetched, start, duration)? {
            return Ok(shift);
        }
        let end = quality.newest_end()?.unwrap_or(self.floor).max(self.floor);
        let first = placed.first.unwrap_or(end);
        let after = first.max(end) - first;
        *placed = Placed { shift: Some(after), first: Some(first), here_from: end, doubted: 0 };
        Ok(after)
    }
}

#[cfg(test)]
mod tests {
    use super::super::start_times::StartSource;
    use super::*;
    use crate::archive::{Container, Stream};
    use crate::disk::NewSegment;
    use crate::record::segment_fetch::ArchiveBase;

    const START: i64 = 1_573_614_000_000_000;
    const SECOND: i64 = 1_000_000;

    /// An archive, and what a recorder of it knows that was started just now.
    struct Recorded {
        tree: tempfile::TempDir,
        quality: RecordedQuality,
    }

    impl Recorded {
        fn new() -> Self {
            let tree = tempfile::tempdir().unwrap();
            let quality = Self::started(&tree);
            Self { tree, quality }
        }

        fn started(tree: &tempfile::TempDir) -> RecordedQuality {
            RecordedQuality::new(Stream::parse("a/source").unwrap(), ArchiveBase::open(tree.path()).unwrap())
        }

        /// Segments of two seconds that appear in this order; says for each when it begins here, and whether it is new.
        fn take(&self, placement: &RunPlacement, listed: &[(&str, i64)]) -> Vec<(i64, bool)> {
            let take = |(content, second): &(&str, i64)| {
                let start = Timestamp::from_us(START + second * SECOND);
                let hour = self.quality.archive.base().unwrap().make_hour_dir(&self.quality.place(start)).unwrap();
                let mut file = NewSegment::begin(hour).unwrap();
                file.write(content.as_bytes()).unwrap();
                let (container, kind) = (Container::Ts, SegmentKind::Full);
                let fetched = FetchedSegment { file, container, kind, fault: None, is_cut: false };
                let time = StartTime { start, source: StartSource::Untold, is_doubtful: false, moved: Span::default() };
                let recorded = placement.publish(&self.quality, fetched, &time, Span::from_us(2 * SECOND)).unwrap();
                ((recorded.start.us() - START) / SECOND, recorded.path.is_some())
            };
            listed.iter().map(take).collect()
        }
    }

    #[test]
    fn a_recorder_that_is_started_anew_goes_on_where_it_was() {
        let mut recorded = Recorded::new();
        recorded.take(&RunPlacement::begin(Timestamp::MIN), &[("a", 0), ("b", 2), ("c", 4)]);
        recorded.quality = Recorded::started(&recorded.tree);
        let again = RunPlacement::begin(Timestamp::MIN);
        // Its playlist was three seconds late, and what is newest comes next.
        let placed = recorded.take(&again, &[("b", 5), ("e", 11), ("d", 9), ("c", 7)]);
        assert_eq!(placed, [(2, false), (8, true), (6, true), (4, false)]);
    }

    #[test]
    fn an_encoder_that_begins_anew_with_the_same_picture_lies_after_the_run_before() {
        let recorded = Recorded::new();
        recorded.take(&RunPlacement::begin(Timestamp::MIN), &[("soon", 0), ("a", 2), ("b", 4)]);
        let anew = RunPlacement::after(Timestamp::from_us(START + 6 * SECOND));
        let placed = recorded.take(&anew, &[("soon", 12), ("c", 14), ("d", 16)]);
        assert_eq!(placed, [(12, true), (14, true), (16, true)]);
    }

    #[test]
    fn whoever_was_not_there_sees_it_by_what_comes_after_the_picture() {
        for newest_first in [false, true] {
            let mut recorded = Recorded::new();
            recorded.take(&RunPlacement::begin(Timestamp::MIN), &[("soon", 0), ("a", 2), ("b", 4), ("c", 6)]);
            recorded.quality = Recorded::started(&recorded.tree);
            let run = RunPlacement::begin(Timestamp::MIN);
            assert_eq!(recorded.take(&run, &[("soon", 12)]), [(0, false)], "it may be the run before");
            let mut rest = [("d", 14), ("e", 16)];
            if newest_first {
                rest.reverse();
            }
            let placed = recorded.take(&run, &rest);
            assert_eq!(placed, rest.map(|(_, second)| (second, true)));
            assert_eq!(recorded.take(&run, &[("f", 18), ("f", 18)]), [(18, true), (18, false)]);
        }
    }
}
