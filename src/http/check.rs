//! `/api/v1/check`: compares the index with the tree while the node runs; what `gapless rebuild --check` asks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Request};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use tokio::sync::mpsc;

use super::Problem;
use super::app::App;
use crate::check::{CheckError, all_places, check_hour, check_sums};
use crate::domain::HourPlace;
use crate::wire::{CheckLine, Difference};

/// A difference that is still there after this time is one; before, an event may be on its way to the index.
const SETTLES: [Duration; 4] =
    [Duration::from_millis(50), Duration::from_millis(150), Duration::from_millis(300), Duration::from_millis(600)];

/// Answers `GET /api/v1/check`: a line of JSON for each difference, and a last one that says that it is complete.
///
/// It reads the whole archive, so it may be asked only from the machine the node runs on.
#[utoipa::path(
    get, path = "/api/v1/check",
    responses(
        (status = 200, body = CheckLine, content_type = "application/x-ndjson"), (status = 403, description = "asked from another machine"),
        (status = 503, description = "another check is running")
    )
)]
pub async fn check(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    if !is_from_here(&request) {
        return Problem::only_from_here().at(request.uri().path()).into_response();
    }
    let Ok(turn) = Arc::clone(&app.check).try_acquire_owned() else {
        return Problem::unavailable(10, "another check is running").at(request.uri().path()).into_response();
    };
    let (lines, body) = mpsc::channel::<Result<Bytes, std::convert::Infallible>>(64);
    tokio::task::spawn_blocking(move || {
        let send = |line: &CheckLine| {
            let mut text = serde_json::to_vec(line).unwrap_or_default();
            text.push(b'\n');
            lines.blocking_send(Ok(text.into())).is_ok()
        };
        let last = match run(&app, &send, &|| !lines.is_closed()) {
            Ok(Some((hours, files))) => CheckLine::Done { hours, files },
            Ok(None) => return,
            Err(error) => CheckLine::Failed { why: error.to_string() },
        };
        send(&last);
        drop(turn);
    });
    let stream =
        futures_util::stream::unfold(body, |mut body| async move { body.recv().await.map(|line| (line, body)) });
    ([(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"))], Body::from_stream(stream)).into_response()
}

fn is_from_here(request: &Request<Body>) -> bool {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    peer.is_some_and(|peer| peer.0.ip().to_canonical().is_loopback())
}

/// `None` if nobody listens any more, or the node ends.
fn run(
    app: &App,
    send: &dyn Fn(&CheckLine) -> bool,
    is_wanted: &dyn Fn() -> bool,
) -> Result<Option<(u64, u64)>, CheckError> {
    let index = app.keeper.index();
    let base = match app.keeper.guard().base() {
        Ok(base) => base,
        Err(away) => {
            send(&CheckLine::Failed { why: format!("the archive is not there: {}", away.reason) });
            return Ok(None);
        }
    };
    let (mut hours, mut files) = (0, 0);
    for place in all_places(&base, index)? {
        if app.ending().is_cancelled() || !is_wanted() {
            send(&CheckLine::Failed { why: "the node is ending".to_owned() });
            return Ok(None);
        }
        let (found, count) = settled(|| check_hour(&base, index, &place), &place)?;
        (hours, files) = (hours + 1, files + count);
        if !found.into_iter().all(|difference| send(&CheckLine::Difference(difference))) {
            return Ok(None);
        }
    }
    let whole = check_sums(index)?.into_iter().all(|difference| send(&CheckLine::Difference(difference)));
    Ok(whole.then_some((hours, files)))
}

fn settled(
    look: impl Fn() -> Result<(Vec<Difference>, u64), CheckError>,
    place: &HourPlace,
) -> Result<(Vec<Difference>, u64), CheckError> {
    let mut found = look();
    for wait in SETTLES {
        if matches!(&found, Ok((differences, _)) if differences.is_empty()) {
            break;
        }
        std::thread::sleep(wait);
        found = look();
    }
    match found {
        Err(CheckError::Disk(error)) => {
            let difference =
                Difference { kind: "unreadable".to_owned(), path: place.to_string(), detail: error.to_string() };
            Ok((vec![difference], 0))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_this_machine_may_ask() {
        for (peer, here) in [
            ("127.0.0.1:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.2]:1", true),
            ("192.168.0.1:1", false),
            ("[::ffff:10.0.0.1]:1", false),
        ] {
            let mut request = Request::new(Body::empty());
            request.extensions_mut().insert(ConnectInfo::<SocketAddr>(peer.parse().unwrap()));
            assert_eq!(is_from_here(&request), here, "{peer}");
        }
        // Nobody knows where this one comes from.
        let (status, problem) = super::super::test_node::TestNode::new().refused("/api/v1/check").await;
        assert_eq!((status, &problem["type"]), (403, &"/problems/only-from-here".into()));
    }
}
