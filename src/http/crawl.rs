//! `/api/v1/crawl` and `/api/v1/census`: how far the crawl is, how fast it may go, and what it counts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Json;
use axum::extract::State;

use super::Problem;
use super::app::{Answer, App};
use super::request::{FromBody, FromQuery, JsonBody, Parameters, PathParts, Query};
use crate::archive::census::{Census, SORTS};
use crate::archive::{Day, Hour, Timestamp};
use crate::sync::crawl::{CrawlCounts, CrawlPace, CrawlState, CrawlStatus, Cycle, VisitorStatus};
use crate::wire::{
    CensusDay, CensusList, CrawlReport, CycleReport, PaceChange, PaceReport, RunVisitor, VisitorCycle, VisitorReport,
};

/// The least time of a cycle that can be asked for, and the greatest.
const CYCLES: std::ops::RangeInclusive<f64> = 1.0..=3_650.0 * 86_400.0;

/// Answers `GET /api/v1/crawl`.
#[utoipa::path(get, path = "/api/v1/crawl", responses((status = 200, body = CrawlReport)))]
pub(super) async fn view(State(app): State<Arc<App>>) -> Json<CrawlReport> {
    Json(report(&app.node.crawl.status(), &app.node.crawl.pacing().get()))
}

/// Answers `PUT /api/v1/crawl/pace`.
#[utoipa::path(
    put, path = "/api/v1/crawl/pace", request_body = PaceChange, security(("bearer" = [])),
    responses(
        (status = 200, body = PaceReport, description = "what holds from the next slice on, until the configuration is read again"),
        (status = 400, description = "invalid body, or a value is out of bounds; nothing has changed"),
        (status = 401, description = "unknown token"), (status = 403, description = "the token is one for reading")
    )
)]
pub(super) async fn pace(State(app): State<Arc<App>>, JsonBody(change): JsonBody<PaceChange>) -> Answer<PaceReport> {
    let pace = changed(&app.node.crawl.pacing().get(), &change)?;
    tracing::info!(name: "pace_changed", ?pace, "the pace of the crawl was changed; it holds until the configuration is read again");
    app.node.crawl.pacing().set(pace.clone());
    Ok(Json(pace_report(&pace)))
}

impl FromBody for PaceChange {
    const EXAMPLE: &'static str = "{\"cpu_share\": 0.1}";
}

/// Answers `POST /api/v1/crawl/run`.
#[utoipa::path(
    post, path = "/api/v1/crawl/run", request_body = RunVisitor, security(("bearer" = [])),
    responses(
        (status = 200, body = CrawlReport, description = "a cycle of this visitor begins as soon as possible; one that runs goes on"),
        (status = 400, description = "invalid body"), (status = 401, description = "unknown token"),
        (status = 403, description = "the token is one for reading"), (status = 404, description = "there is no such visitor")
    )
)]
pub(super) async fn run(
    State(app): State<Arc<App>>,
    JsonBody(RunVisitor { visitor }): JsonBody<RunVisitor>,
) -> Answer<CrawlReport> {
    if !app.node.crawl.request_cycle(&visitor) {
        return Err(Problem::not_found(&format!("visitor {visitor:?}")));
    }
    Ok(view(State(app)).await)
}

impl FromBody for RunVisitor {
    const EXAMPLE: &'static str = "{\"visitor\": \"scrub\"}";
}

/// Answers `GET /api/v1/census/{channel}/{quality}`.
#[utoipa::path(
    get, path = "/api/v1/census/{channel}/{quality}",
    params(
        ("channel" = String, Path), ("quality" = String, Path),
        ("after" = Option<String>, Query, description = "`next` of the page before")
    ),
    responses(
        (status = 200, body = CensusList), (status = 400, description = "the day is no day"),
        (status = 404, description = "there is no such quality, or nothing of it after that day")
    )
)]
pub(super) async fn census(
    State(app): State<Arc<App>>,
    path: PathParts,
    Query(CensusQuery(after)): Query<CensusQuery>,
) -> Answer<CensusList> {
    let stream = path.stream();
    let missing = move || Problem::not_found(&format!("quality {}", path.parts.join("/")));
    let counted = app.ask(move |app| {
        let stream = stream.map_err(|_| missing())?;
        let first = after.map_or(Hour::MIN, |day| day.last().next());
        let days = app.node.keeper.index().census(&stream, Day::of(first), Day::of(Hour::MAX))?;
        if days.is_empty() { Err(missing()) } else { Ok(census_page(&days, app.node.bounds.max_page)) }
    });
    counted.await.map(Json)
}

/// The last day of the page before.
pub(super) struct CensusQuery(Option<Day>);

impl FromQuery for CensusQuery {
    fn read(given: &Parameters) -> Result<Self, Problem> {
        let expected = "`next` of the page before, such as 2019-11-13";
        let read = |text: &str| Day::parse(text).map_err(|_| Problem::bad_parameter("after", text, expected));
        given.each("after", read).map(Self)
    }
}

fn census_page(days: &[(Day, Census)], most: usize) -> CensusList {
    let shown = days.get(..most).unwrap_or(days);
    let next = shown.last().filter(|_| shown.len() < days.len()).map(|(day, _)| *day);
    CensusList { days: shown.iter().map(|(day, census)| census_day(*day, census)).collect(), next }
}

fn census_day(day: Day, census: &Census) -> CensusDay {
    CensusDay {
        day,
        hours: census.hours,
        segments: census.segments(),
        bytes: census.segment_bytes(),
        seconds: crate::wire::seconds(census.video_us.iter().sum()),
        files: SORTS.iter().map(|sort| (*sort).to_owned()).zip(census.files).collect(),
        tombstones: census.tombstones,
    }
}

/// The pace with these changes, if it may be so.
fn changed(pace: &CrawlPace, change: &PaceChange) -> Result<CrawlPace, Problem> {
    let within = |name: &str, value: f64, bounds: &std::ops::RangeInclusive<f64>| {
        let expected = || format!("a number from {} to {}", bounds.start(), bounds.end());
        if bounds.contains(&value) {
            Ok(value)
        } else {
            Err(Problem::bad_parameter(name, &value.to_string(), &expected()))
        }
    };
    let mut fresh = pace.clone();
    if let Some(share) = change.cpu_share {
        fresh.cpu_share = within("cpu_share", share, &(0.001..=1.0))?;
    }
    if let Some(seconds) = change.slice_seconds {
        fresh.slice = Duration::from_secs_f64(within("slice_seconds", seconds, &(0.01..=1.0))?);
    }
    fresh.adaptive = change.adaptive.unwrap_or(pace.adaptive);
    for (visitor, seconds) in &change.minimum_cycle_seconds {
        if !pace.cycles.contains_key(visitor) {
            let known: Vec<&str> = pace.cycles.keys().map(String::as_str).collect();
            return Err(Problem::bad_parameter(
                "minimum_cycle_seconds",
                visitor,
                &format!("one of {}", known.join(", ")),
            ));
        }
        let least = within("minimum_cycle_seconds", *seconds, &CYCLES)?;
        fresh.cycles.insert(visitor.clone(), Duration::from_secs_f64(least));
    }
    let limit = |rate: u64| Some(rate).filter(|rate| *rate > 0);
    if let Some(rate) = change.bytes_per_second {
        fresh.reading.bytes_per_second = limit(rate);
    }
    if let Some(rate) = change.files_per_second {
        fresh.reading.files_per_second = limit(rate);
    }
    Ok(fresh)
}

fn pace_report(pace: &CrawlPace) -> PaceReport {
    PaceReport {
        cpu_share: pace.cpu_share,
        slice_seconds: pace.slice.as_secs_f64(),
        adaptive: pace.adaptive,
        minimum_cycle_seconds: pace.cycles.iter().map(|(name, least)| (name.clone(), least.as_secs_f64())).collect(),
        bytes_per_second: pace.reading.bytes_per_second.unwrap_or(0),
        files_per_second: pace.reading.files_per_second.unwrap_or(0),
    }
}

/// How far the crawl is.
pub(super) fn report(crawl: &CrawlStatus, pace: &CrawlPace) -> CrawlReport {
    let state = match crawl.state {
        CrawlState::CatchingUp => "catching-up",
        CrawlState::Walking => "walking",
        CrawlState::Resting => "resting",
        CrawlState::Away => "away",
        CrawlState::Stalled => "stalled",
    };
    CrawlReport {
        state: state.to_owned(),
        cycle: crawl.cycle,
        hours_done: crawl.done,
        hours_total: crawl.total,
        seconds_left: crawl.seconds_left,
        next_cycle: crawl.next.map(Timestamp::from),
        last: crawl.last.as_ref().map(|(found, took)| CycleReport {
            seconds: took.as_secs_f64(),
            hours_read: found.count(CrawlCounts::READ),
            files_put: found.count(CrawlCounts::PUT),
            files_removed: found.count(CrawlCounts::REMOVED),
            errors: found.count(CrawlCounts::ERRORS),
            last_error: found.last_error.clone(),
        }),
        pace: Some(pace_report(pace)),
        works: crawl.pulse.works.map(str::to_owned),
        next_slice: crawl.pulse.next.filter(|next| *next > SystemTime::now()).map(Timestamp::from),
        visitors: crawl.visitors.iter().map(|visitor| visitor_report(visitor, pace)).collect(),
    }
}

fn visitor_report(visitor: &VisitorStatus, pace: &CrawlPace) -> VisitorReport {
    let state = &visitor.state;
    VisitorReport {
        name: visitor.name.to_owned(),
        cycle: state.cycle,
        running: state.is_running,
        began: (state.cycle > 0).then(|| at(state.began_us)),
        hours_done: state.hours,
        hours_left: visitor.hours_left,
        share_done: visitor.share_done(),
        worked_seconds: crate::wire::seconds(state.worked_us),
        seconds_left: visitor.seconds_left(),
        seconds_per_cycle: visitor.seconds_per_cycle(),
        minimum_cycle_seconds: pace.minimum_cycle(visitor.name).as_secs_f64(),
        next_work: visitor.next_work.map(Timestamp::from),
        next_cycle: visitor.next_cycle.map(Timestamp::from),
        found: counts(&state.found),
        last_error: state.found.last_error.clone(),
        history: state.history.iter().map(cycle_report).collect(),
    }
}

fn cycle_report(cycle: &Cycle) -> VisitorCycle {
    VisitorCycle {
        number: cycle.number,
        began: at(cycle.began_us),
        ended: at(cycle.ended_us),
        worked_seconds: crate::wire::seconds(cycle.worked_us),
        hours: cycle.hours,
        found: counts(&cycle.found),
        last_error: cycle.found.last_error.clone(),
    }
}

fn counts(found: &CrawlCounts) -> BTreeMap<String, u64> {
    found.counts().map(|(name, count)| (name.to_owned(), count)).collect()
}

/// A time as it is kept; one that cannot be written is the end of all time.
fn at(us: i64) -> Timestamp {
    Timestamp::from_us(us.clamp(0, Timestamp::MAX.us()))
}
