//! Opens the index, keeps it usable whatever happens to its file, and closes it.
//!
//! 1. An index that cannot be believed is renamed to `index.redb.damaged-N` and a new, empty one begins: a new *generation*.
//! 2. Where the file cannot be written at all (read-only, full), the index lives in memory and tries the disk again.
//! 3. After any error redb neither writes nor reads what is not in its cache: the file is closed and opened again at once, so
//!    that questions are answered. Batches are refused until, once a second, a small commit proves that writing is possible.
//!
//! Nothing here reads the archive; whoever fills the index watches the generation and begins again when it changes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use redb::{Database, ReadTransaction, ReadableDatabase as _};
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::watch;

use super::IndexError;
use super::agree::DigestCache;
use super::catalog::Catalog;
use super::file::{self, Opened, Verify, guarded};
use super::hole_reasons::Givers;
use super::writer::{Applied, Batch, Command, Writer};
use crate::archive::{Span, Timestamp};

/// How many batches may wait for the writer: enough to keep it busy, few enough to bound what is lost at a kill.
const QUEUE: usize = 256;
/// How long a question waits for a file that has failed to be opened anew.
const REOPENING: Duration = Duration::from_millis(250);

/// What can be chosen about the index.
#[derive(Debug, Clone)]
pub struct IndexOptions {
    /// Bytes of redb's page cache.
    pub cache_bytes: usize,
    /// Rows kept in the change log.
    pub changes_kept: u64,
    /// How long it is remembered that a hole closed.
    pub closed_kept: Span,
    /// Holes that closed of which this is remembered.
    pub closed_most: u64,
    /// Indexes up to this many bytes have every page verified when they are opened (0.7 s a gigabyte); larger ones only if they
    /// were not closed in order, and are otherwise verified as they are read.
    pub verify_below: u64,
    /// How long an index that failed waits before it tries again to write.
    pub retry_after: Duration,
    /// What goes wrong with the file, in tests.
    #[cfg(test)]
    pub(crate) faults: Option<Arc<super::tests::faulty::Faults>>,
}

impl Default for IndexOptions {
    fn default() -> Self {
        Self {
            cache_bytes: 64 << 20,
            changes_kept: 100_000,
            closed_kept: Span::from_us(90 * 86_400_000_000),
            closed_most: 100_000,
            verify_below: 4 << 30,
            retry_after: Duration::from_secs(1),
            #[cfg(test)]
            faults: None,
        }
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
    openings: AtomicU64,
    pub(super) catalog: Catalog,
    health: Mutex<Health>,
    generation: watch::Sender<u64>,
    pub(super) agreement: DigestCache,
    pub(super) givers: Givers,
    /// Since when the index is catching up with the disk.
    pub(super) catching_up: Mutex<Option<Timestamp>>,
    /// Counts how often a hole opened or closed.
    pub(super) turns: AtomicU64,
    writer_cpu_ns: AtomicU64,
    commits: AtomicU64,
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
        let (opened, health) = match file::open_or_set_aside(path, &options, &mut report) {
            Ok(opened) => (opened, Health::Good),
            Err(error @ (IndexError::Io(_) | IndexError::Full(_))) => {
                report.created = true;
                (file::in_memory(&options)?, Health::InMemory { why: error.to_string() })
            }
            Err(error) => return Err(error),
        };
        Self::start(Some(path.to_owned()), options, opened, health, report)
    }

    /// Opens an index to read it: damage is an error, nothing is set aside, begun or migrated away.
    pub fn open_unchanged(path: &Path, options: IndexOptions) -> Result<Self, IndexError> {
        let opened = file::open(path, &options, file::Verify::Yes)?;
        Self::start(Some(path.to_owned()), options, opened, Health::Good, OpenReport::default())
    }

    /// An index in memory only.
    pub fn in_memory(options: IndexOptions) -> Result<Self, IndexError> {
        let opened = file::in_memory(&options)?;
        Self::start(None, options, opened, Health::Good, OpenReport { created: true, ..OpenReport::default() })
    }

    fn start(
        path: Option<PathBuf>,
        options: IndexOptions,
        opened: Opened,
        health: Health,
        report: OpenReport,
    ) -> Result<Self, IndexError> {
        let inner = Arc::new(Inner {
            path,
            options,
            database: RwLock::new(None),
            openings: AtomicU64::new(0),
            catalog: Catalog::default(),
            health: Mutex::new(Health::Good),
            generation: watch::Sender::new(0),
            agreement: DigestCache::default(),
            givers: Givers::default(),
            catching_up: Mutex::new(Some(super::writer::now())),
            turns: AtomicU64::new(0),
            writer_cpu_ns: AtomicU64::new(0),
            commits: AtomicU64::new(0),
            set_aside: Mutex::new(report.set_aside.iter().cloned().collect()),
        });
        inner.adopt(&mut inner.database.write(), opened, health);
        let (commands, queue) = sync_channel(QUEUE);
        let writer = Writer::new(Arc::clone(&inner), queue)?;
        let thread = std::thread::Builder::new().name("index-writer".into()).spawn(move || writer.run())?;
        Ok(Self { inner, commands: Mutex::new(Some(commands)), thread: Mutex::new(Some(thread)), report })
    }

    /// What happened at opening.
    pub fn report(&self) -> &OpenReport {
        &self.report
    }

    /// Processor time of the thread that writes, since the start.
    pub fn writer_cpu(&self) -> Duration {
        Duration::from_nanos(self.inner.writer_cpu_ns.load(Ordering::SeqCst))
    }

    /// Commits since the start, those that failed included.
    pub fn commits(&self) -> u64 {
        self.inner.commits.load(Ordering::SeqCst)
    }

    /// How it is now.
    pub fn health(&self) -> Health {
        self.inner.health.lock().clone()
    }

    /// The files set aside since the start, and why.
    pub fn set_aside(&self) -> Vec<(PathBuf, String)> {
        self.inner.set_aside.lock().clone()
    }

    /// Streams, hours and versions.
    pub fn catalog(&self) -> &Catalog {
        &self.inner.catalog
    }

    /// Changes each time the index begins anew.
    pub fn generation(&self) -> watch::Receiver<u64> {
        self.inner.generation.subscribe()
    }

    /// Who gives what is about to appear.
    pub(super) fn givers(&self) -> &Givers {
        &self.inner.givers
    }

    /// Whether the index has caught up with the disk. Holes that come and go before that are not remembered: they are hours that were
    /// not read yet.
    pub fn caught_up(&self, has: bool) {
        let mut since = self.inner.catching_up.lock();
        *since = if has { None } else { Some(since.unwrap_or_else(super::writer::now)) };
    }

    /// Counts how often holes opened or closed, since the start.
    pub fn turns(&self) -> u64 {
        self.inner.turns.load(Ordering::SeqCst)
    }

    pub(super) fn agreement(&self) -> &DigestCache {
        &self.inner.agreement
    }

    /// Bytes of the index file, or 0 in memory.
    pub fn file_bytes(&self) -> u64 {
        self.inner.path.as_deref().and_then(|path| path.metadata().ok()).map_or(0, |meta| meta.len())
    }

    /// Applies a batch and returns when it is committed. Blocks: not for async code.
    pub fn apply(&self, batch: Batch) -> Result<Applied, IndexError> {
        let (reply, answer) = sync_channel(1);
        let sender = self.commands.lock().clone().ok_or(IndexError::Closed)?;
        sender.send(Command::Apply(Box::new(batch), reply)).map_err(|_| IndexError::Closed)?;
        answer.recv().map_err(|_| IndexError::Closed)?
    }

    /// Hands over a batch that may be lost, without waiting until it is committed. One for which there is no room now is left out.
    pub fn offer(&self, batch: Batch) {
        let (reply, _nobody_waits) = sync_channel(1);
        let Some(sender) = self.commands.lock().clone() else { return };
        if sender.try_send(Command::Apply(Box::new(batch), reply)).is_err() {
            tracing::debug!(name: "index_offer_left", "the index has too much to write; what was offered is left out");
        }
    }

    /// Writes what is queued and closes the file.
    pub fn close(&self) {
        drop(self.commands.lock().take());
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!(name: "index_writer_panicked", "the index writer crashed; the index is checked at the next start");
        }
        file::discard(self.inner.database.write().take());
    }

    /// Ends as a kill does: nothing more is written to the file.
    #[cfg(test)]
    pub(super) fn leave_open(self) {
        file::abandon(self.inner.database.write().take());
    }

    /// Runs a question on a snapshot, with the generation it belongs to. Damage that it finds is dealt with; where the file
    /// has failed, it is asked once more when that has been opened anew.
    pub(super) fn read<T>(
        &self,
        question: impl Fn(&ReadTransaction, u64) -> Result<T, IndexError>,
    ) -> Result<T, IndexError> {
        let (mut result, mut generation, opening) = self.inner.read_once(&question);
        if let Err(IndexError::Stalled | IndexError::Io(_)) = &result {
            self.tell_writer(Command::Reopen { opening });
            if self.inner.wait_for_other_than(opening) {
                (result, generation, _) = self.inner.read_once(&question);
            }
        }
        if let Err(IndexError::Damaged(why)) = &result {
            self.tell_writer(Command::SetAside { generation, why: why.clone() });
        }
        result
    }

    fn tell_writer(&self, command: Command) {
        let Some(sender) = self.commands.lock().clone() else { return };
        // A full queue loses this report; the next question finds the same and reports it again.
        if let Err(TrySendError::Full(_)) = sender.try_send(command) {
            tracing::warn!(name: "index_report_lost", "a failure of the index is waiting to be dealt with");
        }
    }

    /// Has the index set aside and made anew: for whoever finds that it contradicts the archive.
    pub fn report_damage(&self, why: &str) {
        self.tell_writer(Command::SetAside { generation: self.catalog().generation(), why: why.to_owned() });
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
        let guard = self.database.read();
        let Some(database) = guard.as_ref() else { return Err(IndexError::Closed) };
        guarded(|| work(database))
    }

    /// Called in the thread that writes, after each commit.
    pub(super) fn note_commit(&self) {
        self.commits.fetch_add(1, Ordering::SeqCst);
        let used = clock_gettime(ClockId::ThreadCPUTime);
        let ns = used.tv_sec.cast_unsigned() * 1_000_000_000 + used.tv_nsec.cast_unsigned();
        self.writer_cpu_ns.store(ns, Ordering::SeqCst);
    }

    pub(super) fn set_health(&self, health: Health) {
        *self.health.lock() = health;
    }

    pub(super) fn health(&self) -> Health {
        self.health.lock().clone()
    }

    /// Begins anew: the file is set aside, and an empty one, or memory, takes its place.
    pub(super) fn begin_anew(&self, why: &str) -> Result<(), IndexError> {
        let mut slot = self.database.write();
        file::abandon(slot.take());
        // Until all hours are read again, those that are not look missing.
        *self.catching_up.lock() = Some(super::writer::now());
        let in_memory = matches!(*self.health.lock(), Health::InMemory { .. });
        let (opened, health) = match &self.path {
            Some(path) if !in_memory => match self.replace_file(path, why) {
                Ok(opened) => (opened, Health::Good),
                Err(error) => (file::in_memory(&self.options)?, Health::InMemory { why: error.to_string() }),
            },
            _ => (file::in_memory(&self.options)?, self.health.lock().clone()),
        };
        self.adopt(&mut slot, opened, health);
        Ok(())
    }

    fn replace_file(&self, path: &Path, why: &str) -> Result<Opened, IndexError> {
        let aside = file::set_aside(path)?;
        self.note_set_aside(aside, why);
        file::open(path, &self.options, Verify::No)
    }

    fn note_set_aside(&self, aside: PathBuf, why: &str) {
        tracing::error!(name: "index_set_aside", file = %aside.display(), why, "the index was damaged; it is being made anew from the files");
        self.set_aside.lock().push((aside, why.to_owned()));
    }

    /// Closes the file and opens it again: after an error redb neither writes nor reads what it has not got in its cache.
    /// Writing has still to be proved.
    pub(super) fn reopen(&self) -> Result<(), IndexError> {
        let Some(path) = &self.path else { return Ok(()) };
        let mut slot = self.database.write();
        file::discard(slot.take());
        // Questions wait for this, so that its pages are verified as they are read.
        match file::open(path, &self.options, Verify::No) {
            Ok(opened) => {
                let health = self.health.lock().clone();
                self.adopt(&mut slot, opened, health);
                Ok(())
            }
            Err(IndexError::Damaged(why)) => {
                drop(slot);
                self.begin_anew(&why)
            }
            Err(error) => {
                // Questions must still be answered: from memory, until the file can be opened.
                let memory = file::in_memory(&self.options)?;
                self.adopt(&mut slot, memory, Health::InMemory { why: error.to_string() });
                Err(error)
            }
        }
    }

    /// From memory: tries the disk again.
    pub(super) fn return_to_disk(&self) -> Result<(), IndexError> {
        let Some(path) = &self.path else { return Ok(()) };
        let mut report = OpenReport::default();
        let opened = file::open_or_set_aside(path, &self.options, &mut report);
        if let Some((aside, why)) = report.set_aside {
            self.note_set_aside(aside, &why);
        }
        self.adopt(&mut self.database.write(), opened?, Health::Good);
        Ok(())
    }

    fn read_once<T>(
        &self,
        question: &impl Fn(&ReadTransaction, u64) -> Result<T, IndexError>,
    ) -> (Result<T, IndexError>, u64, u64) {
        let guard = self.database.read();
        let (generation, opening) = (self.catalog.generation(), self.opening());
        let result = match guard.as_ref() {
            Some(database) => guarded(|| question(&database.begin_read()?, generation)),
            None => Err(IndexError::Closed),
        };
        (result, generation, opening)
    }

    /// Counts how often a file was opened.
    pub(super) fn opening(&self) -> u64 {
        self.openings.load(Ordering::SeqCst)
    }

    /// Waits, not for ever, until the file has been opened once more.
    fn wait_for_other_than(&self, opening: u64) -> bool {
        let until = Instant::now() + REOPENING;
        while self.opening() == opening && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.opening() != opening
    }

    /// Puts an index in place. Unless it is the one that was there before, a new generation begins.
    fn adopt(&self, slot: &mut Option<Database>, opened: Opened, health: Health) {
        let generation = self.catalog.replace(opened.state);
        *slot = Some(opened.database);
        self.openings.fetch_add(1, Ordering::SeqCst);
        self.set_health(health);
        self.generation.send_if_modified(|current| std::mem::replace(current, generation) != generation);
    }
}
