//! Makes the index anew from the tree: reads directories in parallel with the writing, into a fresh file beside the old one,
//! verifies it, and renames it into place. The tree is only read.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::SystemTime;

use crate::archive::coverage::HourLine;
use crate::archive::totals::HourTotals;
use crate::archive::{Hour, HourPlace, Stamp, Stream};
use crate::disk::{ArchiveId, Base, DiskError, marker};
use crate::index::bulk::{BulkLoader, LoadedHour};
use crate::index::{Index, IndexError, IndexOptions, LedgerCopy};
use crate::sync::check::{hours_on_disk, subdirectories};
use crate::sync::crawl::{HourFiles, hour_files, is_settled};

/// Hours that each reading thread may be ahead of the writing.
const AHEAD: usize = 4;

#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    Index(#[from] IndexError),
    #[error("{}: {cause}", path.display())]
    File { path: PathBuf, cause: std::io::Error },
    #[error("the new index does not hold what was read ({0}); the old one was left in place")]
    NotVerified(String),
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rebuilt {
    pub hours: u64,
    pub files: u64,
    pub index_bytes: u64,
}

pub trait RebuildObserver: Sync {
    fn begin(&self, hours: u64);
    fn hour_done(&self, files: u64);
}

/// Makes the index at `path` anew. What the one before knew of the past of holes, which is in no tree, is carried over.
pub fn rebuild(
    base: &Base,
    path: &Path,
    options: &IndexOptions,
    threads: usize,
    ledger: LedgerCopy,
    watcher: &dyn RebuildObserver,
) -> Result<Rebuilt, RebuildError> {
    let fresh = path.with_extension("redb.new");
    remove_if_there(&fresh)?;
    let result = fill(base, &fresh, options, threads, ledger, watcher).and_then(|rebuilt| {
        verify(&fresh, options, &rebuilt)?;
        swap(&fresh, path)?;
        Ok(rebuilt)
    });
    if result.is_err() {
        remove_if_there(&fresh)?;
    }
    result
}

fn fill(
    base: &Base,
    fresh: &Path,
    options: &IndexOptions,
    threads: usize,
    ledger: LedgerCopy,
    watcher: &dyn RebuildObserver,
) -> Result<Rebuilt, RebuildError> {
    // Stamps of the directories above are taken before they are read.
    let directories = directories(base)?;
    let streams = hours_on_disk(base)?;
    watcher.begin(streams.iter().map(|(_, hours)| hours.len() as u64).sum());
    let mut loader = BulkLoader::create(fresh, options)?;
    loader.carry_over(ledger);
    let mut rebuilt = Rebuilt::default();
    for (stream, hours) in &streams {
        rebuilt.hours += load(base, &mut loader, stream, hours, threads.max(1), watcher)?;
    }
    rebuilt.files = loader.rows();
    let archive = marker::read(base)?.map(ArchiveId::to_bytes);
    loader.finish(&directories, archive)?;
    rebuilt.index_bytes = fresh.metadata().map_err(|cause| RebuildError::File { path: fresh.to_owned(), cause })?.len();
    Ok(rebuilt)
}

/// Reads the hours of a stream in several threads, thread `t` every `threads`-th hour, and loads them in order.
fn load(
    base: &Base,
    loader: &mut BulkLoader,
    stream: &Stream,
    hours: &[Hour],
    threads: usize,
    watcher: &dyn RebuildObserver,
) -> Result<u64, RebuildError> {
    let stop = AtomicBool::new(false);
    let count = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let mut queues: Vec<Receiver<Result<Option<LoadedHour>, RebuildError>>> = Vec::new();
        for thread in 0..threads {
            let (sender, queue) = sync_channel(AHEAD);
            queues.push(queue);
            let stop = &stop;
            scope.spawn(move || read_hours(base, stream, hours.iter().skip(thread).step_by(threads), &sender, stop));
        }
        let in_order = (0..hours.len()).filter_map(|index| {
            let hour = queues.get(index % threads)?.recv().ok()?.transpose()?;
            if let Ok(hour) = &hour {
                watcher.hour_done(hour.contents.len() as u64);
                count.fetch_add(1, Ordering::Relaxed);
            }
            Some(hour)
        });
        let result = loader.load_stream(stream, in_order);
        stop.store(true, Ordering::Relaxed);
        drop(queues);
        result
    })?;
    Ok(count.into_inner())
}

fn read_hours<'h>(
    base: &Base,
    stream: &Stream,
    hours: impl Iterator<Item = &'h Hour>,
    sender: &SyncSender<Result<Option<LoadedHour>, RebuildError>>,
    stop: &AtomicBool,
) {
    for hour in hours {
        if stop.load(Ordering::Relaxed) || sender.send(read_hour(base, stream, *hour)).is_err() {
            return;
        }
    }
}

/// `None` if the directory has gone in the meantime.
fn read_hour(base: &Base, stream: &Stream, hour: Hour) -> Result<Option<LoadedHour>, RebuildError> {
    let place = HourPlace { stream: stream.clone(), hour };
    let Some(HourFiles { contents, stamp }) = hour_files(base, &place)? else { return Ok(None) };
    let totals = HourTotals::of(&contents);
    let line = HourLine::of(&contents);
    Ok(Some(LoadedHour { hour, contents, totals, line, stamp }))
}

/// The directories above the hours with their stamps. One that cannot be read is to be looked at again.
fn directories(base: &Base) -> Result<Vec<(String, Stamp)>, RebuildError> {
    let now = SystemTime::now();
    let mut found = Vec::new();
    let mut level = vec![String::new()];
    for _ in 0..3 {
        let mut beneath = Vec::new();
        for path in level {
            let (stamp, names) = match look(base, &path) {
                Ok(Some((stamp, names))) if is_settled(stamp, now) => (stamp, names),
                Ok(Some((_, names))) => (Stamp::UNTRUSTED, names),
                Ok(None) => continue,
                Err(_) if !path.is_empty() => (Stamp::UNTRUSTED, Vec::new()),
                Err(error) => return Err(error.into()),
            };
            let join = |name| if path.is_empty() { name } else { format!("{path}/{name}") };
            beneath.extend(names.into_iter().map(join));
            found.push((path, stamp));
        }
        level = beneath;
    }
    Ok(found)
}

fn look(base: &Base, path: &str) -> Result<Option<(Stamp, Vec<String>)>, DiskError> {
    let Some(stamp) = base.stamp_of_both(Path::new(path))? else { return Ok(None) };
    Ok(Some((stamp, subdirectories(base, path)?)))
}

fn verify(fresh: &Path, options: &IndexOptions, rebuilt: &Rebuilt) -> Result<(), RebuildError> {
    // Opening verifies every page and that all hours are there.
    let index = Index::open(fresh, IndexOptions { verify_below: u64::MAX, ..options.clone() })?;
    if let Some((_, why)) = &index.report().set_aside {
        return Err(RebuildError::NotVerified(why.clone()));
    }
    let hours = index.catalog().hour_count() as u64;
    if hours != rebuilt.hours {
        return Err(RebuildError::NotVerified(format!("{} hours were read and {hours} are there", rebuilt.hours)));
    }
    Ok(())
}

fn swap(fresh: &Path, path: &Path) -> Result<(), RebuildError> {
    let failed = |cause| RebuildError::File { path: path.to_owned(), cause };
    std::fs::rename(fresh, path).map_err(failed)?;
    let parent = path.parent().unwrap_or(Path::new("."));
    std::fs::File::open(parent).and_then(|directory| directory.sync_all()).map_err(failed)
}

fn remove_if_there(path: &Path) -> Result<(), RebuildError> {
    match std::fs::remove_file(path) {
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
            Err(RebuildError::File { path: path.to_owned(), cause })
        }
        _ => Ok(()),
    }
}
