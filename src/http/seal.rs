//! `/api/v1/seal`: seals hours now. `/api/v1/manifest`: the manifest of a sealed hour.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::Problem;
use super::app::App;
use super::line_sender::LineSender;
use super::request::{FromBody, JsonBody};
use crate::archive::{HourPlace, Span};
use crate::lifecycle::seal::{SealObserver, SealState, Sealer};
use crate::wire::{SealLine, SealOrder};

/// Answers `POST /api/v1/seal`: a line of JSON for what is ahead, what is done, and each hour that is not sealed before, and a last one that says how it
/// ended.
///
/// One at a time, and none beside a scrub that was asked for. It goes on no longer than somebody listens.
#[utoipa::path(
    post, path = "/api/v1/seal", request_body = SealOrder, security(("bearer" = [])),
    responses(
        (status = 200, body = SealLine, content_type = "application/x-ndjson"), (status = 400, description = "invalid body, or nothing lies at a place"),
        (status = 401, description = "unknown token"), (status = 403, description = "the token is one for reading"),
        (status = 503, description = "another one, or a scrub, was asked for and is running")
    )
)]
pub(super) async fn run(
    State(app): State<Arc<App>>,
    JsonBody(order): JsonBody<SealOrder>,
) -> Result<Response, Problem> {
    let places = app.node.keeper.places(&order.places).map_err(|nothing| {
        Problem::bad_parameter("places", &nothing, "a CHANNEL[/QUALITY[/HOUR]] that is in the index")
    })?;
    let turn = Arc::clone(&app.scrubbing).try_acquire_owned();
    let turn = turn.map_err(|_| Problem::unavailable(10, "another one, or a scrub, was asked for and is running"))?;
    let (lines, answer) = LineSender::new(app.ending().clone());
    tokio::task::spawn_blocking(move || {
        let sealer = Sealer::new(Arc::clone(&app.node.keeper)).under(app.node.layouts.current());
        let listener = Listener(lines);
        let seconds = order.after_seconds.map(|seconds| Span::from_us(i64::from(seconds) * 1_000_000));
        let after = seconds.unwrap_or(app.node.seal_after);
        let last = match sealer.run(&places, after, order.dry_run, &listener) {
            Ok(_) if listener.is_stopped() => SealLine::Failed { why: "the node is ending".to_owned() },
            Ok(summary) => SealLine::Done(summary),
            Err(error) => SealLine::Failed { why: error.to_string() },
        };
        listener.tell(last);
        drop(turn);
    });
    Ok(answer)
}

impl FromBody for SealOrder {
    const EXAMPLE: &'static str = "{\"places\": [\"CHANNEL/QUALITY/HOUR\"]}, or {} for all";
}

/// Answers `GET /api/v1/manifest/{channel}/{quality}/{hour}`: the manifest as it lies on the disk, for `sha256sum -c` in the base directory.
#[utoipa::path(
    get, path = "/api/v1/manifest/{channel}/{quality}/{hour}",
    params(("channel" = String, Path), ("quality" = String, Path), ("hour" = String, Path)),
    responses(
        (status = 200, body = String, content_type = "text/plain"),
        (status = 404, description = "the hour is not sealed"),
        (status = 409, description = "the hour has changed since it was sealed, or the manifest is damaged"),
        (status = 503, description = "the disk is not there, or too much is asked at once")
    )
)]
pub(super) async fn manifest(
    State(app): State<Arc<App>>,
    Path((channel, quality, hour)): Path<(String, String, String)>,
) -> Result<Response, Problem> {
    let path = format!("{channel}/{quality}/{hour}");
    let place = HourPlace::parse(&path)
        .map_err(|error| Problem::bad_parameter("hour", &path, &format!("CHANNEL/QUALITY/HOUR ({error})")))?;
    let found = app.ask(move |app| Ok(Sealer::new(Arc::clone(&app.node.keeper)).manifest(&place)?)).await?;
    match found {
        Some((bytes, SealState::Sealed)) => Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], bytes).into_response()),
        Some((_, SealState::InBucket)) => Err(Problem::conflict(
            "nothing of the hour is here, and it lies in the bucket; `gapless archive restore` brings it back",
        )),
        Some(_) => Err(Problem::conflict(
            "the hour is not what it was when it was sealed, or its manifest is damaged; `gapless seal` seals it anew",
        )),
        None => Err(Problem::not_found(&format!("manifest of {path}: the hour is not sealed"))),
    }
}

/// Whoever asked, as long as it listens.
struct Listener(LineSender);

impl SealObserver for Listener {
    fn tell(&self, line: SealLine) {
        self.0.send(&line);
    }

    fn is_stopped(&self) -> bool {
        self.0.is_stopped()
    }
}
