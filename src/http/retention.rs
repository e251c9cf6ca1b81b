//! `/api/v1/retention`: what would be deleted now, and what has been. Decides nothing and deletes nothing by itself.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::Problem;
use super::app::{Answer, App};
use super::request::{FromQuery, Parameters, Query};
use crate::archive::retention::RetentionLimits;
use crate::wire::{PlanLimits, RetentionView};

/// Answers `GET /api/v1/retention`.
#[utoipa::path(
    get, path = "/api/v1/retention",
    params(("limits" = Option<String>, Query, description = "JSON of PlanLimits: plans by these limits instead of the node's own")),
    responses(
        (status = 200, body = RetentionView), (status = 400, description = "the limits are not understood"),
        (status = 503, description = "the disk is not there, or the journal of retired hours cannot be read")
    )
)]
pub(super) async fn view(
    State(app): State<Arc<App>>,
    Query(PlanQuery(limits)): Query<PlanQuery>,
) -> Answer<RetentionView> {
    app.ask(move |app| Ok(app.node.retention.view(limits.as_ref())?)).await.map(Json)
}

pub(super) struct PlanQuery(Option<RetentionLimits>);

impl FromQuery for PlanQuery {
    fn read(given: &Parameters) -> Result<Self, Problem> {
        let read = |value: &str| match serde_json::from_str::<PlanLimits>(value) {
            Ok(limits) => Ok(limits.into()),
            Err(error) => {
                let expected = format!("JSON such as {{\"max_bytes\": 1000}} ({error})");
                Err(Problem::bad_parameter("limits", value, &expected))
            }
        };
        given.each("limits", read).map(Self)
    }
}
