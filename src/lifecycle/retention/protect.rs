//! What stands between retention and a loss, besides the limits: the clock's witnesses, the records that protect, how far the archive
//! may shrink, and how long tombstones of retired hours stay. Each asks its guard here, and nowhere else. Deletes nothing.

use std::path::PathBuf;
use std::sync::Arc;

use super::bucket_schedule::BucketSchedule;
use super::journal::{Journal, JournalEntry, JournalLine, JournalStep};
use super::retired_hours::{JournalNow, RETIRED, RetirementLedger};
use super::schedule::{Answered, EarlierDecision, Measured, RetentionReason, Schedule, SuspectPlan};
use super::shrinking::{Shrinking, StreamSize, Yardsticks};
use super::{Retention, RetentionError};
use crate::archive::clock::ClockVerdict;
use crate::archive::guards::Guard;
use crate::archive::{HourPlace, Timestamp};
use crate::disk::{Base, BucketManifests, DiskError, Record, RecordHistory, RecordReading, Records, marker};
use crate::lifecycle::clock::{ClockTimeline, SystemClocks, TIME};
use crate::lifecycle::handoffs::{LeftHour, PINS};
use crate::wire::{AcceptedRecords, AskingGuard, UnusableRecord};

/// The highest levels of the last week.
const LEVELS: Record = Record { name: "levels", version: 1, most: 4 << 10, is_frequent: false };
/// Our own files whose times say when this node last ran, where there is no line of time yet.
const DATED: [&str; 3] = [marker::MARKER, RETIRED, "records"];

/// How many bytes are free on the disk of this base; nothing if that is not known.
pub type FreeSpace = Arc<dyn Fn(&Base) -> Option<u64> + Send + Sync>;

pub fn free_space() -> FreeSpace {
    Arc::new(|base| base.free_space().ok().map(|(free, _)| free))
}

impl Retention {
    /// Reads everything that protects the archive. With `accept` what can still be read of the journal will do.
    pub(super) fn load(&self, accept: bool) -> Result<Vec<PathBuf>, RetentionError> {
        let (base, records) = (self.base()?, self.parts.keeper.records());
        self.parts.keeper.load_origins()?;
        let is_unusable = |record: &Record| records.unusable().iter().any(|unusable| unusable.name == record.name);
        if accept || self.attempts.lock().is_first() || is_unusable(&TIME) || is_unusable(&LEVELS) {
            self.timeline.load(&base, records, newest_of_ours(&base))?;
            self.load_levels(&base, records)?;
            self.attempts.lock().begun();
        }
        let accept = accept || !self.parts.keeper.guards().stands(Guard::RecordsIntact);
        let now = JournalNow { time: self.now(), lived: self.timeline.lived(), holders: self.holders() };
        let aside = self.ledger.load(&base, records, &now, accept)?;
        self.attempts.lock().succeeded();
        Ok(aside)
    }

    fn load_levels(&self, base: &Base, records: &Records) -> Result<(), RetentionError> {
        let levels = match records.read(base, &LEVELS)? {
            RecordReading::Intact(content) | RecordReading::Mended(content, _) => {
                let levels = Yardsticks::parse(&String::from_utf8_lossy(&content.bytes));
                if levels.is_none() {
                    records.note(LEVELS.name, Some("it does not say what levels say"));
                }
                levels
            }
            RecordReading::Absent | RecordReading::Unusable(_) => None,
        };
        *self.levels.lock() = levels.unwrap_or_default();
        Ok(())
    }

    /// What is to be done now and then: the line of time goes on.
    pub(super) fn tick(&self) {
        if let Ok(base) = self.base() {
            self.timeline.tick(&base, self.parts.keeper.records());
        }
        self.gauges.unusable(self.unusable_records().len());
    }

    /// The node ends: the line of time is written once more.
    pub(super) fn end(&self) {
        if let Ok(base) = self.base() {
            self.timeline.write(&base, self.parts.keeper.records());
        }
    }

    /// Recreates unreliable records from what can still be read of them, as an operator confirmed. Their damaged copies are
    /// put aside.
    pub fn accept(&self) -> Result<AcceptedRecords, RetentionError> {
        let _one = self.running();
        let (base, records) = (self.base()?, self.parts.keeper.records());
        // What is wrong with the account is among what is accepted.
        self.parts.keeper.load_origins()?;
        let accepted = self.unusable_records();
        let mut aside = records.accept(&base, &[RETIRED])?;
        self.parts.keeper.accept_origins()?;
        self.ledger.forget();
        aside.extend(self.load(true)?);
        tracing::warn!(name: "records_accepted", records = accepted.len(), "unreliable records were recreated, as confirmed");
        self.changed();
        let kept_aside = aside.iter().map(|path| path.display().to_string()).collect();
        Ok(AcceptedRecords { records: accepted, kept_aside })
    }

    pub fn unusable_records(&self) -> Vec<UnusableRecord> {
        let unusable = self.parts.keeper.records().unusable();
        unusable.into_iter().map(|record| UnusableRecord { name: record.name, why: record.why }).collect()
    }

    /// Looks once more at the journal on the disk: somebody may have changed it since it was read.
    pub(super) fn look_at_journal(&self, journal: &Journal) -> Result<(), RetentionError> {
        let (base, records) = (self.base()?, self.parts.keeper.records());
        let past = records.past(&base, RETIRED)?;
        if let Some(why) = super::retired_hours::examine_written(&base, &past, journal)? {
            records.note(RETIRED, Some(&why));
        }
        self.records_are_intact()
    }

    pub(super) fn records_are_intact(&self) -> Result<(), RetentionError> {
        let unusable = self.parts.keeper.unusable_records();
        if unusable.is_empty() {
            return Ok(());
        }
        let all: Vec<String> = unusable.iter().map(|record| format!("{}: {}", record.name, record.why)).collect();
        Err(RetentionError::Records(all.join("; ")))
    }

    /// The time: what the clock says, or what it would be by elapsed time while it is not believed.
    pub(super) fn now(&self) -> Timestamp {
        if self.parts.keeper.guards().stands(Guard::ClockWitnesses) {
            self.timeline.now()
        } else {
            self.parts.clocks.wall()
        }
    }

    pub(super) fn entry(&self, step: JournalStep, reason: Option<RetentionReason>) -> JournalEntry {
        let (since, lived) = (self.now(), self.timeline.lived());
        JournalEntry { step, reason, since, lived, holders: self.holders() }
    }

    pub(super) fn note(&self, place: &HourPlace, entry: Option<JournalEntry>) -> Result<(), RetentionError> {
        self.note_all(vec![(place.clone(), entry)])
    }

    pub(super) fn note_all(&self, lines: Vec<JournalLine>) -> Result<(), RetentionError> {
        self.ledger.note(&*self.base()?, self.parts.keeper.records(), lines)
    }

    /// Begins the journal while there is room for it. Where that does not work it is tried again when a line is written.
    pub(super) fn begin_journal(&self) {
        let begun = self.base().and_then(|base| self.ledger.begin(&base, self.parts.keeper.records()));
        if let Err(error) = begun {
            tracing::debug!(name: "journal_not_begun", %error, "no room is kept for the journal of retired hours");
        }
    }

    /// What was begun is no permission: it is weighed as if nothing had been decided.
    pub(super) fn decided_about_begun(&self, entry: &JournalEntry) -> EarlierDecision {
        if self.parts.keeper.guards().stands(Guard::BegunChecked) {
            EarlierDecision::Nothing
        } else {
            EarlierDecision::Begun(entry.reason.unwrap_or(RetentionReason::Age))
        }
    }

    /// Hours whose deletion had begun and that are no longer due are released: the rest of them stays, and what was deleted may be fetched again.
    pub(super) fn release(
        &self,
        journal: &Journal,
        schedule: &Schedule,
        in_bucket: &BucketSchedule,
    ) -> Result<(), RetentionError> {
        let begun = journal.entries().iter().filter(|(_, entry)| entry.step == JournalStep::Retiring);
        let goes = |place: &HourPlace| schedule.going.iter().any(|going| going.stored.place == *place);
        let stays = |place: &HourPlace| !goes(place) && !in_bucket.going.contains(place);
        let mut is_first = true;
        for (place, entry) in begun.filter(|(place, _)| stays(place)) {
            // It was done, and only the last line about it is missing: what had no room has none now either.
            if !self.options.limits.are_off() && !self.holds_segments(place)? && !self.is_in_bucket(place)? {
                self.note(place, Some(self.entry(JournalStep::Retired, entry.reason)))?;
                BucketManifests::of(&*self.base()?).remove_if_empty(place)?;
                continue;
            }
            tracing::warn!(name: "hour_released", hour = %place, "an hour that was being deleted is not to go any more; what is left of it stays");
            self.note(place, None)?;
            is_first = false;
        }
        if !is_first {
            self.changed();
        }
        Ok(())
    }

    /// Which guard that is not yet `answered` holds everything back, if one does, and why. Changes nothing.
    pub(super) fn doubt(&self, schedule: &Schedule, answered: &Answered) -> Option<(AskingGuard, String)> {
        self.doubts(schedule).into_iter().find(|(guard, _)| !answered.contains(guard))
    }

    /// Every guard that asks, in the order in which they do.
    pub(super) fn doubts(&self, schedule: &Schedule) -> Vec<(AskingGuard, String)> {
        let by_age = schedule.going.iter().any(|going| going.reason == RetentionReason::Age);
        let until = "nothing is deleted until that is cleared up, or you say that the clock is right";
        let clock = self.clock_doubt(by_age).map(|why| format!("{why}; {until}: `gapless retention run --yes`"));
        let planned = schedule.doubts.iter().filter(|doubt| !self.is_lifted(doubt));
        let planned = planned.map(|doubt| (doubt.guard(), doubt.to_string()));
        let shrinking = self.shrinking(schedule).map(|why| (AskingGuard::Shrinking, why));
        clock.map(|why| (AskingGuard::Clock, why)).into_iter().chain(planned).chain(shrinking).collect()
    }

    /// Whether a person was asked about the shrinking of the archive, and has agreed to it.
    pub(super) fn may_shrink(&self, schedule: &Schedule, answered: &Answered) -> bool {
        let shrinking = AskingGuard::Shrinking;
        answered.contains(&shrinking) && self.doubts(schedule).iter().any(|(guard, _)| *guard == shrinking)
    }

    /// Half at once is the same guard as half within a week.
    fn is_lifted(&self, doubt: &SuspectPlan) -> bool {
        matches!(doubt, SuspectPlan::MoreThanHalf { .. }) && !self.parts.keeper.guards().stands(Guard::Shrinking)
    }

    /// Why the clock is not trusted. If it cannot be verified, that matters only to deletion by age.
    pub(super) fn clock_doubt(&self, by_age: bool) -> Option<String> {
        if !self.parts.keeper.guards().stands(Guard::ClockWitnesses) {
            return None;
        }
        match self.timeline.verdict() {
            ClockVerdict::Contradict(why) => Some(why),
            ClockVerdict::Unknown(why) => Some(why).filter(|_| by_age),
            ClockVerdict::Agree | ClockVerdict::Settle => None,
        }
    }

    /// An error if what was safe at the beginning of a run is not any more.
    pub(super) fn still_safe(&self, answered: &Answered) -> Result<(), RetentionError> {
        self.records_are_intact()?;
        match self.clock_doubt(false) {
            Some(why) if !answered.contains(&AskingGuard::Clock) => Err(RetentionError::Clock(why)),
            _ => Ok(()),
        }
    }

    /// What has left for its owners was meant to go: it is no loss by which the archive shrinks. What a process that has ended let leave
    /// is not known any more, and a person is asked.
    pub(super) fn note_left(&self) {
        let left = self.parts.handoffs.as_ref().map(|handoffs| handoffs.take_left()).unwrap_or_default();
        if left.is_empty() {
            return;
        }
        let mut levels = self.levels.lock();
        for LeftHour { origin, bytes } in left {
            let is_all_from_others = levels.named.highest().hours == 0;
            if !origin.fetched || is_all_from_others {
                levels.own.lower(1, bytes);
            }
            if origin.fetched && origin.named {
                levels.named.lower(1, bytes);
            }
        }
        self.write_levels(&levels);
    }

    /// Takes the level in, for a run: and where too little of it would be left, what there was is the measure until a person has decided.
    pub(super) fn note_level(&self, schedule: &Schedule) {
        let Some(lived) = self.timeline.lived() else { return };
        let mut levels = self.levels.lock();
        let is_new = [levels.own.note(lived, schedule.own), levels.named.note(lived, schedule.named)].contains(&true);
        let is_held = match self.shrinks(&levels, schedule) {
            Some((Measured::Own, _)) => levels.own.hold(),
            Some((Measured::Named, _)) => levels.named.hold(),
            None => false,
        };
        if is_new || is_held {
            self.write_levels(&levels);
        }
    }

    /// Whether too little would be left, as a run would find it. Changes nothing.
    fn shrinking(&self, schedule: &Schedule) -> Option<String> {
        let lived = self.timeline.lived()?;
        let mut levels = self.levels.lock().clone();
        levels.own.note(lived, schedule.own);
        levels.named.note(lived, schedule.named);
        self.shrinks(&levels, schedule).map(|(_, shrinking)| shrinking.to_string())
    }

    fn shrinks(&self, levels: &Yardsticks, schedule: &Schedule) -> Option<(Measured, Shrinking)> {
        // What strangers gave may go, however much it is; and what is named where most was recorded here.
        let is_mirror = levels.named.highest().hours > schedule.own.hours;
        let own = (Measured::Own, &levels.own, schedule.own, schedule.own_after());
        let named = (Measured::Named, &levels.named, schedule.named, schedule.named_after());
        let both = std::iter::once(own).chain(is_mirror.then_some(named));
        let found = both.into_iter().find_map(|(measured, yardstick, before, after)| {
            // Bytes do not count where nothing goes for want of room: one large old hour may go for its age.
            let by_room = schedule.going.iter().any(|going| match measured {
                Measured::Own => !matches!(going.reason, RetentionReason::Age | RetentionReason::Fetched),
                Measured::Named => going.measured == Some(measured) && going.reason != RetentionReason::Age,
            });
            let left = if by_room { after } else { StreamSize { bytes: u64::MAX, ..after } };
            let shrinks = yardstick.shrinks(left).filter(|_| after != before)?;
            Some((measured, Shrinking { left: after, ..shrinks }))
        })?;
        self.parts.keeper.guards().stands(Guard::Shrinking).then_some(found)
    }

    /// An operator confirmed this size of the own and the named part.
    pub(super) fn reset_levels(&self, own: StreamSize, named: StreamSize) {
        let Some(lived) = self.timeline.lived() else { return };
        let mut levels = self.levels.lock();
        levels.own.reset(lived, own);
        levels.named.reset(lived, named);
        self.write_levels(&levels);
    }

    /// The same of hours in the bucket.
    pub(super) fn note_bucket_level(&self, schedule: &BucketSchedule) {
        let Some(lived) = self.timeline.lived() else { return };
        let mut levels = self.levels.lock();
        let is_new = levels.bucket.note(lived, schedule.level());
        let is_too_little = !schedule.going.is_empty() && levels.bucket.shrinks(schedule.after()).is_some();
        if is_new || (is_too_little && levels.bucket.hold()) {
            self.write_levels(&levels);
        }
    }

    /// An operator confirmed that so many are left in the bucket.
    pub(super) fn reset_bucket_level(&self, schedule: &BucketSchedule) {
        let Some(lived) = self.timeline.lived() else { return };
        let mut levels = self.levels.lock();
        levels.bucket.reset(lived, schedule.after());
        self.write_levels(&levels);
    }

    /// On a full disk it cannot be written, and room must be made all the same: then it is remembered until the node ends.
    fn write_levels(&self, levels: &Yardsticks) {
        let records = self.parts.keeper.records();
        let written = self.base().and_then(|base| Ok(records.write(&base, &LEVELS, levels.text().as_bytes())?));
        if let Err(error) = written {
            tracing::debug!(name: "levels_not_written", %error, "how much the archive holds could not be written down");
        }
    }
}

/// Writes the records that protect the archive, these further ones among them, under the id that it has now. What cannot be relied on
/// stays as it is.
pub fn carry_over(base: &Base, further: &[Record]) -> Result<(), RetentionError> {
    let records = Records::default();
    for record in [TIME, LEVELS, PINS].iter().chain(further) {
        records.read(base, record)?;
    }
    // What the clock says of it is for the next run to judge.
    let now = JournalNow { time: Timestamp::from_us(i64::MAX / 2), lived: None, holders: Arc::new([]) };
    match RetirementLedger::default().load(base, &records, &now, false) {
        Ok(_) | Err(RetentionError::Unusable { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Which records that protect the archive cannot be relied on, for who only looks. Changes nothing.
pub fn examine(base: &Base) -> Result<Vec<UnusableRecord>, DiskError> {
    let (unusable, marks) = Records::examine(base, &[TIME, LEVELS, PINS])?;
    let mut all: Vec<_> =
        unusable.into_iter().map(|record| UnusableRecord { name: record.name, why: record.why }).collect();
    if let Some(why) = super::retired_hours::examine(base, &RecordHistory::of(RETIRED, &[&marks]))? {
        all.push(UnusableRecord { name: RETIRED.to_owned(), why });
    }
    Ok(all)
}

/// Why the clock of this machine is contradicted, by the line of time of an archive, for who only looks. Changes nothing.
pub fn examine_clock(base: &Base) -> Result<Option<String>, DiskError> {
    Ok(match ClockTimeline::peek(Arc::new(SystemClocks::default()), base)? {
        ClockVerdict::Contradict(why) => Some(why),
        ClockVerdict::Agree | ClockVerdict::Settle | ClockVerdict::Unknown(_) => None,
    })
}

/// When one of our own files was last written, by the clock of then.
fn newest_of_ours(base: &Base) -> Option<Timestamp> {
    let own = base.dir(std::path::Path::new(marker::OWN_DIR)).ok()??;
    let modified = |name: &&str| own.stat_file(std::ffi::OsStr::new(*name)).ok()?.map(|meta| meta.mtime_ns);
    let newest = DATED.iter().filter_map(modified).max()?;
    Some(Timestamp::from_us(newest / 1_000))
}
