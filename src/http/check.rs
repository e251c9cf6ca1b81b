//! `/api/v1/check`: compares the index with the tree while the node runs; what `gapless rebuild --check` asks.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use tokio::sync::mpsc;

use super::Problem;
use super::app::App;
use super::auth::Permission;
use super::request::RequestHead;
use crate::archive::HourPlace;
use crate::sync::check::{CheckError, all_places, check_hour, check_sums};
use crate::wire::{CheckLine, IndexDifference};

/// A difference that is still there after this time is one; before, an event may be on its way to the index.
const SETTLES: [Duration; 4] =
    [Duration::from_millis(50), Duration::from_millis(150), Duration::from_millis(300), Duration::from_millis(600)];

/// Answers `GET /api/v1/check`: a line of JSON for each difference, and a last one that says that it is complete.
///
/// It reads the whole archive, so it wants a token for writing, such as the daemon's own, which the commands on its machine show. Where a
/// connection comes from proves nothing, because a proxy on the same machine passes strangers on.
#[utoipa::path(
    get, path = "/api/v1/check", security(("bearer" = [])),
    responses(
        (status = 200, body = CheckLine, content_type = "application/x-ndjson"), (status = 401, description = "unknown token"),
        (status = 403, description = "the token is one for reading"),
        (status = 503, description = "another check is running")
    )
)]
pub(super) async fn check(State(app): State<Arc<App>>, RequestHead(request): RequestHead) -> Result<Response, Problem> {
    match app.node.auth.right(&request.headers, request.extensions.get()).await {
        Permission::Write => {}
        Permission::Read => return Err(Problem::may_only_read()),
        Permission::None => return Err(Problem::unauthorized(request.headers.contains_key(AUTHORIZATION))),
    }
    let turn = Arc::clone(&app.check).try_acquire_owned();
    let turn = turn.map_err(|_| Problem::unavailable(10, "another check is running"))?;
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
    Ok(([(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"))], Body::from_stream(stream)).into_response())
}

/// `None` if nobody listens any more, or the node ends.
fn run(
    app: &App,
    send: &dyn Fn(&CheckLine) -> bool,
    is_wanted: &dyn Fn() -> bool,
) -> Result<Option<(u64, u64)>, CheckError> {
    let index = app.node.keeper.index();
    let base = match app.node.keeper.guard().base() {
        Ok(base) => base,
        Err(away) => {
            send(&CheckLine::Failed { why: format!("the archive is not there: {}", away.reason) });
            return Ok(None);
        }
    };
    let (mut hours, mut files) = (0, 0);
    for place in all_places(&base, index)? {
        if !is_wanted() {
            return Ok(None);
        }
        if app.ending().is_cancelled() {
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
    look: impl Fn() -> Result<(Vec<IndexDifference>, u64), CheckError>,
    place: &HourPlace,
) -> Result<(Vec<IndexDifference>, u64), CheckError> {
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
                IndexDifference { kind: "unreadable".to_owned(), path: place.to_string(), detail: error.to_string() };
            Ok((vec![difference], 0))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_node::TestNode;

    #[tokio::test]
    async fn only_a_token_opens_it_wherever_a_connection_comes_from() {
        let node = TestNode::new();
        // A proxy on this machine passes strangers on over the loopback.
        let (status, _, body) = node.ask_from("127.0.0.1:5", "/api/v1/check", &[("host", "localhost")]).await;
        assert_eq!(status.as_u16(), 401, "{}", String::from_utf8_lossy(&body));
        let wrong = [("host", "localhost"), ("authorization", "Bearer wrong-wrong-wrong-wrong")];
        assert_eq!(node.ask_from("127.0.0.1:5", "/api/v1/check", &wrong).await.0.as_u16(), 401);
        let bearer = format!("Bearer {}", node.app.node.auth.own().secret());
        let own = [("host", "localhost"), ("authorization", bearer.as_str())];
        assert_eq!(node.ask_from("127.0.0.1:5", "/api/v1/check", &own).await.0.as_u16(), 200);
        assert_eq!(node.ask_from("192.0.2.8:5", "/api/v1/check", &own).await.0.as_u16(), 401);
    }
}
