//! Reads the two ends of a segment's file: its first bytes, as few as say what is wanted, and its last ones.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use crate::archive::Container;
use crate::media::{Edges, mp4_edges, ts_edges};

/// What both ends of a file of this length say. A file that is smaller than both together is read at once.
pub fn edges_of(file: &File, length: u64, container: Container) -> io::Result<Edges> {
    let part = |from, bytes| part(file, from, bytes);
    match container {
        Container::Ts => ts_edges(length, part),
        Container::Mp4 => mp4_edges(length, part),
    }
}

fn part(file: &File, from: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, from)?;
    Ok(bytes)
}
