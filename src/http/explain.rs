//! `/api/v1/explain`: which segments cover a point in time in a quality and which is played, or the hole that it lies in.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Uri};
use axum::response::{IntoResponse, Response};

use super::app::App;
use super::coverage::read_stream;
use super::{Problem, query};
use crate::archive::explain::Search;
use crate::archive::{HourPlace, Stream, Timestamp};
use crate::wire::{ClosedHole, ExplainedTime, HoleRecord, MOST_CLOSED};

/// Answers `GET /api/v1/explain/{channel}/{quality}`.
#[utoipa::path(
    get, path = "/api/v1/explain/{channel}/{quality}",
    params(
        ("channel" = String, Path), ("quality" = String, Path),
        ("at" = String, Query, description = "a time")
    ),
    responses(
        (status = 200, body = ExplainedTime), (status = 400, description = "a parameter is wrong or missing"),
        (status = 503, description = "the disk is not there, or too much is asked at once")
    )
)]
pub async fn explain(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    let found = match read(request.uri()) {
        Ok((stream, at)) => app.ask(move |app| look(app, &stream, at)).await,
        Err(problem) => Err(problem),
    };
    match found {
        Ok(found) => Json(found).into_response(),
        Err(problem) => problem.at(request.uri().path()).into_response(),
    }
}

fn read(asked: &Uri) -> Result<(Stream, Timestamp), Problem> {
    let stream = read_stream(asked.path(), "/api/v1/explain")?;
    let given = query::pairs(asked.query().unwrap_or_default()).filter(|(name, _)| name == "at").last();
    let (_, at) = given.unwrap_or_default();
    Ok((stream, query::time("at", &at)?))
}

fn look(app: &App, stream: &Stream, at: Timestamp) -> Result<ExplainedTime, Problem> {
    app.keeper.ensure_structure()?;
    let hours = app.keeper.index().catalog().hours(&stream.to_string(), ..).into_iter().collect();
    let mut search = Search::new(at, &hours);
    while let Some(hour) = search.wanted() {
        search.give(app.keeper.answer(&HourPlace { stream: stream.clone(), hour })?.contents);
    }
    let (open, closed) = app.keeper.index().holes_at(stream, at, MOST_CLOSED)?;
    let open = open.map(|entry| HoleRecord::from(entry.hole).known(&entry));
    let closed = closed.iter().map(ClosedHole::from).collect();
    Ok(ExplainedTime::new(stream, at, &search.found()).with_ledger(open, closed))
}
