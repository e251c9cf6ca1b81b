//! The quarantine's contents in memory: read once, and updated with each move.
//!
//! The reports on the disk are what counts; this only spares reading them for each question. A report that cannot be read counts as
//! one of a damaged file, of which nothing is known but its name, and a directory that cannot be listed as an empty one: one bad sector
//! must not keep the rest from being checked. While it is read nothing is moved, so that no change is missed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock, RwLockReadGuard};

use crate::archive::coverage::Stretch;
use crate::archive::{FileName, HourPlace, Span, Stream, parse_file_name};
use crate::disk::{Base, DiskError, HeldFile, Quarantine};
use crate::wire::QuarantineReport;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptFile {
    /// What it was called where it lay.
    pub name: String,
    pub size: u64,
    /// When its report was last written, in nanoseconds since 1970; `None` if there is no readable one.
    pub reported_ns: Option<i64>,
    pub report: QuarantineReport,
}

impl KeptFile {
    /// Whether its content is what its name says, so that any other copy is as bad.
    pub fn is_bad_by_name(&self) -> bool {
        self.report.problem == STRUCTURE
    }

    /// Whether it is not here any more in any form that is listed.
    pub fn is_lost(&self) -> bool {
        self.report.healed.is_none()
    }
}

/// Name in reports for faults of a stream's structure.
pub(super) const STRUCTURE: &str = "structure";

/// Files by hour and by what they are called in the quarantine.
type KeptFiles = BTreeMap<HourPlace, BTreeMap<String, KeptFile>>;

#[derive(Debug, Default)]
pub struct QuarantineContents {
    /// Nothing until it was read.
    files: Mutex<Option<KeptFiles>>,
    moving: RwLock<()>,
    /// Grows with each change.
    version: AtomicU64,
}

impl QuarantineContents {
    /// Reads what lies there, if that was not done yet. `is_away` is asked of what cannot be read, whether it is the whole disk: that is an
    /// error. Blocks: not for async code.
    pub fn read(&self, base: &Base, is_away: &dyn Fn(&DiskError) -> bool) -> Result<(), DiskError> {
        if self.files.lock().is_some() {
            return Ok(());
        }
        let _alone = self.moving.write();
        // Somebody else may have been first.
        if self.files.lock().is_some() { Ok(()) } else { self.tidy_and_look(base, is_away) }
    }

    /// Reads what lies there and changes nothing: for who only looks, and does not know whether something is moved meanwhile.
    pub fn look(&self, base: &Base, is_away: &dyn Fn(&DiskError) -> bool) -> Result<(), DiskError> {
        let quarantine = Quarantine::of(base);
        let skip = |error: DiskError| {
            if error.is_shortage() || is_away(&error) {
                return Err(error);
            }
            tracing::warn!(name: "quarantine_unreadable", %error, "a part of the quarantine cannot be read; what lies there is not known");
            Ok(())
        };
        let mut found = KeptFiles::new();
        for place in quarantine.hours(&skip)? {
            match quarantine.held(&place) {
                Ok(held) => {
                    let files = held.into_iter().map(|held| read(&place, held)).collect();
                    found.insert(place, files);
                }
                Err(error) => skip(error)?,
            }
        }
        let mut files = self.files.lock();
        if files.as_ref() != Some(&found) {
            *files = Some(found);
            self.version.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Reads it afresh: another process may have changed it.
    pub fn read_again(&self, base: &Base, is_away: &dyn Fn(&DiskError) -> bool) -> Result<(), DiskError> {
        let _alone = self.moving.write();
        self.tidy_and_look(base, is_away)
    }

    /// Held while something there is moved, marked or deleted, until this is updated. Not twice by one thread.
    pub fn moving(&self) -> RwLockReadGuard<'_, ()> {
        self.moving.read()
    }

    fn tidy_and_look(&self, base: &Base, is_away: &dyn Fn(&DiskError) -> bool) -> Result<(), DiskError> {
        let quarantine = Quarantine::of(base);
        // What cannot be listed is reported by the caller.
        for place in quarantine.hours(&|_| Ok(()))? {
            quarantine.tidy(&place).unwrap_or_else(|error| {
                tracing::debug!(name: "quarantine_not_tidied", hour = %place, %error, "what an interrupted scrub left stays behind");
            });
        }
        self.look(base, is_away)
    }

    /// Forgets all, to be read again: it is another disk.
    pub fn forget(&self) {
        *self.files.lock() = None;
        self.version.fetch_add(1, Ordering::Relaxed);
    }

    pub fn put(&self, place: &HourPlace, stored: &str, file: KeptFile) {
        if let Some(files) = &mut *self.files.lock() {
            files.entry(place.clone()).or_default().insert(stored.to_owned(), file);
            self.version.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub fn remove(&self, place: &HourPlace, stored: &str) {
        if let Some(files) = &mut *self.files.lock()
            && let Some(hour) = files.get_mut(place)
        {
            hour.remove(stored);
            self.version.fetch_add(1, Ordering::Relaxed);
            if hour.is_empty() {
                files.remove(place);
            }
        }
    }

    /// Another number after each change.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Relaxed)
    }

    pub fn of_hour(&self, place: &HourPlace) -> Vec<(String, KeptFile)> {
        let files = self.files.lock();
        let hour = files.as_ref().and_then(|files| files.get(place));
        hour.into_iter().flatten().map(|(stored, file)| (stored.clone(), file.clone())).collect()
    }

    pub fn all(&self, mut wanted: impl FnMut(&KeptFile) -> bool) -> Vec<(HourPlace, String, KeptFile)> {
        let files = self.files.lock();
        let mut found = Vec::new();
        for (place, hour) in files.iter().flatten() {
            let chosen = hour.iter().filter(|(_, file)| wanted(file));
            found.extend(chosen.map(|(stored, file)| (place.clone(), stored.clone(), file.clone())));
        }
        found
    }

    pub fn count(&self, mut wanted: impl FnMut(&KeptFile) -> bool) -> (u64, u64) {
        let files = self.files.lock();
        let all = files.iter().flat_map(BTreeMap::values).flat_map(BTreeMap::values).filter(|file| wanted(file));
        all.fold((0, 0), |(count, bytes), file| (count + 1, bytes + file.size))
    }

    /// Whether a name is known to be bad on every node, so that it is not fetched; `None` until the quarantine was read.
    pub fn is_bad_name(&self, place: &HourPlace, name: &str) -> Option<bool> {
        let files = self.files.lock();
        let hour = files.as_ref()?.get(place);
        Some(hour.is_some_and(|hour| hour.values().any(|file| file.name == name && file.is_bad_by_name())))
    }

    /// What was lost here of a stretch of time, and is not listed again: segments, cut to it.
    pub fn lost_within(&self, stream: &Stream, within: Stretch) -> Vec<Stretch> {
        let files = self.files.lock();
        let last = (within.end - Span::from_us(1)).hour();
        // A segment of the hour before may reach into it.
        let first = within.start.hour().previous().min(last);
        let at = |hour| HourPlace { stream: stream.clone(), hour };
        let hours = files.iter().flat_map(|files| files.range(at(first)..=at(last)));
        let kept = hours.flat_map(|(place, hour)| hour.values().map(move |file| (place, file)));
        let stretches = kept.filter(|(_, file)| file.is_lost()).filter_map(|(place, file)| {
            let FileName::Understood(key) = parse_file_name(&file.name) else { return None };
            if !key.kind.is_video() {
                return None;
            }
            Stretch { start: key.start(place.hour), end: key.end(place.hour) }.cut(within)
        });
        stretches.collect()
    }
}

fn read(place: &HourPlace, held: HeldFile) -> (String, KeptFile) {
    let HeldFile { name, stored, size, reported_ns, report } = held;
    let Ok(report) = serde_json::from_slice(&report) else {
        let faults = vec!["its report is missing or cannot be understood".to_owned()];
        let unknown = QuarantineReport { path: format!("{place}/{name}"), faults, ..QuarantineReport::default() };
        return (stored, KeptFile { name, size, reported_ns: None, report: unknown });
    };
    (stored, KeptFile { name, size, reported_ns, report })
}
