//! Sends files, or ranges of them, as fast as the page cache gives them.
//!
//! Each chunk is read on the async thread with `preadv2(RWF_NOWAIT)`, which copies what is cached and never waits; only
//! a chunk that the disk has to fetch goes to the blocking pool. It opens no files and knows no names. A file that turns
//! out shorter than promised breaks the response off: the receiver must see an error, never padding.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use axum::body::Body;
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    LAST_MODIFIED,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

use super::conditional::{ConditionVerdict, ETag, evaluate};
use super::problem::Problem;
use super::range::{RequestedRange, wanted};

/// Bytes a read asks for. Measured from 64 kB to 1 MB on 1 and 8 connections: 128 and 256 kB are the fastest, both ends
/// cost 5 to 10 percent.
const CHUNK: usize = 256 * 1024;

/// Chunks of that size that may be out at once: a peer that reads slowly holds one, and thousands may. 256 are 64 MB.
const MAX_LARGE: usize = 256;

/// What a read asks for beyond that. Five thousand slow readers then hold 80 MB more.
const SMALL_CHUNK: usize = 16 * 1024;

/// Large chunks that are out.
static LARGE_OUT: AtomicUsize = AtomicUsize::new(0);

/// Chunks each thread keeps for the next file: more than connections usually send at one instant.
const KEPT_CHUNKS: usize = 8;

/// Files are others' words: shown as a page, one may run nothing, load nothing, and be of no origin, least of all of this node's.
const SANDBOX: &str = "sandbox; default-src 'none'";

/// What is known about a file that is to be sent.
#[derive(Debug)]
pub struct FileReply {
    /// The open file.
    pub file: File,
    /// Its length when it was opened.
    pub len: u64,
    /// The tag of its content.
    pub etag: ETag,
    /// What it is: `video/MP2T`.
    pub content_type: HeaderValue,
    /// Whether what has this name never changes, so that caches may keep it for good.
    pub immutable: bool,
    /// When it was last changed.
    pub last_modified: Option<SystemTime>,
    /// Its place among the files that may be open at once; given back when the last byte has gone.
    pub permit: OwnedSemaphorePermit,
}

/// Answers a GET or HEAD request for a file: conditions, then ranges, then bytes.
pub fn file_response(request: &HeaderMap, method: &Method, reply: FileReply) -> Response {
    let FileReply { file, len, etag, content_type, immutable, last_modified, permit } = reply;
    let verdict = evaluate(request, &etag, last_modified);
    // The RFC defines ranges for GET alone.
    let range = if method == Method::GET { wanted(request, len, &etag, last_modified) } else { RequestedRange::Whole };
    let (status, part) = match (verdict, range) {
        (ConditionVerdict::Failed, _) => return Problem::precondition_failed().into_response(),
        (ConditionVerdict::NotModified, _) => (StatusCode::NOT_MODIFIED, 0..0),
        (ConditionVerdict::Proceed, RequestedRange::Nothing) => {
            return Problem::range_not_satisfiable(len).into_response();
        }
        (ConditionVerdict::Proceed, RequestedRange::Part(part)) => (StatusCode::PARTIAL_CONTENT, part),
        (ConditionVerdict::Proceed, RequestedRange::Whole) => (StatusCode::OK, 0..len),
    };
    let mut headers = HeaderMap::with_capacity(12);
    headers.insert(ETAG, etag.value().clone());
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(SANDBOX));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    let caching = if immutable { "public, max-age=31536000, immutable" } else { "no-cache" };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(caching));
    if let Some(Ok(date)) = last_modified.map(|time| HeaderValue::try_from(http_date(time))) {
        headers.insert(LAST_MODIFIED, date);
    }
    if status != StatusCode::NOT_MODIFIED {
        headers.insert(CONTENT_TYPE, content_type);
        headers.insert(CONTENT_LENGTH, HeaderValue::from(part.end - part.start));
    }
    if status == StatusCode::PARTIAL_CONTENT
        && let Ok(value) = HeaderValue::try_from(format!("bytes {}-{}/{len}", part.start, part.end - 1))
    {
        headers.insert(CONTENT_RANGE, value);
    }
    let bodiless = status == StatusCode::NOT_MODIFIED || method == Method::HEAD;
    let body = if bodiless { Body::empty() } else { Body::new(FileBody::new(file, part, permit)) };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// An HTTP date; times that HTTP cannot express become its first one instead of a panic.
fn http_date(time: SystemTime) -> String {
    const YEAR_9999: u64 = 253_402_300_799;
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let writable = if since.as_secs() < YEAR_9999 { SystemTime::UNIX_EPOCH + since } else { SystemTime::UNIX_EPOCH };
    httpdate::fmt_http_date(writable)
}

/// The bytes of a range of a file.
#[derive(Debug)]
pub struct FileBody {
    file: Arc<File>,
    at: u64,
    end: u64,
    waiting: Option<JoinHandle<io::Result<Bytes>>>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl FileBody {
    /// Sends `range` of `file`, which promises to be that long; `permit` is kept as long as the file is open.
    pub fn new(file: File, range: Range<u64>, permit: OwnedSemaphorePermit) -> Self {
        Self { file: Arc::new(file), at: range.start, end: range.end, waiting: None, _permit: Some(permit) }
    }

    /// The same, for whoever keeps a permit for several files that are sent one after the other.
    pub(super) fn of_many(file: File, range: Range<u64>) -> Self {
        Self { file: Arc::new(file), at: range.start, end: range.end, waiting: None, _permit: None }
    }

    fn remaining(&self) -> u64 {
        self.end.saturating_sub(self.at)
    }

    /// Counts what was read as sent; nothing read means that the file is shorter than promised.
    fn advance(&mut self, result: io::Result<Bytes>) -> io::Result<Frame<Bytes>> {
        let outcome = result.and_then(|bytes| {
            if bytes.is_empty() {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter while it was sent"));
            }
            self.at += bytes.len() as u64;
            Ok(Frame::data(bytes))
        });
        if outcome.is_err() {
            self.end = self.at;
        }
        outcome
    }
}

impl http_body::Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        if this.waiting.is_none() {
            if this.remaining() == 0 {
                return Poll::Ready(None);
            }
            let mut chunk = Chunk::take();
            let want = usize::try_from(this.remaining()).unwrap_or(usize::MAX).min(chunk.0.len());
            match read_cached(&this.file, &mut chunk, want, this.at) {
                Ok(Some(read)) => return Poll::Ready(Some(this.advance(Ok(chunk.into_bytes(read))))),
                Ok(None) => {
                    let (file, at) = (Arc::clone(&this.file), this.at);
                    this.waiting = Some(tokio::task::spawn_blocking(move || read_waiting(&file, chunk, want, at)));
                }
                Err(error) => return Poll::Ready(Some(this.advance(Err(error)))),
            }
        }
        let Some(waiting) = this.waiting.as_mut() else {
            return Poll::Ready(None);
        };
        let joined = ready!(Pin::new(waiting).poll(cx));
        this.waiting = None;
        Poll::Ready(Some(this.advance(joined.unwrap_or_else(|error| Err(io::Error::other(error))))))
    }

    fn is_end_stream(&self) -> bool {
        self.remaining() == 0 && self.waiting.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining())
    }
}

/// Copies what is cached; `None` when the disk would have to be waited for, or the file system cannot tell.
fn read_cached(file: &File, chunk: &mut Chunk, want: usize, at: u64) -> io::Result<Option<usize>> {
    let Some(room) = chunk.0.get_mut(..want) else {
        return Ok(None);
    };
    match preadv2(file, &mut [IoSliceMut::new(room)], at, ReadWriteFlags::NOWAIT) {
        Ok(read) => Ok(Some(read)),
        Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INTR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Reads until `want` bytes are there or the file ends.
fn read_waiting(file: &File, mut chunk: Chunk, want: usize, at: u64) -> io::Result<Bytes> {
    let mut filled = 0;
    while let Some(room) = chunk.0.get_mut(filled..want).filter(|room| !room.is_empty()) {
        match file.read_at(room, at + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(chunk.into_bytes(filled))
}

/// A buffer that goes back to its thread when the last `Bytes` of it is dropped, so that it is zeroed once, not per read.
#[derive(Debug)]
struct Chunk(Vec<u8>);

thread_local! {
    static KEPT: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

impl Chunk {
    fn take() -> Self {
        if LARGE_OUT.fetch_add(1, Relaxed) >= MAX_LARGE {
            LARGE_OUT.fetch_sub(1, Relaxed);
            return Self(vec![0; SMALL_CHUNK]);
        }
        let kept = KEPT.try_with(|kept| kept.borrow_mut().pop()).ok().flatten();
        Self(kept.unwrap_or_else(|| vec![0; CHUNK]))
    }

    fn into_bytes(self, len: usize) -> Bytes {
        Bytes::from_owner(self).slice(..len)
    }
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.0);
        if buffer.len() != CHUNK {
            return;
        }
        LARGE_OUT.fetch_sub(1, Relaxed);
        // A thread that is ending has no store any more; then the buffer is simply freed.
        if let Ok(mut kept) = KEPT.try_with(RefCell::take) {
            if kept.len() < KEPT_CHUNKS {
                kept.push(buffer);
            }
            KEPT.set(kept);
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use axum::http::header::{IF_NONE_MATCH, RANGE};

    use super::*;

    fn permit() -> OwnedSemaphorePermit {
        Arc::new(tokio::sync::Semaphore::new(1)).try_acquire_owned().unwrap()
    }

    fn file_of(len: usize) -> (File, Vec<u8>) {
        let bytes: Vec<u8> = (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&bytes, 0).unwrap();
        (file, bytes)
    }

    fn ask(method: &Method, headers: &[(axum::http::HeaderName, &str)]) -> Response {
        let (file, bytes) = file_of(1000);
        let request =
            headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect();
        let reply = FileReply {
            file,
            len: bytes.len() as u64,
            etag: ETag::new("abc"),
            content_type: HeaderValue::from_static("video/MP2T"),
            immutable: true,
            last_modified: Some(SystemTime::UNIX_EPOCH),
            permit: permit(),
        };
        file_response(&request, method, reply)
    }

    #[tokio::test]
    async fn every_length_arrives_whole() {
        for len in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7] {
            let (file, bytes) = file_of(len);
            let body = Body::new(FileBody::new(file, 0..len as u64, permit()));
            assert_eq!(to_bytes(body, usize::MAX).await.unwrap(), bytes, "{len}");
        }
    }

    #[test]
    fn thousands_of_chunks_are_small() {
        let out: Vec<Chunk> = (0..2000).map(|_| Chunk::take()).collect();
        assert!(out.iter().map(|chunk| chunk.0.len()).sum::<usize>() <= MAX_LARGE * CHUNK + 2000 * SMALL_CHUNK);
        drop(out);
        let (file, bytes) = file_of(SMALL_CHUNK);
        assert_eq!(read_waiting(&file, Chunk(vec![0; SMALL_CHUNK]), SMALL_CHUNK, 0).unwrap(), bytes);
    }

    #[tokio::test]
    async fn a_waiting_read_gives_the_same_bytes() {
        let (file, bytes) = file_of(5000);
        assert_eq!(read_waiting(&file, Chunk::take(), 5000, 0).unwrap(), bytes);
        assert_eq!(read_waiting(&file, Chunk::take(), 5000, 4000).unwrap(), bytes[4000..], "up to the end of the file");
    }

    #[tokio::test]
    async fn a_file_that_became_shorter_is_an_error() {
        let (file, bytes) = file_of(2 * CHUNK);
        let body = Body::new(FileBody::new(file.try_clone().unwrap(), 0..bytes.len() as u64, permit()));
        file.set_len(CHUNK as u64 + 5).unwrap();
        assert!(to_bytes(body, usize::MAX).await.is_err());
    }

    #[tokio::test]
    async fn whole_part_head_and_not_modified() {
        let whole = ask(&Method::GET, &[]);
        assert_eq!((whole.status(), whole.headers()[CONTENT_LENGTH].to_str().unwrap()), (StatusCode::OK, "1000"));
        assert_eq!(whole.headers()[CACHE_CONTROL], "public, max-age=31536000, immutable");

        let part = ask(&Method::GET, &[(RANGE, "bytes=10-19")]);
        assert_eq!(
            (part.status(), &part.headers()[CONTENT_RANGE]),
            (StatusCode::PARTIAL_CONTENT, &HeaderValue::from_static("bytes 10-19/1000"))
        );
        assert_eq!(to_bytes(part.into_body(), 100).await.unwrap(), (10..20).collect::<Vec<u8>>());

        let head = ask(&Method::HEAD, &[(RANGE, "bytes=10-19")]);
        assert_eq!((head.status(), head.headers()[CONTENT_LENGTH].to_str().unwrap()), (StatusCode::OK, "1000"));
        assert!(to_bytes(head.into_body(), 100).await.unwrap().is_empty());

        let unchanged = ask(&Method::GET, &[(IF_NONE_MATCH, "\"abc\""), (RANGE, "bytes=5000-")]);
        assert_eq!(unchanged.status(), StatusCode::NOT_MODIFIED);
        assert!(!unchanged.headers().contains_key(CONTENT_LENGTH));

        assert_eq!(ask(&Method::GET, &[(RANGE, "bytes=5000-")]).status(), StatusCode::RANGE_NOT_SATISFIABLE);
    }

    #[test]
    fn odd_times_do_not_panic() {
        assert_eq!(
            http_date(SystemTime::UNIX_EPOCH - std::time::Duration::from_secs(5)),
            "Thu, 01 Jan 1970 00:00:00 GMT"
        );
        assert!(http_date(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1 << 40)).ends_with("GMT"));
    }
}
