//! `/api/v1/status`: what a node says about itself.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::Problem;
use super::app::App;
use super::coverage::MOST_HOURS;
use super::jobs;
use crate::crawl::CrawlStatus;
use crate::disk::ArchiveId;
use crate::domain::census::Census;
use crate::domain::coverage::{CoverageKind, Window};
use crate::domain::metric_series::MOST_QUALITIES;
use crate::domain::{Hour, Span, Stream, Timestamp};
use crate::index::Health;
use crate::scrub::KeptFile;
use crate::wire::{DayCoverage, DiskStatus, IndexStatus, SourceReport, Status, StreamStatus, WatchReport};

/// Troubles that are reported one by one.
const MOST_TROUBLES: usize = 200;
/// Characters of one.
const LONGEST_TROUBLE: usize = 1_000;

const DAY: Span = Span::from_us(24 * crate::domain::time::HOUR_US);

/// Answers `GET /api/v1/status`.
#[utoipa::path(get, path = "/api/v1/status", responses((status = 200, body = Status)))]
pub async fn status(State(app): State<Arc<App>>) -> Response {
    match app.ask(gather).await {
        Ok(status) => Json(status).into_response(),
        Err(problem) => problem.at("/api/v1/status").into_response(),
    }
}

fn gather(app: &App) -> Result<Status, Problem> {
    let index = app.keeper.index();
    let mut troubles = Vec::new();
    let disk = disk(app, &mut troubles);
    let crawl = app.crawl.status();
    let doubts = app.keeper.doubts();
    troubles.extend(doubts.iter().map(ToString::to_string));
    let state = match index.health() {
        Health::Good => "good",
        Health::Stalled { why } => {
            troubles.push(why);
            "stalled"
        }
        Health::InMemory { why } => {
            troubles.push(format!("the index is kept in memory and lost at the end: {why}"));
            "in-memory"
        }
    };
    troubles.extend(app.watch.status().trouble());
    troubles.extend(crawl.trouble.clone());
    troubles.extend(crawl.last.as_ref().and_then(|(found, _)| found.last_error.clone()));
    let peers = (app.peers)();
    troubles.extend(peers.iter().filter_map(|peer| Some(format!("{}: {}", peer.name, peer.error.as_ref()?))));
    troubles.extend(peers.iter().filter_map(|peer| Some(format!("{}: {}", peer.name, peer.conflict.as_ref()?))));
    troubles.extend(
        peers.iter().flat_map(|peer| &peer.bursts).map(|burst| format!("tombstones wait for your word: {burst}")),
    );
    troubles.extend(peers.iter().filter_map(|peer| Some(format!("{}: {}", peer.name, peer.strangers_full.as_ref()?))));
    troubles.extend(app.auth.troubles());
    let sources = (app.sources)();
    troubles.extend(sources.iter().filter_map(trouble_of));
    troubles.extend(sources.iter().flat_map(|source| &source.left_out).map(|why| format!("a node is left out: {why}")));
    let retention = app.retention.report();
    troubles.extend(retention.doubt.iter().chain(&retention.error).map(|why| format!("retention: {why}")));
    troubles.extend(retention.unusable_records.iter().map(|record| {
        format!(
            "nothing is deleted: the record '{}' cannot be relied on ({}); look at it, then `gapless retention accept`",
            record.name, record.why
        )
    }));
    if let (Some(why), None) = (&retention.clock, &retention.doubt) {
        troubles.push(format!("nothing is deleted: {why}"));
    }
    if retention.last_copies > 0 {
        troubles.push(format!(
            "retention: {} segments stay here as the last copies, such as {}",
            retention.last_copies,
            retention.first_last_copies.join(", ")
        ));
    }
    troubles.extend(retention.unproven_copies.iter().map(|why| format!("retention: {why}")));
    let jobs = jobs::reports(&app.board);
    jobs::troubles(&jobs, &mut troubles);
    troubles.extend(scrub_troubles(app, &crawl));
    // The same may be told by whoever meets it.
    let mut told = std::collections::HashSet::new();
    troubles.retain(|trouble| told.insert(trouble.clone()));
    let troubles = bounded(troubles);
    let (streams, more_streams) = streams(app)?;
    let set_aside: Vec<String> =
        index.set_aside().iter().map(|(path, why)| format!("{}: {why}", path.display())).collect();
    let (epoch, seq) = index.log_position().unwrap_or_default();
    let watch = app.watch.status();
    Ok(Status {
        name: app.name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started: time(app.started),
        base_dir: app.base_dir.display().to_string(),
        archive_id: index.archive().ok().flatten().map(|id| ArchiveId::from_bytes(id).to_string()),
        ready: app.crawl.is_ready() && disk.state == "there",
        index: IndexStatus {
            state: state.to_owned(),
            file_bytes: index.file_bytes(),
            epoch: format!("{epoch:016x}"),
            seq,
            set_aside,
        },
        crawl: super::crawl::report(&crawl, &app.crawl.pacing().get()),
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
        doubts: doubts.into_iter().map(super::operator_actions::doubt_report).collect(),
        troubles,
    })
}

/// As many troubles as a person reads, each as long as one reads on: what is in them is partly up to other nodes.
fn bounded(mut troubles: Vec<String>) -> Vec<String> {
    let more = troubles.len().saturating_sub(MOST_TROUBLES);
    troubles.truncate(MOST_TROUBLES);
    for trouble in &mut troubles {
        if let Some((end, _)) = trouble.char_indices().nth(LONGEST_TROUBLE) {
            trouble.truncate(end);
            trouble.push('…');
        }
    }
    if more > 0 {
        troubles.push(format!("and {more} more troubles"));
    }
    troubles
}

/// The qualities that have been here longest, by name, and how many more there are.
fn streams(app: &App) -> Result<(Vec<StreamStatus>, u64), Problem> {
    let index = app.keeper.index();
    let mut all = index.catalog().streams_by_age();
    let more = all.len().saturating_sub(MOST_QUALITIES) as u64;
    all.truncate(MOST_QUALITIES);
    all.sort_by_cached_key(ToString::to_string);
    let counted = index.census_of_all()?;
    let census = |stream: &Stream| counted.get(&stream.to_string()).copied().unwrap_or_default();
    let reports = all.iter().map(|stream| stream_status(app, stream, &census(stream))).collect::<Result<_, _>>()?;
    Ok((reports, more))
}

/// What only a person can decide or mend: damaged files that wait, and such that nobody has.
fn scrub_troubles(app: &App, crawl: &CrawlStatus) -> Vec<String> {
    let mut troubles = Vec::new();
    let scrub = crawl.visitors.iter().find(|visitor| visitor.name == "scrub");
    let waiting = scrub.map_or(0, |visitor| visitor.state.found.count("waiting"));
    if waiting > 0 {
        troubles.push(format!(
            "scrub: {waiting} damaged files stay where they are, because so many look like a bad disk: look at it first, then `gapless scrub --yes`"
        ));
    }
    let (lost, bytes) = app.scrub.kept().count(|file: &KeptFile| file.is_lost() && !file.is_bad_by_name());
    if lost > 0 {
        troubles.push(format!(
            "scrub: {lost} damaged files ({bytes} bytes) lie in the quarantine and no other copy of them has come: `gapless quarantine` lists them"
        ));
    }
    troubles
}

fn trouble_of(source: &SourceReport) -> Option<String> {
    let (error, since) = (source.error.as_ref()?, source.failing_since.as_deref().unwrap_or("now"));
    let known = match (source.peers, source.remembered) {
        (0, _) => "no nodes are known from there".to_owned(),
        (count, false) => format!("the nodes known from there ({count}) go on"),
        (count, true) => format!("the nodes known from before the last start ({count}) go on"),
    };
    Some(format!("the list of nodes in the {}, since {since}: {error}; {known}", source.kind))
}

fn timestamp(time: SystemTime) -> Timestamp {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_us(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

pub(super) fn time(time: SystemTime) -> String {
    timestamp(time).to_string()
}

fn disk(app: &App, troubles: &mut Vec<String>) -> DiskStatus {
    match app.keeper.guard().base() {
        Ok(base) => {
            let space = base.free_space().ok();
            let (free_bytes, total_bytes) = (space.map(|(free, _)| free), space.map(|(_, total)| total));
            let used = app.keeper.disk_use().ok();
            DiskStatus {
                state: "there".to_owned(),
                free_bytes,
                total_bytes,
                own_bytes: used.map(|used| used.own),
                fetched_bytes: used.map(|used| used.fetched),
                other_bytes: used.map(|used| used.other()),
            }
        }
        Err(away) => {
            troubles.push(format!("the archive is not there: {}", away.reason));
            let (free_bytes, total_bytes) = (None, None);
            let (own_bytes, fetched_bytes, other_bytes) = (None, None, None);
            DiskStatus { state: "away".to_owned(), free_bytes, total_bytes, own_bytes, fetched_bytes, other_bytes }
        }
    }
}

fn stream_status(app: &App, stream: &Stream, census: &Census) -> Result<StreamStatus, Problem> {
    let (hours, future_hours) = bounds(app, stream);
    Ok(StreamStatus {
        channel: stream.channel.to_string(),
        quality: stream.quality.to_string(),
        hours: census.hours,
        first_hour: hours.map(|(first, _)| first.to_string()),
        last_hour: hours.map(|(_, last)| last.to_string()),
        future_hours,
        segments: census.segments(),
        bytes: census.segment_bytes(),
        seconds: crate::wire::seconds(census.video_us.iter().sum()),
        bad: census.files[4] + census.files[5],
        tombstones: census.tombstones,
        last_day: last_day(app, stream)?,
    })
}

/// The first hour of a quality, the last one up to the horizon, and how many lie beyond.
fn bounds(app: &App, stream: &Stream) -> (Option<(Hour, Hour)>, u64) {
    let horizon = app.keeper.horizon();
    let state = app.keeper.index().catalog().read();
    let Some(entry) = state.streams.get(&stream.to_string()) else { return (None, 0) };
    let first = entry.hours.keys().next().copied();
    (first.zip(horizon.newest(&entry.hours).next()), horizon.count_beyond(&entry.hours) as u64)
}

fn last_day(app: &App, stream: &Stream) -> Result<Option<DayCoverage>, Problem> {
    // What was not read yet would look like a hole.
    if !app.crawl.is_ready() {
        return Ok(None);
    }
    let now = timestamp(SystemTime::now());
    let window = Window { from: Some(now - DAY), to: Some(now), ..Window::default() };
    let found = app.keeper.index().coverage(stream, &window, MOST_HOURS)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn troubles_are_as_many_and_as_long_as_one_reads() {
        assert_eq!(bounded(vec!["short".into()]), ["short"]);
        let told = bounded(vec!["é".repeat(LONGEST_TROUBLE + 1); MOST_TROUBLES + 5]);
        assert_eq!(told.len(), MOST_TROUBLES + 1);
        assert_eq!(told[0].chars().count(), LONGEST_TROUBLE + 1);
        assert_eq!(told.last().unwrap(), "and 5 more troubles");
    }
}
