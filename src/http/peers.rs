//! `/api/v1/peers` and what hangs below it, and `/api/v1/streams`: whom the page shows, and what other nodes say about their coverage.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, Request, Uri};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

use super::app::App;
use super::{Problem, pathname, query};
use crate::archive::{Stream, Timestamp};
use crate::replicate::peer_proxy::{MOST_PIXELS, ProxyError, Question, QuestionKind};
use crate::wire::{HoleList, PeerList, PeerSummary, StreamList, StreamSummary, Timeline};

/// Answers `GET /api/v1/streams`.
#[utoipa::path(get, path = "/api/v1/streams", responses((status = 200, body = StreamList)))]
pub async fn streams(State(app): State<Arc<App>>) -> Response {
    let list = app.ask_light(|app| {
        app.keeper.ensure_structure()?;
        Ok(list(app))
    });
    match list.await {
        Ok(list) => ([(CACHE_CONTROL, HeaderValue::from_static("no-store"))], Json(list)).into_response(),
        Err(problem) => problem.at("/api/v1/streams").into_response(),
    }
}

fn list(app: &App) -> StreamList {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let horizon = app.keeper.horizon();
    let state = app.keeper.index().catalog().read();
    let summary = |entry: &crate::index::StreamEntry| {
        Some(StreamSummary {
            channel: entry.stream.channel.to_string(),
            quality: entry.stream.quality.to_string(),
            video: !entry.stream.quality.is_chat(),
            first_hour: entry.hours.first_key_value()?.0.to_string(),
            last_hour: horizon.newest(&entry.hours).next()?.to_string(),
            hours: entry.hours.len() as u64,
        })
    };
    StreamList {
        name: app.name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        now: Timestamp::from_us(i64::try_from(since.as_micros()).unwrap_or(i64::MAX)).to_string(),
        ready: *app.crawl.ready().borrow(),
        streams: state.streams.values().filter_map(summary).collect(),
    }
}

/// Answers `GET /api/v1/peers`.
#[utoipa::path(get, path = "/api/v1/peers", responses((status = 200, body = PeerList)))]
pub async fn peers(State(app): State<Arc<App>>) -> Response {
    let peers = (app.peers)().into_iter().map(PeerSummary::from).collect();
    ([(CACHE_CONTROL, HeaderValue::from_static("no-store"))], Json(PeerList { peers })).into_response()
}

/// Answers `GET /api/v1/peers/{name}/timeline/{channel}/{quality}`.
#[utoipa::path(
    get, path = "/api/v1/peers/{name}/timeline/{channel}/{quality}",
    params(
        ("name" = String, Path, description = "as in /api/v1/peers"), ("channel" = String, Path), ("quality" = String, Path),
        ("from" = String, Query, description = "a time"), ("to" = String, Query, description = "a time"),
        ("pixels" = u32, Query, description = "from 1 to 4096")
    ),
    responses(
        (status = 200, body = Timeline, description = "what the peer answered within the last three seconds"),
        (status = 404, description = "there is no peer of that name, or this node does not have that quality"), (status = 502, description = "the peer did not say, and why")
    )
)]
pub async fn timeline(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    answer(&app, request.uri()).await
}

/// Answers `GET /api/v1/peers/{name}/holes/{channel}/{quality}`.
#[utoipa::path(
    get, path = "/api/v1/peers/{name}/holes/{channel}/{quality}",
    params(
        ("name" = String, Path, description = "as in /api/v1/peers"), ("channel" = String, Path), ("quality" = String, Path),
        ("from" = Option<String>, Query, description = "a time"), ("to" = Option<String>, Query, description = "a time"),
        ("edges" = Option<bool>, Query, description = "true: also what is missing at the edges")
    ),
    responses(
        (status = 200, body = HoleList, description = "what the peer answered within the last three seconds"),
        (status = 404, description = "there is no peer of that name, or this node does not have that quality"), (status = 502, description = "the peer did not say, and why")
    )
)]
pub async fn holes(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    answer(&app, request.uri()).await
}

async fn answer(app: &Arc<App>, asked: &Uri) -> Response {
    let json = [
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    match ask(app, asked).await {
        Ok(bytes) => (json, bytes).into_response(),
        Err(problem) => problem.at(asked.path()).into_response(),
    }
}

async fn ask(app: &Arc<App>, asked: &Uri) -> Result<Bytes, Problem> {
    let parts = pathname::parts(asked.path().as_bytes(), b"/api/v1/peers")?;
    let [peer, what, channel, quality] = parts.as_slice() else {
        return Err(Problem::not_found("such address; expected is /api/v1/peers/NAME/timeline/CHANNEL/QUALITY"));
    };
    let kind = if what == "holes" { QuestionKind::Holes } else { QuestionKind::Timeline };
    let stream = Stream::new(channel, quality)
        .map_err(|error| Problem::not_found(&format!("such channel and quality: {error}")))?;
    let question = read(kind, stream, asked.query().unwrap_or_default())?;
    let wanted = question.stream.clone();
    // Other nodes believe this one, not whoever asks it: they are asked only about what this node shows anyway.
    let is_here = app.ask_light(move |app| {
        app.keeper.ensure_structure()?;
        let state = app.keeper.index().catalog().read();
        Ok(state.streams.get(&wanted.to_string()).is_some_and(|entry| !entry.hours.is_empty()))
    });
    if !is_here.await? {
        return Err(Problem::not_found(
            "such channel and quality at this node; other nodes are asked about its own only",
        ));
    }
    app.peer_proxy.ask(peer, &question).await.map_err(problem)
}

/// The question that a query is; what belongs to other questions is left out.
fn read(kind: QuestionKind, stream: Stream, text: &str) -> Result<Question, Problem> {
    let mut question = Question { kind, stream, from: None, to: None, pixels: None, edges: false };
    for (name, value) in query::pairs(text) {
        match (name.as_str(), kind) {
            ("from", _) => question.from = Some(query::time("from", &value)?),
            ("to", _) => question.to = Some(query::time("to", &value)?),
            ("pixels", QuestionKind::Timeline) => {
                let most = usize::try_from(MOST_PIXELS).unwrap_or(usize::MAX);
                question.pixels = Some(query::count("pixels", &value, most)? as u64);
            }
            ("edges", QuestionKind::Holes) => question.edges = query::flag("edges", &value)?,
            _ => {}
        }
    }
    if let (Some(from), Some(to)) = (question.from, question.to)
        && to <= from
    {
        return Err(Problem::bad_parameter("to", &to.to_string(), &format!("a time after from, {from}")));
    }
    Ok(question)
}

fn problem(error: ProxyError) -> Problem {
    match error {
        ProxyError::Unknown => Problem::not_found("peer of that name; /api/v1/peers lists them"),
        ProxyError::Busy => Problem::unavailable(1, "too many questions to other nodes are waiting"),
        other => Problem::bad_gateway(&other.to_string()),
    }
}
