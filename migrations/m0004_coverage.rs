//! Format 4: a summary of each hour's coverage, kept in step with its files. Those of hours that are there already are to be made.

use redb::{ReadableTable as _, TableDefinition, WriteTransaction};

use crate::index::IndexError;

const HOURS: TableDefinition<'static, &[u8; 8], &[u8]> = TableDefinition::new("hours.2");
const COVERAGE: TableDefinition<'static, &[u8; 8], &[u8]> = TableDefinition::new("coverage.1");
const UNSETTLED: TableDefinition<'static, &[u8; 8], ()> = TableDefinition::new("unsettled.1");

/// Makes the tables.
pub fn run(transaction: &WriteTransaction) -> Result<(), IndexError> {
    transaction.open_table(COVERAGE)?;
    let mut unsettled = transaction.open_table(UNSETTLED)?;
    for row in transaction.open_table(HOURS)?.iter()? {
        unsettled.insert(row?.0.value(), ())?;
    }
    Ok(())
}
