//! `/api/v1/recorders`: what this node records, and orders to start, stop and test.
//!
//! Every order wants a token for writing, the test as well: it makes this machine ask addresses that somebody names. Commands are never
//! ordered here; only the settings name those.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::Problem;
use super::app::{Answer, App};
use super::problem::capital;
use super::request::{FromBody, JsonBody};
use crate::archive::{Channel, Quality};
use crate::jobs::{JobRegistry, JobStatus};
use crate::net::tls;
use crate::record::{
    ProbedSource, RecordOptions, RecordSource, RecorderChangeError, RecorderStatus, Recorders, SOURCE, SourceAddress,
    SourceHeaders, SourceProtocol, probe_hls, probe_stream, probing_client,
};
use crate::wire::{RecorderList, RecorderReport, StartRecorder, StopRecorder, StreamRecorderReport, TestSource};

/// Answers `GET /api/v1/recorders`.
#[utoipa::path(
    get, path = "/api/v1/recorders",
    responses((status = 200, body = RecorderList, description = "by channel; empty if nothing is recorded here"))
)]
pub(super) async fn list(State(app): State<Arc<App>>) -> Json<RecorderList> {
    Json(listed(&app))
}

/// Answers `POST /api/v1/recorders/start`.
#[utoipa::path(
    post, path = "/api/v1/recorders/start", request_body = StartRecorder, security(("bearer" = [])),
    responses(
        (status = 200, body = RecorderReport, description = "it records from now on, also after a restart"),
        (status = 400, description = "invalid body, or a name or address is none"),
        (status = 401, description = "unknown token"), (status = 403, description = "the token is one for reading"),
        (status = 404, description = "no source is given, and no recorder has this channel"),
        (status = 409, description = "the settings say where this channel is recorded from"),
        (status = 503, description = "what was ordered before cannot be read"), (status = 507, description = "the disk is full")
    )
)]
pub(super) async fn start(
    State(app): State<Arc<App>>,
    JsonBody(order): JsonBody<StartRecorder>,
) -> Answer<RecorderReport> {
    let channel = channel(&order.channel)?;
    let options = options(&channel, &order)?;
    ordered(app, channel, move |recorders, channel| match options {
        Some(options) => recorders.start(options),
        None => recorders.resume(channel),
    })
    .await
}

impl FromBody for StartRecorder {
    const EXAMPLE: &'static str = "{\"channel\": \"NAME\", \"source\": \"https://live.example/live.m3u8\"}";
}

/// Answers `POST /api/v1/recorders/stop`.
#[utoipa::path(
    post, path = "/api/v1/recorders/stop", request_body = StopRecorder, security(("bearer" = [])),
    responses(
        (status = 200, body = RecorderList, description = "it records nothing more until it is started, also after a restart; this is what is left"),
        (status = 400, description = "invalid body"), (status = 401, description = "unknown token"),
        (status = 403, description = "the token is one for reading"), (status = 404, description = "no recorder has this channel"),
        (status = 409, description = "to be forgotten, while the settings name it"),
        (status = 503, description = "what was ordered before cannot be read"), (status = 507, description = "the disk is full")
    )
)]
pub(super) async fn stop(
    State(app): State<Arc<App>>,
    JsonBody(StopRecorder { channel: name, forget }): JsonBody<StopRecorder>,
) -> Answer<RecorderList> {
    let channel = channel(&name)?;
    let left = app.ask_light(move |node| {
        let recorders = recorders(node)?;
        let done = if forget { recorders.forget(&channel) } else { recorders.stop(&channel) };
        done.map_err(Problem::from)?;
        Ok(listed(node))
    });
    left.await.map(Json)
}

impl FromBody for StopRecorder {
    const EXAMPLE: &'static str = "{\"channel\": \"NAME\"}";
}

/// Answers `POST /api/v1/recorders/test`.
#[utoipa::path(
    post, path = "/api/v1/recorders/test", request_body = TestSource, security(("bearer" = [])),
    responses(
        (status = 200, body = ProbedSource, description = "what the source has, after some seconds; nothing is recorded"),
        (status = 400, description = "invalid body, or the address is none"),
        (status = 401, description = "unknown token"), (status = 403, description = "the token is one for reading"),
        (status = 502, description = "the source cannot be asked"), (status = 503, description = "another source is being tested")
    )
)]
pub(super) async fn test(
    State(app): State<Arc<App>>,
    JsonBody(TestSource { source }): JsonBody<TestSource>,
) -> Answer<ProbedSource> {
    let source = address(&source)?;
    let permit = Arc::clone(&app.probing).try_acquire_owned();
    let _alone = permit.map_err(|_| Problem::unavailable(10, "another source is being tested"))?;
    if source.protocol() != SourceProtocol::Hls {
        let tools = recorders(&app)?.tools();
        return tokio::select! {
            probed = probe_stream(&source, tools) => Ok(Json(probed)),
            () = app.ending().cancelled() => Err(Problem::unavailable(5, "the node is stopping")),
        };
    }
    let reading = tokio::task::spawn_blocking(|| tls::trusting(None)).await;
    let authorities = reading.ok().and_then(Result::ok).ok_or_else(|| Problem::internal("authorities-unreadable"))?;
    let client = probing_client(&source, SourceHeaders::default(), &authorities);
    tokio::select! {
        probed = probe_hls(&source, &client, &[]) => probed.map(Json).map_err(|error| Problem::source_failed(&capital(&error.to_string()))),
        () = app.ending().cancelled() => Err(Problem::unavailable(5, "the node is stopping")),
    }
}

impl FromBody for TestSource {
    const EXAMPLE: &'static str = "{\"source\": \"https://live.example/live.m3u8\"}";
}

/// Takes an order, and says how its channel is then.
async fn ordered(
    app: Arc<App>,
    channel: Channel,
    order: impl FnOnce(&Recorders, &Channel) -> Result<(), RecorderChangeError> + Send + 'static,
) -> Answer<RecorderReport> {
    let taken = app.ask_light(move |node| {
        order(recorders(node)?, &channel).map_err(Problem::from)?;
        let found = listed(node).recorders.into_iter().find(|report| report.channel == channel);
        found.ok_or_else(|| Problem::from(RecorderChangeError::Unknown(channel.to_string())))
    });
    taken.await.map(Json)
}

fn recorders(app: &App) -> Result<&Recorders, Problem> {
    app.node.recorders.as_deref().ok_or_else(|| Problem::unavailable(5, "no node runs here that could record"))
}

fn listed(app: &App) -> RecorderList {
    let statuses = app.node.recorders.as_ref().map(|recorders| recorders.list()).unwrap_or_default();
    RecorderList { recorders: statuses.into_iter().map(|status| report(status, &app.node.jobs)).collect() }
}

fn report(status: RecorderStatus, board: &JobRegistry) -> RecorderReport {
    let RecorderStatus { options, is_in_settings, is_stopped } = status;
    // A name holds no slash, so these are of this channel. Sound that lies apart has a job that no order names.
    let prefix = format!("{}/", options.channel);
    let mut jobs: BTreeMap<Quality, JobStatus> = BTreeMap::new();
    for job in board.jobs().into_iter().filter(|job| job.kind == "record") {
        let name = job.of.as_ref().and_then(|of| of.strip_prefix(&prefix));
        let Some(quality) = name.and_then(|name| Quality::new(name).ok()) else { continue };
        // One that has just been replaced may still be ending.
        if jobs.get(&quality).is_none_or(|known| known.since <= job.since) {
            jobs.insert(quality, job);
        }
    }
    let ordered = options.qualities.iter().filter_map(|quality| jobs.remove_entry(quality)).collect::<Vec<_>>();
    let streams = ordered.into_iter().chain(jobs).map(|(quality, job)| stream_report(quality, &job)).collect();
    RecorderReport {
        source: options.source.to_string(),
        skip_ads: options.skips_ads,
        in_settings: is_in_settings,
        stopped: is_stopped,
        streams,
        channel: options.channel.clone(),
    }
}

fn stream_report(quality: Quality, job: &JobStatus) -> StreamRecorderReport {
    let (error, error_time) = job.error.clone().map(|(error, at)| (error, at.into())).unzip();
    StreamRecorderReport {
        quality,
        state: job.state.as_str().to_owned(),
        doing: job.doing.clone(),
        since: job.since.into(),
        failures: job.failures,
        error,
        error_time,
    }
}

fn channel(name: &str) -> Result<Channel, Problem> {
    Channel::new(name)
        .map_err(|_| Problem::bad_parameter("channel", name, "the name of a directory, such as desertbus"))
}

fn address(source: &str) -> Result<SourceAddress, Problem> {
    // What is wrong with it is said without its secrets.
    SourceAddress::parse(source).map_err(|error| Problem::bad_source(&capital(&error.to_string())))
}

fn options(channel: &Channel, order: &StartRecorder) -> Result<Option<RecordOptions>, Problem> {
    let Some(source) = &order.source else {
        return match order.qualities.first() {
            Some(name) => Err(Problem::bad_parameter("qualities", name, "none without a source")),
            None if order.skip_ads => Err(Problem::bad_parameter("skip_ads", "true", "none without a source")),
            None => Ok(None),
        };
    };
    let source = address(source)?;
    let quality = |name: &String| {
        let read = Quality::new(name).ok().filter(|quality| !quality.is_chat());
        read.ok_or_else(|| Problem::bad_parameter("qualities", name, "names of qualities such as source or 480p"))
    };
    let best = [SOURCE.to_owned()];
    let names = if order.qualities.is_empty() { &best } else { &*order.qualities };
    let mut qualities = names.iter().map(quality).collect::<Result<Vec<_>, _>>()?;
    qualities.sort_unstable();
    qualities.dedup();
    let (source, headers) = (RecordSource::Address(source), SourceHeaders::default());
    let options = RecordOptions {
        channel: channel.clone(),
        source,
        headers,
        ca_file: None,
        qualities,
        skips_ads: order.skip_ads,
    };
    match options.refusal() {
        Some(why) => Err(Problem::bad_source(&why)),
        None => Ok(Some(options)),
    }
}

impl From<RecorderChangeError> for Problem {
    fn from(error: RecorderChangeError) -> Self {
        match error {
            RecorderChangeError::Unknown(channel) => Self::not_found(&format!("recorder of channel {channel:?}")),
            RecorderChangeError::InSettings(_) | RecorderChangeError::TooMany => {
                Self::conflict(&capital(&error.to_string()))
            }
            RecorderChangeError::Unreadable { .. } => Self::unavailable(60, &error.to_string()),
            RecorderChangeError::Disk(error) => error.into(),
        }
    }
}
