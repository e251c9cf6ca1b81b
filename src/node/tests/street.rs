//! Servers at fixed addresses that are kept from one history to the next: what stands behind a door may change at any time.
//!
//! A node is asked under an address that says who asks, so that a line between two nodes can be cut. In most histories nodes ask each
//! other within this process, which costs a fraction of connections; what stands behind a door, and what is cut, is the same in all.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use parking_lot::Mutex;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::archive::name;
use crate::http::{ConnectionLimits, listen, serve};
use crate::replicate::peer::PeerUrl;
use crate::replicate::peer::tests::in_process::InProcessPeer;

/// Doors of nodes and of other peers.
pub(super) const DOORS: usize = 5;

/// What a worker keeps for all of its histories.
pub(super) struct ModelNetwork {
    pub(super) runtime: Runtime,
    pub(super) doors: Vec<ModelAddress>,
    shutdown: CancellationToken,
}

/// How nodes reach each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ModelLines {
    InProcess,
    Sockets,
}

#[derive(Clone)]
pub(super) struct ModelAddress {
    address: SocketAddr,
    room: Arc<Mutex<Room>>,
    /// Who answers there, where there is no socket.
    _in_process: Option<Arc<InProcessPeer>>,
}

#[derive(Default)]
struct Room {
    router: Option<Router>,
    refuses: BTreeSet<String>,
    fails: Option<&'static str>,
}

impl ModelNetwork {
    pub(super) fn new(lines: ModelLines) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let shutdown = CancellationToken::new();
        let doors = (0..DOORS).map(|_| ModelAddress::open(lines, &runtime, shutdown.clone())).collect();
        Self { runtime, doors, shutdown }
    }
}

impl Drop for ModelNetwork {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl ModelAddress {
    fn open(lines: ModelLines, runtime: &Runtime, shutdown: CancellationToken) -> Self {
        let room = Arc::<Mutex<Room>>::default();
        let behind = Arc::clone(&room);
        let app = Router::new().fallback(move |request: Request| pass(Arc::clone(&behind), request));
        if lines == ModelLines::InProcess {
            let peer = InProcessPeer::open(app);
            return Self { address: peer.address(), room, _in_process: Some(Arc::new(peer)) };
        }
        let _context = runtime.enter();
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(serve(listener, app, ConnectionLimits::default(), None, shutdown));
        Self { address, room, _in_process: None }
    }

    /// The address by which `who` asks here.
    pub(super) fn url_for(&self, who: &str) -> PeerUrl {
        PeerUrl::parse(&format!("http://{}/{who}", self.address)).unwrap()
    }

    pub(super) fn shows(&self, router: Option<Router>) {
        self.room.lock().router = router;
    }

    /// Cuts or mends the line from `who`.
    pub(super) fn cut(&self, who: &str, is_cut: bool) {
        let refuses = &mut self.room.lock().refuses;
        if is_cut {
            refuses.insert(who.to_owned());
        } else {
            refuses.remove(who);
        }
    }

    /// Answers 500 to whatever path begins so.
    pub(super) fn fails(&self, path: Option<&'static str>) {
        self.room.lock().fails = path;
    }

    pub(super) fn clear(&self) {
        *self.room.lock() = Room::default();
    }
}

async fn pass(room: Arc<Mutex<Room>>, mut request: Request) -> Response {
    let asked = request.uri().path_and_query().map_or_else(String::new, ToString::to_string);
    let (who, rest) = asked.trim_start_matches('/').split_once('/').unwrap_or_default();
    let behind = {
        let room = room.lock();
        if room.fails.is_some_and(|path| rest.starts_with(path)) {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
        if room.refuses.contains(who) { None } else { room.router.clone() }
    };
    let Some(router) = behind else { return StatusCode::BAD_GATEWAY.into_response() };
    *request.uri_mut() = format!("/{rest}").parse().unwrap();
    router.oneshot(request).await.unwrap()
}

/// A server of the fixed part over a directory: lists and files, and nothing else.
pub(super) fn fixed_part(base: PathBuf) -> Router {
    let base = Arc::new(base);
    Router::new().fallback(move |uri: Uri| {
        let answer = answer(&base, &uri);
        async move { answer }
    })
}

fn answer(base: &Path, uri: &Uri) -> Response {
    let path = percent_encoding::percent_decode_str(uri.path()).decode_utf8_lossy().into_owned();
    let (verb, rest) = path.trim_matches('/').split_once('/').unwrap_or((path.trim_matches('/'), ""));
    match verb {
        "files" => names(&base.join(rest)).map_or_else(
            || StatusCode::NOT_FOUND.into_response(),
            |names| ([("content-type", "application/json")], serde_json::to_string(&names).unwrap()).into_response(),
        ),
        "segments" => match std::fs::read(base.join(rest)) {
            Ok(content) => content.into_response(),
            Err(_) => StatusCode::NOT_FOUND.into_response(),
        },
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

fn names(dir: &Path) -> Option<Vec<String>> {
    let all: Vec<String> = std::fs::read_dir(dir)
        .ok()?
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with('.'))
        .collect();
    let hidden: BTreeSet<String> =
        all.iter().filter(|name| name.ends_with(".tombstone")).map(|text| name::stem(text).to_owned()).collect();
    let is_listed = |text: &String| text.ends_with(".tombstone") || !hidden.contains(name::stem(text));
    Some(all.iter().filter(|text| is_listed(text)).cloned().collect())
}
