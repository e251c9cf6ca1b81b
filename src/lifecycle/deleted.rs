//! Counts the segments whose bytes were deleted here on purpose, whoever did it: retention or purge. Deletes nothing itself.

use prometheus::Registry;

use crate::archive::HourPlace;
use crate::jobs::HourCounter;

/// The counter `segments_deleted_total{channel,quality,hour}`. Of very many hours, those that changed last have a series.
#[derive(Debug)]
pub struct DeletionCounter(HourCounter);

impl DeletionCounter {
    /// Registers the counter; once for all who delete.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let help = "Segments and chat batches whose bytes were deleted on purpose";
        HourCounter::register(registry, "segments_deleted_total", help, &["channel", "quality", "hour"]).map(Self)
    }

    pub fn add(&self, place: &HourPlace, segments: u64) {
        if segments > 0 {
            let stream = &place.stream;
            self.0.add(&[stream.channel.as_str(), stream.quality.as_str(), &place.hour.to_string()], segments);
        }
    }
}

#[cfg(test)]
mod tests {
    use prometheus::Encoder as _;

    use super::*;

    fn text(registry: &Registry) -> String {
        let mut text = Vec::new();
        prometheus::TextEncoder::new().encode(&registry.gather(), &mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn what_is_deleted_is_counted_by_hour() {
        let registry = Registry::new();
        let deletions = DeletionCounter::register(&registry).unwrap();
        let place = HourPlace::parse("a/b/2019-11-13T02").unwrap();
        deletions.add(&place, 2);
        deletions.add(&place, 3);
        deletions.add(&HourPlace::parse("a/b/2019-11-13T03").unwrap(), 0);
        let text = text(&registry);
        let series = "segments_deleted_total{channel=\"a\",hour=\"2019-11-13T02\",quality=\"b\"} 5";
        assert!(text.contains(series) && !text.contains("T03"), "{text}");
    }
}
