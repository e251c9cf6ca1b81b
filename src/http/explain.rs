//! `/api/v1/explain`: which segments cover a point in time in a quality and which is played, or the hole that it lies in.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::Problem;
use super::app::{Answer, App};
use super::request::{FromQuery, Parameters, Query, StreamPath};
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
pub(super) async fn explain(
    State(app): State<Arc<App>>,
    StreamPath(stream): StreamPath,
    Query(ExplainQuery(at)): Query<ExplainQuery>,
) -> Answer<ExplainedTime> {
    app.ask(move |app| look(app, &stream, at)).await.map(Json)
}

pub(super) struct ExplainQuery(Timestamp);

impl FromQuery for ExplainQuery {
    fn read(given: &Parameters) -> Result<Self, Problem> {
        given.needed_time("at").map(Self)
    }
}

fn look(app: &App, stream: &Stream, at: Timestamp) -> Result<ExplainedTime, Problem> {
    app.node.keeper.ensure_structure()?;
    let hours = app.node.keeper.index().catalog().hours(&stream.to_string(), ..).into_iter().collect();
    let mut search = Search::new(at, &hours);
    while let Some(hour) = search.wanted() {
        search.give(app.node.keeper.answer(&HourPlace { stream: stream.clone(), hour })?.contents);
    }
    let (open, closed) = app.node.keeper.index().holes_at(stream, at, MOST_CLOSED)?;
    let open = open.map(|entry| HoleRecord::from(entry.hole).known(&entry));
    let closed = closed.iter().map(ClosedHole::from).collect();
    let limits = app.node.retention.limits_of(&HourPlace { stream: stream.clone(), hour: at.hour() })?;
    Ok(ExplainedTime::new(stream, at, &search.found()).with_ledger(open, closed).with_limits(Some(limits)))
}
