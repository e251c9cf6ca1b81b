//! What the two ends of segments say ([`Edges`]), kept so that a playlist need not open files: a cache of what lies in the archive.
//!
//! 1. An entry belongs to a content, by the first bytes of its hash. It goes with its file, and nothing is kept of a file that is not there.
//! 2. Entries of an hour lie in rows that fill a page each, in the order in which they were learnt, which is mostly that of time. Times are
//!    written as the difference from what the entry before lets expect, fingerprints once a row: eleven bytes a segment are usual.
//! 3. Every row has a check. One that cannot be read is as if it were not there, and is written anew when its files are read again.

use std::cell::OnceCell;
use std::collections::HashMap;

use redb::ReadableTable as _;

use super::IndexError;
use super::apply::Session;
use super::codec::{self, check};
use super::store::Index;
use super::tables::{FACTS, FACTS_KEY, HourKey};
use crate::domain::{Edges, Extent, Hash, Hour, SegmentFile, Stream, TimeStamp, Tracks};

/// Bytes of a row: with its key and what the page needs it fills a page.
const ROW: usize = 4_060;

/// Rows of an hour: more are not written, which bounds what is read.
const MOST_ROWS: usize = 255;

/// Entries that one row can hold, by the shortest there may be.
const MOST_ENTRIES: usize = ROW / 6;

/// Bytes before the entries: a check, how many there are, how many pairs of fingerprints.
const HEAD: usize = 8 + 2 + 1;

/// Bytes of a pair of fingerprints.
const PAIR: usize = 24;

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

/// What is known of the segments of an hour.
#[derive(Debug, Default)]
pub struct HourFacts {
    entries: Vec<(Id, Edges)>,
    by_id: OnceCell<HashMap<Id, usize>>,
}

fn id(hash: &Hash) -> Id {
    [hash.0[0], hash.0[1], hash.0[2], hash.0[3]]
}

impl HourFacts {
    /// What is known of each of these, in this order.
    pub fn of<'h>(&self, hashes: impl Iterator<Item = &'h Hash>) -> Vec<Option<Edges>> {
        let mut next = 0;
        let known = |hash: &Hash| {
            let wanted = id(hash);
            // They lie in the order of time, and so do the questions: mostly it is the next one.
            let is_next = self.entries.get(next).is_some_and(|(found, _)| *found == wanted);
            let at = if is_next { next } else { *self.by_id().get(&wanted)? };
            next = at + 1;
            self.entries.get(at).map(|(_, edges)| *edges)
        };
        hashes.map(known).collect()
    }

    /// Of how many something is known.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn by_id(&self) -> &HashMap<Id, usize> {
        self.by_id.get_or_init(|| self.entries.iter().enumerate().map(|(at, (id, _))| (*id, at)).collect())
    }
}

impl Index {
    /// What is known of the segments of an hour.
    pub fn facts(&self, stream: &str, hour: Hour) -> Result<HourFacts, IndexError> {
        self.read(|transaction, _| {
            let Some(stream_id) = self.stream_id(stream) else { return Ok(HourFacts::default()) };
            let rows = rows(&transaction.open_table(FACTS)?, codec::hour_key(stream_id, hour))?;
            Ok(HourFacts { entries: entries(&rows), by_id: OnceCell::new() })
        })
    }
}

impl Session<'_> {
    /// Keeps what was learnt of files that are there.
    pub(super) fn learn(&mut self, learnt: &Learnt) -> Result<(), IndexError> {
        let name = learnt.stream.to_string();
        let stream_id = self.catalog.read().streams.get(&name).map(|entry| entry.row.id);
        let Some(hour) = stream_id.map(|stream_id| codec::hour_key(stream_id, learnt.hour)) else { return Ok(()) };
        let mut fresh = Vec::with_capacity(learnt.segments.len());
        for (file, edges) in &learnt.segments {
            let value = match &file.exact {
                None => self.files.get(&codec::file_key(hour, &file.key))?.map(|value| *value.value()),
                Some(exact) => self.odd.get(codec::odd_key(hour, exact).as_slice())?.map(|value| *value.value()),
            };
            if value.is_some_and(|value| codec::read_file_value(value) == file.size) {
                fresh.push((id(&file.key.hash), *edges));
            }
        }
        self.change_facts(hour, |known| {
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
        self.change_facts(hour, |known| known.retain(|(id, _)| !gone.contains(id)))
    }

    /// The hour is gone.
    pub(super) fn forget_hour(&mut self, hour: HourKey) -> Result<(), IndexError> {
        self.change_facts(hour, Vec::clear)
    }

    fn change_facts(&mut self, hour: HourKey, change: impl FnOnce(&mut Vec<(Id, Edges)>)) -> Result<(), IndexError> {
        let before = rows(&self.facts, hour)?;
        let mut known = entries(&before);
        change(&mut known);
        let after = encode(hour, &known);
        for number in 0..before.len().max(after.len()).min(MOST_ROWS) {
            let key = row_key(hour, number);
            match (before.get(number), after.get(number)) {
                (Some((_, old)), Some(new)) if old == new => {}
                (_, Some(new)) => drop(self.facts.insert(&key, new.as_slice())?),
                (Some(_), None) => drop(self.facts.remove(&key)?),
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

type Rows = Vec<([u8; FACTS_KEY], Vec<u8>)>;

/// The rows of an hour as they stand there.
fn rows(
    table: &impl redb::ReadableTable<&'static [u8; FACTS_KEY], &'static [u8]>,
    hour: HourKey,
) -> Result<Rows, IndexError> {
    let (first, last) = (row_key(hour, 0), row_key(hour, MOST_ROWS));
    let mut found = Vec::new();
    for row in table.range::<&[u8; FACTS_KEY]>(&first..=&last)?.take(MOST_ROWS) {
        let (key, value) = row?;
        found.push((*key.value(), value.value().to_vec()));
    }
    Ok(found)
}

fn entries(rows: &Rows) -> Vec<(Id, Edges)> {
    let mut all = Vec::with_capacity(rows.iter().map(|(_, row)| row.len() / 8).sum());
    for (key, row) in rows {
        if decode(key, row, &mut all).is_none() {
            tracing::debug!(name: "facts_forgotten", "what is kept of some segments' contents cannot be read; they are read again");
        }
    }
    all
}

/// What an entry lets expect of the next one.
#[derive(Debug, Clone, Copy, Default)]
struct Expected {
    end: i64,
    length: i64,
}

/// As many entries as a row takes, row after row.
pub(super) fn encode(hour: HourKey, known: &[(Id, Edges)]) -> Vec<Vec<u8>> {
    let mut rows = Vec::new();
    let mut left = known;
    while !left.is_empty() && rows.len() < MOST_ROWS {
        let (body, taken) = encode_row(left);
        let sum = check(&row_key(hour, rows.len()), &body);
        rows.push([sum.to_le_bytes().as_slice(), &body].concat());
        left = left.get(taken..).unwrap_or_default();
    }
    rows
}

/// One row but for its check, and how many entries it took.
fn encode_row(known: &[(Id, Edges)]) -> (Vec<u8>, usize) {
    let (mut pairs, mut written, mut taken) = (Vec::<(Tracks, Tracks)>::new(), Vec::new(), 0_u16);
    let mut expected = [Expected::default(); 2];
    for (id, edges) in known.iter().take(MOST_ENTRIES) {
        let pair = (edges.begins, edges.ends);
        let found = pairs.iter().position(|other| *other == pair);
        let number = found.unwrap_or(pairs.len());
        let Ok(number_byte) = u8::try_from(number) else { break };
        let mut entry = id.to_vec();
        entry.extend([marks(edges), number_byte]);
        let mut later = expected;
        for (extent, expects) in [edges.picture, edges.sound].iter().zip(&mut later) {
            push_extent(&mut entry, extent, expects);
        }
        let pairs_after = pairs.len() + usize::from(found.is_none());
        if HEAD + pairs_after * PAIR + written.len() + entry.len() > ROW || pairs_after > usize::from(u8::MAX) {
            break;
        }
        if found.is_none() {
            pairs.push(pair);
        }
        expected = later;
        written.extend(entry);
        taken += 1;
    }
    let mut body = taken.to_le_bytes().to_vec();
    body.push(u8::try_from(pairs.len()).unwrap_or(u8::MAX));
    let tracks = pairs.iter().flat_map(|(begins, ends)| [begins, ends]);
    for sum in tracks.flat_map(|tracks| [tracks.streams, tracks.picture, tracks.sound]) {
        body.extend(sum.to_le_bytes());
    }
    body.extend(written);
    (body, usize::from(taken))
}

/// Which times are known, and what is known of the beginning.
fn marks(edges: &Edges) -> u8 {
    let times = [edges.picture.first, edges.picture.end, edges.sound.first, edges.sound.end];
    let known = times.iter().enumerate().map(|(bit, time)| u8::from(time.is_some()) << bit).sum::<u8>();
    known | edges.independent.map_or(0, |is| 0x10 | u8::from(is) << 5)
}

fn push_extent(entry: &mut Vec<u8>, extent: &Extent, expected: &mut Expected) {
    let first = extent.first.map(TimeStamp::ticks);
    if let Some(first) = first {
        push_number(entry, difference(expected.end, first));
    }
    let begin = first.unwrap_or(expected.end);
    if let Some(end) = extent.end.map(TimeStamp::ticks) {
        push_number(entry, difference(begin + expected.length, end));
        *expected = Expected { end, length: difference(begin, end) };
    }
}

fn take_extent(bytes: &mut &[u8], known: u8, expected: &mut Expected) -> Option<Extent> {
    let mut extent = Extent::default();
    if known & 1 != 0 {
        extent.first = Some(TimeStamp::new(expected.end + take_number(bytes)?));
    }
    let begin = extent.first.map_or(expected.end, TimeStamp::ticks);
    if known & 2 != 0 {
        let end = TimeStamp::new(begin + expected.length + take_number(bytes)?);
        *expected = Expected { end: end.ticks(), length: difference(begin, end.ticks()) };
        extent.end = Some(end);
    }
    Some(extent)
}

/// Reads a row; nothing of one that is damaged.
pub(super) fn decode(key: &[u8], row: &[u8], all: &mut Vec<(Id, Edges)>) -> Option<()> {
    let (sum, body) = row.split_first_chunk::<8>()?;
    if check(key, body) != u64::from_le_bytes(*sum) {
        return None;
    }
    let (count, body) = body.split_first_chunk::<2>()?;
    let (pairs, body) = body.split_first()?;
    let (pairs, mut rest) = body.split_at_checked(usize::from(*pairs) * PAIR)?;
    let word = |bytes: &[u8]| bytes.first_chunk::<4>().map_or(0, |four| u32::from_le_bytes(*four));
    let tracks = |bytes: &[u8]| Tracks {
        streams: word(bytes),
        picture: word(bytes.get(4..).unwrap_or_default()),
        sound: word(bytes.get(8..).unwrap_or_default()),
    };
    let pairs: Vec<(Tracks, Tracks)> =
        pairs.as_chunks::<PAIR>().0.iter().map(|pair| (tracks(&pair[..12]), tracks(&pair[12..]))).collect();
    let mut expected = [Expected::default(); 2];
    for _ in 0..u16::from_le_bytes(*count) {
        let (id, after_id) = rest.split_first_chunk::<4>()?;
        let ([marks, number], after_marks) = after_id.split_first_chunk::<2>()?;
        rest = after_marks;
        let (begins, ends) = *pairs.get(usize::from(*number))?;
        let picture = take_extent(&mut rest, *marks, &mut expected[0])?;
        let sound = take_extent(&mut rest, *marks >> 2, &mut expected[1])?;
        let independent = (marks & 0x10 != 0).then_some(marks & 0x20 != 0);
        all.push((*id, Edges { picture, sound, begins, ends, independent }));
    }
    Some(())
}

/// The short way round.
fn difference(from: i64, to: i64) -> i64 {
    const HALF: i64 = 1 << 32;
    (to - from + HALF).rem_euclid(2 * HALF) - HALF
}

/// Seven bits a byte, small numbers of either sign in few.
fn push_number(bytes: &mut Vec<u8>, number: i64) {
    let mut left = (number << 1 ^ number >> 63).cast_unsigned();
    while left >= 0x80 {
        bytes.push(u8::try_from(left & 0x7f).unwrap_or_default() | 0x80);
        left >>= 7;
    }
    bytes.push(u8::try_from(left).unwrap_or_default());
}

fn take_number(bytes: &mut &[u8]) -> Option<i64> {
    let mut number = 0_u64;
    for shift in (0..63).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((number >> 1).cast_signed() ^ -(number & 1).cast_signed());
        }
    }
    None
}
