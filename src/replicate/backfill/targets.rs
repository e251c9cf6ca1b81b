//! Hour directories that are being filled, so that one that was made in vain is removed only when nobody else fills it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::error::RoundError;
use crate::archive::HourPlace;
use crate::archive::origins::GiftedHour;
use crate::disk::{Base, Dir};
use crate::sync::crawl::{CrawlError, FetchInProgress};

/// How many fill each hour, and whether its directory was made for that.
type Filled = HashMap<HourPlace, (usize, bool)>;

/// Hour directories that are being filled.
#[derive(Debug, Clone, Default)]
pub(super) struct Targets(Arc<Mutex<Filled>>);

/// The directory of an hour that is being filled, until this is dropped.
pub(super) struct HourTarget {
    pub(super) place: HourPlace,
    pub(super) dir: Arc<Dir>,
    /// Counts what comes, where it is counted.
    filling: Option<FetchInProgress>,
    /// A file had no room in it.
    is_full: AtomicBool,
    held: Held,
}

/// One who fills it.
#[derive(Debug)]
struct Held {
    place: HourPlace,
    targets: Targets,
}

impl Targets {
    /// The directory of an hour, made if it is not there. Blocks.
    pub(super) fn open(&self, base: &Base, place: &HourPlace) -> Result<HourTarget, RoundError> {
        // Counted before it is opened: from here on nobody removes it.
        self.0.lock().entry(place.clone()).or_insert((0, false)).0 += 1;
        let held = Held { place: place.clone(), targets: self.clone() };
        let is_new = base.dir(&place.path()).map_err(CrawlError::Disk)?.is_none();
        let dir = Arc::new(base.make_hour_dir(place).map_err(CrawlError::Disk)?);
        if is_new && let Some(entry) = self.0.lock().get_mut(place) {
            entry.1 = true;
        }
        Ok(HourTarget { place: place.clone(), dir, filling: None, is_full: AtomicBool::new(false), held })
    }
}

impl HourTarget {
    /// With something that counts what comes.
    pub(super) fn filled_by(self, filling: FetchInProgress) -> Self {
        Self { filling: Some(filling), ..self }
    }

    /// Takes room for one file of so many bytes; false if there is none.
    pub(super) fn take(&self, bytes: u64) -> bool {
        let has_room = self.filling.as_ref().is_none_or(|filling| filling.take(bytes));
        if !has_room {
            self.fill_up();
        }
        has_room
    }

    /// Bytes that may still come.
    pub(super) fn room(&self) -> u64 {
        self.filling.as_ref().map_or(u64::MAX, FetchInProgress::room)
    }

    /// A file had no room: nothing more is asked for.
    pub(super) fn fill_up(&self) {
        self.is_full.store(true, Ordering::Relaxed);
    }

    /// Whether a file had no room.
    pub(super) fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Relaxed)
    }

    /// The file does not come.
    pub(super) fn give_back(&self, bytes: u64) {
        if let Some(filling) = &self.filling {
            filling.give_back(bytes);
        }
    }

    /// Files of which there was room for each are right, and about to appear. Blocks.
    pub(super) fn book(&self, given: &GiftedHour) -> Result<(), RoundError> {
        Ok(self.filling.as_ref().map_or(Ok(()), |filling| filling.book(given))?)
    }

    /// What was booked did not appear after all. Blocks.
    pub(super) fn take_back(&self, given: &GiftedHour) -> Result<(), RoundError> {
        Ok(self.filling.as_ref().map_or(Ok(()), |filling| filling.take_back(given))?)
    }

    /// Removes the directory if it was made for this, holds nothing, and nobody else is filling it; tells whether it was removed.
    /// Blocks.
    pub(super) fn remove_if_in_vain(&self, base: &Base) -> Result<bool, RoundError> {
        let filled = self.held.targets.0.lock();
        match filled.get(&self.place) {
            Some((1, true)) => Ok(base.remove_empty_hour(&self.place).map_err(CrawlError::Disk)?),
            _ => Ok(false),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut filled = self.targets.0.lock();
        if let Some(entry) = filled.get_mut(&self.place) {
            entry.0 -= 1;
            if entry.0 == 0 {
                filled.remove(&self.place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_goes_only_if_it_was_made_in_vain_and_nobody_fills_it() {
        let directory = tempfile::tempdir().unwrap();
        let base = Base::open(directory.path()).unwrap();
        let place = HourPlace::parse("a/b/2020-01-01T00").unwrap();
        let targets = Targets::default();
        let first = targets.open(&base, &place).unwrap();
        let second = targets.open(&base, &place).unwrap();
        assert!(!first.remove_if_in_vain(&base).unwrap(), "the second fills it");
        drop(first);
        assert!(second.remove_if_in_vain(&base).unwrap());
        drop(second);
        let path = directory.path().join("a/b/2020-01-01T00");
        std::fs::create_dir(&path).unwrap();
        assert!(!targets.open(&base, &place).unwrap().remove_if_in_vain(&base).unwrap(), "it was there before");
        assert!(path.exists() && targets.0.lock().is_empty());
    }
}
