//! What backfill counts, under the names that dashboards of this field ask for, and some more.

use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec, Opts, Registry};

use super::peer_state::PeerStatus;
use crate::archive::HourPlace;
use crate::jobs::HourCounter;

const HOUR_LABELS: &[&str] = &["remote", "channel", "quality", "hour"];

/// Counters and gauges of backfill.
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
        })
    }

    /// Files of an hour have come.
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

    /// Files were not what their names say.
    pub(super) fn hash_mismatches(&self, peer: &str, place: &HourPlace, files: u64) {
        add(&self.hash_mismatches, peer, place, files);
    }

    /// Near duplicates were left.
    pub(super) fn small_differences(&self, peer: &str, place: &HourPlace, files: u64) {
        add(&self.small_differences, peer, place, files);
    }

    /// Something went wrong.
    pub(super) fn errors(&self, peer: &str, count: u64) {
        self.errors.with_label_values(&[peer]).inc_by(count);
    }

    /// Tombstones were taken over.
    pub(super) fn tombstones(&self, peer: &str, count: u64) {
        self.tombstones.with_label_values(&[peer]).inc_by(count);
    }

    /// Requests were made.
    pub(super) fn requests(&self, peer: &str, count: u64) {
        self.requests.with_label_values(&[peer]).inc_by(count);
    }

    /// How far behind each peer we are.
    pub(super) fn lag(&self, peers: &[PeerStatus]) {
        self.lag_seconds.reset();
        self.lag_segments.reset();
        self.strangers_bytes.reset();
        self.strangers_full.reset();
        for status in peers {
            let name = [status.peer.name.as_str()];
            self.lag_seconds.with_label_values(&name).set(status.lag.as_secs_f64());
            self.lag_segments.with_label_values(&name).set(i64::try_from(status.behind).unwrap_or(i64::MAX));
            let bytes = i64::try_from(status.filled.used.bytes).unwrap_or(i64::MAX);
            self.strangers_bytes.with_label_values(&name).set(bytes);
            self.strangers_full.with_label_values(&name).set(status.full.is_some().into());
        }
    }
}

fn add(counter: &HourCounter, peer: &str, place: &HourPlace, count: u64) {
    if count > 0 {
        let hour = place.hour.to_string();
        counter.add(&[peer, place.stream.channel.as_str(), place.stream.quality.as_str(), &hour], count);
    }
}
