//! The protective records of one archive: which there have been, and which of them cannot be relied on.
//!
//! A record that has vanished looks like one that was never begun, and one that was cut short or put back from a backup like itself. So
//! how far each has come is remembered twice more: in a record of its own, the roster, and by whoever is asked as [`RecordPositions`], which
//! does not lie beside the records; and the marker says that there has been a roster. What is remembered is written when the record is
//! durable, so that a crash leaves it behind and never ahead. While any record cannot be relied on nothing may be deleted
//! ([`Records::unusable`]) until a person has decided ([`Records::accept`]).
//!
//! What the records say, and what deletion is, is not known here.

use std::collections::BTreeMap;
use std::path::PathBuf;

use parking_lot::Mutex;

use super::base::Base;
use super::error::{DiskError, Result};
use super::marker;
use super::record::{Record, RecordReading, set_copies_aside};
use super::record_progress::{self, RecordHistory, RecordMark, RecordMarks};

/// How far all records that there have been have come.
const ROSTER: Record = Record { name: "records", version: 1, most: 16 << 10, is_frequent: false };

/// Remembers how far the records have come, in a place that is not lost along with them.
pub trait RecordPositions: Send + Sync {
    /// All that there have been; none if that is not known.
    fn marks(&self) -> RecordMarks;

    /// This is how far they have come. What goes wrong is told by whoever remembers.
    fn remember(&self, marks: &RecordMarks);
}

/// A record that cannot be relied on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnusableReason {
    /// Its name.
    pub name: String,
    /// Why not.
    pub why: String,
}

/// See the module. Share it by `Arc`.
#[derive(Default)]
pub struct Records {
    memory: Option<Box<dyn RecordPositions>>,
    /// What this process has read or written.
    known: Mutex<RecordMarks>,
    unusable: Mutex<BTreeMap<String, String>>,
    one: Mutex<()>,
}

impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Records").field("unusable", &self.unusable).finish_non_exhaustive()
    }
}

impl Records {
    /// With somebody who remembers.
    pub fn new(memory: Box<dyn RecordPositions>) -> Self {
        Self { memory: Some(memory), ..Self::default() }
    }

    /// Reads a record. One that is missing although there has been one, or older than is remembered, is unusable.
    pub fn read(&self, base: &Base, record: &Record) -> Result<RecordReading> {
        let _one = self.one.lock();
        let past = self.past_of(base, record.name)?;
        let (reading, is_settled) = record.read(base, &past)?;
        let content = match &reading {
            RecordReading::Absent => {
                self.note(record.name, None);
                return Ok(reading);
            }
            RecordReading::Unusable(why) => {
                self.note(record.name, Some(why));
                return Ok(reading);
            }
            RecordReading::Intact(content) | RecordReading::Mended(content, _) => content,
        };
        self.note(record.name, None);
        if content.is_bound {
            // Where one copy could not be mended, the other may still be lost alone.
            self.enter(base, record.name, is_settled.then(|| content.mark()), true);
        } else {
            let same = Record { version: content.version, ..*record };
            self.enter(base, record.name, same.write(base, &past, &content.bytes).ok(), true);
        }
        Ok(reading)
    }

    /// Writes a record. It is durable when this returns.
    pub fn write(&self, base: &Base, record: &Record, bytes: &[u8]) -> Result<()> {
        let _one = self.one.lock();
        if let Some(why) = self.why_unusable(record.name) {
            return Err(DiskError::Record { path: record.path(base), why });
        }
        let written = record.write(base, &self.past_of(base, record.name)?, bytes);
        if let Err(DiskError::Record { why, .. }) = &written {
            self.note(record.name, Some(why));
        }
        let mark = written?;
        self.enter(base, record.name, Some(mark), !record.is_frequent);
        Ok(())
    }

    /// What is remembered of a record. For those that are kept in another form than a [`Record`].
    pub fn past(&self, base: &Base, name: &str) -> Result<RecordHistory> {
        let _one = self.one.lock();
        self.past_of(base, name)
    }

    /// A record of that name has come this far, durably. For those that are kept in another form than a [`Record`].
    pub fn mark(&self, base: &Base, name: &str, mark: RecordMark) {
        let _one = self.one.lock();
        self.enter(base, name, Some(mark), true);
    }

    /// Whether there has been a record of that name. For those of which nobody counts how far they have come.
    pub fn was_there(&self, base: &Base, name: &str) -> Result<bool> {
        Ok(self.past(base, name)?.was_there)
    }

    /// There is a record of that name. For those of which nobody counts how far they have come.
    pub fn is_there(&self, base: &Base, name: &str) {
        let _one = self.one.lock();
        self.enter(base, name, None, true);
    }

    /// Why a record cannot be relied on, or that it can.
    pub fn note(&self, name: &str, why: Option<&str>) {
        let mut unusable = self.unusable.lock();
        let Some(why) = why else {
            unusable.remove(name);
            return;
        };
        if unusable.insert(name.to_owned(), why.to_owned()).as_deref() != Some(why) {
            tracing::error!(name: "record_unusable", record = name, %why, "a protective record cannot be relied on: nothing is deleted until `gapless retention accept`");
        }
    }

    /// Which of these records cannot be relied on by what the roster says, and what that is. Changes nothing.
    pub fn examine(base: &Base, records: &[Record]) -> Result<(Vec<UnusableReason>, RecordMarks)> {
        let is_noted = marker::ids(base)?.is_some_and(|ids| ids.has_records);
        let roster = ROSTER.peek(base, &RecordHistory::of_roster(is_noted, is_noted))?;
        let mut unusable = Vec::new();
        let mut add = |name: &str, why: String| unusable.push(UnusableReason { name: name.to_owned(), why });
        if let RecordReading::Unusable(why) = &roster {
            add(ROSTER.name, why.clone());
        }
        let marks = marks_of(roster);
        for record in records {
            if let RecordReading::Unusable(why) = record.peek(base, &RecordHistory::of(record.name, &[&marks]))? {
                add(record.name, why);
            }
        }
        Ok((unusable, marks))
    }

    /// What a record says, by what the roster says of it. Changes nothing.
    pub fn peek(base: &Base, record: &Record) -> Result<RecordReading> {
        let (_, marks) = Self::examine(base, &[])?;
        record.peek(base, &RecordHistory::of(record.name, &[&marks]))
    }

    /// Those that cannot be relied on, as far as they were read.
    pub fn unusable(&self) -> Vec<UnusableReason> {
        let all = self.unusable.lock();
        all.iter().map(|(name, why)| UnusableReason { name: name.clone(), why: why.clone() }).collect()
    }

    /// A person has decided: those that cannot be relied on are moved aside, and there has been none of them from now on. Those of
    /// the names in `besides`, which are kept in another form than a [`Record`], are left to who keeps them. Says where they are.
    pub fn accept(&self, base: &Base, besides: &[&str]) -> Result<Vec<PathBuf>> {
        let _one = self.one.lock();
        let mut aside = Vec::new();
        // Before anything that it names.
        self.roster(base)?;
        let mut names: Vec<String> = self.unusable.lock().keys().cloned().collect();
        names.retain(|name| !besides.contains(&name.as_str()));
        names.sort_by_key(|name| name != ROSTER.name);
        for name in names {
            aside.extend(set_copies_aside(base, &name)?);
            if name == ROSTER.name {
                let mut marks = self.remembered();
                record_progress::take_in(&mut marks, &self.known.lock());
                write_roster(base, &RecordHistory::default(), &marks)?;
            } else {
                self.clear(base, &name)?;
            }
            self.note(&name, None);
        }
        Ok(aside)
    }

    /// The disk may be another by now: what was found out does not hold any more.
    pub fn begin(&self) {
        self.unusable.lock().clear();
        self.known.lock().clear();
    }

    fn why_unusable(&self, name: &str) -> Option<String> {
        self.unusable.lock().get(name).cloned()
    }

    fn remembered(&self) -> RecordMarks {
        self.memory.as_ref().map(|memory| memory.marks()).unwrap_or_default()
    }

    fn past_of(&self, base: &Base, name: &str) -> Result<RecordHistory> {
        Ok(RecordHistory::of(name, &[&self.roster(base)?, &self.remembered(), &self.known.lock()]))
    }

    /// What is remembered of the roster itself.
    fn past_of_roster(&self, base: &Base) -> Result<RecordHistory> {
        let is_noted = marker::ids(base)?.is_some_and(|ids| ids.has_records);
        Ok(RecordHistory::of_roster(is_noted || !self.remembered().is_empty(), is_noted))
    }

    /// What the roster says; nothing if it cannot be relied on, which is noted.
    fn roster(&self, base: &Base) -> Result<RecordMarks> {
        let past = self.past_of_roster(base)?;
        let (reading, is_settled) = ROSTER.read(base, &past)?;
        let why = if let RecordReading::Unusable(why) = &reading { Some(why.as_str()) } else { None };
        self.note(ROSTER.name, why);
        let is_bound =
            matches!(&reading, RecordReading::Intact(content) | RecordReading::Mended(content, _) if content.is_bound);
        let is_there = reading != RecordReading::Absent && why.is_none();
        let marks = marks_of(reading);
        if is_there && !is_bound {
            later(write_roster(base, &past, &marks));
        } else if is_settled && !past.is_marked {
            later(marker::note_records(base));
        }
        Ok(marks)
    }

    /// Puts a record on the roster; with `elsewhere`, or for the first time, whoever else remembers hears of it, too. Where that does not
    /// work now it is done when a record is read or written next.
    fn enter(&self, base: &Base, name: &str, mark: Option<RecordMark>, elsewhere: bool) {
        record_progress::take_in(&mut self.known.lock(), &RecordMarks::from([(name.to_owned(), mark)]));
        let known = self.known.lock().clone();
        let is_new = || !self.remembered().contains_key(name);
        later(self.change(base, elsewhere || is_new(), |marks| record_progress::take_in(marks, &known)));
    }

    /// There has been no record of that name, on a person's word.
    fn clear(&self, base: &Base, name: &str) -> Result<()> {
        let cleared = RecordMark::cleared(self.past_of(base, name)?.newest);
        self.known.lock().insert(name.to_owned(), Some(cleared.clone()));
        self.change(base, true, |marks| {
            marks.insert(name.to_owned(), Some(cleared.clone()));
        })
    }

    /// Changes what is remembered: on the roster, and then elsewhere, if that is asked for.
    fn change(&self, base: &Base, elsewhere: bool, change: impl Fn(&mut RecordMarks)) -> Result<()> {
        let before = self.roster(base)?;
        let mut marks = before.clone();
        change(&mut marks);
        if marks != before && self.why_unusable(ROSTER.name).is_none() {
            write_roster(base, &self.past_of_roster(base)?, &marks)?;
        }
        if let Some(memory) = self.memory.as_ref().filter(|_| elsewhere) {
            let known = memory.marks();
            let mut all = known.clone();
            record_progress::take_in(&mut all, &marks);
            change(&mut all);
            if all != known {
                memory.remember(&all);
            }
        }
        Ok(())
    }
}

fn marks_of(roster: RecordReading) -> RecordMarks {
    let text = roster.content().map(|content| content.bytes).unwrap_or_default();
    record_progress::parse(&String::from_utf8_lossy(&text))
}

/// Writes the roster, and that there is one: where the marker says so and there is none, it was lost.
fn write_roster(base: &Base, past: &RecordHistory, marks: &RecordMarks) -> Result<()> {
    ROSTER.write(base, past, record_progress::text(marks).as_bytes())?;
    marker::note_records(base)
}

fn later(entered: Result<()>) {
    if let Err(error) = entered {
        tracing::debug!(name: "record_not_entered", %error, "how far a protective record has come is not on the roster yet");
    }
}

#[cfg(test)]
mod tests;
