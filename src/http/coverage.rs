//! `/api/v1/coverage`, `/api/v1/holes` and `/api/v1/timespans`: what there is of a quality and what is missing, in a window.
//!
//! The index keeps a summary of each hour, and those of the window are read from it, and the segments of the two hours that it cuts at
//! most: an answer costs what it is long, however many segments there are.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;

use super::Problem;
use super::app::{Answer, App};
use super::read_view::{AskedView, ReadView};
use super::request::{FromQuery, Parameters, Query, StreamPath};
use crate::archive::coverage::{CoverageKind, Stretch, Window};
use crate::archive::{Hour, Span, Stream, Timestamp};
use crate::index::Covered;
use crate::wire::{CoverageList, HoleList, HoleRecord, HourCoverage, Timespan, TimespanList};

/// How long summaries are read for one picture: some hundreds of years, unless they are in very many pieces.
const PATIENCE: Duration = Duration::from_secs(10);
/// Hours of a page: more than two years, in some tens of milliseconds.
pub(super) const MOST_HOURS: usize = 20_000;

/// Answers `GET /api/v1/coverage/{channel}/{quality}`.
#[utoipa::path(
    get, path = "/api/v1/coverage/{channel}/{quality}",
    params(
        ("channel" = String, Path), ("quality" = String, Path),
        ("from" = Option<String>, Query, description = "a time; from the hour on in which it lies"),
        ("to" = Option<String>, Query, description = "a time; hours that begin at or after it are left out; if it is not given, hours that are more than two hours ahead of the clock"),
        ("local" = Option<bool>, Query, description = "true: of this node alone, whatever other nodes have")
    ),
    responses(
        (status = 200, body = CoverageList), (status = 400, description = "a parameter is wrong"),
        (status = 503, description = "the disk is not there, or too much is asked at once")
    )
)]
pub(super) async fn coverage(
    State(app): State<Arc<App>>,
    AskedView(view): AskedView,
    StreamPath(stream): StreamPath,
    Query(wanted): Query<CoverageQuery>,
) -> Answer<CoverageList> {
    app.ask(move |app| coverage_page((app, &view), &stream, &wanted)).await.map(Json)
}

/// Answers `GET /api/v1/holes/{channel}/{quality}`.
#[utoipa::path(
    get, path = "/api/v1/holes/{channel}/{quality}",
    params(
        ("channel" = String, Path), ("quality" = String, Path),
        ("from" = Option<String>, Query, description = "a time; holes are cut to the window"),
        ("to" = Option<String>, Query, description = "a time; if it is not given, the furthest end of hours that are not more than two hours ahead of the clock"),
        ("editable" = Option<bool>, Query, description = "true: holes of the sequence that can be cut, instead of those that nothing covers"),
        ("edges" = Option<bool>, Query, description = "true: also what is missing at the edges that are given, before the first segment and after the last"),
        ("unfillable" = Option<bool>, Query, description = "true: only raw holes that nobody can fill, because all peers were asked and none has a segment in them"),
        ("local" = Option<bool>, Query, description = "true: of this node alone, whatever other nodes have")
    ),
    responses(
        (status = 200, body = HoleList), (status = 400, description = "a parameter is wrong"),
        (status = 503, description = "the disk is not there, or too much is asked at once")
    )
)]
pub(super) async fn holes(
    State(app): State<Arc<App>>,
    AskedView(view): AskedView,
    StreamPath(stream): StreamPath,
    Query(wanted): Query<CoverageQuery>,
) -> Answer<HoleList> {
    app.ask(move |app| holes_page((app, &view), &stream, &wanted)).await.map(Json)
}

/// Answers `GET /api/v1/timespans/{channel}/{quality}`.
#[utoipa::path(
    get, path = "/api/v1/timespans/{channel}/{quality}",
    params(
        ("channel" = String, Path), ("quality" = String, Path),
        ("from" = Option<String>, Query, description = "a time; timespans are cut to the window"),
        ("to" = Option<String>, Query, description = "a time; if it is not given, the furthest end of hours that are not more than two hours ahead of the clock"),
        ("local" = Option<bool>, Query, description = "true: of this node alone, whatever other nodes have")
    ),
    responses(
        (status = 200, body = TimespanList), (status = 400, description = "a parameter is wrong"),
        (status = 503, description = "the disk is not there, or too much is asked at once")
    )
)]
pub(super) async fn timespans(
    State(app): State<Arc<App>>,
    AskedView(view): AskedView,
    StreamPath(stream): StreamPath,
    Query(wanted): Query<CoverageQuery>,
) -> Answer<TimespanList> {
    app.ask(move |app| timespans_page((app, &view), &stream, &wanted)).await.map(Json)
}

pub(super) struct CoverageQuery {
    window: Window,
    lane: CoverageKind,
    unfillable: bool,
}

impl FromQuery for CoverageQuery {
    fn read(given: &Parameters) -> Result<Self, Problem> {
        let (from, to, edges) = (given.time("from")?, given.time("to")?, given.flag("edges")?);
        let (unfillable, editable) = (given.flag("unfillable")?, given.flag("editable")?);
        let window = Window::new(from, to, edges).map_err(|error| {
            let (from, to) = (from.unwrap_or(Timestamp::MIN), to.unwrap_or(Timestamp::MAX));
            Problem::bad_parameter("to", &to.to_string(), &format!("a time not before from, {from}: {error}"))
        })?;
        if unfillable && (editable || edges) {
            let expected = "false together with editable or edges: only of raw holes is known who has what is missing";
            return Err(Problem::bad_parameter("unfillable", "true", expected));
        }
        Ok(Self { window, unfillable, lane: if editable { CoverageKind::Editable } else { CoverageKind::Raw } })
    }
}

/// The node that answers, and what it answers from.
pub(super) type Answering<'a> = (&'a App, &'a ReadView);

/// What a page was worked out from.
struct Page {
    found: Covered,
    window: Window,
}

impl Page {
    /// Where the next one begins.
    fn next(&self, asked: &Window) -> Option<Timestamp> {
        self.window.to.filter(|_| self.window.to != asked.to)
    }
}

/// Before the first walk over the archive is done nobody knows what is missing: an hour that was not read yet looks like one.
pub(super) fn may_be_told(app: &App) -> Result<(), Problem> {
    if app.node.crawl.is_ready() {
        return Ok(());
    }
    let crawl = app.node.crawl.status();
    let detail =
        format!("the index is catching up with the disk, {} of {} hours so far: ask again", crawl.done, crawl.total);
    Err(Problem::unavailable(2, &detail))
}

/// What a window needs, of at most [`MOST_HOURS`] hours.
pub(super) fn covered((app, view): Answering<'_>, stream: &Stream, window: &Window) -> Result<Covered, Problem> {
    may_be_told(app)?;
    Ok(view.keeper.coverage(stream, window, app.node.bounds.max_hours, MOST_HOURS)?)
}

/// Reads what a window needs in turns, so that no more than a page of it is in memory, and says to each which part of the window it is.
pub(super) fn in_turns(
    answering: Answering<'_>,
    stream: &Stream,
    window: &Window,
    mut each: impl FnMut(&Covered, Stretch),
) -> Result<(), Problem> {
    let (begun, whole) = (Instant::now(), window.stretch());
    let mut at = window.from;
    loop {
        let found = covered(answering, stream, &Window { from: at, ..*window })?;
        let next = found.next.map(Hour::start);
        each(&found, Stretch { start: at.unwrap_or(whole.start), end: next.unwrap_or(whole.end) });
        let Some(next) = next else { return Ok(()) };
        if begun.elapsed() > PATIENCE {
            let asked = window.to.map_or_else(String::new, |to| to.to_string());
            let expected = format!("a shorter window: {PATIENCE:?} sufficed to read what lies before {next}");
            return Err(Problem::bad_parameter("to", &asked, &expected));
        }
        at = Some(next);
    }
}

/// Reads what the first page of a window needs.
fn page(answering: Answering<'_>, stream: &Stream, asked: Window) -> Result<Page, Problem> {
    let found = covered(answering, stream, &asked)?;
    let window = match found.next {
        Some(next) => Window { to: Some(next.start()), edge_to: false, ..asked },
        None => asked,
    };
    Ok(Page { found, window })
}

/// A page with as many stretches as one may have: where there are more, it ends where the first one too many begins.
fn bounded(
    (app, view): Answering<'_>,
    stream: &Stream,
    wanted: &CoverageQuery,
    stretches: impl Fn(&Page) -> Vec<Stretch>,
) -> Result<(Page, Vec<Stretch>), Problem> {
    let whole = page((app, view), stream, wanted.window)?;
    let found = stretches(&whole);
    let Some(too_many) = found.get(app.node.bounds.max_page) else { return Ok((whole, found)) };
    let window = Window { to: Some(too_many.start), edge_to: false, ..wanted.window };
    let first = page((app, view), stream, window)?;
    let fewer = stretches(&first);
    Ok((first, fewer))
}

fn coverage_page((app, view): Answering<'_>, stream: &Stream, wanted: &CoverageQuery) -> Result<CoverageList, Problem> {
    let Window { from, to, .. } = wanted.window;
    let mut list = CoverageList {
        channel: stream.channel.clone(),
        quality: stream.quality.clone(),
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
    let page = page((app, view), stream, whole)?;
    let first = whole.from.map_or(Hour::MIN, Timestamp::hour);
    let mut figures = page.found.coverage.figures(first, page.window.to.map_or(Hour::MAX, hour_before));
    list.hours.extend(figures.by_ref().take(app.node.bounds.max_page).map(|figures| HourCoverage::from(&figures)));
    let more = figures.next().map(|figures| figures.hour.start());
    list.next = more.or(page.next(&whole));
    Ok(list)
}

/// The hour that a window with this end ends in.
fn hour_before(end: Timestamp) -> Hour {
    (end - Span::from_us(1)).hour()
}

fn holes_page((app, view): Answering<'_>, stream: &Stream, wanted: &CoverageQuery) -> Result<HoleList, Problem> {
    let (page, found) =
        bounded((app, view), stream, wanted, |page| page.found.coverage.holes_within(wanted.lane, &page.window))?;
    let next = page.next(&wanted.window);
    let ledger = if wanted.lane == CoverageKind::Raw {
        view.keeper.local().index().open_holes(stream, &page.window, found.len().saturating_add(1))?
    } else {
        Vec::new()
    };
    let mut holes = HoleRecord::with_ledger(found, &ledger);
    holes.retain(|hole| hole.unfillable || !wanted.unfillable);
    Ok(HoleList {
        channel: stream.channel.clone(),
        quality: stream.quality.clone(),
        kind: wanted.lane.into(),
        covered_seconds: crate::wire::seconds(page.found.coverage.covered_us(
            wanted.lane,
            &page.window,
            &page.found.lines,
        )),
        holes,
        next,
    })
}

fn timespans_page(
    (app, view): Answering<'_>,
    stream: &Stream,
    wanted: &CoverageQuery,
) -> Result<TimespanList, Problem> {
    let (page, found) = bounded((app, view), stream, wanted, |page| page.found.coverage.timespans(&page.window))?;
    Ok(TimespanList {
        channel: stream.channel.clone(),
        quality: stream.quality.clone(),
        timespans: found.into_iter().map(Timespan::from).collect(),
        next: page.next(&wanted.window),
    })
}
