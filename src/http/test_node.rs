//! A node for tests: an archive in a temporary directory, an index in memory, and the real router, without any thread of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::header::HeaderMap;
use axum::http::request::Builder;
use axum::http::{Request, StatusCode};
use axum::response::Response;
use prometheus::Registry;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tower::ServiceExt as _;

use super::{App, Auth, HttpMetrics, RequestBounds, ServedNode, router};
use crate::archive::HourPlace;
use crate::disk::{Base, BaseGuard, BaseIdentity};
use crate::index::{Index, IndexOptions};
use crate::jobs::{Clock, JobRegistry, NodeEvents, Runner, Stop, SystemClock, Wake};
use crate::lifecycle::deleted::DeletionCounter;
use crate::lifecycle::retention::{Retention, RetentionOptions};
use crate::replicate::peer::PeerClient;
use crate::replicate::peer_proxy::PeerProxy;
use crate::replicate::placement::{LayoutOptions, LayoutStore};
use crate::sync::crawl::{Crawl, CrawlPace, Keeper, ReadAllowance, Reconcile, Watch, WatchOptions};

pub struct TestNode {
    pub directory: tempfile::TempDir,
    pub keeper: Arc<Keeper>,
    pub crawl: Arc<Crawl>,
    pub stop: Stop,
    pub ending: tokio_util::sync::CancellationToken,
    pub app: Arc<App>,
    router: Router,
}

impl TestNode {
    pub fn new() -> Self {
        Self::with(IndexOptions { cache_bytes: 1 << 20, ..IndexOptions::default() })
    }

    pub fn with(options: IndexOptions) -> Self {
        Self::by(options, Arc::new(SystemClock::new()))
    }

    /// One for which it is always the same time of day: what is asked of two is the same whenever it is asked.
    pub fn at(wall: SystemTime) -> Self {
        Self::by(
            IndexOptions { cache_bytes: 1 << 20, ..IndexOptions::default() },
            Arc::new(Frozen { wall, running: SystemClock::new() }),
        )
    }

    fn by(options: IndexOptions, clock: Arc<dyn Clock>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let index = Arc::new(Index::in_memory(options).unwrap());
        let base = Base::open(directory.path()).unwrap();
        let guard = Arc::new(BaseGuard::new(base, BaseIdentity::Unmarked { channels: Vec::new() }));
        let keeper = Arc::new(Keeper::new(index, guard).with_clock(clock));
        let (stop, registry) = (Stop::new(), Registry::new());
        let crawl = crawl(&keeper, &stop);
        let ending = tokio_util::sync::CancellationToken::new();
        let deleted = Arc::new(DeletionCounter::register(&registry).unwrap());
        let retention = retention(&keeper, &crawl, &deleted);
        let over = TestApp {
            name: "test",
            base_dir: directory.path(),
            keeper: &keeper,
            crawl: &crawl,
            retention,
            deleted,
            instance: 1,
            registry,
            stop: &stop,
        };
        let (app, router) = app(over, &ending);
        Self { directory, keeper, crawl, stop, ending, app, router }
    }

    /// A tombstone hides nothing but its own name: names that are made up often have the same content.
    pub fn by_name_alone(self) -> Self {
        self.keeper.guards().remove(crate::archive::guards::Guard::ContentTwin);
        self
    }

    /// Writes files into an hour, and has the index follow.
    pub fn put<'n>(&self, place: &str, names: impl IntoIterator<Item = &'n str>) {
        let hour = self.directory.path().join(place);
        std::fs::create_dir_all(&hour).unwrap();
        names.into_iter().for_each(|name| std::fs::write(hour.join(name), b"x").unwrap());
        self.look(place);
    }

    /// Removes a file.
    pub fn remove(&self, place: &str, name: &str) {
        std::fs::remove_file(self.directory.path().join(place).join(name)).unwrap();
        self.look(place);
    }

    /// Brings an hour into line with the disk.
    pub fn look(&self, place: &str) {
        self.keeper.reconcile(&[HourPlace::parse(place).unwrap()], true).unwrap();
    }

    /// Asks with these headers.
    pub async fn ask(&self, uri: &str, headers: &[(&str, &str)]) -> (StatusCode, HeaderMap, Vec<u8>) {
        self.send(Request::get(uri), headers).await
    }

    /// The same over a connection from there.
    pub async fn ask_from(&self, peer: &str, uri: &str, headers: &[(&str, &str)]) -> (StatusCode, HeaderMap, Vec<u8>) {
        let peer = ConnectInfo::<SocketAddr>(peer.parse().unwrap());
        self.send(Request::get(uri).extension(peer), headers).await
    }

    async fn send(&self, mut request: Builder, headers: &[(&str, &str)]) -> (StatusCode, HeaderMap, Vec<u8>) {
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.answer(request.body(Body::empty()).unwrap()).await;
        let (head, body) = response.into_parts();
        (head.status, head.headers, to_bytes(body, 64 << 20).await.unwrap().to_vec())
    }

    /// The answer to a request, with its body still to be taken.
    pub async fn answer(&self, request: Request<Body>) -> Response {
        self.router.clone().oneshot(request).await.unwrap()
    }

    /// Its routes.
    pub fn routes(&self) -> Router {
        self.router.clone()
    }

    /// Writes a file, and tells nobody.
    pub fn write(&self, path: &str, content: &[u8]) {
        let file = self.directory.path().join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, content).unwrap();
    }

    /// Sends a body.
    pub async fn post(&self, uri: &str, body: String) -> (StatusCode, HeaderMap, Vec<u8>) {
        let request = Request::post(uri).body(Body::from(body)).unwrap();
        let (head, answer) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        (head.status, head.headers, to_bytes(answer, 64 << 20).await.unwrap().to_vec())
    }

    /// Asks for what has to be there.
    pub async fn get<T: DeserializeOwned>(&self, uri: &str) -> T {
        let (status, _, body) = self.ask(uri, &[]).await;
        assert_eq!(status, StatusCode::OK, "{uri}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).unwrap()
    }

    /// Asks for what is refused.
    pub async fn refused(&self, uri: &str) -> (u16, Value) {
        let (status, _, body) = self.ask(uri, &[]).await;
        (status.as_u16(), serde_json::from_slice(&body).unwrap_or_default())
    }

    /// Has the crawl catch up.
    pub async fn catch_up(&self) {
        let crawl = Arc::clone(&self.crawl);
        let runner = Runner::new(crawl.jobs().0, &Arc::new(JobRegistry::default()), Wake::new(&self.stop));
        let thread = std::thread::spawn(move || runner.run());
        self.crawl.ready().wait_for(|ready| *ready).await.unwrap();
        self.stop.stop();
        thread.join().unwrap();
    }
}

/// A clock that runs and shows the same time of day.
struct Frozen {
    wall: SystemTime,
    running: SystemClock,
}

impl Clock for Frozen {
    fn now(&self) -> Duration {
        self.running.now()
    }

    fn wall(&self) -> SystemTime {
        self.wall
    }

    fn wait(&self, stop: &Stop, time: Duration) -> bool {
        self.running.wait(stop, time)
    }
}

/// What the routes of a test answer from.
pub(crate) struct TestApp<'a> {
    pub(crate) name: &'a str,
    pub(crate) base_dir: &'a std::path::Path,
    pub(crate) keeper: &'a Arc<Keeper>,
    pub(crate) crawl: &'a Arc<Crawl>,
    pub(crate) retention: Arc<Retention>,
    pub(crate) deleted: Arc<DeletionCounter>,
    pub(crate) instance: u64,
    pub(crate) registry: Registry,
    pub(crate) stop: &'a Stop,
}

/// A crawl that works when it is stepped or run.
pub(crate) fn crawl(keeper: &Arc<Keeper>, stop: &Stop) -> Arc<Crawl> {
    let visitors: Vec<Box<dyn crate::sync::crawl::Visitor>> = vec![Box::new(Reconcile::new(Arc::clone(keeper), 10))];
    let pace = CrawlPace {
        cpu_share: 1.0,
        slice: Duration::from_secs(1),
        adaptive: false,
        threads: 1,
        cycles: [("reconcile".to_owned(), Duration::from_secs(60))].into(),
        reading: ReadAllowance::default(),
    };
    let (busy, clock) = (Arc::default(), Arc::new(SystemClock::new()));
    Arc::new(Crawl::new(Arc::clone(keeper), visitors, pace, busy, clock, stop.clone()))
}

/// The real routes over these parts.
pub(crate) fn app(over: TestApp<'_>, ending: &tokio_util::sync::CancellationToken) -> (Arc<App>, Router) {
    let TestApp { name, base_dir, keeper, crawl, retention, deleted, instance, registry, stop } = over;
    let watching = WatchOptions { hours_per_quality: 1, max_watches: 1, window: Duration::from_millis(1) };
    let watch = Arc::new(Watch::new(Arc::clone(keeper), watching, stop.clone()));
    let metrics = HttpMetrics::register(&registry, Arc::default()).unwrap();
    let app = App::new(ServedNode {
        hosts: super::Hosts::new(["archive.example"]),
        auth: Arc::new(Auth::open(None, None).unwrap()),
        deleted,
        last_copies: None,
        last_copies_in_bucket: None,
        scrub: Arc::new(crate::sync::scrub::Scrub::new(
            Arc::clone(keeper),
            crate::sync::scrub::ScrubOptions {
                structure: crate::sync::scrub::Structure::Quarantine,
                keep: Duration::ZERO,
            },
            Arc::default(),
            NodeEvents::default(),
        )),
        seal_after: crate::archive::Span::from_us(0),
        layouts: Arc::new(LayoutStore::new(
            Arc::clone(keeper.guard()),
            LayoutOptions { name: name.into(), from: crate::replicate::sources::Trust::None },
        )),
        whole: None,
        archiver: None,
        handoffs: None,
        archived_segments: None,
        retention,
        accept_bursts: Box::new(|_| 0),
        instance,
        peers: Box::new(Vec::new),
        peer_proxy: nobody(),
        sources: Box::new(Vec::new),
        recorders: None,
        name: name.into(),
        base_dir: base_dir.to_owned(),
        keeper: Arc::clone(keeper),
        crawl: Arc::clone(crawl),
        watch,
        ffmpeg: Arc::new(
            crate::play::ffmpeg::Pool::new(crate::play::ffmpeg::PoolOptions::default(), &registry).unwrap(),
        ),
        registry,
        jobs: Arc::default(),
        coverage: Some(crate::report::coverage::LiveGauges::new(2, 50_000)),
        playback: Arc::new(crate::play::playback::Playback::new(
            Arc::clone(keeper),
            Arc::new(crate::jobs::SystemClock::new()),
            crate::play::playback::PlaybackOptions { max_hours: 100, cache: 8 << 20 },
        )),
        thresholds: crate::archive::problems::video::ProblemThresholds::default(),
        misplaced: Box::new(Vec::new),
        bounds: RequestBounds {
            max_page: 10_000,
            max_hours: 10_000,
            max_extras: 1_000,
            listing_cache: 1 << 20,
            held: 1 << 20,
            listeners: (8, 4),
            waiting: (16, 8),
        },
    });
    let app = Arc::new(app.unwrap().until(ending.clone()));
    let router = router(Arc::clone(&app), &metrics);
    (app, router)
}

/// No other nodes to be asked.
fn nobody() -> Arc<PeerProxy> {
    let (list, tls) = (tokio::sync::watch::channel(Vec::new()).1, crate::net::tls::trusting_nobody().unwrap());
    Arc::new(PeerProxy::new(list, &tls, None).unwrap())
}

/// Retention that has no limits and is never run.
fn retention(keeper: &Arc<Keeper>, crawl: &Crawl, deleted: &Arc<DeletionCounter>) -> Arc<Retention> {
    let parts = crate::lifecycle::retention::RetentionParts {
        keeper: Arc::clone(keeper),
        is_ready: crawl.readiness(),
        deletions: Arc::clone(deleted),
        client: PeerClient::new(
            crate::replicate::peer::PeerLimits::default(),
            &crate::net::tls::trusting_nobody().unwrap(),
        )
        .unwrap(),
        bucket: None,
        peers: tokio::sync::watch::channel(Vec::new()).1,
        instance: 1,
        handle: tokio::runtime::Handle::current(),
        clocks: Arc::new(crate::lifecycle::clock::SystemClocks::default()),
        free: crate::lifecycle::retention::free_space(),
        events: NodeEvents::default(),
        wake: Wake::new(&Stop::new()),
        archiver: None,
        handoffs: None,
    };
    let options = RetentionOptions {
        limits: crate::archive::retention::RetentionLimits::default(),
        reclaim_age: crate::archive::Span::from_us(0),
        interval: Duration::from_secs(600),
        keep_last_copy: false,
        copies_at: Vec::new(),
    };
    Arc::new(Retention::new(parts, options, &Registry::new()).unwrap())
}
