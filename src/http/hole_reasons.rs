//! `/api/v1/ledger`: what was missing and is not any more, since when that was known, and who gave it. What is still missing is told
//! by `/api/v1/holes`.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::Request;
use axum::response::{IntoResponse, Response};

use super::app::App;
use super::coverage::read_stream;
use super::{Problem, query};
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
pub async fn ledger(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    let path = request.uri().path();
    let found = match Wanted::read(path, request.uri().query().unwrap_or_default()) {
        Ok(wanted) => app.ask(move |app| page(app, &wanted)).await,
        Err(problem) => Err(problem),
    };
    match found {
        Ok(page) => Json(page).into_response(),
        Err(problem) => problem.at(path).into_response(),
    }
}

struct Wanted {
    stream: Stream,
    window: Window,
    after: Option<(Timestamp, Timestamp)>,
}

impl Wanted {
    fn read(path: &str, text: &str) -> Result<Self, Problem> {
        let stream = read_stream(path, "/api/v1/ledger")?;
        let (mut from, mut to, mut after) = (None, None, None);
        for (name, value) in query::pairs(text) {
            match name.as_str() {
                "from" => from = Some(query::time("from", &value)?),
                "to" => to = Some(query::time("to", &value)?),
                "after" => after = Some(read_place(&value)?),
                _ => {}
            }
        }
        let window = Window::new(from, to, false).map_err(|error| {
            Problem::bad_parameter("to", &to.unwrap_or(Timestamp::MAX).to_string(), &error.to_string())
        })?;
        Ok(Self { stream, window, after })
    }
}

/// A start and a closing, as `next` has them.
fn read_place(value: &str) -> Result<(Timestamp, Timestamp), Problem> {
    let times = value.split_once('/').and_then(|(start, closed)| Timestamp::parse(start).zip(Timestamp::parse(closed)));
    times.ok_or_else(|| Problem::bad_parameter("after", value, "what the page before has as next"))
}

fn page(app: &App, wanted: &Wanted) -> Result<ClosedHoleList, Problem> {
    let page = app.keeper.index().closed_holes(&wanted.stream, &wanted.window, wanted.after, app.bounds.max_page)?;
    Ok(ClosedHoleList {
        channel: wanted.stream.channel.to_string(),
        quality: wanted.stream.quality.to_string(),
        closed: page.closed.iter().map(ClosedHole::from).collect(),
        next: page.next.map(|(start, closed)| format!("{start}/{closed}")),
    })
}
