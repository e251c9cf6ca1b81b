//! Freeing the disk as a job of the node: hours that lie in the bucket leave the disk here when they are old enough, or when there is too
//! little room, the oldest first.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;

use super::archiver::Archiver;
use super::job_watch::JobWatch;
use crate::archive::{HourPlace, Span, Timestamp};
use crate::disk::Receipts;
use crate::jobs::{Failure, Job, JobHandle, JobState, Next, Stop};
use crate::sync::crawl::CrawlError;

/// How often it is looked whether there is anything to do before the index has caught up.
const BEFORE: Duration = Duration::from_millis(500);
/// How long one hour may take.
const DEADLINE: Duration = Duration::from_secs(15 * 60);
/// After how long an hour is looked at again that could not leave.
const AGAIN: Duration = Duration::from_secs(6 * 3_600);

/// When files leave this disk that lie in the bucket as well; never where neither says so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LocalLimits {
    /// When the hour has been over for so long.
    pub keep_local: Option<Duration>,
    /// When less than this is free.
    pub make_room: Option<u64>,
}

impl LocalLimits {
    /// Whether nothing ever leaves.
    pub const fn are_off(&self) -> bool {
        self.keep_local.is_none() && self.make_room.is_none()
    }

    fn is_too_old(&self, place: &HourPlace, now: Timestamp) -> bool {
        let Some(kept) = self.keep_local else { return false };
        place.hour.end() + Span::from_us(i64::try_from(kept.as_micros()).unwrap_or(i64::MAX)) <= now
    }
}

/// Drops what may leave.
pub struct DropJob {
    archiver: Arc<Archiver>,
    limits: LocalLimits,
    stop: Stop,
    ready: watch::Receiver<bool>,
    every: Duration,
    looked: Option<Instant>,
    /// The oldest last.
    candidates: Vec<HourPlace>,
    /// Hours that could not leave, and when that was tried.
    stayed: BTreeMap<HourPlace, Instant>,
}

impl DropJob {
    /// One that looks so often; not before the index has caught up.
    pub fn new(
        archiver: Arc<Archiver>,
        limits: LocalLimits,
        every: Duration,
        ready: watch::Receiver<bool>,
        stop: Stop,
    ) -> Self {
        let (candidates, stayed) = (Vec::new(), BTreeMap::new());
        Self { archiver, limits, stop, ready, every, looked: None, candidates, stayed }
    }

    /// Hours with a receipt of which something lies here.
    fn look(&mut self) -> Result<(), CrawlError> {
        self.stayed.retain(|_, since| since.elapsed() < AGAIN);
        let base = self.archiver.keeper.guard().base()?;
        let mut places = self.archiver.disk(Receipts::of(&base).places())?;
        places.retain(|place| {
            !self.stayed.contains_key(place) && base.stamp(&place.path()).is_ok_and(|stamp| stamp.is_some())
        });
        places.sort_unstable_by(|one, other| other.hour.cmp(&one.hour).then_with(|| other.cmp(one)));
        (self.candidates, self.looked) = (places, Some(Instant::now()));
        Ok(())
    }

    fn next(&mut self) -> Result<Option<HourPlace>, CrawlError> {
        let Some(oldest) = self.candidates.last() else { return Ok(None) };
        let is_due = self.limits.is_too_old(oldest, Timestamp::from(SystemTime::now()))
            || match self.limits.make_room {
                Some(wanted) => {
                    let base = self.archiver.keeper.guard().base()?;
                    self.archiver.disk(base.free_space())?.0 < wanted
                }
                None => false,
            };
        Ok(if is_due { self.candidates.pop() } else { None })
    }
}

impl Job for DropJob {
    fn kind(&self) -> &'static str {
        "drop_local"
    }

    fn deadline(&self) -> Duration {
        DEADLINE
    }

    fn step(&mut self, handle: &JobHandle) -> Result<Next, Failure> {
        if !*self.ready.borrow() {
            handle.set_state(JobState::Waiting, "waits until the index has caught up", None);
            return Ok(Next::WhenWoken(BEFORE));
        }
        let left = self.looked.map_or(Duration::ZERO, |looked| self.every.saturating_sub(looked.elapsed()));
        if left.is_zero() {
            self.look()?;
        }
        let Some(place) = self.next()? else {
            handle.doing("nothing that lies in the bucket has to leave this disk");
            return Ok(Next::WhenWoken(if left.is_zero() { self.every } else { left }));
        };
        handle.working(format!("deletes files of {place} here that lie in the bucket"));
        let watch = JobWatch { handle: Some(handle), stop: &self.stop };
        let drop_local = || self.archiver.drop_local(&place, false, &watch);
        let done = match drop_local() {
            // Another node may have purged its object, and put another one in its place.
            Err(error) if error.is_loss() => self.archiver.verify(&place, &watch).and_then(|_| drop_local()),
            done => done,
        };
        match done {
            Ok(_) => Ok(Next::Again),
            Err(error) => {
                let why = format!("{place}: {error}");
                if error.is_about_the_hour() {
                    self.stayed.insert(place, Instant::now());
                } else {
                    self.candidates.push(place);
                }
                Err(why.into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_leaves_when_it_has_been_over_for_so_long() {
        let place = HourPlace::parse("c/source/2024-01-01T00").unwrap();
        let limits = LocalLimits { keep_local: Some(Duration::from_secs(3_600)), make_room: None };
        let at = |text: &str| Timestamp::parse(text).unwrap();
        assert!(!limits.is_too_old(&place, at("2024-01-01T01:59:59Z")));
        assert!(limits.is_too_old(&place, at("2024-01-01T02:00:00Z")));
        assert!(!LocalLimits::default().is_too_old(&place, at("2034-01-01T02:00:00Z")));
        let endless = LocalLimits { keep_local: Some(Duration::MAX), make_room: None };
        assert!(!endless.is_too_old(&place, at("2034-01-01T02:00:00Z")));
    }
}
