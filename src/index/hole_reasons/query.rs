//! Questions about the ledger.

use std::collections::HashMap;

use super::super::store::Index;
use super::super::{Batch, IndexError, summaries};
use super::rows::{HoleKey, decode_closed, decode_open, key};
use super::tables::{CLOSED_HOLES, OPEN_HOLES, all_open_of};
use super::update::is_right;
use crate::archive::coverage::{Stretch, Window};
use crate::archive::hole_reasons::{ClosedHoleReason, HoleKnowledge, MissedRecording, OpenHole};
use crate::archive::{Span, Stream, Timestamp};

/// Why holes are open, for the index to remember: each with when it had last grown when that was worked out.
pub type HoleReasonRows = Vec<(HoleKey, Timestamp, HoleKnowledge)>;

/// A page of closed entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClosedPage {
    /// In order of start and of when they closed.
    pub closed: Vec<ClosedHoleReason>,
    /// The start and the closing of the last, if there are more.
    pub next: Option<(Timestamp, Timestamp)>,
}

/// All that an index knows and no tree tells, to go on with in another one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LedgerCopy {
    /// Open and closed entries by `CHANNEL/QUALITY`.
    pub streams: HashMap<String, (Vec<OpenHole>, Vec<ClosedHoleReason>)>,
    /// What recorders missed, by `CHANNEL/QUALITY`.
    pub missed: HashMap<String, Vec<MissedRecording>>,
    /// When the disk was away.
    pub away: Vec<Stretch>,
    /// How far the protective records of the archive had come, as one text.
    pub records: String,
}

impl Index {
    /// All that the ledger knows.
    pub fn copy_ledger(&self) -> Result<LedgerCopy, IndexError> {
        let mut copy = LedgerCopy { away: self.away()?, records: self.records()?, ..LedgerCopy::default() };
        let mut missed: HashMap<u32, Vec<MissedRecording>> = HashMap::new();
        for (id, each) in self.missed()? {
            missed.entry(id).or_default().push(each);
        }
        for stream in self.catalog().streams() {
            let known = self.stream_id(&stream.to_string()).and_then(|id| missed.remove(&id));
            copy.missed.insert(stream.to_string(), known.unwrap_or_default());
            let closed = self.closed_holes(&stream, &Window::default(), None, usize::MAX)?.closed;
            copy.streams.insert(stream.to_string(), (self.ledger(&stream)?, closed));
        }
        Ok(copy)
    }

    /// The open entries of a quality that lie in a window, if only in part: at most so many. Blocks: not for async code.
    pub fn open_holes(&self, stream: &Stream, window: &Window, most: usize) -> Result<Vec<OpenHole>, IndexError> {
        let Some(id) = self.stream_id(&stream.to_string()) else { return Ok(Vec::new()) };
        let Stretch { start: from, end: to } = window.stretch();
        self.read(|transaction, _| {
            let table = transaction.open_table(OPEN_HOLES)?;
            let ends = |us| Timestamp::from_us(us);
            let first = key(id, ends(i64::MIN), ends(i64::MIN));
            let middle = key(id, from, ends(i64::MIN));
            let last = key(id, to, ends(i64::MIN));
            // They do not overlap: only the last that begins before may reach into it.
            let before = table.range::<&HoleKey>(&first..&middle)?.next_back();
            let mut found = Vec::new();
            for row in before.into_iter().chain(table.range::<&HoleKey>(&middle..&last)?).take(most.saturating_add(1)) {
                let (at, value) = row?;
                let entry = decode_open(at.value(), value.value())?.1;
                if entry.hole.end > from {
                    found.push(entry);
                }
            }
            found.truncate(most);
            Ok(found)
        })
    }

    /// What is known of a moment: the hole that it lies in, and at most so many that it lay in and that closed. Blocks: not for async code.
    pub fn holes_at(
        &self,
        stream: &Stream,
        at: Timestamp,
        most: usize,
    ) -> Result<(Option<OpenHole>, Vec<ClosedHoleReason>), IndexError> {
        let window = Window { from: Some(at), to: Some(at + Span::from_us(1)), ..Window::default() };
        let open = self.open_holes(stream, &window, 1)?.into_iter().next();
        Ok((open, self.closed_holes(stream, &window, None, most)?.closed))
    }

    /// The closed entries of a quality that lie in a window, if only in part, behind the one that starts and closed at these times.
    pub fn closed_holes(
        &self,
        stream: &Stream,
        window: &Window,
        after: Option<(Timestamp, Timestamp)>,
        most: usize,
    ) -> Result<ClosedPage, IndexError> {
        let Some(id) = self.stream_id(&stream.to_string()) else { return Ok(ClosedPage::default()) };
        let within = window.stretch();
        self.read(|transaction, _| {
            let table = transaction.open_table(CLOSED_HOLES)?;
            let earliest = Timestamp::from_us(i64::MIN);
            let after = after.map_or(key(id, earliest, earliest), |(start, closed)| key(id, start, closed));
            let last = key(id, within.end, earliest);
            let mut page = ClosedPage::default();
            if after >= last {
                return Ok(page);
            }
            for row in table.range::<&HoleKey>((std::ops::Bound::Excluded(&after), std::ops::Bound::Excluded(&last)))? {
                let (at, value) = row?;
                let entry = decode_closed(at.value(), value.value())?;
                if entry.hole.cut(within).is_none() {
                    continue;
                }
                if page.closed.len() == most {
                    page.next = page.closed.last().map(|told| (told.hole.start, told.closed));
                    break;
                }
                page.closed.push(entry);
            }
            Ok(page)
        })
    }

    /// Some open entries of all qualities, behind this one, each with its key and the number of its quality.
    pub fn open_after(&self, after: Option<HoleKey>, most: usize) -> Result<Vec<(HoleKey, u32, OpenHole)>, IndexError> {
        self.read(|transaction, _| {
            let table = transaction.open_table(OPEN_HOLES)?;
            let from = after.as_ref().map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
            let rows = table.range::<&HoleKey>((from, std::ops::Bound::Unbounded))?;
            rows.take(most)
                .map(|row| {
                    let (at, value) = row?;
                    let (stream, entry) = decode_open(at.value(), value.value())?;
                    Ok((*at.value(), stream, entry))
                })
                .collect()
        })
    }

    /// All open entries of a quality.
    pub fn ledger(&self, stream: &Stream) -> Result<Vec<OpenHole>, IndexError> {
        let Some(id) = self.stream_id(&stream.to_string()) else { return Ok(Vec::new()) };
        self.read(|transaction, _| all_open_of(transaction, id))
    }

    /// Remembers why holes are open. Blocks: not for async code.
    pub fn remember_why(&self, reasons: HoleReasonRows, generation: u64) -> Result<(), IndexError> {
        self.apply(Batch { generation: Some(generation), reasons, ..Batch::default() }).map(drop)
    }

    /// Brings the ledger of a quality into line with its holes, if it is not: for whoever finds that it is not right. What it knew of those
    /// that are right goes on. Says whether something was wrong. Blocks: not for async code.
    pub fn mend_ledger(&self, stream: &Stream) -> Result<bool, IndexError> {
        if self.is_ledger_right(stream)? {
            return Ok(false);
        }
        self.apply(Batch { mend: vec![stream.clone()], ..Batch::default() })?;
        Ok(true)
    }

    /// Remembers that the disk was away. Blocks: not for async code.
    pub fn remember_away(&self, away: Vec<Stretch>) -> Result<(), IndexError> {
        self.apply(Batch { away, ..Batch::default() }).map(drop)
    }

    /// Whether the open entries of a quality are its raw holes. While hours are still to be settled they count as right.
    pub fn is_ledger_right(&self, stream: &Stream) -> Result<bool, IndexError> {
        let Some(id) = self.stream_id(&stream.to_string()) else { return Ok(true) };
        self.read(|transaction, _| {
            if summaries::count_unsettled_of(transaction, id, 1)? > 0 {
                return Ok(true);
            }
            is_right(&summaries::table(transaction)?, all_open_of(transaction, id)?, id)
        })
    }
}
