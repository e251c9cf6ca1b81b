//! The table `directories`: each directory above the hours (empty for the base, `CHANNEL`, `CHANNEL/QUALITY`) with its stamp.

use redb::{ReadableTable as _, Table, TableDefinition, WriteTransaction};

use super::IndexError;
use super::codec::{RowReader, encode_stamp, read_stamp};
use super::store::Index;
use crate::archive::Stamp;

const DIRECTORIES: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("directories.1");

/// The table in a transaction that writes.
pub(super) struct DirectoryTable<'t>(Table<'t, &'static str, &'static [u8]>);

impl<'t> DirectoryTable<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, IndexError> {
        Ok(Self(transaction.open_table(DIRECTORIES)?))
    }

    /// Remembers a directory's stamp; without one, nothing.
    pub(super) fn set(&mut self, path: &str, stamp: Option<Stamp>) -> Result<(), IndexError> {
        match stamp {
            Some(_) => drop(self.0.insert(path, encode_stamp(stamp).as_slice())?),
            None => drop(self.0.remove(path)?),
        }
        Ok(())
    }
}

impl Index {
    /// The trusted stamp of a directory above the hours (empty for the base).
    pub fn directory_stamp(&self, path: &str) -> Result<Option<Stamp>, IndexError> {
        self.read(|transaction, _| {
            let table = transaction.open_table(DIRECTORIES)?;
            let Some(value) = table.get(path)? else { return Ok(None) };
            let mut reader = RowReader::new(value.value(), "directories");
            let stamp = read_stamp(&mut reader)?;
            reader.end()?;
            Ok(stamp)
        })
    }

    /// Directories above the hours that are remembered, with their stamps.
    pub fn directories(&self) -> Result<Vec<(String, Option<Stamp>)>, IndexError> {
        self.read(|transaction, _| {
            let table = transaction.open_table(DIRECTORIES)?;
            let mut found = Vec::new();
            for row in table.iter()? {
                let (key, value) = row?;
                found.push((key.value().to_owned(), read_stamp(&mut RowReader::new(value.value(), "directories"))?));
            }
            Ok(found)
        })
    }
}
