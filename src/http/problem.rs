//! Errors that tell a person what to do (RFC 9457), in one shape for every endpoint.
//!
//! This builds the answer; it does not decide which error something is. `type` is a relative reference
//! (`/problems/KIND`) that never changes once released, so that programs can match on it. Nothing that came from an
//! operating system or a library goes into a body: those texts belong in the log.

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_RANGE, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::pathname::PathError;

/// What came in is repeated back at most this long: enough to recognise it, too little to amplify anything.
const MAX_ECHO_CHARS: usize = 80;

/// One error, ready to be answered.
#[derive(Debug, Clone, Serialize)]
pub struct Problem {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    /// What is missing, where that is what is wrong.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    holes: Box<[crate::wire::CutHole]>,
    #[serde(skip)]
    header: Option<Box<(HeaderName, HeaderValue)>>,
}

impl Problem {
    fn new(status: StatusCode, kind: &str, title: &'static str, detail: String) -> Self {
        Self {
            kind: format!("/problems/{kind}"),
            title,
            status: status.as_u16(),
            detail,
            instance: None,
            holes: Box::default(),
            header: None,
        }
    }

    /// 400: parameter `name` says `got`, which is not `expected` ("a time such as 2026-11-20T18:00:00").
    pub fn bad_parameter(name: &str, got: &str, expected: &str) -> Self {
        let detail = format!("The parameter {} is {:?}; expected is {expected}.", echo(name), echo(got));
        Self::new(StatusCode::BAD_REQUEST, "bad-parameter", "Bad parameter", detail)
    }

    /// 400: a parameter that the address does not know; `meant` may be the one that was meant, of those that are `known`.
    pub fn unknown_parameter(name: &str, meant: Option<&str>, known: &[&str]) -> Self {
        let meant = meant.map_or_else(|| ".".to_owned(), |meant| format!("; did you mean {meant}?"));
        let there_are = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let detail = format!("There is no parameter {:?} here{meant} This address takes {there_are}.", echo(name));
        Self::new(StatusCode::BAD_REQUEST, "unknown-parameter", "Unknown parameter", detail)
    }

    /// 404: there is no `what` ("segment of that name").
    pub fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "Not found", format!("There is no {}.", echo(what)))
    }

    /// 404: no question about the channel is open.
    pub fn nothing_to_confirm(channel: &str) -> Self {
        let detail = format!("Nothing to confirm for channel {:?}.", echo(channel));
        Self::new(StatusCode::NOT_FOUND, "not-found", "Not found", detail)
    }

    /// 403: a part of the path begins with a dot.
    pub fn hidden_path() -> Self {
        let detail = "Names that begin with a dot are never served.".to_owned();
        Self::new(StatusCode::FORBIDDEN, "hidden-path", "Hidden path", detail)
    }

    /// 401: no token came, or (`given`) one that is not known.
    pub fn unauthorized(given: bool) -> Self {
        let (detail, header) = if given {
            ("The token is not one of those that are known here.", r#"Bearer realm="gapless", error="invalid_token""#)
        } else {
            ("A token is required: send the header Authorization: Bearer TOKEN.", r#"Bearer realm="gapless""#)
        };
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "Token required", detail.to_owned())
            .with(WWW_AUTHENTICATE, HeaderValue::from_static(header))
    }

    /// 403: the token is one for reading.
    pub fn may_only_read() -> Self {
        let detail = "This changes something or reads the whole archive, and the token is one for reading; send one for writing.".to_owned();
        Self::new(StatusCode::FORBIDDEN, "may-only-read", "Token for reading only", detail)
    }

    /// 413: a body of more than `limit` bytes.
    pub fn body_too_large(limit: usize) -> Self {
        let detail = format!("The body has more than {limit} bytes. Ask in several requests.");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "Body too large", detail)
    }

    /// 400: the body is not `expected`, because of `why`.
    pub fn bad_body(why: &str, expected: &str) -> Self {
        let detail = format!("The body cannot be understood: {}; expected is {expected}.", echo(why));
        Self::new(StatusCode::BAD_REQUEST, "bad-body", "Bad body", detail)
    }

    /// 400: nothing can be said about whom the request is for, because of `why`.
    pub(super) fn bad_host(why: super::host::BadHost) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-host", "Bad Host", sentence(&capital(&why.to_string())))
    }

    /// 421: over the loopback, a name that may be somebody else's.
    pub fn misdirected(host: &str) -> Self {
        let detail = format!(
            "Over the loopback this node does not answer to the name {:?}, which may be a foreign page's. If it is the node's, \
             set [http] hosts = [\"NAME\"] in its configuration.",
            echo(host)
        );
        Self::new(StatusCode::MISDIRECTED_REQUEST, "misdirected", "Not this node's name", detail)
    }

    /// 410: the segment was deleted on purpose, here and on every peer.
    pub fn gone() -> Self {
        let detail = "This segment has been deleted on purpose (tombstoned) and will not come back.".to_owned();
        Self::new(StatusCode::GONE, "tombstoned", "Deleted", detail)
    }

    /// 503: `why` it cannot be answered now, and when to ask again.
    pub fn unavailable(retry_after_s: u32, why: &str) -> Self {
        let detail = format!("{} Ask again in {retry_after_s} s.", sentence(why));
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Unavailable for now", detail)
            .with(RETRY_AFTER, HeaderValue::from(retry_after_s))
    }

    /// 400: `what` was asked for is `got`, and `limit` is as much as one request may ask.
    pub fn too_much(what: &str, got: u64, limit: u64) -> Self {
        let detail =
            format!("The {what} asked for is {got}; one request may ask for {limit}. Ask in several requests.");
        Self::new(StatusCode::BAD_REQUEST, "too-much", "Too much for one request", detail)
    }

    /// 502: another node, which this one asked, gave no good answer, because of `why`.
    pub fn bad_gateway(why: &str) -> Self {
        Self::new(StatusCode::BAD_GATEWAY, "peer", "Peer cannot say", sentence(why))
    }

    /// 501: a program that this needs is not there.
    pub fn not_installed(why: &str) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, "not-installed", "Not installed", sentence(why))
    }

    /// 502: a program that this needs failed.
    pub fn program_failed(why: &str) -> Self {
        Self::new(StatusCode::BAD_GATEWAY, "program-failed", "Program failed", sentence(why))
    }

    /// 504: a program that this needs took too long.
    pub fn program_too_slow(why: &str) -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT, "program-too-slow", "Program took too long", sentence(why))
    }

    /// 422: what was asked for cannot be made of this stream.
    pub fn unsuitable(why: &str) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "unsuitable", "Not to be had from this stream", sentence(why))
    }

    /// 409: what is asked for contradicts what is there, as `why` says.
    pub fn conflict(why: &str) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", "Not while that holds", sentence(why))
    }

    /// 400: an address to record from is none, as `why` says without its secrets.
    pub fn bad_source(why: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-source", "Not an address to record from", sentence(why))
    }

    /// 502: a source to record from gave no good answer, because of `why`.
    pub fn source_failed(why: &str) -> Self {
        Self::new(StatusCode::BAD_GATEWAY, "source-failed", "The source cannot be asked", sentence(why))
    }

    /// 507: the disk is full.
    pub fn insufficient_storage() -> Self {
        let detail = "The disk is full, so nothing was written. Free some space and try again.".to_owned();
        Self::new(StatusCode::INSUFFICIENT_STORAGE, "insufficient-storage", "Disk full", detail)
    }

    /// 405: only the methods in `allow` ("GET, HEAD, OPTIONS") work here.
    pub fn method_not_allowed(allow: &str) -> Self {
        let detail = format!("This address answers {allow} only.");
        let problem = Self::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed", detail);
        match HeaderValue::try_from(allow) {
            Ok(value) => problem.with(ALLOW, value),
            Err(_) => problem,
        }
    }

    /// 412: `If-Match` or `If-Unmodified-Since` does not hold any more.
    pub fn precondition_failed() -> Self {
        let detail = "What is stored is not what the condition in the request names. Fetch it again.".to_owned();
        Self::new(StatusCode::PRECONDITION_FAILED, "precondition-failed", "Precondition failed", detail)
    }

    /// 406: `what` of a stretch is not there, and was not allowed to be missing.
    pub fn not_acceptable(detail: &str, holes: Vec<crate::wire::CutHole>) -> Self {
        let problem = Self::new(StatusCode::NOT_ACCEPTABLE, "holes", "Not complete", detail.to_owned());
        Self { holes: holes.into(), ..problem }
    }

    /// 416: the file has `len` bytes and the range begins behind them.
    pub fn range_not_satisfiable(len: u64) -> Self {
        let detail = format!("The range lies outside the file, which has {len} bytes.");
        let problem =
            Self::new(StatusCode::RANGE_NOT_SATISFIABLE, "range-not-satisfiable", "Range outside the file", detail);
        match HeaderValue::try_from(format!("bytes */{len}")) {
            Ok(value) => problem.with(CONTENT_RANGE, value),
            Err(_) => problem,
        }
    }

    /// 500: our fault. `correlation` is what the log has next to the cause; the cause itself is not told.
    pub fn internal(correlation: &str) -> Self {
        let detail = format!("Something went wrong here; the log has the cause under {}.", echo(correlation));
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error", detail)
    }

    /// The same, naming the `path` that was asked for. Handlers need not: `name_path` does it for them.
    #[must_use]
    pub fn at(mut self, path: &str) -> Self {
        self.instance = Some(path.chars().take(MAX_ECHO_CHARS).collect());
        self
    }

    /// The status it will be answered with.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn body(&self) -> Body {
        serde_json::to_vec(self).unwrap_or_default().into()
    }

    /// Why, in a sentence or two.
    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.header = Some(Box::new((name, value)));
        self
    }
}

impl From<PathError> for Problem {
    fn from(error: PathError) -> Self {
        match error {
            PathError::Hidden => Self::hidden_path(),
            PathError::NotFound => Self::not_found("file of that name"),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status(), self.body()).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        // 404 and 410 may be kept by caches unless told otherwise; a segment may well arrive a second later.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some((name, value)) = self.header.as_deref() {
            headers.insert(name, value.clone());
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// Middleware around every handler: a problem names the path that was asked for.
pub(super) async fn name_path(request: Request, next: Next) -> Response {
    let asked = request.uri().clone();
    let mut response = next.run(request).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        *response.body_mut() = problem.at(asked.path()).body();
    }
    response
}

/// The beginning of what came in.
fn echo(text: &str) -> String {
    let mut chars = text.chars();
    let mut short: String = chars.by_ref().take(MAX_ECHO_CHARS).collect();
    if chars.next().is_some() {
        short.push('…');
    }
    short
}

/// A sentence begins with a capital letter.
pub(super) fn capital(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// `why` with a full stop at its end.
fn sentence(why: &str) -> String {
    let trimmed = why.trim_end();
    if trimmed.ends_with('.') { trimmed.to_owned() } else { format!("{trimmed}.") }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn body(problem: Problem) -> serde_json::Value {
        let bytes = axum::body::to_bytes(problem.into_response().into_body(), 4096).await.unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    #[tokio::test]
    async fn a_problem_has_its_five_fields() {
        let json =
            body(Problem::bad_parameter("start", "yesterday", "a time such as 2026-11-20T18:00:00").at("/cut/a")).await;
        assert_eq!(json["type"], "/problems/bad-parameter");
        assert_eq!(json["status"], 400);
        assert_eq!(json["instance"], "/cut/a");
        assert_eq!(
            json["detail"],
            "The parameter start is \"yesterday\"; expected is a time such as 2026-11-20T18:00:00."
        );
        assert!(json["title"].is_string());
    }

    #[test]
    fn headers_that_belong_to_a_status_are_there() {
        let header = |problem: Problem, name| problem.into_response().headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header(Problem::unavailable(5, "The disk is not there"), RETRY_AFTER), "5");
        assert_eq!(header(Problem::method_not_allowed("GET, HEAD"), ALLOW), "GET, HEAD");
        assert_eq!(header(Problem::unauthorized(false), WWW_AUTHENTICATE), "Bearer realm=\"gapless\"");
        assert_eq!(header(Problem::range_not_satisfiable(7), CONTENT_RANGE), "bytes */7");
        assert_eq!(header(Problem::gone(), CONTENT_TYPE), "application/problem+json");
    }

    #[tokio::test]
    async fn what_came_in_is_repeated_briefly_and_escaped() {
        let json = body(Problem::bad_parameter("x", &"\u{1b}".repeat(9999), "a number")).await;
        let detail = json["detail"].as_str().unwrap();
        assert!(detail.len() < 900 && !detail.contains('\u{1b}'));
    }

    #[test]
    fn paths_map_to_their_statuses() {
        assert_eq!(Problem::from(PathError::Hidden).status(), StatusCode::FORBIDDEN);
        assert_eq!(Problem::from(PathError::NotFound).status(), StatusCode::NOT_FOUND);
    }
}
