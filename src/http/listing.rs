//! `/files…`: what there is. Answered from kept bytes where they are right, from the index otherwise.

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

use super::app::App;
use super::json_list::JsonList;
use super::read_view::{AskedView, ReadView};
use super::request::{FromQuery, Parameters, Query, RequestHead};
use super::wire_cache::{CachedList, ListSubject};
use super::{ConditionVerdict, ETag, Effort, Encoding, Problem, conditional, encode, negotiate, pathname};
use crate::archive::{Hour, HourPlace, Stream};
use crate::sync::crawl::CrawlError;

/// Answers `GET /files`.
#[utoipa::path(
    get, path = "/files",
    params(("tombstones" = Option<bool>, Query, description = "true: tombstones are listed, too"), ("local" = Option<bool>, Query, description = "true: of this node alone, whatever other nodes have")),
    responses(
        (status = 200, body = Vec<String>, description = "the channels"), (status = 304, description = "as the tag in If-None-Match says"),
        (status = 400, description = "a parameter is wrong"), (status = 404, description = "there is no such directory"),
        (status = 503, description = "the disk is not there")
    )
)]
pub(super) async fn channels(
    app: State<Arc<App>>,
    view: AskedView,
    query: Query<ListingQuery>,
    head: RequestHead,
) -> Result<Response, Problem> {
    list(app, view, query, head).await
}

/// Answers `GET /files/{channel}`.
#[utoipa::path(
    get, path = "/files/{channel}",
    params(("channel" = String, Path), ("tombstones" = Option<bool>, Query, description = "true: tombstones are listed, too"), ("local" = Option<bool>, Query, description = "true: of this node alone, whatever other nodes have")),
    responses(
        (status = 200, body = Vec<String>, description = "the qualities of a channel"), (status = 304, description = "as the tag in If-None-Match says"),
        (status = 400, description = "a parameter is wrong"), (status = 404, description = "there is no such directory"),
        (status = 503, description = "the disk is not there")
    )
)]
pub(super) async fn qualities(
    app: State<Arc<App>>,
    view: AskedView,
    query: Query<ListingQuery>,
    head: RequestHead,
) -> Result<Response, Problem> {
    list(app, view, query, head).await
}

/// Answers `GET /files/{channel}/{quality}`.
#[utoipa::path(
    get, path = "/files/{channel}/{quality}",
    params(("channel" = String, Path), ("quality" = String, Path), ("tombstones" = Option<bool>, Query, description = "true: tombstones are listed, too"), ("local" = Option<bool>, Query, description = "true: of this node alone, whatever other nodes have")),
    responses(
        (status = 200, body = Vec<String>, description = "the hours of a quality"), (status = 304, description = "as the tag in If-None-Match says"),
        (status = 400, description = "a parameter is wrong"), (status = 404, description = "there is no such directory"),
        (status = 503, description = "the disk is not there")
    )
)]
pub(super) async fn hours(
    app: State<Arc<App>>,
    view: AskedView,
    query: Query<ListingQuery>,
    head: RequestHead,
) -> Result<Response, Problem> {
    list(app, view, query, head).await
}

/// Answers `GET /files/{channel}/{quality}/{hour}`.
#[utoipa::path(
    get, path = "/files/{channel}/{quality}/{hour}",
    params(("channel" = String, Path), ("quality" = String, Path), ("hour" = String, Path), ("tombstones" = Option<bool>, Query, description = "true: tombstones are listed, too"), ("local" = Option<bool>, Query, description = "true: of this node alone, whatever other nodes have")),
    responses(
        (status = 200, body = Vec<String>, description = "the file names of an hour; without tombstones and what they hide, unless these are asked for"), (status = 304, description = "as the tag in If-None-Match says"),
        (status = 400, description = "a parameter is wrong"), (status = 404, description = "there is no such directory"),
        (status = 503, description = "the disk is not there")
    )
)]
pub(super) async fn segments(
    app: State<Arc<App>>,
    view: AskedView,
    query: Query<ListingQuery>,
    head: RequestHead,
) -> Result<Response, Problem> {
    list(app, view, query, head).await
}

pub(super) struct ListingQuery {
    tombstones: bool,
}

impl FromQuery for ListingQuery {
    fn read(given: &Parameters) -> Result<Self, Problem> {
        Ok(Self { tombstones: given.flag("tombstones")? })
    }
}

async fn list(
    State(app): State<Arc<App>>,
    AskedView(view): AskedView,
    Query(ListingQuery { tombstones }): Query<ListingQuery>,
    RequestHead(request): RequestHead,
) -> Result<Response, Problem> {
    let path = request.uri.path();
    // A query that means the same must find the same bytes.
    let key = if tombstones { view.kept_as(&format!("{path}?t")) } else { view.kept_as(path) };
    let entry = match app.cache.get(&key).filter(|entry| is_right(&view, entry)) {
        Some(entry) => entry,
        None => make(&app, &view, path, key.clone(), tombstones).await?,
    };
    reply(&app, &request, &key, entry).await
}

/// Whether kept bytes are what the disk has now.
fn is_right(view: &ReadView, entry: &CachedList) -> bool {
    match &entry.subject {
        ListSubject::Master(_) => false,
        ListSubject::Structure => {
            view.keeper.structure_is_sure() && view.keeper.index().catalog().structure() == entry.version
        }
        ListSubject::Hour { stream, hour } => {
            view.keeper.index().catalog().hour_version(stream, *hour) == Some(entry.version)
                && view.keeper.is_fresh(stream, *hour)
        }
    }
}

async fn make(
    app: &Arc<App>,
    view: &Arc<ReadView>,
    path: &str,
    key: String,
    tombstones: bool,
) -> Result<Arc<CachedList>, Problem> {
    let view = Arc::clone(view);
    let parts: Vec<String> = pathname::parts(path.as_bytes(), b"/files")?.into_iter().map(Cow::into_owned).collect();
    let _alone = app.alone(&key).await?;
    app.ask(move |app| {
        // Somebody else may have made it in the meantime.
        if let Some(entry) = app.cache.peek(&key).filter(|entry| is_right(&view, entry)) {
            return Ok(entry);
        }
        let entry = match parts.as_slice() {
            [channel, quality, hour] => hour_entry(&view, channel, quality, hour, tombstones)?,
            above => structure_entry(&view, above)?,
        };
        let (entry, keep) = entry;
        let entry = match app.cache.peek(&key) {
            // Nothing changed but the certainty: what was kept stays, with its encodings.
            Some(kept) if keep && kept.version == entry.version && kept.hash == entry.hash => kept,
            _ => {
                let entry = Arc::new(entry);
                if keep {
                    app.cache.put(&key, &entry);
                }
                entry
            }
        };
        Ok(entry)
    })
    .await
}

fn structure_entry(view: &ReadView, parts: &[String]) -> Result<(CachedList, bool), Problem> {
    let catalog = view.keeper.index().catalog();
    let above = parts.iter().take(2).map(String::as_str).collect::<Vec<_>>().join("/");
    for _ in 0..3 {
        let generation = catalog.generation();
        match view.keeper.ensure_structure() {
            Err(CrawlError::Index(_)) if catalog.generation() == generation => return from_disk(view, &above),
            ensured => ensured?,
        }
        view.keeper.confirm_readable(&above)?;
        let version = catalog.structure();
        let list: JsonList = match parts {
            [] => catalog.channels().into_iter().collect(),
            [channel] => catalog.qualities(channel).into_iter().collect(),
            [channel, quality, ..] => {
                let hours = catalog.hours(&format!("{channel}/{quality}"), ..);
                let mut list = JsonList::with_capacity(hours.len());
                for hour in hours {
                    list.push(&hour.to_string());
                }
                list
            }
        };
        if catalog.generation() == generation {
            return Ok((CachedList::new(ListSubject::Structure, version, list.finish()), true));
        }
    }
    Err(Problem::unavailable(1, "the index has just begun anew and is being filled; ask again in a moment"))
}

/// Where the index takes no writes, and may not know of all there is.
fn from_disk(view: &ReadView, above: &str) -> Result<(CachedList, bool), Problem> {
    let list: JsonList = view.keeper.list_from_disk(above)?.into_iter().collect();
    Ok((CachedList::new(ListSubject::Structure, crate::index::Version::default(), list.finish()), false))
}

fn hour_entry(
    view: &ReadView,
    channel: &str,
    quality: &str,
    hour: &str,
    tombstones: bool,
) -> Result<(CachedList, bool), Problem> {
    let (Ok(stream), Ok(hour)) = (Stream::new(channel, quality), Hour::parse(hour)) else {
        view.keeper.guard().base().map_err(CrawlError::Away)?;
        return Ok((
            CachedList::new(
                ListSubject::Structure,
                crate::index::Version::default(),
                JsonList::with_capacity(0).finish(),
            ),
            false,
        ));
    };
    let subject = ListSubject::Hour { stream: stream.to_string(), hour };
    let answer = view.keeper.answer(&HourPlace { stream, hour })?;
    let mut list = JsonList::with_capacity(answer.contents.len());
    answer.contents.for_each_listed(tombstones, |name| list.push(name));
    let keep = answer.version.is_some_and(|version| version.changed > 0 || !answer.contents.is_empty());
    Ok((CachedList::new(subject, answer.version.unwrap_or_default(), list.finish()), keep))
}

/// Sends a list, in the encoding that is wanted, unless the client has it.
pub(super) async fn reply(
    app: &Arc<App>,
    request: &Parts,
    key: &str,
    entry: Arc<CachedList>,
) -> Result<Response, Problem> {
    reply_as(app, request, key, entry, HeaderValue::from_static("application/json")).await
}

/// The same for anything that is kept like one.
pub(super) async fn reply_as(
    app: &Arc<App>,
    request: &Parts,
    key: &str,
    entry: Arc<CachedList>,
    content_type: HeaderValue,
) -> Result<Response, Problem> {
    let encoding = negotiate(&request.headers);
    let etag = ETag::of_encoded(&entry.hash, encoding);
    let mut response = match conditional::evaluate(&request.headers, &etag, None) {
        ConditionVerdict::NotModified => StatusCode::NOT_MODIFIED.into_response(),
        ConditionVerdict::Failed => return Err(Problem::precondition_failed()),
        ConditionVerdict::Proceed => {
            let body = match entry.body(encoding) {
                Some(body) => body,
                None => encoded(app, key, entry, encoding).await?,
            };
            let mut response = Response::new(Body::from(body));
            response.headers_mut().insert(CONTENT_TYPE, content_type);
            response
        }
    };
    let headers = response.headers_mut();
    headers.insert(ETAG, etag.value().clone());
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    encoding.describe(headers);
    Ok(response)
}

async fn encoded(app: &Arc<App>, key: &str, entry: Arc<CachedList>, encoding: Encoding) -> Result<Bytes, Problem> {
    let _alone = app.alone(key).await?;
    let key = key.to_owned();
    app.ask(move |app| {
        // Somebody else may have encoded it, or the same list made anew, in the meantime.
        let kept = app.cache.peek(&key).filter(|kept| kept.hash == entry.hash);
        if let Some(body) = entry.body(encoding).or_else(|| kept?.body(encoding)) {
            return Ok(body);
        }
        let plain = entry.body(Encoding::Identity).unwrap_or_default();
        let body = encode(encoding, Effort::Kept, &plain).map_err(|_| Problem::internal("encoding-failed"))?;
        app.cache.put_encoded(&key, &entry, encoding, body.clone());
        Ok(body)
    })
    .await
}
