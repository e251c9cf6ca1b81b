//! The journal of retired hours as text: one line for each step, the last line about an hour counts. Reads and writes no file.
//!
//! ```text
//! gapless-retired 2 17 5d1fd0c4
//! retiring age 2026-11-20T21:40:00.000000Z 86400000000 b,c desertbus/source/2019-11-13T02 1f0c77a2
//! retired age 2026-11-20T21:40:01.000000Z 86401000000 b,c desertbus/source/2019-11-13T02 9b1de630
//! ```
//!
//! The first line has a number that grows whenever the file is written anew. A line is: step, reason, when, what this node had lived
//! then in microseconds, the nodes that were known then, the hour (with `%XX` where a byte would break the line), and the beginning
//! of the SHA-256 of what stands before. Version 1 knew neither number nor lived time nor nodes. It lies in two copies; what they
//! say together is worked out by [`super::merge`].

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use sha2::{Digest as _, Sha256};

use crate::domain::retention::{Horizons, Reason};
use crate::domain::{HourPlace, Span, Timestamp};

/// What the first line begins with.
const NAME: &str = "gapless-retired";
const VERSION: u32 = 2;
/// What would break a line.
const BREAKS: &AsciiSet = &CONTROLS.add(b' ').add(b'%');
/// And a name among names.
const BREAKS_NAMES: &AsciiSet = &BREAKS.add(b',').add(b'-');

/// How far an hour is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Its segments are being deleted.
    Retiring,
    /// They are deleted; tombstones stay.
    Retired,
    /// The tombstones have gone, too.
    Gone,
    /// The operator keeps it: it is neither retired nor left out of backfill.
    Kept,
}

impl Step {
    /// As written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retiring => "retiring",
            Self::Retired => "retired",
            Self::Gone => "gone",
            Self::Kept => "kept",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Retiring, Self::Retired, Self::Gone, Self::Kept].into_iter().find(|step| step.as_str() == text)
    }
}

/// The last word about an hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// How far it is.
    pub step: Step,
    /// Why it went; `None` if it is kept.
    pub reason: Option<Reason>,
    /// When this was written.
    pub since: Timestamp,
    /// What this node had lived then; nothing if it was not counted yet.
    pub lived: Option<Span>,
    /// The other nodes that were known then, by their names here: each of them may hold the hour.
    pub holders: Arc<[String]>,
}

/// Stands in a line in place of a step: there is nothing to say about the hour any more.
const RELEASED: &str = "released";
/// Stands where there is nothing to say. A node of that name is written as `%2D`.
const NOTHING: &str = "-";

/// What the journal says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Journal {
    entries: BTreeMap<HourPlace, Entry>,
    /// Lines that were read or written: many more than entries call for a shorter file.
    lines: usize,
    /// How often it was written anew.
    pub generation: u64,
}

/// The first line, as far as it can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// One that is understood, and the number of its writing.
    Known(u64),
    /// Of a version that is not known here.
    Later(u32),
    /// It does not add up.
    Damaged,
}

/// Reads the first line.
pub fn read_head(line: &str) -> Head {
    if line == format!("{NAME} 1") {
        return Head::Known(0);
    }
    let Some((front, sum)) = line.rsplit_once(' ') else { return Head::Damaged };
    let words: Vec<&str> = front.split(' ').collect();
    match *words.as_slice() {
        [NAME, version, ref rest @ ..] if sum == check(front) => match (version.parse::<u32>(), rest) {
            (Ok(VERSION), [generation]) => generation.parse().map_or(Head::Damaged, Head::Known),
            (Ok(later), _) => Head::Later(later),
            (Err(_), _) => Head::Damaged,
        },
        _ => Head::Damaged,
    }
}

/// The first line of this writing, with its end.
fn head(generation: u64) -> String {
    let front = format!("{NAME} {VERSION} {generation}");
    format!("{front} {}\n", check(&front))
}

impl Journal {
    /// From what its lines say, in their order.
    pub fn of(generation: u64, lines: impl IntoIterator<Item = Line>) -> Self {
        let mut journal = Self { generation, ..Self::default() };
        for (place, entry) in lines {
            journal.note(place, entry);
        }
        journal
    }

    /// The whole as text in the next writing, one line for each hour.
    pub fn text(&self) -> String {
        let mut text = head(self.generation + 1);
        for (place, entry) in &self.entries {
            text.push_str(&line(place, Some(entry)));
        }
        text
    }

    /// What it says about an hour.
    pub fn get(&self, place: &HourPlace) -> Option<&Entry> {
        self.entries.get(place)
    }

    /// All hours that it says something about.
    pub fn entries(&self) -> &BTreeMap<HourPlace, Entry> {
        &self.entries
    }

    /// A line was written.
    pub fn note(&mut self, place: HourPlace, entry: Option<Entry>) {
        self.lines += 1;
        self.set(place, entry);
    }

    /// It was written anew.
    pub fn rewritten(&mut self) {
        (self.lines, self.generation) = (self.entries.len(), self.generation + 1);
    }

    /// Whether most of its lines have been overtaken.
    pub fn wants_rewriting(&self) -> bool {
        self.lines > 2 * self.entries.len() + 1_000
    }

    /// Entries that do not say what had been lived begin to count now, and all nodes that are known now may hold their hours.
    pub fn begin_counting(&mut self, lived: Span, holders: &Arc<[String]>) {
        for entry in self.entries.values_mut().filter(|entry| entry.lived.is_none()) {
            (entry.lived, entry.holders) = (Some(lived), Arc::clone(holders));
        }
    }

    /// An entry that was written after this time.
    pub fn later_than(&self, time: Timestamp) -> Option<(&HourPlace, &Entry)> {
        self.entries.iter().find(|(_, entry)| entry.since > time)
    }

    /// The newest hours that had to go for want of room: what is older has no room either.
    pub fn horizons(&self) -> Horizons {
        Horizons::of(self.entries.iter().filter_map(|(place, entry)| Some((place, entry.reason?))))
    }

    fn set(&mut self, place: HourPlace, entry: Option<Entry>) {
        match entry {
            Some(entry) => self.entries.insert(place, entry),
            None => self.entries.remove(&place),
        };
    }
}

/// What a line says: nothing about the hour any more, or this.
pub type Line = (HourPlace, Option<Entry>);

/// A line about an hour, with its end; `None` says that there is nothing to say any more.
pub fn line(place: &HourPlace, entry: Option<&Entry>) -> String {
    let (step, reason, since) = match entry {
        Some(entry) => (entry.step.as_str(), entry.reason.map_or(NOTHING, Reason::as_str), entry.since),
        None => (RELEASED, NOTHING, Timestamp::from_us(0)),
    };
    let lived = entry.and_then(|entry| entry.lived).map_or_else(|| NOTHING.to_owned(), |lived| lived.us().to_string());
    let encoded = |name: &String| utf8_percent_encode(name, BREAKS_NAMES).to_string();
    let holders = entry.map(|entry| entry.holders.iter().map(encoded).collect::<Vec<_>>().join(","));
    let holders = holders.filter(|holders| !holders.is_empty()).unwrap_or_else(|| NOTHING.to_owned());
    let place = utf8_percent_encode(&place.to_string(), BREAKS).to_string();
    let mut text = format!("{step} {reason} {since} {lived} {holders} {place}");
    let check = check(&text);
    // A write to a String cannot fail.
    writeln!(text, " {check}").unwrap_or_default();
    text
}

/// Reads a line of either version.
pub fn read(line: &str) -> Option<Line> {
    let (front, found) = line.rsplit_once(' ')?;
    if found != check(front) {
        return None;
    }
    let words: Vec<&str> = front.split(' ').collect();
    let (step, reason, since, lived, holders, place) = match *words.as_slice() {
        [step, reason, since, place] => (step, reason, since, NOTHING, NOTHING, place),
        [step, reason, since, lived, holders, place] => (step, reason, since, lived, holders, place),
        _ => return None,
    };
    let decoded = |text: &str| percent_decode_str(text).decode_utf8().ok().map(std::borrow::Cow::into_owned);
    let place = HourPlace::parse(&decoded(place)?).ok()?;
    if step == RELEASED {
        return Some((place, None));
    }
    let reason = if reason == NOTHING { None } else { Some(Reason::parse(reason)?) };
    let lived = if lived == NOTHING { None } else { Some(Span::from_us(lived.parse().ok()?)) };
    let holders: Option<Vec<String>> =
        if holders == NOTHING { Some(Vec::new()) } else { holders.split(',').map(decoded).collect() };
    let (step, since) = (Step::parse(step)?, Timestamp::parse(since)?);
    Some((place, Some(Entry { step, reason, since, lived, holders: holders?.into() })))
}

fn check(text: &str) -> String {
    let hash: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    format!("{:08x}", hash.first_chunk().map_or(0, |first| u32::from_be_bytes(*first)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(step: Step, reason: Reason) -> Entry {
        let since = Timestamp::parse("2026-11-20T21:40:00.000001").unwrap();
        let holders = ["b", "-", "a,b", "%"].map(str::to_owned);
        Entry { step, reason: Some(reason), since, lived: Some(Span::from_us(7)), holders: Arc::new(holders) }
    }

    fn place(text: &str) -> HourPlace {
        HourPlace::parse(text).unwrap()
    }

    fn parse(text: &str) -> Journal {
        let mut lines = text.lines();
        let Head::Known(generation) = read_head(lines.next().unwrap()) else { panic!("{text}") };
        Journal::of(generation, lines.map(|line| read(line).unwrap()))
    }

    #[test]
    fn the_last_line_about_an_hour_counts() {
        let hour = place("a b/%/2019-11-13T02");
        let mut text = head(3);
        text += &line(&hour, Some(&entry(Step::Retiring, Reason::Age)));
        text += &line(&place("a/b/2019-11-13T03"), Some(&entry(Step::Retired, Reason::Size)));
        text += &line(&hour, Some(&entry(Step::Retired, Reason::Age)));
        let journal = parse(&text);
        assert_eq!(journal.get(&hour), Some(&entry(Step::Retired, Reason::Age)));
        assert_eq!((journal.entries().len(), journal.lines, journal.generation), (2, 3, 3));
        assert_eq!(journal.horizons(), Horizons::of([(&place("a/b/2019-11-13T03"), Reason::Size)]));
        text += &line(&hour, None);
        assert_eq!(parse(&text).get(&hour), None);
    }

    #[test]
    fn no_bit_of_a_line_or_of_the_first_line_can_be_flipped_unseen() {
        let good = line(&place("a/b/2019-11-13T02"), Some(&entry(Step::Kept, Reason::Age)));
        for (text, is_head) in [(good, false), (head(12), true)] {
            for bit in 0..(text.len() - 1) * 8 {
                let mut bytes = text.trim_end().as_bytes().to_vec();
                bytes[bit / 8] ^= 1 << (bit % 8);
                let Ok(flipped) = String::from_utf8(bytes) else { continue };
                let is_damage = if is_head { read_head(&flipped) == Head::Damaged } else { read(&flipped).is_none() };
                assert!(is_damage, "{flipped}");
            }
        }
    }

    #[test]
    fn version_1_is_read_and_a_later_one_is_known_as_such() {
        let front = "kept - 2026-11-20T21:40:00.000000Z a/b/2019-11-13T02";
        let (hour, kept) = read(&format!("{front} {}", check(front))).unwrap();
        let kept = kept.unwrap();
        assert_eq!((hour.clone(), kept.step, kept.lived), (place("a/b/2019-11-13T02"), Step::Kept, None));
        assert_eq!(read_head("gapless-retired 1"), Head::Known(0));
        let later = "gapless-retired 3 x y";
        assert_eq!(read_head(&format!("{later} {}", check(later))), Head::Later(3));
        assert_eq!(read_head("gapless-retired 3 x y 00000000"), Head::Damaged);
        let mut journal = Journal::of(0, [(hour.clone(), Some(kept))]);
        journal.begin_counting(Span::from_us(9), &Arc::from(["b".to_owned()]));
        assert_eq!(journal.get(&hour).unwrap().lived, Some(Span::from_us(9)));
        assert_eq!(journal.get(&hour).unwrap().holders.len(), 1);
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read(channel in "[^/\0.][^/\0]{0,8}", steps in prop::collection::vec((0..4_usize, 0..24), 0..30)) {
            let mut journal = Journal { generation: 1, ..Journal::default() };
            let mut text = head(1);
            for (step, hour) in steps {
                let place = HourPlace::parse(&format!("{channel}/q/2019-11-13T{hour:02}")).unwrap();
                let step = [Step::Retiring, Step::Retired, Step::Gone, Step::Kept][step];
                let entry = (hour % 5 > 0).then(|| entry(step, Reason::Space));
                text += &line(&place, entry.as_ref());
                journal.note(place, entry);
            }
            prop_assert_eq!(&parse(&text), &journal);
            let again = parse(&journal.text());
            journal.rewritten();
            prop_assert_eq!(again, journal);
        }

        #[test]
        fn no_line_panics(line in ".{0,100}") {
            read(&line);
            read_head(&line);
        }
    }
}
