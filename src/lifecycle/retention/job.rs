//! Runs of retention: each examines everything, deletes what is due, and reports.
//!
//! One run at a time, whether the job ([`super::runs`]), the command line or the API began it. Blocks.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use prometheus::Registry;
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::apply::{Deleted, delete_segments};
use super::bucket_schedule::BucketSchedule;
use super::identity::Steady;
use super::journal::JournalStep;
use super::last_copy::Copies;
use super::protect::FreeSpace;
use super::reclaim::PeerIdentities;
use super::report::RetentionGauges;
use super::retired_hours::RetirementLedger;
use super::runs::{Attempts, RunRequest, RunRequests};
use super::schedule::{Answered, RetentionReason, RetiringHour};
use super::shrinking::Yardsticks;
use super::{RetentionError, report};
use crate::archive::disk_use::DiskUse;
use crate::archive::retention::RetentionLimits;
use crate::archive::{HourPlace, Span, Stream, misspelt};
use crate::bucket::Bucket;
use crate::disk::{Base, Checked, marker};
use crate::index::{Applied, Health};
use crate::jobs::{JobHandle, NodeEvent, NodeEvents, Stop, Wake};
use crate::lifecycle::archiving::Archiver;
use crate::lifecycle::clock::{ClockTimeline, Clocks};
use crate::lifecycle::deleted::DeletionCounter;
use crate::lifecycle::handoffs::{HandoffError, Handoffs, RetirePermit, RetireVerdict};
use crate::replicate::peer::{Peer, PeerClient};
use crate::sync::crawl::{CrawlError, Keeper};
use crate::wire::{AbsentHour, AskingGuard, DiskFilled, RetentionReport};

/// How often it is looked whether it is time to end while other nodes are asked.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, Default)]
pub struct RetentionOptions {
    pub limits: RetentionLimits,
    /// How long after its hour was retired a tombstone stays.
    pub reclaim_age: Span,
    pub interval: Duration,
    /// Whether an hour stays as long as no other node has all that it holds.
    pub keep_last_copy: bool,
    /// Names of peers that count as other copies by configuration, unless they turn out to be this disk.
    pub copies_at: Vec<String>,
}

pub struct RetentionParts {
    pub keeper: Arc<Keeper>,
    /// Whether the index that is open now has caught up with the disk.
    pub is_ready: Box<dyn Fn() -> bool + Send + Sync>,
    pub deletions: Arc<DeletionCounter>,
    pub client: PeerClient,
    /// The bucket that hours of this archive are sent to.
    pub bucket: Option<Bucket>,
    pub peers: watch::Receiver<Vec<Peer>>,
    /// By this number this node recognises itself among them.
    pub instance: u64,
    /// Where they are asked.
    pub handle: Handle,
    pub clocks: Arc<dyn Clocks>,
    pub free: FreeSpace,
    pub events: NodeEvents,
    pub wake: Wake,
    /// Where hours lie in a bucket as well.
    pub archiver: Option<Arc<Archiver>>,
    /// What was promised to other nodes under a layout.
    pub handoffs: Option<Arc<Handoffs>>,
}

/// Deletes whole hours by the limits. Share it by `Arc`.
pub struct Retention {
    pub(super) parts: RetentionParts,
    pub(super) options: RetentionOptions,
    pub(super) ledger: RetirementLedger,
    pub(super) timeline: Arc<ClockTimeline>,
    pub(super) levels: Mutex<Yardsticks>,
    /// Who the peers are, as far as they have said so.
    pub(super) peer_identities: Mutex<PeerIdentities>,
    pub(super) steady: Steady,
    pub(super) gauges: RetentionGauges,
    running: Mutex<()>,
    report: Mutex<RetentionReport>,
    pub(super) attempts: Mutex<Attempts>,
    run_requests: RunRequests,
    /// Who filled the disk when everything was last looked at.
    used: Mutex<Option<DiskUse>>,
}

impl Retention {
    /// Reads the journal, if the disk is there; otherwise later.
    pub fn new(parts: RetentionParts, options: RetentionOptions, registry: &Registry) -> prometheus::Result<Self> {
        let retention = Self::unread(parts, options, registry)?;
        retention.load_or_report();
        Ok(retention)
    }

    /// Reads nothing: for a process that neither deletes nor says what would be.
    pub fn unread(parts: RetentionParts, options: RetentionOptions, registry: &Registry) -> prometheus::Result<Self> {
        let report = RetentionReport { enabled: !options.limits.are_off(), ..RetentionReport::default() };
        Ok(Self {
            gauges: RetentionGauges::register(registry)?,
            attempts: Mutex::new(Attempts::new(parts.keeper.guard().returns())),
            timeline: parts.handoffs.as_ref().map_or_else(
                || Arc::new(ClockTimeline::new(Arc::clone(&parts.clocks))),
                |handoffs| Arc::clone(handoffs.timeline()),
            ),
            parts,
            options,
            ledger: RetirementLedger::default(),
            levels: Mutex::default(),
            peer_identities: Mutex::default(),
            steady: Steady::default(),
            running: Mutex::default(),
            report: Mutex::new(report),
            run_requests: RunRequests::new(),
            used: Mutex::default(),
        })
    }

    /// The answers of [`Retention::keeps`] may be others now.
    pub(super) fn changed(&self) {
        self.parts.events.send(NodeEvent::HourRulesChanged);
    }

    pub fn report(&self) -> RetentionReport {
        let report = self.report.lock().clone();
        RetentionReport { clock: self.clock_doubt(false), unusable_records: self.unusable_records(), ..report }
    }

    /// Exempts these hours from all limits, and lets them be fetched again; with `release`, ends that.
    pub fn keep(&self, places: &[HourPlace], release: bool) -> Result<(), RetentionError> {
        let _one = self.running();
        let noted = self.note_exempt(places, release);
        // Some of them may have been noted before it failed.
        self.changed();
        noted
    }

    fn note_exempt(&self, places: &[HourPlace], release: bool) -> Result<(), RetentionError> {
        let mut lines = Vec::new();
        for place in places {
            let known = self.ledger.ask(|journal, _| journal.get(place).cloned()).ok_or(RetentionError::NotRead)?;
            let is_kept = known.is_some_and(|entry| entry.step == JournalStep::Kept);
            if is_kept == release {
                lines.push((place.clone(), (!release).then(|| self.entry(JournalStep::Kept, None))));
            }
        }
        if lines.is_empty() { Ok(()) } else { self.note_all(lines) }
    }

    /// Those of the places under which nothing is here, and what may be meant by them: they may come, or be misspelt. Changes nothing.
    pub fn not_here(&self, places: &[HourPlace]) -> Result<Vec<AbsentHour>, RetentionError> {
        let index = self.parts.keeper.index();
        let known: Vec<String> = index.catalog().streams().iter().map(Stream::to_string).collect();
        let mut absent = Vec::new();
        for place in places {
            if index.hour_row(&place.stream.to_string(), place.hour).map_err(CrawlError::Index)?.is_none() {
                let asked = place.stream.to_string();
                let meant = misspelt::meant(&asked, known.iter().map(String::as_str));
                absent.push(AbsentHour { hour: place.clone(), meant: meant.and_then(|name| Stream::parse(name).ok()) });
            }
        }
        Ok(absent)
    }

    /// Asks for a run of the job, at once or after the one that runs. What looks like a mistake is done only if a person has said yes
    /// to each guard that asks.
    pub fn request_run(&self, yes: &[AskingGuard]) -> RunRequest {
        let request = self.run_requests.ask(yes);
        self.attempts.lock().hurry();
        self.parts.wake.wake();
        request
    }

    pub fn wake(&self) -> &Wake {
        &self.parts.wake
    }

    /// Reads the journal if that is to be done: it was not read yet, or the disk is another than it was then. Looks at the clock.
    pub(super) fn know_journal(&self) {
        let returns = self.parts.keeper.guard().returns();
        if self.attempts.lock().returned(returns) {
            self.parts.keeper.records().begin();
            self.ledger.forget();
        }
        if self.ledger.ask(|_, _| ()).is_none() && self.attempts.lock().is_due(Instant::now()) {
            self.load_or_report();
        }
        self.tick();
    }

    /// What the job does every half second, for tests in which no job runs.
    #[cfg(test)]
    pub(crate) fn glance(&self) {
        self.know_journal();
    }

    pub(super) fn run_requests(&self) -> &RunRequests {
        &self.run_requests
    }

    pub(super) fn is_ready(&self) -> bool {
        (self.parts.is_ready)()
    }

    pub(super) fn interval(&self) -> Duration {
        self.options.interval
    }

    /// One run. What looks like a mistake is done only if a person has `answered` every guard that asks. What did not work is in the
    /// report. How far it is it reports by `handle`, if given.
    pub fn once(&self, answered: &Answered, stop: &Stop, handle: Option<&JobHandle>) -> RetentionReport {
        let mut running = self.running();
        let mut report = RetentionReport { enabled: !self.options.limits.are_off(), ..RetentionReport::default() };
        if let Err(error) = self.attempt((answered, stop, handle), (&mut running, &mut report)) {
            let text = error.to_string();
            if self.report.lock().error.as_ref() == Some(&text) {
                tracing::debug!(name: "retention_failed", %error, "retention still could not do all that it was to do");
            } else {
                tracing::warn!(name: "retention_failed", %error, "retention could not finish; it will be retried");
            }
            report.error = Some(text);
            if report.last_run.is_none() {
                // Nothing is known about what is overdue now: what was known before stands.
                let before = self.report.lock();
                (report.last_run, report.overdue_bytes) = (before.last_run, before.overdue_bytes);
            }
        }
        self.gauges.overdue(report.overdue_bytes);
        *self.report.lock() = report.clone();
        report
    }

    fn attempt(
        &self,
        (answered, stop, handle): (&Answered, &Stop, Option<&JobHandle>),
        (running, report): (&mut MutexGuard<'_, ()>, &mut RetentionReport),
    ) -> Result<(), RetentionError> {
        self.tick();
        self.may_delete()?;
        if answered.contains(&AskingGuard::Clock) && self.clock_doubt(true).is_some() {
            self.timeline.confirm(&*self.base()?, self.parts.keeper.records());
        }
        if !self.options.limits.are_off() {
            self.begin_journal();
        }
        let journal = self.ledger.journal().ok_or(RetentionError::NotRead)?;
        self.look_at_journal(&journal)?;
        self.parts.keeper.settle_origins(&|| self.is_ready())?;
        let schedule = self.schedule(&journal, &self.options.limits, self.free())?;
        // The index may have begun anew while it was asked.
        self.may_delete()?;
        self.note_left();
        self.note_level(&schedule);
        let now = self.now();
        report.last_run = Some(now);
        self.gauges.ran(now);
        report.overdue_bytes = schedule.going_bytes();
        report.disk = self.disk_filled();
        let may_shrink = self.may_shrink(&schedule, answered);
        let mut copies = self.copies();
        if let Some((guard, doubt)) = self.doubt(&schedule, answered) {
            tracing::error!(name: "retention_doubted", %doubt, "retention needs confirmation");
            (report.asks, report.doubt) = (Some(guard), Some(self.with_who_fills(&doubt)));
            for going in schedule.begun() {
                self.retire_or_report(going, &mut copies, (answered, stop), report)?;
            }
            return Ok(());
        }
        // What is wrong with the bucket holds up nothing here; what was begun there is neither gone on with nor released.
        let in_bucket = match self.bucket_schedule(&journal, &self.options.limits) {
            Ok(in_bucket) => in_bucket,
            Err(error) => {
                report.error = Some(error.to_string());
                BucketSchedule::default()
            }
        };
        if report.error.is_none() {
            self.release(&journal, &schedule, &in_bucket)?;
        }
        if let Some(first) = schedule.going.first() {
            self.meet(&first.stored.place.stream, stop)?;
        }
        for (done, going) in (0_u64..).zip(&schedule.going) {
            if let Some(handle) = handle {
                handle.doing(format!("deletes {}", going.stored.place));
                handle.progress(done, schedule.going.len() as u64);
            }
            self.retire_or_report(going, &mut copies, (answered, stop), report)?;
        }
        if may_shrink {
            self.reset_levels(schedule.own_after(), schedule.named_after());
        }
        self.reclaim_all(&journal, stop, report)?;
        // Last, as a store that does not answer ends the run.
        self.expire(&in_bucket, &mut copies, (answered, stop, handle), (running, report))?;
        if report.hours > 0 {
            tracing::info!(
                name: "retention_run", hours = report.hours, segments = report.segments, bytes = report.bytes,
                overdue = report.overdue_bytes, "hours were retired"
            );
        }
        Ok(())
    }

    /// Retires an hour. An error of this hour is reported and does not stop the others.
    fn retire_or_report(
        &self,
        going: &RetiringHour,
        copies: &mut Copies,
        (answered, stop): (&Answered, &Stop),
        report: &mut RetentionReport,
    ) -> Result<(), RetentionError> {
        if stop.is_stopped() {
            return Err(RetentionError::Stopped);
        }
        self.still_safe(answered)?;
        let place = &going.stored.place;
        if let Some(doubt) = self.parts.keeper.doubt_of(place) {
            report.error = Some(doubt.to_string());
            return Ok(());
        }
        let _permit = match self.may_retire(place)? {
            Ok(permit) => permit,
            Err(why) => {
                report.pinned_hours += 1;
                tracing::debug!(name: "hour_pinned", hour = %place, why, "an hour that is to be deleted stays for now");
                return Ok(());
            }
        };
        let seen = if self.options.keep_last_copy {
            let Some(seen) = self.unless_last_copies(place, copies, stop, report)? else { return Ok(()) };
            Some(seen)
        } else {
            None
        };
        match self.retire(place, going.reason, seen.as_ref(), (answered, stop), report) {
            Ok(deleted) if deleted.unseen > 0 => {
                tracing::info!(name: "hour_has_changed", hour = %place, files = deleted.unseen, "an hour got more segments while other nodes were asked about it; it waits for the next run");
                Ok(())
            }
            Ok(_) => {
                report.hours += 1;
                report.overdue_bytes = report.overdue_bytes.saturating_sub(going.stored.bytes);
                Ok(())
            }
            Err(RetentionError::Disk(error)) if !error.is_away() && !error.is_full() && !error.is_read_only() => {
                // One says it, where the whole archive may not be written.
                if report.error.is_none() {
                    tracing::warn!(name: "hour_not_retired", hour = %place, %error, "an hour could not be retired; it is tried again, as are others for which this is so");
                }
                report.error = Some(format!("{place}: {error}"));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Permission to delete a whole hour, which may have been promised to another node; or why not yet.
    pub(super) fn may_retire(&self, place: &HourPlace) -> Result<Result<Option<RetirePermit>, String>, RetentionError> {
        let Some(handoffs) = &self.parts.handoffs else { return Ok(Ok(None)) };
        match handoffs.may_retire(place) {
            Ok(RetireVerdict::May(permit)) => Ok(Ok(Some(permit))),
            Ok(RetireVerdict::Pinned) => {
                Ok(Err("another node was promised that it stays, for an hour at most".to_owned()))
            }
            Err(HandoffError::Crawl(error)) => Err(error.into()),
            Err(HandoffError::Disk(error)) => Err(error.into()),
            Err(error) => Err(RetentionError::Promises(error)),
        }
    }

    /// The steps by which one hour goes; with `seen`, only if it holds nothing else. What was deleted is in the report, also where the
    /// rest fails.
    fn retire(
        &self,
        place: &HourPlace,
        reason: RetentionReason,
        seen: Option<&HashSet<String>>,
        (answered, stop): (&Answered, &Stop),
        report: &mut RetentionReport,
    ) -> Result<Deleted, RetentionError> {
        self.may_delete()?;
        let base = self.base()?;
        let before = self.ledger.ask(|journal, _| journal.get(place).cloned()).ok_or(RetentionError::NotRead)?;
        let entry = |step| Some(self.entry(step, Some(reason)));
        self.note(place, entry(JournalStep::Retiring))?;
        let may_go_on = || !stop.is_stopped() && self.still_safe(answered).is_ok();
        let (deleted, result) = delete_segments(&base, place, seen, &may_go_on);
        self.parts.deletions.add(place, deleted.segments);
        report.segments += deleted.segments;
        report.bytes += deleted.bytes;
        // In any case the index learns what is left.
        let known = self.parts.keeper.follow(place);
        result?;
        or_update_later(place, known)?;
        if deleted.unseen > 0 {
            self.note(place, before)?;
            return Ok(deleted);
        }
        if deleted.stopped {
            return self.still_safe(answered).and(Err(RetentionError::Stopped));
        }
        if deleted.left > 0 {
            tracing::warn!(name: "files_left", hour = %place, files = deleted.left, "an hour was retired; files with other names stay in its directory");
        }
        self.note(place, entry(if deleted.dir_gone { JournalStep::Gone } else { JournalStep::Retired }))?;
        Ok(deleted)
    }

    /// An error unless everything is as it must be before anything is deleted.
    pub(super) fn may_delete(&self) -> Result<(), RetentionError> {
        self.records_are_intact()?;
        if !self.is_ready() {
            return Err(RetentionError::Index("is catching up with the disk".to_owned()));
        }
        match self.parts.keeper.index().health() {
            // What it says is right as of its last write. A full disk stalls it, and then room is needed most.
            Health::Good | Health::Stalled { .. } => {}
            Health::InMemory { why } => return Err(RetentionError::Index(format!("is kept in memory ({why})"))),
        }
        if let Checked::Away(reason) = self.parts.keeper.guard().check() {
            return Err(CrawlError::Away(reason).into());
        }
        marker::read(&*self.base()?)?.map(drop).ok_or(RetentionError::NoMarker)
    }

    pub(super) fn base(&self) -> Result<Arc<Base>, RetentionError> {
        Ok(self.parts.keeper.guard().base().map_err(CrawlError::Away)?)
    }

    pub(super) fn free(&self) -> Option<u64> {
        (self.parts.free)(&*self.base().ok()?)
    }

    fn load_or_report(&self) {
        let Err(error) = self.load(false) else {
            self.changed();
            return;
        };
        if matches!(error, RetentionError::Unusable { .. }) {
            self.attempts.lock().failed(Instant::now());
        }
        let text = error.to_string();
        let mut report = self.report.lock();
        if report.error.as_ref() != Some(&text) {
            tracing::error!(name: "retired_unreadable", %error, "the journal of retired hours cannot be relied on");
            report.error = Some(text);
        }
    }

    /// Who fills the disk now, and what has grown since this was asked before.
    fn disk_filled(&self) -> Option<DiskFilled> {
        let used = self.parts.keeper.disk_use().ok()?;
        let before = self.used.lock().replace(used).unwrap_or(used);
        Some(report::disk(&used, &used.grown_since(&before)))
    }

    /// A doubt with the word who fills the disk, where that is what it is about.
    fn with_who_fills(&self, doubt: &str) -> String {
        let used = self.used.lock().filter(|_| self.options.limits.by_size());
        used.map_or_else(|| doubt.to_owned(), |used| format!("{doubt} ({used})"))
    }

    pub(super) fn running(&self) -> MutexGuard<'_, ()> {
        self.running.lock()
    }
}

/// Waits until it is time to end: a peer that hangs must not hold up the end.
pub(super) async fn stopped(stop: &Stop) {
    while !stop.is_stopped() {
        tokio::time::sleep(LOOK).await;
    }
}

/// An index that takes no writes now is brought into line by the crawl when it does again.
pub(super) fn or_update_later(place: &HourPlace, known: Result<Applied, CrawlError>) -> Result<(), RetentionError> {
    match known {
        Err(CrawlError::Index(error)) => {
            tracing::warn!(name: "index_not_told", hour = %place, %error, "files were deleted; the index will be updated when it is writable again");
            Ok(())
        }
        other => Ok(other.map(drop)?),
    }
}
