//! Which address is answered by whom, under which name it is measured.

use std::collections::BTreeMap;
use std::future::ready;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use tower::Layer as _;
use utoipa::OpenApi as _;
use utoipa::openapi::{OpenApi, PathItem};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter, UtoipaMethodRouterExt as _};
use utoipa_axum::routes;

use super::app::App;
use super::metrics::track;
use super::parameters::KnownParameters;
use super::{
    HttpMetrics, Problem, api, archiving, auth, budget, bundle, changes, chat, check, compress, cors, coverage, crawl,
    cut, digests, entrance, events, explain, ffmpeg, hole_reasons, layout, layout_pins, listing, map, master,
    operator_actions, page, pages, parameters, peers, playlist, problem, recorders, retention, scrub, seal, segments,
    sequence, status, text_schemas, thumbnail, timeline, tombstones, videos,
};

/// All routes with what stands around them.
pub fn router(app: Arc<App>, metrics: &HttpMetrics) -> Router {
    let (routes, mut document) = routes(&app, metrics).split_for_parts();
    let allowed = document.paths.paths.iter().map(|(path, item)| (path.clone(), methods(item)));
    let allowed: Arc<BTreeMap<String, String>> = Arc::new(allowed.collect());
    // A parameter that takes slashes is written as any other in OpenAPI.
    let paths = std::mem::take(&mut document.paths.paths);
    document.paths.paths = paths.into_iter().map(|(path, item)| (path.replace("{*", "{"), item)).collect();
    text_schemas::put_in_place(&mut document);
    let routes = routes
        .fallback(unknown)
        .method_not_allowed_fallback(move |request: Request| ready(wrong_method(&allowed, &request)))
        .layer(Extension(Arc::<OpenApi>::new(document)))
        .layer(from_fn_with_state(Arc::clone(&app), budget::hold))
        .layer(from_fn_with_state((Arc::clone(&app), metrics.endpoint("unauthorized")), auth::reading))
        .layer(from_fn(public))
        .with_state(Arc::clone(&app));
    // Around the routes and not among them: a path is put right before it is looked up.
    let entering = from_fn_with_state((app, metrics.endpoint("misdirected")), entrance::enter);
    Router::new().fallback_service(entering.layer(routes))
}

/// The one place for a route: its handler says path, method and documentation. The names are those that dashboards of this field
/// already use, where there is one.
fn routes(app: &Arc<App>, metrics: &HttpMetrics) -> OpenApiRouter<Arc<App>> {
    let measured = |name: &'static str, route: UtoipaMethodRouter<Arc<App>>| {
        let known = KnownParameters::of(&route.1);
        route
            .layer(from_fn_with_state(Arc::clone(app), compress::compress))
            .layer(from_fn_with_state(known, parameters::refuse_unknown))
            .layer(from_fn(problem::name_path))
            .layer(from_fn_with_state(metrics.endpoint(name), track))
    };
    // What changes something wants a token for writing.
    let writes = |route: UtoipaMethodRouter<Arc<App>>| route.layer(from_fn_with_state(Arc::clone(app), auth::writing));
    OpenApiRouter::with_openapi(api::Document::openapi())
        .routes(measured("page", routes!(page::page)))
        .routes(measured("page_status", routes!(page::status)))
        .routes(measured("page_file", routes!(page::file)))
        .routes(measured("list_channels", routes!(listing::channels)))
        .routes(measured("list_qualities", routes!(listing::qualities)))
        .routes(measured("list_hours", routes!(listing::hours)))
        .routes(measured("list_segments", routes!(listing::segments)))
        .routes(measured("segments", routes!(segments::file)))
        .routes(measured("list_extras", routes!(segments::extras)))
        .routes(measured("generate_master_playlist", routes!(master::master)))
        .routes(measured("generate_media_playlist", routes!(playlist::media)))
        .routes(measured("cut", routes!(cut::cut)))
        .routes(measured("get_frame", routes!(ffmpeg::frame)))
        .routes(measured("generate_waveform", routes!(ffmpeg::waveform)))
        .routes(measured("get_thumbnail", routes!(thumbnail::named, thumbnail::brought)))
        .routes(measured("get_chat_messages", routes!(chat::chat)))
        .routes(measured("generate_videos", writes(routes!(videos::generate))))
        .routes(measured("metrics", routes!(pages::metrics)))
        .routes(measured("metrics_with_trailing", routes!(pages::metrics_below)))
        .routes(measured("healthz", routes!(pages::healthz)))
        .routes(measured("readyz", routes!(pages::readyz)))
        .routes(measured("openapi", routes!(api::openapi)))
        .routes(measured("segments_range", routes!(api::segments)))
        .routes(measured("sequence", routes!(sequence::sequence)))
        .routes(measured("coverage", routes!(coverage::coverage)))
        .routes(measured("holes", routes!(coverage::holes)))
        .routes(measured("ledger", routes!(hole_reasons::ledger)))
        .routes(measured("timespans", routes!(coverage::timespans)))
        .routes(measured("timeline", routes!(timeline::timeline)))
        .routes(measured("explain", routes!(explain::explain)))
        .routes(measured("streams", routes!(peers::streams)))
        .routes(measured("peers", routes!(peers::peers)))
        .routes(measured("peer_timeline", routes!(peers::timeline)))
        .routes(measured("peer_holes", routes!(peers::holes)))
        .routes(measured("events", routes!(events::events)))
        .routes(measured("map", routes!(map::map)))
        .routes(measured("digests", routes!(digests::qualities)))
        .routes(measured("digests_of_days", routes!(digests::days)))
        .routes(measured("digests_of_hours", routes!(digests::hours)))
        .routes(measured("bundle", routes!(bundle::bundle)))
        .routes(measured("changes", routes!(changes::changes)))
        .routes(measured("retention", routes!(retention::view)))
        .routes(measured("status", routes!(status::status)))
        .routes(measured("crawl", routes!(crawl::view)))
        .routes(measured("crawl_pace", writes(routes!(crawl::pace))))
        .routes(measured("crawl_run", writes(routes!(crawl::run))))
        .routes(measured("census", routes!(crawl::census)))
        .routes(measured("check", routes!(check::check)))
        .routes(measured("flagged", routes!(scrub::flagged)))
        .routes(measured("quarantine", routes!(scrub::quarantine)))
        .routes(measured("quarantine_restore", writes(routes!(scrub::restore))))
        .routes(measured("quarantine_purge", writes(routes!(scrub::purge))))
        .routes(measured("scrub", writes(routes!(scrub::run))))
        .routes(measured("seal", writes(routes!(seal::run))))
        .routes(measured("manifest", routes!(seal::manifest)))
        .routes(measured("archive", routes!(archiving::view)))
        .routes(measured("archive_objects", writes(routes!(archiving::objects))))
        .routes(measured("archive_run", writes(routes!(archiving::run))))
        .routes(measured("archive_verify", writes(routes!(archiving::verify))))
        .routes(measured("archive_restore", writes(routes!(archiving::restore))))
        .routes(measured("archive_drop", writes(routes!(archiving::drop_local))))
        .routes(measured("archive_purge", writes(routes!(archiving::purge))))
        .routes(measured("layout", routes!(layout::view)))
        .routes(measured("layout_file", routes!(layout::file)))
        .routes(measured("layout_plan", routes!(layout::plan)))
        .routes(measured("layout_stage", writes(routes!(layout::stage))))
        .routes(measured("layout_pause", writes(routes!(layout::pause))))
        .routes(measured("layout_discard", writes(routes!(layout::discard))))
        .routes(measured("layout_apply", writes(routes!(layout::apply))))
        .routes(measured("layout_take", writes(routes!(layout::take))))
        .routes(measured("layout_pins", routes!(layout_pins::pins)))
        .routes(measured("recorders", routes!(recorders::list)))
        .routes(measured("recorder_start", writes(routes!(recorders::start))))
        .routes(measured("recorder_stop", writes(routes!(recorders::stop))))
        .routes(measured("recorder_test", writes(routes!(recorders::test))))
        .routes(measured("tombstones", routes!(tombstones::list)))
        .routes(measured("tombstones", writes(routes!(tombstones::add))))
        .routes(measured("retention_run", writes(routes!(operator_actions::run))))
        .routes(measured("retention_accept", writes(routes!(operator_actions::accept_records))))
        .routes(measured("retention_keep", writes(routes!(operator_actions::keep))))
        .routes(measured("crawl_accept", writes(routes!(operator_actions::accept_missing))))
        .routes(measured("tombstones_accept", writes(routes!(operator_actions::accept))))
        .routes(measured("tombstones_purge", writes(routes!(tombstones::purge))))
}

async fn unknown(request: Request) -> Response {
    Problem::not_found("such address; see /api/v1/openapi.json").at(request.uri().path()).into_response()
}

fn wrong_method(allowed: &BTreeMap<String, String>, request: &Request) -> Response {
    let matched = request.extensions().get::<MatchedPath>();
    let methods = matched.and_then(|path| allowed.get(path.as_str())).map_or(cors::METHODS, String::as_str);
    Problem::method_not_allowed(methods).at(request.uri().path()).into_response()
}

/// The methods of an address, as `Allow` lists them.
fn methods(item: &PathItem) -> String {
    let listed = [
        ("GET, HEAD", item.get.is_some()),
        ("OPTIONS", true),
        ("POST", item.post.is_some()),
        ("PUT", item.put.is_some()),
    ];
    let methods: Vec<&str> = listed.iter().filter(|(_, is_there)| *is_there).map(|(name, _)| *name).collect();
    methods.join(", ")
}

/// A public read-only API: any origin may ask. Pages of others may not change anything: a preflight allows neither POST nor tokens.
async fn public(request: Request, next: Next) -> Response {
    if request.method() == Method::OPTIONS {
        return cors::preflight();
    }
    let mut response = next.run(request).await;
    cors::allow(response.headers_mut());
    response
}

#[cfg(test)]
mod moving_over;
#[cfg(test)]
mod openapi;
