//! Format 6: what the two ends of segments say. None is known yet: it is read when somebody asks, and by a visitor of the crawl.

use redb::{TableDefinition, WriteTransaction};

use crate::index::IndexError;

const FACTS: TableDefinition<'static, &[u8; 9], &[u8]> = TableDefinition::new("facts.1");

/// Makes the table.
pub fn run(transaction: &WriteTransaction) -> Result<(), IndexError> {
    transaction.open_table(FACTS)?;
    Ok(())
}
