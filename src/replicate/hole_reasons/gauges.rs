//! Open holes by reason, and what cannot be filled, as gauges: what an alert wants to know.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::Mutex;
use prometheus::{GaugeVec, Opts, Registry};

use crate::archive::hole_reasons::{HoleReason, OpenHole};
use crate::archive::metric_series::{MOST_QUALITIES, OTHERS};
use crate::archive::{Span, Stream};

#[derive(Debug)]
pub struct HoleGauges {
    holes: GaugeVec,
    unfillable: GaugeVec,
    shown: Mutex<BTreeSet<(String, String)>>,
}

#[derive(Debug, Default)]
pub struct Sums(BTreeMap<Stream, OfStream>);

#[derive(Debug, Default)]
struct OfStream {
    by_reason: [u32; HoleReason::ALL.len()],
    unfillable_us: i64,
}

impl Sums {
    pub fn add(&mut self, stream: &Stream, entry: &OpenHole) {
        let of = self.0.entry(stream.clone()).or_default();
        let Some(known) = &entry.known else { return };
        if let Some(count) = of.by_reason.get_mut(known.reason as usize) {
            *count = count.saturating_add(1);
        }
        if known.unfillable {
            of.unfillable_us = of.unfillable_us.saturating_add(entry.hole.length().us());
        }
    }
}

impl HoleGauges {
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let make = |name: &str, help: &str, labels: &[&str]| {
            let gauge = GaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        Ok(Self {
            holes: make("gapless_holes", "Open raw holes by why they are open", &["channel", "quality", "reason"])?,
            unfillable: make(
                "gapless_unfillable_hole_seconds",
                "Seconds in raw holes of which all peers were asked and none has a segment",
                &["channel", "quality"],
            )?,
            shown: Mutex::default(),
        })
    }

    /// Sets what there is now. The streams come in the order in which they came to the archive.
    pub fn set(&self, sums: &Sums, streams: impl IntoIterator<Item = Stream>) {
        let mut shown = self.shown.lock();
        let now = labelled(sums, streams);
        for (channel, quality) in shown.iter().filter(|labels| !now.contains_key(*labels)) {
            self.unfillable.remove_label_values(&[channel, quality]).unwrap_or_default();
            for reason in HoleReason::ALL {
                self.holes.remove_label_values(&[channel, quality, reason.as_str()]).unwrap_or_default();
            }
        }
        for ((channel, quality), of) in &now {
            self.unfillable.with_label_values(&[channel, quality]).set(Span::from_us(of.unfillable_us).seconds());
            for (reason, count) in HoleReason::ALL.iter().zip(of.by_reason) {
                self.holes.with_label_values(&[channel, quality, reason.as_str()]).set(f64::from(count));
            }
        }
        *shown = now.into_keys().collect();
    }
}

/// By channel and quality; those that came last are one sum where there are many.
fn labelled(sums: &Sums, streams: impl IntoIterator<Item = Stream>) -> BTreeMap<(String, String), OfStream> {
    let mut labelled: BTreeMap<(String, String), OfStream> = BTreeMap::new();
    for (number, stream) in streams.into_iter().filter(|stream| !stream.quality.is_chat()).enumerate() {
        let labels = if number < MOST_QUALITIES {
            (stream.channel.to_string(), stream.quality.to_string())
        } else {
            (OTHERS.to_owned(), OTHERS.to_owned())
        };
        let sum = labelled.entry(labels).or_default();
        if let Some(of) = sums.0.get(&stream) {
            sum.by_reason.iter_mut().zip(of.by_reason).for_each(|(sum, count)| *sum = sum.saturating_add(count));
            sum.unfillable_us = sum.unfillable_us.saturating_add(of.unfillable_us);
        }
    }
    labelled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_that_came_last_are_one_sum_and_make_no_series() {
        let streams = |count: usize| (0..count).map(|number| Stream::parse(&format!("c{number}/source")).unwrap());
        let mut sums = Sums::default();
        for stream in streams(MOST_QUALITIES + 5) {
            sums.0.insert(stream, OfStream { by_reason: [1; HoleReason::ALL.len()], unfillable_us: 2_000_000 });
        }
        let registry = Registry::new();
        let gauges = HoleGauges::register(&registry).unwrap();
        gauges.set(&sums, streams(MOST_QUALITIES + 5));
        let series = || registry.gather().iter().map(|family| family.get_metric().len()).sum::<usize>();
        assert_eq!(series(), (MOST_QUALITIES + 1) * (HoleReason::ALL.len() + 1));
        assert!((gauges.unfillable.with_label_values(&[OTHERS, OTHERS]).get() - 10.0).abs() < 0.1);
        gauges.set(&sums, streams(3));
        assert_eq!(series(), 3 * (HoleReason::ALL.len() + 1));
    }
}
