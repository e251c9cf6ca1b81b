//! Hides segments for ever, lists what is hidden, and deletes the bytes of what is hidden here.
//!
//! The same for the command line without a daemon and for the daemon's API; neither decides anything of its own.
//!
//! 1. Paths are checked by the grammar before they touch the disk.
//! 2. A tombstone is flushed, its directory is flushed, the index is updated; then it is reported.
//! 3. Only what a tombstone in the same directory hides is ever deleted, never a tombstone; that is looked at again on the disk right
//!    before, with nobody else working on that hour.
//! 4. Everything may be repeated: what is done already changes nothing.
//!
//! Nothing here knows other nodes: what must stay because none of them has it is given from outside ([`Stay`]).

mod add;
mod purge;
mod target;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ffi::OsStr;

use crate::archive::{BadName, Channel, Hour, HourContents, HourPlace, Quality, SegmentFile, Stream, name};
use crate::disk::{Base, Dir, DiskError, SmallFile};
use crate::sync::crawl::{CrawlError, Keeper};
use crate::wire::{MOST_NOTE, TombstoneNote, TombstonePage, TombstoneRecord};

pub use add::{add, contents, equal, in_range};
pub use purge::{MakeStay, Purge, Stay};
pub use target::{MOST_PATHS, TombstoneRange, TombstoneTarget};

/// A part of the archive, from a channel down to an hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopePart {
    channel: Channel,
    quality: Option<Quality>,
    hour: Option<Hour>,
}

impl ScopePart {
    /// Reads `CHANNEL`, `CHANNEL/QUALITY` or `CHANNEL/QUALITY/HOUR`.
    pub fn parse(text: &str) -> Result<Self, BadName> {
        let parts: Vec<&str> = text.splitn(3, '/').collect();
        Self::new(parts.first().copied().unwrap_or_default(), parts.get(1).copied(), parts.get(2).copied())
    }

    pub fn new(channel: &str, quality: Option<&str>, hour: Option<&str>) -> Result<Self, BadName> {
        Ok(Self {
            channel: Channel::new(channel)?,
            quality: quality.map(Quality::new).transpose()?,
            hour: hour.map(Hour::parse).transpose()?,
        })
    }

    fn may_hold(&self, stream: &Stream) -> bool {
        self.channel == stream.channel && self.quality.as_ref().is_none_or(|quality| *quality == stream.quality)
    }
}

/// What is asked about: the whole archive, or parts of it.
#[derive(Debug, Clone, Default)]
pub struct TombstoneScope(Option<Vec<ScopePart>>);

impl TombstoneScope {
    pub fn everything() -> Self {
        Self(None)
    }

    pub fn within(places: Vec<ScopePart>) -> Self {
        Self(Some(places))
    }

    fn places(&self, stream: &Stream) -> Option<Vec<&ScopePart>> {
        match &self.0 {
            None => Some(Vec::new()),
            Some(places) => {
                let here: Vec<&ScopePart> = places.iter().filter(|place| place.may_hold(stream)).collect();
                (!here.is_empty()).then_some(here)
            }
        }
    }
}

/// Where a page ended: the next one begins behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageEnd {
    place: HourPlace,
    name: Box<str>,
}

impl PageEnd {
    /// Reads what was given as `next`.
    pub fn read(text: &str) -> Option<Self> {
        let (place, name) = text.rsplit_once('/')?;
        Some(Self { place: HourPlace::parse(place).ok()?, name: name.into() })
    }

    fn is_before(&self, place: &HourPlace, name: &str) -> bool {
        self.place != *place || *self.name < *name
    }
}

#[derive(Debug, Clone, Copy)]
pub struct TombstoneBounds {
    pub files: usize,
    pub hours: usize,
}

/// Whether the index is known to be right about every hour, so that those without tombstones need not be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexTrust {
    CaughtUp,
    Behind,
}

/// What is hidden here, a page of it. Blocks.
pub fn list(
    keeper: &Keeper,
    scope: &TombstoneScope,
    after: Option<&PageEnd>,
    bounds: TombstoneBounds,
    index: IndexTrust,
) -> Result<TombstonePage, CrawlError> {
    let mut page = TombstonePage::default();
    page.next = walk(keeper, scope, after, bounds.hours, index, |place| {
        let contents = keeper.answer(place)?.contents;
        let hidden: BTreeMap<String, &SegmentFile> =
            hidden_files(&contents).map(|file| (name::stem(&file.name()).to_owned(), file)).collect();
        let mut names: Vec<String> =
            contents.files().iter().filter(|file| file.key.tombstone).map(SegmentFile::name).collect();
        names.sort_unstable();
        names.retain(|name| after.is_none_or(|after| after.is_before(place, name)));
        let room = bounds.files.saturating_sub(page.tombstones.len());
        let goes_on = names.get(room).is_some();
        let dir = if names.is_empty() { None } else { keeper.guard().base()?.dir(&place.path())? };
        page.tombstones.extend(names.iter().take(room).map(|tombstone| {
            let file = hidden.get(name::stem(tombstone));
            TombstoneRecord {
                path: format!("{place}/{tombstone}"),
                hides: file.map(|file| file.name()),
                bytes: file.map_or(0, |file| file.size),
                note: dir.as_ref().and_then(|dir| note_in(dir, tombstone).ok().flatten()),
            }
        }));
        let last = room.checked_sub(1).and_then(|last| names.get(last));
        Ok(goes_on.then(|| format!("{place}/{}", last.map_or("", |name| name.as_str()))))
    })?;
    Ok(page)
}

/// What a tombstone says for itself, if it says something.
fn note_in(dir: &Dir, tombstone: &str) -> Result<Option<TombstoneNote>, DiskError> {
    Ok(match dir.read_small(OsStr::new(tombstone), MOST_NOTE)? {
        SmallFile::Content(content) => TombstoneNote::from_bytes(&content),
        SmallFile::Absent | SmallFile::Larger => None,
    })
}

/// What the tombstone of a file, or this tombstone, says for itself. Blocks.
pub fn note_of(base: &Base, place: &HourPlace, file: &str) -> Result<Option<TombstoneNote>, DiskError> {
    let Some(dir) = base.dir(&place.path())? else { return Ok(None) };
    note_in(&dir, &name::tombstone_of(file))
}

/// The files of an hour that its tombstones hide and that still lie there.
fn hidden_files(contents: &HourContents) -> impl Iterator<Item = &SegmentFile> {
    let hidden = contents.hidden();
    contents.files().iter().filter(move |file| !file.key.tombstone && hidden.hides(file))
}

/// Goes through the hours in which there may be tombstones. `visit` says where it stopped, if it did; says where the next page
/// begins, if there is one.
fn walk(
    keeper: &Keeper,
    scope: &TombstoneScope,
    after: Option<&PageEnd>,
    most_hours: usize,
    index: IndexTrust,
    mut visit: impl FnMut(&HourPlace) -> Result<Option<String>, CrawlError>,
) -> Result<Option<String>, CrawlError> {
    keeper.ensure_structure()?;
    let from = after.map(|after| (after.place.stream.to_string(), after.place.hour));
    let mut looked_at = 0;
    for stream in keeper.index().catalog().streams() {
        let Some(places) = scope.places(&stream) else { continue };
        let path = stream.to_string();
        let first = match &from {
            Some((began, _)) if path < *began => continue,
            Some((began, hour)) if path == *began => *hour,
            _ => Hour::MIN,
        };
        for (hour, row) in keeper.index().hour_rows(&path, first, Hour::MAX)? {
            let is_named = places.iter().any(|place| place.hour == Some(hour));
            if !places.is_empty() && !is_named && places.iter().all(|place| place.hour.is_some()) {
                continue;
            }
            if index == IndexTrust::CaughtUp && !is_named && row.totals.tombstones == 0 {
                continue;
            }
            let place = HourPlace { stream: stream.clone(), hour };
            if looked_at == most_hours {
                return Ok(Some(format!("{place}/")));
            }
            looked_at += 1;
            if let Some(stopped) = visit(&place)? {
                return Ok(Some(stopped));
            }
        }
    }
    Ok(None)
}
