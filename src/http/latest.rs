//! The gauge `latest_segment`: when the newest segment of each quality starts.

use std::collections::{HashMap, HashSet};

use parking_lot::Mutex;
use prometheus::{GaugeVec, Opts, Registry};

use crate::archive::horizon::Horizon;
use crate::archive::metric_series::MOST_QUALITIES;
use crate::archive::{Hour, Stream, Timestamp};
use crate::index::{Index, Version};

/// Newest hours that are searched for a segment: a stream that has been silent for a day keeps its last value.
const HOURS_SEARCHED: usize = 24;

/// The gauge `latest_segment`: when the newest segment of each quality starts, as a Unix time stamp.
#[derive(Debug)]
pub struct LatestSegments {
    gauge: GaugeVec,
    state: Mutex<NewestByHour>,
}

#[derive(Debug, Default)]
struct NewestByHour {
    seen: HashMap<(Stream, Hour), NewestAsOf>,
    /// Qualities that have a value.
    shown: HashSet<Stream>,
}

/// Start and end of the newest segment of an hour, as of this version.
type NewestAsOf = (Version, Option<Newest>);

/// Start and end of the newest segment.
type Newest = (Timestamp, Timestamp);

impl LatestSegments {
    /// Registers the gauge.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let help = "Start of the newest segment of a quality, as a Unix time stamp in seconds";
        let gauge = GaugeVec::new(Opts::new("latest_segment", help), &["channel", "quality"])?;
        registry.register(Box::new(gauge.clone()))?;
        Ok(Self { gauge, state: Mutex::default() })
    }

    /// Brings the gauge up to date. Qualities that are gone have no value any more.
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float; microseconds fit until the year 2255")]
    pub fn update(&self, index: &Index, horizon: Horizon) {
        let mut state = self.state.lock();
        for (stream, (start, _)) in state.newest(index, horizon) {
            let labels = [stream.channel.as_str(), stream.quality.as_str()];
            self.gauge.with_label_values(&labels).set(start.us() as f64 / 1e6);
            state.shown.insert(stream);
        }
        let NewestByHour { seen, shown } = &mut *state;
        let there: HashSet<&Stream> = seen.keys().map(|(stream, _)| stream).collect();
        shown.retain(|stream| {
            let stays = there.contains(stream);
            if !stays {
                let labels = [stream.channel.as_str(), stream.quality.as_str()];
                if let Err(error) = self.gauge.remove_label_values(&labels) {
                    tracing::debug!(name: "label_not_there", %error, "a label was gone already");
                }
            }
            stays
        });
    }

    /// When the newest segment of each quality ends.
    pub(super) fn ends(&self, index: &Index, horizon: Horizon) -> Vec<(Stream, Timestamp)> {
        self.state.lock().newest(index, horizon).into_iter().map(|(stream, (_, end))| (stream, end)).collect()
    }
}

impl NewestByHour {
    /// The newest segment of each quality; what lies beyond the horizon is not the newest. Hours that did not change are not read again.
    fn newest(&mut self, index: &Index, horizon: Horizon) -> Vec<(Stream, Newest)> {
        let (mut kept, mut found) = (HashMap::new(), Vec::new());
        for stream in index.catalog().streams_by_age().into_iter().take(MOST_QUALITIES) {
            let name = stream.to_string();
            for hour in newest(index, &name, horizon) {
                let Some(version) = index.catalog().hour_version(&name, hour) else { continue };
                let key = (stream.clone(), hour);
                let latest = match self.seen.remove(&key) {
                    Some((known, latest)) if known == version => latest,
                    _ => newest_in(index, &name, hour),
                };
                kept.insert(key, (version, latest));
                if let Some(latest) = latest {
                    found.push((stream, latest));
                    break;
                }
            }
        }
        self.seen = kept;
        found
    }
}

/// The newest visible segment of an hour.
fn newest_in(index: &Index, stream: &str, hour: Hour) -> Option<Newest> {
    let view = index.hour(stream, hour).ok().flatten()?;
    let video = view.contents.visible().filter(|file| file.key.kind.is_video());
    video.map(|file| (file.key.start(hour), file.key.end(hour))).max()
}

/// The hours in which the newest segment may lie, the newest first.
fn newest(index: &Index, stream: &str, horizon: Horizon) -> Vec<Hour> {
    let state = index.catalog().read();
    let hours = state.streams.get(stream).map(|entry| horizon.newest(&entry.hours).take(HOURS_SEARCHED).collect());
    hours.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::test_node::TestNode;

    #[tokio::test]
    async fn a_channel_that_is_gone_has_no_value_any_more() {
        let node = TestNode::new();
        let name = "00:00.000000-2.0-full-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA.ts";
        node.put("gone/source/2019-11-13T02", [name]);
        node.put("stays/source/2019-11-13T02", [name]);
        let shown = async || String::from_utf8(node.ask("/metrics", &[]).await.2).unwrap();
        let label = |channel: &str| format!("latest_segment{{channel=\"{channel}\",quality=\"source\"}}");
        let before = shown().await;
        assert!(before.contains(&label("gone")) && before.contains(&label("stays")), "{before}");
        std::fs::remove_dir_all(node.directory.path().join("gone")).unwrap();
        node.look("gone/source/2019-11-13T02");
        let after = shown().await;
        assert!(!after.contains(&label("gone")) && after.contains(&label("stays")), "{after}");
    }
}
