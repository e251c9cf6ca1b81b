//! `/api/v1/explain`: which segments cover a point in time in a quality and which is played, or the hole that it lies in.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::Problem;
use super::app::{Answer, App};
use super::coverage::Answering;
use super::read_view::AskedView;
use super::request::{FromQuery, Parameters, Query, StreamPath};
use crate::archive::explain::Search;
use crate::archive::{HourPlace, Stream, Timestamp};
use crate::lifecycle::archiving::stored_file;
use crate::sync::crawl::CrawlError;
use crate::wire::{ClosedHole, ExplainedTime, HoleRecord, MOST_CLOSED, StoredFile, UnreadFile};

/// Answers `GET /api/v1/explain/{channel}/{quality}`.
#[utoipa::path(
    get, path = "/api/v1/explain/{channel}/{quality}",
    params(
        ("channel" = String, Path), ("quality" = String, Path),
        ("at" = String, Query, description = "a time"),
        ("file" = Option<String>, Query, description = "the name of a file of its hour: `stored` tells where that lies, instead of the played segment"),
        ("local" = Option<bool>, Query, description = "true: of this node alone, whatever other nodes have")
    ),
    responses(
        (status = 200, body = ExplainedTime), (status = 400, description = "a parameter is wrong or missing"),
        (status = 503, description = "the disk is not there, or too much is asked at once")
    )
)]
pub(super) async fn explain(
    State(app): State<Arc<App>>,
    AskedView(view): AskedView,
    StreamPath(stream): StreamPath,
    Query(asked): Query<ExplainQuery>,
) -> Answer<ExplainedTime> {
    app.ask(move |app| look((app, &view), &stream, &asked)).await.map(Json)
}

pub(super) struct ExplainQuery {
    at: Timestamp,
    file: Option<String>,
}

impl FromQuery for ExplainQuery {
    fn read(given: &Parameters) -> Result<Self, Problem> {
        let file = given.each("file", |name: &str| Ok(name.to_owned()))?;
        Ok(Self { at: given.needed_time("at")?, file })
    }
}

fn look((app, view): Answering<'_>, stream: &Stream, asked: &ExplainQuery) -> Result<ExplainedTime, Problem> {
    let at = asked.at;
    view.keeper.ensure_structure()?;
    let hours = view.keeper.index().catalog().hours(&stream.to_string(), ..).into_iter().collect();
    let mut search = Search::new(at, &hours);
    while let Some(hour) = search.wanted() {
        search.give(view.keeper.answer(&HourPlace { stream: stream.clone(), hour })?.contents);
    }
    let (open, closed) = app.node.keeper.index().holes_at(stream, at, MOST_CLOSED)?;
    let open = open.map(|entry| HoleRecord::from(entry.hole).known(&entry));
    let closed = closed.iter().map(ClosedHole::from).collect();
    let found = search.found();
    let at_hour = |hour| HourPlace { stream: stream.clone(), hour };
    let stored = match (&asked.file, &found.chosen) {
        (Some(name), _) => stored(app, &at_hour(at.hour()), name)?,
        (None, Some(piece)) => stored(app, &at_hour(piece.hour), &piece.file.name())?,
        (None, None) => None,
    };
    let limits = app.node.retention.limits_of(&HourPlace { stream: stream.clone(), hour: at.hour() })?;
    let explained = ExplainedTime::new(stream, at, &found).with_ledger(open, closed);
    Ok(explained.with_limits(Some(limits)).with_stored(stored))
}

fn stored(app: &App, place: &HourPlace, name: &str) -> Result<Option<StoredFile>, Problem> {
    let base = app.node.keeper.guard().base().map_err(CrawlError::Away)?;
    let stored = stored_file(&base, place, name).map_err(CrawlError::Disk)?;
    let failure = app.node.keeper.absent_files().and_then(|absent| absent.failure(place, name));
    let unread = failure.map(|error| UnreadFile { reason: error.reason.to_owned(), why: error.why });
    Ok(stored.map(|stored| StoredFile { unread, ..stored }))
}
