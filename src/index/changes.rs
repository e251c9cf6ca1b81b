//! The table `changes`: the change log, by the numbers of the changes.

use std::collections::HashMap;

use redb::{ReadTransaction, ReadableTableMetadata as _, Table, TableDefinition, WriteTransaction};

use super::codec::{RowReader, hour_key, read_hour_key};
use super::files::{file_value, read_exact, read_file_value, read_segment_key, segment_key};
use super::store::Index;
use super::{IndexError, meta};
use crate::archive::{AnyFile, Hour, OddFile, SegmentFile};

const CHANGES: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("changes.1");

/// What streams are called, by their numbers.
type Names = HashMap<u32, String>;

/// A row of the change log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeRow {
    /// Its number.
    pub seq: u64,
    /// `CHANNEL/QUALITY`; `None` if that has gone since.
    pub stream: Option<String>,
    /// The hour.
    pub hour: Hour,
    /// Whether the file appeared (or changed its size) rather than went.
    pub put: bool,
    /// The file.
    pub file: AnyFile,
}

/// The table in a transaction that writes.
pub(super) struct ChangeTable<'t>(Table<'t, u64, &'static [u8]>);

impl<'t> ChangeTable<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, IndexError> {
        Ok(Self(transaction.open_table(CHANGES)?))
    }

    /// Notes that a file appeared or went.
    pub(super) fn add(
        &mut self,
        seq: u64,
        (stream, hour): (u32, Hour),
        put: bool,
        file: &AnyFile,
    ) -> Result<(), IndexError> {
        drop(self.0.insert(seq, encode(stream, hour, put, file).as_slice())?);
        Ok(())
    }

    /// Forgets the oldest down to so many, and says which was the last of them.
    pub(super) fn keep(&mut self, most: u64) -> Result<Option<u64>, IndexError> {
        let mut forgotten = None;
        while self.0.len()? > most {
            let Some(oldest) = self.0.pop_first()?.map(|(key, _)| key.value()) else { break };
            forgotten = Some(oldest);
        }
        Ok(forgotten)
    }
}

/// Reads changes after `seq` up to `last`, one after the other, until the reader has enough.
pub(super) fn each_after(
    transaction: &ReadTransaction,
    names: &Names,
    (seq, last): (u64, u64),
    mut read_on: impl FnMut(ChangeRow) -> bool,
) -> Result<(), IndexError> {
    let mut expected = seq;
    for row in transaction.open_table(CHANGES)?.range(seq.saturating_add(1)..=last)? {
        let (key, value) = row?;
        expected = expected.saturating_add(1);
        if key.value() != expected {
            return Err(IndexError::Damaged(format!("change {expected} is missing")));
        }
        if !read_on(read(key.value(), value.value(), names)?) {
            break;
        }
    }
    Ok(())
}

impl Index {
    /// Up to `limit` changes after `seq`, oldest first; `None` if some of them are not kept any more.
    pub fn changes_after(&self, seq: u64, limit: usize) -> Result<Option<Vec<ChangeRow>>, IndexError> {
        self.read(|transaction, _| {
            if seq < meta::number(transaction, "floor")?.unwrap_or(0) {
                return Ok(None);
            }
            let names: Names =
                self.catalog().read().streams.iter().map(|(name, entry)| (entry.row.id, name.clone())).collect();
            let mut changes = Vec::new();
            if limit > 0 {
                each_after(transaction, &names, (seq, u64::MAX), |change| {
                    changes.push(change);
                    changes.len() < limit
                })?;
            }
            Ok(Some(changes))
        })
    }
}

/// A row of the change log as bytes.
fn encode(stream: u32, hour: Hour, put: bool, file: &AnyFile) -> Vec<u8> {
    let mut bytes = hour_key(stream, hour).to_vec();
    bytes.extend(file_value(file.size()));
    match file {
        AnyFile::Segment(SegmentFile { key, exact: None, .. }) => {
            bytes.push(u8::from(put));
            bytes.extend(segment_key(key));
        }
        AnyFile::Segment(SegmentFile { exact: Some(name), .. }) | AnyFile::Odd(OddFile { name, .. }) => {
            bytes.push(2 | u8::from(put));
            bytes.extend(name.as_bytes());
        }
    }
    bytes
}

fn read(seq: u64, bytes: &[u8], names: &Names) -> Result<ChangeRow, IndexError> {
    let mut reader = RowReader::new(bytes, "changes");
    let (stream, hour) = read_hour_key(reader.array()?)?;
    let value = reader.array()?;
    let [tag] = reader.array()?;
    let file = if tag & 2 == 0 {
        let key = read_segment_key(reader.rest())?;
        AnyFile::Segment(SegmentFile { key, size: read_file_value(value), exact: None })
    } else {
        read_exact(reader.rest(), value)?
    };
    Ok(ChangeRow { seq, stream: names.get(&stream).cloned(), hour, put: tag & 1 == 1, file })
}
