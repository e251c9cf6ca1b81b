//! `/api/v1/status`: what a node says about itself.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use axum::Json;
use axum::extract::State;

use super::Problem;
use super::app::{Answer, App};
use super::coverage::MOST_HOURS;
use super::node_problems::{self, Reports};
use super::{jobs, layout_plan};
use crate::archive::census::Census;
use crate::archive::coverage::{CoverageKind, Window};
use crate::archive::metric_series::MOST_QUALITIES;
use crate::archive::problems::video::DAY;
use crate::archive::problems::{NodeProblem, Severity};
use crate::archive::{Hour, Span, Stream, Timestamp};
use crate::disk::ArchiveId;
use crate::index::Health;
use crate::wire::{DayCoverage, DiskStatus, IndexStatus, ProblemReport, Status, StreamStatus, WatchReport};

/// Answers `GET /api/v1/status`.
#[utoipa::path(get, path = "/api/v1/status", responses((status = 200, body = Status)))]
pub(super) async fn status(State(app): State<Arc<App>>) -> Answer<Status> {
    app.ask(gather).await.map(Json)
}

/// Everything that a node says about itself; sets the gauges of its problems by the way.
pub(super) fn gather(app: &App) -> Result<Status, Problem> {
    let (index, now) = (app.node.keeper.index(), now());
    let (disk, crawl, doubts) = (disk(app), app.node.crawl.status(), app.node.keeper.doubts());
    let (peers, sources, retention) = ((app.node.peers)(), (app.node.sources)(), app.node.retention.report());
    let jobs = jobs::reports(&app.node.jobs);
    let (streams, more_streams) = streams(app, now)?;
    let reports = Reports {
        crawl: &crawl,
        doubts: &doubts,
        disk: &disk,
        streams: &streams,
        peers: &peers,
        sources: &sources,
        retention: &retention,
        jobs: &jobs,
    };
    let problems = node_problems::gather(app, &reports, now);
    let names: Vec<&str> = peers.iter().map(|peer| peer.name.as_str()).collect();
    let layout = layout_plan::summary(app, &names);
    app.gauges.problems.set(&problems);
    let is_trouble = |problem: &&NodeProblem| problem.severity > Severity::Notice;
    let troubles = problems.iter().filter(is_trouble).map(NodeProblem::line).collect();
    let set_aside: Vec<String> =
        index.set_aside().iter().map(|(path, why)| format!("{}: {why}", path.display())).collect();
    let (epoch, seq) = index.log_position().unwrap_or_default();
    let state = match index.health() {
        Health::Good => "good",
        Health::Stalled { .. } => "stalled",
        Health::InMemory { .. } => "in-memory",
    };
    let watch = app.node.watch.status();
    Ok(Status {
        name: app.node.name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started: app.started.into(),
        base_dir: app.node.base_dir.display().to_string(),
        archive_id: index.archive().ok().flatten().map(|id| ArchiveId::from_bytes(id).to_string()),
        ready: app.node.crawl.is_ready() && disk.state == "there",
        index: IndexStatus {
            state: state.to_owned(),
            file_bytes: index.file_bytes(),
            epoch: format!("{epoch:016x}"),
            seq,
            set_aside,
        },
        crawl: super::crawl::report(&crawl, &app.node.crawl.pacing().get()),
        watch: WatchReport {
            watches: watch.watches.load(Ordering::Relaxed),
            events: watch.events.load(Ordering::Relaxed),
            overflows: watch.overflows.load(Ordering::Relaxed),
            unwatched: watch.unwatched.load(Ordering::Relaxed),
        },
        disk,
        streams,
        more_streams,
        jobs,
        peers,
        sources,
        retention,
        bucket: app.node.archiver.as_ref().map(|archiver| archiver.known()),
        layout,
        doubts: doubts.into_iter().map(super::operator_actions::doubt_report).collect(),
        problems: problems.into_iter().map(ProblemReport::from).collect(),
        troubles,
    })
}

/// The qualities that have been here longest, by name, and how many more there are.
fn streams(app: &App, now: Timestamp) -> Result<(Vec<StreamStatus>, u64), Problem> {
    let index = app.node.keeper.index();
    let mut all = index.catalog().streams_by_age();
    let more = all.len().saturating_sub(MOST_QUALITIES) as u64;
    all.truncate(MOST_QUALITIES);
    all.sort_by_cached_key(ToString::to_string);
    let counted = index.census_of_all()?;
    let census = |stream: &Stream| counted.get(&stream.to_string()).copied().unwrap_or_default();
    let reports =
        all.iter().map(|stream| stream_status(app, stream, &census(stream), now)).collect::<Result<_, _>>()?;
    Ok((reports, more))
}

/// What time it is.
pub(super) fn now() -> Timestamp {
    SystemTime::now().into()
}

fn disk(app: &App) -> DiskStatus {
    match app.node.keeper.guard().base() {
        Ok(base) => {
            let space = base.free_space().ok();
            let (free_bytes, total_bytes) = (space.map(|(free, _)| free), space.map(|(_, total)| total));
            let used = app.node.keeper.disk_use().ok();
            DiskStatus {
                state: "there".to_owned(),
                free_bytes,
                total_bytes,
                own_bytes: used.map(|used| used.own),
                fetched_bytes: used.map(|used| used.fetched),
                other_bytes: used.map(|used| used.other()),
                keep_free_bytes: Some(app.node.thresholds.keep_free),
            }
        }
        Err(_) => DiskStatus { state: "away".to_owned(), ..DiskStatus::default() },
    }
}

fn stream_status(app: &App, stream: &Stream, census: &Census, now: Timestamp) -> Result<StreamStatus, Problem> {
    let (hours, future_hours) = bounds(app, stream);
    Ok(StreamStatus {
        channel: stream.channel.clone(),
        quality: stream.quality.clone(),
        hours: census.hours,
        first_hour: hours.map(|(first, _)| first),
        last_hour: hours.map(|(_, last)| last),
        future_hours,
        segments: census.segments(),
        bytes: census.segment_bytes(),
        seconds: crate::wire::seconds(census.video_us.iter().sum()),
        bad: census.files[4] + census.files[5],
        tombstones: census.tombstones,
        last_day: last_day(app, stream, now)?,
    })
}

/// The first hour of a quality, the last one up to the horizon, and how many lie beyond.
fn bounds(app: &App, stream: &Stream) -> (Option<(Hour, Hour)>, u64) {
    let horizon = app.node.keeper.horizon();
    let state = app.node.keeper.index().catalog().read();
    let Some(entry) = state.streams.get(&stream.to_string()) else { return (None, 0) };
    let first = entry.hours.keys().next().copied();
    (first.zip(horizon.newest(&entry.hours).next()), horizon.count_beyond(&entry.hours) as u64)
}

fn last_day(app: &App, stream: &Stream, now: Timestamp) -> Result<Option<DayCoverage>, Problem> {
    // What was not read yet would look like a hole.
    if !app.node.crawl.is_ready() {
        return Ok(None);
    }
    let window = Window { from: Some(now - DAY), to: Some(now), ..Window::default() };
    let found = app.node.keeper.index().coverage(stream, &window, MOST_HOURS)?;
    let covered_us = found.coverage.covered_us(CoverageKind::Raw, &window, &found.lines);
    let holes = found.coverage.holes_within(CoverageKind::Raw, &window);
    if covered_us == 0 && holes.is_empty() {
        return Ok(None);
    }
    let hole_us: i64 = holes.iter().map(|hole| hole.length().us()).sum();
    Ok(Some(DayCoverage {
        covered_seconds: crate::wire::seconds(covered_us),
        holes: holes.len() as u64,
        hole_seconds: Span::from_us(hole_us).seconds(),
    }))
}
