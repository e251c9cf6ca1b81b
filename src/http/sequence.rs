//! `/api/v1/sequence`: the best sequence of a stretch as it is, for whoever makes something of it.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::Request;
use axum::response::{IntoResponse, Response};

use super::app::App;
use super::coverage::read_stream;
use super::playlist::check_order;
use super::{Problem, query};
use crate::domain::{Stream, Timestamp};
use crate::wire::{SequenceList, SequenceSegment};

/// Answers `GET /api/v1/sequence/{channel}/{quality}`.
#[utoipa::path(
    get, path = "/api/v1/sequence/{channel}/{quality}",
    params(
        ("channel" = String, Path), ("quality" = String, Path),
        ("start" = String, Query, description = "ISO 8601"),
        ("end" = String, Query, description = "ISO 8601, after start")
    ),
    responses(
        (status = 200, body = SequenceList), (status = 400, description = "a parameter is wrong"),
        (status = 404, description = "no such stream"),
        (status = 503, description = "the disk is not there, or too much is asked at once")
    )
)]
pub async fn sequence(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    let path = request.uri().path();
    let found = match read(path, request.uri().query().unwrap_or_default()) {
        Ok((stream, start, end)) => app.ask(move |app| Ok(app.playback.sequence(&stream, start, end)?)).await,
        Err(problem) => Err(problem),
    };
    match found {
        Ok(found) => {
            let sequence = found.iter().map(|piece| piece.as_ref().map(SequenceSegment::from)).collect();
            Json(SequenceList { sequence }).into_response()
        }
        Err(problem) => problem.at(path).into_response(),
    }
}

fn read(path: &str, text: &str) -> Result<(Stream, Timestamp, Timestamp), Problem> {
    let stream = read_stream(path, "/api/v1/sequence")?;
    let (mut start, mut end) = (None, None);
    for (name, value) in query::pairs(text) {
        match name.as_str() {
            "start" => start = Some(query::time("start", &value)?),
            "end" => end = Some(query::time("end", &value)?),
            _ => {}
        }
    }
    let wanted = |name: &str| Problem::bad_parameter(name, "", "an ISO 8601 time in UTC, such as 2019-11-13T02:55:08");
    let (start, end) = (start.ok_or_else(|| wanted("start"))?, end.ok_or_else(|| wanted("end"))?);
    check_order("end", start, end)?;
    Ok((stream, start, end))
}
