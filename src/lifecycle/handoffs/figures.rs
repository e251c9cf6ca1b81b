//! What is known of the handoffs of this node, for people and for metrics.

use std::collections::BTreeMap;

use prometheus::{Gauge, IntCounter, Registry, register_gauge_with_registry, register_int_counter_with_registry};

use crate::archive::Timestamp;
use crate::wire::{HandoffReport, HandoffWaiting};

/// Reasons that are told; the rest is summed up.
const MOST_REASONS: usize = 20;

/// As of the last pass.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct HandoffFigures {
    /// When it was.
    pub(super) ran: Option<Timestamp>,
    /// Hours that lie here and belong to others.
    pub(super) hours: u64,
    pub(super) bytes: u64,
    /// Of how many it is so for which reason that they are still here.
    pub(super) waiting: BTreeMap<String, u64>,
    /// What has left since the process began.
    pub(super) left_hours: u64,
    /// When something left last, or there was nothing to leave.
    pub(super) moved: Option<Timestamp>,
    /// Why there was no pass.
    pub(super) error: Option<String>,
}

impl HandoffFigures {
    pub(super) fn report(&self, leaves: bool, stands_in_for: Vec<String>) -> HandoffReport {
        let mut waiting: Vec<HandoffWaiting> =
            self.waiting.iter().map(|(why, hours)| HandoffWaiting { why: why.clone(), hours: *hours }).collect();
        waiting.sort_by(|one, other| other.hours.cmp(&one.hours).then_with(|| one.why.cmp(&other.why)));
        waiting.truncate(MOST_REASONS);
        HandoffReport {
            leaves,
            hours: self.hours,
            bytes: self.bytes,
            left_hours: self.left_hours,
            waiting,
            moved: self.moved,
            pass: self.ran,
            stands_in_for,
            error: self.error.clone(),
        }
    }
}

/// The same as gauges.
#[derive(Debug)]
pub(super) struct HandoffGauges {
    hours: Gauge,
    bytes: Gauge,
    waiting: Gauge,
    left: IntCounter,
    left_files: IntCounter,
    left_bytes: IntCounter,
}

impl HandoffGauges {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let gauge = |name: &str, help: &str| register_gauge_with_registry!(name, help, registry);
        let counter = |name: &str, help: &str| register_int_counter_with_registry!(name, help, registry);
        Ok(Self {
            hours: gauge("gapless_handoff_hours", "Hours that lie here and that the layout gives to other nodes")?,
            bytes: gauge("gapless_handoff_bytes", "Bytes of these hours")?,
            waiting: gauge("gapless_handoff_waiting_hours", "Those of them that a reason is known for why they stay")?,
            left: counter("gapless_handoffs_left_total", "Hours that have left for their owners")?,
            left_files: counter("gapless_handoff_files_left_total", "Files that have left for their owners")?,
            left_bytes: counter("gapless_handoff_bytes_left_total", "Bytes of these files")?,
        })
    }

    pub(super) fn left(&self, files: u64, bytes: u64, is_whole_hour: bool) {
        self.left.inc_by(u64::from(is_whole_hour));
        self.left_files.inc_by(files);
        self.left_bytes.inc_by(bytes);
    }

    #[expect(clippy::cast_precision_loss, reason = "gauges are floats; there are no 2^53 hours")]
    pub(super) fn set(&self, figures: &HandoffFigures) {
        self.hours.set(figures.hours as f64);
        self.bytes.set(figures.bytes as f64);
        self.waiting.set(figures.waiting.values().sum::<u64>() as f64);
    }
}
