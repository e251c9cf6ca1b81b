//! What goes, from what the index and the journal know. Changes nothing.

use super::bucket_schedule::BucketSchedule;
use super::journal::{Journal, JournalEntry, JournalStep};
use super::retired_hours::peek;
use super::schedule::{Answered, EarlierDecision, Schedule, Stored, schedule};
use super::{Retention, RetentionError, report};
use crate::archive::origins::Origin;
use crate::archive::retention::RetentionLimits;
use crate::archive::{Hour, HourPlace, HourTotals};
use crate::disk::BucketManifests;
use crate::sync::crawl::CrawlError;
use crate::wire::{HourFate, HourLimits, RetentionPlan, RetentionView};

impl Retention {
    /// What would go now, by these limits or its own, and what has gone. Changes nothing.
    pub fn view(&self, limits: Option<&RetentionLimits>) -> Result<RetentionView, RetentionError> {
        let journal = self.ledger.journal().ok_or(RetentionError::NotRead)?;
        let (retired, retired_hours, kept) = report::retired(&journal);
        Ok(RetentionView { plan: self.plan(limits)?, retired, retired_hours, kept })
    }

    /// What would go now, by these limits or its own. Changes nothing.
    pub fn plan(&self, limits: Option<&RetentionLimits>) -> Result<RetentionPlan, RetentionError> {
        let own = &self.options.limits;
        let limits = limits.unwrap_or(own);
        let journal = self.ledger.journal().ok_or(RetentionError::NotRead)?;
        let free = self.free();
        let schedule = self.schedule(&journal, limits, free)?;
        let (in_bucket, unknown) = match self.bucket_schedule(&journal, limits) {
            Ok(in_bucket) => (in_bucket, None),
            Err(error) => (BucketSchedule::default(), Some(error)),
        };
        let blocked = self.may_delete().err().or(unknown).map(|error| error.to_string());
        let doubt = self.doubt(&schedule, &Answered::default());
        let (asks, doubt) = doubt.or_else(|| self.bucket_doubts(&in_bucket).into_iter().next()).unzip();
        let (other_limits, bucket) = (limits != own, self.bucket_plan(&in_bucket)?);
        Ok(RetentionPlan {
            doubt,
            asks,
            blocked,
            bucket,
            other_limits,
            ..report::plan(&schedule, !limits.are_off(), free)
        })
    }

    /// What has become of an hour, or will by its own limits. Changes nothing. Where nobody has read the journal it is looked at on the disk.
    pub fn limits_of(&self, place: &HourPlace) -> Result<HourLimits, RetentionError> {
        let entry = match self.ledger.ask(|journal, _| journal.get(place).cloned()) {
            Some(entry) => entry,
            None => peek(&*self.base()?)?.and_then(|journal| journal.get(place).cloned()),
        };
        let (limits, needs_copy) = (&self.options.limits, self.options.keep_last_copy);
        let by_room = limits.by_room(&place.stream);
        let leaves_bucket_at = if self.is_in_bucket(place)? { limits.too_old_in_bucket_at(place) } else { None };
        if let Some(JournalEntry { step, reason, since, .. }) = entry {
            let state = match step {
                JournalStep::Kept => HourFate::Kept,
                JournalStep::Retiring => HourFate::Retiring,
                JournalStep::Retired => HourFate::Retired,
                JournalStep::Gone => HourFate::Gone,
            };
            let reason = reason.map(|reason| reason.as_str().to_owned());
            let leaves_bucket_at = leaves_bucket_at.filter(|_| state != HourFate::Kept);
            return Ok(HourLimits { state, reason, at: Some(since), by_room, leaves_bucket_at, needs_copy });
        }
        let at = limits.too_old_at(place);
        let state = match at {
            Some(at) if at <= self.now() => HourFate::Due,
            Some(_) => HourFate::Ages,
            None if by_room => HourFate::Room,
            None => HourFate::Unlimited,
        };
        Ok(HourLimits { state, reason: None, at, by_room, leaves_bucket_at, needs_copy })
    }

    /// What goes by these limits and by what the index knows. Changes nothing.
    pub(super) fn schedule(
        &self,
        journal: &Journal,
        limits: &RetentionLimits,
        free: Option<u64>,
    ) -> Result<Schedule, RetentionError> {
        let mut hours = Vec::new();
        let index = self.parts.keeper.index();
        for stream in index.catalog().streams() {
            let name = stream.to_string();
            for (hour, row) in index.hour_rows(&name, Hour::MIN, Hour::MAX).map_err(CrawlError::Index)? {
                let place = HourPlace { stream: stream.clone(), hour };
                // What lies in a bucket alone takes no room here, and is no business of this disk's limits.
                let Some(totals) = self.parts.keeper.totals_here(&place, row.totals)? else { continue };
                let stored = self.stored(place, &totals)?;
                match journal.get(&stored.place).map(|entry| (entry.step, entry.reason)) {
                    None => hours.push(stored),
                    Some((JournalStep::Kept, _)) => hours.push(Stored { decided: EarlierDecision::Keep, ..stored }),
                    // Reported below, whether or not it is still in the index.
                    Some((JournalStep::Retiring, _)) => {}
                    // Somebody has written there again: it goes when it would, as any other hour.
                    Some((JournalStep::Retired | JournalStep::Gone, _)) => {
                        hours.extend((stored.segments > 0 && self.holds_segments(&stored.place)?).then_some(stored));
                    }
                }
            }
        }
        for (place, entry) in journal.entries().iter().filter(|(_, entry)| entry.step == JournalStep::Retiring) {
            let decided = self.decided_about_begun(entry);
            let row = index.hour_row(&place.stream.to_string(), place.hour).map_err(CrawlError::Index)?;
            let totals = row.map(|row| row.totals).unwrap_or_default();
            let here = self.parts.keeper.totals_here(place, totals)?.unwrap_or_default();
            let stored = self.stored(place.clone(), &here)?;
            hours.push(Stored { decided, ..stored });
        }
        Ok(schedule(hours, limits, self.now(), free))
    }

    fn stored(&self, place: HourPlace, totals: &HourTotals) -> Result<Stored, RetentionError> {
        let stored = of_totals(place, totals);
        let origin = self.parts.keeper.origin(&stored.place, (stored.segments, stored.bytes))?;
        Ok(Stored { origin, ..stored })
    }

    /// Whether objects in the bucket are noted of an hour.
    pub(super) fn is_in_bucket(&self, place: &HourPlace) -> Result<bool, RetentionError> {
        let base = self.base()?;
        let notes = BucketManifests::of(&base);
        Ok(!notes.digests(place)?.is_empty() || !notes.lost_digests(place)?.is_empty())
    }

    /// Whether the index knows anything in an hour that lies here and could be deleted; what is not understood is counted with the rest.
    pub(super) fn holds_segments(&self, place: &HourPlace) -> Result<bool, RetentionError> {
        let keeper = &self.parts.keeper;
        if keeper.totals_here(place, HourTotals::default())?.is_none() {
            return Ok(false);
        }
        let view = keeper.index().hour(&place.stream.to_string(), place.hour).map_err(CrawlError::Index)?;
        Ok(view.is_some_and(|view| view.contents.files().iter().any(|file| !file.key.tombstone)))
    }
}

fn of_totals(place: HourPlace, totals: &HourTotals) -> Stored {
    let goes = totals.video.iter().chain([&totals.chat, &totals.hidden]);
    let (segments, bytes) =
        goes.fold((0, 0), |(files, bytes), tally| (files + u64::from(tally.files), bytes + tally.bytes));
    let other_bytes = totals.bad.bytes + totals.other.bytes;
    let (tombstones, decided, origin) = (totals.tombstones.into(), EarlierDecision::Nothing, Origin::default());
    Stored { place, bytes, other_bytes, segments, tombstones, decided, origin }
}
