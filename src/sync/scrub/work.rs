//! One hour after another: checks its files by name, and puts aside what is damaged.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Instant, SystemTime};

use parking_lot::{Mutex, RwLock};

use super::check::{Check, Fault, FileVerdict};
use super::flagged::Flagged;
use super::options::{ScrubLimits, ScrubOptions, Structure};
use super::quarantine_contents::{KeptFile, QuarantineContents};
use super::report::{CycleId, DamageOutcome, MOST_LISTED, ScrubEvent, ScrubFinding, list_of};
use crate::archive::{HourPlace, LARGEST_FILE, SegmentFile, Timestamp, escape};
use crate::disk::{Base, Dir, DiskError, FileMeta, Quarantine};
use crate::jobs::{NodeEvent, NodeEvents};
use crate::sync::crawl::{CrawlError, Keeper};
use crate::wire::{FlaggedFile, FlaggedList, QuarantineList, QuarantineReport};

/// Files that cannot be read one after the other: then it is the disk, and no longer the files.
const ILL: u32 = 3;
/// So many of an hour are never many, however small it is.
const FEW: u64 = 10;
/// More than one in so many files of an hour is many.
const SHARE: u64 = 5;

#[derive(Debug)]
pub struct Unfinished {
    place: HourPlace,
    name: String,
    meta: FileMeta,
    check: Check,
}

impl Unfinished {
    pub fn progress(&self) -> String {
        format!("{}/{}: {} of {} bytes", self.place, self.name, self.check.size(), self.meta.size)
    }

    /// What was read of it, if it is this one, unchanged.
    pub fn of(self, place: &HourPlace, name: &str, meta: FileMeta) -> Option<Check> {
        (self.place == *place && self.name == name && self.meta == meta).then_some(self.check)
    }
}

/// A move to the quarantine, to be done with the hour's directory at hand.
pub type MoveToQuarantine<'m> = &'m mut dyn FnMut(&Dir) -> Result<Option<String>, DiskError>;

/// Controls the scrub: receives what it does, and says whether to go on.
pub trait Control {
    /// So many bytes were read; says whether to read on in this turn.
    fn read(&mut self, bytes: u64) -> ControlFlow<()>;

    /// A file was left in the middle. Who comes again keeps it.
    fn pause(&mut self, _file: Unfinished) {}

    /// What was read of this file when it was left in the middle, if that was kept.
    fn resume(&mut self, _place: &HourPlace, _name: &str, _meta: FileMeta) -> Option<Check> {
        None
    }

    fn done(&mut self, name: &str, seen: ScrubEvent) -> ControlFlow<()>;

    /// Does this to the hour's directory, and takes the name out of the index if it is not there afterwards.
    fn change(
        &mut self,
        keeper: &Keeper,
        place: &HourPlace,
        name: &str,
        work: MoveToQuarantine<'_>,
    ) -> Result<Option<String>, CrawlError> {
        Ok(keeper.change(place, [OsStr::new(name)], work)?.flatten())
    }
}

pub struct Scrub {
    pub(super) keeper: Arc<Keeper>,
    options: RwLock<ScrubOptions>,
    pub(super) quarantine: Arc<QuarantineContents>,
    flagged: Flagged,
    /// How many files in a row could not be read.
    unreadable: AtomicU32,
    events: NodeEvents,
    pub(super) overdue: Mutex<BTreeMap<(HourPlace, String), Instant>>,
    began: String,
}

impl Scrub {
    pub fn new(
        keeper: Arc<Keeper>,
        options: ScrubOptions,
        quarantine: Arc<QuarantineContents>,
        events: NodeEvents,
    ) -> Self {
        let (options, unreadable) = (RwLock::new(options), AtomicU32::new(0));
        let (flagged, began) = (Flagged::default(), now().to_string());
        Self { keeper, options, quarantine, flagged, unreadable, events, overdue: Mutex::default(), began }
    }

    pub fn keeper(&self) -> &Arc<Keeper> {
        &self.keeper
    }

    pub fn quarantine(&self) -> &Arc<QuarantineContents> {
        &self.quarantine
    }

    pub fn flagged(&self) -> &Flagged {
        &self.flagged
    }

    pub(super) fn tell(&self, event: NodeEvent) {
        self.events.send(event);
    }

    pub fn options(&self) -> ScrubOptions {
        *self.options.read()
    }

    pub fn set_options(&self, options: ScrubOptions) {
        *self.options.write() = options;
    }

    /// Reads what lies in the quarantine, if that was not done yet.
    pub fn prepare(&self) -> Result<Arc<Base>, CrawlError> {
        let base = self.keeper.guard().base()?;
        self.quarantine.read(&base, &self.is_away()).map_err(|error| self.away(error))?;
        self.flagged.read(&base);
        Ok(base)
    }

    /// Reads the quarantine afresh. What cannot be read now stays as it was.
    pub fn look_again(&self) {
        let read = self.keeper.guard().base().map_err(CrawlError::from);
        let read = read.and_then(|base| Ok(self.quarantine.read_again(&base, &self.is_away())?));
        if let Err(error) = read {
            tracing::warn!(name: "quarantine_unreadable", %error, "what lies in the quarantine cannot be read");
        }
    }

    /// The names of an hour that are checked, in order, with what the index knows of them.
    pub fn names(&self, place: &HourPlace) -> Result<BTreeMap<String, SegmentFile>, CrawlError> {
        let contents = self.keeper.answer(place)?.contents;
        // What a tombstone hides is not served.
        let visible = contents.visible().filter(|file| !file.key.tombstone);
        Ok(visible.map(|file| (file.name(), file.clone())).collect())
    }

    /// Checks the files of an hour after the one named `after`. True if it came to the end of the hour.
    pub fn hour(
        &self,
        place: &HourPlace,
        after: Option<&str>,
        cycle: Option<&CycleId>,
        limits: ScrubLimits,
        control: &mut dyn Control,
    ) -> Result<bool, CrawlError> {
        let base = self.prepare()?;
        let names = self.names(place)?;
        let is_after = |name: &str| after.is_none_or(|after| name > after);
        let moved = self.moved_in(place, cycle);
        // A share is one of the whole hour, as it was when the cycle came to it.
        let known = (names.len() + moved.keys().filter(|name| !names.contains_key(*name)).count()) as u64;
        let mut all: BTreeMap<String, Option<SegmentFile>> = moved.keys().map(|name| (name.clone(), None)).collect();
        // What is listed is looked at, even if it was moved: it came again, or a kill has left it where it lay.
        all.extend(names.into_iter().map(|(name, file)| (name, Some(file))));
        all.retain(|name, _| is_after(name));
        let dir = base.dir(&place.path()).map_err(|error| self.away(error))?;
        let mut room = Vec::new();
        for (name, file) in all {
            let mut seen = match (file, &dir) {
                (None, _) | (Some(_), None) => ScrubEvent::Gone,
                (Some(file), Some(dir)) => match self.file(dir, place, &name, &file, &mut room, control)? {
                    Looked::Stopped => return Ok(false),
                    Looked::Seen(seen) => seen,
                    Looked::Bad(fault, meta) => {
                        let bad = Bad { place, name: &name, file: &file, fault, meta, cycle, began: &self.began };
                        self.damaged(&base, &bad, known, limits, control)?
                    }
                },
            };
            self.flag(place, &name, &seen);
            // Nothing after the place that is remembered was booked.
            if matches!(seen, ScrubEvent::Gone | ScrubEvent::Sound)
                && let Some(bytes) = moved.get(&name)
            {
                seen = ScrubEvent::MovedBefore { bytes: *bytes };
            }
            if control.done(&name, seen).is_break() {
                self.flagged.write(&base);
                return Ok(false);
            }
        }
        self.flagged.write(&base);
        Ok(true)
    }

    /// Remembers what is odd and stays, and forgets what is not odd any more.
    fn flag(&self, place: &HourPlace, name: &str, seen: &ScrubEvent) {
        match seen {
            ScrubEvent::Damaged(ScrubFinding { path, problem, faults, outcome: DamageOutcome::Reported }) => {
                let (path, problem, faults) = (path.clone(), (*problem).to_owned(), faults.clone());
                self.flagged.put(place, name, FlaggedFile { path, problem, faults, at: now().to_string() });
            }
            ScrubEvent::Sound | ScrubEvent::Gone | ScrubEvent::Damaged(_) | ScrubEvent::MovedBefore { .. } => {
                self.flagged.remove(place, name);
            }
            ScrubEvent::Failed(_) => {}
        }
    }

    /// Forgets what was flagged and is not listed any more: retired, hidden, or gone with its hour.
    pub fn tidy_flags(&self) -> Result<(), CrawlError> {
        let base = self.prepare()?;
        let mut hour: Option<(HourPlace, BTreeMap<String, SegmentFile>)> = None;
        let mut failed = None;
        self.flagged.retain(|place, name| {
            if hour.as_ref().is_none_or(|(read, _)| read != place) {
                match self.names(place) {
                    Ok(names) => hour = Some((place.clone(), names)),
                    // Of what cannot be read nothing is concluded.
                    Err(error) => {
                        failed = Some(error);
                        return true;
                    }
                }
            }
            hour.as_ref().is_some_and(|(_, names)| names.contains_key(name))
        });
        self.flagged.write(&base);
        failed.map_or(Ok(()), Err)
    }

    /// What of an hour was moved in this cycle, with the bytes that were read of each.
    fn moved_in(&self, place: &HourPlace, cycle: Option<&CycleId>) -> BTreeMap<String, u64> {
        let Some(cycle) = cycle else { return BTreeMap::new() };
        let moved = self.quarantine.of_hour(place).into_iter().map(|(_, file)| file).filter(|file| cycle.has(file));
        moved.map(|file| (file.name, file.report.found_size.unwrap_or(0))).collect()
    }

    fn file(
        &self,
        dir: &Dir,
        place: &HourPlace,
        name: &str,
        file: &SegmentFile,
        room: &mut Vec<u8>,
        control: &mut dyn Control,
    ) -> Result<Looked, CrawlError> {
        let failed = |error: DiskError| match self.away(error) {
            CrawlError::Disk(error) if !error.is_shortage() => Ok(Looked::Seen(ScrubEvent::Failed(error.to_string()))),
            error => Err(error),
        };
        let before = match dir.stat_file(OsStr::new(name)) {
            Ok(Some(meta)) => meta,
            Ok(None) => return Ok(Looked::Seen(ScrubEvent::Gone)),
            Err(error) => return failed(error),
        };
        if before.size > LARGEST_FILE {
            return Ok(Looked::Bad(Fault::TooLarge { size: before.size }, before));
        }
        let structure = self.options().structure != Structure::Off;
        let mut check = control.resume(place, name, before).unwrap_or_else(|| Check::new(&file.key, structure));
        let mut verdict = check.go_on(dir, name, room, |bytes| control.read(bytes));
        if matches!(verdict, Ok(FileVerdict::Bad(Fault::Unreadable { .. }))) {
            // A cable, or a controller that was busy.
            check = Check::new(&file.key, structure);
            verdict = check.go_on(dir, name, room, |bytes| control.read(bytes));
        }
        match verdict {
            Ok(FileVerdict::Bad(Fault::Unreadable { why })) => {
                if self.unreadable.fetch_add(1, Ordering::Relaxed) + 1 >= ILL {
                    let cause = std::io::Error::other(format!(
                        "{ILL} files in a row cannot be read, so that the disk looks ill and not the files: {why}"
                    ));
                    tracing::error!(name: "disk_looks_ill", path = %format_args!("{place}/{name}"), why, "several files in a row cannot be read; no more are quarantined until one can be: check the disk");
                    return Err(CrawlError::Disk(DiskError::Io {
                        action: "scrub",
                        path: dir.path().join(name),
                        cause,
                    }));
                }
                Ok(Looked::Bad(Fault::Unreadable { why }, before))
            }
            Ok(verdict) => {
                self.unreadable.store(0, Ordering::Relaxed);
                Ok(match verdict {
                    FileVerdict::Sound { .. } => Looked::Seen(ScrubEvent::Sound),
                    FileVerdict::Gone => Looked::Seen(ScrubEvent::Gone),
                    FileVerdict::Stopped => {
                        control.pause(Unfinished { place: place.clone(), name: name.to_owned(), meta: before, check });
                        Looked::Stopped
                    }
                    FileVerdict::Bad(fault) => Looked::Bad(fault, before),
                })
            }
            Err(error) => failed(error),
        }
    }

    /// Puts a damaged file aside, or says why it stays.
    fn damaged(
        &self,
        base: &Base,
        bad: &Bad<'_>,
        known: u64,
        limits: ScrubLimits,
        control: &mut dyn Control,
    ) -> Result<ScrubEvent, CrawlError> {
        let report = bad.report();
        let path = report.path.clone();
        let (problem, faults) = (bad.fault.kind(), report.faults.clone());
        let is_reported = match &bad.fault {
            Fault::Structure { .. } => self.options().structure == Structure::Report,
            // Odd names prove nothing, and files that are too large were not read.
            Fault::Odd { .. } | Fault::TooLarge { .. } => true,
            Fault::Hash { .. } | Fault::Zeros { .. } | Fault::Unreadable { .. } => false,
        };
        let outcome = if is_reported {
            DamageOutcome::Reported
        } else if self.are_many(bad, known, limits) {
            DamageOutcome::Waits
        } else {
            match self.set_aside(base, bad, &report, control)? {
                Some(outcome) => outcome,
                None => return Ok(ScrubEvent::Gone),
            }
        };
        match &outcome {
            DamageOutcome::Quarantined(_) => {
                tracing::error!(name: "segment_quarantined", path, problem, why = faults.join("; "), "a damaged file was moved to the quarantine; a sound one is fetched if another node has it");
                self.tell(NodeEvent::FileQuarantined);
            }
            DamageOutcome::Reported if problem == "too-large" => {
                tracing::warn!(name: "segment_too_large", path, why = faults.join("; "), "a file is larger than any segment may be; it stays, and is not read: look where it comes from, and remove it");
            }
            DamageOutcome::Reported => {
                tracing::warn!(name: "segment_suspicious", path, problem, why = faults.join("; "), "a segment is what its name says, and its stream is odd, or not whole where [scrub] structure is `report`; it stays");
            }
            DamageOutcome::Waits => {
                tracing::error!(name: "scrub_waits", path, problem, why = faults.join("; "), "a damaged file stays where it is, because they are suspiciously many: check disk and memory, then say `gapless scrub --yes` with the channel, quality or hour");
            }
            DamageOutcome::Stays(why) => {
                tracing::error!(name: "segment_not_quarantined", path, problem, error = why, "a damaged file cannot be moved to the quarantine, and is still listed");
            }
        }
        Ok(ScrubEvent::Damaged(ScrubFinding { path, problem, faults, outcome }))
    }

    fn are_many(&self, bad: &Bad<'_>, known: u64, limits: ScrubLimits) -> bool {
        // What is no cycle of a node's own is counted from the start of the process.
        let of_cycle = |file: &KeptFile| match bad.cycle {
            Some(cycle) => cycle.has(file),
            None => file.report.cycle.is_none() && file.report.began.as_ref() == Some(&self.began),
        };
        let in_hour = self.quarantine.of_hour(bad.place);
        // In a cycle what went before and has not come again counts as well: or else each would take a fifth of what is left.
        let counts = |file: &KeptFile| of_cycle(file) || (bad.cycle.is_some() && file.is_lost());
        let in_hour = in_hour.iter().filter(|(_, file)| counts(file)).count() as u64;
        let in_cycle = self.quarantine.count(of_cycle).0;
        in_cycle >= limits.cycle || (limits.hour && in_hour >= FEW && in_hour.saturating_mul(SHARE) >= known)
    }

    /// Moves a damaged file and takes its name out of the index. `None` if it is not the one that was looked at any more.
    fn set_aside(
        &self,
        base: &Base,
        bad: &Bad<'_>,
        report: &QuarantineReport,
        control: &mut dyn Control,
    ) -> Result<Option<DamageOutcome>, CrawlError> {
        let bytes = text_of(report);
        let quarantine = Quarantine::of(base);
        let mut work = |hour: &Dir| {
            // Another file there means that it was mended meanwhile.
            if hour.stat_file(OsStr::new(bad.name))? != Some(bad.meta) {
                return Ok(None);
            }
            let _moving = self.quarantine.moving();
            let stored = quarantine.set_aside(bad.place, hour, bad.name, &bytes)?;
            if let Some(stored) = &stored {
                let (name, report) = (bad.name.to_owned(), report.clone());
                let file = KeptFile { name, size: bad.meta.size, reported_ns: Some(now_ns()), report };
                self.quarantine.put(bad.place, stored, file);
            }
            Ok(stored)
        };
        match control.change(&self.keeper, bad.place, bad.name, &mut work) {
            Ok(stored) => Ok(stored.map(DamageOutcome::Quarantined)),
            Err(CrawlError::Disk(error)) if !error.is_shortage() => Ok(Some(DamageOutcome::Stays(error.to_string()))),
            Err(error) => Err(error),
        }
    }

    pub fn list(&self) -> Result<QuarantineList, CrawlError> {
        self.prepare()?;
        Ok(list_of(self.quarantine(), MOST_LISTED))
    }

    pub fn list_flagged(&self) -> Result<FlaggedList, CrawlError> {
        self.prepare()?;
        Ok(self.flagged().list(MOST_LISTED))
    }

    fn is_away(&self) -> impl Fn(&DiskError) -> bool {
        let guard = Arc::clone(self.keeper.guard());
        move |error| guard.report(error)
    }

    /// Passes an error to the guard that may mean that the disk is away.
    fn away(&self, error: DiskError) -> CrawlError {
        let guard = self.keeper.guard();
        if guard.report(&error)
            && let Err(away) = guard.base()
        {
            return CrawlError::Away(away);
        }
        CrawlError::Disk(error)
    }
}

enum Looked {
    Seen(ScrubEvent),
    Stopped,
    Bad(Fault, FileMeta),
}

struct Bad<'b> {
    place: &'b HourPlace,
    name: &'b str,
    file: &'b SegmentFile,
    fault: Fault,
    meta: FileMeta,
    cycle: Option<&'b CycleId>,
    /// When the process did, which counts where there is no cycle.
    began: &'b str,
}

impl Bad<'_> {
    fn report(&self) -> QuarantineReport {
        let (found, found_size) = self.fault.found();
        let expected = self.file.key.hash;
        let is_right = matches!(self.fault, Fault::Structure { .. } | Fault::Odd { .. });
        QuarantineReport {
            path: format!("{}/{}", self.place, self.name),
            problem: self.fault.kind().to_owned(),
            faults: self.fault.sentences(self.file.size),
            expected_hash: expected.to_string(),
            found_hash: found.or(is_right.then_some(expected)).map(|hash| hash.to_string()),
            expected_size: Some(self.file.size),
            found_size,
            at: now().to_string(),
            cycle: self.cycle.map(|cycle| cycle.number),
            began: Some(self.cycle.map_or(self.began, |cycle| &cycle.began).to_owned()),
            healed: None,
        }
    }
}

/// A report as it is stored: readable with `cat`, too.
pub(super) fn text_of(report: &QuarantineReport) -> Vec<u8> {
    let text = serde_json::to_string_pretty(report).unwrap_or_default();
    escape::json(&text).into_owned().into_bytes()
}

pub(super) fn now() -> Timestamp {
    Timestamp::from_us(now_ns() / 1_000)
}

pub(super) fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
