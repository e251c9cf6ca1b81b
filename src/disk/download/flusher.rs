//! Flushes directories so that the names in them survive a power cut, many files at a time.
//!
//! A flush of a directory covers every name that was put into it before, so files share one: a directory is flushed when
//! enough of its files wait, or the first of them has waited long enough. Whoever put a file there is told the outcome;
//! an error means that the files that shared this flush may be lost in a power cut, and a later success does not mend it.
//!
//! One thread does it; this flushes no files and knows no async runtime.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{fmt, io};

use rustix::fs::fstat;

use super::super::atomic::sync_dir;
use super::super::dir::Dir;
use super::super::error::DiskError;

/// Files that wait at most; who comes then waits for room. It bounds memory if the disk hangs.
const MOST_FILES: usize = 4096;

/// Directories that wait at most: each holds a descriptor.
const MOST_DIRS: usize = 256;

/// What became of a flush; shared by all files that it covered.
pub type Flushed = Result<(), Arc<DiskError>>;

/// When a directory is flushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlushEvery {
    /// So many files of one directory wait for it.
    pub files: usize,
    /// The first of them has waited so long: what a power cut may cost at most.
    pub time: Duration,
}

impl Default for FlushEvery {
    fn default() -> Self {
        Self { files: 64, time: Duration::from_secs(1) }
    }
}

type Done = Box<dyn FnOnce(Flushed) + Send>;

struct Pending {
    dir: Arc<Dir>,
    since: Instant,
    waiting: Vec<Done>,
}

#[derive(Default)]
struct State {
    /// By device and inode, so that two handles on one directory share a flush.
    pending: HashMap<(u64, u64), Pending>,
    /// Files and directories that wait, with those that are being flushed.
    files: usize,
    dirs: usize,
    hurry: bool,
    stop: bool,
}

struct Shared {
    state: Mutex<State>,
    /// The thread waits for this: something came, or it should hurry or stop.
    work: Condvar,
    /// Callers wait for this: something was flushed.
    room: Condvar,
    every: FlushEvery,
}

/// Flushes directories on a thread of its own. Dropping it flushes what is left and waits for that.
pub struct DirFlusher {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl DirFlusher {
    /// Starts the thread.
    pub fn start(every: FlushEvery) -> io::Result<Self> {
        let (work, room) = (Condvar::new(), Condvar::new());
        let shared = Arc::new(Shared { state: Mutex::default(), work, room, every });
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("dir-flusher".to_owned()).spawn(move || theirs.run())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Asks for a flush of the directory after a file was put there, and returns at once unless very many wait already.
    /// `done` is called on the flusher's thread and must be quick.
    pub fn add(&self, dir: &Arc<Dir>, done: impl FnOnce(Flushed) + Send + 'static) {
        let key = match fstat(&**dir) {
            Ok(meta) => (meta.st_dev, meta.st_ino),
            Err(errno) => return done(Err(Arc::new(DiskError::io("look at", dir.path(), errno)))),
        };
        let mut state = self.shared.lock();
        while state.files >= MOST_FILES || (state.dirs >= MOST_DIRS && !state.pending.contains_key(&key)) {
            state.hurry = true;
            self.shared.work.notify_one();
            state = self.shared.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let fresh = || Pending { dir: Arc::clone(dir), since: Instant::now(), waiting: Vec::new() };
        let pending = state.pending.entry(key).or_insert_with(fresh);
        pending.waiting.push(Box::new(done));
        let count = pending.waiting.len();
        state.files += 1;
        state.dirs += usize::from(count == 1);
        drop(state);
        if count == 1 || count >= self.shared.every.files {
            self.shared.work.notify_one();
        }
    }

    /// Asks for a flush of the directory and waits for it; blocks.
    pub fn wait(&self, dir: &Arc<Dir>) -> Flushed {
        let (sender, receiver) = mpsc::sync_channel(1);
        self.add(dir, move |flushed| {
            // Nobody listens any more: nothing to tell.
            sender.send(flushed).unwrap_or_default();
        });
        receiver.recv().unwrap_or_else(|_| {
            let cause = io::Error::other("the flusher has ended");
            Err(Arc::new(DiskError::io("flush the directory", dir.path(), cause)))
        })
    }

    /// Flushes what waits now instead of waiting for more.
    pub fn hurry(&self) {
        self.shared.lock().hurry = true;
        self.shared.work.notify_one();
    }
}

impl Drop for DirFlusher {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.work.notify_one();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that flushes directories has panicked");
        }
    }
}

impl fmt::Debug for DirFlusher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirFlusher").field("every", &self.shared.every).finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        loop {
            let mut state = self.lock();
            let now = Instant::now();
            let all = std::mem::take(&mut state.hurry) || state.stop;
            let is_due = |pending: &Pending| {
                all || pending.waiting.len() >= self.every.files
                    || now.saturating_duration_since(pending.since) >= self.every.time
            };
            let due: Vec<_> = state.pending.extract_if(|_, pending| is_due(pending)).map(|(_, due)| due).collect();
            if due.is_empty() {
                if state.stop {
                    return;
                }
                let first = state.pending.values().map(|pending| pending.since).min();
                match first.map(|since| (since + self.every.time).saturating_duration_since(now)) {
                    Some(left) => drop(self.work.wait_timeout(state, left)),
                    None => drop(self.work.wait(state)),
                }
                continue;
            }
            drop(state);
            for pending in due {
                self.flush(pending);
            }
        }
    }

    fn flush(&self, pending: Pending) {
        let files = pending.waiting.len();
        pending.flush();
        let mut state = self.lock();
        state.files -= files;
        state.dirs -= 1;
        drop(state);
        self.room.notify_all();
    }
}

impl Pending {
    fn flush(self) {
        let flushed = sync_dir(&self.dir).map_err(Arc::new);
        for done in self.waiting {
            // One caller's mistake must not leave all others waiting for ever.
            if catch_unwind(AssertUnwindSafe(|| done(flushed.clone()))).is_err() {
                tracing::error!("whoever waited for a flushed directory has panicked");
            }
        }
    }
}
