//! What an operator asks for: a run of retention, hours to be kept, suspiciously many tombstones to be taken over after all, and
//! suspiciously much that is missing to be gone.
//!
//! All of it wants a token for writing. Nothing is decided here: whoever does the work is told.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::Problem;
use super::app::{Answer, App};
use super::request::{FromBody, JsonBody};
use crate::archive::{Channel, HourPlace};
use crate::sync::crawl::MassLoss;
use crate::wire::{
    AcceptBursts, AcceptMissing, AcceptedRecords, DoubtReport, KeepHours, KeptHours, RetentionReport, RunRetention,
    TombstoneReceipt,
};

/// How long a run of retention is waited for: less than a request with a body may take.
const PATIENCE: Duration = Duration::from_secs(40);
/// Hours in one request.
const MOST_HOURS: usize = 1_000;

/// Answers `POST /api/v1/tombstones/accept`.
#[utoipa::path(
    post, path = "/api/v1/tombstones/accept", request_body = AcceptBursts, security(("bearer" = [])),
    responses(
        (status = 200, body = TombstoneReceipt, description = "a round with these peers begins now; it takes over their tombstones however many they are"),
        (status = 400, description = "invalid body"), (status = 401, description = "unknown token"),
        (status = 403, description = "the token is one for reading"), (status = 404, description = "there is no such peer")
    )
)]
pub(super) async fn accept(
    State(app): State<Arc<App>>,
    JsonBody(AcceptBursts { peer }): JsonBody<AcceptBursts>,
) -> Answer<TombstoneReceipt> {
    match ((app.node.accept_bursts)(peer.as_deref()), peer) {
        (0, Some(peer)) => Err(Problem::not_found(&format!("peer {peer:?}"))),
        (peers, _) => Ok(Json(TombstoneReceipt { peers: peers as u64 })),
    }
}

impl FromBody for AcceptBursts {
    const EXAMPLE: &'static str = "{\"peer\": \"NAME\"}, or {} for all";
}

/// Answers `POST /api/v1/crawl/accept`.
#[utoipa::path(
    post, path = "/api/v1/crawl/accept", request_body = AcceptMissing, security(("bearer" = [])),
    responses(
        (status = 200, body = DoubtReport, description = "what was missing leaves the index, and what is found missing until all was compared once more"),
        (status = 400, description = "invalid body"), (status = 401, description = "unknown token"),
        (status = 403, description = "the token is one for reading"), (status = 404, description = "nothing of that channel needs confirmation")
    )
)]
pub(super) async fn accept_missing(
    State(app): State<Arc<App>>,
    JsonBody(AcceptMissing { channel }): JsonBody<AcceptMissing>,
) -> Answer<DoubtReport> {
    app.ask(move |app| accept_in(app, &channel)).await.map(|doubt| Json(doubt_report(doubt)))
}

impl FromBody for AcceptMissing {
    const EXAMPLE: &'static str = "{\"channel\": \"NAME\"}";
}

fn accept_in(app: &App, channel: &str) -> Result<MassLoss, Problem> {
    let accepted = Channel::new(channel).ok().and_then(|known| app.node.keeper.accept(&known));
    accepted.ok_or_else(|| Problem::nothing_to_confirm(channel))
}

/// A doubt in the shape of the wire.
pub(super) fn doubt_report(doubt: MassLoss) -> DoubtReport {
    let MassLoss { channel, missing, had, hours } = doubt;
    DoubtReport { channel, missing, had, hours }
}

/// Answers `POST /api/v1/retention/run`.
#[utoipa::path(
    post, path = "/api/v1/retention/run", request_body = RunRetention, security(("bearer" = [])),
    responses(
        (status = 200, body = RetentionReport, description = "what the run did"),
        (status = 202, body = RetentionReport, description = "it goes on; this is the run before"),
        (status = 400, description = "invalid body"), (status = 401, description = "unknown token"),
        (status = 403, description = "the token is one for reading")
    )
)]
pub(super) async fn run(
    State(app): State<Arc<App>>,
    JsonBody(RunRetention { yes }): JsonBody<RunRetention>,
) -> (StatusCode, Json<RetentionReport>) {
    let mut run = app.node.retention.request_run(&yes);
    let done = tokio::time::timeout(PATIENCE, run.answered()).await;
    let status = if done == Ok(true) { StatusCode::OK } else { StatusCode::ACCEPTED };
    (status, Json(app.node.retention.report()))
}

impl FromBody for RunRetention {
    const EXAMPLE: &'static str =
        "{}, or {\"yes\": \"shrinking\"} to answer the guard that `asks` in the plan, or a list of them";
}

/// Answers `POST /api/v1/retention/keep`.
#[utoipa::path(
    post, path = "/api/v1/retention/keep", request_body = KeepHours, security(("bearer" = [])),
    responses(
        (status = 200, body = KeptHours, description = "it stands in the journal; what other nodes have of these hours is fetched again"),
        (status = 400, description = "invalid body, or an hour is none"),
        (status = 401, description = "unknown token"), (status = 403, description = "the token is one for reading"),
        (status = 503, description = "the disk is not there, or the journal cannot be read"), (status = 507, description = "the disk is full")
    )
)]
pub(super) async fn keep(State(app): State<Arc<App>>, JsonBody(order): JsonBody<KeepHours>) -> Answer<KeptHours> {
    app.ask(move |app| keep_hours(app, &order)).await.map(Json)
}

impl FromBody for KeepHours {
    const EXAMPLE: &'static str = "{\"places\": [\"CHANNEL/QUALITY/HOUR\"]}";
}

/// Answers `POST /api/v1/retention/accept`.
#[utoipa::path(
    post, path = "/api/v1/retention/accept", security(("bearer" = [])),
    responses(
        (status = 200, body = AcceptedRecords, description = "which records begin anew, and where their damaged copies are"),
        (status = 400, description = "invalid body"), (status = 401, description = "unknown token"),
        (status = 403, description = "the token is one for reading"),
        (status = 503, description = "the disk is not there"), (status = 507, description = "the disk is full")
    )
)]
pub(super) async fn accept_records(
    State(app): State<Arc<App>>,
    JsonBody(_): JsonBody<serde_json::Map<String, serde_json::Value>>,
) -> Answer<AcceptedRecords> {
    app.ask(|app| Ok(app.node.retention.accept()?)).await.map(Json)
}

impl FromBody for serde_json::Map<String, serde_json::Value> {
    const EXAMPLE: &'static str = "{}";
}

fn keep_hours(app: &App, order: &KeepHours) -> Result<KeptHours, Problem> {
    if order.places.len() > MOST_HOURS {
        return Err(Problem::too_much("number of hours", order.places.len() as u64, MOST_HOURS as u64));
    }
    let read = |text: &String| {
        HourPlace::parse(text).map_err(|_| Problem::bad_parameter("places", text, "CHANNEL/QUALITY/HOUR"))
    };
    let places = order.places.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    app.node.retention.keep(&places, order.release)?;
    Ok(KeptHours { not_here: app.node.retention.not_here(&places)? })
}
