//! Opens the index, keeps it usable whatever happens to its file, and closes it.
//!
//! 1. An index that cannot be believed is renamed to `index.redb.damaged-N` and a new, empty one begins: a new *generation*.
//! 2. Where the file cannot be written at all (read-only, full), the index lives in memory and tries the disk again.
//! 3. After a write error redb takes no more writes: the file is closed and opened again; reads go on in between.
//!
//! Nothing here reads the archive; whoever fills the index watches the generation and begins again when it changes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use redb::{Database, ReadTransaction, ReadableDatabase as _, ReadableTable as _};
use tokio::sync::watch;

use super::catalog::{Catalog, State, StreamEntry};
use super::codec::{self, HourRow, StreamRow};
use super::tables::{HOURS, STREAMS};
use super::writer::{Applied, Batch, Command, Writer};
use super::{IndexError, schema};
use crate::domain::Stream;

/// How many batches may wait for the writer: enough to keep it busy, few enough to bound what is lost at a kill.
const QUEUE: usize = 256;

/// What can be chosen about the index.
#[derive(Debug, Clone)]
pub struct IndexOptions {
    /// Bytes of redb's page cache.
    pub cache_bytes: usize,
    /// Rows kept in the change log.
    pub changes_kept: u64,
    /// Indexes up to this many bytes have every page verified when they are opened; larger ones are verified as they are read.
    pub verify_below: u64,
}

impl Default for IndexOptions {
    fn default() -> Self {
        Self { cache_bytes: 64 << 20, changes_kept: 100_000, verify_below: 256 << 20 }
    }
}

/// How the index is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// On disk, reads and writes.
    Good,
    /// Reads go on, writes fail; it is tried again.
    Stalled {
        /// Why.
        why: String,
    },
    /// Kept in memory because its file cannot be written; it is tried again.
    InMemory {
        /// Why.
        why: String,
    },
}

/// What happened at opening.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct OpenReport {
    /// A damaged index was set aside: under which name, and why.
    pub set_aside: Option<(PathBuf, String)>,
    /// There was none before, or it was set aside.
    pub created: bool,
    /// It was brought up from this format.
    pub migrated_from: Option<u32>,
}

pub(super) struct Inner {
    path: Option<PathBuf>,
    pub(super) options: IndexOptions,
    database: RwLock<Option<Database>>,
    pub(super) catalog: Catalog,
    health: Mutex<Health>,
    generation: watch::Sender<u64>,
    set_aside: Mutex<Vec<(PathBuf, String)>>,
}

/// The index. Share it by `Arc`.
pub struct Index {
    inner: Arc<Inner>,
    commands: Mutex<Option<SyncSender<Command>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    report: OpenReport,
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index").field("path", &self.inner.path).field("health", &self.health()).finish_non_exhaustive()
    }
}

impl Index {
    /// Opens the index at `path`, or begins one. Damage is set aside. An index in use or of a newer format is an error; one
    /// that cannot be written is kept in memory.
    pub fn open(path: &Path, options: IndexOptions) -> Result<Self, IndexError> {
        let mut report = OpenReport::default();
        let (database, health) = match open_or_set_aside(path, &options, &mut report) {
            Ok(database) => (database, Health::Good),
            Err(error @ (IndexError::Io(_) | IndexError::Full(_))) => {
                report.created = true;
                (in_memory(&options)?, Health::InMemory { why: error.to_string() })
            }
            Err(error) => return Err(error),
        };
        Self::start(Some(path.to_owned()), options, database, health, report)
    }

    /// Opens an index to read it: damage is an error, nothing is set aside, begun or migrated away.
    pub fn open_unchanged(path: &Path, options: IndexOptions) -> Result<Self, IndexError> {
        let (database, _) = open_file(path, &options)?;
        guarded(|| load_catalog(&database, 1))?;
        Self::start(Some(path.to_owned()), options, database, Health::Good, OpenReport::default())
    }

    /// An index in memory only.
    pub fn in_memory(options: IndexOptions) -> Result<Self, IndexError> {
        let database = in_memory(&options)?;
        Self::start(None, options, database, Health::Good, OpenReport { created: true, ..OpenReport::default() })
    }

    fn start(
        path: Option<PathBuf>,
        options: IndexOptions,
        database: Database,
        health: Health,
        mut report: OpenReport,
    ) -> Result<Self, IndexError> {
        let mut database = database;
        let state = match guarded(|| load_catalog(&database, 1)) {
            Err(IndexError::Damaged(why)) if path.is_some() && health == Health::Good => {
                let file = path.as_deref().unwrap_or(Path::new(""));
                drop(database);
                report.set_aside = Some((set_file_aside(file)?, why));
                report.created = true;
                database = open_file(file, &options)?.0;
                load_catalog(&database, 1)?
            }
            other => other?,
        };
        let catalog = Catalog::default();
        *catalog.write() = state;
        let inner = Arc::new(Inner {
            path,
            options,
            database: RwLock::new(Some(database)),
            catalog,
            health: Mutex::new(health),
            generation: watch::Sender::new(1),
            set_aside: Mutex::new(report.set_aside.iter().cloned().collect()),
        });
        let (commands, queue) = sync_channel(QUEUE);
        let writer = Writer::new(Arc::clone(&inner), queue)?;
        let thread = std::thread::Builder::new().name("index-writer".into()).spawn(move || writer.run())?;
        Ok(Self { inner, commands: Mutex::new(Some(commands)), thread: Mutex::new(Some(thread)), report })
    }

    /// What happened at opening.
    pub fn report(&self) -> &OpenReport {
        &self.report
    }

    /// How it is now.
    pub fn health(&self) -> Health {
        lock(&self.inner.health).clone()
    }

    /// The files set aside since the start, and why.
    pub fn set_aside(&self) -> Vec<(PathBuf, String)> {
        lock(&self.inner.set_aside).clone()
    }

    /// Streams, hours and versions.
    pub fn catalog(&self) -> &Catalog {
        &self.inner.catalog
    }

    /// Changes each time the index begins anew.
    pub fn generation(&self) -> watch::Receiver<u64> {
        self.inner.generation.subscribe()
    }

    /// Bytes of the index file, or 0 in memory.
    pub fn file_bytes(&self) -> u64 {
        self.inner.path.as_deref().and_then(|path| path.metadata().ok()).map_or(0, |meta| meta.len())
    }

    /// Applies a batch and returns when it is committed. Blocks: not for async code.
    pub fn apply(&self, batch: Batch) -> Result<Applied, IndexError> {
        let (reply, answer) = sync_channel(1);
        let sender = lock(&self.commands).clone().ok_or(IndexError::Closed)?;
        sender.send(Command::Apply(batch, reply)).map_err(|_| IndexError::Closed)?;
        answer.recv().map_err(|_| IndexError::Closed)?
    }

    /// Writes what is queued and closes the file.
    pub fn close(&self) {
        drop(lock(&self.commands).take());
        if let Some(thread) = lock(&self.thread).take()
            && thread.join().is_err()
        {
            tracing::error!(name: "index_writer_panicked", "the index writer ended badly; the index is checked at the next start");
        }
        drop(self.inner.database.write().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Runs a question on a snapshot, with the generation it belongs to. Damage that it finds is dealt with.
    pub(super) fn read<T>(
        &self,
        question: impl FnOnce(&ReadTransaction, u64) -> Result<T, IndexError>,
    ) -> Result<T, IndexError> {
        let (result, generation) = {
            let guard = self.inner.database.read().unwrap_or_else(PoisonError::into_inner);
            let generation = self.inner.catalog.generation();
            let Some(database) = guard.as_ref() else { return Err(IndexError::Stalled) };
            (guarded(|| question(&database.begin_read()?, generation)), generation)
        };
        if let Err(IndexError::Damaged(why)) = &result
            && let Some(sender) = lock(&self.commands).clone()
        {
            let command = Command::SetAside { generation, why: why.clone() };
            // A full queue loses this report; the next question finds the same damage and reports it again.
            if let Err(TrySendError::Full(_)) = sender.try_send(command) {
                tracing::warn!(name: "index_damage_pending", "damage of the index is waiting to be dealt with");
            }
        }
        result
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        self.close();
    }
}

impl Inner {
    /// Runs a write on the open database.
    pub(super) fn write<T>(&self, work: impl FnOnce(&Database) -> Result<T, IndexError>) -> Result<T, IndexError> {
        let guard = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let Some(database) = guard.as_ref() else { return Err(IndexError::Stalled) };
        guarded(|| work(database))
    }

    pub(super) fn set_health(&self, health: Health) {
        *lock(&self.health) = health;
    }

    pub(super) fn is_good(&self) -> bool {
        *lock(&self.health) == Health::Good
    }

    /// Begins anew: the file is set aside, and an empty one, or memory, takes its place.
    pub(super) fn begin_anew(&self, why: &str) -> Result<(), IndexError> {
        let mut guard = self.database.write().unwrap_or_else(PoisonError::into_inner);
        drop(guard.take());
        let mut health = Health::Good;
        let database = match &self.path {
            None => in_memory(&self.options)?,
            Some(path) => match set_file_aside(path).and_then(|aside| {
                tracing::error!(name: "index_set_aside", file = %aside.display(), why, "the index was damaged; it is being made anew from the files");
                lock(&self.set_aside).push((aside, why.to_owned()));
                Ok(open_file(path, &self.options)?.0)
            }) {
                Ok(database) => database,
                Err(error) => {
                    health = Health::InMemory { why: error.to_string() };
                    in_memory(&self.options)?
                }
            },
        };
        self.adopt(&mut guard, database, health, true)
    }

    /// Closes the file and opens it again, or, from memory, tries the disk. Tells whether writing is possible again.
    pub(super) fn reopen(&self) -> Result<(), IndexError> {
        let Some(path) = &self.path else { return Ok(()) };
        let from_memory = matches!(*lock(&self.health), Health::InMemory { .. });
        if from_memory {
            let mut report = OpenReport::default();
            let database = open_or_set_aside(path, &self.options, &mut report)?;
            let mut guard = self.database.write().unwrap_or_else(PoisonError::into_inner);
            return self.adopt(&mut guard, database, Health::Good, true);
        }
        let mut guard = self.database.write().unwrap_or_else(PoisonError::into_inner);
        drop(guard.take());
        match open_file(path, &self.options) {
            Ok((database, _)) => self.adopt(&mut guard, database, Health::Good, false),
            Err(IndexError::Damaged(why)) => {
                drop(guard);
                self.begin_anew(&why)
            }
            Err(error) => {
                // Questions must still be answered: from memory, until the file can be opened.
                let memory = in_memory(&self.options)?;
                self.adopt(&mut guard, memory, Health::InMemory { why: error.to_string() }, true)?;
                Err(error)
            }
        }
    }

    fn adopt(
        &self,
        slot: &mut Option<Database>,
        database: Database,
        health: Health,
        anew: bool,
    ) -> Result<(), IndexError> {
        let generation = self.catalog.generation() + u64::from(anew);
        let state = guarded(|| load_catalog(&database, generation))?;
        *self.catalog.write() = state;
        *slot = Some(database);
        self.set_health(health);
        self.generation.send_if_modified(|current| std::mem::replace(current, generation) != generation);
        Ok(())
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A panic inside redb over bytes that make no sense is damage.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, IndexError>) -> Result<T, IndexError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| {
        let text =
            payload.downcast_ref::<String>().map(String::as_str).or_else(|| payload.downcast_ref::<&str>().copied());
        Err(IndexError::Damaged(format!("reading it failed: {}", text.unwrap_or("no reason given"))))
    })
}

fn builder(options: &IndexOptions) -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(options.cache_bytes);
    builder
}

fn in_memory(options: &IndexOptions) -> Result<Database, IndexError> {
    let database = builder(options).create_with_backend(redb::backends::InMemoryBackend::new())?;
    schema::migrate(&database)?;
    Ok(database)
}

/// Opens or creates the file and brings it to the current format; tells from which.
pub(super) fn open_file(path: &Path, options: &IndexOptions) -> Result<(Database, Option<u32>), IndexError> {
    guarded(|| {
        let mut database = builder(options).create(path)?;
        // An error must be found now: it may hide in a page that is read in a year.
        if path.metadata()?.len() <= options.verify_below && !database.check_integrity()? {
            return Err(IndexError::Damaged("some of its pages do not have the sums they should have".into()));
        }
        let migrated = schema::migrate(&database)?;
        Ok((database, migrated))
    })
}

fn open_or_set_aside(path: &Path, options: &IndexOptions, report: &mut OpenReport) -> Result<Database, IndexError> {
    let before = path.metadata().map(|meta| meta.len()).ok();
    report.created = before.is_none();
    if before == Some(0) {
        report.set_aside = Some((set_file_aside(path)?, "the file was empty".into()));
        report.created = true;
    }
    match open_file(path, options) {
        Ok((database, migrated)) => {
            report.migrated_from = migrated;
            Ok(database)
        }
        Err(IndexError::Damaged(why)) => {
            report.set_aside = Some((set_file_aside(path)?, why));
            report.created = true;
            Ok(open_file(path, options)?.0)
        }
        Err(error) => Err(error),
    }
}

/// Renames the file; the last three that were set aside are kept.
fn set_file_aside(path: &Path) -> Result<PathBuf, IndexError> {
    const KEPT: usize = 3;
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

/// Reads streams and hours, and checks that they are all there.
fn load_catalog(database: &Database, generation: u64) -> Result<State, IndexError> {
    let transaction = database.begin_read()?;
    let mut state = State { generation, structure: 1, ..State::default() };
    let mut by_id = std::collections::HashMap::new();
    for row in transaction.open_table(STREAMS)?.iter()? {
        let (key, value) = row?;
        let decoded = StreamRow::decode(key.value(), value.value())?;
        let stream =
            Stream::parse(key.value()).map_err(|error| IndexError::Damaged(format!("a stream's name: {error}")))?;
        by_id.insert(
            decoded.id,
            (StreamEntry { stream, row: decoded, hours: std::collections::BTreeMap::new(), structure: 1 }, decoded),
        );
    }
    for row in transaction.open_table(HOURS)?.iter()? {
        let (key, value) = row?;
        let (id, hour) = codec::read_hour_key(*key.value())?;
        let Some((entry, left)) = by_id.get_mut(&id) else {
            return Err(IndexError::Damaged("an hour belongs to no stream".into()));
        };
        left.remove_hour(*key.value());
        entry.hours.insert(hour, HourRow::decode(*key.value(), value.value())?.changed);
    }
    for (entry, left) in by_id.into_values() {
        if left.hours != 0 || left.sum != 0 {
            return Err(IndexError::Damaged(format!("hours of {} are missing", entry.stream)));
        }
        state.streams.insert(entry.stream.to_string(), entry);
    }
    Ok(state)
}
