//! The records of a range of time, page by page, from the daemon on this archive.

use std::collections::BTreeMap;

use super::client::{ClientError, Daemon, path};
use crate::domain::{HourPlace, Timestamp};
use crate::wire::SegmentPage;

/// Pages of an hour: with a thousand names each, as many as a directory is read with.
const PAGES: usize = 1_000;

/// Names and sizes of an hour, of what tombstones hide as well. What the grammar does not understand is not among them.
pub async fn of_hour(daemon: &Daemon, place: &HourPlace) -> Result<BTreeMap<String, u64>, ClientError> {
    let hour = place.hour.to_string();
    let parts = path(["api", "v1", "segments", place.stream.channel.as_str(), place.stream.quality.as_str()]);
    let (start, end) = (place.hour.start(), place.hour.end().min(Timestamp::MAX));
    let range = format!("{parts}?start={start}&end={end}&tombstones=true");
    let mut found = BTreeMap::new();
    let mut after = String::new();
    for _ in 0..PAGES {
        let page: SegmentPage = daemon.get_json(&format!("{range}{after}")).await?;
        let here = page.segments.into_iter().filter(|record| record.hour == hour);
        found.extend(here.map(|record| (record.name, record.size)));
        let Some(next) = page.next else { break };
        after = format!("&after={}", path([next.as_str()]).split_off(1));
    }
    Ok(found)
}
