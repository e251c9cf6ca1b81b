//! `/api/v1/digests…`: by which two nodes find out with one request that they hold the same, and with a few what differs.
//!
//! Qualities and days are answered from sums that are kept in memory ([`crate::index::agree`]); the hours of a day are compared
//! with the disk first, one `stat` each.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;

use super::app::App;
use super::compress::{compressed, encoding_for};
use super::digest_owners::{LayoutQuery, OwnersQuery};
use super::digest_sums::{began_anew, sums, sums_in};
use super::request::{FromQuery, Parameters, PathParts, Query, RequestHead, StreamPath};
use super::{ConditionVerdict, ETag, Problem, conditional, layout};
use crate::archive::digest_sums::replicated_files;
use crate::archive::placement::Slot;
use crate::archive::totals::Digest;
use crate::archive::{Day, Hour, HourPlace, Stream};
use crate::disk::ArchiveId;
use crate::index::{Health, Position};
use crate::sync::crawl::CrawlError;
use crate::wire::{DayDigest, DayDigests, HourDigest, HourDigests, HourFile, QualityDigest, QualityDigests};

/// Qualities or days in an answer: 27 years of days in 1.5 MB; whoever has more asks twice.
const PAGE: usize = 10_000;
/// Qualities that may be named in a request: as many as fit in its head.
const NAMED: usize = 1_000;
/// Files in an answer, after which no further hour is named: a day of the usual segments has 43,200.
const MOST_NAMES: usize = 50_000;

/// Answers `GET /api/v1/digests`.
#[utoipa::path(
    get, path = "/api/v1/digests",
    params(
        ("quality" = Option<Vec<String>>, Query, description = "CHANNEL/QUALITY, once for each that is asked for; all where not given"),
        ("after" = Option<String>, Query, description = "`next` of the page before"),
        ("layout" = Option<String>, Query, description = "the hash of the layout by which hours are told apart; with `node`"),
        ("node" = Option<String>, Query, description = "what the node that asks is called in the layout")
    ),
    responses(
        (status = 200, body = QualityDigests), (status = 304, description = "as the tag in If-None-Match says"),
        (status = 400, description = "a parameter is wrong"), (status = 503, description = "the disk is not there")
    )
)]
pub(super) async fn qualities(
    State(app): State<Arc<App>>,
    Query(named): Query<QualitiesQuery>,
    RequestHead(request): RequestHead,
) -> Result<Response, Problem> {
    answer(&app, &request, move |app| quality_digests(app, &named)).await
}

/// Answers `GET /api/v1/digests/{channel}/{quality}`.
#[utoipa::path(
    get, path = "/api/v1/digests/{channel}/{quality}",
    params(
        ("channel" = String, Path), ("quality" = String, Path),
        ("after" = Option<String>, Query, description = "`next` of the page before"),
        ("layout" = Option<String>, Query, description = "the hash of the layout by which hours are told apart; with `node`, and `owned_by` if only some are meant"),
        ("node" = Option<String>, Query, description = "what the node that asks is called in the layout"),
        ("owned_by" = Option<String>, Query, description = "`both`, `asker` or `others`: who owns the hours that are meant")
    ),
    responses(
        (status = 200, body = DayDigests), (status = 304, description = "as the tag in If-None-Match says"),
        (status = 400, description = "a parameter is wrong"), (status = 409, description = "the layout here is another one"), (status = 503, description = "the disk is not there")
    )
)]
pub(super) async fn days(
    State(app): State<Arc<App>>,
    StreamPath(stream): StreamPath,
    Query(DaysQuery { after, owners }): Query<DaysQuery>,
    RequestHead(request): RequestHead,
) -> Result<Response, Problem> {
    answer(&app, &request, move |app| day_digests(app, &stream, after, owners.as_ref())).await
}

/// Answers `GET /api/v1/digests/{channel}/{quality}/{day}`.
#[utoipa::path(
    get, path = "/api/v1/digests/{channel}/{quality}/{day}",
    params(
        ("channel" = String, Path), ("quality" = String, Path), ("day" = String, Path, description = "such as 2019-11-13"),
        ("layout" = Option<String>, Query, description = "the hash of the layout by which hours are told apart; with `node`, and `owned_by` if only some are meant"),
        ("node" = Option<String>, Query, description = "what the node that asks is called in the layout"),
        ("owned_by" = Option<String>, Query, description = "`both`, `asker` or `others`: who owns the hours that are meant"),
        ("names" = Option<bool>, Query, description = "true: also the files, as far as there is room in the answer, and all of one hour at least"),
        ("hour" = Option<Vec<String>>, Query, description = "an hour of the day, once for each that is asked for; all where not given")
    ),
    responses(
        (status = 200, body = HourDigests), (status = 304, description = "as the tag in If-None-Match says"),
        (status = 400, description = "a parameter is wrong"), (status = 409, description = "the layout here is another one"), (status = 503, description = "the disk is not there")
    )
)]
pub(super) async fn hours(
    State(app): State<Arc<App>>,
    StreamPath(stream): StreamPath,
    path: PathParts,
    Query(asked): Query<HoursQuery>,
    RequestHead(request): RequestHead,
) -> Result<Response, Problem> {
    let day = day("day", path.parts.last().map_or("", String::as_str))?;
    answer(&app, &request, move |app| hour_digests(app, &stream, day, &asked)).await
}

/// The qualities that are asked for.
pub(super) struct QualitiesQuery {
    streams: Vec<String>,
    after: Option<String>,
    layout: Option<LayoutQuery>,
}

impl FromQuery for QualitiesQuery {
    fn read(given: &Parameters) -> Result<Self, Problem> {
        let read = |name: &str, value: &str| {
            let stream = Stream::parse(value).map(|stream| stream.to_string());
            stream.map_err(|_| Problem::bad_parameter(name, value, "a channel and a quality, such as desertbus/source"))
        };
        let count = given.all("quality").count();
        if count > NAMED {
            return Err(Problem::too_much("number of qualities", count as u64, NAMED as u64));
        }
        let mut streams = given.all("quality").map(|value| read("quality", value)).collect::<Result<Vec<_>, _>>()?;
        streams.sort_unstable();
        streams.dedup();
        Ok(Self {
            streams,
            after: given.each("after", |value| read("after", value))?,
            layout: LayoutQuery::read(given)?,
        })
    }
}

impl QualitiesQuery {
    fn wants(&self, stream: &str) -> bool {
        (self.streams.is_empty() || self.streams.binary_search_by(|named| named.as_str().cmp(stream)).is_ok())
            && self.after.as_deref().is_none_or(|after| stream > after)
    }
}

/// The last day of the page before, and which hours are meant.
pub(super) struct DaysQuery {
    after: Option<Day>,
    owners: Option<OwnersQuery>,
}

impl FromQuery for DaysQuery {
    fn read(given: &Parameters) -> Result<Self, Problem> {
        Ok(Self { after: given.each("after", |value| day("after", value))?, owners: OwnersQuery::read(given)? })
    }
}

/// Which hours of a day are meant, and whether their files are.
pub(super) struct HoursQuery {
    owners: Option<OwnersQuery>,
    names: bool,
    /// All of them, if it names none.
    hours: BTreeSet<Hour>,
}

impl FromQuery for HoursQuery {
    fn read(given: &Parameters) -> Result<Self, Problem> {
        let hour = |value: &str| {
            Hour::parse(value).map_err(|_| Problem::bad_parameter("hour", value, "an hour, such as 2019-11-13T02"))
        };
        // No day has more.
        let hours = given.all("hour").take(24).map(hour).collect::<Result<_, _>>()?;
        Ok(Self { owners: OwnersQuery::read(given)?, names: given.flag("names")?, hours })
    }
}

fn day(name: &str, value: &str) -> Result<Day, Problem> {
    Day::parse(value).map_err(|_| Problem::bad_parameter(name, value, "a day, such as 2019-11-13"))
}

/// Where the answer begins: the list of hours is right, and changes may be followed from here.
fn begin(app: &App) -> Result<(Position, bool), Problem> {
    app.node.keeper.guard().base().map_err(CrawlError::Away)?;
    let in_line = match app.node.keeper.ensure_structure() {
        // What the index knows is worth something, though it cannot be made right now.
        Err(CrawlError::Index(_)) => false,
        other => other.map(|()| app.node.keeper.index().health() == Health::Good)?,
    };
    let position = app.node.keeper.index().position();
    Ok((position, in_line))
}

/// An index that began anew in between has other numbers and other contents.
fn end(app: &App, position: Position) -> Result<(), Problem> {
    let same = app.node.keeper.index().position().generation == position.generation;
    if same { Ok(()) } else { Err(began_anew()) }
}

fn epoch(position: Position) -> String {
    format!("{:016x}", position.epoch)
}

fn quality_digests(app: &App, named: &QualitiesQuery) -> Result<QualityDigests, Problem> {
    let (position, in_line) = begin(app)?;
    let complete = in_line && *app.node.crawl.ready().borrow();
    let index = app.node.keeper.index();
    let mut answer = QualityDigests {
        epoch: epoch(position),
        seq: position.seq,
        complete,
        instance: Some(app.node.instance),
        archive: index.archive()?.map(|id| ArchiveId::from_bytes(id).to_string()),
        name: Some(app.node.name.clone()),
        layout: app.node.layouts.look().id().map(layout::offer),
        qualities: Vec::new(),
        next: None,
    };
    // The catalog has them in order.
    let streams = index.catalog().streams().into_iter().map(|stream| (stream.to_string(), stream));
    let streams: Vec<(String, Stream)> = streams.filter(|(name, _)| named.wants(name)).collect();
    for (count, (name, stream)) in streams.iter().enumerate() {
        if count >= PAGE {
            answer.next = streams.get(count - 1).map(|(before, _)| before.clone());
            break;
        }
        let sum = sums(app, name)?.total();
        if sum.hours > 0 {
            let owned = named.layout.as_ref().and_then(|query| query.owned_digests(app, stream)).transpose()?;
            answer.qualities.push(QualityDigest {
                channel: stream.channel.to_string(),
                quality: stream.quality.to_string(),
                digest: sum.digest.to_string(),
                hours: sum.hours,
                files: sum.files,
                owned,
            });
        }
    }
    end(app, position)?;
    Ok(answer)
}

fn day_digests(
    app: &App,
    stream: &Stream,
    after: Option<Day>,
    owners: Option<&OwnersQuery>,
) -> Result<DayDigests, Problem> {
    let (position, in_line) = begin(app)?;
    let complete = in_line && *app.node.crawl.ready().borrow();
    let kept = match owners {
        None => sums(app, &stream.to_string())?,
        Some(owners) => match owners.slots(app, stream)? {
            Some(slots) => sums_in(app, stream, &slots)?,
            None => sums(app, &stream.to_string())?,
        },
    };
    let mut answer = DayDigests { epoch: epoch(position), seq: position.seq, complete, days: Vec::new(), next: None };
    for (day, sum) in kept.days(after) {
        if answer.days.len() >= PAGE {
            answer.next = answer.days.last().map(|last| last.day.clone());
            break;
        }
        let digest = sum.digest.to_string();
        let tombstones = owners.map(|_| sum.tombstones);
        answer.days.push(DayDigest { day: day.to_string(), digest, hours: sum.hours, files: sum.files, tombstones });
    }
    end(app, position)?;
    Ok(answer)
}

fn hour_digests(app: &App, stream: &Stream, day: Day, asked: &HoursQuery) -> Result<HourDigests, Problem> {
    let (_, in_line) = begin(app)?;
    let owners = asked.owners.as_ref();
    let (name, index) = (stream.to_string(), app.node.keeper.index());
    let slots = owners.map(|owners| owners.slots(app, stream)).transpose()?.flatten();
    let is_meant = |hour: &Hour| {
        (asked.hours.is_empty() || asked.hours.contains(hour))
            && slots.as_ref().is_none_or(|slots| slots.has(Slot::in_stream(&name, *hour)))
    };
    let stale: Vec<HourPlace> = index
        .catalog()
        .hours(&name, day.first()..=day.last())
        .into_iter()
        .filter(|hour| is_meant(hour) && !app.node.keeper.is_fresh(&name, *hour))
        .map(|hour| HourPlace { stream: stream.clone(), hour })
        .collect();
    let complete = match app.node.keeper.reconcile(&stale, false) {
        Err(CrawlError::Index(_)) => false,
        other => other.map(|_| in_line)?,
    };
    let position = index.position();
    let rows = index.hour_rows(&name, day.first(), day.last())?;
    let replicated = rows.iter().filter(|(hour, row)| row.totals.digest != Digest::default() && is_meant(hour));
    let (mut hours, mut told) = (Vec::new(), 0);
    for (hour, row) in replicated {
        let mut totals = row.totals;
        let mut names = None;
        if asked.names && told < MOST_NAMES {
            // What is said of the hour is of the files that are named.
            let Some(view) = index.hour(&name, *hour)? else { continue };
            totals = view.row.totals;
            let files = view.contents.files().iter();
            let files: Vec<HourFile> = files.map(|file| HourFile { name: file.name(), size: file.size }).collect();
            told += files.len();
            names = Some(files);
        }
        hours.push(HourDigest {
            hour: hour.to_string(),
            digest: totals.digest.to_string(),
            files: replicated_files(&totals),
            tombstones: owners.map(|_| u64::from(totals.tombstones)),
            names,
        });
    }
    let answer = HourDigests { epoch: epoch(position), seq: position.seq, complete, hours };
    end(app, position)?;
    Ok(answer)
}

/// Works the answer out off the threads that serve connections, and sends it unless the client has it.
async fn answer<A: Serialize>(
    app: &Arc<App>,
    request: &Parts,
    work: impl FnOnce(&App) -> Result<A, Problem> + Send + 'static,
) -> Result<Response, Problem> {
    let plain = app.ask(move |app| bytes(&work(app)?)).await?;
    let hash = format!("{:032x}", xxhash_rust::xxh3::xxh3_128(&plain));
    let mut encoding = encoding_for(&request.headers, plain.len());
    let mut response = match conditional::evaluate(&request.headers, &ETag::new(&hash), None) {
        ConditionVerdict::NotModified => StatusCode::NOT_MODIFIED.into_response(),
        ConditionVerdict::Failed => return Err(Problem::precondition_failed()),
        ConditionVerdict::Proceed => {
            let body;
            (body, encoding) = compressed(app, plain, encoding).await;
            ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
        }
    };
    let headers = response.headers_mut();
    headers.insert(ETAG, ETag::of_encoded(&hash, encoding).value().clone());
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    encoding.describe(headers);
    Ok(response)
}

fn bytes(answer: &impl Serialize) -> Result<Bytes, Problem> {
    serde_json::to_vec(answer).map(Into::into).map_err(|_| Problem::internal("digests-not-encodable"))
}

#[cfg(test)]
mod tests;
