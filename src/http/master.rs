//! `/playlist/{channel}.m3u8`: the qualities of a channel in a range, as a master playlist.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Request};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

use super::app::App;
use super::wire_cache::{CachedList, ListSubject};
use super::{Problem, listing, pathname, playlist, query};
use crate::archive::Channel;
use crate::archive::hls::MEDIA_TYPE;
use crate::archive::master::MasterRange;

/// Answers `GET /playlist/{channel}.m3u8`.
#[utoipa::path(
    get, path = "/playlist/{file}",
    params(
        ("file" = String, Path, description = "CHANNEL.m3u8"),
        ("start" = Option<String>, Query, description = "a time"), ("end" = Option<String>, Query, description = "a time, after start")
    ),
    responses(
        (status = 200, content_type = "application/vnd.apple.mpegurl", description = "a master playlist of all qualities"),
        (status = 304, description = "as the tag in If-None-Match says"), (status = 400, description = "a parameter is wrong"),
        (status = 404, description = "there is no such stream"), (status = 503, description = "the disk is not there, or too much is asked at once")
    )
)]
pub async fn master(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    let (request, _no_body) = request.into_parts();
    answer(&app, &request).await.unwrap_or_else(|problem| problem.at(request.uri.path()).into_response())
}

async fn answer(app: &Arc<App>, request: &Parts) -> Result<Response, Problem> {
    let channel = channel(request.uri.path())?;
    let range = range(request.uri.query().unwrap_or_default())?;
    // A query that means the same must find the same bytes.
    let key = format!("{}{}", request.uri.path(), range.query());
    let entry = match app.cache.get(&key).filter(|entry| is_right(app, entry)) {
        Some(entry) => entry,
        None => make(app, channel, range, key.clone()).await?,
    };
    listing::reply_as(app, request, &key, entry, HeaderValue::from_static(MEDIA_TYPE)).await
}

fn channel(path: &str) -> Result<Channel, Problem> {
    let missing = || Problem::not_found("such address; expected is /playlist/CHANNEL.m3u8");
    let parts = pathname::parts(path.as_bytes(), b"/playlist")?;
    let [file] = parts.as_slice() else { return Err(missing()) };
    let name = file.strip_suffix(".m3u8").ok_or_else(missing)?;
    Channel::new(name).map_err(|_| missing())
}

fn range(text: &str) -> Result<MasterRange, Problem> {
    let mut range = MasterRange::default();
    for (name, value) in query::pairs(text) {
        match name.as_str() {
            "start" => range.start = Some(query::time("start", &value)?),
            "end" => range.end = Some(query::time("end", &value)?),
            "gaps" => range.gaps = query::flag("gaps", &value)?,
            "peers" => range.peers = query::flag("peers", &value)?,
            _ => {}
        }
    }
    if let (Some(start), Some(end)) = (range.start, range.end) {
        playlist::check_order("end", start, end)?;
    }
    Ok(range)
}

fn is_right(app: &App, entry: &CachedList) -> bool {
    matches!(&entry.subject, ListSubject::Master(basis) if basis.is_right(&app.keeper))
}

async fn make(app: &Arc<App>, channel: Channel, range: MasterRange, key: String) -> Result<Arc<CachedList>, Problem> {
    let _alone = app.alone(&key).await?;
    app.ask(move |app| {
        // Somebody else may have made it in the meantime.
        if let Some(entry) = app.cache.get(&key).filter(|entry| is_right(app, entry)) {
            return Ok(entry);
        }
        let made = app.playback.master(&channel, &range)?;
        let subject = ListSubject::Master(Box::new(made.basis));
        let entry = Arc::new(CachedList::new(subject, crate::index::Version::default(), Bytes::from(made.text)));
        app.cache.put(&key, &entry);
        Ok(entry)
    })
    .await
}
