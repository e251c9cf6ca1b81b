//! Deletes the bytes of what tombstones hide here.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;

use super::{IndexTrust, PageEnd, TombstoneBounds, TombstoneScope, TombstoneTarget, hidden_files, walk};
use crate::archive::HourPlace;
use crate::disk::{DiskError, Removed, atomic, marker};
use crate::lifecycle::deleted::DeletionCounter;
use crate::sync::crawl::{CrawlError, Keeper};
use crate::wire::{LeftFile, PurgeReport, PurgedHour};

/// Files that are deleted while the hour is locked: longer waits would be felt by whoever writes there.
const TOGETHER: usize = 256;
/// What is said one by one about files that stay.
const MOST_LEFT: usize = 1_000;

/// Says which of some hidden files of an hour must stay, because no other node has them. May block.
pub type Stay = dyn Fn(&HourPlace, &[String]) -> BTreeSet<String> + Send + Sync;

pub type MakeStay = dyn Fn() -> Box<Stay> + Send + Sync;

pub struct Purge<'a> {
    pub keeper: &'a Keeper,
    /// Where deletions are counted.
    pub deleted: &'a DeletionCounter,
    /// What must stay; nothing, where not given.
    pub stay: Option<&'a Stay>,
    /// Only say what would go.
    pub dry_run: bool,
}

pub type Purged = Result<PurgeReport, CrawlError>;

impl Purge<'_> {
    /// What is hidden in a part of the archive, as much of it as one request does. Blocks.
    pub fn scope(
        &self,
        scope: &TombstoneScope,
        after: Option<&PageEnd>,
        bounds: TombstoneBounds,
        index: IndexTrust,
    ) -> Purged {
        self.may_delete()?;
        let mut report = self.begin();
        report.next = walk(self.keeper, scope, after, bounds.hours, index, |place| {
            let contents = self.keeper.answer(place)?.contents;
            let mut files: Vec<(String, u64)> = hidden_files(&contents).map(|file| (file.name(), file.size)).collect();
            files.sort_unstable();
            files.retain(|(name, _)| after.is_none_or(|after| after.is_before(place, name)));
            let done = usize::try_from(report.files).unwrap_or(usize::MAX);
            let room = bounds.files.saturating_sub(done);
            let goes_on = files.len() > room;
            files.truncate(room);
            self.hour(place, &files, &mut report)?;
            let last = files.last().map_or("", |(name, _)| name.as_str());
            Ok(goes_on.then(|| format!("{place}/{last}")))
        })?;
        Ok(report)
    }

    /// What these paths name. Blocks.
    pub fn paths(&self, paths: &[String]) -> Purged {
        self.may_delete()?;
        let mut report = self.begin();
        let mut by_hour: BTreeMap<HourPlace, Vec<(&String, TombstoneTarget)>> = BTreeMap::new();
        for path in paths {
            match TombstoneTarget::read(path) {
                Ok(target) => by_hour.entry(target.place.clone()).or_default().push((path, target)),
                Err(why) => report.left.push(LeftFile { path: path.clone(), why: why.to_string() }),
            }
        }
        for (place, targets) in by_hour {
            let contents = self.keeper.answer(&place)?.contents;
            let hidden: Vec<(String, u64)> = hidden_files(&contents).map(|file| (file.name(), file.size)).collect();
            let mut files = BTreeSet::new();
            for (path, target) in targets {
                let before = files.len();
                files.extend(hidden.iter().filter(|(name, _)| target.means(name)).cloned());
                if files.len() == before && !files.iter().any(|(name, _)| target.means(name)) {
                    let why = "no file that a tombstone hides has that name here".to_owned();
                    report.left.push(LeftFile { path: path.clone(), why });
                }
            }
            self.hour(&place, &files.into_iter().collect::<Vec<_>>(), &mut report)?;
        }
        Ok(report)
    }

    /// Nothing is deleted while something that protects the archive cannot be relied on.
    fn may_delete(&self) -> Result<(), CrawlError> {
        let unusable = self.keeper.unusable_records();
        let Some(first) = unusable.into_iter().next().filter(|_| !self.dry_run) else { return Ok(()) };
        let own = self.keeper.guard().base().map_err(CrawlError::Away)?.path().join(marker::OWN_DIR);
        Err(DiskError::Record { path: own.join(&first.name), why: first.why }.into())
    }

    fn begin(&self) -> PurgeReport {
        PurgeReport { dry_run: self.dry_run, ..PurgeReport::default() }
    }

    /// Some hidden files of an hour. An error is one that other hours would meet as well.
    fn hour(&self, place: &HourPlace, files: &[(String, u64)], report: &mut PurgeReport) -> Result<(), CrawlError> {
        let mut names: Vec<String> = files.iter().map(|(name, _)| name.clone()).collect();
        if let Some(stay) = self.stay.filter(|_| !names.is_empty()) {
            let staying = stay(place, &names);
            names.retain(|name| !staying.contains(name));
            report.kept += (files.len() - names.len()) as u64;
        }
        let mut gone = Gone::default();
        let outcome = if self.dry_run {
            let going: BTreeSet<&String> = names.iter().collect();
            files.iter().filter(|(name, _)| going.contains(name)).for_each(|(_, bytes)| gone.add(*bytes));
            Ok(())
        } else {
            names.chunks(TOGETHER).try_for_each(|chunk| self.delete(place, chunk, &mut gone, report))
        };
        if gone.files > 0 {
            report.files += gone.files;
            report.bytes += gone.bytes;
            report.hours.push(PurgedHour { hour: place.clone(), files: gone.files, bytes: gone.bytes });
        }
        outcome
    }

    fn delete(
        &self,
        place: &HourPlace,
        names: &[String],
        gone: &mut Gone,
        report: &mut PurgeReport,
    ) -> Result<(), CrawlError> {
        let mut left = Vec::new();
        let before = gone.files;
        let changed = self.keeper.change(place, names.iter().map(OsStr::new), |dir| {
            // Or a power cut might take a tombstone that somebody wrote a moment ago, and others would bring back the segment.
            atomic::sync_dir(dir)?;
            for name in names {
                match dir.remove_tombstoned(name) {
                    Ok(Removed::Gone(bytes)) => gone.add(bytes),
                    Ok(Removed::Absent) => {}
                    Ok(Removed::Visible) => left.push((name, "its tombstone is gone".to_owned())),
                    Err(error) => left.push((name, error.to_string())),
                }
            }
            atomic::sync_dir(dir)
        });
        let deleted = gone.files - before;
        if deleted > 0 {
            self.deleted.add(place, deleted);
            tracing::info!(name: "purged", hour = %place, files = deleted, "bytes that tombstones hide were deleted");
        }
        for (name, why) in left {
            if report.left.len() < MOST_LEFT {
                report.left.push(LeftFile { path: format!("{place}/{name}"), why });
            }
        }
        match changed {
            Err(CrawlError::Disk(error)) => {
                report.left.push(LeftFile { path: place.to_string(), why: error.to_string() });
                Ok(())
            }
            other => other.map(drop),
        }
    }
}

#[derive(Default)]
struct Gone {
    files: u64,
    bytes: u64,
}

impl Gone {
    fn add(&mut self, bytes: u64) {
        self.files += 1;
        self.bytes += bytes;
    }
}
