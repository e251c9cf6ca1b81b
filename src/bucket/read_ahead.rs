//! How much of an object is read beyond the file that is asked for. Nothing here asks anybody.
//!
//! Who asks for one file here and one there gets these files and nothing else. Who goes on from file to file gets more with each request, up to a
//! limit, and the next request begins when half of that limit is left: then what a player asks next is here before it asks, at the price of
//! one request for a dozen segments.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

use crate::archive::{Hash, ManifestFile};

/// Readers that are told apart; of more, the one that asked longest ago is forgotten.
const MOST_READERS: usize = 64;
/// A reader that has not asked for so long has gone.
const GONE_AFTER: Duration = Duration::from_secs(120);
/// A reader may leave out so many files, as where several begin at one time, and still goes on from file to file.
const SKIPPED: usize = 4;
/// And it may ask for those once more, or late, that lie so far back.
const BACK: usize = 8;
/// The first time that a reader goes on, this part of the limit is read.
const FIRST_PART: u64 = 4;

/// Who reads what.
#[derive(Debug)]
pub(super) struct ReadAhead {
    most: u64,
    /// The one that asked longest ago is the first.
    readers: VecDeque<ObjectReader>,
}

/// Somebody who goes through an object, as far as it looks like it.
#[derive(Debug)]
struct ObjectReader {
    object: Hash,
    last: usize,
    /// Bytes that are to be here behind what it asks for.
    ahead: u64,
    asked: Instant,
}

impl ReadAhead {
    /// With a limit in bytes of what one request brings.
    pub(super) fn new(most: u64) -> Self {
        Self { most, readers: VecDeque::new() }
    }

    /// Notes that a file of an object is asked for, and says how many bytes its reader is to have ahead, with a cache of so many bytes; 0 if it goes
    /// through nothing.
    pub(super) fn note(&mut self, object: Hash, at: usize, cache_bytes: u64, now: Instant) -> u64 {
        self.readers.retain(|reader| now.saturating_duration_since(reader.asked) < GONE_AFTER);
        let mut reader = match self.position(object, at).and_then(|known| self.readers.remove(known)) {
            Some(reader) => reader,
            None => ObjectReader { object, last: at, ahead: 0, asked: now },
        };
        if at > reader.last {
            reader.last = at;
            reader.ahead = reader.ahead.max(self.most / FIRST_PART);
        }
        reader.asked = now;
        let ahead = reader.ahead;
        if self.readers.len() >= MOST_READERS {
            self.readers.pop_front();
        }
        self.readers.push_back(reader);
        // What was read for one must not leave before it is asked for because of what is read for others.
        let going_on = self.readers.iter().filter(|other| other.ahead > 0).count() as u64;
        ahead.min(cache_bytes / (2 * going_on.max(2)))
    }

    /// A request was begun for the reader who asked for this file: the next one may bring more.
    pub(super) fn grow(&mut self, object: Hash, at: usize) {
        if let Some(reader) = self.position(object, at).and_then(|known| self.readers.get_mut(known)) {
            reader.ahead = reader.ahead.saturating_mul(2).min(self.most);
        }
    }

    fn position(&self, object: Hash, at: usize) -> Option<usize> {
        let is_of = |reader: &ObjectReader| {
            reader.object == object && (reader.last.saturating_sub(BACK)..=reader.last + SKIPPED).contains(&at)
        };
        self.readers.iter().rposition(is_of)
    }
}

/// Files that the request for a file brings, which is not here: itself, and those behind it that are not here either, up to so many bytes.
pub(super) fn asked_range(
    files: &[ManifestFile],
    at: usize,
    ahead: u64,
    is_known: impl Fn(&ManifestFile, usize) -> bool,
) -> Range<usize> {
    let mut bytes = files.get(at).map_or(0, |file| file.size);
    let mut end = at + 1;
    while let Some(file) = files.get(end) {
        bytes = bytes.saturating_add(file.size);
        if bytes > ahead || is_known(file, end) {
            break;
        }
        end += 1;
    }
    at..end
}

/// Files that are to be read for who asks for a file that is here or on its way; `None` if there is enough behind it.
pub(super) fn next_range(
    files: &[ManifestFile],
    at: usize,
    ahead: u64,
    is_known: impl Fn(&ManifestFile, usize) -> bool,
) -> Option<Range<usize>> {
    let mut bytes = 0_u64;
    for (next, file) in files.iter().enumerate().skip(at + 1) {
        if bytes > ahead / 2 || file.size > ahead {
            return None;
        }
        if file.size > 0 && !is_known(file, next) {
            return Some(asked_range(files, next, ahead, is_known));
        }
        bytes = bytes.saturating_add(file.size);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const MOST: u64 = 3_200;
    const CACHE: u64 = 1 << 30;

    fn files(sizes: &[u64]) -> Vec<ManifestFile> {
        let file = |(at, size): (usize, &u64)| ManifestFile {
            name: format!("{at}").into(),
            size: *size,
            sha256: Hash([u8::try_from(at % 256).unwrap(); 32]),
        };
        sizes.iter().enumerate().map(file).collect()
    }

    /// The ranges that are read for who asks for these files one after the other.
    fn read(files: &[ManifestFile], asked: impl IntoIterator<Item = usize>) -> Vec<Range<usize>> {
        let (mut ahead, mut here, mut ranges) = (ReadAhead::new(MOST), BTreeSet::new(), Vec::new());
        let (object, now) = (Hash([1; 32]), Instant::now());
        for at in asked {
            let bytes = ahead.note(object, at, CACHE, now);
            let known = |_: &ManifestFile, file: usize| here.contains(&file);
            let mut new = Vec::new();
            if !here.contains(&at) {
                new.push(asked_range(files, at, bytes, known));
            } else if let Some(next) = next_range(files, at, bytes, known) {
                new.push(next);
            }
            for range in new {
                ahead.grow(object, at);
                here.extend(range.clone());
                ranges.push(range);
            }
            assert!(here.contains(&at));
        }
        ranges
    }

    #[test]
    fn who_asks_here_and_there_gets_what_it_asks_for_and_no_more() {
        let hour = files(&[100; 300]);
        let ranges = read(&hour, (0..300).step_by(20));
        assert_eq!(ranges, (0..300).step_by(20).map(|at| at..at + 1).collect::<Vec<_>>());
        assert_eq!(read(&hour, [70; 9]), vec![70..71]);
    }

    #[test]
    fn who_goes_on_gets_more_and_more_and_waits_only_at_the_beginning() {
        let hour = files(&[100; 300]);
        let ranges = read(&hour, 100..300);
        let lengths: Vec<usize> = ranges.iter().map(Range::len).collect();
        assert_eq!(lengths[..4], [1, 8, 16, 32]);
        assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start), "{ranges:?}");
        assert_eq!(ranges.last().unwrap().end, 300);
        // Bytes of 200 files are 6.25 times the limit.
        assert!(ranges.len() <= 10, "{ranges:?}");
        // One that leaves files out, or asks for two in the other order, goes on as well.
        assert!(read(&hour, (0..300).step_by(2)).len() <= 14);
        assert!(read(&hour, (0..300).map(|at| at ^ 1)).len() <= 14);
    }

    #[test]
    fn nothing_larger_than_the_limit_is_read_unasked_and_empty_files_are_no_reason_for_a_request() {
        assert_eq!(read(&files(&[100, 100, 9_000, 100, 100]), [0, 1, 2, 3]), [0..1, 1..2, 2..3, 3..5]);
        assert_eq!(read(&files(&[100, 100, 0, 0]), [0, 1]), [0..1, 1..4]);
        let known = |_: &ManifestFile, at: usize| at < 2;
        assert_eq!(next_range(&files(&[100, 100, 0, 0]), 0, MOST, known), None);
        assert_eq!(next_range(&files(&[100, 100, 0, 50]), 0, MOST, known), Some(3..4));
        assert_eq!(next_range(&files(&[100]), 0, MOST, known), None);
    }

    #[test]
    fn readers_share_a_small_cache_and_are_forgotten_when_they_have_gone() {
        let (mut ahead, now) = (ReadAhead::new(MOST), Instant::now());
        let of = |number: u8| Hash([number; 32]);
        for number in 0..10 {
            ahead.note(of(number), 0, CACHE, now);
            ahead.note(of(number), 1, CACHE, now);
        }
        assert_eq!(ahead.note(of(0), 2, CACHE, now), MOST / 4);
        assert_eq!(ahead.note(of(0), 3, 2_000, now), 100);
        assert_eq!(ahead.note(of(0), 4, 0, now), 0);
        let later = now + GONE_AFTER;
        assert_eq!(ahead.note(of(0), 5, 2_000, later), 0);
        assert_eq!(ahead.note(of(0), 6, 2_000, later), 500);
        for number in 0..=255 {
            ahead.note(of(number), 200, CACHE, later);
        }
        assert_eq!(ahead.readers.len(), MOST_READERS);
    }
}
