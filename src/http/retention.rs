//! `/api/v1/retention`: what would be deleted now, and what has been. Decides nothing and deletes nothing by itself.

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};

use super::app::App;
use super::{Problem, query};
use crate::archive::retention::RetentionLimits;
use crate::wire::{PlanLimits, RetentionView};

const PATH: &str = "/api/v1/retention";

/// Answers `GET /api/v1/retention`.
#[utoipa::path(
    get, path = "/api/v1/retention",
    params(("limits" = Option<String>, Query, description = "JSON of PlanLimits: plans by these limits instead of the node's own")),
    responses(
        (status = 200, body = RetentionView), (status = 400, description = "the limits are not understood"),
        (status = 503, description = "the disk is not there, or the journal of retired hours cannot be read")
    )
)]
pub async fn view(State(app): State<Arc<App>>, RawQuery(text): RawQuery) -> Response {
    let view = match limits(&text.unwrap_or_default()) {
        Ok(limits) => app.ask(move |app| Ok(app.retention.view(limits.as_ref())?)).await,
        Err(problem) => Err(problem),
    };
    match view {
        Ok(view) => Json::<RetentionView>(view).into_response(),
        Err(problem) => problem.at(PATH).into_response(),
    }
}

fn limits(text: &str) -> Result<Option<RetentionLimits>, Problem> {
    let given = query::pairs(text).filter(|(name, _)| name == "limits").last();
    let read = |(name, value): (String, String)| match serde_json::from_str::<PlanLimits>(&value) {
        Ok(limits) => Ok(limits.into()),
        Err(error) => {
            Err(Problem::bad_parameter(&name, &value, &format!("JSON such as {{\"max_bytes\": 1000}} ({error})")))
        }
    };
    given.map(read).transpose()
}
