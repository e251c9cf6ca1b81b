//! The tables `coverage` and `unsettled`: the summary of each hour, which coverage, holes and maps of any window are made of, and the hours
//! whose summary is still to be made. Chat has none.

use redb::{
    CursorMut, ReadTransaction, ReadableTable, ReadableTableMetadata as _, Table, TableDefinition, WriteTransaction,
};

use super::IndexError;
use super::codec::{HourKey, RowReader, check, hour_key, read_hour_key};
use crate::archive::coverage::{Ends, HourSummary, Stretch, TimeTally};
use crate::archive::{Hour, Timestamp};

const COVERAGE: TableDefinition<'static, &HourKey, &[u8]> = TableDefinition::new("coverage.1");
const UNSETTLED: TableDefinition<'static, &HourKey, ()> = TableDefinition::new("unsettled.1");

const WHAT: &str = "coverage";

/// A summary as bytes; the check covers the key, so that a row cannot pass for another hour's.
fn encode(key: HourKey, summary: &HourSummary) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    for ends in [summary.before, summary.after] {
        bytes.push(u8::from(ends.is_some()));
        if let Some(Ends { covered, furthest, kept, kept_furthest, not_full }) = ends {
            for at in [covered, furthest, kept, kept_furthest, not_full] {
                time(&mut bytes, at);
            }
        }
    }
    for first in [summary.first, summary.first_covering] {
        bytes.push(u8::from(first.is_some()));
        if let Some(at) = first {
            time(&mut bytes, at);
        }
    }
    for tally in summary.video.iter().chain(&summary.overlaps) {
        bytes.extend(tally.count.to_le_bytes());
        bytes.extend(tally.us.to_le_bytes());
    }
    bytes.extend(summary.bad.to_le_bytes());
    summary.covered_us.iter().for_each(|us| bytes.extend(us.to_le_bytes()));
    for stretches in summary.holes.iter().chain([&summary.not_full]) {
        bytes.extend(u32::try_from(stretches.len()).unwrap_or(u32::MAX).to_le_bytes());
        for stretch in stretches {
            time(&mut bytes, stretch.start);
            time(&mut bytes, stretch.end);
        }
    }
    bytes.extend(check(&key, &bytes).to_le_bytes());
    bytes
}

/// The inverse of [`encode`]; any other bytes are damage.
pub(super) fn decode(key: HourKey, bytes: &[u8]) -> Result<HourSummary, IndexError> {
    let damaged = || IndexError::Damaged(format!("a row of {WHAT} cannot be read"));
    let (body, tail) = bytes.split_last_chunk::<8>().ok_or_else(damaged)?;
    if check(&key, body) != u64::from_le_bytes(*tail) {
        return Err(damaged());
    }
    let mut reader = RowReader::new(body, WHAT);
    let (before, after) = (read_ends(&mut reader)?, read_ends(&mut reader)?);
    let (first, first_covering) = (read_first(&mut reader)?, read_first(&mut reader)?);
    let mut tallies = [TimeTally::default(); 6];
    for tally in &mut tallies {
        *tally = TimeTally { count: reader.u64()?, us: reader.u64()? };
    }
    let [full, suspect, partial, full_over, suspect_over, partial_over] = tallies;
    let bad = reader.u64()?;
    let covered_us = [reader.u64()?, reader.u64()?];
    let holes = [read_stretches(&mut reader)?, read_stretches(&mut reader)?];
    let not_full = read_stretches(&mut reader)?;
    reader.end()?;
    Ok(HourSummary {
        before,
        after,
        first,
        first_covering,
        video: [full, suspect, partial],
        bad,
        overlaps: [full_over, suspect_over, partial_over],
        covered_us,
        holes,
        not_full,
    })
}

fn time(bytes: &mut Vec<u8>, at: Timestamp) {
    bytes.extend(at.us().to_le_bytes());
}

fn read_time(reader: &mut RowReader<'_>) -> Result<Timestamp, IndexError> {
    Ok(Timestamp::from_us(i64::from_le_bytes(reader.array()?)))
}

fn is_there(reader: &mut RowReader<'_>) -> Result<bool, IndexError> {
    let [flag] = reader.array()?;
    Ok(flag == 1)
}

fn read_first(reader: &mut RowReader<'_>) -> Result<Option<Timestamp>, IndexError> {
    if is_there(reader)? { read_time(reader).map(Some) } else { Ok(None) }
}

fn read_ends(reader: &mut RowReader<'_>) -> Result<Option<Ends>, IndexError> {
    if !is_there(reader)? {
        return Ok(None);
    }
    Ok(Some(Ends {
        covered: read_time(reader)?,
        furthest: read_time(reader)?,
        kept: read_time(reader)?,
        kept_furthest: read_time(reader)?,
        not_full: read_time(reader)?,
    }))
}

fn read_stretches(reader: &mut RowReader<'_>) -> Result<Vec<Stretch>, IndexError> {
    let count = reader.u32()?;
    // Not reserved: a number that is wrong ends with the bytes.
    (0..count).map(|_| Ok(Stretch { start: read_time(reader)?, end: read_time(reader)? })).collect()
}

/// A table of summaries.
pub(super) trait SummaryRows: ReadableTable<&'static HourKey, &'static [u8]> {}

impl<T: ReadableTable<&'static HourKey, &'static [u8]>> SummaryRows for T {}

/// Both tables in a transaction that writes.
pub(super) struct SummaryTables<'t> {
    coverage: Table<'t, &'static HourKey, &'static [u8]>,
    unsettled: Table<'t, &'static HourKey, ()>,
}

impl<'t> SummaryTables<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, IndexError> {
        Ok(Self { coverage: transaction.open_table(COVERAGE)?, unsettled: transaction.open_table(UNSETTLED)? })
    }

    /// Keeps the summary of an hour, and says what was kept before.
    pub(super) fn set(&mut self, key: HourKey, summary: &HourSummary) -> Result<Option<HourSummary>, IndexError> {
        let before = self.coverage.insert(&key, encode(key, summary).as_slice())?;
        before.map(|value| decode(key, value.value())).transpose()
    }

    /// The hour has gone; says what was kept.
    pub(super) fn remove(&mut self, key: HourKey) -> Result<Option<HourSummary>, IndexError> {
        self.coverage.remove(&key)?.map(|value| decode(key, value.value())).transpose()
    }

    /// The nearest summary of the stream on one side of an hour.
    pub(super) fn beside(
        &self,
        stream: u32,
        hour: Hour,
        side: HourEdge,
    ) -> Result<Option<(Hour, HourSummary)>, IndexError> {
        nearest(&self.coverage, stream, hour, side)
    }

    /// All summaries, for those who read many.
    pub(super) fn table(&self) -> &impl SummaryRows {
        &self.coverage
    }

    /// The first hour whose summary an earlier transaction has left to be made.
    pub(super) fn first_unsettled(&self) -> Result<Option<HourKey>, IndexError> {
        Ok(self.unsettled.first()?.map(|(key, _)| *key.value()))
    }

    /// Whether summaries of a stream are left to be made.
    pub(super) fn is_unsettled(&self, stream: u32) -> Result<bool, IndexError> {
        let (first, last) = (hour_key(stream, Hour::MIN), hour_key(stream, Hour::MAX));
        Ok(self.unsettled.range::<&HourKey>(&first..=&last)?.next().is_some())
    }

    /// Leaves the summary of an hour to a later transaction.
    pub(super) fn leave(&mut self, key: HourKey) -> Result<(), IndexError> {
        drop(self.unsettled.insert(&key, ())?);
        Ok(())
    }

    /// It is made now; says whether it was left.
    pub(super) fn take_up(&mut self, key: HourKey) -> Result<bool, IndexError> {
        Ok(self.unsettled.remove(&key)?.is_some())
    }

    /// To append summaries in the order of their keys, behind all that there are.
    pub(super) fn at_end(&mut self) -> Result<SummaryAppender<'_>, IndexError> {
        Ok(SummaryAppender(self.coverage.upper_bound_mut(std::ops::Bound::<&HourKey>::Unbounded)?))
    }
}

/// Appends summaries.
pub(super) struct SummaryAppender<'t>(CursorMut<'t, &'static HourKey, &'static [u8]>);

impl SummaryAppender<'_> {
    pub(super) fn append(&mut self, key: HourKey, summary: &HourSummary) -> Result<(), IndexError> {
        Ok(self.0.insert_before(&key, encode(key, summary).as_slice())?)
    }
}

/// All summaries.
pub(super) fn table(transaction: &ReadTransaction) -> Result<impl SummaryRows + use<>, IndexError> {
    Ok(transaction.open_table(COVERAGE)?)
}

/// The summaries of a stream from `first` to `last`, as they lie there.
pub(super) fn range(
    transaction: &ReadTransaction,
    stream: u32,
    first: Hour,
    last: Hour,
) -> Result<redb::Range<'static, &'static HourKey, &'static [u8]>, IndexError> {
    Ok(transaction.open_table(COVERAGE)?.range::<&HourKey>(&hour_key(stream, first)..=&hour_key(stream, last))?)
}

/// The summary of an hour.
pub(super) fn read(transaction: &ReadTransaction, key: HourKey) -> Result<Option<HourSummary>, IndexError> {
    transaction.open_table(COVERAGE)?.get(&key)?.map(|value| decode(key, value.value())).transpose()
}

/// How many hours' summaries are still to be made.
pub(super) fn count_unsettled(transaction: &ReadTransaction) -> Result<u64, IndexError> {
    Ok(transaction.open_table(UNSETTLED)?.len()?)
}

/// How many of a stream; more than so many are not counted.
pub(super) fn count_unsettled_of(transaction: &ReadTransaction, stream: u32, most: usize) -> Result<u64, IndexError> {
    let (first, last) = (hour_key(stream, Hour::MIN), hour_key(stream, Hour::MAX));
    Ok(transaction.open_table(UNSETTLED)?.range::<&HourKey>(&first..=&last)?.take(most).count() as u64)
}

/// Whether the summary of an hour is still to be made.
pub(super) fn is_unsettled(transaction: &ReadTransaction, key: HourKey) -> Result<bool, IndexError> {
    Ok(transaction.open_table(UNSETTLED)?.get(&key)?.is_some())
}

/// On which side of an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HourEdge {
    Before,
    After,
}

/// The summary nearest to an hour on one side of it, of the same stream.
pub(super) fn nearest(
    table: &impl SummaryRows,
    stream: u32,
    hour: Hour,
    side: HourEdge,
) -> Result<Option<(Hour, HourSummary)>, IndexError> {
    let key = hour_key(stream, hour);
    let (first, last) = (hour_key(stream, Hour::MIN), hour_key(stream, Hour::MAX));
    let row = match side {
        HourEdge::Before => table.range::<&HourKey>(&first..&key)?.next_back(),
        HourEdge::After => {
            let beyond = (std::ops::Bound::Excluded(&key), std::ops::Bound::Included(&last));
            table.range::<&HourKey>(beyond)?.next()
        }
    };
    let Some(row) = row.transpose()? else { return Ok(None) };
    let found = *row.0.value();
    Ok(Some((read_hour_key(found)?.1, decode(found, row.1.value())?)))
}
