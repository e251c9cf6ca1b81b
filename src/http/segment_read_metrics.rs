//! Metrics about what is read from the bucket for those who play, cut and download: how much comes from there, and how much is here already.

use prometheus::{
    IntCounter, IntGauge, Registry, register_int_counter_with_registry, register_int_gauge_with_registry,
};

use crate::bucket::ReaderFigures;

/// Those of one reader.
#[derive(Debug)]
pub(super) struct SegmentReadMetrics {
    requests: IntCounter,
    fetched: IntCounter,
    hits: IntCounter,
    hit_bytes: IntCounter,
    misses: IntCounter,
    damaged: IntCounter,
    kept_wrong: IntCounter,
    kept: IntGauge,
    limit: IntGauge,
}

impl SegmentReadMetrics {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let counter = |name: &str, help: &str| register_int_counter_with_registry!(name, help, registry);
        let gauge = |name: &str, help: &str| register_int_gauge_with_registry!(name, help, registry);
        Ok(Self {
            requests: counter("gapless_archive_read_requests_total", "Requests to the bucket for segments")?,
            fetched: counter("gapless_archive_read_bytes_total", "Bytes that came of them")?,
            hits: counter("gapless_archive_read_hits_total", "Segments of archived hours that were here")?,
            hit_bytes: counter("gapless_archive_read_hit_bytes_total", "Bytes of these")?,
            misses: counter(
                "gapless_archive_read_misses_total",
                "Segments of archived hours for which the bucket was waited for",
            )?,
            damaged: counter(
                "gapless_archive_read_damaged_total",
                "Segments that came from the bucket with another content than their hash says",
            )?,
            kept_wrong: counter(
                "gapless_bucket_cache_wrong_total",
                "Files that were kept from the bucket and were not what they had been",
            )?,
            kept: gauge("gapless_bucket_cache_bytes", "Bytes of what is kept here of the bucket, by blocks")?,
            limit: gauge("gapless_bucket_cache_limit_bytes", "Bytes that may be kept")?,
        })
    }

    pub(super) fn update(&self, figures: &ReaderFigures) {
        for (series, sum) in [
            (&self.requests, figures.requests),
            (&self.fetched, figures.fetched_bytes),
            (&self.hits, figures.hits),
            (&self.hit_bytes, figures.hit_bytes),
            (&self.misses, figures.misses),
            (&self.damaged, figures.damaged),
            (&self.kept_wrong, figures.kept_wrong),
        ] {
            series.inc_by(sum.saturating_sub(series.get()));
        }
        for (series, bytes) in [(&self.kept, figures.kept_bytes), (&self.limit, figures.limit_bytes)] {
            series.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
    }
}
