//! What dashboards and the log get to know about requests.
//!
//! The metrics' names and buckets are those that dashboards of this field use already. Concurrency falls and latency is
//! observed when a response's head is ready; bytes are counted, and the request is logged, when its body ends or is
//! dropped. It decides nothing about requests.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{StatusCode, Uri};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};
use tracing::Level;

use super::log_limit::LogLimit;
use crate::jobs::ForegroundLoad;

/// Upper bounds in seconds.
const BUCKETS: [f64; 14] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0];

/// Method labels; whatever else a client makes up is the last one, so that it cannot make series.
const METHODS: [&str; 7] = ["GET", "HEAD", "OPTIONS", "PUT", "POST", "DELETE", "OTHER"];

/// Statuses whose handle is kept; others are looked up by label each time.
const STATUSES: [u16; 16] = [200, 304, 206, 204, 404, 400, 403, 410, 503, 401, 405, 406, 412, 416, 500, 507];

/// The longest path that is logged, in characters of the path.
const MAX_LOGGED_PATH: usize = 200;

/// The request metrics of one registry.
#[derive(Debug, Clone)]
pub struct HttpMetrics {
    latency: HistogramVec,
    concurrency: IntGaugeVec,
    bytes: IntCounterVec,
    failures: Arc<LogLimit>,
    /// What others wait for is done before what nobody waits for.
    busy: Arc<ForegroundLoad>,
}

impl HttpMetrics {
    /// Registers the metrics.
    pub fn register(registry: &Registry, busy: Arc<ForegroundLoad>) -> prometheus::Result<Self> {
        let latency = HistogramOpts::new("http_request_latency_all", "Seconds until a response's head was ready")
            .buckets(BUCKETS.to_vec());
        let metrics = Self {
            latency: HistogramVec::new(latency, &["endpoint", "method", "status"])?,
            concurrency: IntGaugeVec::new(
                Opts::new("http_request_concurrency_all", "Requests whose response's head is not ready yet"),
                &["endpoint", "method"],
            )?,
            bytes: IntCounterVec::new(
                Opts::new("http_response_bytes_total", "Bytes of response bodies handed to connections"),
                &["endpoint", "method"],
            )?,
            failures: Arc::default(),
            busy,
        };
        registry.register(Box::new(metrics.latency.clone()))?;
        registry.register(Box::new(metrics.concurrency.clone()))?;
        registry.register(Box::new(metrics.bytes.clone()))?;
        Ok(metrics)
    }

    /// The handles of one endpoint, made once when the routes are; cheap to clone.
    pub fn endpoint(&self, name: &'static str) -> Endpoint {
        let metrics = self.clone();
        Endpoint(Arc::new(Handles { name, metrics, methods: [const { OnceLock::new() }; METHODS.len()] }))
    }
}

/// Cached handles for the metrics of one endpoint.
#[derive(Debug, Clone)]
pub struct Endpoint(Arc<Handles>);

#[derive(Debug)]
struct Handles {
    name: &'static str,
    metrics: HttpMetrics,
    methods: [OnceLock<PerMethod>; METHODS.len()],
}

#[derive(Debug)]
struct PerMethod {
    concurrency: IntGauge,
    bytes: IntCounter,
    latency: [OnceLock<Histogram>; STATUSES.len()],
}

impl Endpoint {
    /// A request has come in. Hand its response to [`InFlight::finish`]; dropping the guard means that none was made.
    pub fn begin(&self, request: &Request) -> InFlight {
        let method = METHODS.iter().position(|name| *name == request.method().as_str()).unwrap_or(METHODS.len() - 1);
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
        let guard =
            InFlight { endpoint: self.clone(), method, began: Instant::now(), uri: request.uri().clone(), peer };
        if let Some(handles) = self.per_method(method) {
            handles.concurrency.inc();
        }
        guard
    }

    fn per_method(&self, method: usize) -> Option<&PerMethod> {
        let slot = self.0.methods.get(method)?;
        Some(slot.get_or_init(|| {
            let labels = [self.0.name, method_name(method)];
            PerMethod {
                concurrency: self.0.metrics.concurrency.with_label_values(&labels),
                bytes: self.0.metrics.bytes.with_label_values(&labels),
                latency: [const { OnceLock::new() }; STATUSES.len()],
            }
        }))
    }

    fn observe(&self, method: usize, status: StatusCode, seconds: f64) {
        let by_label =
            || self.0.metrics.latency.with_label_values(&[self.0.name, method_name(method), status.as_str()]);
        let kept = STATUSES.iter().position(|known| *known == status.as_u16());
        match self.per_method(method).zip(kept).and_then(|(handles, at)| handles.latency.get(at)) {
            Some(slot) => slot.get_or_init(by_label).observe(seconds),
            None => by_label().observe(seconds),
        }
    }
}

fn method_name(method: usize) -> &'static str {
    METHODS.get(method).copied().unwrap_or("OTHER")
}

/// A middleware for routes that are not dispatched by hand: `from_fn_with_state(metrics.endpoint("files"), track)`.
pub async fn track(State(endpoint): State<Endpoint>, request: Request, next: Next) -> Response {
    let in_flight = endpoint.begin(&request);
    in_flight.finish(next.run(request).await)
}

/// A request that has no response yet.
#[derive(Debug)]
pub struct InFlight {
    endpoint: Endpoint,
    method: usize,
    began: Instant,
    uri: Uri,
    peer: Option<SocketAddr>,
}

impl InFlight {
    /// The response's head is ready: observes the latency, and counts and logs the body when it ends.
    pub fn finish(self, response: Response) -> Response {
        let status = response.status();
        self.endpoint.observe(self.method, status, self.began.elapsed().as_secs_f64());
        let logged = status.is_server_error() || tracing::enabled!(Level::DEBUG);
        let line = logged.then(|| LogLine {
            uri: self.uri.clone(),
            status,
            began: self.began,
            peer: self.peer,
            failure_lines: Arc::clone(&self.endpoint.0.metrics.failures),
        });
        let (endpoint, method) = (self.endpoint.clone(), self.method);
        response.map(|inner| Body::new(MeasuredBody { inner, endpoint, method, bytes: 0, line }))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some(handles) = self.endpoint.per_method(self.method) {
            handles.concurrency.dec();
        }
    }
}

#[derive(Debug)]
struct LogLine {
    uri: Uri,
    status: StatusCode,
    began: Instant,
    peer: Option<SocketAddr>,
    failure_lines: Arc<LogLimit>,
}

impl LogLine {
    fn write(&self, method: &'static str, bytes: u64) {
        let path = printable(self.uri.path());
        let (status, ms) = (self.status.as_u16(), u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX));
        let peer = self.peer.map(tracing::field::display);
        // What another node did not say is told by backfill, once; that this one is not ready yet is what was asked.
        let is_told = self.status == StatusCode::BAD_GATEWAY || self.uri.path() == "/readyz";
        if self.status.is_server_error() && !is_told {
            // While the disk is away every request fails.
            if let Some(unsaid) = self.failure_lines.unsaid() {
                tracing::warn!(name: "request_failed", method, path, status, ms, bytes, peer, unsaid = (unsaid > 0).then_some(unsaid), "request failed");
            }
        } else {
            tracing::debug!(name: "request", method, path, status, ms, bytes, peer, "request");
        }
    }
}

/// The beginning of a path, with everything escaped that could disturb a terminal or a log reader.
fn printable(path: &str) -> String {
    let mut shown = String::with_capacity(path.len().min(MAX_LOGGED_PATH));
    let mut chars = path.chars();
    for char in chars.by_ref().take(MAX_LOGGED_PATH) {
        if char.is_control() || (!char.is_ascii() && !char.is_alphanumeric()) {
            let written = write!(shown, "{}", char.escape_unicode());
            debug_assert!(written.is_ok(), "a string takes everything");
        } else {
            shown.push(char);
        }
    }
    if chars.next().is_some() {
        shown.push('…');
    }
    shown
}

/// A body that is counted as it goes.
#[derive(Debug)]
struct MeasuredBody {
    inner: Body,
    endpoint: Endpoint,
    method: usize,
    bytes: u64,
    line: Option<LogLine>,
}

impl http_body::Body for MeasuredBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.inner).poll_frame(cx));
        if let Some(Ok(data)) = frame.as_ref().map(|result| result.as_ref().map(Frame::data_ref)) {
            this.bytes += data.map_or(0, |bytes| bytes.len() as u64);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for MeasuredBody {
    fn drop(&mut self) {
        self.endpoint.0.metrics.busy.add(self.bytes);
        if let Some(handles) = self.endpoint.per_method(self.method) {
            handles.bytes.inc_by(self.bytes);
        }
        if let Some(line) = &self.line {
            line.write(method_name(self.method), self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use prometheus::TextEncoder;

    use super::*;

    fn text(registry: &Registry) -> String {
        TextEncoder::new().encode_to_string(&registry.gather()).unwrap()
    }

    fn request(method: &str) -> Request {
        axum::http::Request::builder().method(method).uri("/files/a").body(Body::empty()).unwrap()
    }

    #[tokio::test]
    async fn a_request_is_counted_from_its_start_to_its_last_byte() {
        let registry = Registry::new();
        let endpoint = HttpMetrics::register(&registry, Arc::default()).unwrap().endpoint("files");
        let in_flight = endpoint.begin(&request("GET"));
        assert!(text(&registry).contains("http_request_concurrency_all{endpoint=\"files\",method=\"GET\"} 1"));
        let response = in_flight.finish(Response::new(Body::from("hello")));
        let head_ready = text(&registry);
        assert!(head_ready.contains("http_request_concurrency_all{endpoint=\"files\",method=\"GET\"} 0"));
        assert!(
            head_ready.contains("http_request_latency_all_count{endpoint=\"files\",method=\"GET\",status=\"200\"} 1")
        );
        assert_eq!(to_bytes(response.into_body(), 10).await.unwrap(), "hello");
        assert!(text(&registry).contains("http_response_bytes_total{endpoint=\"files\",method=\"GET\"} 5"));
    }

    #[test]
    fn made_up_methods_share_a_label_and_a_dropped_request_is_not_in_flight() {
        let registry = Registry::new();
        let endpoint = HttpMetrics::register(&registry, Arc::default()).unwrap().endpoint("files");
        drop(endpoint.begin(&request("BREW")));
        let text = text(&registry);
        assert!(text.contains("http_request_concurrency_all{endpoint=\"files\",method=\"OTHER\"} 0"));
        assert!(!text.contains("BREW"));
    }

    #[test]
    fn logged_paths_are_short_and_printable() {
        assert_eq!(printable("/files/é"), "/files/é");
        assert_eq!(printable("/\u{1b}[2J\u{202e}"), "/\\u{1b}[2J\\u{202e}");
        assert_eq!(printable(&"x".repeat(1000)).chars().count(), MAX_LOGGED_PATH + 1);
    }
}
