//! Which address is answered by whom, under which name it is measured.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::Method;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post, put};
use tower::Layer as _;

use super::app::App;
use super::metrics::track;
use super::{
    HttpMetrics, Problem, api, auth, budget, bundle, changes, chat, check, cors, coverage, crawl, cut, digests,
    entrance, events, explain, ffmpeg, hole_reasons, listing, map, master, operator_actions, page, pages, peers,
    playlist, retention, scrub, segments, sequence, status, thumbnail, timeline, tombstones, videos,
};

/// All routes. The names are those that dashboards of this field already use, where there is one.
pub fn router(app: Arc<App>, metrics: &HttpMetrics) -> Router {
    let measured = |name: &'static str, route: MethodRouter<Arc<App>>| {
        route.layer(from_fn_with_state(metrics.endpoint(name), track))
    };
    // What changes something wants a token for writing.
    let writes = |route: MethodRouter<Arc<App>>| route.layer(from_fn_with_state(Arc::clone(&app), auth::writing));
    let routes = Router::new()
        .route("/", measured("page", get(page::page)))
        .route("/status", measured("page_status", get(page::status)))
        .route("/page/{file}", measured("page_file", get(page::file)))
        .route("/files", measured("list_channels", get(listing::list)))
        .route("/files/{channel}", measured("list_qualities", get(listing::list)))
        .route("/files/{channel}/{quality}", measured("list_hours", get(listing::list)))
        .route("/files/{channel}/{quality}/{hour}", measured("list_segments", get(listing::list)))
        .route("/segments/{*path}", measured("segments", get(segments::file)))
        .route("/extras/{*dir}", measured("list_extras", get(segments::extras)))
        .route("/playlist/{file}", measured("generate_master_playlist", get(master::master)))
        .route("/playlist/{channel}/{file}", measured("generate_media_playlist", get(playlist::media)))
        .route("/cut/{channel}/{file}", measured("cut", get(cut::cut)))
        .route("/frame/{channel}/{file}", measured("get_frame", get(ffmpeg::frame)))
        .route("/waveform/{channel}/{file}", measured("generate_waveform", get(ffmpeg::waveform)))
        .route("/thumbnail/{channel}/{file}", measured("get_thumbnail", get(thumbnail::named).post(thumbnail::brought)))
        .route("/{channel}/chat.json", measured("get_chat_messages", get(chat::chat)))
        .route("/generate_videos/{channel}/{quality}", measured("generate_videos", writes(post(videos::generate))))
        .route("/metrics", measured("metrics", get(pages::metrics)))
        .route("/metrics/{*anything}", measured("metrics_with_trailing", get(pages::metrics)))
        .route("/healthz", measured("healthz", get(pages::healthz)))
        .route("/readyz", measured("readyz", get(pages::readyz)))
        .route("/api/v1/openapi.json", measured("openapi", get(api::openapi)))
        .route("/api/v1/segments/{*stream}", measured("segments_range", get(api::segments)))
        .route("/api/v1/sequence/{*stream}", measured("sequence", get(sequence::sequence)))
        .route("/api/v1/coverage/{*stream}", measured("coverage", get(coverage::coverage)))
        .route("/api/v1/holes/{*stream}", measured("holes", get(coverage::holes)))
        .route("/api/v1/ledger/{*stream}", measured("ledger", get(hole_reasons::ledger)))
        .route("/api/v1/timespans/{*stream}", measured("timespans", get(coverage::timespans)))
        .route("/api/v1/timeline/{*stream}", measured("timeline", get(timeline::timeline)))
        .route("/api/v1/explain/{*stream}", measured("explain", get(explain::explain)))
        .route("/api/v1/streams", measured("streams", get(peers::streams)))
        .route("/api/v1/peers", measured("peers", get(peers::peers)))
        .route("/api/v1/peers/{name}/timeline/{*stream}", measured("peer_timeline", get(peers::timeline)))
        .route("/api/v1/peers/{name}/holes/{*stream}", measured("peer_holes", get(peers::holes)))
        .route("/api/v1/events", measured("events", get(events::events)))
        .route("/api/v1/map/{*stream}", measured("map", get(map::map)))
        .route("/api/v1/digests", measured("digests", get(digests::qualities)))
        .route("/api/v1/digests/{channel}/{quality}", measured("digests_of_days", get(digests::days)))
        .route("/api/v1/digests/{channel}/{quality}/{day}", measured("digests_of_hours", get(digests::hours)))
        .route("/api/v1/bundle/{*hour}", measured("bundle", post(bundle::bundle)))
        .route("/api/v1/changes", measured("changes", get(changes::changes)))
        .route("/api/v1/retention", measured("retention", get(retention::view)))
        .route("/api/v1/status", measured("status", get(status::status)))
        .route("/api/v1/crawl", measured("crawl", get(crawl::view)))
        .route("/api/v1/crawl/pace", measured("crawl_pace", writes(put(crawl::pace))))
        .route("/api/v1/crawl/run", measured("crawl_run", writes(post(crawl::run))))
        .route("/api/v1/census/{channel}/{quality}", measured("census", get(crawl::census)))
        .route("/api/v1/check", measured("check", get(check::check)))
        .route("/api/v1/flagged", measured("flagged", get(scrub::flagged)))
        .route("/api/v1/quarantine", measured("quarantine", get(scrub::quarantine)))
        .route("/api/v1/scrub", measured("scrub", writes(post(scrub::run))))
        .route("/api/v1/tombstones", measured("tombstones", get(tombstones::list).merge(writes(post(tombstones::add)))))
        .route("/api/v1/retention/run", measured("retention_run", writes(post(operator_actions::run))))
        .route("/api/v1/retention/accept", measured("retention_accept", writes(post(operator_actions::accept_records))))
        .route("/api/v1/retention/keep", measured("retention_keep", writes(post(operator_actions::keep))))
        .route("/api/v1/crawl/accept", measured("crawl_accept", writes(post(operator_actions::accept_missing))))
        .route("/api/v1/tombstones/accept", measured("tombstones_accept", writes(post(operator_actions::accept))))
        .route("/api/v1/tombstones/purge", measured("tombstones_purge", writes(post(tombstones::purge))))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(Arc::clone(&app), budget::hold))
        .layer(from_fn_with_state((Arc::clone(&app), metrics.endpoint("unauthorized")), auth::reading))
        .layer(from_fn(public))
        .with_state(Arc::clone(&app));
    // Around the routes and not among them: a path is put right before it is looked up.
    let entering = from_fn_with_state((app, metrics.endpoint("misdirected")), entrance::enter);
    Router::new().fallback_service(entering.layer(routes))
}

async fn unknown(request: Request) -> Response {
    Problem::not_found("such address; see /api/v1/openapi.json").at(request.uri().path()).into_response()
}

async fn wrong_method(request: Request) -> Response {
    let allowed = match request.uri().path() {
        "/api/v1/tombstones" => "GET, HEAD, OPTIONS, POST",
        "/api/v1/tombstones/purge"
        | "/api/v1/tombstones/accept"
        | "/api/v1/scrub"
        | "/api/v1/crawl/accept"
        | "/api/v1/retention/run"
        | "/api/v1/retention/accept"
        | "/api/v1/retention/keep"
        | "/api/v1/crawl/run" => "OPTIONS, POST",
        "/api/v1/crawl/pace" => "OPTIONS, PUT",
        path if path.starts_with("/thumbnail/") => "GET, HEAD, OPTIONS, POST",
        path if ["/api/v1/bundle/", "/generate_videos/"].iter().any(|prefix| path.starts_with(prefix)) => {
            "OPTIONS, POST"
        }
        _ => cors::METHODS,
    };
    Problem::method_not_allowed(allowed).at(request.uri().path()).into_response()
}

#[cfg(test)]
mod moving_over;

/// A public read-only API: any origin may ask. Pages of others may not change anything: a preflight allows neither POST nor tokens.
async fn public(request: Request, next: Next) -> Response {
    if request.method() == Method::OPTIONS {
        return cors::preflight();
    }
    let mut response = next.run(request).await;
    cors::allow(response.headers_mut());
    response
}
