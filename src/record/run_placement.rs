//! Where the segments of one run of a playlist belong, where nobody tells times: all are shifted as the first that comes is.
//!
//! Which one that is makes no difference to the others: what is here from before, or what other nodes have of the same bytes, says of each of
//! them where the run belongs. Until then they wait for one another here, and not for a segment that does not come.

use parking_lot::Mutex;
use tokio::time::{Duration, Instant};

use super::publish::{RecordedQuality, RecordedSegment};
use super::segment_fetch::{FetchFailure, FetchedSegment};
use super::start_times::StartTime;
use crate::archive::{SegmentKind, Span, Timestamp};

/// For so long the oldest of a run comes alone: it is the one that is most likely here, or at another node.
const ALONE_FOR: Duration = Duration::from_secs(4);

#[derive(Debug)]
pub struct RunPlacement {
    /// Where the run before ended: it does not begin earlier.
    floor: Timestamp,
    began: Instant,
    is_old: bool,
    shift: Mutex<Option<Span>>,
}

impl RunPlacement {
    /// Of a run that begins now, of which nothing has come.
    pub fn begin(floor: Timestamp) -> Self {
        Self { floor, began: Instant::now(), is_old: false, shift: Mutex::new(None) }
    }

    /// Of a stream that had ended before anybody asked: what is here of it from before may be old.
    pub fn of_what_has_ended() -> Self {
        Self { is_old: true, ..Self::begin(Timestamp::MIN) }
    }

    /// Of a run whose times are told.
    pub fn told() -> Self {
        Self { shift: Mutex::new(Some(Span::default())), ..Self::begin(Timestamp::MIN) }
    }

    /// Until when its oldest segment comes alone; none if it need not any more.
    pub fn alone_until(&self) -> Option<Instant> {
        let until = self.began + ALONE_FOR;
        (self.shift.lock().is_none() && Instant::now() < until).then_some(until)
    }

    /// When a segment begins, as far as that is known.
    pub fn start(&self, time: &StartTime) -> Timestamp {
        let shift = if time.source.is_told() { None } else { *self.shift.lock() };
        time.start + shift.unwrap_or_default()
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
            self.shift.lock().get_or_insert_default();
            return Ok(recorded);
        }
        // Whoever comes at the same moment waits until it is known where this one belongs.
        let mut first = self.shift.lock();
        if let Some(shift) = *first {
            drop(first);
            return quality.publish(fetched, time.start + shift, duration, time.source);
        }
        let recorded = if fetched.kind == SegmentKind::Full {
            let old = if self.is_old { quality.long_before(&fetched)? } else { None };
            quality.publish_first(fetched, old.unwrap_or(time.start), duration, self.floor)?
        } else {
            quality.publish(fetched, time.start, duration, time.source)?
        };
        *first = Some(recorded.start - time.start);
        Ok(recorded)
    }
}
