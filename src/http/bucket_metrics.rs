//! Metrics about the bucket of a node. They show what was counted and noted before, so that a scrape asks neither the store nor the disk; the
//! reasons are words of the program, so that there are few series.

use prometheus::{
    Gauge, IntCounter, IntCounterVec, Opts, Registry, register_gauge_with_registry, register_int_counter_with_registry,
};

use crate::archive::Timestamp;
use crate::lifecycle::archiving::BucketFigures;

/// Those of one bucket.
#[derive(Debug)]
pub(super) struct BucketMetrics {
    archived_hours: Gauge,
    archived_bytes: Gauge,
    waiting_hours: Gauge,
    waiting_bytes: Gauge,
    lost: Gauge,
    oldest_waiting: Gauge,
    read_back: Gauge,
    failing: Gauge,
    uploaded: IntCounter,
    read: IntCounter,
    deleted: IntCounter,
    failures: IntCounterVec,
}

impl BucketMetrics {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let gauge = |name: &str, help: &str| register_gauge_with_registry!(name, help, registry);
        let counter = |name: &str, help: &str| register_int_counter_with_registry!(name, help, registry);
        let failures = Opts::new("gapless_bucket_failures_total", "What the bucket did not do, by reason");
        let failures = IntCounterVec::new(failures, &["reason"])?;
        registry.register(Box::new(failures.clone()))?;
        Ok(Self {
            archived_hours: gauge("gapless_bucket_hours", "Hours in the bucket; NaN before they were counted")?,
            archived_bytes: gauge("gapless_bucket_bytes", "Bytes of their files")?,
            waiting_hours: gauge("gapless_bucket_waiting_hours", "Sealed hours that wait to be uploaded")?,
            waiting_bytes: gauge("gapless_bucket_waiting_bytes", "Bytes of their files")?,
            lost: gauge("gapless_bucket_lost_objects", "Objects in the bucket that turned out to be damaged or gone")?,
            oldest_waiting: gauge(
                "gapless_bucket_oldest_waiting_seconds",
                "For how long the one of them that has waited longest is sealed; 0 if none waits",
            )?,
            read_back: gauge(
                "gapless_bucket_last_read_back_timestamp_seconds",
                "When an hour was last read back from the bucket and was right; NaN if none was",
            )?,
            failing: gauge(
                "gapless_bucket_failing_seconds",
                "For how long no hour comes into the bucket because of the store; 0 if all is well",
            )?,
            uploaded: counter("gapless_bucket_uploaded_bytes_total", "Bytes that were uploaded")?,
            read: counter("gapless_bucket_read_bytes_total", "Bytes that were read back or restored")?,
            deleted: counter(
                "gapless_bucket_deleted_objects_total",
                "Objects that were deleted in the bucket because tombstones hide what they held",
            )?,
            failures,
        })
    }

    #[expect(clippy::cast_precision_loss, reason = "gauges are floats; 2^53 bytes are 9 PB")]
    pub(super) fn update(&self, figures: &BucketFigures, now: Timestamp) {
        let known = figures.known();
        let age = |since: Option<Timestamp>| since.map_or(0.0, |since| (now - since).seconds().max(0.0));
        let counted = known.counted.as_ref();
        let of_hours = |figure: u64| if counted.is_some() { figure as f64 } else { f64::NAN };
        let report = counted.cloned().unwrap_or_default();
        self.archived_hours.set(of_hours(report.archived.hours));
        self.archived_bytes.set(of_hours(report.archived.bytes));
        self.waiting_hours.set(of_hours(report.waiting.hours));
        self.waiting_bytes.set(of_hours(report.waiting.bytes));
        self.lost.set(of_hours(report.lost));
        self.oldest_waiting.set(age(report.waiting_since));
        self.read_back.set(report.last_read_back.map_or(f64::NAN, |last| (last - Timestamp::from_us(0)).seconds()));
        self.failing.set(age(known.failing.map(|failing| failing.since)));
        let (uploaded, read) = figures.moved();
        for (series, sum) in
            [(&self.uploaded, uploaded), (&self.read, read), (&self.deleted, figures.deleted_objects())]
        {
            series.inc_by(sum.saturating_sub(series.get()));
        }
        for (reason, count) in figures.failures() {
            let series = self.failures.with_label_values(&[reason]);
            series.inc_by(count.saturating_sub(series.get()));
        }
    }
}
