//! How what is known of segments lies in a row of the index.

use super::super::codec::{HourKey, check};
use super::{Id, MOST_ROWS, row_key};
use crate::archive::{Edges, Extent, InitSection, TimeStamp, Tracks};

/// Bytes of a row: with its key and what the page needs it fills a page.
const ROW: usize = 4_060;

/// Entries that one row can hold, by the shortest there may be.
const MOST_ENTRIES: usize = ROW / 6;

/// Bytes before the entries: a check, how many there are, how many pairs of fingerprints.
const HEAD: usize = 8 + 2 + 1;

/// Bytes of a pair of fingerprints.
const PAIR: usize = 24;

/// What an entry lets expect of the next one.
#[derive(Debug, Clone, Copy, Default)]
struct ExpectedEdge {
    end: i64,
    length: i64,
}

/// As many entries as a row takes, row after row.
pub(in crate::index) fn encode(hour: HourKey, known: &[(Id, Edges)]) -> Vec<Vec<u8>> {
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
    let mut expected = [ExpectedEdge::default(); 2];
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
        if let Some(init) = edges.init {
            entry.extend([init.length(), init.print()].map(u32::to_le_bytes).concat());
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

/// Which times are known, and what is known of the beginning. The bit before the last came with format 8.
fn marks(edges: &Edges) -> u8 {
    let times = [edges.picture.first, edges.picture.end, edges.sound.first, edges.sound.end];
    let known = times.iter().enumerate().map(|(bit, time)| u8::from(time.is_some()) << bit).sum::<u8>();
    known | u8::from(edges.init.is_some()) << 6 | edges.independent.map_or(0, |is| 0x10 | u8::from(is) << 5)
}

fn push_extent(entry: &mut Vec<u8>, extent: &Extent, expected: &mut ExpectedEdge) {
    let first = extent.first.map(TimeStamp::ticks);
    if let Some(first) = first {
        push_number(entry, difference(expected.end, first));
    }
    let begin = first.unwrap_or(expected.end);
    if let Some(end) = extent.end.map(TimeStamp::ticks) {
        push_number(entry, difference(begin + expected.length, end));
        *expected = ExpectedEdge { end, length: difference(begin, end) };
    }
}

fn take_extent(bytes: &mut &[u8], known: u8, expected: &mut ExpectedEdge) -> Option<Extent> {
    let mut extent = Extent::default();
    if known & 1 != 0 {
        extent.first = Some(TimeStamp::new(expected.end + take_number(bytes)?));
    }
    let begin = extent.first.map_or(expected.end, TimeStamp::ticks);
    if known & 2 != 0 {
        let end = TimeStamp::new(begin + expected.length + take_number(bytes)?);
        *expected = ExpectedEdge { end: end.ticks(), length: difference(begin, end.ticks()) };
        extent.end = Some(end);
    }
    Some(extent)
}

fn take_init<'b>(bytes: &mut &'b [u8]) -> Option<InitSection> {
    let mut word = || {
        let (four, rest): (&[u8; 4], &'b [u8]) = bytes.split_first_chunk()?;
        *bytes = rest;
        Some(u32::from_le_bytes(*four))
    };
    InitSection::new(word()?, word()?)
}

/// The entries of a row, one after the other.
pub(in crate::index) struct Entries<'r> {
    left: u16,
    pairs: Vec<(Tracks, Tracks)>,
    rest: &'r [u8],
    expected: [ExpectedEdge; 2],
}

impl<'r> Entries<'r> {
    /// Nothing if the row is damaged.
    pub(in crate::index) fn open(key: &[u8], row: &'r [u8]) -> Option<Self> {
        let (sum, body) = row.split_first_chunk::<8>()?;
        if check(key, body) != u64::from_le_bytes(*sum) {
            return None;
        }
        let (count, body) = body.split_first_chunk::<2>()?;
        let (pairs, body) = body.split_first()?;
        let (pairs, rest) = body.split_at_checked(usize::from(*pairs) * PAIR)?;
        let word = |bytes: &[u8]| bytes.first_chunk::<4>().map_or(0, |four| u32::from_le_bytes(*four));
        let tracks = |bytes: &[u8]| Tracks {
            streams: word(bytes),
            picture: word(bytes.get(4..).unwrap_or_default()),
            sound: word(bytes.get(8..).unwrap_or_default()),
        };
        let pairs = pairs.as_chunks::<PAIR>().0.iter().map(|pair| (tracks(&pair[..12]), tracks(&pair[12..])));
        Some(Self { left: u16::from_le_bytes(*count), pairs: pairs.collect(), rest, expected: Default::default() })
    }

    /// Whose the next entry is.
    pub(in crate::index) fn next_id(&self) -> Option<Id> {
        self.rest.first_chunk::<4>().filter(|_| self.left > 0).copied()
    }

    fn read(&mut self) -> Option<(Id, Edges)> {
        let (id, after_id) = self.rest.split_first_chunk::<4>()?;
        let ([marks, number], after_marks) = after_id.split_first_chunk::<2>()?;
        self.rest = after_marks;
        let (begins, ends) = *self.pairs.get(usize::from(*number))?;
        let [of_picture, of_sound] = &mut self.expected;
        let picture = take_extent(&mut self.rest, *marks, of_picture)?;
        let sound = take_extent(&mut self.rest, *marks >> 2, of_sound)?;
        let independent = (marks & 0x10 != 0).then_some(marks & 0x20 != 0);
        let init = if marks & 0x40 == 0 { None } else { Some(take_init(&mut self.rest)?) };
        Some((*id, Edges { picture, sound, begins, ends, independent, init }))
    }
}

impl Iterator for Entries<'_> {
    type Item = (Id, Edges);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let read = self.read();
        if read.is_none() {
            self.left = 0;
        }
        read
    }
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
    // Most are this small.
    if let Some((byte, rest)) = bytes.split_first().filter(|(byte, _)| **byte < 0x80) {
        *bytes = rest;
        return Some(i64::from(byte >> 1) ^ -i64::from(byte & 1));
    }
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
