//! The table `facts`: what the two ends of segments say ([`Edges`]), kept so that a playlist need not open files: a cache of what lies in the archive.
//!
//! 1. An entry belongs to a content, by the first bytes of its hash. It goes with its file, and nothing is kept of a file that is not there.
//! 2. Entries of an hour lie in rows that fill a page each, in the order in which they were learnt, which is mostly that of time. Times are
//!    written as the difference from what the entry before lets expect, fingerprints once a row: eleven bytes a segment are usual.
//! 3. Every row has a check. One that cannot be read is as if it were not there, and is written anew when its files are read again.

mod row;

use std::collections::HashMap;

use redb::{ReadableTable, Table, TableDefinition, WriteTransaction};

pub(super) use self::row::{Entries, encode};
use super::IndexError;
use super::apply::Session;
use super::codec::{HourKey, hour_key};
use super::store::Index;
use crate::archive::{Edges, Hash, Hour, SegmentFile, Stream};

/// Bytes of a key: stream, hour and number of the row.
pub(super) const FACTS_KEY: usize = 9;

pub(super) const FACTS: TableDefinition<'static, &[u8; FACTS_KEY], &[u8]> = TableDefinition::new("facts.1");

/// Rows of an hour: more are not written, which bounds what is read.
const MOST_ROWS: usize = 255;

/// Entries that are passed over without being looked up.
const NEAR: usize = 16;

/// The first bytes of a content's hash: among the segments of an hour they are one to a million unlike.
pub(super) type Id = [u8; 4];

/// What was learnt of some segments of an hour.
#[derive(Debug, Clone)]
pub struct Learnt {
    /// Channel and quality.
    pub stream: Stream,
    /// The hour.
    pub hour: Hour,
    /// The segments, in order of time.
    pub segments: Vec<(SegmentFile, Edges)>,
}

/// What is known of the segments of an hour, as it lies in the index: read when it is asked for.
#[derive(Debug, Default)]
pub struct HourFacts {
    rows: FactsRows,
}

fn id(hash: &Hash) -> Id {
    [hash.0[0], hash.0[1], hash.0[2], hash.0[3]]
}

impl HourFacts {
    /// What is known of each of these, in this order.
    pub fn of<'h>(&self, hashes: impl Iterator<Item = &'h Hash>) -> impl Iterator<Item = Option<Edges>> {
        // They lie in the order of time, and so do the questions: mostly it is the next one, and nothing need be looked up.
        let mut in_order = InOrder { rows: self.rows.iter(), entries: None, at: 0 };
        let mut by_id: Option<HashMap<Id, (usize, Edges)>> = None;
        hashes.map(move |hash| {
            let asked = id(hash);
            if let Some(edges) = in_order.next_if(|_, next| next == asked) {
                return Some(edges);
            }
            let by_id = by_id.get_or_insert_with(|| {
                let all = entries(&self.rows).enumerate();
                all.map(|(at, (id, edges))| (id, (at, edges))).collect()
            });
            let (at, edges) = *by_id.get(&asked)?;
            // Segments that are not the best lie in between; one that was learnt later lies far behind.
            while in_order.next_if(|next, _| next <= at && at - next <= NEAR).is_some() {}
            Some(edges)
        })
    }

    /// Of how many something is known.
    pub fn len(&self) -> usize {
        entries(&self.rows).count()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        entries(&self.rows).next().is_none()
    }
}

impl Index {
    /// What is known of the segments of an hour.
    pub fn facts(&self, stream: &str, hour: Hour) -> Result<HourFacts, IndexError> {
        self.read(|transaction, _| {
            let Some(stream_id) = self.stream_id(stream) else { return Ok(HourFacts::default()) };
            let rows = rows(&transaction.open_table(FACTS)?, hour_key(stream_id, hour))?;
            Ok(HourFacts { rows })
        })
    }
}

impl Session<'_> {
    /// Keeps what was learnt of files that are there.
    pub(super) fn learn(&mut self, learnt: &Learnt) -> Result<(), IndexError> {
        let name = learnt.stream.to_string();
        let stream_id = self.catalog.read().streams.get(&name).map(|entry| entry.row.id);
        let Some(hour) = stream_id.map(|stream_id| hour_key(stream_id, learnt.hour)) else { return Ok(()) };
        let mut fresh = Vec::with_capacity(learnt.segments.len());
        for (file, edges) in &learnt.segments {
            let size = match &file.exact {
                None => self.files.size(hour, &file.key)?,
                Some(exact) => self.files.odd_size(hour, exact)?,
            };
            if size == Some(file.size) {
                fresh.push((id(&file.key.hash), *edges));
            }
        }
        self.facts.change(hour, |known| {
            let mut at: HashMap<Id, usize> = known.iter().enumerate().map(|(at, (id, _))| (*id, at)).collect();
            for (id, edges) in fresh {
                if let Some(entry) = at.get(&id).and_then(|at| known.get_mut(*at)) {
                    entry.1 = edges;
                } else {
                    at.insert(id, known.len());
                    known.push((id, edges));
                }
            }
        })
    }

    /// Files of these contents are gone, or are not what they were.
    pub(super) fn forget(&mut self, hour: HourKey, contents: &[Hash]) -> Result<(), IndexError> {
        if contents.is_empty() {
            return Ok(());
        }
        let gone: std::collections::HashSet<Id> = contents.iter().map(id).collect();
        self.facts.change(hour, |known| known.retain(|(id, _)| !gone.contains(id)))
    }

    /// The hour is gone.
    pub(super) fn forget_hour(&mut self, hour: HourKey) -> Result<(), IndexError> {
        self.facts.change(hour, Vec::clear)
    }
}

/// The table in a transaction that writes.
pub(super) struct FactTable<'t>(Table<'t, &'static [u8; FACTS_KEY], &'static [u8]>);

impl<'t> FactTable<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, IndexError> {
        Ok(Self(transaction.open_table(FACTS)?))
    }

    fn change(&mut self, hour: HourKey, change: impl FnOnce(&mut Vec<(Id, Edges)>)) -> Result<(), IndexError> {
        let before = rows(&self.0, hour)?;
        let mut known: Vec<(Id, Edges)> = entries(&before).collect();
        change(&mut known);
        let after = encode(hour, &known);
        for number in 0..before.len().max(after.len()).min(MOST_ROWS) {
            let key = row_key(hour, number);
            match (before.get(number), after.get(number)) {
                (Some((_, old)), Some(new)) if old == new => {}
                (_, Some(new)) => drop(self.0.insert(&key, new.as_slice())?),
                (Some(_), None) => drop(self.0.remove(&key)?),
                (None, None) => {}
            }
        }
        Ok(())
    }
}

pub(super) fn row_key(hour: HourKey, number: usize) -> [u8; FACTS_KEY] {
    let mut key = [u8::try_from(number).unwrap_or(u8::MAX); FACTS_KEY];
    key[..hour.len()].copy_from_slice(&hour);
    key
}

type FactsRow = ([u8; FACTS_KEY], Vec<u8>);
type FactsRows = Vec<FactsRow>;

/// The rows of an hour as they stand there.
fn rows(
    table: &impl ReadableTable<&'static [u8; FACTS_KEY], &'static [u8]>,
    hour: HourKey,
) -> Result<FactsRows, IndexError> {
    let (first, last) = (row_key(hour, 0), row_key(hour, MOST_ROWS));
    let mut found = Vec::new();
    for row in table.range::<&[u8; FACTS_KEY]>(&first..=&last)?.take(MOST_ROWS) {
        let (key, value) = row?;
        found.push((*key.value(), value.value().to_vec()));
    }
    Ok(found)
}

/// What lies in rows, nothing of one that is damaged.
fn entries(rows: &FactsRows) -> impl Iterator<Item = (Id, Edges)> {
    rows.iter().filter_map(open).flatten()
}

fn open((key, row): &FactsRow) -> Option<Entries<'_>> {
    let entries = Entries::open(key, row);
    if entries.is_none() {
        tracing::debug!(name: "facts_forgotten", "what is kept of some segments' contents cannot be read; they are read again");
    }
    entries
}

/// The entries of rows; one is read only when it is the one that is asked for, or passed over.
struct InOrder<'r> {
    rows: std::slice::Iter<'r, FactsRow>,
    entries: Option<Entries<'r>>,
    /// The number of the next one.
    at: usize,
}

impl InOrder<'_> {
    /// The next one, if that is it by its number and its content.
    fn next_if(&mut self, is_it: impl Fn(usize, Id) -> bool) -> Option<Edges> {
        loop {
            if let Some(entries) = &mut self.entries
                && let Some(id) = entries.next_id()
            {
                if !is_it(self.at, id) {
                    return None;
                }
                self.at += 1;
                return entries.next().map(|(_, edges)| edges);
            }
            self.entries = Some(self.rows.find_map(open)?);
        }
    }
}
