//! How far each visitor is.

use std::time::{Duration, SystemTime};

use super::state::VisitorState;

/// A visitor, as of its last slice.
#[derive(Debug, Clone)]
pub struct VisitorStatus {
    /// Its name.
    pub name: &'static str,
    /// What is remembered of it.
    pub state: VisitorState,
    /// Hours that are ahead in this cycle, while one runs.
    pub hours_left: Option<u64>,
    /// When it works next at the earliest.
    pub next_work: Option<SystemTime>,
    /// When its next cycle begins at the earliest.
    pub next_cycle: Option<SystemTime>,
    /// How long this process has worked and rested in this cycle.
    pub elapsed: Duration,
    /// Hours done in that time.
    pub hours_since: u64,
}

#[expect(clippy::cast_precision_loss, reason = "estimates")]
impl VisitorStatus {
    /// The share of this cycle that is done, 0 to 1; of the last one, all.
    pub fn share_done(&self) -> Option<f64> {
        if self.state.cycle == 0 {
            return None;
        }
        let Some(left) = self.hours_left else { return (!self.state.is_running).then_some(1.0) };
        let all = self.state.hours + left;
        Some(if all == 0 { 1.0 } else { self.state.hours as f64 / all as f64 })
    }

    /// Seconds left in this cycle, from how it went so far in this process.
    pub fn seconds_left(&self) -> Option<f64> {
        let left = self.hours_left.filter(|_| self.hours_since > 0)?;
        Some(self.elapsed.as_secs_f64() / self.hours_since as f64 * left as f64)
    }

    /// Seconds that a cycle takes, by the last ones.
    pub fn seconds_per_cycle(&self) -> Option<f64> {
        let took = |cycle: &super::Cycle| (cycle.ended_us - cycle.began_us).max(0) as f64 / 1e6;
        let count = self.state.history.len();
        (count > 0).then(|| self.state.history.iter().map(took).sum::<f64>() / count as f64)
    }
}

/// What the thread that carries them does.
#[derive(Debug, Clone, Default)]
pub struct VisitorPulse {
    /// Whose slice it is, while there is one.
    pub works: Option<&'static str>,
    /// When the next slice may begin.
    pub next: Option<SystemTime>,
    /// Slices since the start.
    pub slices: u64,
    /// Why it could not go on.
    pub error: Option<String>,
}
