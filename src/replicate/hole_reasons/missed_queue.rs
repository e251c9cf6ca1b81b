//! What recorders of this node say that they missed, until the index remembers it. Recorders never wait for the index.

use std::collections::VecDeque;

use parking_lot::Mutex;

use crate::archive::Stream;
use crate::archive::hole_reasons::MissedRecording;
use crate::index::{Index, IndexError};

/// Beyond this the oldest are dropped, and their holes have no reason of the recorder: the index was away for long.
const MOST: usize = 4_096;

/// What is to be remembered.
#[derive(Debug, Default)]
pub struct MissedQueue(Mutex<VecDeque<(Stream, MissedRecording)>>);

impl MissedQueue {
    /// Takes one in.
    pub fn put(&self, stream: &Stream, missed: MissedRecording) {
        let mut queue = self.0.lock();
        queue.push_back((stream.clone(), missed));
        if queue.len() > MOST {
            queue.pop_front();
        }
    }

    /// Has the index remember all; says whether there was anything. What cannot be written stays, and what is of a quality that is not in
    /// the index yet: it has no holes. Blocks.
    pub(super) fn hand_on(&self, index: &Index) -> Result<bool, IndexError> {
        let all: Vec<_> = std::mem::take(&mut *self.0.lock()).into();
        let (known, unknown): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|(stream, _)| index.catalog().read().streams.contains_key(&stream.to_string()));
        let written = if known.is_empty() { Ok(false) } else { index.remember_missed(known.clone()).map(|()| true) };
        let left = if written.is_err() { known } else { Vec::new() };
        let mut queue = self.0.lock();
        for each in unknown.into_iter().chain(left).rev() {
            if queue.len() < MOST {
                queue.push_front(each);
            }
        }
        written
    }
}
