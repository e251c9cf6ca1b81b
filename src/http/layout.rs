//! `/api/v1/layout…`: which nodes keep what, what would become of that, and what a person asks of it.

use std::sync::Arc;

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};

use super::app::{Answer, App};
use super::layout_plan::{WHAT_IT_DOES, plan_report, report};
use super::request::{FromBody, JsonBody, RequestHead};
use super::{ConditionVerdict, ETag, Problem, conditional};
use crate::archive::placement::{CopiesWanted, LARGEST_LAYOUT, LayoutChange, LayoutId, PlaceName};
use crate::archive::{Channel, placement};
use crate::replicate::placement::{LayoutState, LayoutStoreError};
use crate::wire::{
    AppliedLayout, ApplyOrder, DiscardOrder, DiscardReport, LayoutChangeOrder, LayoutOffer, LayoutPlanReport,
    LayoutReport, PauseOrder, PauseReport, StageOrder,
};

/// Answers `GET /api/v1/layout`.
#[utoipa::path(
    get, path = "/api/v1/layout",
    responses((status = 200, body = LayoutReport), (status = 503, description = "too much is asked at once"))
)]
pub(super) async fn view(State(app): State<Arc<App>>) -> Answer<LayoutReport> {
    app.ask(|app| Ok(report(app))).await.map(Json)
}

/// Answers `GET /api/v1/layout/file`: the file as it lies in the archive. Its hash is the tag.
#[utoipa::path(
    get, path = "/api/v1/layout/file",
    responses(
        (status = 200, content_type = "application/octet-stream", description = "the file, as docs/placement.md describes it"),
        (status = 304, description = "as the tag in If-None-Match says"), (status = 404, description = "the node has no layout"),
        (status = 409, description = "the file here cannot be read")
    )
)]
pub(super) async fn file(State(app): State<Arc<App>>, RequestHead(request): RequestHead) -> Result<Response, Problem> {
    let known = match app.ask_light(|app| Ok(app.node.layouts.look())).await? {
        LayoutState::Known(known) => known,
        LayoutState::None => return Err(Problem::not_found("layout: every node keeps everything")),
        LayoutState::Unusable(why) => return Err(Problem::conflict(&why)),
    };
    let tag = ETag::new(&known.id.hash.hexadecimal());
    let mut response = match conditional::evaluate(&request.headers, &tag, None) {
        ConditionVerdict::NotModified => StatusCode::NOT_MODIFIED.into_response(),
        ConditionVerdict::Failed => return Err(Problem::precondition_failed()),
        ConditionVerdict::Proceed => {
            let kind = [(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"))];
            (kind, known.bytes.clone()).into_response()
        }
    };
    response.headers_mut().insert(ETAG, tag.value().clone());
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

/// Answers `GET /api/v1/layout/plan`: what the changes that wait would lead to.
#[utoipa::path(
    get, path = "/api/v1/layout/plan",
    responses(
        (status = 200, body = LayoutPlanReport), (status = 409, description = "there is no plan, or the layout cannot be read"),
        (status = 503, description = "the disk is not there, or too much is asked at once")
    )
)]
pub(super) async fn plan(State(app): State<Arc<App>>) -> Answer<LayoutPlanReport> {
    app.ask(|app| plan_report(app, &app.node.layouts.plan(&[])?)).await.map(Json)
}

/// Answers `POST /api/v1/layout/stage`: keeps changes until they are applied, and says what they would lead to.
#[utoipa::path(
    post, path = "/api/v1/layout/stage", request_body = StageOrder, security(("bearer" = [])),
    responses(
        (status = 200, body = LayoutPlanReport), (status = 400, description = "invalid body"), (status = 401, description = "unknown token"),
        (status = 403, description = "the token is one for reading"), (status = 409, description = "there is no plan with them, or the layout cannot be read"),
        (status = 503, description = "the disk is not there, or too much is asked at once")
    )
)]
pub(super) async fn stage(
    State(app): State<Arc<App>>,
    JsonBody(order): JsonBody<StageOrder>,
) -> Answer<LayoutPlanReport> {
    let changes = order.changes.iter().map(change).collect::<Result<Vec<_>, _>>()?;
    let staged = app.ask(move |app| {
        let layouts = &app.node.layouts;
        let planned = if order.dry_run { layouts.plan(&changes) } else { layouts.stage(&changes) };
        plan_report(app, &planned?)
    });
    staged.await.map(Json)
}

/// Answers `POST /api/v1/layout/discard`: forgets the changes that wait.
#[utoipa::path(
    post, path = "/api/v1/layout/discard", request_body = DiscardOrder, security(("bearer" = [])),
    responses(
        (status = 200, body = DiscardReport), (status = 401, description = "unknown token"), (status = 403, description = "the token is one for reading"),
        (status = 503, description = "the disk is not there, or too much is asked at once")
    )
)]
pub(super) async fn discard(
    State(app): State<Arc<App>>,
    JsonBody(DiscardOrder {}): JsonBody<DiscardOrder>,
) -> Answer<DiscardReport> {
    app.ask(|app| Ok(DiscardReport { discarded: app.node.layouts.discard()? })).await.map(Json)
}

/// Answers `POST /api/v1/layout/pause`: nothing leaves for its owners, or may again.
#[utoipa::path(
    post, path = "/api/v1/layout/pause", request_body = PauseOrder, security(("bearer" = [])),
    responses(
        (status = 200, body = PauseReport), (status = 400, description = "invalid body"), (status = 401, description = "unknown token"),
        (status = 403, description = "the token is one for reading"), (status = 503, description = "the disk is not there, or too much is asked at once")
    )
)]
pub(super) async fn pause(
    State(app): State<Arc<App>>,
    JsonBody(PauseOrder { paused }): JsonBody<PauseOrder>,
) -> Answer<PauseReport> {
    app.ask(move |app| Ok(PauseReport { paused, changed: app.node.layouts.set_paused(paused)? })).await.map(Json)
}

/// Answers `POST /api/v1/layout/apply`: makes the first version of the plan the layout.
#[utoipa::path(
    post, path = "/api/v1/layout/apply", request_body = ApplyOrder, security(("bearer" = [])),
    responses(
        (status = 200, body = AppliedLayout), (status = 400, description = "invalid body"), (status = 401, description = "unknown token"),
        (status = 403, description = "the token is one for reading"),
        (status = 409, description = "the plan was made from another version, there is none, or the layout cannot be read"),
        (status = 503, description = "the disk is not there, or too much is asked at once")
    )
)]
pub(super) async fn apply(State(app): State<Arc<App>>, JsonBody(order): JsonBody<ApplyOrder>) -> Answer<AppliedLayout> {
    let expected = "the first digits of a version's hash, at least eight, as `gapless layout plan` shows them";
    let wrong = |text: &str| Problem::bad_parameter("plan", text, expected);
    let plan = order.plan.as_deref().map(|text| placement::plan_digits(text).ok_or_else(|| wrong(text))).transpose()?;
    let applied = app.ask(move |app| {
        let planned = app.node.layouts.apply(order.from, plan.as_deref())?;
        let next = planned.versions.first().ok_or_else(|| Problem::internal("nothing-applied"))?;
        Ok(applied(next.id(), planned.versions.len() as u64 - 1))
    });
    applied.await.map(Json)
}

/// Answers `POST /api/v1/layout/take`: puts a file in the place of what is here, on a person's word.
#[utoipa::path(
    post, path = "/api/v1/layout/take", security(("bearer" = [])),
    request_body(content_type = "application/octet-stream", description = "the file of a layout"),
    responses(
        (status = 200, body = AppliedLayout), (status = 401, description = "unknown token"), (status = 403, description = "the token is one for reading"),
        (status = 409, description = "it is no layout, or is behind the one here"), (status = 413, description = "it is larger than any layout"),
        (status = 503, description = "the disk is not there, or too much is asked at once")
    )
)]
pub(super) async fn take(State(app): State<Arc<App>>, body: Body) -> Answer<AppliedLayout> {
    let file = to_bytes(body, LARGEST_LAYOUT).await.map_err(|_| Problem::body_too_large(LARGEST_LAYOUT))?;
    app.ask(move |app| Ok(applied(app.node.layouts.take(&file)?, 0))).await.map(Json)
}

/// What peers are told with the digests.
pub(super) fn offer(id: LayoutId) -> LayoutOffer {
    LayoutOffer { version: id.version, hash: id.hash.hexadecimal() }
}

fn applied(id: LayoutId, versions_left: u64) -> AppliedLayout {
    let LayoutOffer { version, hash } = offer(id);
    AppliedLayout { version, hash, versions_left, note: WHAT_IT_DOES.to_owned() }
}

impl FromBody for StageOrder {
    const EXAMPLE: &'static str = "{\"changes\": [{\"change\": \"drain\", \"node\": \"a1\"}]}";
}

impl FromBody for ApplyOrder {
    const EXAMPLE: &'static str = "{\"from\": 7}";
}

impl FromBody for PauseOrder {
    const EXAMPLE: &'static str = "{\"paused\": true}";
}

impl FromBody for DiscardOrder {
    const EXAMPLE: &'static str = "{}";
}

fn change(order: &LayoutChangeOrder) -> Result<LayoutChange, Problem> {
    let place = |what: &str, text: &str| {
        let expected = "1 to 64 letters, digits, dots, dashes or underscores";
        PlaceName::new(text).ok_or_else(|| Problem::bad_parameter(what, text, expected))
    };
    Ok(match order {
        LayoutChangeOrder::Add { node, zone, weight_bytes } => {
            LayoutChange::Add { name: place("node", node)?, zone: place("zone", zone)?, weight: *weight_bytes }
        }
        LayoutChangeOrder::Drain { node } => LayoutChange::Drain(place("node", node)?),
        LayoutChangeOrder::Lost { node } => LayoutChange::Lost(place("node", node)?),
        LayoutChangeOrder::Remove { node } => LayoutChange::Remove(place("node", node)?),
        LayoutChangeOrder::Replace { old, new } => {
            LayoutChange::Replace { old: place("old", old)?, new: place("new", new)? }
        }
        LayoutChangeOrder::Copies { channel, copies } => {
            let named = |text: &String| {
                Channel::new(text).map_err(|error| Problem::bad_parameter("channel", text, &error.to_string()))
            };
            let expected = format!("a number from 1 to {}, all, or, of a channel, default", placement::MOST_COPIES);
            let wrong = || Problem::bad_parameter("copies", copies, &expected);
            let wanted = match copies.as_str() {
                "default" => None,
                number => Some(CopiesWanted::parse(number).ok_or_else(wrong)?),
            };
            LayoutChange::Copies { channel: channel.as_ref().map(named).transpose()?, copies: wanted }
        }
    })
}

impl From<LayoutStoreError> for Problem {
    fn from(error: LayoutStoreError) -> Self {
        match error {
            LayoutStoreError::Disk(error) => error.into(),
            away @ LayoutStoreError::Away(_) => Self::unavailable(5, &away.to_string()),
            other => Self::conflict(&other.to_string()),
        }
    }
}
