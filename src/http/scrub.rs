//! `/api/v1/scrub`: verifies bytes now; what `gapless scrub` asks while the node runs. `/api/v1/quarantine`: what damaged files there are. `/api/v1/flagged`:
//! what is only odd.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Json;
use axum::extract::State;
use axum::response::Response;

use super::Problem;
use super::app::{Answer, App};
use super::line_sender::LineSender;
use super::request::{FromBody, JsonBody};
use crate::archive::FilePlace;
use crate::sync::scrub::{QuarantineOrderError, Scrub, ScrubFinding, ScrubLimits, ScrubObserver, damaged_file};
use crate::wire::{FlaggedList, QuarantineChange, QuarantineList, QuarantineOrder, ScrubLine, ScrubOrder};

/// Bytes between two lines about progress.
const TELL_EVERY: u64 = 16 << 20;
/// Files between two lines about progress, where they are small.
const TELL_FILES: u64 = 500;
/// Files of the quarantine in one order.
const MOST_FILES: usize = 1_000;
/// Threads that read for one order.
const MOST_THREADS: u16 = 64;

/// Answers `POST /api/v1/scrub`: a line of JSON for what is ahead, what is done, and each damaged file, and a last one that says how it ended.
///
/// One at a time. It goes on no longer than somebody listens, and not beyond the end of the node, also inside a file.
#[utoipa::path(
    post, path = "/api/v1/scrub", request_body = ScrubOrder, security(("bearer" = [])),
    responses(
        (status = 200, body = ScrubLine, content_type = "application/x-ndjson"), (status = 400, description = "invalid body, or nothing lies at a place"),
        (status = 401, description = "unknown token"), (status = 403, description = "the token is one for reading"),
        (status = 503, description = "another scrub was asked for and is running")
    )
)]
pub(super) async fn run(
    State(app): State<Arc<App>>,
    JsonBody(order): JsonBody<ScrubOrder>,
) -> Result<Response, Problem> {
    let places = app.node.keeper.places(&order.places).map_err(|nothing| {
        Problem::bad_parameter("places", &nothing, "a CHANNEL[/QUALITY[/HOUR]] that is in the index")
    })?;
    let turn = Arc::clone(&app.scrubbing).try_acquire_owned();
    let turn = turn.map_err(|_| Problem::unavailable(10, "another scrub was asked for and is running"))?;
    let (lines, answer) = LineSender::new(app.ending().clone());
    tokio::task::spawn_blocking(move || {
        let listener = Listener { lines, files: AtomicU64::new(0), bytes: AtomicU64::new(0) };
        let threads = usize::from(order.threads.unwrap_or(1).clamp(1, MOST_THREADS));
        let limits = if order.yes { ScrubLimits::NONE } else { ScrubLimits::CAREFUL };
        let last = match app.node.scrub.run(&places, limits, threads, &listener) {
            Ok(_) if listener.is_stopped() => ScrubLine::Failed { why: "the node is ending".to_owned() },
            Ok(summary) => ScrubLine::Done(summary),
            Err(error) => ScrubLine::Failed { why: error.to_string() },
        };
        listener.lines.send(&last);
        drop(turn);
    });
    Ok(answer)
}

impl FromBody for ScrubOrder {
    const EXAMPLE: &'static str = "{\"places\": [\"CHANNEL/QUALITY/HOUR\"]}, or {} for all";
}

/// Answers `GET /api/v1/quarantine`: damaged files that are kept, and what is wrong with each.
#[utoipa::path(
    get, path = "/api/v1/quarantine",
    responses((status = 200, body = QuarantineList), (status = 503, description = "the disk is not there"))
)]
pub(super) async fn quarantine(State(app): State<Arc<App>>) -> Answer<QuarantineList> {
    app.ask(|app| Ok(Scrub::list(&app.node.scrub)?)).await.map(Json)
}

/// Answers `POST /api/v1/quarantine/restore`: damaged files go back to where they lay, if nothing lies there.
#[utoipa::path(
    post, path = "/api/v1/quarantine/restore", request_body = QuarantineOrder, security(("bearer" = [])),
    responses(
        (status = 200, body = QuarantineChange, description = "said only after it is on disk and in the index"),
        (status = 400, description = "invalid body"), (status = 401, description = "unknown token"),
        (status = 403, description = "the token is one for reading"),
        (status = 404, description = "one of them is not in the quarantine, and nothing was done"),
        (status = 503, description = "the disk is not there")
    )
)]
pub(super) async fn restore(
    State(app): State<Arc<App>>,
    JsonBody(order): JsonBody<QuarantineOrder>,
) -> Answer<QuarantineChange> {
    if order.healed {
        return Err(Problem::bad_body("what is here again cannot go back", "paths alone"));
    }
    let files = files(&order)?;
    app.ask(move |app| Ok(app.node.scrub.restore_all(&files)?)).await.map(Json)
}

/// Answers `POST /api/v1/quarantine/purge`: deletes damaged files for good.
#[utoipa::path(
    post, path = "/api/v1/quarantine/purge", request_body = QuarantineOrder, security(("bearer" = [])),
    responses(
        (status = 200, body = QuarantineChange, description = "said only after it is on disk"),
        (status = 400, description = "invalid body"), (status = 401, description = "unknown token"),
        (status = 403, description = "the token is one for reading"),
        (status = 404, description = "one of them is not in the quarantine, and nothing was done"),
        (status = 503, description = "the disk is not there")
    )
)]
pub(super) async fn purge(
    State(app): State<Arc<App>>,
    JsonBody(order): JsonBody<QuarantineOrder>,
) -> Answer<QuarantineChange> {
    let files = files(&order)?;
    app.ask(move |app| Ok(app.node.scrub.purge_all(&files, order.healed)?)).await.map(Json)
}

impl FromBody for QuarantineOrder {
    const EXAMPLE: &'static str = "{\"paths\": [\"CHANNEL/QUALITY/HOUR/NAME\"]}";
}

fn files(order: &QuarantineOrder) -> Result<Vec<FilePlace>, Problem> {
    if order.paths.len() > MOST_FILES {
        return Err(Problem::too_much("number of paths", order.paths.len() as u64, MOST_FILES as u64));
    }
    let expected = "CHANNEL/QUALITY/HOUR/NAME";
    let read = |path: &String| FilePlace::parse(path).map_err(|_| Problem::bad_parameter("paths", path, expected));
    order.paths.iter().map(read).collect()
}

impl From<QuarantineOrderError> for Problem {
    fn from(error: QuarantineOrderError) -> Self {
        match error {
            QuarantineOrderError::Absent(file) => Self::not_found(&format!("such file in the quarantine: {file}")),
            QuarantineOrderError::Crawl(error) => error.into(),
        }
    }
}

/// Answers `GET /api/v1/flagged`: segments that the scrub found odd, and that stay where they are.
#[utoipa::path(
    get, path = "/api/v1/flagged",
    responses((status = 200, body = FlaggedList), (status = 503, description = "the disk is not there"))
)]
pub(super) async fn flagged(State(app): State<Arc<App>>) -> Answer<FlaggedList> {
    app.ask(|app| Ok(Scrub::list_flagged(&app.node.scrub)?)).await.map(Json)
}

/// Whoever asked, as long as it listens.
struct Listener {
    lines: LineSender,
    files: AtomicU64,
    bytes: AtomicU64,
}

impl ScrubObserver for Listener {
    fn begin(&self, files: u64, bytes: u64) {
        self.lines.send(&ScrubLine::Begin { files, bytes });
    }

    fn advance(&self, files: u64, bytes: u64) {
        let read = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let done = self.files.fetch_add(files, Ordering::Relaxed) + files;
        if read >= TELL_EVERY || done >= TELL_FILES {
            let take = |counter: &AtomicU64| counter.swap(0, Ordering::Relaxed);
            self.lines.send(&ScrubLine::Progress { files: take(&self.files), bytes: take(&self.bytes) });
        }
    }

    fn found(&self, finding: &ScrubFinding) {
        self.lines.send(&ScrubLine::Damaged(damaged_file(finding)));
    }

    fn failed(&self, path: &str, error: &str) {
        self.lines.send(&ScrubLine::Unseen { path: path.to_owned(), why: error.to_owned() });
    }

    fn is_stopped(&self) -> bool {
        self.lines.is_stopped()
    }
}
