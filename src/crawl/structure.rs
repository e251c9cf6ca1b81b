//! Brings the directories above the hours into line: which channels, qualities and hours there are.
//!
//! Each of these directories is remembered with its stamp, so that a quiet archive costs one `stat` for each and no reading.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::PoisonError;
use std::time::{Instant, SystemTime};

use super::{CrawlError, Keeper};
use crate::disk::{Base, SETTLE};
use crate::domain::{Hour, Stamp, Stream};
use crate::index::{Batch, DirUpdate, HourUpdate, StampUpdate};

/// Hours that are committed together.
const BATCH: usize = 20_000;

/// What a pass over the structure found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StructureReport {
    /// Hour directories that are new.
    pub hours_appeared: u64,
    /// Hour directories that are gone.
    pub hours_gone: u64,
    /// Directories that had to be read.
    pub read: u64,
}

struct Pass<'k> {
    keeper: &'k Keeper,
    base: &'k Base,
    known: BTreeMap<String, Stamp>,
    generation: u64,
    batch: Batch,
    report: StructureReport,
    now: SystemTime,
}

enum Compared {
    Same,
    Changed(Stamp),
    Gone,
}

impl Keeper {
    /// Whether the list of hours is known to be right without a look at the disk. Of a disk that is away nothing is known.
    pub fn structure_is_fresh(&self) -> bool {
        self.freshness.structure_is_fresh(self.index.catalog().generation()) && self.base().is_ok()
    }

    /// Makes the index right about which channels, qualities and hours there are.
    pub fn ensure_structure(&self) -> Result<(), CrawlError> {
        if self.structure_is_fresh() { Ok(()) } else { self.reconcile_structure().map(drop) }
    }

    /// Compares the directories above the hours with the index and brings it into line.
    pub fn reconcile_structure(&self) -> Result<StructureReport, CrawlError> {
        let _one_at_a_time = self.structure.lock().unwrap_or_else(PoisonError::into_inner);
        let started = Instant::now();
        let generation = self.index.catalog().generation();
        let base = self.base()?;
        let known = self.index.directories()?.into_iter().filter_map(|(path, stamp)| Some((path, stamp?))).collect();
        let mut pass = Pass {
            keeper: self,
            base: &base,
            known,
            generation,
            batch: Batch::default(),
            report: StructureReport::default(),
            now: SystemTime::now(),
        };
        for channel in pass.children("")? {
            for quality in pass.children(&channel)? {
                pass.hours(&quality)?;
            }
        }
        pass.drop_orphans()?;
        pass.submit()?;
        let report = pass.report;
        self.freshness.structure_compared(generation, started);
        Ok(report)
    }
}

impl Pass<'_> {
    /// How a directory compares with what is remembered of it.
    fn compare(&self, path: &str) -> Result<Compared, CrawlError> {
        Ok(match self.keeper.disk(self.base.stamp(Path::new(path)))? {
            None => Compared::Gone,
            Some(now) if self.known.get(path) == Some(&now) => Compared::Same,
            Some(now) => Compared::Changed(now),
        })
    }

    /// Remembers a directory that is about to be read.
    fn remember(&mut self, path: &str, stamp: Stamp) {
        self.report.read += 1;
        let settled = is_settled(stamp, self.now);
        self.batch.directories.push((path.to_owned(), Some(if settled { stamp } else { Stamp::UNTRUSTED })));
    }

    fn names(&self, path: &str) -> Result<Vec<String>, CrawlError> {
        let Some(dir) = self.keeper.disk(self.base.dir(Path::new(path)))? else { return Ok(Vec::new()) };
        let names = self.keeper.disk(dir.subdirectories())?;
        Ok(names.into_iter().filter_map(|name| name.into_string().ok()).collect())
    }

    /// The directories right beneath one of the first two levels, as paths.
    fn children(&mut self, path: &str) -> Result<Vec<String>, CrawlError> {
        let child = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
        let stamp = match self.compare(path)? {
            Compared::Same => return Ok(self.known_children(path)),
            Compared::Changed(stamp) => stamp,
            Compared::Gone => {
                self.keeper.confirm_absence()?;
                return Ok(Vec::new());
            }
        };
        self.remember(path, stamp);
        let mut found: Vec<String> = self.names(path)?.iter().map(|name| child(name)).collect();
        found.sort_unstable();
        Ok(found)
    }

    fn known_children(&self, path: &str) -> Vec<String> {
        let depth = usize::from(!path.is_empty());
        let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
        let beneath = self.known.range(prefix.clone()..).take_while(|(known, _)| known.starts_with(&prefix));
        beneath
            .filter(|(known, _)| !known.is_empty() && known.matches('/').count() == depth)
            .map(|(known, _)| known.clone())
            .collect()
    }

    /// The hours of a quality.
    fn hours(&mut self, path: &str) -> Result<(), CrawlError> {
        let Ok(stream) = Stream::parse(path) else { return Ok(()) };
        let stamp = match self.compare(path)? {
            Compared::Same => return Ok(()),
            Compared::Changed(stamp) => stamp,
            Compared::Gone => return self.drop_stream(path, &stream),
        };
        self.remember(path, stamp);
        let mut found: Vec<Hour> = self.names(path)?.iter().filter_map(|name| Hour::parse(name).ok()).collect();
        found.sort_unstable();
        let known = self.keeper.index.catalog().hours(path, ..);
        let gone: Vec<Hour> = known.iter().filter(|hour| found.binary_search(hour).is_err()).copied().collect();
        if !gone.is_empty() {
            self.keeper.confirm_absence()?;
        }
        for hour in gone {
            self.report.hours_gone += 1;
            self.push(HourUpdate::Remove { stream: stream.clone(), hour })?;
        }
        for hour in found.into_iter().filter(|hour| known.binary_search(hour).is_err()) {
            self.report.hours_appeared += 1;
            let unread = StampUpdate::Set(None);
            self.push(HourUpdate::Change { stream: stream.clone(), hour, changes: Vec::new(), stamp: unread })?;
        }
        Ok(())
    }

    /// A quality that is gone takes its hours with it.
    fn drop_stream(&mut self, path: &str, stream: &Stream) -> Result<(), CrawlError> {
        self.keeper.confirm_absence()?;
        for hour in self.keeper.index.catalog().hours(path, ..) {
            self.report.hours_gone += 1;
            self.push(HourUpdate::Remove { stream: stream.clone(), hour })?;
        }
        self.batch.directories.push((path.to_owned(), None));
        Ok(())
    }

    /// Qualities and channels that are known and whose directories are gone.
    fn drop_orphans(&mut self) -> Result<(), CrawlError> {
        let streams = self.keeper.index.catalog().streams().into_iter().map(|stream| stream.to_string());
        let mut paths: Vec<String> =
            self.known.keys().cloned().chain(streams).filter(|path| !path.is_empty()).collect();
        paths.sort_unstable();
        paths.dedup();
        for path in paths {
            if self.keeper.disk(self.base.stamp(Path::new(&path)))?.is_some() {
                continue;
            }
            if let Ok(stream) = Stream::parse(&path) {
                self.drop_stream(&path, &stream)?;
            } else {
                self.keeper.confirm_absence()?;
                self.batch.directories.push((path, None));
            }
        }
        Ok(())
    }

    fn push(&mut self, update: HourUpdate) -> Result<(), CrawlError> {
        self.batch.hours.push(update);
        if self.batch.hours.len() < BATCH {
            return Ok(());
        }
        // The directories' stamps are written last, with everything that was found beneath them.
        let directories: Vec<DirUpdate> = std::mem::take(&mut self.batch.directories);
        self.submit()?;
        self.batch.directories = directories;
        Ok(())
    }

    fn submit(&mut self) -> Result<(), CrawlError> {
        if !self.batch.hours.is_empty() || !self.batch.directories.is_empty() {
            let batch = std::mem::take(&mut self.batch);
            self.keeper.index.apply(Batch { generation: Some(self.generation), ..batch })?;
        }
        Ok(())
    }
}

/// Whether a directory has been quiet for long enough that a later change must show in its stamp.
pub(crate) fn is_settled(stamp: Stamp, now: SystemTime) -> bool {
    let Ok(now) = now.duration_since(SystemTime::UNIX_EPOCH) else { return false };
    let quiet_before = i64::try_from(now.as_nanos())
        .unwrap_or(i64::MAX)
        .saturating_sub(i64::try_from(SETTLE.as_nanos()).unwrap_or(i64::MAX));
    stamp.mtime_ns < quiet_before && stamp.ctime_ns < quiet_before
}
