//! `/playlist/{channel}.m3u8`: the qualities of a channel in a range, as a master playlist.

use std::sync::Arc;

use axum::extract::{FromRequestParts, State};
use axum::http::HeaderValue;
use axum::http::request::Parts;
use axum::response::Response;
use bytes::Bytes;

use super::app::App;
use super::read_view::{AskedView, ReadView};
use super::request::{FromQuery, Parameters, PathParts, Query, RequestHead};
use super::wire_cache::{CachedList, ListSubject};
use super::{Problem, listing};
use crate::archive::Channel;
use crate::play::playlist::hls::MEDIA_TYPE;
use crate::play::playlist::master::MasterRange;

/// Answers `GET /playlist/{channel}.m3u8`.
#[utoipa::path(
    get, path = "/playlist/{file}",
    params(
        ("file" = String, Path, description = "CHANNEL.m3u8"),
        ("start" = Option<String>, Query, description = "a time"), ("end" = Option<String>, Query, description = "a time, after start"),
        ("local" = Option<bool>, Query, description = "true: of this node alone, whatever other nodes have")
    ),
    responses(
        (status = 200, content_type = "application/vnd.apple.mpegurl", description = "a master playlist of all qualities"),
        (status = 304, description = "as the tag in If-None-Match says"), (status = 400, description = "a parameter is wrong"),
        (status = 404, description = "there is no such stream"), (status = 503, description = "the disk is not there, or too much is asked at once")
    )
)]
pub(super) async fn master(
    State(app): State<Arc<App>>,
    AskedView(view): AskedView,
    ChannelPath(channel): ChannelPath,
    Query(range): Query<MasterRange>,
    RequestHead(request): RequestHead,
) -> Result<Response, Problem> {
    // A query that means the same must find the same bytes.
    let key = view.kept_as(&format!("{}{}", request.uri.path(), range.query()));
    let entry = match app.cache.get(&key).filter(|entry| is_right(&view, entry)) {
        Some(entry) => entry,
        None => make(&app, &view, (channel, range), key.clone()).await?,
    };
    listing::reply_as(&app, &request, &key, entry, HeaderValue::from_static(MEDIA_TYPE)).await
}

/// The channel of `CHANNEL.m3u8`.
pub(super) struct ChannelPath(Channel);

impl FromRequestParts<Arc<App>> for ChannelPath {
    type Rejection = Problem;

    async fn from_request_parts(request: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let path = PathParts::from_request_parts(request, app).await?;
        let name = path.parts.first().and_then(|file| file.strip_suffix(".m3u8"));
        let channel = name.and_then(|name| Channel::new(name).ok());
        let expected = "such address; expected is /playlist/CHANNEL.m3u8";
        channel.map(Self).ok_or_else(|| Problem::not_found(expected))
    }
}

impl FromQuery for MasterRange {
    fn read(given: &Parameters) -> Result<Self, Problem> {
        let (gaps, apart, peers) = (given.flag("gaps")?, given.flag("apart")?, given.flag("peers")?);
        let (start, end) = given.stretch()?;
        Ok(Self { start, end, gaps, apart, peers })
    }
}

fn is_right(view: &ReadView, entry: &CachedList) -> bool {
    matches!(&entry.subject, ListSubject::Master(basis) if basis.is_right(&view.keeper))
}

async fn make(
    app: &Arc<App>,
    view: &Arc<ReadView>,
    (channel, range): (Channel, MasterRange),
    key: String,
) -> Result<Arc<CachedList>, Problem> {
    let view = Arc::clone(view);
    let _alone = app.alone(&key).await?;
    app.ask(move |app| {
        // Somebody else may have made it in the meantime.
        if let Some(entry) = app.cache.get(&key).filter(|entry| is_right(&view, entry)) {
            return Ok(entry);
        }
        let made = view.playback.master(&channel, &range)?;
        let subject = ListSubject::Master(Box::new(made.basis));
        let entry = Arc::new(CachedList::new(subject, crate::index::Version::default(), Bytes::from(made.text)));
        app.cache.put(&key, &entry);
        Ok(entry)
    })
    .await
}
