//! How many bytes a move of slots is about, as far as this node's index knows.

use std::collections::BTreeMap;

use crate::archive::placement::{CopiesWanted, Layout, SLOTS, Slot};
use crate::archive::{Channel, Hour, HourPlace, Stream};
use crate::index::{Index, IndexError};

/// Bytes of each slot, of the channels that have one number of copies before and one after.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SlotBytes {
    /// Bytes in all, by slot.
    pub bytes: Vec<u64>,
    /// Channels that have these numbers of copies for themselves. Those of all others are not named.
    pub channels: Vec<Channel>,
}

impl SlotBytes {
    /// What lies here, for each pair of numbers of copies that channels have before and after. That of channels without a number of their own
    /// is there in any case.
    pub fn between(
        index: &Index,
        before: &Layout,
        after: &Layout,
    ) -> Result<BTreeMap<(CopiesWanted, CopiesWanted), Self>, IndexError> {
        let pair = |channel: Option<&Channel>| (before.copies(channel), after.copies(channel));
        let empty = || Self { bytes: vec![0; SLOTS], channels: Vec::new() };
        let mut found = BTreeMap::from([(pair(None), empty())]);
        let named = before.channels().keys().chain(after.channels().keys());
        for channel in named.filter(|channel| pair(Some(channel)) != pair(None)) {
            let channels = &mut found.entry(pair(Some(channel))).or_insert_with(empty).channels;
            if !channels.contains(channel) {
                channels.push(channel.clone());
            }
        }
        for stream in index.catalog().streams() {
            let of_pair = found.entry(pair(Some(&stream.channel))).or_insert_with(empty);
            add(index, &stream, &mut of_pair.bytes)?;
        }
        Ok(found)
    }
}

/// Adds what lies here of a channel and quality.
fn add(index: &Index, stream: &Stream, bytes: &mut [u64]) -> Result<(), IndexError> {
    for (hour, row) in index.hour_rows(&stream.to_string(), Hour::MIN, Hour::MAX)? {
        let totals = &row.totals;
        let tallies = totals.video.iter().chain([&totals.chat, &totals.bad, &totals.other, &totals.hidden]);
        let of_hour: u64 = tallies.map(|tally| tally.bytes).sum();
        let slot = Slot::of(&HourPlace { stream: stream.clone(), hour });
        if let Some(sum) = bytes.get_mut(slot.row()) {
            *sum = sum.saturating_add(of_hour);
        }
    }
    Ok(())
}
