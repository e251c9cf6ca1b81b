//! `/api/v1/retention`: what would be deleted now, and what has been. Decides nothing and deletes nothing by itself.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::app::App;
use crate::wire::RetentionView;

const PATH: &str = "/api/v1/retention";

/// Answers `GET /api/v1/retention`.
#[utoipa::path(
    get, path = "/api/v1/retention",
    responses((status = 200, body = RetentionView), (status = 503, description = "the disk is not there, or the journal of retired hours cannot be read"))
)]
pub async fn view(State(app): State<Arc<App>>) -> Response {
    match app.ask(|app| Ok(app.retention.view()?)).await {
        Ok(view) => Json(view).into_response(),
        Err(problem) => problem.at(PATH).into_response(),
    }
}
