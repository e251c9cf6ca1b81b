//! The protective records of one archive: which there have been, and which of them cannot be relied on.
//!
//! A record that has vanished looks like one that was never begun. So that there has been one is remembered twice more: in a record
//! of its own, the roster, and by whoever is asked as [`Remembered`], which does not lie beside the records. While any of them
//! cannot be relied on nothing may be deleted ([`Records::unusable`]) until a person has decided ([`Records::accept`]).
//!
//! What the records say, and what deletion is, is not known here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::base::Base;
use super::error::{DiskError, Result};
use super::record::{Reading, Record, set_copies_aside};

/// The names of all records that there have been, one a line.
const ROSTER: Record = Record { name: "records", version: 1, most: 16 << 10 };

/// Remembers which records there have been, in a place that is not lost along with them.
pub trait Remembered: Send + Sync {
    /// Their names; none if that is not known.
    fn names(&self) -> BTreeSet<String>;

    /// These there have been. What goes wrong is told by whoever remembers.
    fn remember(&self, names: &BTreeSet<String>);
}

/// A record that cannot be relied on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    /// Its name.
    pub name: String,
    /// Why not.
    pub why: String,
}

/// See the module. Share it by `Arc`.
#[derive(Default)]
pub struct Records {
    memory: Option<Box<dyn Remembered>>,
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
    pub fn new(memory: Box<dyn Remembered>) -> Self {
        Self { memory: Some(memory), ..Self::default() }
    }

    /// Reads a record. One that is missing although there has been one is unusable.
    pub fn read(&self, base: &Base, record: &Record) -> Result<Reading> {
        let _one = lock(&self.one);
        let reading = match record.read(base)? {
            Reading::Absent if self.has_been(base, record.name)? => Reading::Unusable(missing()),
            reading => reading,
        };
        match &reading {
            Reading::Absent => self.note(record.name, None),
            Reading::Unusable(why) => self.note(record.name, Some(why)),
            Reading::Intact(_) | Reading::Mended(..) => {
                self.note(record.name, None);
                self.enter(base, record.name);
            }
        }
        Ok(reading)
    }

    /// Writes a record. It is durable when this returns.
    pub fn write(&self, base: &Base, record: &Record, bytes: &[u8]) -> Result<()> {
        let _one = lock(&self.one);
        if let Some(why) = self.why_unusable(record.name) {
            return Err(DiskError::Record { path: record.path(base), why });
        }
        record.write(base, bytes)?;
        self.enter(base, record.name);
        Ok(())
    }

    /// Whether there has been a record of that name. For those that are kept in another form than a [`Record`].
    pub fn was_there(&self, base: &Base, name: &str) -> Result<bool> {
        let _one = lock(&self.one);
        self.has_been(base, name)
    }

    /// There is a record of that name. For those that are kept in another form than a [`Record`].
    pub fn is_there(&self, base: &Base, name: &str) {
        let _one = lock(&self.one);
        self.enter(base, name);
    }

    /// Why a record cannot be relied on, or that it can.
    pub fn note(&self, name: &str, why: Option<&str>) {
        let mut unusable = lock(&self.unusable);
        let Some(why) = why else {
            unusable.remove(name);
            return;
        };
        if unusable.insert(name.to_owned(), why.to_owned()).as_deref() != Some(why) {
            tracing::error!(name: "record_unusable", record = name, %why, "a protective record cannot be relied on: nothing is deleted until `gapless retention accept`");
        }
    }

    /// Which of these records cannot be relied on, and the names of all that there have been. Changes nothing.
    pub fn examine(base: &Base, records: &[Record]) -> Result<(Vec<Unusable>, BTreeSet<String>)> {
        let roster = ROSTER.peek(base)?;
        let mut unusable = Vec::new();
        let mut add = |name: &str, why: String| unusable.push(Unusable { name: name.to_owned(), why });
        if let Reading::Unusable(why) = &roster {
            add(ROSTER.name, why.clone());
        }
        let text = roster.content().map(|content| content.bytes).unwrap_or_default();
        let names: BTreeSet<String> = String::from_utf8_lossy(&text).lines().map(str::to_owned).collect();
        for record in records {
            match record.peek(base)? {
                Reading::Absent if names.contains(record.name) => add(record.name, missing()),
                Reading::Unusable(why) => add(record.name, why),
                Reading::Absent | Reading::Intact(_) | Reading::Mended(..) => {}
            }
        }
        Ok((unusable, names))
    }

    /// Those that cannot be relied on, as far as they were read.
    pub fn unusable(&self) -> Vec<Unusable> {
        let all = lock(&self.unusable);
        all.iter().map(|(name, why)| Unusable { name: name.clone(), why: why.clone() }).collect()
    }

    /// A person has decided: those that cannot be relied on are moved aside, and there has been none of them from now on. Those of
    /// the names in `besides`, which are kept in another form than a [`Record`], are left to who keeps them. Says where they are.
    pub fn accept(&self, base: &Base, besides: &[&str]) -> Result<Vec<PathBuf>> {
        let _one = lock(&self.one);
        let mut aside = Vec::new();
        // Before anything that it names.
        self.roster(base)?;
        let mut names: Vec<String> = lock(&self.unusable).keys().cloned().collect();
        names.retain(|name| !besides.contains(&name.as_str()));
        names.sort_by_key(|name| name != ROSTER.name);
        for name in names {
            aside.extend(set_copies_aside(base, &name)?);
            self.strike(base, &name)?;
            self.note(&name, None);
        }
        Ok(aside)
    }

    /// There has been no record of that name, on a person's word.
    pub fn forget(&self, base: &Base, name: &str) -> Result<()> {
        let _one = lock(&self.one);
        self.strike(base, name)?;
        self.note(name, None);
        Ok(())
    }

    /// The disk may be another by now: what was found out does not hold any more.
    pub fn begin(&self) {
        lock(&self.unusable).clear();
    }

    fn why_unusable(&self, name: &str) -> Option<String> {
        lock(&self.unusable).get(name).cloned()
    }

    fn has_been(&self, base: &Base, name: &str) -> Result<bool> {
        let known = self.memory.as_ref().map(|memory| memory.names()).unwrap_or_default();
        Ok(self.roster(base)?.contains(name) || known.contains(name))
    }

    fn roster(&self, base: &Base) -> Result<BTreeSet<String>> {
        let reading = match ROSTER.read(base)? {
            Reading::Absent if self.memory.as_ref().is_some_and(|memory| !memory.names().is_empty()) => {
                Reading::Unusable(missing())
            }
            reading => reading,
        };
        if let Reading::Unusable(why) = &reading {
            self.note(ROSTER.name, Some(why));
        }
        let text = reading.content().map(|content| content.bytes).unwrap_or_default();
        Ok(String::from_utf8_lossy(&text).lines().map(str::to_owned).collect())
    }

    /// Puts a record on the roster. Where that does not work now it is done when the record is read or written next.
    fn enter(&self, base: &Base, name: &str) {
        let entered = self.roster(base).and_then(|mut names| {
            if !names.insert(name.to_owned()) || self.why_unusable(ROSTER.name).is_some() {
                return Ok(names);
            }
            ROSTER.write(base, text(&names).as_bytes()).map(|()| names)
        });
        match (entered, &self.memory) {
            (Ok(names), Some(memory)) if !names.is_subset(&memory.names()) => memory.remember(&names),
            (Ok(_), _) => {}
            (Err(error), _) => {
                tracing::debug!(name: "record_not_entered", record = name, %error, "a protective record is not on the roster yet");
            }
        }
    }

    fn strike(&self, base: &Base, name: &str) -> Result<()> {
        let mut names = self.roster(base)?;
        if name == ROSTER.name {
            names = self.memory.as_ref().map(|memory| memory.names()).unwrap_or_default();
        }
        names.remove(name);
        if self.why_unusable(ROSTER.name).is_none() || name == ROSTER.name {
            ROSTER.write(base, text(&names).as_bytes())?;
        }
        if let Some(memory) = &self.memory {
            memory.remember(&names);
        }
        Ok(())
    }
}

fn missing() -> String {
    "there was one, and it is gone".to_owned()
}

fn text(names: &BTreeSet<String>) -> String {
    names.iter().flat_map(|name| [name, "\n"]).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use super::super::marker::OWN_DIR;
    use super::*;

    const LEVELS: Record = Record { name: "levels", version: 1, most: 1_000 };
    const BURSTS: Record = Record { name: "bursts", version: 1, most: 1_000 };

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<BTreeSet<String>>>);

    impl Remembered for Memory {
        fn names(&self) -> BTreeSet<String> {
            self.0.lock().unwrap().clone()
        }

        fn remember(&self, names: &BTreeSet<String>) {
            self.0.lock().unwrap().clone_from(names);
        }
    }

    fn archive() -> (tempfile::TempDir, Base) {
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir(tree.path().join(OWN_DIR)).unwrap();
        let base = Base::open(tree.path()).unwrap();
        (tree, base)
    }

    fn remove(base: &Base, name: &str) {
        for copy in [name.to_owned(), format!("{name}.2")] {
            fs::remove_file(base.path().join(OWN_DIR).join(copy)).unwrap();
        }
    }

    fn names(records: &Records) -> Vec<String> {
        records.unusable().into_iter().map(|record| record.name).collect()
    }

    #[test]
    fn a_new_archive_has_no_record_and_one_that_vanished_is_unusable_after_a_restart() {
        let (_tree, base) = archive();
        let records = Records::default();
        assert_eq!(records.read(&base, &LEVELS).unwrap(), Reading::Absent);
        records.write(&base, &LEVELS, b"12").unwrap();
        remove(&base, "levels");
        let again = Records::default();
        assert!(matches!(again.read(&base, &LEVELS).unwrap(), Reading::Unusable(_)));
        assert_eq!(again.read(&base, &BURSTS).unwrap(), Reading::Absent);
        assert_eq!(names(&again), ["levels"]);
        assert!(again.write(&base, &LEVELS, b"1").is_err(), "it is not begun anew unasked");
        assert_eq!(again.accept(&base, &[]).unwrap(), Vec::<PathBuf>::new());
        assert_eq!(again.read(&base, &LEVELS).unwrap(), Reading::Absent);
        again.write(&base, &LEVELS, b"1").unwrap();
        assert!(again.unusable().is_empty());
    }

    #[test]
    fn records_that_vanish_together_with_the_roster_are_remembered() {
        let (_tree, base) = archive();
        let memory = Memory::default();
        Records::new(Box::new(memory.clone())).write(&base, &LEVELS, b"12").unwrap();
        assert_eq!(memory.names().into_iter().collect::<Vec<_>>(), ["levels"]);
        remove(&base, "levels");
        remove(&base, "records");
        let records = Records::new(Box::new(memory.clone()));
        assert!(matches!(records.read(&base, &LEVELS).unwrap(), Reading::Unusable(_)));
        assert_eq!(names(&records), ["levels", "records"]);
        records.accept(&base, &[]).unwrap();
        assert!(memory.names().is_empty());
        assert_eq!(records.read(&base, &LEVELS).unwrap(), Reading::Absent);
        records.write(&base, &LEVELS, b"1").unwrap();
        assert_eq!(names(&records), Vec::<String>::new());
    }

    #[test]
    fn what_was_accepted_lies_aside_and_the_others_stay() {
        let (_tree, base) = archive();
        let records = Records::default();
        for record in [&LEVELS, &BURSTS] {
            records.write(&base, record, b"12").unwrap();
        }
        for name in ["levels", "levels.2"] {
            fs::write(base.path().join(OWN_DIR).join(name), "?").unwrap();
        }
        assert!(matches!(records.read(&base, &LEVELS).unwrap(), Reading::Unusable(_)));
        assert_eq!(records.accept(&base, &[]).unwrap().len(), 2);
        assert!(matches!(records.read(&base, &BURSTS).unwrap(), Reading::Intact(_)));
        assert_eq!(fs::read(base.path().join(OWN_DIR).join("levels.damaged")).unwrap(), b"?");
    }

    #[test]
    fn a_record_in_another_form_is_on_the_roster_too() {
        let (_tree, base) = archive();
        let records = Records::default();
        assert!(!records.was_there(&base, "retired").unwrap());
        records.is_there(&base, "retired");
        assert!(Records::default().was_there(&base, "retired").unwrap());
        records.forget(&base, "retired").unwrap();
        assert!(!records.was_there(&base, "retired").unwrap());
    }
}
