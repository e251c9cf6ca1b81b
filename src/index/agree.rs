//! What two nodes ask each other to agree: sums of digests, kept in memory, and pages of the change log.
//!
//! 1. The sums of a quality are kept by day, each with a fingerprint of the versions of its hours. A question about a quality that
//!    was not touched since costs a look at one number; otherwise only the days whose fingerprint differs are read.
//! 2. A [`Position`] is taken before sums are read: they hold at least everything up to it, so that whoever has compared them
//!    may follow the changes from there.
//! 3. No reader is told of a change before the catalog knows it, so that its stream has a name.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use redb::ReadTransaction;
use tokio::sync::watch;

use super::catalog::{StreamEntry, Version};
use super::store::Index;
use super::{ChangeRow, IndexError, changes, meta};
use crate::archive::placement::{Slot, SlotSet};
use crate::archive::{AnyFile, Day, Hour, Sum};

/// Days that are read at once: 1,536 rows, half a megabyte, however many years a quality has.
const RUN: usize = 64;
/// Rows of the change log that one page looks at, whatever they are: a few milliseconds.
const SCANNED: usize = 10_000;

/// What is kept in memory to agree cheaply.
#[derive(Debug, Default)]
pub(super) struct DigestCache {
    committed: watch::Sender<Position>,
    sums: Mutex<HashMap<String, KeptSums>>,
}

/// Sets of slots of a quality whose sums are kept: a node of 50 compares two with each of the others, and is asked for two by each.
const MOST_SETS: usize = 256;

/// The sums of a quality: over all of its hours, and over those of some slots, the ones that came last at the end.
#[derive(Debug, Default)]
struct KeptSums {
    whole: Option<Arc<StreamSums>>,
    of_slots: Vec<(SlotSet, Arc<StreamSums>)>,
}

impl KeptSums {
    fn of(&self, slots: Option<&SlotSet>) -> Option<&Arc<StreamSums>> {
        match slots {
            None => self.whole.as_ref(),
            Some(slots) => self.of_slots.iter().find(|(known, _)| known == slots).map(|(_, sums)| sums),
        }
    }

    fn keep(&mut self, slots: Option<&SlotSet>, sums: Arc<StreamSums>) {
        let Some(slots) = slots else {
            self.whole = Some(sums);
            return;
        };
        self.of_slots.retain(|(known, _)| known != slots);
        if self.of_slots.len() >= MOST_SETS {
            self.of_slots.remove(0);
        }
        self.of_slots.push((slots.clone(), sums));
    }
}

impl DigestCache {
    /// Changes up to this one are committed, and readers see them. A commit without any wakes nobody.
    pub(super) fn committed(&self, position: Position) {
        self.committed.send_if_modified(|last| std::mem::replace(last, position) != position);
    }
}

/// A place in the change log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Position {
    /// Of the index in this process: in another one nothing that was read before counts.
    pub generation: u64,
    /// Of the index for ever: sequence numbers mean something only together with it.
    pub epoch: u64,
    /// The last change.
    pub seq: u64,
}

/// What the hours of a quality add up to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamSums {
    version: Version,
    total: Sum,
    days: BTreeMap<Day, DaySum>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct DaySum {
    /// Of the versions of its hours.
    fingerprint: u64,
    sum: Sum,
}

impl StreamSums {
    /// Of all hours.
    pub fn total(&self) -> Sum {
        self.total
    }

    /// Of one day.
    pub fn day(&self, day: Day) -> Sum {
        self.days.get(&day).map(|kept| kept.sum).unwrap_or_default()
    }

    /// Of each day that holds something, after that day where one is given.
    pub fn days(&self, after: Option<Day>) -> impl Iterator<Item = (Day, Sum)> {
        use std::ops::Bound::{Excluded, Unbounded};
        let held = self.days.range((after.map_or(Unbounded, Excluded), Unbounded));
        held.map(|(day, kept)| (*day, kept.sum)).filter(|(_, sum)| sum.hours > 0)
    }
}

/// Changes after a place in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangePage {
    /// The epoch and last change of the log.
    pub position: Position,
    /// `None` if the place lies outside of the log: in another epoch, before what is kept, or after its end.
    pub changes: Option<Vec<ReplicatedChange>>,
    /// Where the next page begins.
    pub next: u64,
}

/// A change of a name that is replicated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicatedChange {
    /// What changed.
    pub record: ChangeRow,
    /// `CHANNEL/QUALITY`.
    pub stream: String,
}

impl Index {
    /// The last change that readers are told of.
    pub fn position(&self) -> Position {
        let state = self.catalog().read();
        Position { generation: state.generation, epoch: state.epoch, seq: state.seq }
    }

    /// Changes with each commit of changes: where the log ends now.
    pub fn committed(&self) -> watch::Receiver<Position> {
        self.agreement().committed.subscribe()
    }

    /// What the hours of a quality add up to; nothing if there is no such quality. Blocks: not for async code.
    pub fn stream_sums(&self, stream: &str) -> Result<Arc<StreamSums>, IndexError> {
        self.sums_of(stream, None)
    }

    /// What those of its hours add up to that fall into these slots. Blocks: not for async code.
    pub fn stream_sums_in(&self, stream: &str, slots: &SlotSet) -> Result<Arc<StreamSums>, IndexError> {
        self.sums_of(stream, Some(slots))
    }

    fn sums_of(&self, stream: &str, slots: Option<&SlotSet>) -> Result<Arc<StreamSums>, IndexError> {
        // Whoever asks meanwhile would have to read the same.
        let mut kept = self.agreement().sums.lock();
        let (version, wanted) = {
            let state = self.catalog().read();
            let Some(entry) = state.streams.get(stream) else {
                kept.remove(stream);
                return Ok(Arc::default());
            };
            let version = Version { generation: state.generation, changed: entry.changed };
            match kept.get(stream).and_then(|known| known.of(slots)) {
                Some(sums) if sums.version == version => return Ok(Arc::clone(sums)),
                _ => (version, fingerprints(entry)),
            }
        };
        let known = kept.get(stream).and_then(|known| known.of(slots));
        let known = known.filter(|sums| sums.version.generation == version.generation);
        let sums = self.bring_up((stream, slots), known.map(Arc::as_ref), version, &wanted)?;
        if self.catalog().generation() != version.generation {
            return Err(IndexError::BeganAnew);
        }
        let sums = Arc::new(sums);
        kept.entry(stream.to_owned()).or_default().keep(slots, Arc::clone(&sums));
        Ok(sums)
    }

    /// Takes over the days that are as they were, and reads the others.
    fn bring_up(
        &self,
        (stream, slots): (&str, Option<&SlotSet>),
        known: Option<&StreamSums>,
        version: Version,
        wanted: &[(Day, u64)],
    ) -> Result<StreamSums, IndexError> {
        let mut sums = StreamSums { version, ..StreamSums::default() };
        for run in wanted.chunks(RUN) {
            let mut days: Vec<(Day, DaySum)> = Vec::with_capacity(run.len());
            let mut stale: Option<(Day, Day)> = None;
            for (day, fingerprint) in run {
                match known.and_then(|known| known.days.get(day)).filter(|kept| kept.fingerprint == *fingerprint) {
                    Some(kept) => days.push((*day, *kept)),
                    None => stale = Some((stale.map_or(*day, |(first, _)| first), *day)),
                }
            }
            if let Some((first, last)) = stale {
                let mut read: BTreeMap<Day, Sum> = BTreeMap::new();
                for (hour, row) in self.hour_rows(stream, first.first(), last.last())? {
                    if slots.is_some_and(|slots| !slots.has(Slot::in_stream(stream, hour))) {
                        continue;
                    }
                    let sum = read.entry(Day::of(hour)).or_default();
                    *sum = sum.plus(Sum::of_hour(hour, &row.totals));
                }
                let between = run.iter().filter(|(day, _)| (first..=last).contains(day));
                let sum = |day: &Day| read.get(day).copied().unwrap_or_default();
                days.extend(
                    between.map(|(day, fingerprint)| (*day, DaySum { fingerprint: *fingerprint, sum: sum(day) })),
                );
            }
            sums.days.extend(days);
        }
        sums.total = sums.days.values().fold(Sum::default(), |total, kept| total.plus(kept.sum));
        Ok(sums)
    }

    /// Up to `limit` changes of replicated names after a place in the log, which is given with its epoch.
    pub fn change_page(&self, epoch: u64, after: u64, limit: usize) -> Result<ChangePage, IndexError> {
        self.read(|transaction, generation| {
            let (position, names) = {
                let state = self.catalog().read();
                let names = state.streams.iter().map(|(name, entry)| (entry.row.id, name.clone()));
                let names: HashMap<u32, String> = if after < state.seq { names.collect() } else { HashMap::new() };
                (Position { generation, epoch: state.epoch, seq: state.seq }, names)
            };
            let mut page = ChangePage { position, changes: None, next: position.seq };
            let floor = meta::number(transaction, "floor")?.unwrap_or(0);
            if epoch == position.epoch && (floor..=position.seq).contains(&after) {
                (page.next, page.changes) = read_page(transaction, &names, after, position.seq, limit)?;
            }
            Ok(page)
        })
    }
}

/// The changes from `after` up to `last`, and where they end.
fn read_page(
    transaction: &ReadTransaction,
    names: &HashMap<u32, String>,
    after: u64,
    last: u64,
    limit: usize,
) -> Result<(u64, Option<Vec<ReplicatedChange>>), IndexError> {
    let (mut next, mut left, mut found) = (after, SCANNED, Vec::new());
    if limit == 0 {
        return Ok((next, Some(found)));
    }
    changes::each_after(transaction, names, (after, last), |record| {
        next = record.seq;
        left -= 1;
        if let (Some(stream), AnyFile::Segment(_)) = (record.stream.clone(), &record.file) {
            found.push(ReplicatedChange { record, stream });
        }
        left > 0 && found.len() < limit
    })?;
    Ok((next, Some(found)))
}

/// Each day of a stream with what its hours' versions add up to.
fn fingerprints(entry: &StreamEntry) -> Vec<(Day, u64)> {
    let mut days: Vec<(Day, u64)> = Vec::new();
    for (hour, changed) in &entry.hours {
        let share = fingerprint(*hour, *changed);
        match days.last_mut() {
            Some((day, sum)) if *day == Day::of(*hour) => *sum = sum.wrapping_add(share),
            _ => days.push((Day::of(*hour), share)),
        }
    }
    days
}

fn fingerprint(hour: Hour, changed: u64) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(&changed.to_le_bytes(), u64::from(hour.sortable()))
}
