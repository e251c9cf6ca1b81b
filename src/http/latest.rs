//! The gauge `latest_segment`: when the newest segment of each quality starts.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use prometheus::{GaugeVec, Opts, Registry};

use crate::domain::{Hour, Stream};
use crate::index::{Index, Version};

/// Newest hours that are searched for a segment: a stream that has been silent for a day keeps its last value.
const HOURS_SEARCHED: usize = 24;

/// The gauge `latest_segment`: when the newest segment of each quality starts, as a Unix time stamp.
#[derive(Debug)]
pub struct LatestSegments {
    gauge: GaugeVec,
    seen: Mutex<HashMap<(Stream, Hour), Seen>>,
}

/// The start of the newest segment of an hour, in microseconds, as of this version.
type Seen = (Version, Option<i64>);

impl LatestSegments {
    /// Registers the gauge.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let help = "Start of the newest segment of a quality, as a Unix time stamp in seconds";
        let gauge = GaugeVec::new(Opts::new("latest_segment", help), &["channel", "quality"])?;
        registry.register(Box::new(gauge.clone()))?;
        Ok(Self { gauge, seen: Mutex::default() })
    }

    /// Brings the gauge up to date; hours that did not change are not read again.
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float; microseconds fit until the year 2255")]
    pub fn update(&self, index: &Index) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kept = HashMap::new();
        for stream in index.catalog().streams() {
            let name = stream.to_string();
            for hour in index.catalog().hours(&name, ..).into_iter().rev().take(HOURS_SEARCHED) {
                let Some(version) = index.catalog().hour_version(&name, hour) else { continue };
                let key = (stream.clone(), hour);
                let latest = match seen.remove(&key) {
                    Some((known, latest)) if known == version => latest,
                    _ => index.hour(&name, hour).ok().flatten().and_then(|view| {
                        let video = view.contents.visible().filter(|file| file.key.kind.is_video());
                        video.map(|file| file.key.start(hour).us()).max()
                    }),
                };
                kept.insert(key, (version, latest));
                if let Some(latest) = latest {
                    let labels = [stream.channel.as_str(), stream.quality.as_str()];
                    self.gauge.with_label_values(&labels).set(latest as f64 / 1e6);
                    break;
                }
            }
        }
        *seen = kept;
    }
}
