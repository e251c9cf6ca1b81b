//! Open holes by reason, and what cannot be filled, as gauges: what an alert wants to know.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use prometheus::{GaugeVec, Opts, Registry};

use crate::domain::ledger::{Open, Reason};
use crate::domain::{Span, Stream};

/// The gauges.
#[derive(Debug)]
pub struct Gauges {
    holes: GaugeVec,
    unfillable: GaugeVec,
    told: Mutex<BTreeSet<Stream>>,
}

/// What holes come to.
#[derive(Debug, Default)]
pub struct Sums(BTreeMap<Stream, OfStream>);

#[derive(Debug, Default)]
struct OfStream {
    by_reason: [u32; Reason::ALL.len()],
    unfillable_us: i64,
}

impl Sums {
    /// One more.
    pub fn add(&mut self, stream: &Stream, entry: &Open) {
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

impl Gauges {
    /// Registers them.
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
            told: Mutex::default(),
        })
    }

    /// Tells what there is now.
    pub fn set(&self, sums: &Sums, streams: impl IntoIterator<Item = Stream>) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let now: BTreeSet<Stream> = streams.into_iter().filter(|stream| !stream.quality.is_chat()).collect();
        for gone in told.difference(&now) {
            let labels = [gone.channel.as_str(), gone.quality.as_str()];
            self.unfillable.remove_label_values(&labels).unwrap_or_default();
            for reason in Reason::ALL {
                self.holes.remove_label_values(&[labels[0], labels[1], reason.as_str()]).unwrap_or_default();
            }
        }
        let nothing = OfStream::default();
        for stream in &now {
            let (channel, quality) = (stream.channel.as_str(), stream.quality.as_str());
            let of = sums.0.get(stream).unwrap_or(&nothing);
            self.unfillable.with_label_values(&[channel, quality]).set(Span::from_us(of.unfillable_us).seconds());
            for (reason, count) in Reason::ALL.iter().zip(of.by_reason) {
                self.holes.with_label_values(&[channel, quality, reason.as_str()]).set(f64::from(count));
            }
        }
        *told = now;
    }
}
