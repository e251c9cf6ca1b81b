//! Deletes what has left for its owners: of each hour just the names that they have confirmed, and no tombstone, as every node keeps those of
//! all hours.
//!
//! Before each file everything is looked at again that says whether it may still go. What is left where it stops is a handoff like before.

use std::ffi::OsStr;

use super::error::HandoffError;
use super::left_hour::LeftHour;
use super::lying_names::file_and_size;
use super::machine::Handoffs;
use crate::archive::origins::Origin;
use crate::archive::placement::LayoutId;
use crate::archive::placement::handoffs::FileNames;
use crate::archive::{HourPlace, Span};
use crate::disk::{BucketManifests, Dir, DiskError, atomic};
use crate::jobs::Stop;
use crate::sync::crawl::CrawlError;

/// An hour that all of its owners have.
#[derive(Debug)]
pub(super) struct LeavingNames {
    pub(super) place: HourPlace,
    /// What they have confirmed.
    pub(super) names: FileNames,
    /// Nothing is deleted any more when so much time has elapsed.
    pub(super) before: Span,
    /// By which layout they are its owners.
    pub(super) layout: LayoutId,
}

/// What went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct LeftFiles {
    pub(super) files: u64,
    pub(super) bytes: u64,
    /// Whether all went that was to go.
    pub(super) is_all: bool,
}

impl Handoffs {
    /// Deletes it. What went before something failed is returned with that.
    pub(super) fn leave(&self, leaving: &LeavingNames, stop: &Stop) -> (LeftFiles, Result<(), HandoffError>) {
        let mut left = LeftFiles::default();
        self.deletion_begins(&leaving.place);
        let done = self.delete(leaving, stop, &mut left);
        self.deletion_ended(&leaving.place, left.is_all && done.is_ok());
        (left, done)
    }

    fn delete(&self, leaving: &LeavingNames, stop: &Stop, left: &mut LeftFiles) -> Result<(), HandoffError> {
        let (keeper, place) = (&self.parts.keeper, &leaving.place);
        let base = keeper.guard().base()?;
        let origin = self.origin(place)?;
        // What a bucket has of the hour stays listed: that it lies here no more is noted before it goes.
        BucketManifests::of(&base).note_dropped(place)?;
        let files: Vec<(&str, u64)> = leaving.names.iter().filter_map(file_and_size).collect();
        let names = files.iter().map(|(name, _)| OsStr::new(*name));
        let deleted = keeper.change(place, names, |dir| self.delete_each(dir, leaving, &files, stop, left));
        // In any case the index learns what is left.
        let gone = base.remove_empty_hour(place);
        keeper.follow(place)?;
        deleted?;
        gone?;
        if left.is_all {
            let bytes = left.bytes.saturating_sub(origin.added.bytes);
            self.left_hours.lock().push(LeftHour { origin, bytes });
        }
        Ok(())
    }

    /// Whose an hour is, by what lies of it before anything goes.
    fn origin(&self, place: &HourPlace) -> Result<Origin, HandoffError> {
        let row =
            self.parts.keeper.index().hour_row(&place.stream.to_string(), place.hour).map_err(CrawlError::Index)?;
        let totals = row.map(|row| row.totals).unwrap_or_default();
        let goes = totals.video.iter().chain([&totals.chat, &totals.hidden]);
        let sum = goes.fold((0, 0), |(files, bytes), tally| (files + u64::from(tally.files), bytes + tally.bytes));
        Ok(self.parts.keeper.origin(place, sum)?)
    }

    /// What has left since this was asked: it was meant to, and the archive is not as large any more as it was.
    pub fn take_left(&self) -> Vec<LeftHour> {
        std::mem::take(&mut *self.left_hours.lock())
    }

    fn delete_each(
        &self,
        dir: &Dir,
        leaving: &LeavingNames,
        files: &[(&str, u64)],
        stop: &Stop,
        left: &mut LeftFiles,
    ) -> Result<(), DiskError> {
        for (name, confirmed) in files {
            let size = dir.stat_file(OsStr::new(name))?.map(|meta| meta.size);
            let is_as_confirmed = size.is_none_or(|size| size == *confirmed);
            let may = self.may_go_on(leaving, stop);
            if let Err(why) =
                may.and(is_as_confirmed.then_some(()).ok_or_else(|| format!("{name} has become another file")))
            {
                tracing::info!(name: "handoff_stopped", hour = %leaving.place, why, "an hour stops leaving for its owners; what is left of it stays until they have confirmed it again");
                return atomic::sync_dir(dir);
            }
            if dir.remove_file(OsStr::new(name))? {
                left.files += 1;
                left.bytes += size.unwrap_or_default();
            }
        }
        left.is_all = true;
        atomic::sync_dir(dir)
    }

    /// Why nothing more of an hour may go, if so.
    fn may_go_on(&self, leaving: &LeavingNames, stop: &Stop) -> Result<(), String> {
        let place = &leaving.place;
        let must = |holds: bool, why: &str| if holds { Ok(()) } else { Err(why.to_owned()) };
        must(!stop.is_stopped(), "the node ends")?;
        must(self.elapsed() < leaving.before, "what its owners have promised is too long ago")?;
        must(!self.stops.lock().contains(place), "what its owners have promised counts no more")?;
        must(self.parts.layouts.current().now().id() == Some(leaving.layout), "another layout holds")?;
        must(!self.parts.layouts.is_paused(), "`gapless layout pause` says so")?;
        must((self.parts.is_ready)(), "the index catches up with the disk")?;
        self.records_are_intact().map_err(|error| error.to_string())?;
        let now = self.time().map_err(|error| error.to_string())?;
        must(now.wall.is_some(), "the clock of this machine is contradicted")?;
        self.why_held(place).map_or(Ok(()), Err)
    }
}
