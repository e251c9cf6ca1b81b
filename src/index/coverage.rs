//! Questions about coverage: the summaries that a window needs, from one snapshot.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use redb::ReadTransaction;

use super::codec::{HourKey, hour_key, read_hour_key};
use super::store::Index;
use super::summaries::{HourEdge, nearest};
use super::{IndexError, files, hours, summaries};
use crate::archive::coverage::{Coverage, CoverageTotals, HourLine, HourSummary, Stretch, Window};
use crate::archive::{Hour, Stream, Timestamp};

/// How long a question waits for summaries that are still being made.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it looks.
const AGAIN: Duration = Duration::from_millis(5);

/// Unsettled hours beyond which it does not matter how many there are.
const COUNTED: usize = 1_000;
/// Holes and stretches that an hour may have on the average of an answer: what it needs of memory is bounded by what is in the hours.
const STRETCHES_AN_HOUR: usize = 20;

/// What a window of a stream needs.
#[derive(Debug, Clone, Default)]
pub struct Covered {
    /// The summaries.
    pub coverage: Coverage,
    /// The hours that the window cuts, where they have a directory.
    pub lines: BTreeMap<Hour, HourLine>,
    /// The first hour of the window that was left out because there were too many; what is here is right before it.
    pub next: Option<Hour>,
}

impl Index {
    /// What a window of a stream needs, of at most `most` hours, and fewer where they are in very many pieces. Chat, and what is not there, has none. Waits a while where summaries
    /// are still being made: blocks, not for async code.
    pub fn coverage(&self, stream: &Stream, window: &Window, most: usize) -> Result<Covered, IndexError> {
        self.coverage_until(Instant::now() + PATIENCE, stream, window, most)
    }

    /// The same, waiting no longer than until then.
    pub fn coverage_until(
        &self,
        until: Instant,
        stream: &Stream,
        window: &Window,
        most: usize,
    ) -> Result<Covered, IndexError> {
        self.when_settled(until, stream, |transaction, id| read(transaction, id, window, most))
    }

    /// Adds up the hours of a stream before `before`, or all of them, however many there are; waits no longer than until then.
    pub fn add_up(&self, until: Instant, stream: &Stream, before: Option<Hour>) -> Result<CoverageTotals, IndexError> {
        self.when_settled(until, stream, |transaction, id| {
            let mut sum = CoverageTotals::default();
            for row in SummedHours::of(transaction, id, Hour::MIN, Hour::MAX)? {
                let (hour, summary) = row?;
                if before.is_some_and(|before| hour >= before) {
                    break;
                }
                sum.add(hour, &summary);
            }
            Ok(sum)
        })
    }

    /// Asks as soon as no summary of the stream is still to be made.
    fn when_settled<T: Default>(
        &self,
        until: Instant,
        stream: &Stream,
        question: impl Fn(&ReadTransaction, u32) -> Result<T, IndexError>,
    ) -> Result<T, IndexError> {
        loop {
            let found = self.read(|transaction, _| {
                // Asked each time: when the index begins anew, its streams get other numbers.
                let Some(id) = self.video_id(stream) else { return Ok(Ok(T::default())) };
                let unsettled = unsettled(transaction, id)?;
                if unsettled > 0 { Ok(Err(unsettled)) } else { question(transaction, id).map(Ok) }
            })?;
            match found {
                Ok(answer) => return Ok(answer),
                Err(hours) if Instant::now() >= until => return Err(IndexError::Unsettled { hours }),
                Err(_) => std::thread::sleep(AGAIN),
            }
        }
    }

    fn video_id(&self, stream: &Stream) -> Option<u32> {
        self.stream_id(&stream.to_string()).filter(|_| !stream.quality.is_chat())
    }

    /// From the first segment of these hours of a stream to the furthest end; `None` if they have none.
    pub fn extent(&self, stream: &Stream, (first, last): (Hour, Hour)) -> Result<Option<Stretch>, IndexError> {
        self.when_settled(Instant::now() + PATIENCE, stream, |transaction, id| {
            let mut rows = SummedHours::of(transaction, id, first, last.max(first))?;
            let mut coverage = Coverage::default();
            // Hours without segments may come first; the last one knows how far all of them reach.
            while coverage.extent().is_none()
                && let Some(row) = rows.next()
            {
                let (hour, summary) = row?;
                if summary.first.is_some() {
                    coverage.push_summary(hour, summary);
                }
            }
            if let Some(row) = rows.next_back() {
                let (hour, summary) = row?;
                coverage.push_summary(hour, summary);
            }
            Ok(coverage.extent())
        })
    }

    /// Whether what is kept of an hour is what its rows come to, after what is kept of the hour before it. Of all hours that is: whether
    /// all of it is right. An hour that is still to be made counts as right.
    pub fn is_coverage_right(&self, stream: &Stream, hour: Hour) -> Result<bool, IndexError> {
        self.read(|transaction, _| {
            let Some(id) = self.video_id(stream) else { return Ok(true) };
            let key = hour_key(id, hour);
            let before = nearest(&summaries::table(transaction)?, id, hour, HourEdge::Before)?;
            let earlier = before.as_ref().map(|(earlier, _)| hour_key(id, *earlier));
            for either in [Some(key), earlier].into_iter().flatten() {
                if summaries::is_unsettled(transaction, either)? {
                    return Ok(true);
                }
            }
            let kept = summaries::read(transaction, key)?;
            let Some(row) = hours::read(transaction, key)? else { return Ok(kept.is_none()) };
            let line = HourLine::of(&files::contents(transaction, key, &row)?);
            let before = before.and_then(|(_, summary)| summary.after);
            Ok(kept == Some(HourSummary::of(before, hour, &line)))
        })
    }

    /// Hours whose summaries are still to be made, of all streams.
    pub fn unsettled_hours(&self) -> Result<u64, IndexError> {
        self.read(|transaction, _| summaries::count_unsettled(transaction))
    }
}

type Range<'r> = redb::Range<'r, &'static HourKey, &'static [u8]>;

/// The summaries of a stream, each beside the row of its hour: a table of which something is lost would tell of fewer hours without
/// contradicting itself.
struct SummedHours<'r> {
    summaries: Range<'r>,
    hours: Range<'r>,
}

impl SummedHours<'_> {
    fn of(
        transaction: &ReadTransaction,
        stream: u32,
        first: Hour,
        last: Hour,
    ) -> Result<SummedHours<'static>, IndexError> {
        Ok(SummedHours {
            summaries: summaries::range(transaction, stream, first, last)?,
            hours: hours::rows(transaction, stream, first, last)?,
        })
    }

    fn row(
        summary: Option<HourKeyed<'_>>,
        hour: Option<HourKeyed<'_>>,
    ) -> Option<Result<(Hour, HourSummary), IndexError>> {
        let read = |own: HourKeyed<'_>, other: HourKeyed<'_>| {
            let ((key, value), (beside, _)) = (own?, other?);
            if key.value() != beside.value() {
                return Err(lost());
            }
            Ok((read_hour_key(*key.value())?.1, summaries::decode(*key.value(), value.value())?))
        };
        match (summary, hour) {
            (None, None) => None,
            (Some(summary), Some(hour)) => Some(read(summary, hour)),
            _ => Some(Err(lost())),
        }
    }
}

type HourKeyed<'r> =
    Result<(redb::AccessGuard<'r, &'static HourKey>, redb::AccessGuard<'r, &'static [u8]>), redb::StorageError>;

fn lost() -> IndexError {
    IndexError::Damaged("the summaries of coverage are not those of the hours there are".into())
}

impl Iterator for SummedHours<'_> {
    type Item = Result<(Hour, HourSummary), IndexError>;

    fn next(&mut self) -> Option<Self::Item> {
        Self::row(self.summaries.next(), self.hours.next())
    }
}

impl DoubleEndedIterator for SummedHours<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        Self::row(self.summaries.next_back(), self.hours.next_back())
    }
}

/// Hours of a stream whose summaries are still to be made; more than [`COUNTED`] are not counted.
fn unsettled(transaction: &ReadTransaction, stream: u32) -> Result<u64, IndexError> {
    summaries::count_unsettled_of(transaction, stream, COUNTED)
}

fn read(transaction: &ReadTransaction, stream: u32, window: &Window, most: usize) -> Result<Covered, IndexError> {
    let from = window.from.map_or(Hour::MIN, Timestamp::hour);
    let before = match (from > Hour::MIN).then(|| SummedHours::of(transaction, stream, Hour::MIN, from.previous())) {
        Some(rows) => rows?.next_back().transpose()?.and_then(|(_, summary)| summary.after),
        None => None,
    };
    let mut found = Covered { coverage: Coverage::after(before), ..Covered::default() };
    let mut window = *window;
    let (mut stretches, most_stretches) = (0_usize, most.saturating_mul(STRETCHES_AN_HOUR).max(100_000));
    for (count, row) in
        SummedHours::of(transaction, stream, from, window.last.unwrap_or(Hour::MAX).max(from))?.enumerate()
    {
        let (hour, summary) = row?;
        if found.coverage.is_enough(&window, hour) {
            break;
        }
        let is_full = count >= most || stretches >= most_stretches;
        if is_full && found.next.is_none() && window.to.is_none_or(|to| hour.start() < to) {
            // What is in earlier hours may still end in this one and those after it.
            found.next = Some(hour);
            window = Window { to: Some(hour.start()), edge_to: false, ..window };
            if found.coverage.is_enough(&window, hour) {
                break;
            }
        }
        stretches += summary.holes.iter().map(Vec::len).sum::<usize>() + summary.not_full.len();
        found.coverage.push_summary(hour, summary);
    }
    for hour in window.cut_hours() {
        let key = hour_key(stream, hour);
        if let Some(row) = hours::read(transaction, key)? {
            found.lines.insert(hour, HourLine::of(&files::contents(transaction, key, &row)?));
        }
    }
    Ok(found)
}
