//! `/playlist/{channel}/{quality}.m3u8`: a stretch as a media playlist, for any player.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Request, StatusCode};
use axum::response::{IntoResponse, Response};

use super::app::App;
use super::negotiate::negotiate_among;
use super::pieces_body::PiecesBody;
use super::{ConditionVerdict, ETag, Encoding, Problem, conditional, pathname, query};
use crate::archive::hls::MEDIA_TYPE;
use crate::archive::{Stream, Timestamp};
use crate::play::playback::{Ask, Other, Playlist};

/// Answers `GET /playlist/{channel}/{quality}.m3u8`.
#[utoipa::path(
    get, path = "/playlist/{channel}/{file}",
    params(
        ("channel" = String, Path), ("file" = String, Path, description = "QUALITY.m3u8"),
        ("start" = Option<String>, Query, description = "a time"), ("end" = Option<String>, Query, description = "a time, after start"),
        ("gaps" = Option<bool>, Query, description = "true: what is missing has entries of its own (EXT-X-GAP)"),
        ("peers" = Option<bool>, Query, description = "true: what is missing here is played from other nodes")
    ),
    responses(
        (status = 200, content_type = "application/vnd.apple.mpegurl", description = "a media playlist; live where no end is given"),
        (status = 304, description = "as the tag in If-None-Match says"), (status = 400, description = "a parameter is wrong"),
        (status = 404, description = "there is no such stream"), (status = 503, description = "the disk is not there, or too much is asked at once")
    )
)]
pub async fn media(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    let (request, _no_body) = request.into_parts();
    answer(&app, &request).await.unwrap_or_else(|problem| problem.at(request.uri.path()).into_response())
}

async fn answer(app: &Arc<App>, request: &Parts) -> Result<Response, Problem> {
    let ask = read(request)?;
    if let Some(list) = app.playback.kept(&ask) {
        return reply(app, request, list).await;
    }
    // Others are asked before it is anybody's turn: they may take their time.
    let others = if ask.peers { others(app, &ask).await? } else { Vec::new() };
    let list = {
        let _alone = app.alone(&format!("{ask:?}")).await?;
        app.ask(move |app| Ok(app.playback.playlist_with(&ask, &others)?)).await?
    };
    reply(app, request, list).await
}

/// What others have of what is missing here. Those that do not say in time are left out.
async fn others(app: &Arc<App>, ask: &Ask) -> Result<Vec<Other>, Problem> {
    let question = ask.clone();
    let hours = app.ask(move |app| Ok(app.playback.missing(&question)?)).await?;
    Ok(app.peer_proxy.segments(&ask.stream, &hours).await)
}

fn read(request: &Parts) -> Result<Ask, Problem> {
    let stream = stream_of(request.uri.path(), "/playlist", ".m3u8")?;
    let mut ask = Ask { stream, start: None, end: None, gaps: false, peers: false };
    for (name, value) in query::pairs(request.uri.query().unwrap_or_default()) {
        match name.as_str() {
            "start" => ask.start = Some(query::time("start", &value)?),
            "end" => ask.end = Some(query::time("end", &value)?),
            "gaps" => ask.gaps = query::flag("gaps", &value)?,
            "peers" => ask.peers = query::flag("peers", &value)?,
            _ => {}
        }
    }
    if let (Some(start), Some(end)) = (ask.start, ask.end) {
        check_order("end", start, end)?;
    }
    Ok(ask)
}

/// The channel and the quality of `PREFIX/CHANNEL/QUALITY.EXTENSION`.
pub(super) fn stream_of(path: &str, prefix: &str, extension: &str) -> Result<Stream, Problem> {
    let parts = pathname::parts(path.as_bytes(), prefix.as_bytes())?;
    let missing = || Problem::not_found(&format!("such address; expected is {prefix}/CHANNEL/QUALITY{extension}"));
    let [channel, file] = parts.as_slice() else { return Err(missing()) };
    let quality = file.strip_suffix(extension).ok_or_else(missing)?;
    Stream::new(channel, quality).map_err(|_| missing())
}

/// A stretch ends after it begins.
pub(super) fn check_order(name: &str, start: Timestamp, end: Timestamp) -> Result<(), Problem> {
    if start < end {
        return Ok(());
    }
    Err(Problem::bad_parameter(name, &end.to_string(), &format!("a time after the start, {start}")))
}

async fn reply(app: &Arc<App>, request: &Parts, list: Arc<Playlist>) -> Result<Response, Problem> {
    // The pieces are kept deflated, not in any other encoding.
    let encoding = negotiate_among(&request.headers, &[Encoding::Identity, Encoding::Gzip]);
    let etag = ETag::of_encoded(list.hash(), encoding);
    let mut response = match conditional::evaluate(&request.headers, &etag, None) {
        ConditionVerdict::NotModified => StatusCode::NOT_MODIFIED.into_response(),
        ConditionVerdict::Failed => return Err(Problem::precondition_failed()),
        ConditionVerdict::Proceed => {
            let pieces = match (encoding, list.kept_gzip()) {
                (Encoding::Gzip, Some(kept)) => kept,
                (Encoding::Gzip, None) => {
                    let _alone = app.alone(list.hash()).await?;
                    app.ask(move |_| list.gzip().map_err(|_| Problem::internal("encoding-failed"))).await?
                }
                _ => list.plain(),
            };
            let mut response = Response::new(Body::new(PiecesBody::new(pieces)));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
            response
        }
    };
    let headers = response.headers_mut();
    headers.insert(ETAG, etag.value().clone());
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    encoding.describe(headers);
    Ok(response)
}
