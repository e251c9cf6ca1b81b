//! Files of an object that lie behind one another and come in one request, and who waits for which of them.

use std::collections::BTreeSet;
use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::coming_file::again;
use super::read_error::SegmentReadError;
use crate::archive::{ObjectName, PackedHour};

/// A file, or why there is none.
pub(super) type GivenFile = Result<File, SegmentReadError>;

/// One request. Files are known by their place in the order of the manifest.
#[derive(Debug)]
pub(super) struct RangeRequest {
    pub(super) object: Arc<PackedHour>,
    pub(super) name: ObjectName,
    pub(super) files: Range<usize>,
    /// It is done also while nobody waits.
    pub(super) is_ahead: bool,
    state: Mutex<RequestState>,
}

#[derive(Debug)]
struct RequestState {
    /// Those before it came already, or were wrong.
    next: usize,
    /// Those that were wrong, and are read once more.
    again: BTreeSet<usize>,
    waiting: Vec<(usize, oneshot::Sender<GivenFile>)>,
}

impl RangeRequest {
    pub(super) fn new(object: Arc<PackedHour>, name: ObjectName, files: Range<usize>, is_ahead: bool) -> Self {
        let state = RequestState { next: files.start, again: BTreeSet::new(), waiting: Vec::new() };
        Self { object, name, files, is_ahead, state: Mutex::new(state) }
    }

    /// Where in the object some of its files lie, with what is between them.
    pub(super) fn bytes_of(&self, files: &Range<usize>) -> Range<u64> {
        let end = files.end.checked_sub(1).map_or(0, |last| self.object.content(last).end);
        let begin = self.object.content(files.start).start;
        begin..end.max(begin)
    }

    /// Whether a file is still to come.
    pub(super) fn brings(&self, at: usize) -> bool {
        self.state.lock().is_to_come(at, &self.files)
    }

    /// Waits for a file; `None` if it came already.
    pub(super) fn join(&self, at: usize) -> Option<oneshot::Receiver<GivenFile>> {
        let mut state = self.state.lock();
        if !state.is_to_come(at, &self.files) {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        state.waiting.push((at, sender));
        Some(receiver)
    }

    /// Whether nobody waits for any of its files, none of which comes any more then.
    pub(super) fn ends_unless_awaited(&self) -> bool {
        let mut state = self.state.lock();
        state.waiting.retain(|(_, waiting)| !waiting.is_closed());
        let is_awaited = !state.waiting.is_empty();
        if !is_awaited {
            (state.next, state.again) = (self.files.end, BTreeSet::new());
        }
        !is_awaited
    }

    /// Whether nobody waits for a file that was wrong, which does not come any more then.
    pub(super) fn gives_up_unless_awaited(&self, at: usize) -> bool {
        let mut state = self.state.lock();
        let is_awaited = state.waiting.iter().any(|(wanted, waiting)| *wanted == at && !waiting.is_closed());
        if !is_awaited {
            state.again.remove(&at);
        }
        !is_awaited
    }

    /// A file is here.
    pub(super) fn came(&self, at: usize, file: &File) {
        self.settle(at, || again(file).map_err(SegmentReadError::disk));
    }

    /// It was wrong, and is read once more.
    pub(super) fn was_wrong(&self, at: usize) {
        let mut state = self.state.lock();
        state.next = at + 1;
        state.again.insert(at);
    }

    /// It will not come.
    pub(super) fn fails_at(&self, at: usize, error: &SegmentReadError) {
        self.settle(at, || Err(error.clone()));
    }

    /// Nothing more will come.
    pub(super) fn fails(&self, error: &SegmentReadError) {
        let mut state = self.state.lock();
        (state.next, state.again) = (self.files.end, BTreeSet::new());
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        for (_, sender) in waiting {
            sender.send(Err(error.clone())).ok();
        }
    }

    fn settle(&self, at: usize, given: impl Fn() -> GivenFile) {
        let mut state = self.state.lock();
        if !state.again.remove(&at) {
            state.next = at + 1;
        }
        let waiting = std::mem::take(&mut state.waiting);
        let (settled, others): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|(wanted, _)| *wanted == at);
        state.waiting = others;
        drop(state);
        for (_, sender) in settled {
            // Who has gone meanwhile needs none.
            sender.send(given()).ok();
        }
    }
}

impl RequestState {
    fn is_to_come(&self, at: usize, files: &Range<usize>) -> bool {
        files.contains(&at) && (at >= self.next || self.again.contains(&at))
    }
}
