//! Logs rounds, counts them under the names that dashboards of this field ask for, and some more, and writes the last complete ones to a file.
//!
//! The file is for monitors that look from outside. It is written after each complete round, as a whole or not at all; one that looks at a
//! part only is given no file: a monitor that looks at `oldest_complete_round` sees at once when a peer has not been reached for long.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec, Opts, Registry};
use serde_json::json;
use tokio::time::Instant;

use super::peer_state::{FollowedPeer, PeerState, PeerStatus};
use super::report::MOST_BURSTS;
use super::round::RoundResult;
use super::shared::PeerJob;
use crate::archive::{HourPlace, Timestamp, escape};
use crate::disk::{Base, DiskError};
use crate::jobs::HourCounter;

const HOUR_LABELS: &[&str] = &["remote", "channel", "quality", "hour"];

#[derive(Debug)]
pub(super) struct BackfillMetrics {
    segments: HourCounter,
    hash_mismatches: HourCounter,
    small_differences: HourCounter,
    hours: HourCounter,
    errors: IntCounterVec,
    bytes: IntCounterVec,
    requests: IntCounterVec,
    tombstones: IntCounterVec,
    lag_seconds: GaugeVec,
    lag_segments: IntGaugeVec,
    strangers_bytes: IntGaugeVec,
    strangers_full: IntGaugeVec,
    skew: GaugeVec,
}

impl BackfillMetrics {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let hourly = |name, help| HourCounter::register(registry, name, help, HOUR_LABELS);
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counters.clone()))?;
            Ok::<_, prometheus::Error>(counters)
        };
        let lag_seconds = GaugeVec::new(
            Opts::new("backfill_lag_seconds", "Seconds since all that the peer has and is old enough was here"),
            &["remote"],
        )?;
        let lag_segments = IntGaugeVec::new(
            Opts::new("backfill_lag_segments", "Segments that are known to be there and old enough, and are not here"),
            &["remote"],
        )?;
        let gauge = |name: &str, help: &str| {
            let gauges = IntGaugeVec::new(Opts::new(name, help), &["remote"])?;
            registry.register(Box::new(gauges.clone()))?;
            Ok::<_, prometheus::Error>(gauges)
        };
        let strangers_bytes = gauge(
            "backfill_strangers_bytes",
            "Bytes here that a peer gave of channels that nobody here records or names",
        )?;
        let strangers_full = gauge(
            "backfill_strangers_budget_full",
            "1 if the last round left something of such channels out because the peer's budget for them is full",
        )?;
        let skew = GaugeVec::new(
            Opts::new(
                "gapless_recorder_skew_seconds",
                "Seconds by which the recording of a peer begins later than the one here, by equal content under two starts",
            ),
            &["remote", "channel", "quality"],
        )?;
        registry.register(Box::new(skew.clone()))?;
        registry.register(Box::new(lag_seconds.clone()))?;
        registry.register(Box::new(lag_segments.clone()))?;
        Ok(Self {
            segments: hourly("segments_backfilled_total", "Segments fetched from a peer")?,
            hash_mismatches: hourly("hash_mismatches_total", "Files of a peer that were not what their name says")?,
            small_differences: hourly(
                "small_difference_segments_total",
                "Segments left because the same one is here with a start at most a millisecond away",
            )?,
            // Of no hour, but of as many qualities as peers make up.
            hours: HourCounter::register(
                registry,
                "hours_backfilled_total",
                "Hours of a peer from which something was fetched",
                &["remote", "channel", "quality"],
            )?,
            errors: counter(
                "backfill_errors_total",
                "Files that could not be fetched, and rounds that failed",
                &["remote"],
            )?,
            bytes: counter("backfill_bytes_total", "Bytes of files fetched from a peer", &["remote"])?,
            requests: counter("backfill_requests_total", "Requests to a peer, downloads left out", &["remote"])?,
            tombstones: counter("backfill_tombstones_total", "Tombstones taken over from a peer", &["remote"])?,
            lag_seconds,
            lag_segments,
            strangers_bytes,
            strangers_full,
            skew,
        })
    }

    pub(super) fn fetched(&self, peer: &str, place: &HourPlace, files: u64, bytes: u64) {
        if files > 0 {
            add(&self.segments, peer, place, files);
            self.bytes.with_label_values(&[peer]).inc_by(bytes);
        }
    }

    /// An hour is done from which something was fetched.
    pub(super) fn hour(&self, peer: &str, place: &HourPlace) {
        let (channel, quality) = (place.stream.channel.as_str(), place.stream.quality.as_str());
        self.hours.add(&[peer, channel, quality], 1);
    }

    pub(super) fn hash_mismatches(&self, peer: &str, place: &HourPlace, files: u64) {
        add(&self.hash_mismatches, peer, place, files);
    }

    pub(super) fn small_differences(&self, peer: &str, place: &HourPlace, files: u64) {
        add(&self.small_differences, peer, place, files);
    }

    pub(super) fn errors(&self, peer: &str, count: u64) {
        self.errors.with_label_values(&[peer]).inc_by(count);
    }

    pub(super) fn tombstones(&self, peer: &str, count: u64) {
        self.tombstones.with_label_values(&[peer]).inc_by(count);
    }

    pub(super) fn requests(&self, peer: &str, count: u64) {
        self.requests.with_label_values(&[peer]).inc_by(count);
    }

    pub(super) fn lag(&self, peers: &[PeerStatus]) {
        self.lag_seconds.reset();
        self.lag_segments.reset();
        self.strangers_bytes.reset();
        self.strangers_full.reset();
        self.skew.reset();
        for status in peers {
            let name = [status.peer.name.as_str()];
            self.lag_seconds.with_label_values(&name).set(status.lag.as_secs_f64());
            self.lag_segments.with_label_values(&name).set(i64::try_from(status.behind).unwrap_or(i64::MAX));
            let bytes = i64::try_from(status.filled.used.bytes).unwrap_or(i64::MAX);
            self.strangers_bytes.with_label_values(&name).set(bytes);
            self.strangers_full.with_label_values(&name).set(status.full.is_some().into());
            for skew in status.skews() {
                let labels = [name[0], skew.stream.channel.as_str(), skew.stream.quality.as_str()];
                self.skew.with_label_values(&labels).set(skew.later.seconds());
            }
        }
    }
}

fn add(counter: &HourCounter, peer: &str, place: &HourPlace, count: u64) {
    if count > 0 {
        let hour = place.hour.to_string();
        counter.add(&[peer, place.stream.channel.as_str(), place.stream.quality.as_str(), &hour], count);
    }
}

/// How often a long round logs its progress.
const TELL: Duration = Duration::from_secs(300);

/// A round has ended, complete or not. What is done from now on is not part of it.
pub(super) fn round_done(job: &mut PeerJob, took: Duration, complete: bool) {
    let report = std::mem::take(&mut job.report);
    let (known, report) = (&job.followed, &report);
    let name = &job.peer().name;
    if report.fetched > 0 || report.tombstones > 0 || !report.is_complete() {
        tracing::info!(
            name: "backfill_round", peer = name, hours = report.hours, fetched = report.fetched, bytes = report.bytes,
            tombstones = report.tombstones, errors = report.errors, seconds = took.as_secs_f64(), "round done"
        );
    }
    let metrics = &job.shared.metrics;
    metrics.requests(name, report.requests);
    metrics.errors(name, report.errors + report.hash_mismatches);
    if complete {
        known.handle.succeeded();
    } else {
        known.handle.failed(report.last_error.as_deref().unwrap_or("the round left something undone"));
    }
    known.update(|status| {
        if complete {
            (status.rounds, status.failures) = (status.rounds + 1, 0);
            status.complete = Some(SystemTime::now());
        } else {
            status.failures = status.failures.saturating_add(1);
        }
        status.error.clone_from(&report.last_error);
        status.all.add(report.clone());
        status.last = Some((report.clone(), took));
    });
}

/// A round that began then came to its end: the peer was asked about everything, or is this node.
pub(super) fn compared(job: &PeerJob, result: Option<RoundResult>, began: Timestamp) {
    let (knowledge, name) = (&job.shared.parts.knowledge, &job.peer().name);
    match result {
        Some(RoundResult::Itself) => knowledge.is_itself(name),
        Some(RoundResult::Kind(_) | RoundResult::Fixed) if !job.is_partly_asked => knowledge.compared(name, began),
        _ => {}
    }
}

/// Something was done between two rounds.
pub(super) fn went_on(job: &mut PeerJob) {
    let report = std::mem::take(&mut job.report);
    let metrics = &job.shared.metrics;
    metrics.requests(&job.peer().name, report.requests);
    metrics.errors(&job.peer().name, report.errors + report.hash_mismatches);
    job.followed.update(|status| {
        if let Some((last, _)) = &mut status.last {
            let room = MOST_BURSTS.saturating_sub(last.bursts.len());
            last.bursts.extend(report.bursts.iter().take(room).cloned());
        }
        status.all.add(report);
    });
}

/// A line now and then for each peer whose round lasts.
pub(super) async fn progress(known: Arc<FollowedPeer>) {
    let mut began = Instant::now();
    loop {
        tokio::time::sleep(TELL).await;
        let status = known.status();
        if status.state != PeerState::Round {
            began = Instant::now();
            continue;
        }
        let (done, total) = status.hours;
        let elapsed = began.elapsed().max(TELL);
        tracing::info!(
            name: "backfill_progress", peer = known.peer.name, hours = done, of = total, behind = status.behind,
            "{}", line(done, total, elapsed)
        );
    }
}

/// `30/120 hours checked (25%), 6.0 a minute, 15m left`.
#[expect(clippy::cast_precision_loss, reason = "an estimate for people")]
pub(super) fn line(done: u64, total: u64, elapsed: Duration) -> String {
    let percent = done.saturating_mul(100).checked_div(total).unwrap_or(100);
    let rate = done as f64 / elapsed.as_secs_f64().max(1.0);
    let left = if done == 0 {
        "time left unknown".to_owned()
    } else {
        let seconds = total.saturating_sub(done) as f64 / rate;
        format!("{} left", humantime::format_duration(Duration::from_secs_f64(seconds.ceil().min(1e9))))
    };
    format!("{done}/{total} hours checked ({percent}%), {:.1} a minute, {left}", rate * 60.0)
}

/// Where the file lies, and whose results stand in it.
#[derive(Debug, Default)]
pub(super) struct ReportFile {
    path: Option<PathBuf>,
    peers: Mutex<Vec<Arc<FollowedPeer>>>,
}

impl ReportFile {
    /// To be written there, if anywhere.
    pub(super) fn new(path: Option<PathBuf>) -> Self {
        Self { path, peers: Mutex::default() }
    }

    pub(super) fn set_peers(&self, peers: &[Arc<FollowedPeer>]) {
        *self.peers.lock() = peers.to_vec();
    }

    /// Writes the file, if there is to be one.
    pub(super) async fn write(&self) {
        let Some(path) = self.path.clone() else { return };
        let text = text(&self.statuses());
        let written = tokio::task::spawn_blocking(move || replace(&path, &text)).await;
        match written {
            Ok(Ok(())) => {}
            Ok(Err(error)) => not_written(&error),
            Err(error) => not_written(&error),
        }
    }

    fn statuses(&self) -> Vec<PeerStatus> {
        let peers = self.peers.lock().clone();
        let others = peers.iter().map(|known| known.status()).filter(|status| status.state != PeerState::Itself);
        others.collect()
    }
}

fn not_written(error: &dyn std::error::Error) {
    tracing::warn!(name: "report_not_written", %error, "the result of a round could not be written for monitors");
}

fn replace(path: &Path, text: &str) -> Result<(), DiskError> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
    let Some(dir) = Base::open(directory)?.dir(Path::new(""))? else { return Ok(()) };
    crate::disk::atomic::replace(&dir, name, text.as_bytes())
}

fn text(peers: &[PeerStatus]) -> String {
    let complete: Option<Vec<SystemTime>> = peers.iter().map(|status| status.complete).collect();
    let peers: Vec<serde_json::Value> = peers.iter().map(peer).collect();
    let oldest = complete.and_then(|times| times.into_iter().min()).map(time);
    let file = json!({ "written": time(SystemTime::now()), "oldest_complete_round": oldest, "peers": peers });
    // Somebody looks at it with `cat`, and names and errors come from others.
    format!("{}\n", escape::json(&format!("{file:#}")))
}

fn peer(status: &PeerStatus) -> serde_json::Value {
    let (last, took) = status.last.clone().unwrap_or_default();
    json!({
        "name": status.peer.name, "url": status.peer.url.to_string(), "complete_round": status.complete.map(time),
        "rounds": status.rounds, "failures": status.failures, "error": status.error,
        "behind_segments": status.behind, "behind_seconds": status.lag.as_secs_f64(),
        "last_round": {
            "seconds": took.as_secs_f64(), "requests": last.requests, "hours": last.hours, "fetched": last.fetched,
            "bytes": last.bytes, "extras": last.extras, "tombstones": last.tombstones, "near_duplicates": last.near_duplicates, "twins": last.twins,
            "too_recent": last.too_recent, "untrusted_tombstones": last.untrusted, "bursts": last.bursts,
            "future_hours": last.future, "passed_over": last.passed_over,
            "refused_names": last.refused, "hash_mismatches": last.hash_mismatches, "errors": last.errors,
        },
    })
}

fn time(time: SystemTime) -> String {
    Timestamp::from(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_how_fast_and_how_long_yet() {
        let five = Duration::from_secs(300);
        assert_eq!(line(30, 120, five), "30/120 hours checked (25%), 6.0 a minute, 15m left");
        assert_eq!(line(0, 120, five), "0/120 hours checked (0%), 0.0 a minute, time left unknown");
        assert_eq!(line(0, 0, five), "0/0 hours checked (100%), 0.0 a minute, time left unknown");
    }
}
