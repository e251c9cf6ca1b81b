//! The table `visitors`: where each visitor of the crawl is, by its name. The index keeps what it is given, under a check; what it means is the crawl's own.

use redb::{ReadableTable as _, Table, TableDefinition, WriteTransaction};

use super::IndexError;
use super::codec::check;
use super::store::Index;

const VISITORS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("visitors.1");

/// Visitors whose state is read: more than there will be, and a bound on what is read at the start.
const MOST: usize = 1_000;

/// A state as bytes.
fn encode(name: &str, state: &[u8]) -> Vec<u8> {
    [check(name.as_bytes(), state).to_le_bytes().as_slice(), state].concat()
}

fn decode(name: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    let (written, state) = bytes.split_first_chunk::<8>()?;
    (check(name.as_bytes(), state) == u64::from_le_bytes(*written)).then(|| state.to_vec())
}

/// The table in a transaction that writes.
pub(super) struct VisitorTable<'t>(Table<'t, &'static str, &'static [u8]>);

impl<'t> VisitorTable<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, IndexError> {
        Ok(Self(transaction.open_table(VISITORS)?))
    }

    pub(super) fn set(&mut self, name: &str, state: &[u8]) -> Result<(), IndexError> {
        drop(self.0.insert(name, encode(name, state).as_slice())?);
        Ok(())
    }
}

impl Index {
    /// The state of each visitor, by name. One that cannot be read is left out: it begins afresh, and nothing else suffers.
    pub fn visitors(&self) -> Result<Vec<(String, Vec<u8>)>, IndexError> {
        self.read(|transaction, _| {
            let mut found = Vec::new();
            for row in transaction.open_table(VISITORS)?.iter()?.take(MOST) {
                let (key, value) = row?;
                match decode(key.value(), value.value()) {
                    Some(state) => found.push((key.value().to_owned(), state)),
                    None => {
                        tracing::warn!(name: "visitor_forgotten", visitor = key.value(), "the position of a background task cannot be read; it starts over");
                    }
                }
            }
            Ok(found)
        })
    }

    /// Where one visitor is, in this generation of the index.
    pub fn visitor(&self, name: &str) -> Result<Option<Vec<u8>>, IndexError> {
        self.read(|transaction, _| {
            let table = transaction.open_table(VISITORS)?;
            Ok(table.get(name)?.and_then(|row| decode(name, row.value())))
        })
    }
}
