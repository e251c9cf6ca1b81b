//! A file of an hour that is being read for its manifest: all that is said of it comes from the bytes that pass by, and from its name.

use std::mem;

use sha2::{Digest as _, Sha256};

use crate::archive::{EdgesReader, Hash, ManifestFile, MediaLine, media_reader};

/// What was read of a file so far.
#[derive(Debug, Default)]
pub(super) struct ReadFile {
    hasher: Sha256,
    bytes: u64,
    /// Nothing where there is no media, or before the first byte.
    media: Option<EdgesReader>,
}

impl ReadFile {
    /// Where to read on.
    pub(super) const fn at(&self) -> u64 {
        self.bytes
    }

    /// The next bytes of the file that is called so.
    pub(super) fn push(&mut self, name: &str, piece: &[u8]) {
        if self.bytes == 0 {
            self.media = media_reader(name);
        }
        self.hasher.update(piece);
        if let Some(media) = &mut self.media {
            media.push(piece);
        }
        self.bytes += piece.len() as u64;
    }

    /// All of it was read; the next one can be.
    pub(super) fn finish(&mut self, name: &str) -> (ManifestFile, Option<MediaLine>) {
        let Self { hasher, bytes, media } = mem::take(self);
        // An empty file has passed by without a piece.
        let media = if bytes == 0 { media_reader(name) } else { media };
        let file = ManifestFile { name: name.into(), size: bytes, sha256: Hash(hasher.finalize().into()) };
        (file, media.map(|media| MediaLine::new(media.finish())))
    }
}
