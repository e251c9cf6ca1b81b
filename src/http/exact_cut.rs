//! Cuts that are exact to the picture: what is planned for `/cut` goes through ffmpeg at its ends.
//!
//! How long the answer is nobody knows before it is made, so it comes without a length and without ranges. It begins when the
//! first pictures are there: what goes wrong before that has its own status, what goes wrong later breaks the answer off.
//! `HEAD` only looks whether ffmpeg starts and the first segment can be cut exactly.

use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method};
use axum::response::Response;

use super::Problem;
use super::app::App;
use super::cut::disposition;
use super::read_view::ReadView;
use crate::play::ffmpeg::{self, CutFormat, Transition};
use crate::play::playback::CutPlan;

/// Answers with this cut.
pub(super) async fn cut(
    (app, view): (&Arc<App>, &Arc<ReadView>),
    request: &Parts,
    plan: CutPlan,
    transitions: Vec<Option<Transition>>,
    format: CutFormat,
) -> Result<Response, Problem> {
    let name = disposition(&plan.name(format.extension()));
    let view = Arc::clone(view);
    let parts = app.ask(move |_| Ok(ffmpeg::clips(&view.playback, &plan, &transitions))).await?;
    let body = if request.method == Method::HEAD {
        ffmpeg::check(&app.node.ffmpeg, parts).await?;
        Body::empty()
    } else {
        Body::from_stream(ffmpeg::smart(&app.node.ffmpeg, parts, format).await?)
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    headers.insert(CONTENT_DISPOSITION, name);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}
