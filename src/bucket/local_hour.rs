//! A sealed hour as it is read from the disk to be uploaded: part by part, from the beginning to the end.
//!
//! Every file is hashed while it is read. One that is not what the manifest says ends the upload before it is complete: a bucket must not
//! hold under the digest of right bytes any others.

use std::ffi::OsStr;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::archive::escape::shown;
use crate::archive::{Hash, ManifestFile, ObjectPiece, PackedHour};
use crate::disk::{Base, Dir, DiskError, WholeFile};

/// Why an hour cannot be read as its manifest says.
#[derive(Debug, thiserror::Error)]
pub enum LocalHourError {
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A file is another one, or gone.
    #[error("{} is not what the manifest of its hour says: {why}; `gapless scrub` looks at it", shown(name))]
    Changed {
        /// Its path.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// An hour that is being read.
#[derive(Debug)]
pub struct LocalHour {
    packed: Arc<PackedHour>,
    dir: Dir,
    at: u64,
    hasher: Sha256,
    room: Vec<u8>,
}

impl LocalHour {
    /// Opens its directory.
    pub fn open(base: &Base, packed: Arc<PackedHour>) -> Result<Self, LocalHourError> {
        let place = packed.manifest().place();
        let gone = || LocalHourError::Changed { name: place.to_string(), why: "its directory is gone" };
        let dir = base.dir(&place.path())?.ok_or_else(gone)?;
        Ok(Self { packed, dir, at: 0, hasher: Sha256::new(), room: Vec::new() })
    }

    /// What is read.
    pub fn packed(&self) -> &Arc<PackedHour> {
        &self.packed
    }

    /// The next part, of so many bytes if there are as many; `None` at the end.
    pub fn next_part(&mut self, bytes: u64) -> Result<Option<Bytes>, LocalHourError> {
        let end = self.packed.size().min(self.at.saturating_add(bytes));
        if self.at == end {
            return Ok(None);
        }
        let mut part = Vec::with_capacity(usize::try_from(end - self.at).unwrap_or_default());
        let packed = Arc::clone(&self.packed);
        for piece in packed.pieces(self.at..end) {
            match piece {
                ObjectPiece::Bytes(made) => part.extend_from_slice(&made),
                ObjectPiece::File(file, range) => self.file(file, &range, &mut part)?,
            }
        }
        self.at = end;
        Ok(Some(part.into()))
    }

    fn file(&mut self, file: &ManifestFile, range: &Range<u64>, part: &mut Vec<u8>) -> Result<(), LocalHourError> {
        let changed = |why| LocalHourError::Changed { name: self.packed.manifest().path_of(file), why };
        let mut left = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let hasher = &mut self.hasher;
        let read = self.dir.read_whole(OsStr::new(&*file.name), range.start, &mut self.room, |piece| {
            let piece = piece.get(..left.min(piece.len())).unwrap_or_default();
            hasher.update(piece);
            part.extend_from_slice(piece);
            left -= piece.len();
            if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        if read == WholeFile::Absent {
            return Err(changed("it is gone"));
        }
        if left > 0 {
            return Err(changed("it is shorter"));
        }
        if range.end == file.size && Hash(self.hasher.finalize_reset().into()) != file.sha256 {
            return Err(changed("its content is another one"));
        }
        Ok(())
    }
}
