//! What segments say of themselves, read from their first bytes once and kept by their hashes: the same hash is the same content.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{self, Read as _};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::archive::{Container, Hash, SequencePiece, Stream};
use crate::media::{Facts, Mp4Reader, facts};

/// Bytes that usually say all.
const FIRST: u64 = 256 << 10;
/// Where they do not, because a large picture comes before the first sound.
const MOST: u64 = 2 << 20;
/// Segments that are remembered, of some 200 bytes each: playlists ask about a handful of each quality.
const KEPT: usize = 4_096;

/// The kept facts.
#[derive(Debug, Default)]
pub(super) struct Headers(Mutex<KnownFacts>);

#[derive(Debug, Default)]
struct KnownFacts {
    facts: HashMap<Hash, Arc<Facts>>,
    /// The oldest first.
    order: VecDeque<Hash>,
}

impl Headers {
    /// What a segment says of itself; `None` if it cannot be read now.
    pub(super) fn of(
        &self,
        stream: &Stream,
        piece: &SequencePiece,
        open: impl FnOnce() -> io::Result<File>,
    ) -> Option<Arc<Facts>> {
        let hash = piece.file.key.hash;
        if let Some(known) = self.get(&hash) {
            return Some(known);
        }
        match open().and_then(|file| read(&file, piece.file.key.container)) {
            Ok(facts) => Some(self.put(hash, facts)),
            Err(error) => {
                let file = piece.file.name();
                tracing::debug!(name: "headers_unread", %stream, hour = %piece.hour, %file, %error, "the first bytes of a segment cannot be read");
                None
            }
        }
    }

    fn get(&self, hash: &Hash) -> Option<Arc<Facts>> {
        self.0.lock().facts.get(hash).cloned()
    }

    fn put(&self, hash: Hash, facts: Facts) -> Arc<Facts> {
        let facts = Arc::new(facts);
        let mut known = self.0.lock();
        if known.facts.insert(hash, Arc::clone(&facts)).is_none() {
            known.order.push_back(hash);
        }
        if known.order.len() > KEPT
            && let Some(oldest) = known.order.pop_front()
        {
            known.facts.remove(&oldest);
        }
        facts
    }
}

fn read(file: &File, container: Container) -> io::Result<Facts> {
    let facts = match container {
        Container::Ts => facts,
        Container::Mp4 => Mp4Reader::reading,
    };
    let mut head = Vec::new();
    file.take(FIRST).read_to_end(&mut head)?;
    let reading = facts(&head);
    if !reading.wants_more {
        return Ok(reading.facts);
    }
    file.take(MOST - FIRST).read_to_end(&mut head)?;
    Ok(facts(&head).facts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten() {
        let headers = Headers::default();
        let hash = |number: usize| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&(number as u64).to_le_bytes());
            Hash(bytes)
        };
        for number in 0..=KEPT {
            headers.put(hash(number), Facts::default());
            headers.put(hash(number), Facts::default());
        }
        assert!(headers.get(&hash(0)).is_none());
        assert!(headers.get(&hash(1)).is_some() && headers.get(&hash(KEPT)).is_some());
    }
}
