//! `/api/v1/layout/pins`: another node asks this one, as an owner, whether it has hours durably, and to promise that they stay for an hour.
//!
//! Whoever may read may ask: a promise deletes nothing and shows nothing that is not listed anyway. All that it does is to hold back limits
//! of retention, for an hour at most, as an hour that waits to be deleted is not promised anew. A token for writing would let each peer
//! delete, for a question that needs less.

use std::sync::Arc;

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::State;

use super::Problem;
use super::app::{Answer, App};
use crate::lifecycle::handoffs::{HandoffError, QUESTION_BYTES};
use crate::wire::{PinQuestion, PinReply};

const EXAMPLE: &str =
    "{\"node\": \"a1\", \"run\": 1, \"number\": 1, \"layout\": {\"version\": 7, \"hash\": \"...\"}, \"hours\": []}";

/// Answers `POST /api/v1/layout/pins`.
#[utoipa::path(
    post, path = "/api/v1/layout/pins", request_body = PinQuestion,
    responses(
        (status = 200, body = PinReply), (status = 400, description = "invalid body, or more than 64 hours"),
        (status = 409, description = "the layout here cannot be read, or no promise can be kept"), (status = 413, description = "the body is too large"),
        (status = 503, description = "the disk is not there, the index is catching up, or too much is asked at once")
    )
)]
pub(super) async fn pins(State(app): State<Arc<App>>, body: Body) -> Answer<PinReply> {
    let body = to_bytes(body, QUESTION_BYTES).await.map_err(|_| Problem::body_too_large(QUESTION_BYTES))?;
    let question: PinQuestion =
        serde_json::from_slice(&body).map_err(|error| Problem::bad_body(&error.to_string(), EXAMPLE))?;
    let answered = app.ask(move |app| {
        let handoffs = app.node.handoffs.as_ref();
        let handoffs = handoffs.ok_or_else(|| Problem::unavailable(5, "only a daemon keeps promises"))?;
        Ok(handoffs.answer(&question)?)
    });
    answered.await.map(Json)
}

impl From<HandoffError> for Problem {
    fn from(error: HandoffError) -> Self {
        match error {
            HandoffError::Crawl(error) => error.into(),
            HandoffError::Disk(error) => error.into(),
            HandoffError::NotReady => Self::unavailable(5, &error.to_string()),
            HandoffError::TooMuch(_) | HandoffError::Unread(..) => Self::bad_body(&error.to_string(), EXAMPLE),
            other => Self::conflict(&other.to_string()),
        }
    }
}
