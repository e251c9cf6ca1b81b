//! Files of archived hours that were read from a bucket, as they are kept on a disk here: a directory of files that are called by their
//! SHA-256, bounded in bytes, from which that leaves first which was used longest ago.
//!
//! 1. Nothing here is anybody's only copy, so nothing is flushed, and whatever is wrong with it costs one more request.
//! 2. A file that an earlier process has left is hashed before its first use: a power cut leaves names without their bytes.
//! 3. A disk that is full or cannot be written holds up nobody: the bytes are given all the same, from a file without a name.
//!
//! One process uses a directory at a time. A second one would do no harm, but each would take all of the limit. All of it blocks.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Read as _, Seek as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::SystemTime;

use parking_lot::Mutex;
use rustix::fs::{OFlags, statvfs};
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

use super::kept_copies::{KeptCopies, in_blocks};
use crate::archive::Hash;

/// What the names of files begin with that are not whole yet.
const COMING: &str = ".coming.";
/// Bytes that are read at once.
const PIECE: usize = 64 << 10;

/// What the directory is called beneath the state directory.
pub const CACHE_DIR: &str = "bucket_cache";

/// How much of a disk a cache may take.
#[derive(Debug, Clone, Copy)]
pub struct CacheBounds {
    /// Bytes of all files, by blocks; 0 keeps nothing.
    pub limit: u64,
    /// Bytes of the disk that stay free.
    pub keep_free: u64,
}

/// The cache.
#[derive(Debug)]
pub struct SegmentCache {
    dir: PathBuf,
    bounds: CacheBounds,
    kept: Mutex<KeptCopies>,
    /// Files that were not what they are called.
    wrong: AtomicU64,
    is_failing: AtomicBool,
    /// The last file found no room.
    is_full: AtomicBool,
}

impl SegmentCache {
    /// In a directory that is made when it is needed. What an earlier process has kept there is taken up.
    pub fn open(dir: PathBuf, bounds: CacheBounds) -> Self {
        let (is_failing, is_full) = (AtomicBool::new(false), AtomicBool::new(false));
        let (kept, wrong) = (Mutex::default(), AtomicU64::new(0));
        let cache = Self { dir, bounds, kept, wrong, is_failing, is_full };
        match cache.take_up() {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => cache.tell(&error),
        }
        cache
    }

    /// Bytes that it takes on the disk, by blocks.
    pub fn bytes(&self) -> u64 {
        self.kept.lock().bytes()
    }

    /// Bytes that it may take.
    pub fn limit(&self) -> u64 {
        self.bounds.limit
    }

    /// Bytes that what nobody has asked for yet can share with the rest; none while nothing can be kept, as it would come in vain.
    pub(super) fn bytes_for_reading_ahead(&self) -> u64 {
        if self.is_full.load(Ordering::Relaxed) || self.is_failing.load(Ordering::Relaxed) {
            0
        } else {
            self.bounds.limit
        }
    }

    /// How many files in it were not what they are called.
    pub fn wrong_files(&self) -> u64 {
        self.wrong.load(Ordering::Relaxed)
    }

    pub(super) fn contains(&self, hash: &Hash) -> bool {
        self.kept.lock().contains(hash)
    }

    /// The file with this content and of this size, opened for reading; `None` if it is not here.
    pub(super) fn get(&self, hash: &Hash, size: u64) -> Option<File> {
        let is_verified = self.kept.lock().note_use(hash)?;
        match opened(&self.path(hash), size, (!is_verified).then_some(hash)) {
            Ok(Some(file)) => {
                self.kept.lock().note_verified(hash);
                // It is only for the order in which files leave after a restart.
                file.set_modified(SystemTime::now()).ok();
                Some(file)
            }
            Ok(None) => {
                self.wrong.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(name: "kept_segment_wrong", dir = %self.dir.display(), hash = hash.hexadecimal(), "a segment that was kept from the bucket is not what it was; it is read from there again");
                self.leave_out(hash);
                self.delete(hash);
                None
            }
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    self.tell(&error);
                }
                self.leave_out(hash);
                None
            }
        }
    }

    /// A place for a file of so many bytes that is to be kept; `None` if there is no room for it.
    pub(super) fn place(self: &Arc<Self>, size: u64) -> Option<CachePlace> {
        let bytes = in_blocks(size);
        if bytes == 0 || bytes > self.bounds.limit {
            return None;
        }
        let placed = self.reserve(bytes).and_then(|reserved| {
            self.is_full.store(reserved.is_none(), Ordering::Relaxed);
            let Some(room) = reserved else { return Ok(None) };
            let file = tempfile::Builder::new().prefix(COMING).tempfile_in(&self.dir)?;
            Ok(Some(CachePlace { file, room }))
        });
        placed.unwrap_or_else(|error| {
            self.tell(&error);
            None
        })
    }

    /// A file without a name on the disk of the cache, of so many bytes; `None` if there is no room.
    pub(super) fn nameless(&self, size: u64) -> Option<File> {
        let made = self
            .missing(in_blocks(size))
            .and_then(|missing| if missing > 0 { Ok(None) } else { tempfile::tempfile_in(&self.dir).map(Some) });
        made.unwrap_or_else(|error| {
            self.tell(&error);
            None
        })
    }

    /// Keeps what has come, if it can.
    pub(super) fn keep(&self, place: CachePlace, hash: Hash, size: u64) {
        let CachePlace { file, mut room } = place;
        match file.persist(self.path(&hash)) {
            Ok(_) => {
                // In one step: whoever reserves room meanwhile would find more than there is.
                let mut kept = self.kept.lock();
                kept.release(std::mem::take(&mut room.bytes));
                kept.add(hash, size, true);
                drop(kept);
                self.is_failing.store(false, Ordering::Relaxed);
            }
            Err(error) => self.tell(&error.error),
        }
    }

    /// Deletes the file with this content, if it is here.
    pub(super) fn let_go(&self, hash: &Hash) {
        if self.contains(hash) {
            self.leave_out(hash);
            self.delete(hash);
        }
    }

    /// Says once that it does not work, until it works again.
    pub(super) fn tell(&self, error: &io::Error) {
        if !self.is_failing.swap(true, Ordering::Relaxed) {
            tracing::warn!(name: "bucket_cache_failing", dir = %self.dir.display(), %error, "what is read from the bucket cannot be kept here; it is served all the same, and read again each time");
        }
    }

    fn path(&self, hash: &Hash) -> PathBuf {
        self.dir.join(hash.hexadecimal())
    }

    fn leave_out(&self, hash: &Hash) {
        self.kept.lock().take(hash);
    }

    fn delete(&self, hash: &Hash) {
        if let Err(error) = fs::remove_file(self.path(hash))
            && error.kind() != io::ErrorKind::NotFound
        {
            self.tell(&error);
        }
    }

    fn delete_all(&self, hashes: &[Hash]) {
        for hash in hashes {
            self.delete(hash);
        }
    }

    /// Reserves room, for which others may have to leave; `None` if there is none.
    fn reserve(self: &Arc<Self>, bytes: u64) -> io::Result<Option<ReservedRoom>> {
        let missing = self.missing(bytes)?;
        let mut leaving = Vec::new();
        let is_reserved = self.kept.lock().reserve(bytes, self.bounds.limit, missing, &mut leaving);
        self.delete_all(&leaving);
        Ok(is_reserved.then(|| ReservedRoom { cache: Arc::clone(self), bytes }))
    }

    /// Bytes that have to be freed so that so many more fit on the disk.
    fn missing(&self, bytes: u64) -> io::Result<u64> {
        let stat = match statvfs(&self.dir) {
            Err(rustix::io::Errno::NOENT) => {
                DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
                statvfs(&self.dir)?
            }
            stat => stat?,
        };
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        Ok(self.bounds.keep_free.saturating_add(bytes).saturating_sub(free))
    }

    /// Looks at what an earlier process has left; what has another name than the cache gives stays and does not count.
    fn take_up(&self) -> io::Result<()> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let Some(meta) = entry.metadata().ok().filter(Metadata::is_file) else { continue };
            let name = entry.file_name();
            if name.as_bytes().starts_with(COMING.as_bytes()) {
                fs::remove_file(entry.path())?;
            } else if let Some(hash) = name.to_str().and_then(Hash::parse_hexadecimal) {
                found.push((meta.modified()?, hash, meta.len()));
            }
        }
        found.sort_unstable();
        let mut leaving = Vec::new();
        let mut kept = self.kept.lock();
        for (_, hash, size) in found {
            kept.add(hash, size, false);
            kept.reserve(0, self.bounds.limit, 0, &mut leaving);
        }
        drop(kept);
        self.delete_all(&leaving);
        Ok(())
    }
}

/// Where a file lies until it is whole. Dropping it removes the file.
#[derive(Debug)]
pub(super) struct CachePlace {
    file: NamedTempFile,
    room: ReservedRoom,
}

impl CachePlace {
    pub(super) fn file(&self) -> &File {
        self.file.as_file()
    }
}

/// Room in the account for what is coming.
#[derive(Debug)]
struct ReservedRoom {
    cache: Arc<SegmentCache>,
    bytes: u64,
}

impl Drop for ReservedRoom {
    fn drop(&mut self) {
        self.cache.kept.lock().release(self.bytes);
    }
}

/// Opens a file of this size; `None` if it is another one, or its content is not this.
fn opened(path: &Path, size: u64, content: Option<&Hash>) -> io::Result<Option<File>> {
    // Whatever lies there: no link is followed, and nobody is waited for.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let custom = i32::try_from(flags.bits()).unwrap_or_default();
    let mut file = OpenOptions::new().read(true).custom_flags(custom).open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() || meta.len() != size {
        return Ok(None);
    }
    if let Some(expected) = content {
        let (mut hasher, mut piece) = (Sha256::new(), vec![0; PIECE]);
        loop {
            let read = file.read(&mut piece)?;
            if read == 0 {
                break;
            }
            hasher.update(piece.get(..read).unwrap_or_default());
        }
        if Hash(hasher.finalize().into()) != *expected {
            return Ok(None);
        }
        file.rewind()?;
    }
    Ok(Some(file))
}
