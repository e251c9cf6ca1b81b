//! The table `hours`: each hour of a stream with its totals, its stamp and version, and the sum over its rows.

use redb::{
    CursorMut, ReadTransaction, ReadableTable, ReadableTableMetadata as _, Table, TableDefinition, TableError,
    WriteTransaction,
};

use super::IndexError;
use super::codec::{HourKey, RowReader, check, damaged, encode_stamp, hour_key, read_hour_key, read_stamp};
use super::store::Index;
use crate::archive::totals::{Digest, FileTally, HourTotals};
use crate::archive::{Hour, Stamp};

const HOURS: TableDefinition<'static, &HourKey, &[u8]> = TableDefinition::new("hours.2");

/// What is kept about an hour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HourRow {
    /// Counts, bytes, durations, digest.
    pub totals: HourTotals,
    /// The directory as it was when it was last read, if that can be trusted.
    pub stamp: Option<Stamp>,
    /// The sequence number of the last change to the hour's files.
    pub changed: u64,
    /// How many rows the hour has.
    pub rows: u32,
    /// The sum over them, modulo 2⁶⁴.
    pub sum: u64,
}

const HOUR_ROW: usize = 12 * 7 + 8 * 3 + 4 + 32 + 25 + 8 + 4 + 8;

impl HourRow {
    /// As bytes; the check covers the key, so that a row cannot pass for another hour's.
    pub fn encode(&self, key: HourKey) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HOUR_ROW + 8);
        let totals = &self.totals;
        for tally in totals.video.iter().chain([&totals.chat, &totals.bad, &totals.other, &totals.hidden]) {
            bytes.extend(tally.files.to_le_bytes());
            bytes.extend(tally.bytes.to_le_bytes());
        }
        totals.video_us.iter().for_each(|us| bytes.extend(us.to_le_bytes()));
        bytes.extend(totals.tombstones.to_le_bytes());
        totals.digest.0.iter().for_each(|lane| bytes.extend(lane.to_le_bytes()));
        bytes.extend(encode_stamp(self.stamp));
        bytes.extend(self.changed.to_le_bytes());
        bytes.extend(self.rows.to_le_bytes());
        bytes.extend(self.sum.to_le_bytes());
        let check = check(&key, &bytes);
        bytes.extend(check.to_le_bytes());
        bytes
    }

    /// The inverse of [`HourRow::encode`]; any other bytes are damage.
    pub fn decode(key: HourKey, bytes: &[u8]) -> Result<Self, IndexError> {
        let (body, tail) = bytes.split_last_chunk::<8>().ok_or_else(|| damaged("hours"))?;
        if check(&key, body) != u64::from_le_bytes(*tail) {
            return Err(damaged("hours"));
        }
        let mut reader = RowReader::new(body, "hours");
        let mut tallies = [FileTally::default(); 7];
        for tally in &mut tallies {
            *tally = FileTally { files: reader.u32()?, bytes: reader.u64()? };
        }
        let video_us = [reader.u64()?, reader.u64()?, reader.u64()?];
        let tombstones = reader.u32()?;
        let digest = Digest([reader.u64()?, reader.u64()?, reader.u64()?, reader.u64()?]);
        let [a, b, c, chat, bad, other, hidden] = tallies;
        let totals = HourTotals { video: [a, b, c], video_us, chat, bad, other, hidden, tombstones, digest };
        let stamp = read_stamp(&mut reader)?;
        let row = Self { totals, stamp, changed: reader.u64()?, rows: reader.u32()?, sum: reader.u64()? };
        reader.end()?;
        Ok(row)
    }
}

/// The table in a transaction that writes.
pub(super) struct HourTable<'t>(Table<'t, &'static HourKey, &'static [u8]>);

impl<'t> HourTable<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, IndexError> {
        Ok(Self(transaction.open_table(HOURS)?))
    }

    pub(super) fn get(&self, key: HourKey) -> Result<Option<HourRow>, IndexError> {
        get(&self.0, key)
    }

    pub(super) fn set(&mut self, key: HourKey, row: &HourRow) -> Result<(), IndexError> {
        drop(self.0.insert(&key, row.encode(key).as_slice())?);
        Ok(())
    }

    /// Removes an hour, and says what was kept about it.
    pub(super) fn remove(&mut self, key: HourKey) -> Result<Option<HourRow>, IndexError> {
        self.0.remove(&key)?.map(|value| HourRow::decode(key, value.value())).transpose()
    }

    /// The hours of a stream from `first` to `last`, oldest first.
    pub(super) fn of_stream(&self, stream: u32, first: Hour, last: Hour) -> Result<Vec<(Hour, HourRow)>, IndexError> {
        range(&self.0, stream, first, last)
    }

    /// To append hours in the order of their keys, behind all that there are.
    pub(super) fn at_end(&mut self) -> Result<HourAppender<'_>, IndexError> {
        Ok(HourAppender(self.0.upper_bound_mut(std::ops::Bound::<&HourKey>::Unbounded)?))
    }
}

/// Appends hours.
pub(super) struct HourAppender<'t>(CursorMut<'t, &'static HourKey, &'static [u8]>);

impl HourAppender<'_> {
    pub(super) fn append(&mut self, key: HourKey, row: &HourRow) -> Result<(), IndexError> {
        Ok(self.0.insert_before(&key, row.encode(key).as_slice())?)
    }
}

type Rows = Vec<(Hour, HourRow)>;

fn get(
    table: &impl ReadableTable<&'static HourKey, &'static [u8]>,
    key: HourKey,
) -> Result<Option<HourRow>, IndexError> {
    table.get(&key)?.map(|value| HourRow::decode(key, value.value())).transpose()
}

fn range(
    table: &impl ReadableTable<&'static HourKey, &'static [u8]>,
    stream: u32,
    first: Hour,
    last: Hour,
) -> Result<Rows, IndexError> {
    if first > last {
        return Ok(Vec::new());
    }
    let mut rows = Vec::new();
    for row in table.range::<&HourKey>(&hour_key(stream, first)..=&hour_key(stream, last))? {
        let (key, value) = row?;
        rows.push((read_hour_key(*key.value())?.1, HourRow::decode(*key.value(), value.value())?));
    }
    Ok(rows)
}

/// What is kept about an hour.
pub(super) fn read(transaction: &ReadTransaction, key: HourKey) -> Result<Option<HourRow>, IndexError> {
    get(&transaction.open_table(HOURS)?, key)
}

/// The hours of a stream from `first` to `last`, oldest first.
pub(super) fn of_stream(
    transaction: &ReadTransaction,
    stream: u32,
    first: Hour,
    last: Hour,
) -> Result<Rows, IndexError> {
    range(&transaction.open_table(HOURS)?, stream, first, last)
}

/// The same as they lie there.
pub(super) fn rows(
    transaction: &ReadTransaction,
    stream: u32,
    first: Hour,
    last: Hour,
) -> Result<redb::Range<'static, &'static HourKey, &'static [u8]>, IndexError> {
    Ok(transaction.open_table(HOURS)?.range::<&HourKey>(&hour_key(stream, first)..=&hour_key(stream, last))?)
}

/// Reads every hour, until the reader has an error: rows that lead in a circle would have no end.
pub(super) fn each(
    transaction: &ReadTransaction,
    mut read: impl FnMut(HourKey, &dyn Fn() -> Result<HourRow, IndexError>) -> Result<(), IndexError>,
) -> Result<(), IndexError> {
    for row in transaction.open_table(HOURS)?.iter()? {
        let (key, value) = row?;
        let key = *key.value();
        read(key, &|| HourRow::decode(key, value.value()))?;
    }
    Ok(())
}

/// Whether there is no hour; nothing of an index of an earlier format, which has another table.
pub(super) fn is_empty(transaction: &ReadTransaction) -> Result<Option<bool>, IndexError> {
    match transaction.open_table(HOURS) {
        Ok(hours) => Ok(Some(hours.is_empty()?)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl Index {
    /// What is kept about an hour, without its files.
    pub fn hour_row(&self, stream: &str, hour: Hour) -> Result<Option<HourRow>, IndexError> {
        self.read(|transaction, _| match self.stream_id(stream) {
            Some(id) => read(transaction, hour_key(id, hour)),
            None => Ok(None),
        })
    }

    /// What is kept about every hour of a stream from `first` to `last`, oldest first.
    pub fn hour_rows(&self, stream: &str, first: Hour, last: Hour) -> Result<Vec<(Hour, HourRow)>, IndexError> {
        self.read(|transaction, _| match self.stream_id(stream) {
            Some(id) => of_stream(transaction, id, first, last),
            None => Ok(Vec::new()),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(HourRow::decode(hour_key(1, Hour::MIN), &bytes).is_err());
        }

        #[test]
        fn one_flipped_bit_in_an_hour_row_is_noticed(bit in 0..(HOUR_ROW + 8) * 8, changed: u64, rows: u32) {
            let key = hour_key(1, Hour::MIN);
            let row = HourRow { changed, rows, stamp: Some(Stamp { ino: 1, mtime_ns: -2, ctime_ns: 3 }), ..HourRow::default() };
            let mut bytes = row.encode(key);
            prop_assert_eq!(bytes.len(), HOUR_ROW + 8);
            prop_assert_eq!(HourRow::decode(key, &bytes).unwrap(), row);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(HourRow::decode(key, &bytes).is_err());
        }
    }
}
