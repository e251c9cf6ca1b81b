//! `/api/v1/changes`: what changed after a place in the log; whoever has everything may wait for more.
//!
//! A place outside of the log is no error of the one who asks: the answer says `gap`, and digests have to be compared.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::CACHE_CONTROL;
use axum::http::request::Parts;
use axum::response::IntoResponse;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Problem;
use super::app::{App, RequestBounds};
use super::request::{FromQuery, Parameters, Query, RequestHead};
use super::seats::{Client, ClientSeats, ListenerSeats};
use crate::index::agree::ReplicatedChange;
use crate::index::{ChangePage, Position};
use crate::sync::crawl::CrawlError;
use crate::wire::{ChangeKind, ChangeList, ChangeRecord};

/// Records in an answer, where nothing else is asked for.
const PAGE: usize = 1_000;
/// How long one may wait: shorter than the minute after which proxies give up.
const LONGEST_WAIT: u64 = 30;
/// How long one may wait at least before another one of the same client takes the place: others are answered at once.
const TENURE: Duration = Duration::from_secs(5);

/// Those who wait for changes.
#[derive(Debug)]
pub(super) struct Followers {
    pub(super) seats: Arc<ListenerSeats>,
    /// Nobody waits any more: the node ends.
    pub(super) ending: CancellationToken,
}

impl Followers {
    pub(super) fn new(bounds: &RequestBounds) -> Self {
        let (total, each) = bounds.waiting;
        Self {
            seats: ListenerSeats::new(ClientSeats { total, each, tenure: TENURE }),
            ending: CancellationToken::new(),
        }
    }
}

/// Answers `GET /api/v1/changes`.
#[utoipa::path(
    get, path = "/api/v1/changes",
    params(
        ("after" = Option<u64>, Query, description = "`next` of the page before, or `seq` of digests; where not given, no changes are answered, only where the log ends"),
        ("epoch" = Option<String>, Query, description = "`epoch` of the same answer; belongs to `after`"),
        ("limit" = Option<usize>, Query, description = "changes in an answer, 1000 where not given"),
        ("wait" = Option<u64>, Query, description = "seconds to wait for a change if there is none, up to 30")
    ),
    responses(
        (status = 200, body = ChangeList), (status = 400, description = "a parameter is wrong"),
        (status = 503, description = "the disk is not there")
    )
)]
pub(super) async fn changes(
    State(app): State<Arc<App>>,
    Query(wanted): Query<ChangesQuery>,
    RequestHead(request): RequestHead,
) -> Result<impl IntoResponse, Problem> {
    let list = follow(&app, &request, wanted).await?;
    Ok(([(CACHE_CONTROL, HeaderValue::from_static("no-store"))], Json(list)))
}

pub(super) struct ChangesQuery {
    from: Option<(u64, u64)>,
    limit: usize,
    wait: Duration,
}

impl FromQuery for ChangesQuery {
    fn read(given: &Parameters) -> Result<Self, Problem> {
        let after = given.each("after", |value| {
            let expected = "`next` of the page before, or `seq` of digests";
            value.parse().map_err(|_| Problem::bad_parameter("after", value, expected))
        })?;
        let epoch = given.each("epoch", |value| {
            let digits = value.len() == 16 && value.bytes().all(|byte| byte.is_ascii_hexdigit());
            let number = u64::from_str_radix(value, 16).ok().filter(|_| digits);
            let expected = "`epoch` of the answer before, 16 hexadecimal digits";
            number.ok_or_else(|| Problem::bad_parameter("epoch", value, expected))
        })?;
        let wait = given.each("wait", |value| {
            let seconds = value.parse().ok().filter(|seconds| *seconds <= LONGEST_WAIT);
            let expected = format!("whole seconds from 0 to {LONGEST_WAIT}");
            seconds.map(Duration::from_secs).ok_or_else(|| Problem::bad_parameter("wait", value, &expected))
        })?;
        let missing = |name, expected| Err(Problem::bad_parameter(name, "", expected));
        let limit = given.limit(PAGE)?;
        match (epoch, after) {
            (None, Some(_)) => missing("epoch", "`epoch` of the answer that `after` is from"),
            (Some(_), None) => missing("after", "`next` of the answer that `epoch` is from"),
            _ => Ok(Self { from: epoch.zip(after), limit, wait: wait.unwrap_or_default() }),
        }
    }
}

async fn follow(app: &Arc<App>, request: &Parts, wanted: ChangesQuery) -> Result<ChangeList, Problem> {
    let until = Instant::now() + wanted.wait;
    let seat =
        if wanted.wait.is_zero() { None } else { app.followers.seats.take(Client::of(&app.node.auth, request).await) };
    let is_over = || seat.as_ref().is_none_or(|seat| seat.leave.is_cancelled()) || Instant::now() >= until;
    let left = async {
        if let Some(seat) = &seat {
            seat.leave.cancelled().await;
        }
    };
    let mut left = pin!(left);
    let index = app.node.keeper.index();
    let (mut committed, mut generation) = (index.committed(), index.generation());
    let Some((epoch, mut after)) = wanted.from else {
        app.node.keeper.guard().base().map_err(CrawlError::Away)?;
        return Ok(empty(index.position()));
    };
    loop {
        // What is committed from here on ends the waiting below.
        committed.borrow_and_update();
        generation.borrow_and_update();
        app.node.keeper.guard().base().map_err(CrawlError::Away)?;
        let page = app.ask(move |app| Ok(app.node.keeper.index().change_page(epoch, after, wanted.limit)?)).await?;
        let nothing = page.changes.as_ref().is_some_and(Vec::is_empty);
        if nothing && page.next < page.position.seq && page.next > after {
            // Only names that are not replicated, and more to come.
            after = page.next;
            continue;
        }
        if !nothing || is_over() || app.followers.ending.is_cancelled() {
            return Ok(list(page));
        }
        after = page.next;
        tokio::select! {
            _ = committed.changed() => {}
            _ = generation.changed() => {}
            () = app.followers.ending.cancelled() => {}
            () = &mut left => {}
            () = tokio::time::sleep_until(until) => {}
        }
    }
}

fn empty(position: Position) -> ChangeList {
    ChangeList {
        epoch: format!("{:016x}", position.epoch),
        gap: false,
        changes: Vec::new(),
        next: position.seq,
        last: position.seq,
    }
}

fn list(page: ChangePage) -> ChangeList {
    let gap = page.changes.is_none();
    let changes = page.changes.unwrap_or_default().into_iter().filter_map(record).collect();
    ChangeList { gap, changes, next: page.next, ..empty(page.position) }
}

fn record(ReplicatedChange { record, stream }: ReplicatedChange) -> Option<ChangeRecord> {
    let (channel, quality) = stream.split_once('/')?;
    Some(ChangeRecord {
        seq: record.seq,
        channel: channel.to_owned(),
        quality: quality.to_owned(),
        hour: record.hour.to_string(),
        name: record.file.name(),
        change: if record.put { ChangeKind::Put } else { ChangeKind::Removed },
        size: record.file.size(),
    })
}

#[cfg(test)]
mod tests;
