//! `/metrics`, `/healthz`, `/readyz`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use prometheus::{GaugeVec, Opts, Registry, TextEncoder};

use super::Problem;
use super::app::App;
use crate::domain::{Hour, Stream};
use crate::index::{Index, Version};

/// Newest hours that are searched for a segment: a stream that has been silent for a day keeps its last value.
const HOURS_SEARCHED: usize = 24;

/// The gauge `latest_segment`: when the newest segment of each quality starts, as a Unix time stamp.
#[derive(Debug)]
pub struct LatestSegments {
    gauge: GaugeVec,
    seen: Mutex<HashMap<(Stream, Hour), Seen>>,
}

/// The start of the newest segment of an hour, in microseconds, as of this version.
type Seen = (Version, Option<i64>);

impl LatestSegments {
    /// Registers the gauge.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let help = "Start of the newest segment of a quality, as a Unix time stamp in seconds";
        let gauge = GaugeVec::new(Opts::new("latest_segment", help), &["channel", "quality"])?;
        registry.register(Box::new(gauge.clone()))?;
        Ok(Self { gauge, seen: Mutex::default() })
    }

    /// Brings the gauge up to date; hours that did not change are not read again.
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float; microseconds fit until the year 2255")]
    pub fn update(&self, index: &Index) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kept = HashMap::new();
        for stream in index.catalog().streams() {
            let name = stream.to_string();
            for hour in index.catalog().hours(&name, ..).into_iter().rev().take(HOURS_SEARCHED) {
                let Some(version) = index.catalog().hour_version(&name, hour) else { continue };
                let key = (stream.clone(), hour);
                let latest = match seen.remove(&key) {
                    Some((known, latest)) if known == version => latest,
                    _ => index.hour(&name, hour).ok().flatten().and_then(|view| {
                        let video = view.contents.visible().filter(|file| file.key.kind.is_video());
                        video.map(|file| file.key.start(hour).us()).max()
                    }),
                };
                kept.insert(key, (version, latest));
                if let Some(latest) = latest {
                    let labels = [stream.channel.as_str(), stream.quality.as_str()];
                    self.gauge.with_label_values(&labels).set(latest as f64 / 1e6);
                    break;
                }
            }
        }
        *seen = kept;
    }
}

/// Answers `GET /metrics` and `GET /metrics/{anything}`.
pub async fn metrics(State(app): State<Arc<App>>) -> Response {
    let text = app.ask(|app| {
        app.latest.update(app.keeper.index());
        super::node_metrics::update(app);
        TextEncoder::new()
            .encode_to_string(&app.registry.gather())
            .map_err(|_| Problem::internal("metrics-not-encodable"))
    });
    match text.await {
        Ok(text) => ([(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"))], text)
            .into_response(),
        Err(problem) => problem.at("/metrics").into_response(),
    }
}

/// Answers `GET /healthz`: the process lives.
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// Answers `GET /readyz`: the index has caught up with the disk.
pub async fn readyz(State(app): State<Arc<App>>) -> Response {
    if let Err(away) = app.keeper.guard().base() {
        return Problem::unavailable(5, &format!("the archive is not there: {}", away.reason))
            .at("/readyz")
            .into_response();
    }
    if *app.crawl.ready().borrow() {
        return (StatusCode::OK, "ready\n").into_response();
    }
    let status = app.crawl.status();
    let why = match status.trouble {
        Some(trouble) => trouble,
        None => format!("the index is catching up with the disk: {} of {} hours looked at", status.done, status.total),
    };
    Problem::unavailable(1, &why).at("/readyz").into_response()
}
