//! Segments that the scrub found odd and left where they lie: which, why, and since when.
//!
//! 1. They stand in one file beneath the base, `.gapless/flagged.json`, so that neither a restart nor a rebuilt index forgets them
//!    until the next cycle, a month later.
//! 2. It is a memory and no more: nothing is concluded from it, and where it is lost or cannot be read the next cycle finds the same again.
//! 3. A flag goes when its file is found sound, is no longer there, or is moved to the quarantine.
//! 4. At most [`MOST`] are stored: a camera that is odd all year would fill the disk with the same line.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;

use parking_lot::Mutex;

use crate::archive::{FilePlace, HourPlace, escape};
use crate::disk::{Base, DiskError, SmallFile, atomic, marker};
use crate::wire::{FlaggedFile, FlaggedList};

/// Its file, beside the marker.
const FILE: &str = "flagged.json";
/// Most flags that are stored.
pub const MOST: usize = 10_000;
/// The largest file that is read: ten thousand flags of some sentences.
const MOST_BYTES: u64 = 64 << 20;

type Flags = BTreeMap<HourPlace, BTreeMap<String, FlaggedFile>>;

#[derive(Debug, Default)]
pub struct Flagged {
    state: Mutex<FlaggedState>,
}

#[derive(Debug, Default)]
struct FlaggedState {
    /// Nothing until they were read.
    flags: Option<Flags>,
    is_changed: bool,
    /// Found while [`MOST`] were stored.
    left_out: u64,
}

impl Flagged {
    /// Reads them, if that was not done yet. What cannot be read is reported and counts as nothing.
    pub fn read(&self, base: &Base) {
        let mut state = self.state.lock();
        if state.flags.is_none() {
            let read = read(base).unwrap_or_else(|error| {
                tracing::warn!(name: "flags_unreadable", %error, "which segments were flagged as odd cannot be read; the next cycle of the scrub finds them again");
                FlaggedList::default()
            });
            state.left_out = read.left_out;
            state.flags = Some(by_hour(read.files));
        }
    }

    pub fn forget(&self) {
        *self.state.lock() = FlaggedState::default();
    }

    pub(super) fn put(&self, place: &HourPlace, name: &str, file: FlaggedFile) {
        let mut state = self.state.lock();
        let FlaggedState { flags: Some(flags), is_changed, left_out } = &mut *state else { return };
        let known = flags.get(place).and_then(|hour| hour.get(name));
        // Operators want to know since when it is odd, not when that was found last.
        if known.is_some_and(|known| (&known.problem, &known.faults) == (&file.problem, &file.faults)) {
            return;
        }
        if known.is_none() && flags.values().map(BTreeMap::len).sum::<usize>() >= MOST {
            *left_out += 1;
        } else {
            flags.entry(place.clone()).or_default().insert(name.to_owned(), file);
        }
        *is_changed = true;
    }

    pub(super) fn remove(&self, place: &HourPlace, name: &str) {
        let mut state = self.state.lock();
        let FlaggedState { flags: Some(flags), is_changed, .. } = &mut *state else { return };
        let Some(hour) = flags.get_mut(place) else { return };
        *is_changed |= hour.remove(name).is_some();
        if hour.is_empty() {
            flags.remove(place);
        }
    }

    /// Keeps of each hour what `is_listed` says is there still.
    pub(super) fn retain(&self, mut is_listed: impl FnMut(&HourPlace, &str) -> bool) {
        let mut state = self.state.lock();
        let FlaggedState { flags: Some(flags), is_changed, left_out } = &mut *state else { return };
        flags.retain(|place, hour| {
            let before = hour.len();
            hour.retain(|name, _| is_listed(place, name));
            *is_changed |= hour.len() < before;
            !hour.is_empty()
        });
        *is_changed |= std::mem::take(left_out) > 0;
    }

    /// Writes what has changed. Where that fails it is tried again with the next change.
    pub(super) fn write(&self, base: &Base) {
        let text = {
            let mut state = self.state.lock();
            if !std::mem::take(&mut state.is_changed) {
                return;
            }
            serde_json::to_string_pretty(&list(&state, MOST)).unwrap_or_default()
        };
        let write = || -> Result<(), DiskError> {
            let Some(top) = base.dir(Path::new(""))? else { return Ok(()) };
            let dir = top.make_dir(OsStr::new(marker::OWN_DIR))?;
            atomic::replace(&dir, OsStr::new(FILE), escape::json(&text).as_bytes())
        };
        if let Err(error) = write() {
            self.state.lock().is_changed = true;
            tracing::warn!(name: "flags_not_written", %error, "which segments were flagged as odd cannot be written; after a restart they are not known until the next cycle of the scrub");
        }
    }

    pub fn count(&self) -> u64 {
        list(&self.state.lock(), 0).count
    }

    /// Up to `most` of them, by path.
    pub fn list(&self, most: usize) -> FlaggedList {
        list(&self.state.lock(), most)
    }
}

/// Content of the file of this archive; empty if it does not exist.
pub fn read(base: &Base) -> Result<FlaggedList, DiskError> {
    let Some(dir) = base.dir(Path::new(marker::OWN_DIR))? else { return Ok(FlaggedList::default()) };
    let damaged = |why: String| {
        let cause = std::io::Error::other(format!("it is no list of flagged segments: {why}; it may be deleted"));
        DiskError::Io { action: "read", path: dir.path().join(FILE), cause }
    };
    match dir.read_small(OsStr::new(FILE), MOST_BYTES)? {
        SmallFile::Absent => Ok(FlaggedList::default()),
        SmallFile::Larger => Err(damaged(format!("it has more than {MOST_BYTES} bytes"))),
        SmallFile::Content(bytes) => serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string())),
    }
}

fn by_hour(files: Vec<FlaggedFile>) -> Flags {
    let mut flags = Flags::new();
    for file in files.into_iter().take(MOST) {
        if let Ok(place) = FilePlace::parse(&file.path) {
            flags.entry(place.hour).or_default().insert(place.name.into(), file);
        }
    }
    flags
}

fn list(state: &FlaggedState, most: usize) -> FlaggedList {
    let hours = || state.flags.iter().flat_map(BTreeMap::values);
    let count = hours().map(BTreeMap::len).sum::<usize>() as u64;
    let files = hours().flat_map(BTreeMap::values).take(most).cloned().collect();
    FlaggedList { count, left_out: state.left_out, files }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: &str = "c/source/2020-01-01T00";

    fn base() -> (tempfile::TempDir, Base) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(marker::OWN_DIR)).unwrap();
        let base = Base::open(dir.path()).unwrap();
        (dir, base)
    }

    fn flag(name: &str, at: &str) -> FlaggedFile {
        let path = format!("{HOUR}/{name}");
        FlaggedFile { path, problem: "odd".into(), faults: vec!["one picture in 5 s".into()], at: at.into() }
    }

    fn known(base: &Base) -> Flagged {
        let flagged = Flagged::default();
        flagged.read(base);
        flagged
    }

    #[test]
    fn what_was_flagged_outlives_the_process_with_the_time_when_it_was_seen_first() {
        let (_dir, base) = base();
        let place = HourPlace::parse(HOUR).unwrap();
        let flagged = known(&base);
        flagged.put(&place, "one.ts", flag("one.ts", "2020-01-02T00:00:00"));
        flagged.put(&place, "one.ts", flag("one.ts", "2020-02-02T00:00:00"));
        flagged.put(&place, "two.ts", flag("two.ts", "2020-01-02T00:00:00"));
        flagged.write(&base);
        let again = known(&base);
        assert_eq!(
            again.list(1),
            FlaggedList { count: 2, left_out: 0, files: vec![flag("one.ts", "2020-01-02T00:00:00")] }
        );
        again.remove(&place, "one.ts");
        again.retain(|_, name| name == "three.ts");
        again.write(&base);
        assert_eq!(known(&base).list(MOST), FlaggedList::default());
    }

    #[test]
    fn a_file_of_flags_that_is_damaged_counts_as_none_and_is_written_anew() {
        let (dir, base) = base();
        std::fs::write(dir.path().join(".gapless/flagged.json"), "{\"count\":").unwrap();
        let why = read(&base).unwrap_err().to_string();
        assert!(why.contains("flagged.json") && why.contains("no list of flagged segments"), "{why}");
        let flagged = known(&base);
        flagged.put(&HourPlace::parse(HOUR).unwrap(), "one.ts", flag("one.ts", "2020-01-02T00:00:00"));
        flagged.write(&base);
        assert_eq!(read(&base).unwrap().count, 1);
    }

    #[test]
    fn no_more_than_the_most_are_kept_and_the_rest_is_counted() {
        let flagged = Flagged::default();
        let (_dir, base) = base();
        flagged.read(&base);
        let place = HourPlace::parse(HOUR).unwrap();
        for number in 0..MOST + 3 {
            let name = format!("{number}.ts");
            flagged.put(&place, &name, flag(&name, ""));
        }
        let list = flagged.list(0);
        assert_eq!((list.count, list.left_out), (MOST as u64, 3));
    }
}
