//! How fast the crawl goes. It can be changed while it runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;

use crate::jobs::WorkShare;

/// The default for the shortest time of a cycle.
const USUAL_CYCLE: Duration = Duration::from_secs(3600);
/// So much more of the time than of a processor the crawl may take where it waits for a disk: half of it at the default share, and less
/// where less is wanted.
const TIME_PER_CPU: f64 = 5.0;
/// What is left of the share while requests or backfill are busy.
const WHILE_BUSY: f64 = 0.25;

#[derive(Debug, Clone, PartialEq)]
pub struct CrawlPace {
    /// Share of one processor that all visitors take together, 0 to 1.
    pub cpu_share: f64,
    /// Work between two rests, at most.
    pub slice: Duration,
    /// Whether it gives way when requests or backfill are busy.
    pub adaptive: bool,
    pub threads: usize,
    /// From the start of one cycle to the start of the next, at least, by visitor.
    pub cycles: BTreeMap<String, Duration>,
    pub reading: ReadAllowance,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReadAllowance {
    /// Bytes a second; no limit without.
    pub bytes_per_second: Option<u64>,
    /// Files a second; no limit without.
    pub files_per_second: Option<u64>,
}

impl CrawlPace {
    pub fn minimum_cycle(&self, visitor: &str) -> Duration {
        self.cycles.get(visitor).copied().unwrap_or(USUAL_CYCLE)
    }

    /// The shares while the node is as busy as this, 0 to 1.
    pub fn share(&self, busy: f64) -> WorkShare {
        let factor = if self.adaptive { 1.0 - (1.0 - WHILE_BUSY) * busy.clamp(0.0, 1.0) } else { 1.0 };
        WorkShare { cpu: self.cpu_share * factor, elapsed: (self.cpu_share * TIME_PER_CPU).min(1.0) * factor }
    }
}

impl ReadAllowance {
    /// How long this much of reading takes at least.
    pub fn time(&self, bytes: u64, files: u64) -> Duration {
        let of = |count: u64, rate: Option<u64>| match rate {
            Some(rate) => Duration::from_micros(count.saturating_mul(1_000_000) / rate.max(1)),
            None => Duration::ZERO,
        };
        of(bytes, self.bytes_per_second).max(of(files, self.files_per_second))
    }
}

/// The pace that holds now. Cheap to clone; each clone can change it.
#[derive(Debug, Clone)]
pub struct Pacing(Arc<RwLock<Arc<CrawlPace>>>);

impl Pacing {
    pub fn new(pace: CrawlPace) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(pace))))
    }

    pub fn get(&self) -> Arc<CrawlPace> {
        Arc::clone(&self.0.read())
    }

    /// Changes it; what runs follows with its next slice.
    pub fn set(&self, pace: CrawlPace) {
        *self.0.write() = Arc::new(pace);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_wants_less_of_the_processor_wants_less_of_the_disk_and_load_takes_both_to_a_quarter() {
        let pace = |cpu_share, adaptive| CrawlPace {
            cpu_share,
            slice: Duration::from_secs(1),
            adaptive,
            threads: 1,
            cycles: BTreeMap::new(),
            reading: ReadAllowance::default(),
        };
        let shares = |cpu_share, adaptive, busy| {
            let WorkShare { cpu, elapsed } = pace(cpu_share, adaptive).share(busy);
            format!("{:.1} % of the processor, {:.1} % of the time", cpu * 100.0, elapsed * 100.0)
        };
        assert_eq!(shares(0.1, true, 0.0), "10.0 % of the processor, 50.0 % of the time");
        assert_eq!(shares(0.1, true, 1.0), "2.5 % of the processor, 12.5 % of the time");
        assert_eq!(shares(0.1, false, 1.0), "10.0 % of the processor, 50.0 % of the time");
        assert_eq!(shares(0.01, true, 0.0), "1.0 % of the processor, 5.0 % of the time");
        assert_eq!(shares(1.0, true, 0.0), "100.0 % of the processor, 100.0 % of the time");
    }
}
