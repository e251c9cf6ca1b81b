//! Takes a range of an object apart into its files, as the bytes come. Each file is hashed, and given to whoever waits for it as soon as it is
//! right, while those behind it are still coming.
//!
//! What is in memory is a few pieces on their way to the disk. The bandwidth of the settings is no limit here: somebody waits.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::client::Bucket;
use super::coming_file::ComingFile;
use super::error::BucketError;
use super::range_request::RangeRequest;
use super::read_error::SegmentReadError;
use super::reader_figures::{ReaderCounters, count};
use super::segment_cache::SegmentCache;
use crate::archive::escape::shown;

/// Pieces between the line and the disk. The library gives them as they come, of some ten kilobytes each.
const PIECES: usize = 16;

/// What is still to come of a request for which nobody waits any more comes all the same, into the cache, unless it is more than this.
const MOST_UNASKED: u64 = 64 << 20;

/// What a request takes to be done.
#[derive(Debug)]
pub(super) struct FetchTools {
    pub(super) bucket: Bucket,
    pub(super) cache: Arc<SegmentCache>,
    pub(super) counters: ReaderCounters,
}

/// What came of a request, beside the files that it has brought.
#[derive(Debug, Default)]
pub(super) struct FetchOutcome {
    /// Files that were wrong, also when they were read once more.
    pub(super) damaged: Vec<(usize, SegmentReadError)>,
    /// Why the rest did not come.
    pub(super) failed: Option<SegmentReadError>,
}

impl FetchTools {
    /// Does a request. A line flips a bit now and then, so what was wrong is read once more, if somebody waits for it.
    pub(super) async fn fetch(self: &Arc<Self>, request: &Arc<RangeRequest>) -> FetchOutcome {
        let mut outcome = FetchOutcome::default();
        let wrong = match self.pass(request, request.files.clone()).await {
            Ok(wrong) => wrong,
            Err(error) => return FetchOutcome { failed: Some(error), ..outcome },
        };
        for at in wrong {
            if request.gives_up_unless_awaited(at) {
                continue;
            }
            match self.pass(request, at..at + 1).await {
                Ok(still_wrong) if still_wrong.is_empty() => {}
                Ok(_) => outcome.damaged.push((at, damaged(request, at))),
                Err(error) => {
                    outcome.failed = Some(error);
                    return outcome;
                }
            }
        }
        outcome
    }

    /// Reads some of its files, and says which were wrong.
    async fn pass(
        self: &Arc<Self>,
        request: &Arc<RangeRequest>,
        files: Range<usize>,
    ) -> Result<Vec<usize>, SegmentReadError> {
        let range = request.bytes_of(&files);
        let (sender, pieces) = mpsc::channel(PIECES);
        let sorter = Sorter { request: Arc::clone(request), at: range.start, files, coming: None, wrong: Vec::new() };
        let (tools, on_line) = (Arc::clone(self), self.send_pieces(request, range, sender));
        let sorting = spawn_blocking(move || sorter.sort(&tools, pieces));
        let came = on_line.await;
        // It ends otherwise only with the runtime.
        let wrong = sorting.await.map_err(|_| BucketError::Stopped)?;
        came?;
        wrong
    }

    /// Ends early where nobody takes them any more, who then says why.
    async fn send_pieces(
        &self,
        request: &RangeRequest,
        range: Range<u64>,
        sender: mpsc::Sender<Bytes>,
    ) -> Result<(), BucketError> {
        if range.is_empty() {
            return Ok(());
        }
        count(&self.counters.requests, 1);
        let mut left = range.end - range.start;
        let mut pieces = std::pin::pin!(self.bucket.pieces(&request.name, range).await?);
        while let Some(bytes) = pieces.try_next().await? {
            count(&self.counters.fetched_bytes, bytes.len() as u64);
            left = left.saturating_sub(bytes.len() as u64);
            if sender.send(bytes).await.is_err() {
                break;
            }
            if left > MOST_UNASKED && request.ends_unless_awaited() {
                return Err(BucketError::Stopped);
            }
        }
        Ok(())
    }
}

/// Puts bytes where they belong.
struct Sorter {
    request: Arc<RangeRequest>,
    /// Where in the object the next byte lies.
    at: u64,
    /// Files that are not whole yet.
    files: Range<usize>,
    /// The first one of them, if some of it is here.
    coming: Option<ComingFile>,
    wrong: Vec<usize>,
}

impl Sorter {
    fn sort(mut self, tools: &FetchTools, mut pieces: mpsc::Receiver<Bytes>) -> Result<Vec<usize>, SegmentReadError> {
        // Those at the beginning may be empty.
        self.take(tools, &[])?;
        while let Some(bytes) = pieces.blocking_recv() {
            self.take(tools, &bytes)?;
        }
        Ok(self.wrong)
    }

    fn take(&mut self, tools: &FetchTools, bytes: &[u8]) -> Result<(), SegmentReadError> {
        let end = self.at + bytes.len() as u64;
        let packed = Arc::clone(&self.request.object);
        while let Some((at, file)) = self.files.clone().next().zip(packed.manifest().files().get(self.files.start)) {
            let content = packed.content(at);
            let here = content.start.max(self.at)..content.end.min(end);
            // An empty file is whole as soon as the bytes reach it.
            if content.start > end || content.start == end && file.size > 0 {
                break;
            }
            let mut coming = match self.coming.take() {
                Some(coming) => coming,
                None => ComingFile::begin(&tools.cache, file.sha256, file.size).map_err(SegmentReadError::disk)?,
            };
            let index = |offset: u64| usize::try_from(offset.saturating_sub(self.at)).unwrap_or(usize::MAX);
            let piece = bytes.get(index(here.start)..index(here.end)).unwrap_or_default();
            coming.write(piece).map_err(SegmentReadError::disk)?;
            if content.end > end {
                self.coming = Some(coming);
                break;
            }
            self.files.start = at + 1;
            if let Some(whole) = coming.finish().map_err(SegmentReadError::disk)? {
                self.request.came(at, &whole);
            } else {
                count(&tools.counters.damaged, 1);
                self.request.was_wrong(at);
                self.wrong.push(at);
            }
        }
        self.at = end;
        Ok(())
    }
}

fn damaged(request: &RangeRequest, at: usize) -> SegmentReadError {
    let name = request.object.manifest().files().get(at).map_or("", |file| &*file.name);
    let why = format!("the content of {} is another one than its hash says", shown(name));
    tracing::warn!(name: "archived_segment_damaged", object = %request.name, file = name, "a segment in the bucket is not what its hash says, also when it is read again; it is not served");
    BucketError::damaged(&request.name, &why).into()
}
