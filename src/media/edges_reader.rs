//! What both ends of a file say whose bytes come one after the other, as they do while it is hashed: the same, to the bit, as whoever opens the file
//! and reads its ends by themselves finds.
//!
//! At most 192 KiB are held of a file, whatever its length. What this makes of the same bytes stands in manifests: whoever changes it, or what
//! [`Edges`] say, gives the rule of these lines another number.

use std::convert::Infallible;

use super::edges::{Edges, Front, WINDOW};
use super::mp4::Mp4Reader;

/// First bytes that usually hold the tables, the parameters and the first picture's header; also those that are read of MP4 at a time.
pub const FIRST_BYTES: usize = 16 << 10;

/// Pieces that are read of a file in MP4: one for each of its fragments, of which a segment of a few seconds has a dozen at most.
pub const MOST_PIECES: usize = 32;

/// Bytes of a transport stream that are read at once where it has no more.
const FRONT: usize = 2 * WINDOW;

/// The bytes of one file, as they come.
#[derive(Debug)]
pub enum EdgesReader {
    /// A transport stream.
    Ts(TsEnds),
    /// A fragmented MP4.
    Mp4(Box<Mp4Pieces>),
}

impl EdgesReader {
    /// Of a transport stream.
    pub fn ts() -> Self {
        Self::Ts(TsEnds::default())
    }

    /// Of a fragmented MP4.
    pub fn mp4() -> Self {
        Self::Mp4(Box::default())
    }

    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        match self {
            Self::Ts(ends) => ends.push(bytes),
            Self::Mp4(pieces) => pieces.push(bytes),
        }
    }

    /// All bytes have come.
    pub fn finish(self) -> Edges {
        match self {
            Self::Ts(ends) => ends.finish(),
            Self::Mp4(pieces) => pieces.finish(),
        }
    }
}

/// What both ends of a transport stream of this length say, of which `part` gives so many bytes from a place on.
pub fn ts_edges<E>(length: u64, mut part: impl FnMut(u64, u64) -> Result<Vec<u8>, E>) -> Result<Edges, E> {
    let window = WINDOW as u64;
    if length <= FRONT as u64 {
        return Ok(Front::read(&part(0, length)?).with(None));
    }
    let mut front = Front::read(&part(0, FIRST_BYTES as u64)?);
    if front.wants_more() {
        front = Front::read(&part(0, window)?);
    }
    let from = front.packet_from(length - window);
    let tail = part(from, length.saturating_sub(from))?;
    Ok(front.with(Some(&tail)))
}

/// What both ends of a fragmented MP4 of this length say: what describes samples is read, and the samples are passed over.
pub fn mp4_edges<E>(length: u64, mut part: impl FnMut(u64, u64) -> Result<Vec<u8>, E>) -> Result<Edges, E> {
    let (mut reader, mut at) = (Mp4Reader::default(), 0);
    for _ in 0..MOST_PIECES {
        let piece = part(at, (FIRST_BYTES as u64).min(length - at))?;
        reader.feed(&piece);
        at += piece.len() as u64;
        let passing = reader.passing().min(length - at);
        reader.pass(passing);
        at += passing;
        if at >= length {
            return Ok(reader.edges(true));
        }
    }
    Ok(reader.edges(false))
}

/// The two ends of a transport stream.
#[derive(Debug, Default)]
pub struct TsEnds {
    length: u64,
    /// The first bytes, and behind them the last ones; all of it, where these are.
    held: Vec<u8>,
}

impl TsEnds {
    fn push(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        let missing = FRONT.saturating_sub(self.held.len());
        let (first, rest) = bytes.split_at(bytes.len().min(missing));
        self.held.extend_from_slice(first);
        // Nothing is copied that the same piece pushes out again.
        let last = rest.get(rest.len().saturating_sub(WINDOW)..).unwrap_or_default();
        let too_many = (self.held.len() + last.len()).saturating_sub(FRONT + WINDOW);
        if too_many > 0 {
            self.held.drain(FRONT..FRONT + too_many);
        }
        self.held.extend_from_slice(last);
    }

    fn finish(self) -> Edges {
        let let_go = self.length - self.held.len() as u64;
        let part = |from: u64, length: u64| {
            let from = if from < FRONT as u64 { from } else { from - let_go };
            let range = [from, from + length].map(|place| usize::try_from(place).unwrap_or(usize::MAX));
            Ok::<_, Infallible>(self.held.get(range[0]..range[1]).unwrap_or_default().to_vec())
        };
        let Ok(edges) = ts_edges(self.length, part);
        edges
    }
}

/// What is read of a fragmented MP4, as [`mp4_edges`] reads it.
#[derive(Debug, Default)]
pub struct Mp4Pieces {
    reader: Mp4Reader,
    /// The piece that is coming.
    piece: Vec<u8>,
    pieces: usize,
    /// Bytes that are passed over, and how many of them have come.
    passing: u64,
    passed: u64,
    /// There is more than is read.
    is_left: bool,
}

impl Mp4Pieces {
    fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.is_left {
            if self.passed < self.passing {
                let length = (bytes.len() as u64).min(self.passing - self.passed);
                self.passed += length;
                bytes = bytes.get(usize::try_from(length).unwrap_or(usize::MAX)..).unwrap_or_default();
                continue;
            }
            self.pass();
            if self.pieces == MOST_PIECES {
                self.is_left = true;
                return;
            }
            let (piece, rest) = bytes.split_at(bytes.len().min(FIRST_BYTES - self.piece.len()));
            self.piece.extend_from_slice(piece);
            bytes = rest;
            if self.piece.len() == FIRST_BYTES {
                self.feed();
            }
        }
    }

    fn feed(&mut self) {
        self.reader.feed(&self.piece);
        self.piece.clear();
        self.pieces += 1;
        (self.passing, self.passed) = (self.reader.passing(), 0);
    }

    fn pass(&mut self) {
        self.reader.pass(std::mem::take(&mut self.passed));
        self.passing = 0;
    }

    fn finish(mut self) -> Edges {
        if !self.piece.is_empty() {
            self.feed();
        }
        self.pass();
        self.reader.edges(!self.is_left)
    }
}
