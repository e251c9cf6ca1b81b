//! Which hours are known to be right without a look at the disk, and up to which hour names are believed.
//!
//! An hour is fresh while it is watched, or for a second after its directory was compared. Nothing here is lost with the process but the need to
//! compare again. The horizon is the one place where the clock is asked how far ahead an hour may be.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use parking_lot::RwLock;

use super::{CrawlError, Keeper};
use crate::archive::coverage::Window;
use crate::archive::guards::Guard;
use crate::archive::{Horizon, Hour, HourPlace, Stream, Timestamp};
use crate::index::Covered;

/// For how long a comparison counts: changes in an unwatched hour are found after this time.
const COUNTS: Duration = Duration::from_secs(1);
/// How many comparisons are remembered before the old ones are dropped.
const REMEMBERED: usize = 4096;

#[derive(Default)]
struct FreshnessState {
    /// What is known is known of this generation of the index.
    generation: u64,
    watched: HashMap<String, HashSet<Hour>>,
    compared: HashMap<(String, Hour), Instant>,
    structure: Option<Instant>,
    structure_watched: bool,
    structure_unreadable: bool,
}

#[derive(Default)]
pub(super) struct FreshHours {
    state: RwLock<FreshnessState>,
}

impl FreshHours {
    /// To note what was found out about this generation; `None` if a later one has begun.
    fn write(&self, generation: u64) -> Option<parking_lot::RwLockWriteGuard<'_, FreshnessState>> {
        let mut state = self.state.write();
        if generation > state.generation {
            *state = FreshnessState { generation, ..FreshnessState::default() };
        }
        (state.generation == generation).then_some(state)
    }

    pub(super) fn is_fresh(&self, generation: u64, stream: &str, hour: Hour) -> bool {
        let state = self.state.read();
        if state.generation != generation {
            return false;
        }
        if state.watched.get(stream).is_some_and(|hours| hours.contains(&hour)) {
            return true;
        }
        // The map is empty in a quiet node, so that the key is rarely built.
        !state.compared.is_empty()
            && state.compared.get(&(stream.to_owned(), hour)).is_some_and(|when| when.elapsed() < COUNTS)
    }

    pub(super) fn compared(&self, generation: u64, place: &HourPlace, when: Instant) {
        let Some(mut state) = self.write(generation) else { return };
        if state.compared.len() >= REMEMBERED {
            state.compared.retain(|_, earlier| earlier.elapsed() < COUNTS);
            if state.compared.len() >= REMEMBERED {
                state.compared.clear();
            }
        }
        state.compared.insert((place.stream.to_string(), place.hour), when);
    }

    /// The hour holds a watch and was read after it had been placed.
    pub(super) fn watch(&self, generation: u64, place: &HourPlace) {
        let Some(mut state) = self.write(generation) else { return };
        state.watched.entry(place.stream.to_string()).or_default().insert(place.hour);
    }

    pub(super) fn unwatch(&self, place: &HourPlace) {
        let mut state = self.state.write();
        let stream = place.stream.to_string();
        if let Some(hours) = state.watched.get_mut(&stream) {
            hours.remove(&place.hour);
            if hours.is_empty() {
                state.watched.remove(&stream);
            }
        }
        state.compared.remove(&(stream, place.hour));
    }

    pub(super) fn structure_is_fresh(&self, generation: u64) -> bool {
        let state = self.state.read();
        state.generation == generation
            && state.structure.is_some_and(|when| state.structure_watched || when.elapsed() < COUNTS)
    }

    /// Whether some directory above the hours could not be read, when they were last compared.
    pub(super) fn structure_has_unreadable(&self) -> bool {
        self.state.read().structure_unreadable
    }

    /// Notes whether some directory above the hours could not be read.
    pub(super) fn structure_unreadable(&self, generation: u64, some: bool) {
        if let Some(mut state) = self.write(generation) {
            state.structure_unreadable = some;
        }
    }

    pub(super) fn structure_compared(&self, generation: u64, when: Instant) {
        if let Some(mut state) = self.write(generation) {
            state.structure = Some(when);
        }
    }

    /// Whether every directory above the hours holds a watch.
    pub(super) fn structure_watched(&self, generation: u64, all: bool) {
        if let Some(mut state) = self.write(generation) {
            state.structure_watched = all;
        }
    }

    pub(super) fn clear(&self) {
        let mut state = self.state.write();
        *state = FreshnessState { generation: state.generation, ..FreshnessState::default() };
    }
}

impl Keeper {
    /// What a window needs, of at most `most` hours; one that is open at its end reaches to the horizon. Where it has no more than `compared` hours they are compared with the disk
    /// first, as for any other question; wider ones are answered from what the watcher and the crawl have found. Blocks: not for async code.
    pub fn coverage(
        &self,
        stream: &Stream,
        window: &Window,
        compared: usize,
        most: usize,
    ) -> Result<Covered, CrawlError> {
        let window = self.up_to_horizon(stream, window);
        self.compare_window(stream, &window, compared)?;
        Ok(self.index().coverage(stream, &window, most)?)
    }

    /// Compares the hours of a window with the disk, if there are no more than `most`. Blocks: not for async code.
    pub fn compare_window(&self, stream: &Stream, window: &Window, most: usize) -> Result<(), CrawlError> {
        self.ensure_structure()?;
        for hour in self.few_hours(&stream.to_string(), window, most).unwrap_or_default() {
            match self.ensure(&HourPlace { stream: stream.clone(), hour }) {
                // An index that takes no writes still knows what it knew.
                Ok(()) | Err(CrawlError::Index(_)) => {}
                Err(error) => return Err(error),
            }
        }
        // Of a disk that is away nothing is known.
        drop(self.base()?);
        Ok(())
    }

    /// The hours that a window touches, and those beside it whose segments may reach into it; `None` if there are too many.
    fn few_hours(&self, stream: &str, window: &Window, most: usize) -> Option<Vec<Hour>> {
        let first = window.from.map_or(Hour::MIN, |from| from.hour().previous());
        let last = window.to.map_or(window.last.unwrap_or(Hour::MAX), Timestamp::hour);
        let state = self.index().catalog().read();
        let Some(entry) = state.streams.get(stream) else { return Some(Vec::new()) };
        let hours: Vec<Hour> =
            entry.hours.range(first..=last).map(|(hour, _)| *hour).take(most.saturating_add(1)).collect();
        (hours.len() <= most).then_some(hours)
    }
}

impl Keeper {
    /// How far ahead an hour may be to be the newest.
    pub fn horizon(&self) -> Horizon {
        if !self.guards().stands(Guard::FutureHours) {
            return Horizon::OPEN;
        }
        Horizon::at(self.clock.wall().into())
    }

    /// The last hour of a quality that may be its newest.
    pub fn bound(&self, stream: &Stream) -> Hour {
        let horizon = self.horizon();
        let state = self.index.catalog().read();
        state.streams.get(&stream.to_string()).map_or(Hour::MAX, |entry| horizon.bound(&entry.hours))
    }

    /// The first and last hour of a quality that are shown by default.
    pub fn view(&self, stream: &Stream) -> Option<(Hour, Hour)> {
        let horizon = self.horizon();
        horizon.view(&self.index.catalog().read().streams.get(&stream.to_string())?.hours)
    }

    /// A window that is open at its end reaches to the horizon, unless it begins beyond.
    pub fn up_to_horizon(&self, stream: &Stream, window: &Window) -> Window {
        let last = self.bound(stream);
        let is_open = window.to.is_none() && window.from.is_none_or(|from| from.hour() <= last);
        Window { last: if is_open && last < Hour::MAX { Some(last) } else { window.last }, ..*window }
    }

    /// Sorts hours newest first, and those beyond the horizon last.
    pub fn newest_first(&self, places: &mut [HourPlace]) {
        let horizon = self.horizon();
        places.sort_unstable_by(|a, b| {
            horizon.rank(a.hour).cmp(&horizon.rank(b.hour)).then_with(|| a.stream.cmp(&b.stream))
        });
    }
}
