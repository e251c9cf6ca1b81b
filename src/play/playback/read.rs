//! Reads the two ends of a segment's file: its first bytes, as few as say what is wanted, and its last ones.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use crate::archive::Container;
use crate::media::{Edges, Front, Mp4Reader, WINDOW};

/// First bytes that usually hold the tables, the parameters and the first picture's header.
const FIRST: usize = 16 << 10;

/// Pieces that are read of a file in MP4: one for each of its fragments, of which a segment of a few seconds has a dozen at most.
const MOST_PIECES: usize = 32;

/// What both ends of a file of this length say. A file that is smaller than both together is read at once.
pub fn edges_of(file: &File, length: u64, container: Container) -> io::Result<Edges> {
    match container {
        Container::Ts => ts_edges(file, length),
        Container::Mp4 => mp4_edges(file, length),
    }
}

/// Reads what describes samples, and passes over the samples.
fn mp4_edges(file: &File, length: u64) -> io::Result<Edges> {
    let (mut reader, mut at) = (Mp4Reader::default(), 0);
    for _ in 0..MOST_PIECES {
        let piece = part(file, at, (FIRST as u64).min(length - at))?;
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

fn ts_edges(file: &File, length: u64) -> io::Result<Edges> {
    let window = WINDOW as u64;
    if length <= 2 * window {
        return Ok(Front::read(&part(file, 0, length)?).with(None));
    }
    let mut front = Front::read(&part(file, 0, FIRST as u64)?);
    if front.wants_more() {
        front = Front::read(&part(file, 0, window)?);
    }
    let from = front.packet_from(length - window);
    let tail = part(file, from, length.saturating_sub(from))?;
    Ok(front.with(Some(&tail)))
}

fn part(file: &File, from: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, from)?;
    Ok(bytes)
}
