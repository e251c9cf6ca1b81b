//! A file that is coming from a bucket: where its bytes go until they are whole, and what is given out then.
//!
//! It goes into the cache if there is room, else into a file without a name on the same disk, and if that cannot be, into memory: whoever waits
//! for a segment gets it whatever is wrong with the disk here.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use rustix::fs::{MemfdFlags, memfd_create};
use sha2::{Digest as _, Sha256};

use super::segment_cache::{CachePlace, SegmentCache};
use crate::archive::Hash;

/// The largest file that is held in memory because it can lie nowhere else.
const MOST_IN_MEMORY: u64 = 64 << 20;
/// Bytes that are copied at once.
const PIECE: usize = 64 << 10;

/// The file. Dropping it before it is whole leaves nothing.
#[derive(Debug)]
pub(super) struct ComingFile {
    cache: Arc<SegmentCache>,
    place: Place,
    hash: Hash,
    size: u64,
    written: u64,
    hasher: Sha256,
}

#[derive(Debug)]
enum Place {
    Kept(CachePlace),
    Nameless(File),
    Memory(File),
}

impl Place {
    fn file(&self) -> &File {
        match self {
            Self::Kept(place) => place.file(),
            Self::Nameless(file) | Self::Memory(file) => file,
        }
    }
}

impl ComingFile {
    /// One that is to have this content and size.
    pub(super) fn begin(cache: &Arc<SegmentCache>, hash: Hash, size: u64) -> io::Result<Self> {
        let place = match cache.place(size) {
            Some(place) => Place::Kept(place),
            None if size == 0 => in_memory(size)?,
            None => match cache.nameless(size) {
                Some(file) => Place::Nameless(file),
                None => in_memory(size)?,
            },
        };
        Ok(Self { cache: Arc::clone(cache), place, hash, size, written: 0, hasher: Sha256::new() })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.place.file().write_all_at(bytes, self.written) {
            if matches!(self.place, Place::Memory(_)) {
                return Err(error);
            }
            self.cache.tell(&error);
            let memory = in_memory(self.size)?;
            copy(self.place.file(), memory.file(), self.written)?;
            memory.file().write_all_at(bytes, self.written)?;
            self.place = memory;
        }
        self.hasher.update(bytes);
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// The file, opened for reading, if it is what it should be; it is kept if there is room.
    pub(super) fn finish(self) -> io::Result<Option<File>> {
        if self.written != self.size || Hash(self.hasher.finalize().into()) != self.hash {
            return Ok(None);
        }
        let file = again(self.place.file())?;
        if let Place::Kept(place) = self.place {
            self.cache.keep(place, self.hash, self.size);
        }
        Ok(Some(file))
    }
}

/// Opens a file once more, whatever its name has become: a position of its own, and nothing but reading.
pub(super) fn again(file: &File) -> io::Result<File> {
    File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

fn in_memory(size: u64) -> io::Result<Place> {
    if size > MOST_IN_MEMORY {
        return Err(io::ErrorKind::StorageFull.into());
    }
    Ok(Place::Memory(memfd_create("segment", MemfdFlags::CLOEXEC)?.into()))
}

fn copy(from: &File, to: &File, bytes: u64) -> io::Result<()> {
    let (mut at, mut piece) = (0, vec![0; PIECE]);
    while at < bytes {
        let length = usize::try_from(bytes - at).unwrap_or(PIECE).min(PIECE);
        let read = piece.get_mut(..length).unwrap_or_default();
        from.read_exact_at(read, at)?;
        to.write_all_at(read, at)?;
        at += length as u64;
    }
    Ok(())
}
