//! Hides equal content nearby: what a tombstone hides does not come back under a near duplicate's name.
//!
//! Which content that is, is worked out in [`crate::archive::hidden_content`]; here it is looked for in the index, and each twin that is found gets a
//! tombstone of its own beside it. So there is one way for a file to be hidden, the name beside it, and every list, answer, count, digest,
//! playlist and node agrees without knowing of twins; what is written once need not be looked for again. An hour without tombstones
//! nearby costs a row for each quality of its channel.
//!
//! It is looked for when something appears, in both directions, after that is in the index: of two that appear at the same time the later
//! one finds the other. What could not be written then is found by the walk over all tombstones after the next start.
//! What cannot be hidden is counted and reported once, and keeps nothing else from being hidden, nor the node from being ready: retention,
//! which makes room on a full disk, waits for that.

use std::cell::LazyCell;
use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::fmt::Display;

use serde::Deserialize;

use super::{CrawlCounts, CrawlError, Keeper};
use crate::archive::guards::Guard;
use crate::archive::hidden_content::{HiddenContent, NEARBY};
use crate::archive::{
    AnyFile, Channel, FileEnding, Hash, Hour, HourChange, HourPlace, SegmentFile, SegmentKey, SegmentKind, Span,
    Timestamp, name,
};
use crate::disk::{Base, DownloadError, Published, SmallFile, atomic, write_tombstone};
use crate::index::{EqualBy, HourUpdate};

/// By these words a tombstone says that it was made for a twin.
const COPY: &str = "equal content was hidden: ";
/// A tombstone that says so is no longer.
const MOST_COPY: u64 = 4 << 10;

pub type TwinFile = (HourPlace, SegmentFile);

impl Keeper {
    /// The content, kind and start of tombstones around an hour that may hide some of these contents in it. Blocks.
    pub fn graves_near(
        &self,
        place: &HourPlace,
        contents: &HashSet<Hash>,
    ) -> Result<Vec<(Hash, SegmentKind, Timestamp)>, CrawlError> {
        if contents.is_empty() || !self.guards().stands(Guard::ContentTwin) {
            return Ok(Vec::new());
        }
        let window = (place.hour.start(), place.hour.start() + Span::from_us(crate::archive::time::HOUR_US));
        let tombstones = self.tombstones_of(&place.stream.channel, window, |hash| contents.contains(hash))?;
        self.originals(&tombstones)
    }

    /// What these tombstones of an hour would hide apart from what has their name: each with the stem of its tombstone. Blocks.
    pub fn twins_of(
        &self,
        place: &HourPlace,
        tombstones: &[SegmentFile],
    ) -> Result<Vec<(TwinFile, String)>, CrawlError> {
        let starts = tombstones.iter().map(|file| file.key.start(place.hour));
        let (Some(first), Some(last)) = (starts.clone().min(), starts.max()) else { return Ok(Vec::new()) };
        if !self.guards().stands(Guard::ContentTwin) {
            return Ok(Vec::new());
        }
        let contents: HashSet<Hash> = tombstones.iter().map(|file| file.key.hash).collect();
        let channel = &place.stream.channel;
        let files =
            self.index.alike(channel, reach(first, last), EqualBy::Files, |key| contents.contains(&key.hash))?;
        let known = self.tombstones_of(channel, (first, last), |hash| contents.contains(hash))?;
        let hidden: HashSet<(HourPlace, String)> = known.iter().map(placed_stem).collect();
        let mut found = Vec::new();
        for tombstone in tombstones {
            let (key, start) = (&tombstone.key, tombstone.key.start(place.hour));
            let (graves, stem) = (HiddenContent::new([(key.hash, key.kind, start)]), stem_of(tombstone));
            for file in files.iter().filter(|(at, file)| graves.hide(&file.key, file.key.start(at.hour))) {
                let at = placed_stem(file);
                if !hidden.contains(&at) && (at.0 != *place || at.1 != stem) {
                    found.push((file.clone(), stem.clone()));
                }
            }
        }
        Ok(found)
    }

    /// Hides the twins of what has just appeared, or what has just appeared as a twin. Failures to write are reported.
    pub(super) fn hide_twins(&self, updates: &[HourUpdate]) {
        if !self.guards().stands(Guard::ContentTwin) {
            return;
        }
        let mut by_channel: BTreeMap<&Channel, Vec<(HourPlace, SegmentFile)>> = BTreeMap::new();
        for update in updates {
            let HourUpdate::Change { stream, hour, changes, .. } = update else { continue };
            let place = HourPlace { stream: stream.clone(), hour: *hour };
            let new = changes.iter().filter_map(|change| match change {
                HourChange::Put(AnyFile::Segment(file)) => Some((place.clone(), file.clone())),
                _ => None,
            });
            by_channel.entry(&stream.channel).or_default().extend(new);
        }
        for (channel, new) in by_channel {
            let mut unhidden = Unhidden::default();
            let looked = self.hide_in(channel, &new, &mut unhidden);
            unhidden.log();
            if let Err(error) = looked {
                tracing::warn!(name: "twins_not_hidden", channel = %channel, %error, "equal content of what was hidden may still be listed; it is looked for again after the next start");
            }
        }
    }

    /// Looks for the twins of all tombstones that there are. What cannot be hidden is counted as an error.
    pub(super) fn hide_all_twins(&self) -> Result<CrawlCounts, CrawlError> {
        let mut unhidden = Unhidden::default();
        let walked = self.walk_tombstones(&mut unhidden);
        unhidden.log();
        walked.map(|()| unhidden.found())
    }

    fn walk_tombstones(&self, unhidden: &mut Unhidden) -> Result<(), CrawlError> {
        for stream in self.index.catalog().streams() {
            let path = stream.to_string();
            for hour in self.index.catalog().hours(&path, ..) {
                let row = self.index.hour_row(&path, hour)?;
                if row.is_none_or(|row| row.totals.tombstones == 0) {
                    continue;
                }
                let Some(view) = self.index.hour(&path, hour)? else { continue };
                let place = HourPlace { stream: stream.clone(), hour };
                let tombstones = view.contents.files().iter().filter(|file| file.key.tombstone);
                let placed: Vec<TwinFile> = tombstones.map(|file| (place.clone(), file.clone())).collect();
                self.hide_in(&stream.channel, &placed, unhidden)?;
            }
        }
        Ok(())
    }

    /// The same for what is new in a channel. A run of files that is spread widely is looked at piece by piece. An error is one that
    /// others would meet as well.
    fn hide_in(&self, channel: &Channel, new: &[TwinFile], unhidden: &mut Unhidden) -> Result<(), CrawlError> {
        let mut by_hour: BTreeMap<Hour, Vec<&TwinFile>> = BTreeMap::new();
        for file in new {
            by_hour.entry(file.0.hour).or_default().push(file);
        }
        for of_hour in by_hour.values() {
            self.hide_around(channel, of_hour, unhidden)?;
        }
        Ok(())
    }

    fn hide_around(&self, channel: &Channel, new: &[&TwinFile], unhidden: &mut Unhidden) -> Result<(), CrawlError> {
        let starts = new.iter().map(|(place, file)| file.key.start(place.hour));
        let (Some(first), Some(last)) = (starts.clone().min(), starts.max()) else { return Ok(()) };
        // Of most hours nothing is looked at but that no tombstones are near.
        let contents = LazyCell::new(|| new.iter().map(|(_, file)| file.key.hash).collect::<HashSet<Hash>>());
        let tombstones = self.tombstones_of(channel, (first, last), |hash| contents.contains(hash))?;
        if tombstones.is_empty() {
            return Ok(());
        }
        let graves = HiddenContent::new(self.originals(&tombstones)?);
        let hidden: HashSet<(HourPlace, String)> = tombstones.iter().map(placed_stem).collect();
        let buried: HashSet<Hash> =
            new.iter().filter(|(_, file)| file.key.tombstone).map(|(_, file)| file.key.hash).collect();
        let nearby = if buried.is_empty() {
            Vec::new()
        } else {
            self.index.alike(channel, reach(first, last), EqualBy::Files, |key| buried.contains(&key.hash))?
        };
        let files = new.iter().filter(|(_, file)| !file.key.tombstone).map(|file| (*file).clone()).chain(nearby);
        let mut twins: BTreeMap<HourPlace, BTreeMap<String, SegmentKey>> = BTreeMap::new();
        for placed in files.filter(|(place, file)| graves.hide(&file.key, file.key.start(place.hour))) {
            let (place, stem) = placed_stem(&placed);
            if !hidden.contains(&(place.clone(), stem.clone())) {
                twins.entry(place).or_default().insert(stem, placed.1.key);
            }
        }
        if twins.is_empty() {
            return Ok(());
        }
        let base = self.base()?;
        let mut outcome = Ok(());
        for (place, stems) in twins {
            let done = match self.hide_here(&base, &place, &stems, unhidden) {
                Err(CrawlError::Disk(error)) => {
                    unhidden.add(&place, &error);
                    Ok(())
                }
                done => done,
            };
            outcome = outcome.and(done);
        }
        outcome
    }

    /// What was written is flushed and added to the index, even if the next could not be written.
    fn hide_here(
        &self,
        base: &Base,
        place: &HourPlace,
        stems: &BTreeMap<String, SegmentKey>,
        unhidden: &mut Unhidden,
    ) -> Result<(), CrawlError> {
        let dir = match self.disk(base.dir(&place.path()))? {
            Some(dir) => dir,
            // It lies in the bucket alone.
            None if self.disk(base.stamp_in_bucket(&place.path()))?.is_some() => {
                self.disk(base.make_hour_dir(place))?
            }
            None => return Ok(()),
        };
        let (mut names, mut away) = (Vec::new(), Ok(()));
        for (stem, key) in stems {
            let tombstone = format!("{stem}{}", FileEnding::Tombstone.suffix());
            match write_tombstone(&dir, &tombstone, &note(key, std::time::SystemTime::now())) {
                Ok(Published::New | Published::AlreadyThere) => names.push(tombstone),
                Err(DownloadError::Disk(error)) => match self.disk::<()>(Err(error)) {
                    Ok(()) => {}
                    Err(CrawlError::Disk(error)) => unhidden.add(&format!("{place}/{stem}"), &error),
                    Err(error) => {
                        away = Err(error);
                        break;
                    }
                },
                Err(error) => unhidden.add(&format!("{place}/{stem}"), &error),
            }
        }
        if names.is_empty() {
            return away;
        }
        let flushed = self.disk(atomic::sync_dir(&dir));
        tracing::info!(name: "twins_hidden", hour = %place, files = names.len(), "equal content of what a tombstone hides was hidden as well");
        let known = match self.touch_alone(place, names.iter().map(|name| OsStr::new(name.as_str()))) {
            // Until the index takes writes again the hour is read from the disk.
            Err(CrawlError::Index(error)) => {
                tracing::debug!(name: "index_not_told_of_twins", hour = %place, %error, "the index learns of hidden twins when it takes writes again");
                self.freshness.unwatch(place);
                self.hand_over(vec![place.clone()]);
                Ok(())
            }
            known => known.map(drop),
        };
        away.and(flushed).and(known)
    }

    /// Tombstones of some contents that could reach into a window.
    fn tombstones_of(
        &self,
        channel: &Channel,
        (first, last): (Timestamp, Timestamp),
        is_hidden_content: impl Fn(&Hash) -> bool,
    ) -> Result<Vec<TwinFile>, CrawlError> {
        // One beyond another's reach shows whether that one may be a copy.
        let (from, to) = reach(first, last);
        let (from, to) = reach(from, to);
        Ok(self.index.alike(channel, (from, to), EqualBy::Tombstones, |key| is_hidden_content(&key.hash))?)
    }

    fn originals(&self, tombstones: &[TwinFile]) -> Result<Vec<(Hash, SegmentKind, Timestamp)>, CrawlError> {
        let mut originals = Vec::with_capacity(tombstones.len());
        for (place, file) in tombstones {
            if file.size == 0 || !self.is_copy(place, file)? {
                originals.push((file.key.hash, file.key.kind, file.key.start(place.hour)));
            }
        }
        Ok(originals)
    }

    fn is_copy(&self, place: &HourPlace, tombstone: &SegmentFile) -> Result<bool, CrawlError> {
        match self.content_of(place, tombstone) {
            Ok(content) => Ok(content.is_some_and(|content| says_copy(&content, &tombstone.key.hash))),
            // Of an unknown origin, as those of others are.
            Err(CrawlError::Disk(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn content_of(&self, place: &HourPlace, tombstone: &SegmentFile) -> Result<Option<Vec<u8>>, CrawlError> {
        let base = self.base()?;
        let Some(dir) = self.disk(base.dir(&place.path()))? else { return Ok(None) };
        let content = self.disk(dir.read_small(OsStr::new(&tombstone.name()), MOST_COPY))?;
        Ok(if let SmallFile::Content(content) = content { Some(content) } else { None })
    }
}

/// What could not be hidden, each once however often it is met, and what was wrong with the first.
#[derive(Debug, Default)]
struct Unhidden {
    paths: HashSet<String>,
    first: Option<String>,
}

impl Unhidden {
    fn add(&mut self, what: &impl Display, error: &impl Display) {
        self.first.get_or_insert_with(|| format!("{what}: {error}"));
        self.paths.insert(what.to_string());
    }

    fn log(&self) {
        if let Some(error) = &self.first {
            tracing::warn!(name: "twin_not_hidden", count = self.paths.len(), %error, "equal content of what was hidden cannot be hidden; it is tried again after the next start");
        }
    }

    fn found(self) -> CrawlCounts {
        let mut found = CrawlCounts::of(CrawlCounts::ERRORS, self.paths.len() as u64);
        found.last_error = self.first;
        found
    }
}

/// Whether the note of a tombstone, however it is spaced, says that it was made for a twin.
fn says_copy(content: &[u8], hash: &Hash) -> bool {
    #[derive(Deserialize)]
    struct Note {
        reason: String,
    }
    serde_json::from_slice::<Note>(content).is_ok_and(|note| note.reason == format!("{COPY}{hash}"))
}

/// What a tombstone for a twin says; a note like those that people give.
fn note(key: &SegmentKey, at: std::time::SystemTime) -> Vec<u8> {
    let time = Timestamp::from(at);
    let hash = &key.hash;
    format!("{{\"reason\":\"{COPY}{hash}\",\"at\":\"{time}\",\"node\":\"\"}}\n").into_bytes()
}

fn reach(first: Timestamp, last: Timestamp) -> (Timestamp, Timestamp) {
    (first - NEARBY, last + NEARBY)
}

fn stem_of(file: &SegmentFile) -> String {
    name::stem(&file.name()).to_owned()
}

fn placed_stem((place, file): &TwinFile) -> (HourPlace, String) {
    (place.clone(), stem_of(file))
}
