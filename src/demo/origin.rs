//! The origin of the demonstration: live playlists and segments over HTTP on this machine, by a line of its own for each node's recorder.
//!
//! It knows the clock and the plan, and keeps nothing: what it lists and sends is worked out for each request.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Response, StatusCode, header};
use axum::routing::get;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::lines::{DemoLine, LineAnswer};
use super::plan::{CHANNELS, DemoPlan, NODES, PieceFate, PlannedPiece};
use super::segment::{cut_off, generate};
use crate::archive::Timestamp;

/// How long a line stands still before it breaks, so that what was sent before has come.
const STANDS_STILL: Duration = Duration::from_millis(300);
/// Late segments that were sent and nobody has asked about: more than come in the time between two questions.
const MOST_LATE: usize = 256;

/// Answers until it is dropped.
#[derive(Debug)]
pub struct DemoOrigin {
    address: SocketAddr,
    state: Arc<OriginState>,
    _serving: AbortOnDropHandle<()>,
}

#[derive(Debug)]
struct OriginState {
    plan: DemoPlan,
    /// With the node whose recorder got them.
    late: Mutex<Vec<(usize, PlannedPiece)>>,
}

impl DemoOrigin {
    pub async fn start(plan: DemoPlan) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(OriginState { plan, late: Mutex::default() });
        let routes = Router::new()
            .route("/{node}/{channel}/live.m3u8", get(master))
            .route("/{node}/{channel}/{quality}/{file}", get(file))
            .with_state(Arc::clone(&state));
        let serving = tokio::spawn(async move {
            // It tries again by itself whatever accepting a connection brings, and does not end.
            _ = axum::serve(listener, routes).await;
        });
        Ok(Self { address, state, _serving: AbortOnDropHandle::new(serving) })
    }

    /// Where each channel is for the recorder of a node.
    pub fn sources(&self, node: usize) -> impl Iterator<Item = (&'static str, String)> {
        let (address, node) = (self.address, NODES[node]);
        CHANNELS.into_iter().map(move |channel| (channel, format!("http://{address}/{node}/{channel}/live.m3u8")))
    }

    /// The late segments that were sent since this was asked last, with the node to whose recorder.
    pub fn take_late(&self) -> Vec<(usize, PlannedPiece)> {
        std::mem::take(&mut self.state.late.lock())
    }
}

fn now() -> Timestamp {
    Timestamp::from(SystemTime::now())
}

async fn master(
    State(state): State<Arc<OriginState>>,
    Path((node, channel)): Path<(String, String)>,
) -> Response<Body> {
    match DemoLine::named(state.plan, &node, &channel) {
        Some(line) if line.is_away(now()) => broken(&[], 1),
        Some(_) => whole("application/vnd.apple.mpegurl", DemoLine::master_playlist()),
        None => status(StatusCode::NOT_FOUND),
    }
}

async fn file(
    State(state): State<Arc<OriginState>>,
    Path((node, channel, quality, file)): Path<(String, String, String, String)>,
) -> Response<Body> {
    let Some(line) = DemoLine::named(state.plan, &node, &channel) else { return status(StatusCode::NOT_FOUND) };
    let now = now();
    if line.is_away(now) {
        return broken(&[], 1);
    }
    if file == "live.m3u8" {
        return whole("application/vnd.apple.mpegurl", line.playlist(now));
    }
    let number = file.strip_suffix(".ts").and_then(|number| number.parse().ok());
    let answer = number.map(|number| line.segment(&quality, number, now));
    let Some((Some(piece), answer)) = answer else { return status(StatusCode::NOT_FOUND) };
    match answer {
        LineAnswer::Whole => {
            if matches!(state.plan.fate(&piece, line.node()), PieceFate::Late(_)) {
                let mut late = state.late.lock();
                late.truncate(MOST_LATE - 1);
                late.push((line.node(), piece));
            }
            whole("video/mp2t", generate(&piece, false).content)
        }
        LineAnswer::Part => {
            let content = generate(&piece, false).content;
            broken(&content[..cut_off(content.len())], content.len())
        }
        LineAnswer::Nothing => broken(&[], 1),
        LineAnswer::NotYet => status(StatusCode::SERVICE_UNAVAILABLE),
        LineAnswer::Gone => status(StatusCode::NOT_FOUND),
    }
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

fn whole(kind: &'static str, content: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(content.into());
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}

/// An answer of which only this comes, although it is to be so long.
fn broken(content: &[u8], length: usize) -> Response<Body> {
    let sent = stream::iter([Ok(Bytes::copy_from_slice(content))]);
    let breaks = stream::once(async {
        tokio::time::sleep(STANDS_STILL).await;
        Err(io::Error::other("the line breaks"))
    });
    let mut response = whole("video/mp2t", Body::from_stream(sent.chain(breaks)));
    response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    response
}
