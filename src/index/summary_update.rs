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
use super::codec::{HourKey, hour_key, read_hour_key};
use super::summaries::HourEdge;
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
            let Some(key) = next.map_or_else(|| self.summaries.first_unsettled(), |key| Ok(Some(key)))? else { break };
            let was_left = self.summaries.take_up(key)?;
            rows += self.settle_hour(key, was_left)?;
            made += 1;
        }
        for key in std::mem::take(&mut self.unsettled_now) {
            self.summaries.leave(key)?;
        }
        self.turn_ledger()?;
        Ok(self.summaries.first_unsettled()?.is_some())
    }

    /// Says how many rows the hour has.
    fn settle_hour(&mut self, key: HourKey, was_left: bool) -> Result<u64, IndexError> {
        let (stream, hour) = read_hour_key(key)?;
        if self.is_chat(stream) {
            return Ok(0);
        }
        self.begin_turning(stream, was_left)?;
        let before = self.summaries.beside(stream, hour, HourEdge::Before)?;
        let before_ends = before.and_then(|(_, summary)| summary.after);
        let row = self.hours.get(key)?;
        let after = if let Some(row) = row {
            let line = self.lines.line(&self.files, key, &row)?;
            let summary = HourSummary::of(before_ends, hour, line);
            let old = self.summaries.set(key, &summary)?;
            self.note_holes(stream, old.as_ref(), Some(&summary));
            summary.after
        } else {
            let old = self.summaries.remove(key)?;
            self.note_holes(stream, old.as_ref(), None);
            before_ends
        };
        if let Some((later, summary)) = self.summaries.beside(stream, hour, HourEdge::After)?
            && summary.before != after
        {
            self.unsettled_now.insert(hour_key(stream, later));
        }
        Ok(row.map_or(0, |row| u64::from(row.rows)))
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
