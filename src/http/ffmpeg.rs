//! `/frame/…` and `/waveform/…`: pictures of a moment and of sound, made by ffmpeg; and what is answered when it fails.
//!
//! What comes out follows from the segments that go in, whose names hold their hashes, and from what was asked: the tag is made of
//! these, and whoever has it already is told so without any work.

use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use xxhash_rust::xxh3::Xxh3Default;

use super::app::App;
use super::playlist::{check_order, stream_of};
use super::{ETag, Problem, Verdict, conditional, query};
use crate::coverage::curve;
use crate::domain::{Piece, Span, Stream, Timestamp};
use crate::ffmpeg::{self, CutSegment, FfmpegError};
use crate::playback;

/// The longest stretch of one waveform: all its segments have to be read for it.
const LONGEST: Span = Span::from_us(6 * 3_600_000_000);
/// The largest waveform, either way.
const MOST_PIXELS: u32 = 4_096;
/// What editors of this field show.
const SIZE: (u32, u32) = (1_024, 64);

const A_TIME: &str = "an ISO 8601 time in UTC, such as 2019-11-13T02:55:08";

/// Answers `GET /frame/{channel}/{quality}.png`.
pub async fn frame(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    let (request, _no_body) = request.into_parts();
    answer_frame(&app, &request).await.unwrap_or_else(|problem| problem.at(request.uri.path()).into_response())
}

async fn answer_frame(app: &Arc<App>, request: &Parts) -> Result<Response, Problem> {
    let stream = stream_of(request.uri.path(), "/frame", ".png")?;
    let mut time = None;
    for (name, value) in query::pairs(request.uri.query().unwrap_or_default()) {
        if name == "timestamp" {
            time = Some(query::time("timestamp", &value)?);
        }
    }
    let time = time.ok_or_else(|| Problem::bad_parameter("timestamp", "", A_TIME))?;
    let pieces = pieces(app, &stream, (time, time + Span::from_us(1))).await?;
    let etag = tag(&stream, &pieces, &format!("frame {}", time.us()));
    let shown = pieces.first().cloned();
    reply(request, &etag, async {
        let piece = shown.ok_or_else(|| nothing(&stream))?;
        Ok(ffmpeg::frame(&app.ffmpeg, segment(app, &stream, &piece), time).await?)
    })
    .await
}

/// Answers `GET /waveform/{channel}/{quality}.png`.
pub async fn waveform(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    let (request, _no_body) = request.into_parts();
    answer_waveform(&app, &request).await.unwrap_or_else(|problem| problem.at(request.uri.path()).into_response())
}

async fn answer_waveform(app: &Arc<App>, request: &Parts) -> Result<Response, Problem> {
    let stream = stream_of(request.uri.path(), "/waveform", ".png")?;
    let (window, (width, height)) = read_waveform(request.uri.query().unwrap_or_default())?;
    let pieces = pieces(app, &stream, window).await?;
    let asked = format!("waveform {} {} {width} {height}", window.0.us(), window.1.us());
    let etag = tag(&stream, &pieces, &asked);
    reply(request, &etag, async {
        let segments = pieces.iter().map(|piece| segment(app, &stream, piece)).collect();
        let columns = usize::try_from(width).unwrap_or_default();
        let peaks = ffmpeg::waveform(&app.ffmpeg, segments, window, columns).await?;
        let peaks: Vec<Option<(i16, i16)>> = peaks.iter().map(|peak| peak.map(|peak| (peak.low, peak.high))).collect();
        app.ask_light(move |_| curve(&peaks, height).map_err(|_| Problem::internal("curve-not-drawn"))).await
    })
    .await
}

type Window = (Timestamp, Timestamp);

fn read_waveform(text: &str) -> Result<(Window, (u32, u32)), Problem> {
    let (mut start, mut end, mut size) = (None, None, SIZE);
    for (name, value) in query::pairs(text) {
        match name.as_str() {
            "start" => start = Some(query::time("start", &value)?),
            "end" => end = Some(query::time("end", &value)?),
            "size" => size = read_size(&value)?,
            _ => {}
        }
    }
    let start = start.ok_or_else(|| Problem::bad_parameter("start", "", A_TIME))?;
    let end = end.ok_or_else(|| Problem::bad_parameter("end", "", A_TIME))?;
    check_order("end", start, end)?;
    if end - start > LONGEST {
        let hours = LONGEST.us() / 3_600_000_000;
        return Err(Problem::bad_parameter("end", &end.to_string(), &format!("at most {hours} hours after the start")));
    }
    Ok(((start, end), size))
}

fn read_size(value: &str) -> Result<(u32, u32), Problem> {
    let side = |text: &str| text.parse().ok().filter(|side| (1..=MOST_PIXELS).contains(side));
    let sides = value.split_once('x').and_then(|(width, height)| Some((side(width)?, side(height)?)));
    let expected = format!("width and height in pixels, such as 1024x64, each from 1 to {MOST_PIXELS}");
    sides.ok_or_else(|| Problem::bad_parameter("size", value, &expected))
}

/// What is there of a stretch; never empty.
async fn pieces(app: &Arc<App>, stream: &Stream, (start, end): Window) -> Result<Vec<Piece>, Problem> {
    let asked = stream.clone();
    let sequence = app.ask(move |app| Ok(app.playback.sequence(&asked, start, end)?)).await?;
    let pieces: Vec<Piece> = sequence.into_iter().flatten().collect();
    if pieces.is_empty() { Err(nothing(stream)) } else { Ok(pieces) }
}

fn nothing(stream: &Stream) -> Problem {
    Problem::not_acceptable(&format!("Nothing of {stream} is there at that time."), Vec::new())
}

/// A segment as ffmpeg gets it: opened when its turn has come, if it still is what it was.
pub(super) fn segment(app: &App, stream: &Stream, piece: &Piece) -> CutSegment {
    let (keeper, len) = (Arc::clone(&app.keeper), piece.file.size);
    let path = path(stream, piece);
    let (start, duration) = (piece.start(), piece.end() - piece.start());
    CutSegment {
        start,
        duration,
        open: Box::new(move || playback::open(&keeper, &path, len).map_err(io::Error::other)),
    }
}

fn path(stream: &Stream, piece: &Piece) -> String {
    format!("{stream}/{}/{}", piece.hour, piece.file.name())
}

/// Of what goes in, and what is asked.
fn tag(stream: &Stream, pieces: &[Piece], asked: &str) -> ETag {
    let mut hash = Xxh3Default::new();
    hash.update(asked.as_bytes());
    for piece in pieces {
        hash.update(path(stream, piece).as_bytes());
    }
    ETag::new(&format!("{:032x}", hash.digest128()))
}

async fn reply(
    request: &Parts,
    etag: &ETag,
    make: impl Future<Output = Result<Vec<u8>, Problem>>,
) -> Result<Response, Problem> {
    let mut response = match conditional::evaluate(&request.headers, etag, None) {
        Verdict::Failed => return Err(Problem::precondition_failed()),
        Verdict::NotModified => StatusCode::NOT_MODIFIED.into_response(),
        Verdict::Proceed => {
            let mut response = Response::new(Body::from(make.await?));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("image/png"));
            response
        }
    };
    let headers = response.headers_mut();
    headers.insert(ETAG, etag.value().clone());
    // What is there at that time may change, and is asked for again by its tag.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

impl From<FfmpegError> for Problem {
    fn from(error: FfmpegError) -> Self {
        let text = error.to_string();
        match error {
            FfmpegError::NotInstalled { .. } => Self::not_installed(&text),
            FfmpegError::Busy | FfmpegError::Ending | FfmpegError::Gone => Self::unavailable(5, &text),
            FfmpegError::Unreadable(_) => Self::unavailable(1, &text),
            FfmpegError::TooSlow(_) => Self::program_too_slow(&text),
            FfmpegError::TooLarge(_) | FfmpegError::Failed { .. } | FfmpegError::Useless(_) => {
                Self::program_failed(&text)
            }
            FfmpegError::Unsuitable(_) => Self::unsuitable(&text),
            FfmpegError::Nothing(_) => Self::not_acceptable(&text, Vec::new()),
        }
    }
}
