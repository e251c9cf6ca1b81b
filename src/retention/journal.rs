//! The journal of retired hours as text: one line for each step, the last line about an hour counts. Reads and writes no file.
//!
//! ```text
//! gapless-retired 1
//! retiring age 2026-11-20T21:40:00.000000Z desertbus/source/2019-11-13T02 1f0c77a2
//! retired age 2026-11-20T21:40:01.000000Z desertbus/source/2019-11-13T02 9b1de630
//! ```
//!
//! A line is: step, reason, when, hour (with `%XX` where a byte would break the line), and the beginning of the SHA-256 of what
//! stands before. A line that does not add up is left out and told; it spoils no other.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use sha2::{Digest as _, Sha256};

use crate::domain::retention::{Horizons, Reason};
use crate::domain::{HourPlace, Timestamp};

/// The first line.
const FIRST_LINE: &str = "gapless-retired 1";
/// What would break a line.
const BREAKS: &AsciiSet = &CONTROLS.add(b' ').add(b'%');
/// How many of the lines that do not add up are told.
const TOLD: usize = 10;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// How far it is.
    pub step: Step,
    /// Why it went; `None` if it is kept.
    pub reason: Option<Reason>,
    /// When this was written.
    pub since: Timestamp,
}

/// Stands in a line in place of a step: there is nothing to say about the hour any more.
const RELEASED: &str = "released";
const NO_REASON: &str = "-";

/// What the journal says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Journal {
    entries: BTreeMap<HourPlace, Entry>,
    /// Lines that were read or written: many more than entries call for a shorter file.
    lines: usize,
    /// The first of the lines that do not add up.
    pub damaged: Vec<String>,
    /// How many there are.
    pub damaged_lines: usize,
}

impl Journal {
    /// Reads it.
    pub fn parse(bytes: &[u8]) -> Self {
        let mut journal = Self::default();
        for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            if line.is_empty() || line == FIRST_LINE.as_bytes() {
                continue;
            }
            journal.lines += 1;
            if let Some((place, entry)) = std::str::from_utf8(line).ok().and_then(read) {
                journal.set(place, entry);
                continue;
            }
            journal.damaged_lines += 1;
            if journal.damaged.len() < TOLD {
                let begins = String::from_utf8_lossy(&line[..line.len().min(100)]);
                journal.damaged.push(format!("line {}: {:?}", number + 1, begins));
            }
        }
        journal
    }

    /// The whole as text, one line for each hour.
    pub fn text(&self) -> String {
        let mut text = format!("{FIRST_LINE}\n");
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

    /// What a line has to begin with: the first one comes behind the head of the file.
    pub fn head(&self) -> String {
        if self.lines == 0 { format!("{FIRST_LINE}\n") } else { String::new() }
    }

    /// A line was written.
    pub fn note(&mut self, place: HourPlace, entry: Option<Entry>) {
        self.lines += 1;
        self.set(place, entry);
    }

    /// It was written anew.
    pub fn rewritten(&mut self) {
        self.lines = self.entries.len();
    }

    /// Whether most of its lines have been overtaken, or some do not add up.
    pub fn wants_rewriting(&self) -> bool {
        self.damaged_lines > 0 || self.lines > 2 * self.entries.len() + 1_000
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

/// A line about an hour, with its end; `None` says that there is nothing to say any more.
pub fn line(place: &HourPlace, entry: Option<&Entry>) -> String {
    let (step, reason, since) = match entry {
        Some(entry) => (entry.step.as_str(), entry.reason.map_or(NO_REASON, Reason::as_str), entry.since),
        None => (RELEASED, NO_REASON, Timestamp::from_us(0)),
    };
    let mut text = format!("{step} {reason} {since} {}", utf8_percent_encode(&place.to_string(), BREAKS));
    let check = check(&text);
    // A write to a String cannot fail.
    writeln!(text, " {check}").unwrap_or_default();
    text
}

fn read(line: &str) -> Option<(HourPlace, Option<Entry>)> {
    let (front, found) = line.rsplit_once(' ')?;
    if found != check(front) {
        return None;
    }
    let mut words = front.split(' ');
    let (step, reason, since, place) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let place = HourPlace::parse(&percent_decode_str(place).decode_utf8().ok()?).ok()?;
    if step == RELEASED {
        return Some((place, None));
    }
    let reason = if reason == NO_REASON { None } else { Some(Reason::parse(reason)?) };
    Some((place, Some(Entry { step: Step::parse(step)?, reason, since: Timestamp::parse(since)? })))
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
        Entry { step, reason: Some(reason), since: Timestamp::parse("2026-11-20T21:40:00.000001").unwrap() }
    }

    fn place(text: &str) -> HourPlace {
        HourPlace::parse(text).unwrap()
    }

    #[test]
    fn the_last_line_about_an_hour_counts() {
        let hour = place("a b/%/2019-11-13T02");
        let mut text = format!("{FIRST_LINE}\n");
        text += &line(&hour, Some(&entry(Step::Retiring, Reason::Age)));
        text += &line(&place("a/b/2019-11-13T03"), Some(&entry(Step::Retired, Reason::Size)));
        text += &line(&hour, Some(&entry(Step::Retired, Reason::Age)));
        let journal = Journal::parse(text.as_bytes());
        assert_eq!(journal.get(&hour), Some(&entry(Step::Retired, Reason::Age)));
        assert_eq!((journal.entries().len(), journal.lines, journal.damaged_lines), (2, 3, 0));
        let horizons = Horizons::of([(&place("a/b/2019-11-13T03"), Reason::Size)]);
        assert_eq!(journal.horizons(), horizons);
        text += &line(&hour, None);
        assert_eq!(Journal::parse(text.as_bytes()).get(&hour), None);
        assert_eq!(Journal::parse(b""), Journal::default());
    }

    #[test]
    fn a_damaged_line_spoils_only_itself() {
        let good = line(&place("a/b/2019-11-13T02"), Some(&entry(Step::Retired, Reason::Age)));
        let other = line(&place("a/b/2019-11-13T03"), Some(&entry(Step::Retired, Reason::Age)));
        let flipped = other.replace("T03", "T04");
        for bad in ["nonsense", &other[..other.len() - 9], flipped.trim_end(), "\u{0}", "a b c d e"] {
            let journal = Journal::parse(format!("{FIRST_LINE}\n{bad}\n{good}").as_bytes());
            assert_eq!((journal.entries().len(), journal.damaged_lines), (1, 1), "{bad:?}");
            assert!(journal.wants_rewriting() && journal.damaged[0].starts_with("line 2: "));
        }
        assert_eq!(Journal::parse(b"\xff\xfe\n").damaged_lines, 1);
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read(channel in "[^/\0.][^/\0]{0,8}", steps in prop::collection::vec((0..4_usize, 0..24), 0..30)) {
            let mut journal = Journal::default();
            let mut text = String::new();
            for (step, hour) in steps {
                let place = HourPlace::parse(&format!("{channel}/q/2019-11-13T{hour:02}")).unwrap();
                let step = [Step::Retiring, Step::Retired, Step::Gone, Step::Kept][step];
                let entry = (hour % 5 > 0).then(|| entry(step, Reason::Space));
                text += &line(&place, entry.as_ref());
                journal.note(place, entry);
            }
            prop_assert_eq!(&Journal::parse(text.as_bytes()), &journal);
            let again = Journal::parse(journal.text().as_bytes());
            journal.rewritten();
            prop_assert_eq!(again, journal);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            Journal::parse(&bytes).text();
        }
    }
}
