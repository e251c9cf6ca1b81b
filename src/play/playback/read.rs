//! Reads the two ends of a segment's file: its first bytes, as few as say what is wanted, and its last ones.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use crate::media::{Edges, Front, WINDOW};

/// First bytes that usually hold the tables, the parameters and the first picture's header.
const FIRST: usize = 16 << 10;

/// What both ends of a file of this length say. A file that is smaller than both together is read at once.
pub fn edges_of(file: &File, length: u64) -> io::Result<Edges> {
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
