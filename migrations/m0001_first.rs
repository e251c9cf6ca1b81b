//! Format 1: streams, directories, hours, files, odd files, changes.

use redb::{TableDefinition, WriteTransaction};

use crate::index::IndexError;

const STREAMS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("streams.1");
const DIRECTORIES: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("directories.1");
const HOURS: TableDefinition<'static, &[u8; 8], &[u8]> = TableDefinition::new("hours.1");
const FILES: TableDefinition<'static, &[u8; 50], &[u8; 6]> = TableDefinition::new("files.1");
const ODD_FILES: TableDefinition<'static, &[u8], &[u8; 6]> = TableDefinition::new("odd_files.1");
const CHANGES: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("changes.1");

/// Makes the tables.
pub fn run(transaction: &WriteTransaction) -> Result<(), IndexError> {
    transaction.open_table(STREAMS)?;
    transaction.open_table(DIRECTORIES)?;
    transaction.open_table(HOURS)?;
    transaction.open_table(FILES)?;
    transaction.open_table(ODD_FILES)?;
    transaction.open_table(CHANGES)?;
    Ok(())
}
