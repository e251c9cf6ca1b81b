//! `/api/v1/tombstones`: deletion from anywhere. What is done is in [`crate::lifecycle::tombstones`]; this reads requests and bounds them.

use std::sync::Arc;
use std::time::SystemTime;

use axum::Json;
use axum::extract::State;

use super::Problem;
use super::app::{Answer, App};
use super::request::{FromBody, FromQuery, JsonBody, Parameters, Query, time};
use crate::archive::{BadName, Stream};
use crate::lifecycle::tombstones::{
    self, IndexTrust, MOST_PATHS, PageEnd, Purge, ScopePart, TombstoneBounds, TombstoneRange, TombstoneScope,
};
use crate::wire::{AddTombstones, AddedTombstones, PurgeOrder, PurgeReport, TombstoneNote, TombstonePage};

/// Records in a page, where nothing else is asked for.
const PAGE: usize = 1_000;
/// Files that are deleted for one request: a second or two, and well within what a request with a body may take.
const MOST_DELETED: usize = 10_000;

/// Answers `GET /api/v1/tombstones`.
#[utoipa::path(
    get, path = "/api/v1/tombstones",
    params(
        ("channel" = Option<String>, Query), ("quality" = Option<String>, Query, description = "wants a channel"),
        ("hour" = Option<String>, Query, description = "such as 2019-11-13T02; wants a quality"),
        ("limit" = Option<usize>, Query, description = "records in a page, 1000 where not given"),
        ("after" = Option<String>, Query, description = "`next` of the page before")
    ),
    responses(
        (status = 200, body = TombstonePage), (status = 400, description = "a parameter is wrong"),
        (status = 401, description = "reading wants a token here"), (status = 503, description = "the disk is not there")
    )
)]
pub(super) async fn list(State(app): State<Arc<App>>, Query(wanted): Query<TombstonesQuery>) -> Answer<TombstonePage> {
    app.ask(move |app| page(app, &wanted)).await.map(Json)
}

/// Answers `POST /api/v1/tombstones`.
#[utoipa::path(
    post, path = "/api/v1/tombstones", request_body = AddTombstones, security(("bearer" = [])),
    responses(
        (status = 200, body = AddedTombstones, description = "said only after it is on disk and in the index; what was refused is said with its path"),
        (status = 400, description = "invalid body, or asks for too much"),
        (status = 401, description = "unknown token"), (status = 403, description = "the token is one for reading"),
        (status = 413, description = "the body is too large"), (status = 507, description = "the disk is full; repeat it all when there is room"),
        (status = 503, description = "the disk is not there; repeat it all when it is")
    )
)]
pub(super) async fn add(
    State(app): State<Arc<App>>,
    JsonBody(wanted): JsonBody<AddTombstones>,
) -> Answer<AddedTombstones> {
    app.ask(move |app| add_wanted(app, wanted)).await.map(Json)
}

impl FromBody for AddTombstones {
    const EXAMPLE: &'static str = "{\"paths\": [\"CHANNEL/QUALITY/HOUR/NAME\"]}";
}

/// Answers `POST /api/v1/tombstones/purge`.
#[utoipa::path(
    post, path = "/api/v1/tombstones/purge", request_body = PurgeOrder, security(("bearer" = [])),
    responses(
        (status = 200, body = PurgeReport, description = "said only after it is on disk and in the index"),
        (status = 400, description = "invalid body, or asks for too much"),
        (status = 401, description = "unknown token"), (status = 403, description = "the token is one for reading"),
        (status = 413, description = "the body is too large"), (status = 503, description = "the disk is not there")
    )
)]
pub(super) async fn purge(State(app): State<Arc<App>>, JsonBody(order): JsonBody<PurgeOrder>) -> Answer<PurgeReport> {
    app.ask(move |app| purge_ordered(app, &order)).await.map(Json)
}

impl FromBody for PurgeOrder {
    const EXAMPLE: &'static str = "{\"everything\": true, \"dry_run\": true}, or paths or places";
}

/// What a list is asked for.
pub(super) struct TombstonesQuery {
    scope: TombstoneScope,
    after: Option<PageEnd>,
    limit: usize,
}

impl FromQuery for TombstonesQuery {
    fn read(given: &Parameters) -> Result<Self, Problem> {
        let [channel, quality, hour] = ["channel", "quality", "hour"].map(|name| given.last(name));
        let (limit, after) = (given.limit(PAGE)?, given.each("after", read_after)?);
        let scope = match (channel, quality, hour) {
            (None, None, None) => TombstoneScope::everything(),
            (Some(channel), quality, hour) if quality.is_some() || hour.is_none() => {
                let named: Vec<&str> = [Some(channel), quality, hour].into_iter().flatten().collect();
                let place = ScopePart::new(channel, quality, hour);
                TombstoneScope::within(vec![place.map_err(|error| wrong_place("channel", &named.join("/"), error))?])
            }
            (None, ..) => {
                return Err(Problem::bad_parameter("channel", "", "a channel where a quality or hour is given"));
            }
            _ => return Err(Problem::bad_parameter("quality", "", "a quality where an hour is given")),
        };
        Ok(Self { scope, after, limit })
    }
}

fn wrong_place(parameter: &str, given: &str, error: BadName) -> Problem {
    Problem::bad_parameter(parameter, given, &format!("CHANNEL, CHANNEL/QUALITY or CHANNEL/QUALITY/HOUR ({error})"))
}

fn read_after(value: &str) -> Result<PageEnd, Problem> {
    PageEnd::read(value).ok_or_else(|| Problem::bad_parameter("after", value, "`next` of the page before"))
}

fn index_state(app: &App) -> IndexTrust {
    if *app.node.crawl.ready().borrow() { IndexTrust::CaughtUp } else { IndexTrust::Behind }
}

fn page(app: &App, wanted: &TombstonesQuery) -> Result<TombstonePage, Problem> {
    let bounds = TombstoneBounds { files: wanted.limit, hours: app.node.bounds.max_hours };
    let after = wanted.after.as_ref();
    Ok(tombstones::list(&app.node.keeper, &wanted.scope, after, bounds, index_state(app))?)
}

fn add_wanted(app: &App, wanted: AddTombstones) -> Result<AddedTombstones, Problem> {
    let AddTombstones { paths, content, dry_run, channel, quality, from, to, reason } = wanted;
    let note = reason.as_deref().map(|reason| note(app, reason)).transpose()?;
    let is_else = paths.is_empty() && channel.is_none() && quality.is_none() && from.is_none() && to.is_none();
    if !content.is_empty() && is_else {
        return add_content(app, &content, note.as_ref(), dry_run);
    }
    if !content.is_empty() || dry_run {
        return Err(Problem::bad_body(
            "content stands alone, and dry_run beside it",
            "content and, if wanted, dry_run",
        ));
    }
    let paths = match (paths.is_empty(), channel, quality, from, to) {
        (_, None, None, None, None) => paths,
        (true, Some(channel), Some(quality), Some(from), Some(to)) => {
            let wrong = |error| Problem::bad_parameter("channel", &format!("{channel}/{quality}"), &format!("{error}"));
            let range = TombstoneRange {
                stream: Stream::new(&channel, &quality).map_err(wrong)?,
                from: time("from", &from)?,
                to: time("to", &to)?,
            };
            if range.to <= range.from {
                return Err(Problem::bad_parameter("to", &to, &format!("a time after from, {from}")));
            }
            let found = tombstones::in_range(&app.node.keeper, &range, app.node.bounds.max_hours)?;
            found.map_err(|wide| Problem::too_much(wide.what, wide.found as u64, wide.most as u64))?
        }
        _ => {
            let expected = "paths, or content, or channel, quality, from and to";
            return Err(Problem::bad_body("it is neither one nor the other", expected));
        }
    };
    few(paths.len())?;
    Ok(tombstones::add(&app.node.keeper, &paths, note.as_ref())?)
}

/// Whatever is equal to these.
fn add_content(
    app: &App,
    paths: &[String],
    note: Option<&TombstoneNote>,
    dry_run: bool,
) -> Result<AddedTombstones, Problem> {
    few(paths.len())?;
    let contents = tombstones::contents(paths).map_err(|(path, why)| {
        Problem::bad_parameter("content", &path, &format!("CHANNEL/QUALITY/HOUR/NAME ({why})"))
    })?;
    let found = tombstones::equal(&app.node.keeper, &contents, MOST_PATHS)?;
    few(found.len())?;
    if dry_run {
        return Ok(AddedTombstones::would_be(found));
    }
    Ok(tombstones::add(&app.node.keeper, &found, note)?)
}

fn note(app: &App, reason: &str) -> Result<TombstoneNote, Problem> {
    let note = TombstoneNote::new(reason, SystemTime::now(), &app.node.name);
    note.map_err(|error| Problem::bad_parameter("reason", reason, &error.to_string()))
}

fn purge_ordered(app: &App, order: &PurgeOrder) -> Result<PurgeReport, Problem> {
    few(order.paths.len())?;
    few(order.places.len())?;
    let stay = app.node.last_copies.as_ref().map(|make| make());
    let stay = stay.as_deref();
    let purge = Purge { keeper: &app.node.keeper, deleted: &app.node.deleted, stay, dry_run: order.dry_run };
    let after = order.after.as_deref().map(read_after).transpose()?;
    let scope = match (order.paths.is_empty(), order.places.is_empty(), order.everything) {
        (false, true, false) => return Ok(purge.paths(&order.paths)?),
        (true, false, false) => {
            let read = |text: &String| ScopePart::parse(text).map_err(|error| wrong_place("places", text, error));
            TombstoneScope::within(order.places.iter().map(read).collect::<Result<_, _>>()?)
        }
        (true, true, true) => TombstoneScope::everything(),
        _ => return Err(Problem::bad_body("it does not say what to purge", "one of paths, places and everything")),
    };
    let bounds = TombstoneBounds { files: MOST_DELETED, hours: app.node.bounds.max_hours };
    Ok(purge.scope(&scope, after.as_ref(), bounds, index_state(app))?)
}

fn few(count: usize) -> Result<(), Problem> {
    if count > MOST_PATHS {
        return Err(Problem::too_much("number of paths", count as u64, MOST_PATHS as u64));
    }
    Ok(())
}
