//! Brings the directories above the hours into line: which channels, qualities and hours there are, here or in a bucket.
//!
//! 1. Each of these directories is remembered with its stamp, so that a quiet archive costs one `stat` for each and no reading.
//! 2. An hour that a directory does not name any more leaves the index as any hour does: under its lock, after a look at its own path.
//! 3. Hours that are new are handed to the crawl, which reads them.
//! 4. How much is missing of a channel is known before anything of it leaves; where it looks like an accident nothing does.
//! 5. What cannot be read stays as it is known; nobody learns from here that it is right.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Instant, SystemTime};

use super::hour_files::is_settled;
use super::{CrawlError, Keeper};
use crate::archive::{Hour, HourPlace, Stamp, Stream};
use crate::disk::{Base, DiskError};
use crate::index::{Batch, DirUpdate, HourUpdate, StampUpdate};

/// Hours that are committed together.
const BATCH: usize = 20_000;
/// Hours that are looked at together before they leave.
const GONE_TOGETHER: usize = 512;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StructureReport {
    pub hours_appeared: u64,
    pub hours_gone: u64,
    pub read: u64,
    pub unreadable: u64,
    pub last_error: Option<String>,
}

struct Pass<'k> {
    keeper: &'k Keeper,
    base: &'k Base,
    known: BTreeMap<String, Stamp>,
    generation: u64,
    batch: Batch,
    appeared: Vec<HourPlace>,
    gone: Vec<HourPlace>,
    report: StructureReport,
    now: SystemTime,
}

enum Compared {
    Same,
    Changed(Stamp, Vec<String>),
    Gone,
    Unreadable,
}

impl Keeper {
    /// Whether the list of hours is known to be right without a look at the disk. Of a disk that is away nothing is known.
    pub fn structure_is_fresh(&self) -> bool {
        if let Some(whole) = &self.whole {
            return self.is_structure_merged(whole);
        }
        self.freshness.structure_is_fresh(self.index.catalog().generation()) && self.base().is_ok()
    }

    /// Whether, beyond that, every directory above the hours can be read, so that the earlier answer can be given again.
    pub fn structure_is_sure(&self) -> bool {
        self.structure_is_fresh() && !self.local().freshness.structure_has_unreadable()
    }

    /// Makes the index right about which channels, qualities and hours there are.
    pub fn ensure_structure(&self) -> Result<(), CrawlError> {
        if self.structure_is_fresh() {
            return Ok(());
        }
        match &self.whole {
            Some(whole) => whole.local.ensure_structure().and_then(|()| self.follow_sources()),
            None => self.reconcile_structure().map(drop),
        }
    }

    /// Compares the directories above the hours with the index and brings it into line.
    pub fn reconcile_structure(&self) -> Result<StructureReport, CrawlError> {
        let _one_at_a_time = self.structure.lock();
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
            appeared: Vec::new(),
            gone: Vec::new(),
            report: StructureReport::default(),
            now: SystemTime::now(),
        };
        for channel in pass.children("")? {
            for quality in pass.children(&channel)? {
                pass.hours(&quality)?;
            }
        }
        pass.drop_orphans()?;
        pass.weigh()?;
        for gone in pass.gone.chunks(GONE_TOGETHER) {
            self.reconcile(gone, false)?;
        }
        pass.submit()?;
        self.hand_over(pass.appeared);
        self.freshness.structure_compared(generation, started);
        self.freshness.structure_unreadable(generation, pass.report.unreadable > 0);
        Ok(pass.report)
    }

    /// An error if the base, a channel or a quality is there and cannot be read: what is known of it may not be right.
    pub fn confirm_readable(&self, path: &str) -> Result<(), CrawlError> {
        self.disk(self.base()?.dir(Path::new(path))).map(drop)
    }

    /// The names beneath the base, a channel or a quality that are channels, qualities or hours, from the disk.
    pub fn list_from_disk(&self, path: &str) -> Result<Vec<String>, CrawlError> {
        if let Some(whole) = &self.whole {
            return self.list_of_whole(whole, path);
        }
        let base = self.base()?;
        let mut names = self.subdirectories(&base, path)?;
        let depth = Path::new(path).components().count();
        let mut unreadable = None;
        names.retain(|name| match depth {
            2 => Hour::parse(name).is_ok(),
            _ => self.holds_hours(&base, &join(path, name), 1 - depth).unwrap_or_else(|error| {
                unreadable = Some(error);
                false
            }),
        });
        if let Some(error @ CrawlError::Away(_)) = unreadable {
            return Err(error);
        }
        if names.is_empty() {
            self.confirm_absence()?;
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Whether there is an hour so many levels beneath a directory.
    fn holds_hours(&self, base: &Base, path: &str, levels: usize) -> Result<bool, CrawlError> {
        for name in self.subdirectories(base, path)? {
            let holds = match levels {
                0 => Hour::parse(&name).is_ok(),
                _ => self.holds_hours(base, &join(path, &name), levels - 1)?,
            };
            if holds {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn subdirectories(&self, base: &Base, path: &str) -> Result<Vec<String>, CrawlError> {
        let names = self.disk(base.subdirectories_of_both(Path::new(path)))?;
        Ok(names.into_iter().filter_map(|name| name.into_string().ok()).collect())
    }
}

impl Pass<'_> {
    /// How a directory compares with what is remembered of it.
    fn compare(&mut self, path: &str) -> Result<Compared, CrawlError> {
        match self.look(path) {
            Err(CrawlError::Disk(error)) => {
                self.unreadable(path, &error);
                Ok(Compared::Unreadable)
            }
            other => other,
        }
    }

    fn look(&mut self, path: &str) -> Result<Compared, CrawlError> {
        let Some(now) = self.keeper.disk(self.base.stamp_of_both(Path::new(path)))? else { return Ok(Compared::Gone) };
        if self.known.get(path) == Some(&now) {
            return Ok(Compared::Same);
        }
        let names = self.keeper.subdirectories(self.base, path)?;
        self.report.read += 1;
        Ok(Compared::Changed(now, names))
    }

    fn unreadable(&mut self, path: &str, error: &DiskError) {
        if !self.known.contains_key(path) {
            // So that it is looked at again, although nothing changes in the directory above.
            self.batch.directories.push((path.to_owned(), Some(Stamp::UNTRUSTED)));
        }
        self.report.unreadable += 1;
        self.report.last_error = Some(error.to_string());
    }

    fn remember(&mut self, path: &str, stamp: Stamp) {
        let settled = is_settled(stamp, self.now);
        self.batch.directories.push((path.to_owned(), Some(if settled { stamp } else { Stamp::UNTRUSTED })));
    }

    /// The directories right beneath one of the first two levels, as paths.
    fn children(&mut self, path: &str) -> Result<Vec<String>, CrawlError> {
        let (stamp, names) = match self.compare(path)? {
            Compared::Same | Compared::Unreadable => return Ok(self.remembered_children(path)),
            Compared::Changed(stamp, names) => (stamp, names),
            Compared::Gone => {
                self.keeper.confirm_absence()?;
                return Ok(Vec::new());
            }
        };
        self.remember(path, stamp);
        let mut found: Vec<String> = names.iter().map(|name| join(path, name)).collect();
        found.sort_unstable();
        Ok(found)
    }

    fn remembered_children(&self, path: &str) -> Vec<String> {
        let depth = usize::from(!path.is_empty());
        let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
        let beneath = self.known.range(prefix.clone()..).take_while(|(known, _)| known.starts_with(&prefix));
        beneath
            .filter(|(known, _)| !known.is_empty() && known.matches('/').count() == depth)
            .map(|(known, _)| known.clone())
            .collect()
    }

    fn hours(&mut self, path: &str) -> Result<(), CrawlError> {
        let Ok(stream) = Stream::parse(path) else { return Ok(()) };
        let (stamp, names) = match self.compare(path)? {
            Compared::Same | Compared::Unreadable => return Ok(()),
            Compared::Changed(stamp, names) => (stamp, names),
            Compared::Gone => {
                self.drop_stream(path, &stream);
                return Ok(());
            }
        };
        self.remember(path, stamp);
        let mut found: Vec<Hour> = names.iter().filter_map(|name| Hour::parse(name).ok()).collect();
        found.sort_unstable();
        let known = self.keeper.index.catalog().hours(path, ..);
        let is_gone = |hour: &Hour| found.binary_search(hour).is_err();
        self.drop_hours(&stream, known.iter().copied().filter(is_gone));
        self.left_to_bucket(path, &stream, known.iter().copied().filter(|hour| !is_gone(hour)))?;
        for hour in found.into_iter().filter(|hour| known.binary_search(hour).is_err()) {
            self.report.hours_appeared += 1;
            self.appeared.push(HourPlace { stream: stream.clone(), hour });
            let unread = StampUpdate::Set(None);
            self.push(HourUpdate::Change { stream: stream.clone(), hour, changes: Vec::new(), stamp: unread })?;
        }
        Ok(())
    }

    /// Hours whose directory may have gone while a bucket has them: what it alone held is not there any more.
    fn left_to_bucket(
        &mut self,
        path: &str,
        stream: &Stream,
        known: impl Iterator<Item = Hour>,
    ) -> Result<(), CrawlError> {
        if self.keeper.disk(self.base.stamp_in_bucket(Path::new(path)))?.is_none() {
            return Ok(());
        }
        let dir = self.keeper.disk(self.base.dir(Path::new(path)))?;
        let names = dir.map_or(Ok(Vec::new()), |dir| self.keeper.disk(dir.subdirectories()))?;
        let here: BTreeSet<Hour> = names.iter().filter_map(|name| Hour::parse(name.to_str()?).ok()).collect();
        for hour in known.filter(|hour| !here.contains(hour)) {
            let place = HourPlace { stream: stream.clone(), hour };
            let row = self.keeper.index.hour_row(path, hour)?;
            let now = self.keeper.disk(self.base.stamp_of_both(&place.path()))?;
            if row.is_some_and(|row| row.stamp != now) {
                self.appeared.push(place);
            }
        }
        Ok(())
    }

    /// A quality that is gone takes its hours with it.
    fn drop_stream(&mut self, path: &str, stream: &Stream) {
        self.drop_hours(stream, self.keeper.index.catalog().hours(path, ..));
        self.batch.directories.push((path.to_owned(), None));
    }

    fn drop_hours(&mut self, stream: &Stream, hours: impl IntoIterator<Item = Hour>) {
        let before = self.gone.len();
        self.gone.extend(hours.into_iter().map(|hour| HourPlace { stream: stream.clone(), hour }));
        self.report.hours_gone += (self.gone.len() - before) as u64;
    }

    /// Qualities and channels that are known and whose directories are gone.
    fn drop_orphans(&mut self) -> Result<(), CrawlError> {
        let streams = self.keeper.index.catalog().streams().into_iter().map(|stream| stream.to_string());
        let mut paths: Vec<String> =
            self.known.keys().cloned().chain(streams).filter(|path| !path.is_empty()).collect();
        paths.sort_unstable();
        paths.dedup();
        for path in paths {
            match self.keeper.disk(self.base.stamp_of_both(Path::new(&path))) {
                Ok(None) => {}
                Ok(Some(_)) | Err(CrawlError::Disk(_)) => continue,
                Err(error) => return Err(error),
            }
            self.keeper.confirm_absence()?;
            if let Ok(stream) = Stream::parse(&path) {
                self.drop_stream(&path, &stream);
            } else {
                self.batch.directories.push((path, None));
            }
        }
        Ok(())
    }

    /// Leaves what is missing of a channel as it is, where it is too much.
    fn weigh(&mut self) -> Result<(), CrawlError> {
        if self.gone.is_empty() {
            return Ok(());
        }
        self.keeper.confirm_absence()?;
        let index = &self.keeper.index;
        let mut losses = Vec::new();
        for place in &self.gone {
            let row = index.hour_row(&place.stream.to_string(), place.hour)?;
            losses.push((place.clone(), row.map_or(0, |row| row.rows.into())));
        }
        let held = self.keeper.doubting.weigh(index, losses, false)?;
        let before = self.gone.len();
        self.gone.retain(|place| !held.contains(&place.stream.channel));
        self.report.hours_gone -= (before - self.gone.len()) as u64;
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

fn join(above: &str, name: &str) -> String {
    if above.is_empty() { name.to_owned() } else { format!("{above}/{name}") }
}
