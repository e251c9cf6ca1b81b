//! Writes the hours in the middle of a list at the same time, before they are put together one after the other.

use std::sync::Arc;

use super::{BestHour, by_threads};
use crate::archive::{Chain, Stream, Timestamp};

/// Whether all of an hour lies in the middle of a window.
pub(super) fn is_within(hour: &BestHour, start: Timestamp, end: Timestamp) -> bool {
    start < hour.hour().start() && hour.hour().end() <= end
}

/// Segments before an hour that say how its lines begin, unless what is told depends on one that lies further back.
const TAIL: usize = 16;

/// Where an hour most likely goes on from, by the last segments before it.
fn likely_chain(start: Timestamp, before: &[Arc<BestHour>]) -> Chain {
    let mut chain = Chain::new(start);
    if let Some(hour) = before.iter().rev().find(|hour| !hour.best().is_empty()) {
        for (link, _) in hour.linked().skip(hour.best().len().saturating_sub(TAIL)) {
            chain.step(link);
        }
    }
    chain
}

/// Has the hours in the middle of a window written at the same time, so that they only need be put together. Each depends on the one before
/// it, but hardly ever on more than its end: which is taken for granted at first, and written anew where it is not so.
pub(super) fn write_ahead(stream: &Stream, hours: &[Arc<BestHour>], start: Timestamp, end: Timestamp) {
    let is_new = |hour: &BestHour| is_within(hour, start, end) && !hour.is_written();
    let within: Vec<(usize, &Arc<BestHour>)> = hours.iter().enumerate().filter(|(_, hour)| is_new(hour)).collect();
    // A thread that died leaves its hours to whoever puts them together.
    by_threads(&within, |(at, hour)| {
        drop(hour.text(stream, likely_chain(start, hours.get(..*at).unwrap_or_default())));
    });
    let mut chain = Chain::new(start);
    let mut wrong = Vec::new();
    for hour in hours {
        let is_within = is_within(hour, start, end);
        if let Some(kept) = hour.kept_text(chain).filter(|_| is_within) {
            chain = kept.after;
            continue;
        }
        if is_within {
            wrong.push((hour, chain));
        }
        for (link, _) in hour.linked() {
            chain.step(link);
        }
    }
    by_threads(&wrong, |(hour, before)| drop(hour.text(stream, *before)));
}
