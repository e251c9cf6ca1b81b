//! The records of an hour, from the daemon of this archive or its index.

use std::collections::BTreeMap;

use super::api::Api;
use crate::archive::{HourPlace, Timestamp};
use crate::wire::SegmentPage;

/// Names and sizes of an hour, of what tombstones hide as well. What the grammar does not understand is not among them.
pub async fn of_hour(api: &Api, place: &HourPlace) -> anyhow::Result<BTreeMap<String, u64>> {
    let (start, end) = (place.hour.start(), place.hour.end().min(Timestamp::MAX));
    let (hour, mut found) = (place.hour.to_string(), BTreeMap::new());
    let question = api.get("api/v1/segments").of(&place.stream).with("start", start).with("end", end);
    let each = |page: SegmentPage| {
        let here = page.segments.into_iter().filter(|record| record.hour == hour);
        found.extend(here.map(|record| (record.name, record.size)));
        Ok(())
    };
    question.with("tombstones", true).pages("after", |page: &SegmentPage| page.next.clone(), each).await?;
    Ok(found)
}
