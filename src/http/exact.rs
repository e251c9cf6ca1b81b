//! Cuts that are exact to the picture: what is planned for `/cut` goes through ffmpeg at its ends.
//!
//! How long the answer is nobody knows before it is made, so it comes without a length and without ranges. It begins when the
//! first pictures are there: what goes wrong before that has its own status, what goes wrong later breaks the answer off.

use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method};
use axum::response::Response;

use super::Problem;
use super::app::App;
use super::cut::disposition;
use super::ffmpeg::segment;
use crate::domain::Piece;
use crate::ffmpeg::{self, Clip, Container};
use crate::playback::{CutClip, CutPlan};

/// Answers with this cut.
pub(super) async fn cut(
    app: &Arc<App>,
    request: &Parts,
    plan: CutPlan,
    format: Container,
) -> Result<Response, Problem> {
    let name = disposition(&plan.name(format.extension()));
    let body = if request.method == Method::HEAD {
        Body::empty()
    } else {
        let clips =
            app.ask(move |app| Ok(plan.clips.iter().map(|clip| with_sound(app, &plan, clip)).collect())).await?;
        Body::from_stream(ffmpeg::smart(&app.ffmpeg, clips, format).await?)
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    headers.insert(CONTENT_DISPOSITION, name);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

/// With the neighbours that may hold sound of it. Without them it is still a cut.
fn with_sound(app: &App, plan: &CutPlan, clip: &CutClip) -> Clip {
    let around = app.playback.sequence(&plan.stream, clip.start - Clip::SOUND, clip.end + Clip::SOUND);
    let around: Vec<Piece> = around.unwrap_or_default().into_iter().flatten().collect();
    let begins = clip.pieces.first().map_or(clip.start, Piece::start);
    let ends = clip.pieces.last().map_or(clip.end, Piece::end);
    let before = around.iter().filter(|piece| piece.end() <= clip.start && piece.start() < begins);
    let after = around.iter().filter(|piece| piece.start() >= clip.end && piece.end() > ends);
    let pieces = before.chain(&clip.pieces).chain(after);
    let segments = pieces.map(|piece| segment(app, &plan.stream, piece)).collect();
    Clip { start: clip.start, end: clip.end, segments }
}
