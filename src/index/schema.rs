//! The format of the index and the way from each to the next.

use redb::{Database, ReadableDatabase, ReadableTable as _, TableError, WriteTransaction};

use super::IndexError;
use super::tables::META;

#[path = "../../migrations/m0001_first.rs"]
pub mod m0001_first;
#[path = "../../migrations/m0002_sums.rs"]
pub mod m0002_sums;
#[path = "../../migrations/m0003_peers.rs"]
pub mod m0003_peers;
#[path = "../../migrations/m0004_coverage.rs"]
pub mod m0004_coverage;
#[path = "../../migrations/m0005_visitors.rs"]
pub mod m0005_visitors;
#[path = "../../migrations/m0006_facts.rs"]
pub mod m0006_facts;

type Migration = fn(&WriteTransaction) -> Result<(), IndexError>;

/// Step `n` (counted from 0) leads to format `n + 1`.
const STEPS: &[Migration] =
    &[m0001_first::run, m0002_sums::run, m0003_peers::run, m0004_coverage::run, m0005_visitors::run, m0006_facts::run];

/// The format that this version writes.
pub const FORMAT: u32 = 6;
const _: () = assert!(STEPS.len() == FORMAT as usize, "one step per format");

/// A number beyond this is damage and not a later version.
const LAST_PLAUSIBLE: u32 = 9_999;

/// Reads a number from the meta table.
pub fn meta_number(transaction: &redb::ReadTransaction, name: &str) -> Result<Option<u64>, IndexError> {
    let table = match transaction.open_table(META) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let Some(value) = table.get(name)? else { return Ok(None) };
    let bytes =
        value.value().try_into().map_err(|_| IndexError::Damaged(format!("meta row {name} has another length")))?;
    Ok(Some(u64::from_le_bytes(bytes)))
}

/// The format of an open index; 0 if it is empty.
pub fn format_of(database: &impl ReadableDatabase) -> Result<u32, IndexError> {
    let transaction = database.begin_read()?;
    let format = meta_number(&transaction, "format")?;
    if format.is_none() && transaction.list_tables()?.next().is_some() {
        return Err(IndexError::Damaged("it has tables but no format".into()));
    }
    let plausible = u32::try_from(format.unwrap_or(0)).ok().filter(|format| *format <= LAST_PLAUSIBLE);
    plausible.ok_or_else(|| IndexError::Damaged("its format is not a number that was ever written".into()))
}

/// The format of an open index, if this version knows it.
pub fn refuse_newer(database: &impl ReadableDatabase) -> Result<u32, IndexError> {
    match format_of(database)? {
        found if found > FORMAT => Err(IndexError::Newer { found, known: FORMAT }),
        found => Ok(found),
    }
}

/// Brings an open index to [`FORMAT`] in one transaction; tells from which format, if anything was done.
pub fn migrate(database: &Database) -> Result<Option<u32>, IndexError> {
    migrate_to(database, FORMAT)
}

/// Like [`migrate`], up to an earlier format: to make fixtures.
pub fn migrate_to(database: &Database, target: u32) -> Result<Option<u32>, IndexError> {
    let found = refuse_newer(database)?;
    if found >= target {
        return Ok(None);
    }
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    for step in &STEPS[found as usize..target as usize] {
        step(&transaction)?;
    }
    {
        let mut meta = transaction.open_table(META)?;
        meta.insert("format", u64::from(target).to_le_bytes().as_slice())?;
        if meta.get("epoch")?.is_none() {
            meta.insert("epoch", rand::random::<u64>().to_le_bytes().as_slice())?;
            meta.insert("seq", 0_u64.to_le_bytes().as_slice())?;
            meta.insert("floor", 0_u64.to_le_bytes().as_slice())?;
            meta.insert("next_stream", 1_u64.to_le_bytes().as_slice())?;
        }
    }
    transaction.commit()?;
    Ok((found > 0).then_some(found))
}
