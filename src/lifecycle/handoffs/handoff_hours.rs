//! Which hours lie here and belong to others, by the index; and what lies of those that a pass is about, by the disk.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::error::HandoffError;
use super::held_hours::HourHold;
use super::lying_names::LyingFiles;
use super::machine::Handoffs;
use crate::archive::placement::handoffs::{ArchiveTerms, FileNames, LyingHour, QUIET};
use crate::archive::{Hour, HourPlace, HourTotals, Stamp, Stream, Timestamp};
use crate::replicate::placement::Ownership;
use crate::sync::crawl::CrawlError;

/// An hour that lies here and that the layout gives to others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HandoffHour {
    pub(super) place: HourPlace,
    pub(super) bytes: u64,
}

/// What was seen of the directories of handoffs: one that differs has changed since.
#[derive(Debug, Default)]
pub(super) struct SeenDirs(BTreeMap<HourPlace, Stamp>);

/// An hour that a pass may be about.
#[derive(Debug)]
pub(super) struct LookedAt {
    pub(super) lying: LyingHour<ArchiveTerms>,
    /// By what its directory is known.
    pub(super) directory: String,
    /// Whether something has come into it a moment ago, or may have.
    pub(super) has_changed: bool,
}

impl SeenDirs {
    /// Whether a directory has changed since it was looked at. Of one that was not, its own time says so.
    fn has_changed(&mut self, place: &HourPlace, stamp: Stamp) -> bool {
        if let Some(before) = self.0.insert(place.clone(), stamp) {
            return before != stamp;
        }
        let changed = Timestamp::from_us(stamp.mtime_ns / 1_000);
        let now = Timestamp::from(SystemTime::now());
        // One from the future says nothing.
        changed > now || now - changed < QUIET
    }

    /// Forgets those that are no handoffs any more.
    pub(super) fn keep(&mut self, hours: &[HandoffHour]) {
        let is_one = |place: &HourPlace| hours.binary_search_by(|hour| hour.place.cmp(place)).is_ok();
        self.0.retain(|place, _| is_one(place));
    }
}

impl Handoffs {
    /// All of them that hold anything but tombstones, in order. Those for which this node stands in are none.
    pub(super) fn handoff_hours(&self) -> Result<Vec<HandoffHour>, HandoffError> {
        let (keeper, layout) = (&self.parts.keeper, self.parts.layouts.current());
        let mut found = Vec::new();
        for stream in keeper.index().catalog().streams() {
            let rows = keeper.index().hour_rows(&stream.to_string(), Hour::MIN, Hour::MAX);
            for (hour, row) in rows.map_err(CrawlError::Index)? {
                let place = HourPlace { stream: stream.clone(), hour };
                if layout.ownership(&place) != Ownership::NotOwner {
                    continue;
                }
                // What lies in a bucket alone is not here.
                let Some(totals) = keeper.totals_here(&place, row.totals)? else { continue };
                if files_of(&totals) > 0 {
                    found.push(HandoffHour { bytes: totals.bytes(), place });
                }
            }
        }
        let stands_in = |place: &HourPlace| self.ask(|node, now| node.keeps(now, place)).unwrap_or_default();
        found.retain(|hour| !stands_in(&hour.place));
        found.sort_unstable_by(|one, other| one.place.cmp(&other.place));
        Ok(found)
    }

    /// What lies of an hour; nothing where there is nothing to give away.
    pub(super) fn look(&self, seen: &mut SeenDirs, place: &HourPlace) -> Result<Option<LookedAt>, HandoffError> {
        let base = self.parts.keeper.guard().base()?;
        let Some(files) = LyingFiles::read(&base, place)?.filter(LyingFiles::holds_files) else { return Ok(None) };
        if let Some(name) = files.unproven() {
            return Err(HandoffError::Unproven(place.clone(), name.to_owned()));
        }
        let has_changed = seen.has_changed(place, files.stamp);
        let names = FileNames::of(files.sized.iter().map(String::as_str));
        let directory = files.directory;
        Ok(Some(LookedAt { lying: LyingHour { hour: place.clone(), names }, directory, has_changed }))
    }

    /// Hours of these stretches stay until what this returns is dropped.
    pub fn hold(&self, stream: &Stream, stretches: &[(Option<Timestamp>, Option<Timestamp>)]) -> HourHold {
        HourHold::of(&self.held, stream, stretches)
    }

    /// Whether files of an hour are hidden here, by the index.
    pub(super) fn hides(&self, place: &HourPlace) -> bool {
        let row = self.parts.keeper.index().hour_row(&place.stream.to_string(), place.hour);
        row.ok().flatten().is_some_and(|row| row.totals.hidden.files > 0)
    }

    /// Why an hour has to stay whatever its owners say, if it has to.
    pub(super) fn why_held(&self, place: &HourPlace) -> Option<String> {
        let damaged = self.parts.quarantine.of_hour(place);
        if !damaged.is_empty() {
            return Some("damaged files of it are in the quarantine".to_owned());
        }
        if self.held.lock().holds(place) {
            return Some("a cut of it is being sent".to_owned());
        }
        self.parts.keeper.doubt_of(place).map(|doubt| doubt.to_string())
    }
}

fn files_of(totals: &HourTotals) -> u64 {
    let others = [&totals.chat, &totals.bad, &totals.other, &totals.hidden];
    totals.video.iter().chain(others).map(|tally| u64::from(tally.files)).sum()
}
