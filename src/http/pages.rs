//! `/metrics`, `/healthz`, `/readyz`.

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use prometheus::TextEncoder;

use super::Problem;
use super::app::App;
use super::exposition::TextBody;
use crate::archive::escape;
use crate::sync::crawl::CrawlError;

/// Answers `GET /metrics`.
#[utoipa::path(
    get, path = "/metrics",
    responses((status = 200, content_type = "text/plain", description = "all metrics, as Prometheus reads them"), (status = 503, description = "too much is asked at once"))
)]
pub(super) async fn metrics(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let making = Arc::clone(&app);
    let text = app.exposition.text(async move { making.ask(pieces).await }).await?;
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    Ok(([(CONTENT_TYPE, kind)], Body::new(TextBody::new(text))).into_response())
}

/// Answers `GET /metrics/{anything}`, as restreamers of this field do.
#[utoipa::path(
    get, path = "/metrics/{*anything}",
    params(("anything" = String, Path, description = "makes no difference")),
    responses((status = 200, content_type = "text/plain", description = "as /metrics answers"), (status = 503, description = "too much is asked at once"))
)]
pub(super) async fn metrics_below(state: State<Arc<App>>) -> Result<Response, Problem> {
    metrics(state).await
}

fn pieces(app: &App) -> Result<Vec<String>, Problem> {
    // How far behind other nodes we are is worked out when it is asked for.
    let peers = (app.node.peers)();
    app.gauges.latest.update(app.node.keeper.index(), app.node.keeper.horizon());
    app.gauges.jobs.update(&app.node.jobs);
    app.gauges.node.update(&app.node.keeper, &app.node.crawl, &app.node.watch, app.cache.bytes());
    app.gauges.node.update_scrub(&app.node.scrub);
    let placed = app.node.whole.as_ref().and_then(|whole| whole.placed());
    app.gauges.layout.update(&app.node.layouts, placed.as_deref(), &peers);
    if let (Some(metrics), Some(archiver)) = (&app.gauges.bucket, &app.node.archiver) {
        metrics.update(archiver.figures(), super::status::now());
    }
    if let (Some(metrics), Some(reader)) = (&app.gauges.archived_segments, &app.node.archived_segments) {
        metrics.update(&reader.figures());
    }
    if app.gauges.problems.is_stale() {
        // It sets the gauges. An index that cannot be read must not cost a scraper all the others.
        drop(super::status::gather(app));
    }
    let text = TextEncoder::new()
        .encode_to_string(&app.node.registry.gather())
        .map_err(|_| Problem::internal("metrics-not-encodable"))?;
    // A scraper's line, or somebody's terminal, is not for a name to end. The gauges of coverage see to that themselves.
    let escaped = match escape::exposition(&text) {
        Cow::Owned(escaped) => Some(escaped),
        Cow::Borrowed(_) => None,
    };
    let mut pieces = vec![escaped.unwrap_or(text)];
    // Of a disk that is away nothing is known, and before the first walk over it nobody knows what is missing.
    let is_known = app.node.keeper.guard().base().is_ok() && app.node.crawl.is_ready();
    if let Some(coverage) = app.node.coverage.as_ref().filter(|_| is_known) {
        pieces.extend(coverage.text(app.node.keeper.index(), app.node.keeper.horizon()));
    }
    Ok(pieces)
}

/// Answers `GET /healthz`: the process lives.
#[utoipa::path(get, path = "/healthz", responses((status = 200, content_type = "text/plain", description = "the process lives")))]
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Answers `GET /readyz`: the index has caught up with the disk, and under a layout it is known what other nodes have.
#[utoipa::path(
    get, path = "/readyz",
    responses(
        (status = 200, content_type = "text/plain", description = "the index has caught up with the disk, and under a layout it is known what other nodes have"),
        (status = 503, description = "not yet, or the disk is not there, and why")
    )
)]
pub(super) async fn readyz(State(app): State<Arc<App>>) -> Result<&'static str, Problem> {
    app.node.keeper.guard().base().map_err(CrawlError::Away)?;
    if app.node.crawl.is_ready() {
        return app.is_opening().map_or(Ok("ready\n"), |why| Err(Problem::unavailable(1, why)));
    }
    let status = app.node.crawl.status();
    let why = match status.trouble {
        Some(trouble) => trouble,
        None => format!("the index is catching up with the disk: {} of {} hours looked at", status.done, status.total),
    };
    Err(Problem::unavailable(1, &why))
}

#[cfg(test)]
mod tests {
    use super::super::test_node::TestNode;

    #[tokio::test]
    async fn what_is_missing_is_told_when_it_is_known() {
        let node = TestNode::new();
        node.put("a/source/2019-11-13T02", ["00:00.000000-2.0-full-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA.ts"]);
        let told = async || String::from_utf8(node.ask("/metrics", &[]).await.2).unwrap().contains("raw_holes{");
        assert!(!told().await);
        node.catch_up().await;
        assert!(told().await);
    }
}
