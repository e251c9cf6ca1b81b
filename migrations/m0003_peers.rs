//! Format 3: what is remembered of other nodes: how far each is followed, and how it went.

use redb::{TableDefinition, WriteTransaction};

use crate::index::IndexError;

const PEERS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("peers.1");

/// Makes the table.
pub fn run(transaction: &WriteTransaction) -> Result<(), IndexError> {
    transaction.open_table(PEERS)?;
    Ok(())
}
