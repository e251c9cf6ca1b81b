//! Brings one hour of the index into line with its directory, and with what a bucket has of it.
//!
//! 1. All work on an hour happens under the hour's lock, from the first look at the disk until the commit: what was seen last
//!    is what is written last.
//! 2. The stamp is taken before the directory is read, so that a change in between makes it differ next time.
//! 3. A directory that is not there takes its hour out of the index only if the base was right before and after the look.
//! 4. Where too much of a channel is missing at once nothing of it leaves: its hours are held, and requests say why.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};

use super::CrawlError;
use super::absent_files::AbsentFiles;
use super::freshness::FreshHours;
use super::hour_files::{CountedInBucket, hour_files};
use super::mass_loss::{ABOVE, HourLoss, MassLossGuard};
use super::origins::Origins;
use super::whole::WholeSources;
use crate::archive::guards::{self, Guards};
use crate::archive::{AnyFile, Hour, HourChange, HourContents, HourPlace, diff};
use crate::disk::{
    Base, BaseGuard, Checked, Dir, DiskError, RecordMarks, RecordPositions, Records, UnusableReason, record_progress,
};
use crate::index::{Applied, Batch, HourUpdate, Index, StampUpdate, Version};
use crate::jobs::{Clock, SystemClock};

/// Locks of hours; hours share them by hash.
const LOCKS: usize = 64;
/// Hours that are committed together at most, so that the first of them does not wait long for the last.
const TOGETHER: usize = 64;

/// An hour, and the names in it to which something happened.
type TouchedHour<'t> = (&'t HourPlace, &'t BTreeSet<OsString>);

/// What an hour holds, to answer a question.
#[derive(Debug)]
pub struct HourAnswer {
    /// Its files; nothing if there is no such hour.
    pub contents: HourContents,
    /// Which state of the index this is; `None` if it was read from the disk, because the index takes no writes.
    pub version: Option<Version>,
}

/// Keeps the index in step with the disk, an hour at a time.
pub struct Keeper {
    pub(super) index: Arc<Index>,
    pub(super) guard: Arc<BaseGuard>,
    pub(super) freshness: FreshHours,
    pub(super) doubting: MassLossGuard,
    pub(super) structure: Mutex<()>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) origins: Origins,
    guards: Guards,
    records: Records,
    handed_over: Mutex<BTreeSet<HourPlace>>,
    absent: Option<Arc<dyn AbsentFiles>>,
    /// What it is put together from, if it is of the whole archive.
    pub(super) whole: Option<WholeSources>,
    pub(super) in_bucket: CountedInBucket,
    locks: Vec<Mutex<()>>,
}

/// What has become of some names of an hour.
struct TouchedFiles {
    changes: Vec<HourChange>,
    is_one_gone: bool,
}

/// How an hour differs.
struct Difference {
    update: HourUpdate,
    /// Files that it has lost.
    missing: u64,
    /// Whether the index believes the directory's stamp.
    is_trusted: bool,
}

/// Whether what is missing was meant to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    IsWeighed,
    WasMeant,
}

impl Keeper {
    /// Between this archive and this index.
    pub fn new(index: Arc<Index>, guard: Arc<BaseGuard>) -> Self {
        let locks = std::iter::repeat_with(Mutex::default).take(LOCKS).collect();
        let (structure, handed_over, origins) = (Mutex::default(), Mutex::default(), Origins::default());
        let (freshness, doubting) = (FreshHours::default(), MassLossGuard::new(ABOVE));
        let (guards, clock) = (Guards::default(), Arc::new(SystemClock::new()));
        let records = Records::new(Box::new(InIndex(Arc::clone(&index))));
        Self {
            index,
            guard,
            freshness,
            doubting,
            structure,
            clock,
            origins,
            guards,
            records,
            handed_over,
            absent: None,
            whole: None,
            in_bucket: CountedInBucket::default(),
            locks,
        }
    }

    /// With another number of files of a channel that may always be missing.
    #[must_use]
    pub fn doubt_above(self, files: u64) -> Self {
        Self { doubting: MassLossGuard::new(files), ..self }
    }

    /// With somebody who opens files that do not lie here, of hours that may lie on other nodes.
    #[must_use]
    pub fn opened_by(self, absent: Arc<dyn AbsentFiles>) -> Arc<Self> {
        Arc::new(Self { absent: Some(absent), ..self })
    }

    /// With somebody who opens files that lie in a bucket alone, and learns on the way that an hour has others.
    #[must_use]
    pub fn with_absent(self, absent: Option<Arc<dyn AbsentFiles>>) -> Arc<Self> {
        let keeper = Arc::new(Self { absent, ..self });
        if let Some(opener) = &keeper.absent {
            let keeper = Arc::downgrade(&keeper);
            opener.tell_learned(Box::new(move |place| {
                let Some(Err(error)) = keeper.upgrade().map(|keeper| keeper.reconcile(std::slice::from_ref(place), false))
                else {
                    return;
                };
                tracing::debug!(name: "learned_hour_not_indexed", hour = %place, %error, "what was learned of an hour is taken into the index when it is looked at next");
            }));
        }
        keeper
    }

    /// Who opens files that lie in a bucket alone.
    pub fn absent_files(&self) -> Option<&Arc<dyn AbsentFiles>> {
        self.absent.as_ref()
    }

    /// By another clock.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// The index.
    pub fn index(&self) -> &Arc<Index> {
        &self.index
    }

    /// The archive.
    pub fn guard(&self) -> &Arc<BaseGuard> {
        &self.guard
    }

    /// What stands between a suspect and a loss.
    pub fn guards(&self) -> &Guards {
        &self.guards
    }

    /// The records that protect the archive.
    pub fn records(&self) -> &Records {
        &self.records
    }

    /// Those that cannot be relied on: nothing may be deleted while there are any.
    pub fn unusable_records(&self) -> Vec<UnusableReason> {
        if self.guards.stands(guards::Guard::RecordsIntact) { self.records.unusable() } else { Vec::new() }
    }

    /// Hours that have turned up and were not read, or that the index did not take: the crawl is to look at them at once.
    pub(super) fn hand_over(&self, hours: Vec<HourPlace>) {
        self.handed_over.lock().extend(hours);
    }

    /// What was handed over since this was last asked.
    pub(super) fn take_handed_over(&self) -> Vec<HourPlace> {
        std::mem::take(&mut *self.handed_over.lock()).into_iter().collect()
    }

    /// The base, if it is there.
    pub(super) fn base(&self) -> Result<Arc<Base>, CrawlError> {
        Ok(self.guard.base()?)
    }

    /// Whether the index is known to be right about an hour, without a look at the disk. Of a disk that is away nothing is known.
    pub fn is_fresh(&self, stream: &str, hour: Hour) -> bool {
        if let Some(whole) = &self.whole {
            return self.is_merged(whole, stream, hour);
        }
        self.freshness.is_fresh(self.index.catalog().generation(), stream, hour)
            && !self.doubting.holds(stream, hour)
            && self.base().is_ok()
    }

    /// What an hour holds: from the index, made right first; or, where the index cannot be made right, from the disk.
    /// Blocks: not for async code.
    pub fn answer(&self, place: &HourPlace) -> Result<HourAnswer, CrawlError> {
        let stream = place.stream.to_string();
        let generation = self.index.catalog().generation();
        match self.ensure(place).and_then(|()| Ok(self.index.hour(&stream, place.hour)?)) {
            // An index that began anew in between may not know the hour yet.
            Ok(view) if self.index.catalog().generation() == generation => {
                let absent = Version { generation, changed: 0 };
                let (contents, version) =
                    view.map_or_else(|| (HourContents::default(), absent), |view| (view.contents, view.version));
                Ok(HourAnswer { contents, version: Some(version) })
            }
            Ok(_) | Err(CrawlError::Index(_)) => {
                if let Some(whole) = &self.whole {
                    return Ok(HourAnswer { contents: Self::unkept(whole, place)?, version: None });
                }
                let base = self.base()?;
                let seen = self.disk(hour_files(&base, place))?;
                if seen.is_none() {
                    self.confirm_absence()?;
                }
                Ok(HourAnswer { contents: seen.map(|seen| seen.contents).unwrap_or_default(), version: None })
            }
            Err(error) => Err(error),
        }
    }

    /// Makes the index right about an hour. Blocks: not for async code.
    pub fn ensure(&self, place: &HourPlace) -> Result<(), CrawlError> {
        if self.is_fresh(&place.stream.to_string(), place.hour) {
            return Ok(());
        }
        if let Some(whole) = &self.whole {
            return self.ensure_merged(whole, place);
        }
        // Whether too much is missing at once shows where all of it is weighed together, before a part of it may go.
        let is_gone = || Ok::<_, CrawlError>(self.disk(self.base()?.stamp_of_both(&place.path()))?.is_none());
        if self.doubt_of(place).is_none() && self.knows(place)? && is_gone()? {
            self.reconcile_structure()?;
        }
        self.reconcile(std::slice::from_ref(place), false)?;
        self.doubt_of(place).map_or(Ok(()), |doubt| Err(doubt.into()))
    }

    fn knows(&self, place: &HourPlace) -> Result<bool, CrawlError> {
        Ok(self.index.hour_row(&place.stream.to_string(), place.hour)?.is_some())
    }

    /// Reads an hour in which something was deleted on purpose.
    pub fn follow(&self, place: &HourPlace) -> Result<Applied, CrawlError> {
        self.bring(std::slice::from_ref(place), true, Missing::WasMeant, |_, _| ())
    }

    /// Compares directories with the index and brings it into line: those whose stamp differs are read, or, with `read`, all.
    pub fn reconcile(&self, places: &[HourPlace], read: bool) -> Result<Applied, CrawlError> {
        self.reconcile_as(places, read, |_, _| ())
    }

    /// The same; `join` receives what will change, and may add to what is committed. If it is empty nothing is committed.
    pub fn reconcile_as(
        &self,
        places: &[HourPlace],
        read: bool,
        join: impl FnOnce(Applied, &mut Batch),
    ) -> Result<Applied, CrawlError> {
        self.bring(places, read, Missing::IsWeighed, join)
    }

    fn bring(
        &self,
        places: &[HourPlace],
        read: bool,
        missing: Missing,
        join: impl FnOnce(Applied, &mut Batch),
    ) -> Result<Applied, CrawlError> {
        let mut new = Vec::new();
        let applied = self.bring_locked(places, read, missing, join, &mut new).inspect_err(|error| {
            for place in places {
                self.freshness.unwatch(place);
            }
            if matches!(error, CrawlError::Index(_)) {
                self.hand_over(places.to_vec());
            }
        })?;
        self.hide_twins(&new);
        Ok(applied)
    }

    fn bring_locked(
        &self,
        places: &[HourPlace],
        read: bool,
        what_is_missing: Missing,
        join: impl FnOnce(Applied, &mut Batch),
        new: &mut Vec<HourUpdate>,
    ) -> Result<Applied, CrawlError> {
        let _locks = self.lock(places);
        let started = Instant::now();
        let generation = self.index.catalog().generation();
        let base = self.base()?;
        let mut batch = Batch { generation: Some(generation), ..Batch::default() };
        let mut differences = Vec::new();
        for place in places {
            differences.push((place, self.compare(&base, place, read)?));
        }
        let losses = if what_is_missing == Missing::IsWeighed { self.hold(&mut differences)? } else { Vec::new() };
        let mut expected = Applied::default();
        for Difference { update, missing, .. } in differences.into_iter().filter_map(|(_, difference)| difference) {
            expected.put += count(&update, |change| matches!(change, HourChange::Put(_)));
            expected.removed += missing;
            batch.hours.push(update);
        }
        new.clone_from(&batch.hours);
        join(expected, &mut batch);
        let applied = if batch.is_empty() {
            Applied::default()
        } else {
            self.index.apply(batch).inspect_err(|_| self.doubting.give_back(&losses))?
        };
        for place in places {
            self.freshness.compared(generation, place, started);
            if what_is_missing == Missing::WasMeant {
                self.doubting.found(place);
            }
        }
        Ok(applied)
    }

    /// Takes those losses out of what is to be written that are not to be concluded; gives back the others.
    fn hold(&self, differences: &mut [(&HourPlace, Option<Difference>)]) -> Result<Vec<HourLoss>, CrawlError> {
        let mut losses: Vec<HourLoss> = Vec::new();
        for (place, difference) in &*differences {
            match difference.as_ref().map_or(0, |difference| difference.missing) {
                0 => self.doubting.found(place),
                missing => losses.push(((*place).clone(), missing)),
            }
        }
        if losses.is_empty() {
            return Ok(losses);
        }
        let held = self.doubting.weigh(&self.index, losses.clone(), true)?;
        for (place, difference) in differences {
            let is_held = held.contains(&place.stream.channel);
            if is_held && difference.as_ref().is_some_and(|difference| difference.missing > 0) {
                *difference = difference.take().and_then(without_loss);
            }
        }
        losses.retain(|(place, _)| !held.contains(&place.stream.channel));
        Ok(losses)
    }

    /// How an hour differs, if it does.
    fn compare(&self, base: &Base, place: &HourPlace, read: bool) -> Result<Option<Difference>, CrawlError> {
        let stream = place.stream.to_string();
        let row = self.index.hour_row(&stream, place.hour)?;
        if !read
            && let Some(trusted) = row.and_then(|row| row.stamp)
            && self.disk(base.stamp_of_both(&place.path()))? == Some(trusted)
        {
            return Ok(None);
        }
        let seen = self.disk(hour_files(base, place))?;
        let Some(seen) = seen else {
            self.confirm_absence()?;
            let update = HourUpdate::Remove { stream: place.stream.clone(), hour: place.hour };
            return Ok(row.map(|row| Difference { update, missing: row.rows.into(), is_trusted: row.stamp.is_some() }));
        };
        let known = self.index.hour(&stream, place.hour)?;
        let empty = HourContents::default();
        let changes = diff(known.as_ref().map_or(&empty, |view| &view.contents), &seen.contents);
        if changes.is_empty() && known.is_some_and(|view| view.row.stamp == seen.stamp) {
            return Ok(None);
        }
        let missing = changes.iter().filter(|change| matches!(change, HourChange::Remove(_))).count() as u64;
        if missing > 0 {
            self.confirm_absence()?;
        }
        let stamp = StampUpdate::Set(seen.stamp);
        let update = HourUpdate::Change { stream: place.stream.clone(), hour: place.hour, changes, stamp };
        Ok(Some(Difference { update, missing, is_trusted: row.is_some_and(|row| row.stamp.is_some()) }))
    }

    /// Looks at just these names of an hour: something happened to them.
    pub fn touch<'n>(
        &self,
        place: &HourPlace,
        names: impl IntoIterator<Item = &'n OsStr>,
    ) -> Result<Applied, CrawlError> {
        let mut new = Vec::new();
        let locks = self.lock(std::slice::from_ref(place));
        let applied = self.touch_locked(place, names, locks, |batch| new.clone_from(&batch.hours))?;
        self.hide_twins(&new);
        Ok(applied)
    }

    /// The same, where nothing else follows from it.
    pub(super) fn touch_alone<'n>(
        &self,
        place: &HourPlace,
        names: impl IntoIterator<Item = &'n OsStr>,
    ) -> Result<Applied, CrawlError> {
        let locks = self.lock(std::slice::from_ref(place));
        self.touch_locked(place, names, locks, |_| ())
    }

    /// Does something to the directory of an hour and looks at these names of it afterwards, whatever became of it; nobody else
    /// works on that hour in between. `None` if there is no such directory.
    pub fn change<'n, T>(
        &self,
        place: &HourPlace,
        names: impl IntoIterator<Item = &'n OsStr>,
        work: impl FnOnce(&Dir) -> Result<T, DiskError>,
    ) -> Result<Option<T>, CrawlError> {
        self.change_as(place, names, work, |_, _| ())
    }

    /// The same; `join` receives the result of the work, and may add to what is committed.
    pub fn change_as<'n, T>(
        &self,
        place: &HourPlace,
        names: impl IntoIterator<Item = &'n OsStr>,
        work: impl FnOnce(&Dir) -> Result<T, DiskError>,
        join: impl FnOnce(&T, &mut Batch),
    ) -> Result<Option<T>, CrawlError> {
        let locks = self.lock(std::slice::from_ref(place));
        let base = self.base()?;
        let Some(dir) = self.disk(base.dir(&place.path()))? else { return Ok(None) };
        let done = self.disk(work(&dir));
        let mut new = Vec::new();
        let add = |batch: &mut Batch| {
            new.clone_from(&batch.hours);
            if let Ok(done) = &done {
                join(done, batch);
            }
        };
        let followed = self.touch_locked(place, names, locks, add).inspect_err(|error| {
            self.freshness.unwatch(place);
            if matches!(error, CrawlError::Index(_)) {
                self.hand_over(vec![place.clone()]);
            }
        });
        self.hide_twins(&new);
        let done = done?;
        followed.map(|_| Some(done))
    }

    fn touch_locked<'n>(
        &self,
        place: &HourPlace,
        names: impl IntoIterator<Item = &'n OsStr>,
        locks: Vec<MutexGuard<'_, ()>>,
        join: impl FnOnce(&mut Batch),
    ) -> Result<Applied, CrawlError> {
        let generation = Some(self.index.catalog().generation());
        let base = self.base()?;
        let Some(TouchedFiles { changes, is_one_gone }) = self.look_at(&base, place, names)? else {
            drop(locks);
            return self.reconcile_as(std::slice::from_ref(place), true, |_, batch| join(batch));
        };
        if is_one_gone {
            self.confirm_absence()?;
        }
        let mut batch = Batch { generation, ..Batch::default() };
        if !changes.is_empty() {
            batch.hours.push(touched_hour(place, changes));
        }
        join(&mut batch);
        if batch.is_empty() {
            return Ok(Applied::default());
        }
        let applied = self.index.apply(batch)?;
        drop(locks);
        Ok(applied)
    }

    /// What has become of these names; `None` if all of the hour must be read: the index does not know it, it is gone, or a bucket has some of
    /// it, so that what is gone here, or hidden, may be listed all the same, or not any more.
    fn look_at<'n>(
        &self,
        base: &Base,
        place: &HourPlace,
        names: impl IntoIterator<Item = &'n OsStr>,
    ) -> Result<Option<TouchedFiles>, CrawlError> {
        if self.index.catalog().hour_version(&place.stream.to_string(), place.hour).is_none() {
            return Ok(None);
        }
        if self.disk(base.stamp_in_bucket(&place.path()))?.is_some() {
            return Ok(None);
        }
        let Some(dir) = self.disk(base.dir(&place.path()))? else { return Ok(None) };
        let mut changes = BTreeMap::new();
        let mut is_one_gone = false;
        for name in names {
            let Some(text) = name.to_str() else { continue };
            let meta = self.disk(dir.stat_file(name))?;
            let Some(file) = AnyFile::read(text, meta.map_or(0, |meta| meta.size)) else { continue };
            is_one_gone |= meta.is_none();
            changes.insert(text, if meta.is_some() { HourChange::Put(file) } else { HourChange::Remove(file) });
        }
        Ok(Some(TouchedFiles { changes: changes.into_values().collect(), is_one_gone }))
    }

    /// Looks at what was touched in several hours, and commits it together: most of what a new segment costs is its commit. Answers with
    /// those hours that could not be brought into line.
    pub(super) fn touch_all(&self, touched: &BTreeMap<HourPlace, BTreeSet<OsString>>) -> Vec<(HourPlace, CrawlError)> {
        let all: Vec<TouchedHour<'_>> = touched.iter().collect();
        let mut alone = Vec::new();
        for hours in all.chunks(TOGETHER) {
            alone.extend(if hours.len() > 1 { self.touch_together(hours) } else { hours.to_vec() });
        }
        let failed = alone.into_iter().filter_map(|(place, names)| {
            let error = self.touch(place, names.iter().map(OsString::as_os_str)).err()?;
            Some((place.clone(), error))
        });
        failed.collect()
    }

    /// Answers with those that are to be looked at each by itself: somebody works on them, they are new, or something is wrong with one.
    fn touch_together<'t>(&self, hours: &[TouchedHour<'t>]) -> Vec<TouchedHour<'t>> {
        let (mut locks, mut batch, mut left) = (BTreeMap::new(), Batch::default(), Vec::new());
        batch.generation = Some(self.index.catalog().generation());
        let Ok(base) = self.base() else { return hours.to_vec() };
        let mut is_one_gone = false;
        for hour @ (place, names) in hours {
            let slot = slot(place);
            // Whoever works on an hour for long must not hold up the others.
            if let Entry::Vacant(entry) = locks.entry(slot) {
                let Some(lock) = self.locks.get(slot).and_then(Mutex::try_lock) else {
                    left.push(*hour);
                    continue;
                };
                entry.insert(lock);
            }
            match self.look_at(&base, place, names.iter().map(OsString::as_os_str)) {
                Ok(Some(seen)) => {
                    is_one_gone |= seen.is_one_gone;
                    if !seen.changes.is_empty() {
                        batch.hours.push(touched_hour(place, seen.changes));
                    }
                }
                Ok(None) | Err(_) => left.push(*hour),
            }
        }
        let new = batch.hours.clone();
        if new.is_empty() {
            return left;
        }
        if is_one_gone && self.confirm_absence().is_err() || self.index.apply(batch).is_err() {
            drop(locks);
            return hours.to_vec();
        }
        drop(locks);
        self.hide_twins(&new);
        left
    }

    /// Before anything is concluded from what is not there: is it the right disk that it is not on?
    pub(super) fn confirm_absence(&self) -> Result<(), CrawlError> {
        match self.guard.check() {
            Checked::Fine => Ok(()),
            Checked::Back { .. } => Err(CrawlError::Away(self.guard.base().err().unwrap_or_else(just_back))),
            Checked::Away(reason) => Err(CrawlError::Away(reason)),
        }
    }

    /// Passes errors to the guard that may mean that the disk is away.
    pub(super) fn disk<T>(&self, result: Result<T, DiskError>) -> Result<T, CrawlError> {
        result.map_err(|error| {
            if self.guard.report(&error)
                && let Err(away) = self.guard.base()
            {
                return CrawlError::Away(away);
            }
            CrawlError::Disk(error)
        })
    }

    /// The locks of these hours, always in the same order.
    pub(super) fn lock(&self, places: &[HourPlace]) -> Vec<MutexGuard<'_, ()>> {
        let mut slots: Vec<usize> = places.iter().map(slot).collect();
        slots.sort_unstable();
        slots.dedup();
        slots.into_iter().filter_map(|slot| self.locks.get(slot)).map(|lock| lock.lock()).collect()
    }
}

fn touched_hour(place: &HourPlace, changes: Vec<HourChange>) -> HourUpdate {
    HourUpdate::Change { stream: place.stream.clone(), hour: place.hour, changes, stamp: StampUpdate::Keep }
}

/// What is there all the same. The directory is to be read again, even if its stamp is unchanged.
fn without_loss(difference: Difference) -> Option<Difference> {
    let HourUpdate::Change { stream, hour, mut changes, .. } = difference.update else { return None };
    changes.retain(|change| matches!(change, HourChange::Put(_)));
    let is_needed = !changes.is_empty() || difference.is_trusted;
    let update = HourUpdate::Change { stream, hour, changes, stamp: StampUpdate::Set(None) };
    is_needed.then_some(Difference { update, missing: 0, is_trusted: false })
}

fn count(update: &HourUpdate, of: impl Fn(&HourChange) -> bool) -> u64 {
    match update {
        HourUpdate::Change { changes, .. } => changes.iter().filter(|change| of(change)).count() as u64,
        HourUpdate::Remove { .. } => 0,
    }
}

fn slot(place: &HourPlace) -> usize {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    place.hash(&mut hasher);
    usize::try_from(hasher.finish() % LOCKS as u64).unwrap_or(0)
}

fn just_back() -> crate::disk::AwayReason {
    crate::disk::AwayReason {
        reason: "it has just come back and is being looked at".into(),
        since: std::time::SystemTime::now(),
    }
}

/// See the module.
pub(super) struct InIndex(pub(super) Arc<Index>);

impl RecordPositions for InIndex {
    fn marks(&self) -> RecordMarks {
        let text = self.0.records().inspect_err(|error| {
            tracing::debug!(name: "records_not_known", %error, "the index cannot say which protective records there have been");
        });
        record_progress::parse(&text.unwrap_or_default())
    }

    fn remember(&self, marks: &RecordMarks) {
        if let Err(error) = self.0.apply(Batch { records: Some(record_progress::text(marks)), ..Batch::default() }) {
            tracing::debug!(name: "records_not_remembered", %error, "the index cannot remember now how far the protective records have come");
        }
    }
}
