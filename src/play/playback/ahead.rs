//! Hours in the middle of a list are written by several threads right after they are read, each as if the segment before it went on into
//! it. Where it does not, the hour is written anew here.

use std::sync::Arc;

use super::BestHour;
use super::threads::by_threads;
use crate::archive::{Chain, Stream, Timestamp};

/// Whether all of an hour lies in the middle of a window.
pub(super) fn is_within(hour: &BestHour, start: Timestamp, end: Timestamp) -> bool {
    start < hour.hour().start() && hour.hour().end() <= end
}

/// Has those hours in the middle of a window written whose lines are not there as they must be after the hours before, so that all of them
/// only need be put together.
pub(super) fn write_anew(stream: &Stream, hours: &[Arc<BestHour>], start: Timestamp, end: Timestamp) {
    let mut chain = Chain::new(start);
    let mut wrong = Vec::new();
    for hour in hours {
        let is_within = is_within(hour, start, end);
        if let Some(kept) = hour.kept_text(chain).filter(|_| is_within) {
            chain = kept.chain_after(chain);
            continue;
        }
        if is_within {
            wrong.push((hour, chain));
        }
        for (link, _) in hour.told() {
            chain.step(link);
        }
    }
    // A thread that died leaves its hours to whoever puts them together.
    by_threads(&wrong, |(hour, before)| drop(hour.text(stream, *before)));
}
