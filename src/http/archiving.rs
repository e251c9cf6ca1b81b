//! `/api/v1/archive`: what of this archive lies in its bucket; and, asked for now: uploading, reading back, and bringing back what is missing here.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;

use super::Problem;
use super::app::{Answer, App};
use super::line_sender::LineSender;
use super::request::{FromBody, FromQuery, JsonBody, Parameters, Query};
use crate::archive::HourPlace;
use crate::bucket::BucketError;
use crate::lifecycle::archiving::{ArchiveError, ArchiveObserver, Archiver, BucketPurge};
use crate::wire::{
    ArchiveLine, ArchiveObject, ArchiveObjects, ArchiveOrder, ArchiveReport, ArchiveRestoreOrder, ArchiveShare,
    ArchiveSummary, ArchiveVerifyOrder,
};

/// Answers `GET /api/v1/archive`: hours that lie in the bucket, that wait, and that are not sealed. It costs a few looks at the disk for each hour.
#[utoipa::path(
    get, path = "/api/v1/archive",
    responses((status = 200, body = ArchiveReport), (status = 503, description = "the disk is not there, or too much is asked at once"))
)]
pub(super) async fn view(State(app): State<Arc<App>>) -> Answer<ArchiveReport> {
    let report = app.ask(|app| {
        let places = app.node.keeper.places(&[]).unwrap_or_default();
        let Some(archiver) = &app.node.archiver else {
            let open = ArchiveShare { hours: places.len() as u64, bytes: 0 };
            return Ok(ArchiveReport { open, ..ArchiveReport::default() });
        };
        Ok(archiver.report(&places)?)
    });
    report.await.map(Json)
}

/// Answers `GET /api/v1/archive/objects`: a page of what the bucket lists. Each costs a request of the store, so that not everybody may ask.
#[utoipa::path(
    get, path = "/api/v1/archive/objects", security(("bearer" = [])),
    params(
        ("below" = Option<String>, Query, description = "CHANNEL, CHANNEL/QUALITY or CHANNEL/QUALITY/HOUR; everything without it"),
        ("from" = Option<String>, Query, description = "`next` of the page before")
    ),
    responses(
        (status = 200, body = ArchiveObjects), (status = 401, description = "unknown token"),
        (status = 403, description = "the token is one for reading"), (status = 409, description = "no bucket is named in the settings"),
        (status = 502, description = "the bucket cannot be asked")
    )
)]
pub(super) async fn objects(State(app): State<Arc<App>>, Query(asked): Query<ListQuery>) -> Answer<ArchiveObjects> {
    let archiver = archiver(&app)?;
    let below = asked.below.map_or_else(String::new, |place| format!("{}/", place.trim_end_matches('/')));
    let page = archiver.bucket().list(&below, asked.from.as_deref()).await;
    let page = page.map_err(|error| Problem::bad_gateway(&error.to_string()))?;
    let object =
        |object: crate::bucket::ListedObject| ArchiveObject { name: object.name.to_string(), bytes: object.size };
    let objects = page.objects.into_iter().map(object).collect();
    Ok(Json(ArchiveObjects { objects, others: page.others, next: page.next }))
}

pub(super) struct ListQuery {
    below: Option<String>,
    from: Option<String>,
}

impl FromQuery for ListQuery {
    fn read(given: &Parameters) -> Result<Self, Problem> {
        let text = |name: &'static str| given.each(name, |value: &str| Ok(value.to_owned()));
        Ok(Self { below: text("below")?, from: text("from")? })
    }
}

/// Answers `POST /api/v1/archive/run`: a line of JSON for what is ahead, what is done, and each hour with which something happens, and a last one that
/// says how it ended. One at a time; it goes on no longer than somebody listens.
#[utoipa::path(
    post, path = "/api/v1/archive/run", request_body = ArchiveOrder, security(("bearer" = [])),
    responses(
        (status = 200, body = ArchiveLine, content_type = "application/x-ndjson"), (status = 400, description = "invalid body, or nothing lies at a place"),
        (status = 401, description = "unknown token"), (status = 403, description = "the token is one for reading"),
        (status = 409, description = "no bucket is named in the settings"), (status = 503, description = "another one was asked for and is running")
    )
)]
pub(super) async fn run(
    State(app): State<Arc<App>>,
    JsonBody(order): JsonBody<ArchiveOrder>,
) -> Result<Response, Problem> {
    let places = places(&app, &order.places)?;
    work(&app, move |archiver, listener| archiver.run(&places, order.dry_run, listener))
}

/// Answers `POST /api/v1/archive/drop`, in the same lines.
#[utoipa::path(
    post, path = "/api/v1/archive/drop", request_body = ArchiveOrder, security(("bearer" = [])),
    responses(
        (status = 200, body = ArchiveLine, content_type = "application/x-ndjson"), (status = 400, description = "invalid body, nothing lies at a place, or no place is given"),
        (status = 401, description = "unknown token"), (status = 403, description = "the token is one for reading"),
        (status = 409, description = "no bucket is named in the settings"), (status = 503, description = "another one was asked for and is running")
    )
)]
pub(super) async fn drop_local(
    State(app): State<Arc<App>>,
    JsonBody(order): JsonBody<ArchiveOrder>,
) -> Result<Response, Problem> {
    require_places(&order.places)?;
    let places = places(&app, &order.places)?;
    work(&app, move |archiver, listener| archiver.drop_all(&places, order.dry_run, listener))
}

/// Answers `POST /api/v1/archive/purge`, in the same lines.
#[utoipa::path(
    post, path = "/api/v1/archive/purge", request_body = ArchiveOrder, security(("bearer" = [])),
    responses(
        (status = 200, body = ArchiveLine, content_type = "application/x-ndjson"), (status = 400, description = "invalid body, nothing lies at a place, or no place is given"),
        (status = 401, description = "unknown token"), (status = 403, description = "the token is one for reading"),
        (status = 409, description = "no bucket is named in the settings"), (status = 503, description = "another one was asked for and is running")
    )
)]
pub(super) async fn purge(
    State(app): State<Arc<App>>,
    JsonBody(order): JsonBody<ArchiveOrder>,
) -> Result<Response, Problem> {
    // To be told what would go harms nobody.
    if !order.dry_run || !order.places.is_empty() {
        require_places(&order.places)?;
    }
    let noted = archiver(&app)?;
    let wanted = order.places.clone();
    let places = app.ask(move |_| noted.noted_places(&wanted)?.map_err(|nothing| nothing_there(&nothing))).await?;
    let make_stay = app.node.last_copies_in_bucket.clone();
    work(&app, move |archiver, listener| {
        let stay = make_stay.map(|make| make());
        let (within, stay) = (&*order.places, stay.as_deref());
        archiver.purge_objects(&BucketPurge { within, places: &places, is_dry: order.dry_run, stay }, listener)
    })
}

/// Answers `POST /api/v1/archive/verify`, in the same lines.
#[utoipa::path(
    post, path = "/api/v1/archive/verify", request_body = ArchiveVerifyOrder, security(("bearer" = [])),
    responses(
        (status = 200, body = ArchiveLine, content_type = "application/x-ndjson"), (status = 400, description = "invalid body, or nothing lies at a place"),
        (status = 401, description = "unknown token"), (status = 403, description = "the token is one for reading"),
        (status = 409, description = "no bucket is named in the settings"), (status = 503, description = "another one was asked for and is running")
    )
)]
pub(super) async fn verify(
    State(app): State<Arc<App>>,
    JsonBody(order): JsonBody<ArchiveVerifyOrder>,
) -> Result<Response, Problem> {
    let noted = archiver(&app)?;
    let within = order.places.clone();
    let places = app.ask(move |_| noted.noted_places(&within)?.map_err(|nothing| nothing_there(&nothing))).await?;
    if let Some(share) = order.sample.filter(|share| !(*share > 0.0 && *share <= 1.0)) {
        return Err(Problem::bad_parameter("sample", &share.to_string(), "a share above 0 and up to 1, such as 0.01"));
    }
    work(&app, move |archiver, listener| archiver.verify_all(&places, order.sample, listener))
}

/// Answers `POST /api/v1/archive/restore`, in the same lines.
#[utoipa::path(
    post, path = "/api/v1/archive/restore", request_body = ArchiveRestoreOrder, security(("bearer" = [])),
    responses(
        (status = 200, body = ArchiveLine, content_type = "application/x-ndjson"), (status = 400, description = "invalid body, or no place is given"),
        (status = 401, description = "unknown token"), (status = 403, description = "the token is one for reading"),
        (status = 409, description = "no bucket is named in the settings"), (status = 503, description = "another one was asked for and is running")
    )
)]
pub(super) async fn restore(
    State(app): State<Arc<App>>,
    JsonBody(order): JsonBody<ArchiveRestoreOrder>,
) -> Result<Response, Problem> {
    // The index need not know them: what is gone from here is in the bucket's list.
    require_places(&order.places)?;
    work(&app, move |archiver, listener| archiver.restore(&order.places, listener))
}

impl FromBody for ArchiveOrder {
    const EXAMPLE: &'static str = "{\"places\": [\"CHANNEL/QUALITY/HOUR\"]}, or {} for all";
}

impl FromBody for ArchiveVerifyOrder {
    const EXAMPLE: &'static str = "{\"places\": [\"CHANNEL/QUALITY/HOUR\"], \"sample\": 0.01}, or {} for all";
}

impl FromBody for ArchiveRestoreOrder {
    const EXAMPLE: &'static str = "{\"places\": [\"CHANNEL/QUALITY/HOUR\"]}";
}

fn archiver(app: &App) -> Result<Arc<Archiver>, Problem> {
    app.node.archiver.clone().ok_or_else(|| {
        Problem::conflict(
            "no bucket is named in the settings; set archive.bucket, and archive.endpoint unless it is Amazon's",
        )
    })
}

fn places(app: &App, within: &[String]) -> Result<Vec<HourPlace>, Problem> {
    app.node.keeper.places(within).map_err(|nothing| nothing_there(&nothing))
}

/// Whoever forgets to say what does not mean everything.
fn require_places(places: &[String]) -> Result<(), Problem> {
    if places.is_empty() || places.iter().any(|place| place.trim_matches('/').is_empty()) {
        return Err(Problem::bad_body("no place is given", ArchiveRestoreOrder::EXAMPLE));
    }
    Ok(())
}

fn nothing_there(place: &str) -> Problem {
    Problem::bad_parameter("places", place, "a CHANNEL[/QUALITY[/HOUR]] that is in the index")
}

fn work(
    app: &Arc<App>,
    doing: impl FnOnce(&Archiver, &Listener) -> Result<ArchiveSummary, ArchiveError> + Send + 'static,
) -> Result<Response, Problem> {
    let archiver = archiver(app)?;
    let turn = Arc::clone(&app.archiving).try_acquire_owned();
    let turn = turn.map_err(|_| Problem::unavailable(10, "another one was asked for and is running"))?;
    let (lines, answer) = LineSender::new(app.ending().clone());
    tokio::task::spawn_blocking(move || {
        let listener = Listener(lines);
        let last = match doing(&archiver, &listener) {
            Ok(_) if listener.is_stopped() => {
                ArchiveLine::Failed { reason: None, why: BucketError::Stopped.to_string() }
            }
            Ok(summary) => ArchiveLine::Done(summary),
            Err(error) => ArchiveLine::Failed { reason: error.reason().map(str::to_owned), why: error.to_string() },
        };
        listener.tell(last);
        drop(turn);
    });
    Ok(answer)
}

/// Whoever asked, as long as it listens.
struct Listener(LineSender);

impl ArchiveObserver for Listener {
    fn tell(&self, line: ArchiveLine) {
        self.0.send(&line);
    }

    fn is_stopped(&self) -> bool {
        self.0.is_stopped()
    }
}
