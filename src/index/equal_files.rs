//! Files of a channel that have something in common, in whatever quality and around whatever hour they lie.

use std::collections::HashSet;

use redb::ReadTransaction;

use super::codec::{HourKey, hour_key};
use super::hours::HourRow;
use super::store::Index;
use super::{IndexError, files, hours};
use crate::archive::time::HOUR_US;
use crate::archive::{Channel, Hash, Hour, HourContents, HourPlace, SegmentFile, SegmentKey, Span, Stream, Timestamp};

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EqualBy {
    /// Segments and chat batches, hidden ones included.
    Files,
    /// Tombstones; hours that have none cost a row.
    Tombstones,
}

impl Index {
    /// What of a channel starts from `from` to `to`, both included, and is `wanted`, in no order.
    pub fn alike(
        &self,
        channel: &Channel,
        (from, to): (Timestamp, Timestamp),
        what: EqualBy,
        wanted: impl Fn(&SegmentKey) -> bool,
    ) -> Result<Vec<(HourPlace, SegmentFile)>, IndexError> {
        let streams: Vec<(Stream, u32)> = {
            let state = self.catalog().read();
            let of_channel = state.streams.values().filter(|entry| entry.stream.channel == *channel);
            of_channel.map(|entry| (entry.stream.clone(), entry.row.id)).collect()
        };
        self.read(|transaction, _| {
            let mut found = Vec::new();
            for (stream, id) in &streams {
                let mut hour = from.hour();
                while hour <= to.hour() {
                    let key = hour_key(*id, hour);
                    if let Some(row) = hours::read(transaction, key)?.filter(|row| may_have(row, what)) {
                        let place = HourPlace { stream: stream.clone(), hour };
                        let is_wanted = |file: &SegmentKey| {
                            let start = file.start(hour);
                            file.tombstone == (what == EqualBy::Tombstones)
                                && (from..=to).contains(&start)
                                && wanted(file)
                        };
                        let files = between(transaction, key, &row, (from, to), hour, is_wanted)?;
                        found.extend(files.into_iter().map(|file| (place.clone(), file)));
                    }
                    if hour == Hour::MAX {
                        break;
                    }
                    hour = hour.next();
                }
            }
            Ok(found)
        })
    }
}

impl Index {
    /// What of an hour has one of these contents and is not hidden, by start.
    pub fn of_content(
        &self,
        stream: &Stream,
        hour: Hour,
        contents: &HashSet<Hash>,
    ) -> Result<Vec<SegmentFile>, IndexError> {
        let Some(id) = self.stream_id(&stream.to_string()) else { return Ok(Vec::new()) };
        self.read(|transaction, _| {
            let key = hour_key(id, hour);
            let Some(row) = hours::read(transaction, key)?.filter(|row| row.rows > 0) else { return Ok(Vec::new()) };
            let whole = (hour.start(), hour.start() + Span::from_us(HOUR_US));
            let found = between(transaction, key, &row, whole, hour, |file| contents.contains(&file.hash))?;
            Ok(HourContents::new(found, Vec::new()).visible().cloned().collect())
        })
    }
}

impl Index {
    /// The video of a quality that starts from then to then, both included, and is not hidden, in order.
    pub fn visible_starting_in(
        &self,
        stream: &Stream,
        (from, to): (Timestamp, Timestamp),
    ) -> Result<Vec<(SegmentKey, Hour)>, IndexError> {
        let Some(id) = self.stream_id(&stream.to_string()) else { return Ok(Vec::new()) };
        self.read(|transaction, _| {
            let mut found = Vec::new();
            let last = to.hour();
            for hour in [from.hour(), last].into_iter().take(if from.hour() == last { 1 } else { 2 }) {
                let key = hour_key(id, hour);
                let Some(row) = hours::read(transaction, key)?.filter(|row| row.rows > 0) else { continue };
                // A tombstone starts with what it hides.
                let files = between(transaction, key, &row, (from, to), hour, |_| true)?;
                let of_hour = HourContents::new(files, Vec::new());
                let video = of_hour.visible().filter(|file| file.key.kind.is_video());
                found.extend(video.map(|file| (file.key, hour)));
            }
            Ok(found)
        })
    }
}

fn may_have(row: &HourRow, what: EqualBy) -> bool {
    row.rows > 0 && (what == EqualBy::Files || row.totals.tombstones > 0)
}

/// What of an hour is wanted and starts in between.
fn between(
    transaction: &ReadTransaction,
    key: HourKey,
    row: &HourRow,
    (from, to): (Timestamp, Timestamp),
    hour: Hour,
    is_wanted: impl Fn(&SegmentKey) -> bool,
) -> Result<Vec<SegmentFile>, IndexError> {
    let offset =
        |at: Timestamp| u32::try_from((at - hour.start()).us().clamp(0, i64::from(u32::MAX))).unwrap_or(u32::MAX);
    files::starting_between(transaction, key, row, (offset(from), offset(to)), is_wanted)
}
