//! The table `streams`: `CHANNEL/QUALITY` with its number, and how many hours it has with the sum over their keys.

use redb::{ReadTransaction, ReadableTable as _, Table, TableDefinition, WriteTransaction};
use xxhash_rust::xxh3::xxh3_64;

use super::IndexError;
use super::codec::{HourKey, RowReader, check, damaged};

pub(super) const STREAMS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("streams.1");

/// What is kept about a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamRow {
    /// Its number in the keys of hours and files.
    pub id: u32,
    /// How many hours it has.
    pub hours: u32,
    /// The sum over their keys, modulo 2⁶⁴.
    pub sum: u64,
}

impl StreamRow {
    /// As bytes.
    pub fn encode(self, name: &str) -> Vec<u8> {
        let mut bytes = [self.id.to_le_bytes().as_slice(), &self.hours.to_le_bytes(), &self.sum.to_le_bytes()].concat();
        let check = check(name.as_bytes(), &bytes);
        bytes.extend(check.to_le_bytes());
        bytes
    }

    /// The inverse of [`StreamRow::encode`].
    pub fn decode(name: &str, bytes: &[u8]) -> Result<Self, IndexError> {
        let mut reader = RowReader::new(bytes, "streams");
        let row = Self { id: reader.u32()?, hours: reader.u32()?, sum: reader.u64()? };
        let written = reader.u64()?;
        reader.end()?;
        if check(name.as_bytes(), &row.encode(name)[..16]) == written { Ok(row) } else { Err(damaged("streams")) }
    }

    /// One hour more.
    pub fn add_hour(&mut self, key: HourKey) {
        self.hours = self.hours.wrapping_add(1);
        self.sum = self.sum.wrapping_add(xxh3_64(&key));
    }

    /// One hour less.
    pub fn remove_hour(&mut self, key: HourKey) {
        self.hours = self.hours.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(xxh3_64(&key));
    }
}

/// The table in a transaction that writes.
pub(super) struct StreamTable<'t>(Table<'t, &'static str, &'static [u8]>);

impl<'t> StreamTable<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, IndexError> {
        Ok(Self(transaction.open_table(STREAMS)?))
    }

    pub(super) fn set(&mut self, name: &str, row: StreamRow) -> Result<(), IndexError> {
        drop(self.0.insert(name, row.encode(name).as_slice())?);
        Ok(())
    }
}

/// Reads every stream, until the reader has an error: rows that lead in a circle would have no end.
pub(super) fn each(
    transaction: &ReadTransaction,
    mut read: impl FnMut(&str, StreamRow) -> Result<(), IndexError>,
) -> Result<(), IndexError> {
    for row in transaction.open_table(STREAMS)?.iter()? {
        let (key, value) = row?;
        read(key.value(), StreamRow::decode(key.value(), value.value())?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(StreamRow::decode("a/b", &bytes).is_err());
        }
    }
}
