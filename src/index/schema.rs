//! The format of the index and the way from each to the next.

use redb::{Database, ReadableDatabase, WriteTransaction};

use super::IndexError;
use super::meta::{self, MetaTable};

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
#[path = "../../migrations/m0007_missed.rs"]
pub mod m0007_missed;
#[path = "../../migrations/m0008_containers.rs"]
pub mod m0008_containers;

type Migration = fn(&WriteTransaction) -> Result<(), IndexError>;

/// Step `n` (counted from 0) leads to format `n + 1`.
const STEPS: &[Migration] = &[
    m0001_first::run,
    m0002_sums::run,
    m0003_peers::run,
    m0004_coverage::run,
    m0005_visitors::run,
    m0006_facts::run,
    m0007_missed::run,
    m0008_containers::run,
];

/// The format that this version writes.
pub const FORMAT: u32 = 8;
const _: () = assert!(STEPS.len() == FORMAT as usize, "one step per format");

/// A number beyond this is damage and not a later version.
const LAST_PLAUSIBLE: u32 = 9_999;

/// The format of an open index; 0 if it is empty.
pub fn format_of(database: &impl ReadableDatabase) -> Result<u32, IndexError> {
    let transaction = database.begin_read()?;
    let format = meta::number(&transaction, "format")?;
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
        let mut meta = MetaTable::open(&transaction)?;
        meta.set_number("format", u64::from(target))?;
        if !meta.has("epoch")? {
            for (name, number) in [("epoch", rand::random()), ("seq", 0), ("floor", 0), ("next_stream", 1)] {
                meta.set_number(name, number)?;
            }
        }
    }
    transaction.commit()?;
    Ok((found > 0).then_some(found))
}
