//! The tables `holes`, `closed_holes` and `closed_order`: what is missing, by stream, start and end; what was missing, by stream, start and
//! closing; and the same by closing, so that the oldest are forgotten first. Whatever writes here writes the last two together.

use std::collections::BTreeSet;

use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata as _, Table, TableDefinition, WriteTransaction};

use super::super::IndexError;
use super::rows::{HoleKey, by_time, decode_closed, decode_open, encode_closed, encode_open, key, read_by_time};
use super::turn::{HoleChanges, HoleReasonChange};
use crate::archive::coverage::Stretch;
use crate::archive::hole_reasons::{ClosedHoleReason, HoleKnowledge, OpenHole};
use crate::archive::{Span, Timestamp};

pub(in crate::index) const OPEN_HOLES: TableDefinition<'static, &HoleKey, &[u8]> = TableDefinition::new("holes.1");
pub(super) const CLOSED_HOLES: TableDefinition<'static, &HoleKey, &[u8]> = TableDefinition::new("closed_holes.1");
const CLOSED_ORDER: TableDefinition<'static, &HoleKey, ()> = TableDefinition::new("closed_order.1");

/// Parts of a hole that close one after the other within this time from the same giver are one entry.
const ONE_ENTRY: Span = Span::from_us(3_600_000_000);
/// Closed entries that are forgotten in one transaction: a few milliseconds.
const FORGOTTEN: usize = 1_000;

/// The tables in a transaction that writes.
pub(in crate::index) struct HoleTables<'t> {
    open: Table<'t, &'static HoleKey, &'static [u8]>,
    closed: Table<'t, &'static HoleKey, &'static [u8]>,
    order: Table<'t, &'static HoleKey, ()>,
}

impl<'t> HoleTables<'t> {
    pub(in crate::index) fn open(transaction: &'t WriteTransaction) -> Result<Self, IndexError> {
        Ok(Self {
            open: transaction.open_table(OPEN_HOLES)?,
            closed: transaction.open_table(CLOSED_HOLES)?,
            order: transaction.open_table(CLOSED_ORDER)?,
        })
    }

    /// All open entries of a quality.
    pub(super) fn open_of(&self, stream: u32) -> Result<Vec<OpenHole>, IndexError> {
        open_of(&self.open, stream)
    }

    /// Removes an open entry, and gives it.
    pub(super) fn remove_open(&mut self, stream: u32, hole: Stretch) -> Result<Option<OpenHole>, IndexError> {
        let at = key(stream, hole.start, hole.end);
        let Some(row) = self.open.remove(&at)? else { return Ok(None) };
        Ok(Some(decode_open(&at, row.value())?.1))
    }

    /// Writes an open entry.
    pub(super) fn set_open(&mut self, stream: u32, entry: &OpenHole) -> Result<(), IndexError> {
        let at = key(stream, entry.hole.start, entry.hole.end);
        drop(self.open.insert(&at, encode_open(&at, entry).as_slice())?);
        Ok(())
    }

    fn set_closed(&mut self, stream: u32, entry: &ClosedHoleReason) -> Result<(), IndexError> {
        let at = key(stream, entry.hole.start, entry.closed);
        self.closed.insert(&at, encode_closed(&at, entry).as_slice())?;
        self.order.insert(&by_time(entry.closed, stream, entry.hole.start), ())?;
        Ok(())
    }

    /// Remembers what closed, together with what closed right beside it just before.
    pub(super) fn close(&mut self, stream: u32, mut closed: ClosedHoleReason) -> Result<(), IndexError> {
        let (first, last) = (
            key(stream, Timestamp::from_us(i64::MIN), Timestamp::from_us(i64::MIN)),
            key(stream, Timestamp::from_us(i64::MAX), Timestamp::from_us(i64::MAX)),
        );
        let here = key(stream, closed.hole.start, Timestamp::from_us(i64::MIN));
        let behind = key(stream, closed.hole.end, Timestamp::from_us(i64::MIN));
        let before = self.closed.range::<&HoleKey>(&first..&here)?.next_back().transpose()?;
        let after = self.closed.range::<&HoleKey>(&behind..=&last)?.next().transpose()?;
        let mut beside = Vec::new();
        for row in [before, after].into_iter().flatten() {
            beside.push((*row.0.value(), decode_closed(row.0.value(), row.1.value())?));
        }
        for (at, other) in beside {
            let is_one = other.first_seen == closed.first_seen
                && other.by == closed.by
                && (other.hole.end == closed.hole.start || other.hole.start == closed.hole.end)
                && closed.closed - other.closed <= ONE_ENTRY;
            if is_one {
                closed.hole.start = closed.hole.start.min(other.hole.start);
                closed.hole.end = closed.hole.end.max(other.hole.end);
                self.closed.remove(&at)?;
                self.order.remove(&by_time(other.closed, stream, other.hole.start))?;
            }
        }
        self.set_closed(stream, &closed)
    }

    /// Forgets the oldest closed entries: those that are too old, and those that are too many.
    pub(super) fn forget_closed(&mut self, (how_long, most): (Span, u64), now: Timestamp) -> Result<(), IndexError> {
        for _ in 0..FORGOTTEN {
            let Some(oldest) = self.order.first()?.map(|(at, _)| *at.value()) else { return Ok(()) };
            let (closed, stream, start) = read_by_time(&oldest)?;
            if closed + how_long >= now && self.order.len()? <= most {
                return Ok(());
            }
            self.order.remove(&oldest)?;
            self.closed.remove(&key(stream, start, closed))?;
        }
        Ok(())
    }

    /// Takes over why a hole is open, if it is still the same.
    pub(in crate::index) fn remember_why(
        &mut self,
        at: &HoleKey,
        grown: Timestamp,
        known: &HoleKnowledge,
    ) -> Result<(), IndexError> {
        let Some(row) = self.open.get(at)?.map(|row| decode_open(at, row.value())).transpose()? else {
            return Ok(());
        };
        if row.1.grown == grown {
            let entry = OpenHole { known: Some(known.clone()), ..row.1 };
            self.open.insert(at, encode_open(at, &entry).as_slice())?;
        }
        Ok(())
    }

    /// Begins the ledger of a quality that is loaded as a whole: what was known of the same holes before goes on.
    pub(in crate::index) fn begin(
        &mut self,
        stream: u32,
        holes: Vec<Stretch>,
        before: &[OpenHole],
        now: Timestamp,
    ) -> Result<(), IndexError> {
        let mut difference = HoleChanges::default();
        difference.add(before.iter().map(|entry| entry.hole), holes);
        let ends: BTreeSet<Stretch> = difference.gone().collect();
        let (gone, kept): (Vec<OpenHole>, Vec<OpenHole>) =
            before.iter().cloned().partition(|entry| ends.contains(&entry.hole));
        for entry in HoleReasonChange::of(&gone, &difference, Vec::new(), now).open.into_iter().chain(kept) {
            self.set_open(stream, &entry)?;
        }
        Ok(())
    }

    /// Takes over closed entries of a quality that is loaded as a whole.
    pub(in crate::index) fn put_closed(&mut self, stream: u32, closed: &[ClosedHoleReason]) -> Result<(), IndexError> {
        for entry in closed {
            self.set_closed(stream, entry)?;
        }
        Ok(())
    }
}

/// All open entries of a quality.
fn open_of(
    table: &impl ReadableTable<&'static HoleKey, &'static [u8]>,
    stream: u32,
) -> Result<Vec<OpenHole>, IndexError> {
    let ends = |us| key(stream, Timestamp::from_us(us), Timestamp::from_us(us));
    let mut found = Vec::new();
    for row in table.range::<&HoleKey>(&ends(i64::MIN)..=&ends(i64::MAX))? {
        let (at, value) = row?;
        found.push(decode_open(at.value(), value.value())?.1);
    }
    Ok(found)
}

/// All open entries of a quality.
pub(super) fn all_open_of(transaction: &ReadTransaction, stream: u32) -> Result<Vec<OpenHole>, IndexError> {
    open_of(&transaction.open_table(OPEN_HOLES)?, stream)
}
