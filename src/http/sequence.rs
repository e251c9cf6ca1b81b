//! `/api/v1/sequence`: the best sequence of a stretch as it is, for whoever makes something of it.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::Problem;
use super::app::App;
use super::read_view::{AskedView, ReadView};
use super::request::{FromQuery, Parameters, Query, StreamPath, check_order};
use crate::archive::{Container, Edges, Hash, Sequence, SequencePiece, Stream, Timestamp};
use crate::play::playback::CutClip;
use crate::wire::{SequenceInit, SequenceList, SequenceSegment};

/// Answers `GET /api/v1/sequence/{channel}/{quality}`.
#[utoipa::path(
    get, path = "/api/v1/sequence/{channel}/{quality}",
    params(
        ("channel" = String, Path), ("quality" = String, Path),
        ("start" = Option<String>, Query, description = "a time; the first segment if it is not given"),
        ("end" = Option<String>, Query, description = "a time, after start; the furthest end if it is not given"),
        ("local" = Option<bool>, Query, description = "true: of this node alone, whatever other nodes have")
    ),
    responses(
        (status = 200, body = SequenceList), (status = 400, description = "a parameter is wrong"),
        (status = 404, description = "no such stream"),
        (status = 503, description = "the disk is not there, or too much is asked at once")
    )
)]
pub(super) async fn sequence(
    State(app): State<Arc<App>>,
    AskedView(view): AskedView,
    StreamPath(stream): StreamPath,
    Query(SequenceQuery(start, end)): Query<SequenceQuery>,
) -> Result<Response, Problem> {
    // Days of it are megabytes of text: not on a thread that serves connections.
    app.ask(move |_| {
        let found = work(&view, &stream, start, end)?;
        let known = edges(&view, &stream, &found)?;
        Ok(written(&found, &known))
    })
    .await
}

pub(super) struct SequenceQuery(Option<Timestamp>, Option<Timestamp>);

impl FromQuery for SequenceQuery {
    fn read(given: &Parameters) -> Result<Self, Problem> {
        Ok(Self(given.time("start")?, given.time("end")?))
    }
}

fn written(found: &Sequence, known: &HashMap<Hash, Edges>) -> Response {
    let segment = |piece: &SequencePiece| {
        let init = known.get(&piece.file.key.hash).and_then(|edges| edges.init);
        SequenceSegment { init: init.map(SequenceInit::from), ..SequenceSegment::from(piece) }
    };
    let sequence = found.iter().map(|piece| piece.as_ref().map(segment)).collect();
    Json(SequenceList { sequence }).into_response()
}

/// What is known of segments, where some are in MP4: other nodes lead players to these, and have to tell them where the media begin.
fn edges(view: &ReadView, stream: &Stream, found: &Sequence) -> Result<HashMap<Hash, Edges>, Problem> {
    let pieces = || found.iter().flatten();
    let ends = pieces().next().zip(pieces().map(SequencePiece::end).max());
    let (Some((first, end)), true) = (ends, pieces().any(|piece| piece.file.key.container == Container::Mp4)) else {
        return Ok(HashMap::new());
    };
    let clip = CutClip { start: first.start(), end, pieces: Vec::new() };
    Ok(view.playback.edges(stream, &clip)?)
}

fn work(
    view: &ReadView,
    stream: &Stream,
    start: Option<Timestamp>,
    end: Option<Timestamp>,
) -> Result<Sequence, Problem> {
    let extent = if start.is_some() && end.is_some() { None } else { view.playback.extent(stream)? };
    let (start, end) = (start.or(extent.map(|all| all.0)), end.or(extent.map(|all| all.1)));
    let (Some(start), Some(end)) = (start, end) else { return Ok(Vec::new()) };
    check_order("end", start, end)?;
    Ok(view.playback.sequence(stream, start, end)?)
}
