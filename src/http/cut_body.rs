//! Sends many files, or a range of all of them together, one after the other.
//!
//! 1. Two files are open at a time: the one that is sent and the next one, so that opening takes no time from sending.
//! 2. A file that is gone, hidden by a tombstone, or of another length than was promised breaks the response off: the receiver must see
//!    an error, never something shorter.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

use super::FileBody;

/// A file of those that are sent.
#[derive(Debug, Clone)]
pub(super) struct FilePart {
    /// Relative to the base.
    pub path: String,
    /// Its length.
    pub len: u64,
    /// Which bytes of it.
    pub range: Range<u64>,
}

/// Opens a file of the archive, if it is still what was promised.
pub(super) type OpenFile = Arc<dyn Fn(&FilePart) -> io::Result<File> + Send + Sync>;

/// The bytes of many files.
pub(super) struct CutBody {
    open: OpenFile,
    parts: VecDeque<FilePart>,
    opening: Option<(Range<u64>, JoinHandle<io::Result<File>>)>,
    sending: Option<FileBody>,
    left: u64,
    _permit: OwnedSemaphorePermit,
}

impl CutBody {
    /// Sends these parts; `permit` is kept as long as any is open.
    pub(super) fn new(parts: Vec<FilePart>, open: OpenFile, permit: OwnedSemaphorePermit) -> Self {
        let left = parts.iter().map(|part| part.range.end - part.range.start).sum();
        let mut body = Self { open, parts: parts.into(), opening: None, sending: None, left, _permit: permit };
        body.open_next();
        body
    }

    fn open_next(&mut self) {
        let Some(part) = self.parts.pop_front() else { return };
        let open = Arc::clone(&self.open);
        let range = part.range.clone();
        self.opening = Some((range, tokio::task::spawn_blocking(move || open(&part))));
    }

    fn give_up(&mut self) {
        (self.left, self.sending, self.opening) = (0, None, None);
        self.parts.clear();
    }
}

impl Body for CutBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        loop {
            if let Some(sending) = this.sending.as_mut() {
                match ready!(Pin::new(sending).poll_frame(cx)) {
                    Some(Ok(frame)) => {
                        this.left = this.left.saturating_sub(frame.data_ref().map_or(0, |data| data.len() as u64));
                        return Poll::Ready(Some(Ok(frame)));
                    }
                    Some(Err(error)) => {
                        this.give_up();
                        return Poll::Ready(Some(Err(error)));
                    }
                    None => this.sending = None,
                }
            }
            let Some((_, opening)) = this.opening.as_mut() else { return Poll::Ready(None) };
            let opened = ready!(Pin::new(opening).poll(cx)).unwrap_or_else(|error| Err(io::Error::other(error)));
            match (opened, this.opening.take()) {
                (Ok(file), Some((range, _))) => this.sending = Some(FileBody::of_many(file, range)),
                (Err(error), _) => {
                    this.give_up();
                    return Poll::Ready(Some(Err(error)));
                }
                (Ok(_), None) => return Poll::Ready(None),
            }
            this.open_next();
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// Of files one after the other, each without so many of its first bytes, those, and that of each, that lie in `wanted` of all their bytes.
pub(super) fn within(files: impl IntoIterator<Item = (String, u64, u64)>, wanted: &Range<u64>) -> Vec<FilePart> {
    let mut at = 0;
    let mut parts = Vec::new();
    for (path, len, without) in files {
        let left = len.saturating_sub(without);
        let range = wanted.start.clamp(at, at + left) - at + without..wanted.end.clamp(at, at + left) - at + without;
        if range.start < range.end {
            parts.push(FilePart { path, len, range });
        }
        at += left;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_range_of_many_files_is_the_range_of_their_bytes(
            lengths in prop::collection::vec((0..5_u64, 0..2_u64), 0..6), from in 0..20_u64, length in 0..20_u64,
        ) {
            let all: Vec<(usize, u64)> =
                lengths.iter().enumerate().flat_map(|(file, (len, without))| (*without..*len).map(move |at| (file, at))).collect();
            let total = all.len() as u64;
            let wanted = from.min(total)..(from + length).min(total);
            let parts = within(lengths.iter().enumerate().map(|(file, (len, without))| (file.to_string(), *len, *without)), &wanted);
            let got: Vec<(usize, u64)> = parts
                .iter()
                .flat_map(|part| part.range.clone().map(|at| (part.path.parse().unwrap(), at)))
                .collect();
            let slice = usize::try_from(wanted.start).unwrap()..usize::try_from(wanted.end).unwrap();
            prop_assert_eq!(&got[..], &all[slice]);
        }
    }
}
