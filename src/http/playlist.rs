//! `/playlist/{channel}/{quality}.m3u8`: a stretch as a media playlist, for any player.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::app::App;
use super::negotiate::negotiate_among;
use super::pieces_body::PiecesBody;
use super::request::{PathParts, Query, RequestHead};
use super::{ConditionVerdict, ETag, Encoding, Problem, conditional};
use crate::archive::Stream;
use crate::archive::hls::MEDIA_TYPE;
use crate::archive::master::MasterRange;
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
pub(super) async fn media(
    State(app): State<Arc<App>>,
    ListPath(stream): ListPath,
    Query(MasterRange { start, end, gaps, peers }): Query<MasterRange>,
    RequestHead(request): RequestHead,
) -> Result<Response, Problem> {
    let ask = Ask { stream, start, end, gaps, peers };
    if let Some(list) = app.playback.kept(&ask) {
        return reply(&app, &request, list).await;
    }
    // Others are asked before it is anybody's turn: they may take their time.
    let others = if ask.peers { others(&app, &ask).await? } else { Vec::new() };
    let list = {
        let _alone = app.alone(&format!("{ask:?}")).await?;
        app.ask(move |app| Ok(app.playback.playlist_with(&ask, &others)?)).await?
    };
    reply(&app, &request, list).await
}

/// The channel and quality of `CHANNEL/QUALITY.m3u8`.
pub(super) struct ListPath(pub(super) Stream);

impl FromRequestParts<Arc<App>> for ListPath {
    type Rejection = Problem;

    async fn from_request_parts(request: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        PathParts::from_request_parts(request, app).await?.stream_file(".m3u8").map(Self)
    }
}

/// What others have of what is missing here. Those that do not say in time are left out.
async fn others(app: &Arc<App>, ask: &Ask) -> Result<Vec<Other>, Problem> {
    let question = ask.clone();
    let hours = app.ask(move |app| Ok(app.playback.missing(&question)?)).await?;
    Ok(app.peer_proxy.segments(&ask.stream, &hours).await)
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
