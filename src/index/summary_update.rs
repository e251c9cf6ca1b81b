//! Keeps the summaries of hours in step with their files, in the same transaction.
//!
//! 1. An hour whose files changed is *unsettled*: its summary is made anew from its rows ([`recent_best`](super::recent_best) keeps those of the hours that changed last), after what the hour before it leaves.
//! 2. Where it leaves something else than before, the hour after it is unsettled in its turn. That ends after one hour as a rule, because a
//!    segment that follows a hole, or simply the one before it, does not depend on anything earlier.
//! 3. Where it does not end, no more than [`AT_ONCE`] hours are made in one transaction; the rest is remembered in the index and made
//!    in the next ones. Until then questions about that quality wait.

use std::collections::BTreeMap;

use super::IndexError;
use super::apply::Session;
use super::codec::{HourRow, hour_key, read_hour_key};
use super::summaries;
use super::tables::HourKey;
use crate::archive::Hour;
use crate::archive::coverage::HourSummary;

/// Hours whose summaries are made in one transaction: a tenth of a second of work.
pub(super) const AT_ONCE: usize = 256;
/// The same in rows, where hours hold very many files.
const ROWS_AT_ONCE: u64 = 500_000;

impl Session<'_> {
    /// The files of an hour changed, or it has gone.
    pub(super) fn unsettle(&mut self, key: HourKey) {
        self.unsettled_now.insert(key);
    }

    /// Settles what this transaction has unsettled, and what is left of earlier ones. Says whether something is left.
    pub(super) fn settle(&mut self) -> Result<bool, IndexError> {
        let (mut made, mut rows) = (0, 0);
        while made < AT_ONCE && rows < ROWS_AT_ONCE {
            let next = self.unsettled_now.pop_first();
            let Some(key) = next.map_or_else(|| self.left(), |key| Ok(Some(key)))? else { break };
            let was_left = self.unsettled.remove(&key)?.is_some();
            rows += self.settle_hour(key, was_left)?;
            made += 1;
        }
        for key in std::mem::take(&mut self.unsettled_now) {
            self.unsettled.insert(&key, ())?;
        }
        self.turn_ledger()?;
        Ok(self.left()?.is_some())
    }

    /// The first that an earlier transaction has left.
    fn left(&self) -> Result<Option<HourKey>, IndexError> {
        use redb::ReadableTable as _;
        Ok(self.unsettled.first()?.map(|(key, _)| *key.value()))
    }

    /// Says how many rows the hour has.
    fn settle_hour(&mut self, key: HourKey, was_left: bool) -> Result<u64, IndexError> {
        let (stream, hour) = read_hour_key(key)?;
        if self.is_chat(stream) {
            return Ok(0);
        }
        self.begin_turning(stream, was_left)?;
        let decode = |value: redb::AccessGuard<'_, &'static [u8]>| summaries::decode(key, value.value());
        let before = self.summary_beside(stream, hour, HourEdge::Before)?;
        let before_ends = before.and_then(|(_, summary)| summary.after);
        let row = self.hour_row(key)?;
        let after = if let Some(row) = row {
            let line = self.lines.line(&self.files, &self.odd, key, &row)?;
            let summary = HourSummary::of(before_ends, hour, line);
            let old =
                self.coverage.insert(&key, summaries::encode(key, &summary).as_slice())?.map(decode).transpose()?;
            self.note_holes(stream, old.as_ref(), Some(&summary));
            summary.after
        } else {
            let old = self.coverage.remove(&key)?.map(decode).transpose()?;
            self.note_holes(stream, old.as_ref(), None);
            before_ends
        };
        if let Some((later, summary)) = self.summary_beside(stream, hour, HourEdge::After)?
            && summary.before != after
        {
            self.unsettled_now.insert(hour_key(stream, later));
        }
        Ok(row.map_or(0, |row| u64::from(row.rows)))
    }

    fn hour_row(&self, key: HourKey) -> Result<Option<HourRow>, IndexError> {
        use redb::ReadableTable as _;
        let Some(value) = self.hours.get(&key)? else { return Ok(None) };
        HourRow::decode(key, value.value()).map(Some)
    }

    /// The nearest summary of the stream on one side of an hour.
    fn summary_beside(
        &self,
        stream: u32,
        hour: Hour,
        side: HourEdge,
    ) -> Result<Option<(Hour, HourSummary)>, IndexError> {
        nearest(&self.coverage, stream, hour, side)
    }

    fn is_chat(&mut self, stream: u32) -> bool {
        if let Some(is_chat) = self.chat.get(&stream) {
            return *is_chat;
        }
        let state = self.catalog.read();
        let found: BTreeMap<u32, bool> =
            state.streams.values().map(|entry| (entry.row.id, entry.stream.quality.is_chat())).collect();
        drop(state);
        self.chat.extend(found);
        *self.chat.entry(stream).or_insert(false)
    }
}

/// On which side of an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HourEdge {
    Before,
    After,
}

/// The summary nearest to an hour on one side of it, of the same stream.
pub(super) fn nearest(
    table: &impl redb::ReadableTable<&'static [u8; 8], &'static [u8]>,
    stream: u32,
    hour: Hour,
    side: HourEdge,
) -> Result<Option<(Hour, HourSummary)>, IndexError> {
    let key = hour_key(stream, hour);
    let (first, last) = (hour_key(stream, Hour::MIN), hour_key(stream, Hour::MAX));
    let row = match side {
        HourEdge::Before => table.range::<&[u8; 8]>(&first..&key)?.next_back(),
        HourEdge::After => {
            let beyond = (std::ops::Bound::Excluded(&key), std::ops::Bound::Included(&last));
            table.range::<&[u8; 8]>(beyond)?.next()
        }
    };
    let Some(row) = row.transpose()? else { return Ok(None) };
    let found = *row.0.value();
    Ok(Some((read_hour_key(found)?.1, summaries::decode(found, row.1.value())?)))
}
