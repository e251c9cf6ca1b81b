//! Format 2: every hour row ends with how many file rows the hour has, the sum over them, and a check over itself, so that a
//! damaged index is noticed when it is read.
//!
//! The 177 bytes before stay as they were.

use std::collections::BTreeMap;

use redb::{ReadableTable, TableDefinition, WriteTransaction};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::index::IndexError;

const OLD_HOURS: TableDefinition<'static, &[u8; 8], &[u8]> = TableDefinition::new("hours.1");
const HOURS: TableDefinition<'static, &[u8; 8], &[u8]> = TableDefinition::new("hours.2");
const FILES: TableDefinition<'static, &[u8; 50], &[u8; 6]> = TableDefinition::new("files.1");
const ODD_FILES: TableDefinition<'static, &[u8], &[u8; 6]> = TableDefinition::new("odd_files.1");

const OLD_ROW: usize = 177;

/// Counts and sums the rows of every hour.
pub fn run(transaction: &WriteTransaction) -> Result<(), IndexError> {
    let mut sums: BTreeMap<[u8; 8], (u32, u64)> = BTreeMap::new();
    let mut add = |key: &[u8], value: [u8; 6]| -> Result<(), IndexError> {
        let hour = key.first_chunk::<8>().ok_or_else(|| IndexError::Damaged("a file row without an hour".into()))?;
        let mut size = [0; 8];
        size[..6].copy_from_slice(&value);
        let size = u64::from_le_bytes(size);
        let (rows, sum) = sums.entry(*hour).or_default();
        *rows += 1;
        *sum = sum.wrapping_add(xxh3_64_with_seed(key, size ^ 0x9e37_79b9_7f4a_7c15));
        Ok(())
    };
    for row in transaction.open_table(FILES)?.iter()? {
        let (key, value) = row?;
        add(key.value(), *value.value())?;
    }
    for row in transaction.open_table(ODD_FILES)?.iter()? {
        let (key, value) = row?;
        add(key.value(), *value.value())?;
    }
    {
        let old = transaction.open_table(OLD_HOURS)?;
        let mut new = transaction.open_table(HOURS)?;
        for row in old.iter()? {
            let (key, value) = row?;
            if value.value().len() != OLD_ROW {
                return Err(IndexError::Damaged("an hour row of format 1 has another length".into()));
            }
            let (rows, sum) = sums.get(key.value()).copied().unwrap_or_default();
            let mut bytes = [value.value(), &rows.to_le_bytes(), &sum.to_le_bytes()].concat();
            let check = xxh3_64(&bytes) ^ xxh3_64(key.value()).rotate_left(17);
            bytes.extend(check.to_le_bytes());
            new.insert(key.value(), bytes.as_slice())?;
        }
    }
    transaction.delete_table(OLD_HOURS)?;
    Ok(())
}
