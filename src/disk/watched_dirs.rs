//! Which watch stands for which directory, and what an event of the kernel means for that. No I/O.
//!
//! The kernel tells events by the number of a watch. A directory that is moved takes its watch along, a removed one
//! loses it, and the events that were queued before either still arrive afterwards:
//!
//! 1. A watch that was given up, by us or by the kernel, is *retired*: what is still queued for it is dropped, until
//!    the kernel's last word about it (IGNORED). Only then may its number mean another directory.
//! 2. A directory that was moved or removed loses its watch and those beneath it, because their paths no longer hold.
//!    Each of them is told as gone; whether a directory is there again must be looked up.
//!    The same holds where the watch of a directory is given up because another directory is watched in its place: what was
//!    beneath the old one would never be told as gone.
//! 3. After an overflow last words may have been lost: nothing is retired any more.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsString;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::ReadFlags;

/// Something has changed. Directories are relative to the base, as they were given to [`DirWatcher::watch`](super::DirWatcher::watch).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskEvent {
    /// A name is there, new or with new content, complete or not.
    Appeared {
        /// The watched directory.
        dir: PathBuf,
        /// The name in it.
        name: OsString,
        /// Whether it is a directory.
        is_dir: bool,
    },
    /// A name is no longer there.
    Vanished {
        /// The watched directory.
        dir: PathBuf,
        /// The name that was in it.
        name: OsString,
        /// Whether it was a directory.
        is_dir: bool,
    },
    /// A watched directory was removed, moved or unmounted, and is no longer watched. Another may be in its place.
    DirGone(PathBuf),
    /// Events were lost: every watched directory may have changed, and must be watched again and listed.
    Overflow,
}

/// The watches and their directories.
#[derive(Debug, Default)]
pub(super) struct WatchedDirs {
    by_watch: HashMap<i32, PathBuf>,
    by_path: BTreeMap<PathBuf, i32>,
    retired: HashSet<i32>,
}

/// What comes of one event of the kernel.
#[derive(Debug, Default)]
pub(super) struct PlaceChange {
    pub events: Vec<DiskEvent>,
    /// Watches that the kernel still holds and that are to be given up.
    pub give_up: Vec<i32>,
}

impl WatchedDirs {
    pub(super) fn len(&self) -> usize {
        self.by_path.len()
    }

    pub(super) fn watch_of(&self, path: &Path) -> Option<i32> {
        self.by_path.get(path).copied()
    }

    pub(super) fn path_of(&self, watch: i32) -> Option<&Path> {
        self.by_watch.get(&watch).map(PathBuf::as_path)
    }

    pub(super) fn insert(&mut self, watch: i32, path: &Path) {
        self.by_watch.insert(watch, path.to_owned());
        self.by_path.insert(path.to_owned(), watch);
    }

    /// Forgets a watch, of which the kernel has yet to speak its last word.
    pub(super) fn retire(&mut self, watch: i32) -> Option<PathBuf> {
        let path = self.by_watch.remove(&watch)?;
        if self.by_path.get(&path) == Some(&watch) {
            self.by_path.remove(&path);
        }
        self.retired.insert(watch);
        Some(path)
    }

    /// Takes one event in.
    pub(super) fn take(&mut self, watch: i32, flags: ReadFlags, name: &[u8]) -> PlaceChange {
        let mut outcome = PlaceChange::default();
        if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
            self.retired.clear();
            outcome.events.push(DiskEvent::Overflow);
            return outcome;
        }
        if self.retired.contains(&watch) {
            if flags.contains(ReadFlags::IGNORED) {
                self.retired.remove(&watch);
            }
            return outcome;
        }
        let Some(dir) = self.by_watch.get(&watch).cloned() else {
            return outcome;
        };
        if flags.contains(ReadFlags::IGNORED) {
            self.retire(watch);
            self.retired.remove(&watch);
            outcome.events.push(DiskEvent::DirGone(dir));
        } else if flags.intersects(ReadFlags::DELETE_SELF | ReadFlags::UNMOUNT) {
            // The kernel gives this one up by itself.
            self.retire(watch);
            outcome.events.push(DiskEvent::DirGone(dir.clone()));
            self.drop_beneath(&dir, &mut outcome);
        } else if flags.contains(ReadFlags::MOVE_SELF) {
            self.drop_beneath(&dir, &mut outcome);
        } else {
            self.take_entry(dir, flags, name, &mut outcome);
        }
        outcome
    }

    fn take_entry(&mut self, dir: PathBuf, flags: ReadFlags, name: &[u8], outcome: &mut PlaceChange) {
        let arrives = ReadFlags::MOVED_TO | ReadFlags::CREATE | ReadFlags::CLOSE_WRITE;
        let leaves = ReadFlags::MOVED_FROM | ReadFlags::DELETE;
        let is_dir = flags.contains(ReadFlags::ISDIR);
        let name = std::os::unix::ffi::OsStringExt::from_vec(name.to_vec());
        if flags.intersects(arrives) {
            outcome.events.push(DiskEvent::Appeared { dir, name, is_dir });
        } else if flags.intersects(leaves) {
            let path = dir.join(&name);
            outcome.events.push(DiskEvent::Vanished { dir, name, is_dir });
            if is_dir {
                self.drop_beneath(&path, outcome);
            }
        }
    }

    /// Gives up the watches of a directory and of all beneath it.
    pub(super) fn drop_beneath(&mut self, top: &Path, outcome: &mut PlaceChange) {
        let concerned: Vec<(PathBuf, i32)> = self
            .by_path
            .range::<Path, _>((Bound::Included(top), Bound::Unbounded))
            .take_while(|(path, _)| path.starts_with(top))
            .map(|(path, watch)| (path.clone(), *watch))
            .collect();
        for (path, watch) in concerned {
            self.retire(watch);
            outcome.give_up.push(watch);
            outcome.events.push(DiskEvent::DirGone(path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(all: &[(i32, &str)]) -> WatchedDirs {
        let mut places = WatchedDirs::default();
        for (watch, path) in all {
            places.insert(*watch, Path::new(path));
        }
        places
    }

    fn gone(path: &str) -> DiskEvent {
        DiskEvent::DirGone(path.into())
    }

    #[test]
    fn what_was_queued_for_a_retired_watch_is_dropped_until_its_last_word() {
        let mut places = places(&[(1, "a")]);
        assert_eq!(places.retire(1), Some("a".into()));
        // The number is given out again while old events are still queued.
        places.insert(1, Path::new("b"));
        assert!(places.take(1, ReadFlags::CREATE, b"x").events.is_empty());
        assert!(places.take(1, ReadFlags::IGNORED, b"").events.is_empty());
        assert_eq!(places.path_of(1), Some(Path::new("b")));
        assert_eq!(places.take(1, ReadFlags::CREATE, b"x").events.len(), 1);
    }

    #[test]
    fn a_moved_directory_takes_everything_beneath_it_along() {
        let mut places = places(&[(1, "a"), (2, "a/b"), (3, "a/b/c"), (4, "a-b"), (5, "b"), (6, "")]);
        let outcome = places.take(1, ReadFlags::MOVE_SELF, b"");
        assert_eq!(outcome.events, [gone("a"), gone("a/b"), gone("a/b/c")]);
        assert_eq!(outcome.give_up, [1, 2, 3]);
        assert_eq!(places.len(), 3);
        let vanished = places.take(6, ReadFlags::MOVED_FROM | ReadFlags::ISDIR, b"b");
        assert_eq!(vanished.events[1..], [gone("b")]);
        assert_eq!(places.watch_of(Path::new("b")), None);
        assert_eq!(places.watch_of(Path::new("a-b")), Some(4));
    }

    #[test]
    fn a_removed_directory_is_told_once() {
        let mut places = places(&[(1, "a")]);
        assert_eq!(places.take(1, ReadFlags::DELETE_SELF, b"").events, [gone("a")]);
        assert!(places.take(1, ReadFlags::IGNORED, b"").events.is_empty());
        assert!(places.retired.is_empty());
        assert!(places.take(9, ReadFlags::CREATE, b"x").events.is_empty(), "of a watch that nobody knows");
    }

    #[test]
    fn an_unmounted_directory_is_told_even_without_more_than_a_last_word() {
        let mut places = places(&[(1, "a")]);
        assert_eq!(places.take(1, ReadFlags::IGNORED, b"").events, [gone("a")]);
        assert_eq!(places.len(), 0);
    }

    #[test]
    fn an_overflow_forgets_what_was_retired() {
        let mut places = places(&[(1, "a")]);
        places.retire(1);
        assert_eq!(places.take(-1, ReadFlags::QUEUE_OVERFLOW, b"").events, [DiskEvent::Overflow]);
        places.insert(1, Path::new("b"));
        assert_eq!(places.take(1, ReadFlags::CREATE, b"x").events.len(), 1);
    }
}
