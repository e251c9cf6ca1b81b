//! The journal of retired hours as text: one line for each step, the last line about an hour counts. Reads and writes no file.
//!
//! ```text
//! gapless-retired 3 17 2210 1 00c0ffee00c0ffee00c0ffee00c0ffee 5d1fd0c4
//! retiring age 2026-11-20T21:40:00.000000Z 86400000000 archive:6b0fd6d5… desertbus/source/2019-11-13T02 1f0c77a2
//! retired age 2026-11-20T21:40:01.000000Z 86401000000 archive:6b0fd6d5… desertbus/source/2019-11-13T02 9b1de630
//! ```
//!
//! The first line has a number that grows whenever the file is written anew, how many lines there had been by then over all writings,
//! how many this writing began with, the id of the archive, and the check of a line. A line is: step, reason, when, what this node had
//! lived then in microseconds, who else could hold the hour ([`super::holders::Holder`]), the hour (with `%XX` where a byte
//! would break the line), and the beginning of the SHA-256 of what stands before. Version 2 had only the first of the numbers and no id; version 1 knew neither
//! number nor lived time nor nodes. It lies in two copies; what they say together, and whether that is all that there has been, is
//! worked out by [`super::merge`].

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use sha2::{Digest as _, Sha256};

use super::schedule::{Horizons, RetentionReason};
use crate::archive::{HourPlace, Span, Timestamp};
use crate::disk::{ArchiveId, RecordMark};

/// What the first line begins with.
const NAME: &str = "gapless-retired";
const VERSION: u32 = 3;
/// The one before.
const WITHOUT_ID: u32 = 2;
/// What would break a line.
const BREAKS: &AsciiSet = &CONTROLS.add(b' ').add(b'%');
/// And a name among names.
const BREAKS_NAMES: &AsciiSet = &BREAKS.add(b',').add(b'-');

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JournalStep {
    /// Its segments are being deleted.
    Retiring,
    /// They are deleted; tombstones stay.
    Retired,
    /// The tombstones have gone, too.
    Gone,
    /// The operator keeps it: it is neither retired nor left out of backfill.
    Kept,
}

impl JournalStep {
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

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalEntry {
    pub step: JournalStep,
    /// Why it was retired; `None` if it is exempt.
    pub reason: Option<RetentionReason>,
    pub since: Timestamp,
    /// What this node had lived then; nothing if it was not counted yet.
    pub lived: Option<Span>,
    /// Who else may hold the hour, by what was known then.
    pub holders: Arc<[String]>,
}

/// Stands in a line in place of a step: there is nothing to say about the hour any more.
const RELEASED: &str = "released";
/// Stands where there is nothing to say. A node of that name is written as `%2D`.
const NOTHING: &str = "-";

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JournalHead {
    /// How often it was written anew; zero in version 1.
    pub generation: u64,
    pub before: u64,
    /// How many of its lines were written at once with this one.
    pub entries: usize,
    pub id: Option<ArchiveId>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Journal {
    entries: BTreeMap<HourPlace, JournalEntry>,
    pub head: JournalHead,
    /// A check of all that stands up to each line of that file, before the first to after the last.
    checks: Vec<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstLine {
    Known(JournalHead),
    Later(u32),
    Damaged,
}

pub fn read_head(line: &str) -> FirstLine {
    if line == format!("{NAME} 1") {
        return FirstLine::Known(JournalHead::default());
    }
    let Some((front, sum)) = line.rsplit_once(' ') else { return FirstLine::Damaged };
    let words: Vec<&str> = front.split(' ').collect();
    match *words.as_slice() {
        [NAME, version, ref rest @ ..] if sum == check(front) => match (version.parse::<u32>(), rest) {
            (Ok(VERSION | WITHOUT_ID), rest) => read_numbers(rest).map_or(FirstLine::Damaged, FirstLine::Known),
            (Ok(later), _) => FirstLine::Later(later),
            (Err(_), _) => FirstLine::Damaged,
        },
        _ => FirstLine::Damaged,
    }
}

fn read_numbers(words: &[&str]) -> Option<JournalHead> {
    let head = JournalHead { generation: words.first()?.parse().ok()?, ..JournalHead::default() };
    match *words {
        [_] => Some(head),
        [_, before, entries, id] => {
            let (before, entries) = (before.parse().ok()?, entries.parse().ok()?);
            Some(JournalHead { before, entries, id: Some(id.parse().ok()?), ..head })
        }
        _ => None,
    }
}

/// The first line of a writing for this archive, with its end.
fn head_text(head: &JournalHead, id: ArchiveId) -> String {
    let front = format!("{NAME} {VERSION} {} {} {} {id}", head.generation, head.before, head.entries);
    format!("{front} {}\n", check(&front))
}

impl Journal {
    pub fn of(head: JournalHead, lines: impl IntoIterator<Item = JournalLine>) -> Self {
        let mut journal = Self { entries: BTreeMap::new(), head, checks: vec![first_check(&head)] };
        for (place, entry) in lines {
            journal.note(place, entry);
        }
        journal
    }

    /// Begins its next writing, for this archive, with one line for each hour; says the whole of it. It counts on from `newest` where
    /// that is more than it knows of itself.
    pub fn rewrite(&mut self, id: ArchiveId, newest: u64) -> String {
        let entries = std::mem::take(&mut self.entries);
        let before = self.count().max(newest).saturating_add(1);
        let head = JournalHead { generation: self.head.generation + 1, before, entries: entries.len(), id: Some(id) };
        let mut text = head_text(&head, id);
        for (place, entry) in &entries {
            text.push_str(&line(place, Some(entry)));
        }
        *self = Self::of(head, entries.into_iter().map(|(place, entry)| (place, Some(entry))));
        text
    }

    pub fn is_begun(&self) -> bool {
        self.head.generation > 0
    }

    pub fn count(&self) -> u64 {
        self.head.before + self.lines() as u64
    }

    pub fn mark(&self) -> RecordMark {
        RecordMark { count: self.count(), check: self.check_at(self.count()).unwrap_or_default() }
    }

    /// The check of what it held when there had been so many lines; nothing of the time before it was last written anew.
    pub fn check_at(&self, count: u64) -> Option<String> {
        let lines = usize::try_from(count.checked_sub(self.head.before)?).ok()?;
        let check = self.checks.get(lines).filter(|_| lines >= self.head.entries)?;
        Some(format!("{check:016x}"))
    }

    /// Lines that were read or written: many more than entries call for a shorter file.
    fn lines(&self) -> usize {
        self.checks.len().saturating_sub(1)
    }

    pub fn get(&self, place: &HourPlace) -> Option<&JournalEntry> {
        self.entries.get(place)
    }

    pub fn entries(&self) -> &BTreeMap<HourPlace, JournalEntry> {
        &self.entries
    }

    pub fn note(&mut self, place: HourPlace, entry: Option<JournalEntry>) {
        let last = self.checks.last().copied().unwrap_or_default();
        self.checks.push(chained(last, &line(&place, entry.as_ref())));
        self.set(place, entry);
    }

    /// Whether most of its lines have been overtaken.
    pub fn wants_rewriting(&self) -> bool {
        self.lines() > 2 * self.entries.len() + 1_000
    }

    /// Entries that do not say what had been lived begin to count now, and all nodes that are known now may hold their hours.
    pub fn begin_counting(&mut self, lived: Span, holders: &Arc<[String]>) {
        for entry in self.entries.values_mut().filter(|entry| entry.lived.is_none()) {
            (entry.lived, entry.holders) = (Some(lived), Arc::clone(holders));
        }
    }

    pub fn later_than(&self, time: Timestamp) -> Option<(&HourPlace, &JournalEntry)> {
        self.entries.iter().find(|(_, entry)| entry.since > time)
    }

    /// The newest hours that had to go for want of room: what is older has no room either.
    pub fn horizons(&self) -> Horizons {
        Horizons::of(self.entries.iter().filter_map(|(place, entry)| Some((place, entry.reason?))))
    }

    fn set(&mut self, place: HourPlace, entry: Option<JournalEntry>) {
        match entry {
            Some(entry) => self.entries.insert(place, entry),
            None => self.entries.remove(&place),
        };
    }
}

/// What a line says: nothing about the hour any more, or this.
pub type JournalLine = (HourPlace, Option<JournalEntry>);

/// A line about an hour, with its end; `None` says that there is nothing to say any more.
pub fn line(place: &HourPlace, entry: Option<&JournalEntry>) -> String {
    let (step, reason, since) = match entry {
        Some(entry) => (entry.step.as_str(), entry.reason.map_or(NOTHING, RetentionReason::as_str), entry.since),
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

pub fn read(line: &str) -> Option<JournalLine> {
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
    let reason = if reason == NOTHING { None } else { Some(RetentionReason::parse(reason)?) };
    let lived = if lived == NOTHING { None } else { Some(Span::from_us(lived.parse().ok()?)) };
    let holders: Option<Vec<String>> =
        if holders == NOTHING { Some(Vec::new()) } else { holders.split(',').map(decoded).collect() };
    let (step, since) = (JournalStep::parse(step)?, Timestamp::parse(since)?);
    Some((place, Some(JournalEntry { step, reason, since, lived, holders: holders?.into() })))
}

fn check(text: &str) -> String {
    let hash: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    format!("{:08x}", hash.first_chunk().map_or(0, |first| u32::from_be_bytes(*first)))
}

/// Not of its generation: a copy of which the first line was lost gets another.
fn first_check(head: &JournalHead) -> u64 {
    chained(head.before, &head.entries.to_string())
}

fn chained(before: u64, text: &str) -> u64 {
    let hash: [u8; 32] = Sha256::new().chain_update(before.to_be_bytes()).chain_update(text).finalize().into();
    hash.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(step: JournalStep, reason: RetentionReason) -> JournalEntry {
        let since = Timestamp::parse("2026-11-20T21:40:00.000001").unwrap();
        let holders = ["b", "-", "a,b", "%"].map(str::to_owned);
        JournalEntry { step, reason: Some(reason), since, lived: Some(Span::from_us(7)), holders: Arc::new(holders) }
    }

    fn place(text: &str) -> HourPlace {
        HourPlace::parse(text).unwrap()
    }

    const ID: ArchiveId = ArchiveId::from_bytes([7; 16]);

    fn head(generation: u64) -> String {
        head_text(&JournalHead { generation, ..JournalHead::default() }, ID)
    }

    fn parse(text: &str) -> Journal {
        let mut lines = text.lines();
        let FirstLine::Known(head) = read_head(lines.next().unwrap()) else { panic!("{text}") };
        Journal::of(head, lines.map(|line| read(line).unwrap()))
    }

    #[test]
    fn the_last_line_about_an_hour_counts() {
        let hour = place("a b/%/2019-11-13T02");
        let mut text = head(3);
        text += &line(&hour, Some(&entry(JournalStep::Retiring, RetentionReason::Age)));
        text += &line(&place("a/b/2019-11-13T03"), Some(&entry(JournalStep::Retired, RetentionReason::Size)));
        text += &line(&hour, Some(&entry(JournalStep::Retired, RetentionReason::Age)));
        let journal = parse(&text);
        assert_eq!(journal.get(&hour), Some(&entry(JournalStep::Retired, RetentionReason::Age)));
        assert_eq!((journal.entries().len(), journal.count(), journal.head.generation), (2, 3, 3));
        assert_eq!(journal.horizons(), Horizons::of([(&place("a/b/2019-11-13T03"), RetentionReason::Size)]));
        text += &line(&hour, None);
        assert_eq!(parse(&text).get(&hour), None);
    }

    #[test]
    fn no_bit_of_a_line_or_of_the_first_line_can_be_flipped_unseen() {
        let good = line(&place("a/b/2019-11-13T02"), Some(&entry(JournalStep::Kept, RetentionReason::Age)));
        for (text, is_head) in [(good, false), (head(12), true)] {
            for bit in 0..(text.len() - 1) * 8 {
                let mut bytes = text.trim_end().as_bytes().to_vec();
                bytes[bit / 8] ^= 1 << (bit % 8);
                let Ok(flipped) = String::from_utf8(bytes) else { continue };
                let is_damage =
                    if is_head { read_head(&flipped) == FirstLine::Damaged } else { read(&flipped).is_none() };
                assert!(is_damage, "{flipped}");
            }
        }
    }

    #[test]
    fn version_1_is_read_and_a_later_one_is_known_as_such() {
        let front = "kept - 2026-11-20T21:40:00.000000Z a/b/2019-11-13T02";
        let (hour, kept) = read(&format!("{front} {}", check(front))).unwrap();
        let kept = kept.unwrap();
        assert_eq!((hour.clone(), kept.step, kept.lived), (place("a/b/2019-11-13T02"), JournalStep::Kept, None));
        assert_eq!(read_head("gapless-retired 1"), FirstLine::Known(JournalHead::default()));
        let second = "gapless-retired 2 17";
        let head = JournalHead { generation: 17, ..JournalHead::default() };
        assert_eq!(read_head(&format!("{second} {}", check(second))), FirstLine::Known(head));
        let later = "gapless-retired 4 x y";
        assert_eq!(read_head(&format!("{later} {}", check(later))), FirstLine::Later(4));
        assert_eq!(read_head("gapless-retired 4 x y 00000000"), FirstLine::Damaged);
        let mut journal = Journal::of(JournalHead::default(), [(hour.clone(), Some(kept))]);
        journal.begin_counting(Span::from_us(9), &Arc::from(["b".to_owned()]));
        assert_eq!(journal.get(&hour).unwrap().lived, Some(Span::from_us(9)));
        assert_eq!(journal.get(&hour).unwrap().holders.len(), 1);
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read(channel in "[^/\0.][^/\0]{0,8}", steps in prop::collection::vec((0..4_usize, 0..24), 0..30)) {
            let first = JournalHead { generation: 1, id: Some(ID), ..JournalHead::default() };
            let mut journal = Journal::of(first, []);
            let mut text = head(1);
            let mut marks = vec![journal.mark()];
            for (step, hour) in steps {
                let place = HourPlace::parse(&format!("{channel}/q/2019-11-13T{hour:02}")).unwrap();
                let step = [JournalStep::Retiring, JournalStep::Retired, JournalStep::Gone, JournalStep::Kept][step];
                let entry = (hour % 5 > 0).then(|| entry(step, RetentionReason::Space));
                text += &line(&place, entry.as_ref());
                journal.note(place, entry);
                marks.push(journal.mark());
            }
            prop_assert_eq!(&parse(&text), &journal);
            prop_assert!(marks.iter().all(|mark| journal.check_at(mark.count).as_ref() == Some(&mark.check)));
            let again = parse(&journal.rewrite(ID, 0));
            prop_assert_eq!(&again, &journal);
            prop_assert!(marks.iter().all(|mark| mark.count < journal.count() && journal.check_at(mark.count).is_none()));
            journal.rewrite(ID, 1_000);
            prop_assert!(journal.count() > 1_000);
        }

        #[test]
        fn no_line_panics(line in ".{0,100}") {
            read(&line);
            read_head(&line);
        }
    }
}
