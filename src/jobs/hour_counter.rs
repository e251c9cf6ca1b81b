//! A counter with a label for the hour, as dashboards of this field ask for it, that does not grow for ever.
//!
//! An archive of years has a hundred thousand hours. Only the series that were counted last are kept; an older one ends, as
//! those of a process that ended do.

use std::collections::HashMap;

use parking_lot::Mutex;
use prometheus::{IntCounterVec, Opts, Registry};

/// Series that are kept: a week of hours of several qualities from several peers.
const MOST: usize = 2_000;

/// Counters by labels, of which one is the hour.
#[derive(Debug)]
pub struct HourCounter {
    counters: IntCounterVec,
    used: Mutex<(u64, HashMap<Vec<String>, u64>)>,
}

impl HourCounter {
    pub fn register(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<Self> {
        let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
        registry.register(Box::new(counters.clone()))?;
        Ok(Self { counters, used: Mutex::default() })
    }

    pub fn add(&self, labels: &[&str], count: u64) {
        let key: Vec<String> = labels.iter().map(|&label| label.to_owned()).collect();
        let mut used = self.used.lock();
        let (clock, series) = &mut *used;
        *clock += 1;
        series.insert(key, *clock);
        if series.len() > MOST
            && let Some(oldest) = series.iter().min_by_key(|(_, at)| **at).map(|(series, _)| series.clone())
        {
            series.remove(&oldest);
            let oldest: Vec<&str> = oldest.iter().map(String::as_str).collect();
            if let Err(error) = self.counters.remove_label_values(&oldest) {
                tracing::debug!(name: "series_not_there", %error, "a series that was counted is not there");
            }
        }
        self.counters.with_label_values(labels).inc_by(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_series_that_were_counted_last_are_kept() {
        let registry = Registry::new();
        let counter = HourCounter::register(&registry, "x_total", "x", &["hour"]).unwrap();
        for hour in 0..MOST + 5 {
            counter.add(&["busy"], 1);
            counter.add(&[&hour.to_string()], 2);
        }
        let families = registry.gather();
        let series = families[0].get_metric();
        assert_eq!(series.len(), MOST);
        let values: Vec<f64> = series.iter().map(|metric| metric.get_counter().get_value()).collect();
        let most = f64::from(u32::try_from(MOST).unwrap());
        let busy = values.iter().filter(|value| (**value - (most + 5.0)).abs() < 0.1).count();
        assert_eq!(busy, 1, "what is counted again and again stays");
    }
}
