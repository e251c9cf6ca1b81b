//! How many processes run, and how those ended that ran.

use prometheus::{IntCounterVec, IntGauge, Opts, Registry};

use super::FfmpegError;

/// The metrics.
#[derive(Debug, Clone)]
pub struct Metrics {
    pub(super) running: IntGauge,
    runs: IntCounterVec,
}

impl Metrics {
    /// Registers them.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let running = IntGauge::new("gapless_ffmpeg_running", "Processes of ffmpeg that run")?;
        let help = "Times that ffmpeg was wanted, by what for and how it ended";
        let runs = IntCounterVec::new(Opts::new("gapless_ffmpeg_runs_total", help), &["work", "outcome"])?;
        registry.register(Box::new(running.clone()))?;
        registry.register(Box::new(runs.clone()))?;
        Ok(Self { running, runs })
    }

    pub(super) fn count(&self, work: &str, outcome: Result<(), &FfmpegError>) {
        let outcome = outcome.map_or_else(name, |()| "done");
        self.runs.with_label_values(&[work, outcome]).inc();
    }
}

fn name(error: &FfmpegError) -> &'static str {
    match error {
        FfmpegError::NotInstalled { .. } => "not_installed",
        FfmpegError::Busy => "busy",
        FfmpegError::TooSlow(_) => "too_slow",
        FfmpegError::TooLarge(_) => "too_large",
        FfmpegError::Gone | FfmpegError::Ending => "gone",
        _ => "failed",
    }
}
