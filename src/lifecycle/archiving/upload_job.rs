//! Uploading as a job of the node: one sealed hour after the other, the oldest first. Where the store is away it waits longer and longer; an hour
//! that cannot be sent does not hold up the next one, and is tried again some hours later. One that another node is to send first waits for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;

use super::archiver::{ArchiveOutcome, Archiver};
use super::job_watch::JobWatch;
use super::learn::LearnedStreams;
use super::upload_order;
use crate::archive::{HourPlace, Timestamp};
use crate::disk::Manifests;
use crate::jobs::{Failure, Job, JobHandle, JobState, Next, Stop};
use crate::sync::crawl::CrawlError;

/// How often it is looked whether there is anything to do before the index has caught up.
const BEFORE: Duration = Duration::from_millis(500);
/// How long it may work without a byte over the line.
const DEADLINE: Duration = Duration::from_secs(15 * 60);
/// After how long an hour is tried again that could not be uploaded because of itself: each attempt may send most of it.
const AGAIN: Duration = Duration::from_secs(6 * 3_600);

/// When what is uploaded, and by whom.
pub struct UploadPlan {
    /// How often it is looked for hours.
    pub every: Duration,
    /// Of which hours the node learns from the bucket, if of any.
    pub learns: Option<LearnedStreams>,
    /// The name of this node, and those of its peers now, which may upload the same hours.
    pub name: String,
    pub peers: Box<dyn Fn() -> Vec<String> + Send + Sync>,
}

/// Uploads what is sealed.
pub struct UploadJob {
    archiver: Arc<Archiver>,
    plan: UploadPlan,
    stop: Stop,
    ready: watch::Receiver<bool>,
    looked: Option<Instant>,
    /// Whether uploads that were left behind have been looked for since.
    is_tidy: bool,
    /// Whether it was looked since which hours the bucket has.
    has_learned: bool,
    /// The oldest last.
    waiting: Vec<HourPlace>,
    found: usize,
    /// Hours that could not be uploaded because of themselves, and when that was tried.
    failed: BTreeMap<HourPlace, Instant>,
}

impl UploadJob {
    /// One that does nothing before the index has caught up.
    pub fn new(archiver: Arc<Archiver>, plan: UploadPlan, ready: watch::Receiver<bool>, stop: Stop) -> Self {
        Self {
            archiver,
            has_learned: plan.learns.is_none(),
            plan,
            stop,
            ready,
            looked: None,
            is_tidy: false,
            waiting: Vec::new(),
            found: 0,
            failed: BTreeMap::new(),
        }
    }

    fn look(&mut self) -> Result<(), Failure> {
        self.failed.retain(|_, failed| failed.elapsed() < AGAIN);
        // Newest first, so that the oldest is taken from the end.
        let count = self.archiver.count(&self.archiver.keeper.places(&[]).unwrap_or_default())?;
        self.archiver.figures.counted(count.report);
        self.waiting = count.waiting;
        self.waiting.retain(|place| !self.failed.contains_key(place));
        (self.looked, self.found, self.is_tidy) = (Some(Instant::now()), self.waiting.len(), false);
        self.has_learned = self.plan.learns.is_none();
        match count.unseen.filter(|_| self.waiting.is_empty()) {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    }

    /// Whether no other node comes before, or nothing has to be sent any more.
    fn is_our_turn(&self, place: &HourPlace) -> Result<bool, CrawlError> {
        let base = self.archiver.keeper.guard().base()?;
        let Some(sealed) = self.archiver.disk(Manifests::of(&base).written_at(place))? else { return Ok(true) };
        let others = (self.plan.peers)();
        let others = others.iter().map(String::as_str);
        let time = upload_order::turn(place, &self.plan.name, others, Timestamp::from_us(sealed / 1_000));
        Ok(time <= Timestamp::from(SystemTime::now()) || self.archiver.new_bytes(place)?.is_none())
    }
}

impl Job for UploadJob {
    fn kind(&self) -> &'static str {
        "archive"
    }

    fn deadline(&self) -> Duration {
        DEADLINE
    }

    fn step(&mut self, handle: &JobHandle) -> Result<Next, Failure> {
        if !*self.ready.borrow() {
            handle.set_state(JobState::Waiting, "waits until the index has caught up", None);
            return Ok(Next::WhenWoken(BEFORE));
        }
        let left = self.looked.map_or(Duration::ZERO, |looked| self.plan.every.saturating_sub(looked.elapsed()));
        if left.is_zero() {
            self.look()?;
        }
        // What waits is known before the store is asked for anything.
        if !self.is_tidy {
            self.archiver.end_abandoned(&JobWatch { handle: None, stop: &self.stop })?;
            self.is_tidy = true;
        }
        if let Some(streams) = self.plan.learns.as_ref().filter(|_| !self.has_learned) {
            // What cannot be learned now holds no upload up.
            self.has_learned = true;
            handle.working("looks in the bucket for hours that are not known here");
            self.archiver.learn(streams, &JobWatch { handle: Some(handle), stop: &self.stop })?;
        }
        let Some(place) = self.waiting.pop() else {
            handle.doing("all that is sealed is in the bucket, or another node comes before");
            return Ok(Next::WhenWoken(if left.is_zero() { self.plan.every } else { left }));
        };
        if !self.is_our_turn(&place)? {
            return Ok(Next::Again);
        }
        handle.working(format!("uploads {place}"));
        handle.progress((self.found - self.waiting.len()) as u64, self.found as u64);
        match self.archiver.archive(&place, &JobWatch { handle: Some(handle), stop: &self.stop }) {
            Ok(
                ArchiveOutcome::Archived { .. }
                | ArchiveOutcome::WasArchived
                | ArchiveOutcome::Open { .. }
                | ArchiveOutcome::TooOld
                | ArchiveOutcome::Changed,
            ) => Ok(Next::Again),
            Err(error) => {
                let why = format!("{place}: {error}");
                if error.is_about_the_hour() {
                    self.failed.insert(place, Instant::now());
                } else {
                    self.waiting.push(place);
                }
                Err(why.into())
            }
        }
    }
}
