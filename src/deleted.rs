//! Counts the segments whose bytes were deleted here on purpose, whoever did it: retention or purge. Deletes nothing itself.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use prometheus::{IntCounterVec, Opts, Registry};

use crate::domain::HourPlace;

/// Series that are kept: two weeks of three qualities. Every hour is a series of its own, and an archive has no end of hours.
const MOST_SERIES: usize = 1_008;

/// The counter `segments_deleted_total{channel,quality,hour}`. Of more hours than are kept, those that changed last have a series.
#[derive(Debug)]
pub struct Deletions {
    counter: IntCounterVec,
    /// The hours with a series, the one that changed last at the end.
    hours: Mutex<VecDeque<HourPlace>>,
}

impl Deletions {
    /// Registers the counter; once for all who delete.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let opts = Opts::new("segments_deleted_total", "Segments and chat batches whose bytes were deleted on purpose");
        let counter = IntCounterVec::new(opts, &["channel", "quality", "hour"])?;
        registry.register(Box::new(counter.clone()))?;
        Ok(Self { counter, hours: Mutex::default() })
    }

    /// So many segments of an hour were deleted.
    pub fn add(&self, place: &HourPlace, segments: u64) {
        if segments == 0 {
            return;
        }
        let mut hours = self.hours.lock().unwrap_or_else(PoisonError::into_inner);
        hours.retain(|known| known != place);
        hours.push_back(place.clone());
        while hours.len() > MOST_SERIES
            && let Some(old) = hours.pop_front()
        {
            let (stream, hour) = (&old.stream, old.hour.to_string());
            if let Err(error) =
                self.counter.remove_label_values(&[stream.channel.as_str(), stream.quality.as_str(), &hour])
            {
                tracing::debug!(name: "series_kept", hour = %old, %error, "a series could not be dropped");
            }
        }
        let (stream, hour) = (&place.stream, place.hour.to_string());
        self.counter.with_label_values(&[stream.channel.as_str(), stream.quality.as_str(), &hour]).inc_by(segments);
    }
}

#[cfg(test)]
mod tests {
    use prometheus::Encoder as _;

    use super::*;
    use crate::domain::{Hour, Stream};

    fn text(registry: &Registry) -> String {
        let mut text = Vec::new();
        prometheus::TextEncoder::new().encode(&registry.gather(), &mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn what_is_deleted_is_counted_by_hour() {
        let registry = Registry::new();
        let deletions = Deletions::register(&registry).unwrap();
        let place = HourPlace::parse("a/b/2019-11-13T02").unwrap();
        deletions.add(&place, 2);
        deletions.add(&place, 3);
        deletions.add(&HourPlace::parse("a/b/2019-11-13T03").unwrap(), 0);
        let text = text(&registry);
        let series = "segments_deleted_total{channel=\"a\",hour=\"2019-11-13T02\",quality=\"b\"} 5";
        assert!(text.contains(series) && !text.contains("T03"), "{text}");
    }

    #[test]
    fn there_are_only_so_many_series() {
        let registry = Registry::new();
        let deletions = Deletions::register(&registry).unwrap();
        let mut hour = Hour::parse("2019-11-13T02").unwrap();
        for _ in 0..MOST_SERIES + 5 {
            deletions.add(&HourPlace { stream: Stream::parse("a/b").unwrap(), hour }, 1);
            hour = hour.next();
        }
        let text = text(&registry);
        assert_eq!(text.lines().filter(|line| line.starts_with("segments_deleted_total{")).count(), MOST_SERIES);
        assert!(!text.contains("hour=\"2019-11-13T06\"") && text.contains(&format!("hour=\"{}\"", hour.previous())));
    }
}
