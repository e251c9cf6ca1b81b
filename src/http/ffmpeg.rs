//! `/frame/…` and `/waveform/…`: pictures of a moment and of sound, made by ffmpeg; and what is answered when it fails.
//!
//! What comes out follows from the segments that go in, whose names hold their hashes, and from what was asked: the tag is made of
//! these, and whoever has it already is told so without any work.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use xxhash_rust::xxh3::Xxh3Default;

use super::app::App;
use super::read_view::{AskedView, ReadView};
use super::request::{FromQuery, Parameters, PathParts, Query, RequestHead};
use super::{ConditionVerdict, ETag, Problem, conditional};
use crate::archive::{Sequence, SequencePiece, Span, Stream, Timestamp};
use crate::play::ffmpeg::{self, FfmpegError, Near};
use crate::report::coverage::curve;

/// The longest stretch of one waveform: all its segments have to be read for it.
const LONGEST: Span = Span::from_us(6 * 3_600_000_000);
/// The largest waveform, either way.
const MOST_PIXELS: u32 = 4_096;
/// What editors of this field show.
const SIZE: (u32, u32) = (1_024, 64);

/// What is answered instead of a picture, for the `OpenAPI` document.
#[derive(utoipa::IntoResponses)]
#[expect(dead_code, reason = "it is only described")]
pub(super) enum PictureRefusals {
    #[response(status = 304, description = "as the tag in If-None-Match says")]
    AsBefore,
    #[response(status = 400, description = "a parameter is wrong")]
    WrongParameter,
    #[response(status = 404, description = "there is no such stream")]
    NoStream,
    #[response(status = 406, description = "nothing is there at that time")]
    Nothing,
    #[response(status = 422, description = "no picture can be made of this stream")]
    NoPicture,
    #[response(status = 501, description = "ffmpeg is not installed")]
    NoFfmpeg,
    #[response(status = 502, description = "ffmpeg failed")]
    FfmpegFailed,
    #[response(status = 503, description = "the disk is not there, or too much is asked at once")]
    Busy,
    #[response(status = 504, description = "ffmpeg took too long")]
    TooSlow,
}

/// Answers `GET /frame/{channel}/{quality}.png`.
#[utoipa::path(
    get, path = "/frame/{channel}/{file}",
    params(
        ("channel" = String, Path), ("file" = String, Path, description = "QUALITY.png"),
        ("timestamp" = String, Query, description = "a time"),
        ("local" = Option<bool>, Query, description = "true: of this node alone, whatever other nodes have")
    ),
    responses(
        (status = 200, content_type = "image/png", description = "the picture that is shown at that time"),
        PictureRefusals
    )
)]
pub(super) async fn frame(
    State(app): State<Arc<App>>,
    AskedView(view): AskedView,
    PicturePath(stream): PicturePath,
    Query(FrameQuery(time)): Query<FrameQuery>,
    RequestHead(request): RequestHead,
) -> Result<Response, Problem> {
    let around = around(&app, &view, &stream, time).await?;
    let etag = tag(&stream, around.iter().flatten(), &format!("frame {}", time.us()));
    reply(&request, &etag, async {
        Ok(ffmpeg::frame(&app.node.ffmpeg, ffmpeg::near(&view.keeper, &stream, &around), time).await?)
    })
    .await
}

/// The channel and quality of `CHANNEL/QUALITY.png`.
pub(super) struct PicturePath(pub(super) Stream);

impl FromRequestParts<Arc<App>> for PicturePath {
    type Rejection = Problem;

    async fn from_request_parts(request: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        PathParts::from_request_parts(request, app).await?.stream_file(".png").map(Self)
    }
}

pub(super) struct FrameQuery(Timestamp);

impl FromQuery for FrameQuery {
    fn read(given: &Parameters) -> Result<Self, Problem> {
        given.needed_time("timestamp").map(Self)
    }
}

/// What a picture of that time is made from; never empty.
pub(super) async fn around(
    app: &Arc<App>,
    view: &Arc<ReadView>,
    stream: &Stream,
    time: Timestamp,
) -> Result<Sequence, Problem> {
    let view = Arc::clone(view);
    let (asked, from, to) = (stream.clone(), time - Near::BACK, time + Near::BESIDE);
    let mut sequence = app.ask(move |_| Ok(view.playback.sequence(&asked, from, to)?)).await?;
    let nearest = sequence.iter().flatten().map(SequencePiece::end).max();
    if nearest.is_none_or(|end| end <= time - Near::BESIDE) {
        return Err(nothing(stream));
    }
    // What comes before a hole is of no use, as long as there is something of the time itself behind it.
    let mut holes = sequence.iter().enumerate().filter(|(_, each)| each.is_none()).map(|(at, _)| at);
    let is_far = |at: &usize| {
        let before = sequence.get(..*at).and_then(|before| before.last()).and_then(Option::as_ref);
        before.is_none_or(|before| before.end() <= time - Near::BESIDE)
    };
    if let Some(at) = holes.rfind(is_far) {
        sequence.drain(..=at);
    }
    Ok(sequence)
}

/// Answers `GET /waveform/{channel}/{quality}.png`.
#[utoipa::path(
    get, path = "/waveform/{channel}/{file}",
    params(
        ("channel" = String, Path), ("file" = String, Path, description = "QUALITY.png"),
        ("start" = String, Query, description = "a time"), ("end" = String, Query, description = "a time, at most 6 hours after start"),
        ("size" = Option<String>, Query, description = "WIDTHxHEIGHT in pixels, each from 1 to 4096; 1024x64 where not given"),
        ("local" = Option<bool>, Query, description = "true: of this node alone, whatever other nodes have")
    ),
    responses(
        (status = 200, content_type = "image/png", description = "how loud the stretch is"),
        PictureRefusals
    )
)]
pub(super) async fn waveform(
    State(app): State<Arc<App>>,
    AskedView(view): AskedView,
    PicturePath(stream): PicturePath,
    Query(WaveformQuery { window, size: (width, height) }): Query<WaveformQuery>,
    RequestHead(request): RequestHead,
) -> Result<Response, Problem> {
    let pieces = pieces(&app, &view, &stream, window).await?;
    let asked = format!("waveform {} {} {width} {height}", window.0.us(), window.1.us());
    let etag = tag(&stream, &pieces, &asked);
    reply(&request, &etag, async {
        let segments = pieces.iter().map(|piece| ffmpeg::segment(&view.keeper, &stream, piece)).collect();
        let columns = usize::try_from(width).unwrap_or_default();
        let means = ffmpeg::waveform(&app.node.ffmpeg, segments, columns).await?;
        app.ask(move |_| curve(&means, height).map_err(|_| Problem::internal("curve-not-drawn"))).await
    })
    .await
}

type TimeWindow = (Timestamp, Timestamp);

pub(super) struct WaveformQuery {
    window: TimeWindow,
    size: (u32, u32),
}

impl FromQuery for WaveformQuery {
    fn read(given: &Parameters) -> Result<Self, Problem> {
        let size = given.each("size", read_size)?.unwrap_or(SIZE);
        let (start, end) = given.needed_stretch()?;
        if end - start > LONGEST {
            let expected = format!("at most {} hours after the start", LONGEST.us() / 3_600_000_000);
            return Err(Problem::bad_parameter("end", &end.to_string(), &expected));
        }
        Ok(Self { window: (start, end), size })
    }
}

fn read_size(value: &str) -> Result<(u32, u32), Problem> {
    let side = |text: &str| text.parse().ok().filter(|side| (1..=MOST_PIXELS).contains(side));
    let sides = value.split_once('x').and_then(|(width, height)| Some((side(width)?, side(height)?)));
    let expected = format!("width and height in pixels, such as 1024x64, each from 1 to {MOST_PIXELS}");
    sides.ok_or_else(|| Problem::bad_parameter("size", value, &expected))
}

/// What is there of a stretch; never empty.
async fn pieces(
    app: &Arc<App>,
    view: &Arc<ReadView>,
    stream: &Stream,
    (start, end): TimeWindow,
) -> Result<Vec<SequencePiece>, Problem> {
    let (asked, view) = (stream.clone(), Arc::clone(view));
    let sequence = app.ask(move |_| Ok(view.playback.sequence(&asked, start, end)?)).await?;
    let pieces: Vec<SequencePiece> = sequence.into_iter().flatten().collect();
    if pieces.is_empty() { Err(nothing(stream)) } else { Ok(pieces) }
}

fn nothing(stream: &Stream) -> Problem {
    Problem::not_acceptable(&format!("Nothing of {stream} is there at that time."), Vec::new())
}

fn path(stream: &Stream, piece: &SequencePiece) -> String {
    format!("{stream}/{}/{}", piece.hour, piece.file.name())
}

/// Of what goes in, and what is asked.
pub(super) fn tag<'p>(stream: &Stream, pieces: impl IntoIterator<Item = &'p SequencePiece>, asked: &str) -> ETag {
    let mut hash = Xxh3Default::new();
    hash.update(asked.as_bytes());
    for piece in pieces {
        hash.update(path(stream, piece).as_bytes());
    }
    ETag::new(&format!("{:032x}", hash.digest128()))
}

pub(super) async fn reply(
    request: &Parts,
    etag: &ETag,
    make: impl Future<Output = Result<Vec<u8>, Problem>>,
) -> Result<Response, Problem> {
    let mut response = match conditional::evaluate(&request.headers, etag, None) {
        ConditionVerdict::Failed => return Err(Problem::precondition_failed()),
        ConditionVerdict::NotModified => StatusCode::NOT_MODIFIED.into_response(),
        ConditionVerdict::Proceed => {
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
