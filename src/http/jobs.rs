//! What is reported of the jobs of a node: in the status, and as metrics whose labels are few however many peers there are.

use parking_lot::Mutex;

use prometheus::{CounterVec, IntCounterVec, IntGaugeVec, Opts, Registry};

use crate::archive::Timestamp;
use crate::jobs::{JobRegistry, JobState, JobStatus};
use crate::wire::JobReport;

/// How it goes with each job.
pub(super) fn reports(board: &JobRegistry) -> Vec<JobReport> {
    board.jobs().into_iter().map(report).collect()
}

fn report(job: JobStatus) -> JobReport {
    let (error, error_time) = job.error.map(|(error, at)| (error, at.into())).unzip();
    JobReport {
        kind: job.kind.to_owned(),
        of: job.of,
        state: job.state.as_str().to_owned(),
        doing: job.doing,
        since: job.since.into(),
        next: job.next.map(Timestamp::from),
        done: job.done,
        total: job.total,
        steps: job.steps,
        failures: job.failures,
        failures_in_all: job.failures_in_all,
        error,
        error_time,
        worked_seconds: job.worked.as_secs_f64(),
        deadline_seconds: job.deadline.as_secs_f64(),
        overdue_seconds: job.overdue.map(|silent| silent.as_secs_f64()),
    }
}

/// What is counted of the jobs, by kind.
#[derive(Debug)]
pub struct JobMetrics {
    states: IntGaugeVec,
    overdue: IntGaugeVec,
    failing: IntGaugeVec,
    failures: IntCounterVec,
    worked: CounterVec,
    /// Counters are brought up by what is new: by one at a time.
    one: Mutex<()>,
}

impl JobMetrics {
    /// Registers them.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            let gauges = IntGaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(gauges.clone()))?;
            Ok::<_, prometheus::Error>(gauges)
        };
        let failures = Opts::new("gapless_job_failures_total", "Failures of the jobs of this kind");
        let worked = Opts::new("gapless_job_worked_seconds_total", "Seconds that the jobs of this kind have worked");
        let metrics = Self {
            states: gauge("gapless_job_state", "Jobs of this kind in this state", &["kind", "state"])?,
            overdue: gauge(
                "gapless_job_overdue",
                "Jobs of this kind that have shown no sign of going on for longer than their deadline",
                &["kind"],
            )?,
            failing: gauge(
                "gapless_job_failures_in_a_row",
                "The most failures in a row of any job of this kind",
                &["kind"],
            )?,
            failures: IntCounterVec::new(failures, &["kind"])?,
            worked: CounterVec::new(worked, &["kind"])?,
            one: Mutex::default(),
        };
        registry.register(Box::new(metrics.failures.clone()))?;
        registry.register(Box::new(metrics.worked.clone()))?;
        Ok(metrics)
    }

    /// Sets them all.
    pub fn update(&self, board: &JobRegistry) {
        let _one = self.one.lock();
        for (kind, sums) in board.kinds() {
            for (state, count) in JobState::ALL.into_iter().zip(sums.states) {
                self.states.with_label_values(&[kind, state.as_str()]).set(count.cast_signed());
            }
            self.overdue.with_label_values(&[kind]).set(sums.overdue.cast_signed());
            self.failing.with_label_values(&[kind]).set(sums.failing.into());
            let failures = self.failures.with_label_values(&[kind]);
            failures.inc_by(sums.failures.saturating_sub(failures.get()));
            let worked = self.worked.with_label_values(&[kind]);
            worked.inc_by((sums.worked.as_secs_f64() - worked.get()).max(0.0));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use prometheus::TextEncoder;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn metrics_have_a_label_for_the_kind_and_none_for_the_peer() {
        let (registry, board) = (Registry::new(), Arc::new(JobRegistry::default()));
        let metrics = JobMetrics::register(&registry).unwrap();
        let posts: Vec<_> =
            ["a", "b", "c"].map(|peer| board.register("backfill", Some(peer.to_owned()), MINUTE)).into();
        posts[0].failed("no");
        posts[0].failed("no");
        posts[0].set_state(JobState::BackingOff, "waits", Some(MINUTE));
        posts[1].failed("no");
        for _ in 0..2 {
            metrics.update(&board);
        }
        posts[1].remove();
        metrics.update(&board);
        let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        for line in [
            "gapless_job_state{kind=\"backfill\",state=\"backing-off\"} 1",
            "gapless_job_state{kind=\"backfill\",state=\"waiting\"} 1",
            "gapless_job_overdue{kind=\"backfill\"} 0",
            "gapless_job_failures_in_a_row{kind=\"backfill\"} 2",
            "gapless_job_failures_total{kind=\"backfill\"} 3",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
