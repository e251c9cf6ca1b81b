//! The file of the index: opens it, checks it, brings it to the current format, and sets it aside where it is damaged.
//!
//! 1. A file of a newer format is only looked at.
//! 2. Damage is an error here, found by redb, by the sums of its pages, or by what the streams say of their hours. A file that
//!    was not closed in order has all its pages verified, whatever its size, so that damage that ends the process does so once.
//! 3. A new file that could not be completed is removed again, so that it is not taken for a damaged index later.

use std::collections::{BTreeMap, HashMap};
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use redb::{Database, ReadOnlyDatabase, ReadTransaction, ReadableDatabase as _};

use super::catalog::{CatalogState, StreamEntry};
use super::codec::read_hour_key;
use super::meta::{self, MetaTable};
use super::store::OpenReport;
use super::streams::StreamRow;
use super::{IndexError, IndexOptions, hours, schema, streams};
use crate::archive::Stream;

/// How many indexes that were set aside are kept.
const KEPT: usize = 3;

/// An index that has been opened and believed.
pub(super) struct Opened {
    pub(super) database: Database,
    pub(super) state: CatalogState,
    pub(super) migrated_from: Option<u32>,
}

/// Whether every page is verified, where the options ask for that.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Verify {
    Yes,
    No,
}

/// A panic inside redb over bytes that make no sense is damage.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, IndexError>) -> Result<T, IndexError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| {
        let text =
            payload.downcast_ref::<String>().map(String::as_str).or_else(|| payload.downcast_ref::<&str>().copied());
        Err(IndexError::Damaged(format!("reading it failed: {}", text.unwrap_or("no reason given"))))
    })
}

/// Closes a file.
pub(super) fn discard(database: Option<Database>) {
    if let Err(error) = guarded(|| {
        drop(database);
        Ok(())
    }) {
        tracing::warn!(name: "index_closed_badly", %error, "the index could not be closed in order");
    }
}

/// Leaves a damaged file as it is. Closing would write to it, and where what it says of its free pages is damaged redb panics
/// while it unwinds, which ends the process. Until that ends this costs a descriptor and the page cache.
pub(super) fn abandon(database: Option<Database>) {
    std::mem::forget(database);
}

fn builder(options: &IndexOptions) -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(options.cache_bytes);
    builder
}

fn create(path: &Path, options: &IndexOptions) -> Result<Database, IndexError> {
    #[cfg(test)]
    if let Some(faults) = &options.faults {
        return Ok(builder(options).create_with_backend(faults.over(path)?)?);
    }
    Ok(builder(options).create(path)?)
}

/// An empty index that is kept nowhere.
pub(super) fn in_memory(options: &IndexOptions) -> Result<Opened, IndexError> {
    let database = builder(options).create_with_backend(redb::backends::InMemoryBackend::new())?;
    schema::migrate(&database)?;
    let state = load_catalog(&database)?;
    Ok(Opened { database, state, migrated_from: None })
}

/// Opens or creates the file and brings it to the current format.
pub(super) fn open(path: &Path, options: &IndexOptions, verify: Verify) -> Result<Opened, IndexError> {
    let bytes = match path.metadata() {
        Ok(meta) => meta.len(),
        Err(error) if error.kind() == ErrorKind::NotFound => 0,
        Err(error) => return Err(error.into()),
    };
    let in_order = bytes == 0 || look_at(path)?;
    let result = guarded(|| create(path, options)).and_then(|mut database| {
        let verify = verify == Verify::Yes && bytes > 0 && (bytes <= options.verify_below || !in_order);
        // Outside of what is guarded, so that the file is never closed while a panic is under way.
        match guarded(|| believe(&mut database, verify)) {
            Ok((state, migrated_from)) => Ok(Opened { database, state, migrated_from }),
            Err(error) => {
                if error.is_damage() {
                    abandon(Some(database));
                } else {
                    discard(Some(database));
                }
                Err(error)
            }
        }
    });
    if bytes == 0
        && matches!(result, Err(IndexError::Io(_) | IndexError::Full(_) | IndexError::Stalled))
        && let Err(error) = std::fs::remove_file(path)
        && error.kind() != ErrorKind::NotFound
    {
        tracing::warn!(name: "index_unfinished", file = %path.display(), %error, "an unfinished index cannot be removed");
    }
    result
}

fn believe(database: &mut Database, verify: bool) -> Result<(CatalogState, Option<u32>), IndexError> {
    schema::refuse_newer(database)?;
    // An error must be found now: it may hide in a page that is read in a year.
    if verify && !database.check_integrity()? {
        return Err(IndexError::Damaged("some of its pages do not have the sums they should have".into()));
    }
    let migrated_from = schema::migrate(database)?;
    Ok((load_catalog(database)?, migrated_from))
}

/// Tells whether the file was closed in order. Opening writes to a file, and one of a newer format has to stay as it is;
/// whatever else is wrong comes up at opening.
fn look_at(path: &Path) -> Result<bool, IndexError> {
    match guarded(|| schema::refuse_newer(&ReadOnlyDatabase::open(path)?)) {
        Ok(_) => Ok(true),
        Err(error @ IndexError::Newer { .. }) => Err(error),
        Err(_) => Ok(false),
    }
}

/// Commits something, to know that commits succeed.
pub(super) fn prove_writable(database: &Database) -> Result<(), IndexError> {
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    MetaTable::open(&transaction)?.set_number("format", u64::from(schema::FORMAT))?;
    Ok(transaction.commit()?)
}

/// Opens the file; if that cannot be believed, it is set aside and a new one begins.
pub(super) fn open_or_set_aside(
    path: &Path,
    options: &IndexOptions,
    report: &mut OpenReport,
) -> Result<Opened, IndexError> {
    let before = path.metadata().map(|meta| meta.len()).ok();
    report.created = before.is_none();
    if before == Some(0) {
        report.set_aside = Some((set_aside(path)?, "the file was empty".into()));
        report.created = true;
    }
    match open(path, options, Verify::Yes) {
        Ok(opened) => {
            report.migrated_from = opened.migrated_from;
            Ok(opened)
        }
        Err(IndexError::Damaged(why)) => {
            report.set_aside = Some((set_aside(path)?, why));
            report.created = true;
            open(path, options, Verify::No)
        }
        Err(error) => Err(error),
    }
}

/// Renames the file; the last few that were set aside are kept.
pub(super) fn set_aside(path: &Path) -> Result<PathBuf, IndexError> {
    let stamp = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_micros();
    let aside = path.with_extension(format!("redb.damaged-{stamp}"));
    std::fs::rename(path, &aside)?;
    let mut earlier: Vec<PathBuf> = path
        .parent()
        .and_then(|parent| std::fs::read_dir(parent).ok())
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|entry| entry.file_name().is_some_and(|name| name.to_string_lossy().contains(".redb.damaged-")))
        .collect();
    earlier.sort();
    let surplus = earlier.len().saturating_sub(KEPT);
    for old in &earlier[..surplus] {
        if let Err(error) = std::fs::remove_file(old) {
            tracing::warn!(name: "index_set_aside_kept", file = %old.display(), %error, "an index set aside earlier cannot be removed");
        }
    }
    Ok(aside)
}

/// Reads streams and hours, and checks that they are all there and no more.
fn load_catalog(database: &Database) -> Result<CatalogState, IndexError> {
    let transaction = database.begin_read()?;
    let epoch = meta::number(&transaction, "epoch")?;
    let epoch = epoch.ok_or_else(|| IndexError::Damaged("it has no epoch".into()))?;
    let seq = meta::number(&transaction, "seq")?.unwrap_or_default();
    let mut by_id = load_streams(&transaction)?;
    hours::each(&transaction, |key, row| {
        let (id, hour) = read_hour_key(key)?;
        let Some((entry, left)) = by_id.get_mut(&id).filter(|(_, left)| left.hours > 0) else {
            return Err(IndexError::Damaged("an hour belongs to no stream".into()));
        };
        left.remove_hour(key);
        entry.hours.insert(hour, row()?.changed);
        Ok(())
    })?;
    let mut state = CatalogState { epoch, seq, ..CatalogState::default() };
    for (entry, left) in by_id.into_values() {
        if left.hours != 0 || left.sum != 0 {
            return Err(IndexError::Damaged(format!("hours of {} are missing", entry.stream)));
        }
        state.streams.insert(entry.stream.to_string(), entry);
    }
    Ok(state)
}

/// By number: each stream, still without hours, and what is to be found of them.
fn load_streams(transaction: &ReadTransaction) -> Result<HashMap<u32, (StreamEntry, StreamRow)>, IndexError> {
    let next = meta::number(transaction, "next_stream")?.unwrap_or_default();
    let mut by_id = HashMap::new();
    streams::each(transaction, |name, row| {
        let stream = Stream::parse(name).map_err(|error| IndexError::Damaged(format!("a stream's name: {error}")))?;
        let entry = StreamEntry { stream, row, hours: BTreeMap::new(), structure: 0, changed: 0 };
        if u64::from(row.id) >= next || by_id.insert(row.id, (entry, row)).is_some() {
            return Err(IndexError::Damaged("a stream has a number that is not its own".into()));
        }
        Ok(())
    })?;
    Ok(by_id)
}
