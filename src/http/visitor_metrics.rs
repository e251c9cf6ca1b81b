//! Gauges about each visitor of the crawl. Their labels are names in the program and never data, so that there are few.

use prometheus::{GaugeVec, Opts, Registry};

use crate::sync::crawl::VisitorStatus;

/// The gauges, by `visitor`.
#[derive(Debug)]
pub(super) struct VisitorMetrics {
    cycle: GaugeVec,
    running: GaugeVec,
    done: GaugeVec,
    left: GaugeVec,
    worked: GaugeVec,
    ended: GaugeVec,
    found: GaugeVec,
}

impl VisitorMetrics {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let make = |name: &str, help: &str, labels: &[&str]| {
            let gauges = GaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(gauges.clone()))?;
            Ok::<_, prometheus::Error>(gauges)
        };
        let one = &["visitor"];
        Ok(Self {
            cycle: make("gapless_visitor_cycle", "Number of the cycle that runs or was last, across restarts", one)?,
            running: make("gapless_visitor_running", "1 while a cycle runs", one)?,
            done: make("gapless_visitor_done_ratio", "Share of the cycle that is done, 0 to 1", one)?,
            left: make(
                "gapless_visitor_seconds_left",
                "Seconds until the cycle is done; NaN if that cannot be told",
                one,
            )?,
            worked: make("gapless_visitor_worked_seconds", "Seconds of work in the cycle", one)?,
            ended: make(
                "gapless_visitor_last_cycle_end_seconds",
                "When the last whole cycle ended, in seconds since 1970",
                one,
            )?,
            found: make("gapless_visitor_found", "What the last whole cycle found", &["visitor", "what"])?,
        })
    }

    #[expect(clippy::cast_precision_loss, reason = "gauges are floats")]
    pub(super) fn update(&self, visitors: &[VisitorStatus]) {
        for visitor in visitors {
            let (name, state) = (&[visitor.name], &visitor.state);
            self.cycle.with_label_values(name).set(state.cycle as f64);
            self.running.with_label_values(name).set(f64::from(u8::from(state.is_running)));
            self.done.with_label_values(name).set(visitor.share_done().unwrap_or(0.0));
            self.left.with_label_values(name).set(visitor.seconds_left().unwrap_or(f64::NAN));
            self.worked.with_label_values(name).set(crate::wire::seconds(state.worked_us));
            if let Some(last) = state.history.front() {
                self.ended.with_label_values(name).set(last.ended_us as f64 / 1e6);
                // What was found before and was not found again is none.
                let before = state.history.iter().flat_map(|cycle| cycle.found.counts()).map(|(what, _)| what);
                for what in before {
                    self.found.with_label_values(&[visitor.name, what]).set(last.found.count(what) as f64);
                }
            }
        }
    }
}
