//! `/cut/{channel}/{quality}.ts`: a stretch, or several one after the other, as a file.
//!
//! 1. Holes are 406 and listed, unless they are allowed; nothing at all is 406 in any case.
//! 2. `type=rough` sends the best sequence's bytes as they lie on disk. It may reach beyond both ends by a part of a segment. Pictures whose sound was
//!    recorded apart from them are packed with it, whatever the type, unless an exact one is insisted on.
//! 3. All other types are exact to the picture ([`super::exact_cut`]). Where no type is given the cut is exact, too, unless that cannot be had:
//!    then it is a rough one. [`KIND`] says which it is.

use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts, State};
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::Response;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use xxhash_rust::xxh3::Xxh3Default;

use super::app::App;
use super::coverage::Answering;
use super::cut_body::{CutBody, OpenFile, within};
use super::held_body::HeldBody;
use super::range::wanted;
use super::read_view::{AskedView, ReadView};
use super::request::{Parameters, PathParts, RequestHead, check_order, time};
use super::{ConditionVerdict, ETag, Problem, RequestedRange, conditional};
use crate::archive::{Container, Span, Stream, Timestamp};
use crate::play::ffmpeg::{self, CutFormat, Transition};
use crate::play::playback::{self, CutAsk, CutPlan, PlaybackError};
use crate::play::playlist::cut::CutHoleReason;
use crate::wire::CutHole;

/// Stretches in one cut.
const MOST_RANGES: usize = 100;

/// Holes that are listed in an answer: what is missing beyond them is known to be much.
const MOST_HOLES: usize = 1_000;

/// Answers `GET /cut/{channel}/{quality}.ts`.
#[utoipa::path(
    get, path = "/cut/{channel}/{file}",
    params(
        ("channel" = String, Path), ("file" = String, Path, description = "QUALITY.ts or QUALITY.mp4"),
        ("start" = Option<String>, Query, description = "a time"), ("end" = Option<String>, Query, description = "a time, after start"),
        ("range" = Option<Vec<String>>, Query, description = "START,END; may be repeated, and goes before start and end"),
        ("transition" = Option<Vec<String>>, Query, description = "between a range and the next; for each one, empty for none"),
        ("allow_holes" = Option<bool>, Query, description = "true: what is missing is left out"),
        ("type" = Option<String>, Query, description = "rough, or a container of an exact cut; exact if it can be had where not given"),
        ("local" = Option<bool>, Query, description = "true: of this node alone, whatever other nodes have")
    ),
    responses(
        (status = 200, description = "the file; the header Gapless-Cut says whether it is exact or rough, and Gapless-Cut-Reason why"), (status = 206, description = "the range of bytes that was asked for"),
        (status = 304, description = "as the condition says"), (status = 400, description = "a parameter is wrong"),
        (status = 404, description = "there is no such stream"), (status = 406, description = "something is missing; `holes` lists it"),
        (status = 422, description = "the stream cannot be cut exactly"), (status = 501, description = "ffmpeg is not installed"),
        (status = 502, description = "ffmpeg failed"), (status = 503, description = "the disk is not there, or too much is asked at once"),
        (status = 504, description = "ffmpeg took too long")
    )
)]
pub(super) async fn cut(
    State(app): State<Arc<App>>,
    AskedView(view): AskedView,
    wish: Wish,
    RequestHead(request): RequestHead,
) -> Result<Response, Problem> {
    answer(&app, &view, &request, wish).await
}

/// Says whether a cut is `exact` or `rough`.
const KIND: HeaderName = HeaderName::from_static("gapless-cut");

/// Says why one that could have been exact is rough.
const REASON: HeaderName = HeaderName::from_static("gapless-cut-reason");

/// What is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CutKind {
    Rough,
    Exact(CutFormat),
    /// Exact if that can be had.
    Either(CutFormat),
}

/// What was asked for.
pub(super) struct Wish {
    ask: CutAsk,
    /// What the name that was asked for ends in.
    container: Container,
    kind: CutKind,
    /// Between a stretch and the next, as far as any are named.
    transitions: Vec<Option<Transition>>,
}

async fn answer(app: &Arc<App>, view: &Arc<ReadView>, request: &Parts, wish: Wish) -> Result<Response, Problem> {
    let Wish { ask, container, kind, transitions } = wish;
    let allow_holes = ask.allow_holes;
    let handoffs = app.node.handoffs.as_ref();
    let hold = handoffs.map(|handoffs| handoffs.hold(&ask.stream, &ask.ranges));
    let holding = |response: Response| match hold {
        Some(hold) => response.map(|body| HeldBody::holding(body, hold)),
        None => response,
    };
    let planned = Arc::clone(view);
    let plan = app.ask(move |_| Ok(planned.playback.cut(&ask)?)).await?;
    let has_transitions = transitions.iter().any(Option::is_some);
    if !matches!(kind, CutKind::Exact(_)) && !has_transitions {
        let (pictures, heard_of) = (plan.clone(), Arc::clone(view));
        let heard = app.ask(move |_| Ok(heard_of.playback.sound_of(&pictures, allow_holes)?)).await?;
        if let Some(sound) = heard {
            let mut response = sounding((app, view), request, (plan, sound), container).await?;
            if kind != CutKind::Rough {
                let reason = "its sound lies apart from its pictures, and exact cuts are pictures alone";
                response.headers_mut().insert(REASON, HeaderValue::from_static(reason));
            }
            return Ok(holding(response));
        }
    }
    let mut reason = None;
    let exact = match kind {
        CutKind::Rough => None,
        CutKind::Exact(format) => {
            Some(super::exact_cut::cut((app, view), request, plan.clone(), transitions, format).await?)
        }
        CutKind::Either(format) => {
            match super::exact_cut::cut((app, view), request, plan.clone(), transitions, format).await {
                Err(problem) if !has_transitions && is_not_to_be_had(&problem) && plan.container() == container => {
                    reason = HeaderValue::from_str(problem.detail()).ok();
                    None
                }
                made => Some(made?),
            }
        }
    };
    let name = HeaderValue::from_static(if exact.is_some() { "exact" } else { "rough" });
    let mut response = if let Some(response) = exact {
        response
    } else {
        // A cut of days has hundreds of thousands of files: not on a thread that serves connections.
        let (method, wants) = (request.method.clone(), request.headers.clone());
        if plan.container() != container {
            return Err(other_container(&plan));
        }
        let from = Arc::clone(view);
        app.ask(move |app| rough((app, &from), &method, &wants, &plan)).await?
    };
    response.headers_mut().insert(KIND, name);
    response.headers_mut().extend(reason.map(|reason| (REASON, reason)));
    Ok(holding(response))
}

/// A rough cut of pictures with the sound that was recorded apart from them: both as they lie here, packed into one file.
async fn sounding(
    (app, view): (&Arc<App>, &Arc<ReadView>),
    request: &Parts,
    (pictures, sound): (CutPlan, CutPlan),
    container: Container,
) -> Result<Response, Problem> {
    let name = disposition(&pictures.name(container.extension()));
    let body = if request.method == Method::HEAD {
        Body::empty()
    } else {
        let view = Arc::clone(view);
        let packed = app.ask(move |_| {
            let (playback, keeper) = (&view.playback, &view.keeper);
            let packed = |plan: &CutPlan| Ok::<_, Problem>(ffmpeg::packed(keeper, plan, &playback.left_out(plan)?));
            Ok((packed(&pictures)?, packed(&sound)?))
        });
        let (seen, heard) = packed.await?;
        Body::from_stream(ffmpeg::pack_with_sound(&app.node.ffmpeg, seen, heard, container).await?)
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(container.media_type()));
    headers.insert(CONTENT_DISPOSITION, name);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(KIND, HeaderValue::from_static("rough"));
    Ok(response)
}

/// A rough cut is what its segments are.
fn other_container(plan: &CutPlan) -> Problem {
    let (name, ending) = match plan.container() {
        Container::Ts => ("MPEG-TS", Container::Ts.suffix()),
        Container::Mp4 => ("MP4", Container::Mp4.suffix()),
    };
    Problem::unsuitable(&format!(
        "the segments of that stretch are in {name}, and a rough cut is what they are: ask for /cut/{}{ending} with type=rough",
        plan.stream
    ))
}

/// There is no ffmpeg, or the stream is none that can be cut exactly.
fn is_not_to_be_had(problem: &Problem) -> bool {
    [StatusCode::NOT_IMPLEMENTED, StatusCode::UNPROCESSABLE_ENTITY].contains(&problem.status())
}

impl FromRequestParts<Arc<App>> for Wish {
    type Rejection = Problem;

    async fn from_request_parts(request: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let path = PathParts::from_request_parts(request, app).await?;
        let is_mp4 = request.uri.path().strip_suffix(".mp4").is_some();
        let stream = path.stream_file(if is_mp4 { ".mp4" } else { ".ts" })?;
        Self::read(stream, is_mp4, &Parameters::new(request.uri.query().unwrap_or_default(), app.node.bounds.max_page))
    }
}

impl Wish {
    fn read(stream: Stream, is_mp4: bool, given: &Parameters) -> Result<Self, Problem> {
        let (container, format) =
            if is_mp4 { (Container::Mp4, CutFormat::Mp4) } else { (Container::Ts, CutFormat::Ts) };
        let usual = CutKind::Either(format);
        let kind = given.each("type", |value| read_kind(value, is_mp4))?.unwrap_or(usual);
        let (start, end, allow_holes) = (given.time("start")?, given.time("end")?, given.flag("allow_holes")?);
        let mut ranges = given.all("range").map(range).collect::<Result<Vec<_>, _>>()?;
        let transitions = given.all("transition").map(transition).collect::<Result<Vec<_>, _>>()?;
        if ranges.len() > MOST_RANGES {
            return Err(Problem::too_much("number of ranges", ranges.len() as u64, MOST_RANGES as u64));
        }
        // Ranges go before start and end, as clients of today expect.
        if ranges.is_empty() {
            ranges.push((start, end));
        }
        for range in &ranges {
            if let (Some(from), Some(to)) = range {
                check_order("end", *from, *to)?;
            }
        }
        let ask = CutAsk { stream, ranges, allow_holes };
        if kind != CutKind::Rough {
            check_transitions(&ask, &transitions)?;
        }
        Ok(Self { ask, container, kind, transitions })
    }
}

fn read_kind(value: &str, is_mp4: bool) -> Result<CutKind, Problem> {
    match value {
        "mp4" => Ok(CutKind::Exact(CutFormat::Mp4)),
        "rough" => Ok(CutKind::Rough),
        // Ways to an exact cut that clients of today choose among; here there is one.
        "smart" | "fast" | "mpegts" if !is_mp4 => Ok(CutKind::Exact(CutFormat::Ts)),
        "webm" if !is_mp4 => Ok(CutKind::Exact(CutFormat::Webm)),
        _ => Err(Problem::bad_parameter(
            "type",
            value,
            if is_mp4 { "mp4 or rough" } else { "rough, smart, fast, mpegts, mp4 or webm" },
        )),
    }
}

/// Nothing is a hard cut.
fn transition(value: &str) -> Result<Option<Transition>, Problem> {
    if value.is_empty() {
        return Ok(None);
    }
    let read = Transition::parse(value).map(Some);
    read.map_err(|expected| Problem::bad_parameter("transition", value, &expected.to_string()))
}

/// There is room for them: between two stretches each, and in these.
fn check_transitions(ask: &CutAsk, transitions: &[Option<Transition>]) -> Result<(), Problem> {
    if transitions.len() >= ask.ranges.len() {
        return match transitions.len() {
            0 => Ok(()),
            count => Err(Problem::bad_parameter(
                "transition",
                &format!("{count} of them"),
                &format!("one less than ranges, of which there are {}", ask.ranges.len()),
            )),
        };
    }
    let lasts = |at: Option<usize>| {
        at.and_then(|at| transitions.get(at)).and_then(Option::as_ref).map_or(Span(0), |transition| transition.lasts)
    };
    for (at, range) in ask.ranges.iter().enumerate() {
        let taken = lasts(at.checked_sub(1)) + lasts(Some(at));
        if let (Some(start), Some(end)) = range
            && *end - *start < taken
        {
            let got = format!("{} s in the range from {start} to {end}", taken.seconds());
            return Err(Problem::bad_parameter("transition", &got, "no more than the range has"));
        }
    }
    Ok(())
}

fn range(value: &str) -> Result<(Option<Timestamp>, Option<Timestamp>), Problem> {
    let expected = "two times with a comma between them, such as 2019-11-13T02:55:08,2019-11-13T02:56";
    let (start, end) = value.split_once(',').ok_or_else(|| Problem::bad_parameter("range", value, expected))?;
    Ok((Some(time("range", start)?), Some(time("range", end)?)))
}

/// What is not there, for an answer.
pub(super) fn holes(lacking: &[CutHoleReason]) -> Vec<CutHole> {
    lacking.iter().take(MOST_HOLES).map(hole).collect()
}

fn hole(lack: &CutHoleReason) -> CutHole {
    CutHole {
        start: lack.start,
        end: lack.end,
        seconds: lack.length().seconds(),
        why: lack.because.map_or("missing", |kind| kind.as_str()).to_owned(),
    }
}

/// The files as they are, back to back.
fn rough((app, view): Answering<'_>, method: &Method, wants: &HeaderMap, plan: &CutPlan) -> Result<Response, Problem> {
    let (mut len, mut hash) = (0, Xxh3Default::new());
    let left_out = view.playback.left_out(plan)?;
    let files = || plan.files().zip(&left_out).map(|((path, size), without)| (path, size, *without));
    for (path, size, without) in files() {
        len += size.saturating_sub(without);
        hash.update(path.as_bytes());
    }
    let etag = ETag::new(&format!("{:032x}", hash.digest128()));
    let verdict = conditional::evaluate(wants, &etag, None);
    let range = if method == Method::GET { wanted(wants, len, &etag, None) } else { RequestedRange::Whole };
    let (status, part) = match (verdict, range) {
        (ConditionVerdict::Failed, _) => return Err(Problem::precondition_failed()),
        (ConditionVerdict::NotModified, _) => (StatusCode::NOT_MODIFIED, 0..0),
        (ConditionVerdict::Proceed, RequestedRange::Nothing) => return Err(Problem::range_not_satisfiable(len)),
        (ConditionVerdict::Proceed, RequestedRange::Part(part)) => (StatusCode::PARTIAL_CONTENT, part),
        (ConditionVerdict::Proceed, RequestedRange::Whole) => (StatusCode::OK, 0..len),
    };
    let mut headers = HeaderMap::with_capacity(10);
    headers.insert(ETAG, etag.value().clone());
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if status != StatusCode::NOT_MODIFIED {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(plan.container().media_type()));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(part.end - part.start));
        headers.insert(CONTENT_DISPOSITION, disposition(&plan.name(plan.container().extension())));
    }
    if status == StatusCode::PARTIAL_CONTENT
        && let Ok(value) = HeaderValue::try_from(format!("bytes {}-{}/{len}", part.start, part.end - 1))
    {
        headers.insert(CONTENT_RANGE, value);
    }
    let body = if status == StatusCode::NOT_MODIFIED || method == Method::HEAD {
        Body::empty()
    } else {
        let keeper = Arc::clone(&view.keeper);
        let open: OpenFile =
            Arc::new(move |file| playback::open(&keeper, &file.path, file.len).map_err(io::Error::other));
        let parts = within(files(), &part);
        // What is known to be wrong before the first byte has a status of its own.
        if let Some(first) = parts.first() {
            drop(playback::open(&view.keeper, &first.path, first.len).map_err(PlaybackError::from)?);
        }
        Body::new(CutBody::new(parts, open, app.file_permit()?))
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// To be saved under this name (RFC 6266); the plain form is for clients that know no other.
pub(super) fn disposition(name: &str) -> HeaderValue {
    let plain: String = name.chars().map(|letter| if letter.is_ascii() { letter } else { '_' }).collect();
    let encoded = utf8_percent_encode(name, NON_ALPHANUMERIC);
    HeaderValue::try_from(format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}"))
        .unwrap_or(HeaderValue::from_static("attachment"))
}
