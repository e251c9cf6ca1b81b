//! Format 7: what recorders of this node missed, and the reasons of holes that follow from it. Nothing is known of the time before.

use redb::{TableDefinition, WriteTransaction};

use crate::index::IndexError;

const MISSED: TableDefinition<'static, &[u8; 20], &[u8]> = TableDefinition::new("missed.1");

/// Makes the table.
pub fn run(transaction: &WriteTransaction) -> Result<(), IndexError> {
    transaction.open_table(MISSED)?;
    Ok(())
}
