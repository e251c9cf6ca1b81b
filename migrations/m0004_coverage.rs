//! Format 4: a summary of each hour's coverage, kept in step with its files, and the ledger of holes that follows from them. Those of hours that are there already are to be made.

use redb::{ReadableTable as _, TableDefinition, WriteTransaction};

use crate::index::IndexError;

const HOURS: TableDefinition<'static, &[u8; 8], &[u8]> = TableDefinition::new("hours.2");
const COVERAGE: TableDefinition<'static, &[u8; 8], &[u8]> = TableDefinition::new("coverage.1");
const HOLES: TableDefinition<'static, &[u8; 20], &[u8]> = TableDefinition::new("holes.1");
const CLOSED_HOLES: TableDefinition<'static, &[u8; 20], &[u8]> = TableDefinition::new("closed_holes.1");
const CLOSED_ORDER: TableDefinition<'static, &[u8; 20], ()> = TableDefinition::new("closed_order.1");
const UNSETTLED: TableDefinition<'static, &[u8; 8], ()> = TableDefinition::new("unsettled.1");

/// Makes the tables.
pub fn run(transaction: &WriteTransaction) -> Result<(), IndexError> {
    transaction.open_table(COVERAGE)?;
    transaction.open_table(HOLES)?;
    transaction.open_table(CLOSED_HOLES)?;
    transaction.open_table(CLOSED_ORDER)?;
    let mut unsettled = transaction.open_table(UNSETTLED)?;
    for row in transaction.open_table(HOURS)?.iter()? {
        unsettled.insert(row?.0.value(), ())?;
    }
    Ok(())
}
