//! The gauges of retention.

use prometheus::{Gauge, Registry};

/// The gauges.
#[derive(Debug)]
pub(super) struct RetentionGauges {
    overdue: Gauge,
    last_run: Gauge,
    unusable: Gauge,
}

impl RetentionGauges {
    /// Registers them.
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let gauges = Self {
            overdue: Gauge::new(
                "retention_overdue_bytes",
                "Bytes that should be gone by the limits of retention and are not",
            )?,
            last_run: Gauge::new(
                "retention_last_run_timestamp_seconds",
                "When retention last looked at everything, whether or not something had to go",
            )?,
            unusable: Gauge::new(
                "retention_records_unusable",
                "Records that protect the archive and cannot be relied on; nothing is deleted while there are any",
            )?,
        };
        registry.register(Box::new(gauges.unusable.clone()))?;
        registry.register(Box::new(gauges.overdue.clone()))?;
        registry.register(Box::new(gauges.last_run.clone()))?;
        Ok(gauges)
    }

    #[expect(clippy::cast_precision_loss, reason = "gauges are floats; 2^53 bytes are more than any disk has")]
    pub(super) fn overdue(&self, bytes: u64) {
        self.overdue.set(bytes as f64);
    }

    #[expect(clippy::cast_precision_loss, reason = "there are half a dozen records")]
    pub(super) fn unusable(&self, records: usize) {
        self.unusable.set(records as f64);
    }

    pub(super) fn ran(&self, now: crate::archive::Timestamp) {
        self.last_run.set((now - crate::archive::Timestamp::from_us(0)).seconds());
    }
}
