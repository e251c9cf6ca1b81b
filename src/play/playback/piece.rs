//! Playlists as they go over the wire: pieces of text, each kept plain and deflated, put together without copying.
//!
//! One gzip stream (RFC 1952) is put together from pieces that were deflated each on its own, up to a byte boundary: its checksum is
//! combined from theirs. Several gzip members would do as well by the format, but browsers stop after the first.

use std::io;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress};
use xxhash_rust::xxh3::{Xxh3Default, xxh3_128};

use super::threads::by_threads;
use super::window_state::WindowState;

/// The fastest level: names are mostly hashes, which no level shortens.
const LEVEL: u32 = 1;

/// No time, and no operating system, or the bytes would differ between nodes.
const GZIP_HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// The last block of a deflated stream, with nothing in it.
const LAST_BLOCK: [u8; 2] = [3, 0];

/// A piece of a playlist.
#[derive(Debug)]
pub(super) struct PieceText {
    plain: Bytes,
    hash: u128,
    deflated: OnceLock<Deflated>,
}

#[derive(Debug, Clone)]
struct Deflated {
    bytes: Bytes,
    crc: crc32fast::Hasher,
}

impl PieceText {
    pub(super) fn new(text: String) -> Self {
        let plain = Bytes::from(text);
        Self { hash: xxh3_128(&plain), plain, deflated: OnceLock::new() }
    }

    pub(super) fn size(&self) -> usize {
        self.plain.len() + self.deflated.get().map_or(0, |deflated| deflated.bytes.len())
    }

    fn deflated(&self) -> io::Result<Deflated> {
        if let Some(deflated) = self.deflated.get() {
            return Ok(deflated.clone());
        }
        let mut crc = crc32fast::Hasher::new();
        crc.update(&self.plain);
        let made = Deflated { bytes: deflate(&self.plain)?.into(), crc };
        Ok(self.deflated.get_or_init(|| made).clone())
    }
}

/// Deflated, up to a byte boundary, without a last block.
fn deflate(plain: &[u8]) -> io::Result<Vec<u8>> {
    let mut compress = Compress::new(Compression::new(LEVEL), false);
    let mut deflated = Vec::with_capacity(plain.len() * 2 / 3 + 64);
    loop {
        let read = usize::try_from(compress.total_in()).unwrap_or(usize::MAX);
        let rest = plain.get(read..).unwrap_or_default();
        compress.compress_vec(rest, &mut deflated, FlushCompress::Sync).map_err(io::Error::other)?;
        // All is read and written out when there is room left.
        if compress.total_in() == plain.len() as u64 && deflated.len() < deflated.capacity() {
            return Ok(deflated);
        }
        deflated.reserve(plain.len() / 4 + 256);
    }
}

/// A playlist that was made.
#[derive(Debug)]
pub struct Playlist {
    pieces: Vec<Arc<PieceText>>,
    hash: String,
    gzip: OnceLock<Vec<Bytes>>,
    /// What it was made from.
    pub(super) seen: WindowState,
    /// Until when it is right if nothing changes, by the clock that never goes back.
    pub(super) until: Option<std::time::Duration>,
}

impl Playlist {
    pub(super) fn new(pieces: Vec<Arc<PieceText>>, seen: WindowState, until: Option<std::time::Duration>) -> Self {
        let mut hash = Xxh3Default::new();
        for piece in &pieces {
            hash.update(&piece.hash.to_le_bytes());
            hash.update(&(piece.plain.len() as u64).to_le_bytes());
        }
        Self { pieces, hash: format!("{:032x}", hash.digest128()), gzip: OnceLock::new(), seen, until }
    }

    /// Of its text.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Its text, piece by piece.
    pub fn plain(&self) -> Vec<Bytes> {
        self.pieces.iter().map(|piece| piece.plain.clone()).collect()
    }

    /// The same as one gzip stream, if it has been put together.
    pub fn kept_gzip(&self) -> Option<Vec<Bytes>> {
        self.gzip.get().cloned()
    }

    /// The same as one gzip stream. Takes a while where a piece was not deflated before.
    pub fn gzip(&self) -> io::Result<Vec<Bytes>> {
        if let Some(kept) = self.kept_gzip() {
            return Ok(kept);
        }
        let mut crc = crc32fast::Hasher::new();
        let mut chunks = vec![Bytes::from_static(&GZIP_HEAD)];
        let mut len = 0_u64;
        let all = by_threads(&self.pieces, |piece| piece.deflated());
        let all = all.ok_or_else(|| io::Error::other("a thread that deflated has died"))?;
        for (piece, deflated) in self.pieces.iter().zip(all) {
            let deflated = deflated?;
            crc.combine(&deflated.crc);
            len += piece.plain.len() as u64;
            chunks.push(deflated.bytes);
        }
        let mut end = LAST_BLOCK.to_vec();
        end.extend(crc.finalize().to_le_bytes());
        // The format counts modulo 2^32.
        end.extend(&len.to_le_bytes()[..4]);
        chunks.push(end.into());
        Ok(self.gzip.get_or_init(|| chunks).clone())
    }

    /// Bytes that it keeps; deflated it has about half as many again, now or later.
    pub(super) fn size(&self) -> usize {
        512 + self.pieces.iter().map(|piece| piece.plain.len() / 2 * 3).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pieces_put_together_are_one_stream(texts in prop::collection::vec("[a-f\n]{0,3000}", 0..6)) {
            let pieces = texts.iter().map(|text| Arc::new(PieceText::new(text.clone()))).collect();
            let list = Playlist::new(pieces, WindowState::default(), None);
            let stream = list.gzip().unwrap().concat();
            let mut decoder = flate2::bufread::GzDecoder::new(&stream[..]);
            let mut text = String::new();
            decoder.read_to_string(&mut text).unwrap();
            prop_assert_eq!(&text, &texts.concat());
            prop_assert_eq!(text.as_bytes(), list.plain().concat());
            prop_assert!(decoder.into_inner().is_empty(), "one stream and nothing after it");
        }
    }
}
