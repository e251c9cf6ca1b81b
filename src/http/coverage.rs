//! `/api/v1/coverage`, `/api/v1/holes` and `/api/v1/timespans`: what there is of a quality and what is missing, in a window.
//!
//! Nothing is kept for it: the hours of the window, and those few beside it that decide what happens at its edges, are read from the
//! index when they are asked for. So a page ends after as many hours as one question may bring up to date.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Uri};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::app::App;
use super::{Problem, pathname, query};
use crate::domain::coverage::{Gather, HourLine, Lane, Stretch, Window};
use crate::domain::{Hour, HourPlace, Span, Stream, Timestamp};
use crate::wire::{CoverageList, HoleList, HoleRecord, HourCoverage, Timespan, TimespanList};

/// How often as many hours as a page has may be read for what lies beside it, where recordings overlap each other for that long.
const BESIDE: usize = 4;

/// Answers `GET /api/v1/coverage/{channel}/{quality}`.
#[utoipa::path(
    get, path = "/api/v1/coverage/{channel}/{quality}",
    params(
        ("channel" = String, Path), ("quality" = String, Path),
        ("from" = Option<String>, Query, description = "ISO 8601; from the hour on in which it lies"),
        ("to" = Option<String>, Query, description = "ISO 8601; hours that begin at or after it are left out")
    ),
    responses(
        (status = 200, body = CoverageList), (status = 400, description = "a parameter is wrong"),
        (status = 503, description = "the disk is not there, or too much is asked at once")
    )
)]
pub async fn coverage(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    answer(&app, request.uri(), "/api/v1/coverage", coverage_page).await
}

/// Answers `GET /api/v1/holes/{channel}/{quality}`.
#[utoipa::path(
    get, path = "/api/v1/holes/{channel}/{quality}",
    params(
        ("channel" = String, Path), ("quality" = String, Path),
        ("from" = Option<String>, Query, description = "ISO 8601; holes are cut to the window"),
        ("to" = Option<String>, Query, description = "ISO 8601"),
        ("editable" = Option<bool>, Query, description = "true: holes of the sequence that can be cut, instead of those that nothing covers"),
        ("edges" = Option<bool>, Query, description = "true: also what is missing at the edges that are given, before the first segment and after the last")
    ),
    responses(
        (status = 200, body = HoleList), (status = 400, description = "a parameter is wrong"),
        (status = 503, description = "the disk is not there, or too much is asked at once")
    )
)]
pub async fn holes(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    answer(&app, request.uri(), "/api/v1/holes", holes_page).await
}

/// Answers `GET /api/v1/timespans/{channel}/{quality}`.
#[utoipa::path(
    get, path = "/api/v1/timespans/{channel}/{quality}",
    params(
        ("channel" = String, Path), ("quality" = String, Path),
        ("from" = Option<String>, Query, description = "ISO 8601; timespans are cut to the window"),
        ("to" = Option<String>, Query, description = "ISO 8601")
    ),
    responses(
        (status = 200, body = TimespanList), (status = 400, description = "a parameter is wrong"),
        (status = 503, description = "the disk is not there, or too much is asked at once")
    )
)]
pub async fn timespans(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    answer(&app, request.uri(), "/api/v1/timespans", timespans_page).await
}

async fn answer<T: Serialize + Send + 'static>(
    app: &Arc<App>,
    asked: &Uri,
    prefix: &str,
    work: fn(&App, &Wanted) -> Result<T, Problem>,
) -> Response {
    let path = asked.path();
    let found = match Wanted::read(path, prefix, asked.query().unwrap_or_default()) {
        Ok(wanted) => app.ask(move |app| work(app, &wanted)).await,
        Err(problem) => Err(problem),
    };
    match found {
        Ok(page) => Json(page).into_response(),
        Err(problem) => problem.at(path).into_response(),
    }
}

/// What was asked for.
struct Wanted {
    stream: Stream,
    window: Window,
    lane: Lane,
}

impl Wanted {
    fn read(path: &str, prefix: &str, text: &str) -> Result<Self, Problem> {
        let parts = pathname::parts(path.as_bytes(), prefix.as_bytes())?;
        let stream = match parts.as_slice() {
            [channel, quality] => Stream::new(channel, quality)
                .map_err(|error| Problem::not_found(&format!("such channel and quality: {error}")))?,
            _ => return Err(Problem::not_found(&format!("such address; expected is {prefix}/CHANNEL/QUALITY"))),
        };
        let (mut from, mut to, mut edges, mut editable) = (None, None, false, false);
        for (name, value) in query::pairs(text) {
            match name.as_str() {
                "from" => from = Some(query::time("from", &value)?),
                "to" => to = Some(query::time("to", &value)?),
                "edges" => edges = query::flag("edges", &value)?,
                "editable" => editable = query::flag("editable", &value)?,
                _ => {}
            }
        }
        let window = Window::new(from, to, edges).map_err(|error| {
            let (from, to) = (from.unwrap_or(Timestamp::MIN), to.unwrap_or(Timestamp::MAX));
            Problem::bad_parameter("to", &to.to_string(), &format!("a time not before from, {from}: {error}"))
        })?;
        Ok(Self { stream, window, lane: if editable { Lane::Editable } else { Lane::Raw } })
    }
}

/// What a page was worked out from.
struct Page {
    gathered: Gather,
    window: Window,
    next: Option<Timestamp>,
}

/// Reads what the first page of a window needs.
fn page(app: &App, stream: &Stream, asked: Window) -> Result<Page, Problem> {
    app.keeper.ensure_structure()?;
    // Chat has hours, and no coverage.
    let hours = if stream.quality.is_chat() {
        BTreeSet::new()
    } else {
        app.keeper.index().catalog().hours(&stream.to_string(), ..).into_iter().collect::<BTreeSet<Hour>>()
    };
    let most = app.bounds.max_hours;
    let first = asked.from.unwrap_or(Timestamp::MIN).hour();
    let ends = |hour: &Hour| asked.to.is_none_or(|to| hour.start() < to);
    let next = hours.range(first..).nth(most).filter(|hour| ends(hour)).map(|hour| hour.start());
    let window = match next {
        Some(next) => Window { to: Some(next), edge_to: false, ..asked },
        None => asked,
    };
    let mut gathered = Gather::new(window, hours);
    let mut read = 0_usize;
    while let Some(hour) = gathered.wanted() {
        read += 1;
        let limit = most.saturating_mul(BESIDE).max(16);
        if read > limit {
            return Err(Problem::too_much("number of hours that hang together", read as u64, limit as u64));
        }
        let place = HourPlace { stream: stream.clone(), hour };
        gathered.give(HourLine::of(&app.keeper.answer(&place)?.contents));
    }
    Ok(Page { gathered, window, next })
}

/// A page with as many stretches as one may have: where there are more, it ends where the first one too many begins.
fn bounded(
    app: &App,
    wanted: &Wanted,
    stretches: impl Fn(&Page) -> Vec<Stretch>,
) -> Result<(Page, Vec<Stretch>), Problem> {
    let whole = page(app, &wanted.stream, wanted.window)?;
    let found = stretches(&whole);
    let Some(too_many) = found.get(app.bounds.max_page) else { return Ok((whole, found)) };
    let window = Window { to: Some(too_many.start), edge_to: false, ..wanted.window };
    let first = Page { next: window.to, ..page(app, &wanted.stream, window)? };
    let fewer = stretches(&first);
    Ok((first, fewer))
}

fn coverage_page(app: &App, wanted: &Wanted) -> Result<CoverageList, Problem> {
    let Window { from, to, .. } = wanted.window;
    let mut list = CoverageList {
        channel: wanted.stream.channel.to_string(),
        quality: wanted.stream.quality.to_string(),
        hours: Vec::new(),
        next: None,
    };
    if from.is_some() && from == to {
        return Ok(list);
    }
    let whole = Window {
        from: from.map(|from| from.hour().start()),
        to: to.map(|to| hour_before(to).end()),
        ..Window::default()
    };
    let page = page(app, &wanted.stream, whole)?;
    let first = whole.from.map_or(Hour::MIN, Timestamp::hour);
    let mut figures = page.gathered.coverage().figures(first, page.window.to.map_or(Hour::MAX, hour_before));
    list.hours.extend(figures.by_ref().take(app.bounds.max_page).map(|figures| HourCoverage::from(&figures)));
    let more = figures.next().map(|figures| figures.hour.start());
    list.next = more.or(page.next).map(|next| next.to_string());
    Ok(list)
}

/// The hour that a window with this end ends in.
fn hour_before(end: Timestamp) -> Hour {
    (end - Span::from_us(1)).hour()
}

fn holes_page(app: &App, wanted: &Wanted) -> Result<HoleList, Problem> {
    let (page, found) = bounded(app, wanted, |page| page.gathered.coverage().holes_within(wanted.lane, &page.window))?;
    Ok(HoleList {
        channel: wanted.stream.channel.to_string(),
        quality: wanted.stream.quality.to_string(),
        kind: wanted.lane.as_str().to_owned(),
        covered_seconds: crate::wire::seconds(page.gathered.covered_us(wanted.lane)),
        holes: found.into_iter().map(HoleRecord::from).collect(),
        next: page.next.map(|next| next.to_string()),
    })
}

fn timespans_page(app: &App, wanted: &Wanted) -> Result<TimespanList, Problem> {
    let (page, found) = bounded(app, wanted, |page| page.gathered.coverage().timespans(&page.window))?;
    Ok(TimespanList {
        channel: wanted.stream.channel.to_string(),
        quality: wanted.stream.quality.to_string(),
        timespans: found.into_iter().map(Timespan::from).collect(),
        next: page.next.map(|next| next.to_string()),
    })
}
