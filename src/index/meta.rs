//! The table `meta`: what an index says of itself, by name.
//!
//! `format`, `epoch`, `seq` (the last change), `floor` (the last change that is not kept any more) and `next_stream` are numbers; `archive` is the id of
//! the archive; `records` how far its protective records have come, as a text; `away` when the disk was away.

use redb::{ReadTransaction, ReadableTable, Table, TableDefinition, TableError, WriteTransaction};

use super::IndexError;
use super::codec::RowReader;
use super::store::Index;
use crate::archive::Timestamp;
use crate::archive::coverage::Stretch;

pub(super) const META: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("meta");

/// Absences of the disk that are remembered.
const MOST_AWAY: usize = 256;

/// The table in a transaction that writes.
pub struct MetaTable<'t>(Table<'t, &'static str, &'static [u8]>);

impl<'t> MetaTable<'t> {
    /// Opens it, or makes it.
    pub fn open(transaction: &'t WriteTransaction) -> Result<Self, IndexError> {
        Ok(Self(transaction.open_table(META)?))
    }

    /// Whether there is a row of that name.
    pub fn has(&self, name: &str) -> Result<bool, IndexError> {
        Ok(self.0.get(name)?.is_some())
    }

    /// Writes a number.
    pub fn set_number(&mut self, name: &str, number: u64) -> Result<(), IndexError> {
        self.set(name, &number.to_le_bytes())
    }

    /// Writes which archive it belongs to.
    pub fn set_archive(&mut self, id: &[u8; 16]) -> Result<(), IndexError> {
        self.set("archive", id)
    }

    /// Writes how far the protective records have come.
    pub fn set_records(&mut self, records: &str) -> Result<(), IndexError> {
        self.set("records", records.as_bytes())
    }

    /// Remembers when the disk was away; the latest absences stay.
    pub fn add_away(&mut self, more: &[Stretch]) -> Result<(), IndexError> {
        let mut all = read_away(&self.0)?;
        all.extend_from_slice(more);
        let latest = all.get(all.len().saturating_sub(MOST_AWAY)..).unwrap_or_default();
        let bytes: Vec<u8> =
            latest.iter().flat_map(|away| [away.start, away.end]).flat_map(|at| at.us().to_le_bytes()).collect();
        self.set("away", &bytes)
    }

    fn set(&mut self, name: &str, value: &[u8]) -> Result<(), IndexError> {
        drop(self.0.insert(name, value)?);
        Ok(())
    }
}

/// Reads a number; none where there is none, or no table yet.
pub fn number(transaction: &ReadTransaction, name: &str) -> Result<Option<u64>, IndexError> {
    let table = match transaction.open_table(META) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let Some(value) = table.get(name)? else { return Ok(None) };
    let bytes =
        value.value().try_into().map_err(|_| IndexError::Damaged(format!("meta row {name} has another length")))?;
    Ok(Some(u64::from_le_bytes(bytes)))
}

/// Reads which archive it belongs to, where that is known.
pub(super) fn archive(transaction: &ReadTransaction) -> Result<Option<[u8; 16]>, IndexError> {
    let table = transaction.open_table(META)?;
    let Some(value) = table.get("archive")? else { return Ok(None) };
    let id = value.value().try_into();
    id.map(Some).map_err(|_| IndexError::Damaged("the archive's id has another length".into()))
}

fn read_away(table: &impl ReadableTable<&'static str, &'static [u8]>) -> Result<Vec<Stretch>, IndexError> {
    let Some(row) = table.get("away")? else { return Ok(Vec::new()) };
    let bytes = row.value();
    let mut reader = RowReader::new(bytes, "meta");
    let mut time = || Ok::<_, IndexError>(Timestamp::from_us(i64::from_le_bytes(reader.array()?)));
    (0..bytes.len() / 16).map(|_| Ok(Stretch { start: time()?, end: time()? })).collect()
}

impl Index {
    /// The archive's id, where it is known.
    pub fn archive(&self) -> Result<Option<[u8; 16]>, IndexError> {
        self.read(|transaction, _| archive(transaction))
    }

    /// How far the protective records of the archive have come, as it was given; empty if nobody has said.
    pub fn records(&self) -> Result<String, IndexError> {
        self.read(|transaction, _| {
            let table = transaction.open_table(META)?;
            let found = table.get("records")?.map(|value| String::from_utf8_lossy(value.value()).into_owned());
            Ok(found.unwrap_or_default())
        })
    }

    /// When the disk was away, oldest first: the latest few hundred absences.
    pub fn away(&self) -> Result<Vec<Stretch>, IndexError> {
        self.read(|transaction, _| read_away(&transaction.open_table(META)?))
    }

    /// Epoch and last sequence number of the change log.
    pub fn log_position(&self) -> Result<(u64, u64), IndexError> {
        self.read(|transaction, _| {
            let number = |name| number(transaction, name).map(Option::unwrap_or_default);
            Ok((number("epoch")?, number("seq")?))
        })
    }
}
