//! `/api/v1/ledger`: what was missing and is not any more, since when that was known, and who gave it. What is still missing is told
//! by `/api/v1/holes`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::Problem;
use super::app::{Answer, App};
use super::request::{FromQuery, Parameters, Query, StreamPath};
use crate::archive::coverage::Window;
use crate::archive::{Stream, Timestamp};
use crate::wire::{ClosedHole, ClosedHoleList};

/// Answers `GET /api/v1/ledger/{channel}/{quality}`.
#[utoipa::path(
    get, path = "/api/v1/ledger/{channel}/{quality}",
    params(
        ("channel" = String, Path), ("quality" = String, Path),
        ("from" = Option<String>, Query, description = "a time; holes that ended before it are left out"),
        ("to" = Option<String>, Query, description = "a time; holes that began at or after it are left out"),
        ("after" = Option<String>, Query, description = "`next` of the page before")
    ),
    responses(
        (status = 200, body = ClosedHoleList), (status = 400, description = "a parameter is wrong"),
        (status = 503, description = "too much is asked at once")
    )
)]
pub(super) async fn ledger(
    State(app): State<Arc<App>>,
    StreamPath(stream): StreamPath,
    Query(wanted): Query<LedgerQuery>,
) -> Answer<ClosedHoleList> {
    app.ask(move |app| page(app, &stream, &wanted)).await.map(Json)
}

pub(super) struct LedgerQuery {
    window: Window,
    after: Option<(Timestamp, Timestamp)>,
}

impl FromQuery for LedgerQuery {
    fn read(given: &Parameters) -> Result<Self, Problem> {
        let (from, to, after) = (given.time("from")?, given.time("to")?, given.each("after", read_place)?);
        let window = Window::new(from, to, false).map_err(|error| {
            Problem::bad_parameter("to", &to.unwrap_or(Timestamp::MAX).to_string(), &error.to_string())
        })?;
        Ok(Self { window, after })
    }
}

/// A start and a closing, as `next` has them.
fn read_place(value: &str) -> Result<(Timestamp, Timestamp), Problem> {
    let times = value.split_once('/').and_then(|(start, closed)| Timestamp::parse(start).zip(Timestamp::parse(closed)));
    times.ok_or_else(|| Problem::bad_parameter("after", value, "what the page before has as next"))
}

fn page(app: &App, stream: &Stream, wanted: &LedgerQuery) -> Result<ClosedHoleList, Problem> {
    let page = app.node.keeper.index().closed_holes(stream, &wanted.window, wanted.after, app.node.bounds.max_page)?;
    Ok(ClosedHoleList {
        channel: stream.channel.clone(),
        quality: stream.quality.clone(),
        closed: page.closed.iter().map(ClosedHole::from).collect(),
        next: page.next.map(|(start, closed)| format!("{start}/{closed}")),
    })
}
