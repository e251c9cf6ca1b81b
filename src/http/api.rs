//! `/api/v1`: segments of a time range, and the document that describes it all.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::Problem;
use super::app::{Answer, App};
use super::coverage::Answering;
use super::read_view::AskedView;
use super::request::{FromQuery, Parameters, Query, StreamPath};
use crate::archive::{
    FileName, Hour, HourContents, HourPlace, SegmentFile, Span, Stream, Timestamp, name, parse_file_name, time,
};
use crate::wire::{SegmentPage, SegmentRecord};

/// Records in a page, where nothing else is asked for.
const PAGE: usize = 1_000;

/// The document served at `/api/v1/openapi.json`.
#[derive(Debug, OpenApi)]
#[openapi(
    info(
        title = "gapless",
        description = "What an archive of stream segments holds. Times are ISO 8601 in UTC, and a request may also give an offset, `yesterday` or `1h ago`; durations are seconds, sizes bytes. Errors are application/problem+json (RFC 9457)."
    ),
    modifiers(&Bearer)
)]
pub struct Document;

/// Tokens in the document.
struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
        document.components.get_or_insert_default().add_security_scheme("bearer", scheme);
    }
}

/// Answers `GET /api/v1/openapi.json`.
#[utoipa::path(
    get, path = "/api/v1/openapi.json",
    responses((status = 200, content_type = "application/json", description = "this document"))
)]
pub(super) async fn openapi(Extension(document): Extension<Arc<utoipa::openapi::OpenApi>>) -> Response {
    Json(&*document).into_response()
}

/// Answers `GET /api/v1/segments/{channel}/{quality}`.
#[utoipa::path(
    get, path = "/api/v1/segments/{channel}/{quality}",
    params(
        ("channel" = String, Path), ("quality" = String, Path),
        ("start" = Option<String>, Query, description = "a time; segments that end at or before it are left out"),
        ("end" = Option<String>, Query, description = "a time; segments that start at or after it are left out"),
        ("limit" = Option<usize>, Query, description = "records in a page, 1000 where not given"),
        ("after" = Option<String>, Query, description = "`next` of the page before"),
        ("tombstones" = Option<bool>, Query, description = "true: also what tombstones hide"),
        ("local" = Option<bool>, Query, description = "true: of this node alone, whatever other nodes have")
    ),
    responses(
        (status = 200, body = SegmentPage), (status = 400, description = "a parameter is wrong"),
        (status = 503, description = "the disk is not there, or too much is asked at once")
    )
)]
pub(super) async fn segments(
    State(app): State<Arc<App>>,
    AskedView(view): AskedView,
    StreamPath(stream): StreamPath,
    Query(wanted): Query<SegmentsQuery>,
) -> Answer<SegmentPage> {
    app.ask(move |app| page((app, &view), stream, &wanted)).await.map(Json)
}

pub(super) struct SegmentsQuery {
    start: Timestamp,
    end: Timestamp,
    limit: usize,
    after: Option<After>,
    tombstones: bool,
}

/// Where the page before ended: whatever has become of its last record, the next one begins behind its place.
struct After {
    hour: Hour,
    /// Nothing, and no name, before the first record of the hour.
    start: Option<Timestamp>,
    name: String,
}

impl After {
    /// Reads `HOUR/NAME` or `HOUR/`.
    fn read(text: &str) -> Option<Self> {
        let (hour, name) = text.split_once('/')?;
        let hour = Hour::parse(hour).ok()?;
        let start = match parse_file_name(name) {
            _ if name.is_empty() => None,
            FileName::Understood(key) => Some(key.start(hour)),
            _ => return None,
        };
        Some(Self { hour, start, name: name.to_owned() })
    }

    fn is_before(&self, record: &SegmentRecord) -> bool {
        (self.start, self.name.as_str()) < (Some(record.start), record.name.as_str())
    }
}

impl FromQuery for SegmentsQuery {
    fn read(given: &Parameters) -> Result<Self, Problem> {
        let after = |value: &str| {
            After::read(value).ok_or_else(|| Problem::bad_parameter("after", value, "`next` of the page before"))
        };
        let wanted = Self {
            start: given.time("start")?.unwrap_or(Timestamp::MIN),
            end: given.time("end")?.unwrap_or(Timestamp::MAX),
            limit: given.limit(PAGE)?,
            tombstones: given.flag("tombstones")?,
            after: given.each("after", after)?,
        };
        if wanted.end < wanted.start {
            let expected = format!("a time not before start, {}", wanted.start);
            return Err(Problem::bad_parameter("end", &wanted.end.to_string(), &expected));
        }
        Ok(wanted)
    }
}

impl SegmentsQuery {
    /// The hours that can hold segments of the range: a segment may run over its hour.
    fn hours(&self) -> (Hour, Hour) {
        let reach = Span::from_us(time::HOUR_US);
        let first = (self.start - reach).hour();
        let first = self.after.as_ref().map_or(first, |after| first.max(after.hour));
        (first, (self.end - Span::from_us(1)).hour())
    }
}

fn page((app, view): Answering<'_>, stream: Stream, wanted: &SegmentsQuery) -> Result<SegmentPage, Problem> {
    let (first, last) = wanted.hours();
    let name = stream.to_string();
    let mut page = SegmentPage { segments: Vec::new(), next: None };
    if first > last {
        return Ok(page);
    }
    view.keeper.ensure_structure()?;
    let mut place = HourPlace { stream, hour: first };
    for (count, hour) in view.keeper.index().catalog().hours(&name, first..=last).into_iter().enumerate() {
        if count >= app.node.bounds.max_hours {
            // Empty hours must not make one request walk for ever.
            page.next = Some(format!("{hour}/"));
            return Ok(page);
        }
        place.hour = hour;
        let contents = view.keeper.answer(&place)?.contents;
        let mut records = records(&contents, hour, wanted);
        if let Some(after) = wanted.after.as_ref().filter(|after| after.hour == hour) {
            records.retain(|record| after.is_before(record));
        }
        let room = wanted.limit - page.segments.len();
        let full = records.len() > room;
        page.segments.extend(records.into_iter().take(room));
        if full {
            page.next = page.segments.last().map(|record| format!("{}/{}", record.hour, record.name));
            return Ok(page);
        }
    }
    Ok(page)
}

fn records(contents: &HourContents, hour: Hour, wanted: &SegmentsQuery) -> Vec<SegmentRecord> {
    let hidden = contents.hidden();
    let in_range = |file: &&SegmentFile| {
        let (start, end) = (file.key.start(hour), file.key.end(hour));
        // What lasts no time is in the range if it starts in it.
        start < wanted.end && (end > wanted.start || (start == end && start >= wanted.start))
    };
    let mut records: Vec<SegmentRecord> = contents
        .files()
        .iter()
        .filter(in_range)
        .filter_map(|file| {
            let tombstoned = file.key.tombstone || hidden.hides(file);
            if tombstoned && (!wanted.tombstones || (file.key.tombstone && has_file(contents, file))) {
                return None;
            }
            Some(SegmentRecord {
                hour,
                name: file.name(),
                start: file.key.start(hour),
                duration: file.key.duration().seconds(),
                kind: file.key.kind.into(),
                size: file.size,
                hash: file.key.hash,
                tombstoned,
            })
        })
        .collect();
    records.sort_unstable_by(|a, b| (&a.start, &a.name).cmp(&(&b.start, &b.name)));
    records
}

/// Whether what a tombstone hides still lies there, so that it is reported by its own name.
fn has_file(contents: &HourContents, tombstone: &SegmentFile) -> bool {
    let files = contents.files();
    match &tombstone.exact {
        None => {
            let has = |key| files.binary_search_by(|file| (&file.key, &file.exact).cmp(&(&key, &None))).is_ok();
            tombstone.key.hideable().any(has)
        }
        // Names that have to be kept to the byte are few.
        Some(hidden) => files
            .iter()
            .filter(|file| !file.key.tombstone)
            .any(|file| file.exact.as_deref().is_some_and(|exact| name::stem(exact) == name::stem(hidden))),
    }
}
