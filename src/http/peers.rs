//! `/api/v1/peers` and what hangs below it, and `/api/v1/streams`: whom the page shows, and what other nodes say about their coverage.

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};

use super::Problem;
use super::app::App;
use super::coverage::Answering;
use super::read_view::AskedView;
use super::request::{Parameters, PathParts, no_stream};
use super::status::now;
use crate::archive::Stream;
use crate::replicate::peer_proxy::{MOST_PIXELS, ProxyError, Question, QuestionKind};
use crate::wire::{HoleList, PeerList, PeerSummary, StreamList, StreamSummary, Timeline};

/// Answers `GET /api/v1/streams`.
#[utoipa::path(
    get, path = "/api/v1/streams",
    params(("local" = Option<bool>, Query, description = "true: of this node alone, whatever other nodes have")),
    responses((status = 200, body = StreamList), (status = 400, description = "a parameter is wrong"))
)]
pub(super) async fn streams(State(app): State<Arc<App>>, AskedView(view): AskedView) -> Result<Response, Problem> {
    let list = app.ask_light(move |app| {
        view.keeper.ensure_structure()?;
        Ok(list((app, &view)))
    });
    Ok(not_stored(Json(list.await?)))
}

fn not_stored(answer: impl IntoResponse) -> Response {
    ([(CACHE_CONTROL, HeaderValue::from_static("no-store"))], answer).into_response()
}

fn list((app, view): Answering<'_>) -> StreamList {
    let horizon = view.keeper.horizon();
    let state = view.keeper.index().catalog().read();
    let summary = |entry: &crate::index::StreamEntry| {
        Some(StreamSummary {
            channel: entry.stream.channel.clone(),
            quality: entry.stream.quality.clone(),
            video: !entry.stream.quality.is_chat(),
            first_hour: *entry.hours.first_key_value()?.0,
            last_hour: horizon.newest(&entry.hours).next()?,
            hours: entry.hours.len() as u64,
        })
    };
    StreamList {
        name: app.node.name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        now: now(),
        ready: *app.node.crawl.ready().borrow(),
        streams: state.streams.values().filter_map(summary).collect(),
    }
}

/// Answers `GET /api/v1/peers`.
#[utoipa::path(get, path = "/api/v1/peers", responses((status = 200, body = PeerList)))]
pub(super) async fn peers(State(app): State<Arc<App>>) -> Response {
    not_stored(Json(PeerList { peers: (app.node.peers)().into_iter().map(PeerSummary::from).collect() }))
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
pub(super) async fn timeline(State(app): State<Arc<App>>, asked: PeerQuestion) -> Result<Response, Problem> {
    ask(&app, asked).await
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
pub(super) async fn holes(State(app): State<Arc<App>>, asked: PeerQuestion) -> Result<Response, Problem> {
    ask(&app, asked).await
}

/// Who is asked what; what belongs to other questions is not read.
pub(super) struct PeerQuestion {
    peer: String,
    question: Question,
}

impl FromRequestParts<Arc<App>> for PeerQuestion {
    type Rejection = Problem;

    async fn from_request_parts(request: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let parts = PathParts::from_request_parts(request, app).await?.parts;
        let [peer, what, channel, quality] = parts.as_slice() else {
            return Err(Problem::not_found("such address; expected is /api/v1/peers/NAME/timeline/CHANNEL/QUALITY"));
        };
        let stream = Stream::new(channel, quality).map_err(no_stream)?;
        let given = Parameters::new(request.uri.query().unwrap_or_default(), app.node.bounds.max_page);
        let most = usize::try_from(MOST_PIXELS).unwrap_or(usize::MAX);
        let (kind, pixels, edges) = if what == "holes" {
            (QuestionKind::Holes, None, given.flag("edges")?)
        } else {
            (QuestionKind::Timeline, given.count("pixels", most)?.map(|pixels| pixels as u64), false)
        };
        let (from, to) = given.window()?;
        Ok(Self { peer: peer.clone(), question: Question { kind, stream, from, to, pixels, edges } })
    }
}

async fn ask(app: &Arc<App>, PeerQuestion { peer, question }: PeerQuestion) -> Result<Response, Problem> {
    let name = question.stream.to_string();
    // Other nodes believe this one, not whoever asks it: they are asked only about what this node shows anyway.
    let view = app.view(false);
    let is_here = app.ask_light(move |_| {
        view.keeper.ensure_structure()?;
        let state = view.keeper.index().catalog().read();
        Ok(state.streams.get(&name).is_some_and(|entry| !entry.hours.is_empty()))
    });
    if !is_here.await? {
        return Err(Problem::not_found(
            "such channel and quality at this node; other nodes are asked about its own only",
        ));
    }
    let answer = app.node.peer_proxy.ask(&peer, &question).await.map_err(problem)?;
    Ok(not_stored(([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], answer)))
}

fn problem(error: ProxyError) -> Problem {
    match error {
        ProxyError::Unknown => Problem::not_found("peer of that name; /api/v1/peers lists them"),
        ProxyError::Busy => Problem::unavailable(1, "too many questions to other nodes are waiting"),
        other => Problem::bad_gateway(&other.to_string()),
    }
}
