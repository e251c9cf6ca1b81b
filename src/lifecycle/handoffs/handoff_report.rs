//! What people are told of handoffs.

use std::time::SystemTime;

use super::handoff_hours::HandoffHour;
use super::handoff_pass::PassMemory;
use super::machine::Handoffs;
use crate::archive::{Span, Timestamp};
use crate::wire::HandoffReport;

/// For how long nothing may have left, though there is something, before that is a problem.
const STUCK_AFTER: Span = Span::from_us(24 * crate::archive::time::HOUR_US);

impl Handoffs {
    /// As of the last pass.
    pub fn report(&self) -> HandoffReport {
        let away = self.away.lock().iter().cloned().collect();
        self.figures.lock().report(self.leaves(), away)
    }

    /// Whether hours leave, by the settings and by what an operator has said since.
    pub(super) fn leaves(&self) -> bool {
        self.options.leave && !self.parts.layouts.is_paused()
    }

    /// Why that there are handoffs is a problem, if it is.
    pub fn stuck(&self) -> Option<String> {
        let figures = self.figures.lock();
        let moved = figures.moved?;
        let is_long = Timestamp::from(SystemTime::now()) - moved >= STUCK_AFTER;
        // Whoever has said that they stay knows.
        if figures.hours == 0 || !is_long || !self.leaves() {
            return None;
        }
        let first = figures.waiting.iter().max_by_key(|(_, hours)| **hours);
        let why = first.map_or_else(String::new, |(why, hours)| format!("; {hours} of them because {why}"));
        Some(format!("{} hours belong to other nodes, and none has left for a day{why}", figures.hours))
    }

    /// What lies here, before anybody was asked.
    pub(super) fn note_hours(&self, hours: &[HandoffHour]) {
        let mut figures = self.figures.lock();
        figures.ran = Some(Timestamp::from(SystemTime::now()));
        figures.hours = hours.len() as u64;
        figures.bytes = hours.iter().map(|hour| hour.bytes).sum();
        self.gauges.set(&figures);
    }

    pub(super) fn note_figures(&self, hours: &[HandoffHour], memory: &PassMemory, left: u64) {
        let now = Timestamp::from(SystemTime::now());
        let mut figures = self.figures.lock();
        figures.ran = Some(now);
        figures.error = None;
        figures.hours = (hours.len() as u64).saturating_sub(left);
        figures.bytes = hours.iter().map(|hour| hour.bytes).sum();
        figures.left_hours += left;
        figures.waiting.clear();
        for why in memory.reasons.values() {
            *figures.waiting.entry(why.clone()).or_default() += 1;
        }
        if left > 0 || hours.is_empty() || figures.moved.is_none() {
            figures.moved = Some(now);
        }
        self.gauges.set(&figures);
    }

    pub(super) fn note_error(&self, error: &str) {
        let mut figures = self.figures.lock();
        // What lies here now is not known.
        (figures.ran, figures.error) = (None, Some(error.to_owned()));
    }
}
