//! An answer that comes line by line while something is being done, as JSON: to whoever asked, as long as it listens.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How long a reader may take no line before the work is given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// Lines that wait for the reader.
const WAITING: usize = 64;

/// Sends lines from a thread that may block.
pub(super) struct LineSender {
    lines: mpsc::Sender<Result<Bytes, Infallible>>,
    /// The node ends.
    ending: CancellationToken,
    gone: AtomicBool,
}

impl LineSender {
    /// With the answer that has the lines.
    pub(super) fn new(ending: CancellationToken) -> (Self, Response) {
        let (lines, body) = mpsc::channel(WAITING);
        let stream =
            futures_util::stream::unfold(body, |mut body| async move { body.recv().await.map(|line| (line, body)) });
        let kind = HeaderValue::from_static("application/x-ndjson");
        let answer = ([(CONTENT_TYPE, kind)], Body::from_stream(stream)).into_response();
        (Self { lines, ending, gone: AtomicBool::new(false) }, answer)
    }

    pub(super) fn send(&self, line: &impl Serialize) {
        let mut text = serde_json::to_vec(line).unwrap_or_default();
        text.push(b'\n');
        let mut unsent = Ok(text.into());
        let began = Instant::now();
        while let Err(refused) = self.lines.try_send(unsent) {
            let mpsc::error::TrySendError::Full(again) = refused else {
                self.gone.store(true, Ordering::Relaxed);
                return;
            };
            if began.elapsed() > PATIENCE || self.ending.is_cancelled() {
                self.gone.store(true, Ordering::Relaxed);
                return;
            }
            unsent = again;
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Nobody listens any more, or the node ends.
    pub(super) fn is_stopped(&self) -> bool {
        self.gone.load(Ordering::Relaxed) || self.lines.is_closed() || self.ending.is_cancelled()
    }
}
