//! What this process knows of its bucket without asking it: what was counted last, what went over the line, what failed and since when. Metrics,
//! status and page show it, so that nobody who looks costs a request of the store.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use parking_lot::Mutex;

use crate::archive::Timestamp;
use crate::bucket::{BucketError, REASONS};
use crate::wire::{ArchiveReport, ArchiveShare, BucketFailure};

/// The figures of one bucket.
#[derive(Debug, Default)]
pub struct BucketFigures {
    uploaded: AtomicU64,
    read: AtomicU64,
    deleted: AtomicU64,
    /// In the order of [`REASONS`].
    failures: [AtomicU64; REASONS.len()],
    known: Mutex<KnownBucket>,
}

/// What changes together.
#[derive(Debug, Clone, Default)]
pub struct KnownBucket {
    /// None before hours were counted for the first time.
    pub counted: Option<ArchiveReport>,
    pub failing: Option<BucketFailure>,
}

impl BucketFigures {
    pub(super) fn uploaded(&self, bytes: u64) {
        self.uploaded.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn read(&self, bytes: u64) {
        self.read.fetch_add(bytes, Ordering::Relaxed);
    }

    /// An object was deleted in the bucket.
    pub(super) fn deleted(&self) {
        self.deleted.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn failed(&self, error: &BucketError) {
        let reason = error.reason();
        let Some(at) = REASONS.iter().position(|known| *known == reason) else { return };
        if let Some(counter) = self.failures.get(at) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        if error.is_about_the_object() {
            return;
        }
        let failing = &mut self.known.lock().failing;
        let since = failing.as_ref().map_or_else(now, |before| before.since);
        *failing = Some(BucketFailure { reason: reason.to_owned(), why: error.to_string(), since });
    }

    /// It did what it was asked for, which proves that hours go there only where none waits: another right may be missing for that.
    pub(super) fn answered(&self) {
        let mut known = self.known.lock();
        if known.counted.as_ref().is_none_or(|counted| counted.waiting.hours == 0) {
            known.failing = None;
        }
    }

    pub(super) fn counted(&self, counted: ArchiveReport) {
        self.known.lock().counted = Some(counted);
    }

    /// An hour with so many bytes of files was read back that waited before.
    pub(super) fn archived(&self, bytes: u64) {
        let mut known = self.known.lock();
        known.failing = None;
        let Some(counted) = &mut known.counted else { return };
        let (waiting, archived) = (&mut counted.waiting, &mut counted.archived);
        take(waiting, bytes);
        archived.hours += 1;
        archived.bytes += bytes;
        counted.last_read_back = Some(now());
        if waiting.hours == 0 {
            counted.waiting_since = None;
        }
    }

    /// An object turned out to be lost: of an hour that was in the bucket, with so many bytes of files, or of another one.
    pub(super) fn lost(&self, archived: Option<u64>) {
        if let Some(counted) = &mut self.known.lock().counted {
            counted.lost += 1;
            if let Some(bytes) = archived {
                take(&mut counted.archived, bytes);
            }
        }
    }

    /// One that was lost is there again, or others hold all of it.
    pub(super) fn found(&self) {
        if let Some(counted) = &mut self.known.lock().counted {
            counted.lost = counted.lost.saturating_sub(1);
        }
    }

    pub fn known(&self) -> KnownBucket {
        self.known.lock().clone()
    }

    /// Bytes that were uploaded, and bytes that were read.
    pub fn moved(&self) -> (u64, u64) {
        (self.uploaded.load(Ordering::Relaxed), self.read.load(Ordering::Relaxed))
    }

    /// Objects that were deleted in the bucket.
    pub fn deleted_objects(&self) -> u64 {
        self.deleted.load(Ordering::Relaxed)
    }

    /// How often each reason was one.
    pub fn failures(&self) -> impl Iterator<Item = (&'static str, u64)> {
        REASONS.into_iter().zip(self.failures.iter().map(|count| count.load(Ordering::Relaxed)))
    }
}

/// What was counted before an hour was sealed does not have it.
fn take(share: &mut ArchiveShare, bytes: u64) {
    share.hours = share.hours.saturating_sub(1);
    share.bytes = share.bytes.saturating_sub(bytes);
}

fn now() -> Timestamp {
    SystemTime::now().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied() -> BucketError {
        BucketError::Denied { at: "h".to_owned(), key: "k".to_owned(), code: "c".to_owned(), what: "w" }
    }

    fn counted(waiting: u64) -> ArchiveReport {
        let waiting = ArchiveShare { hours: waiting, bytes: 10 };
        ArchiveReport { waiting, waiting_since: Some(now()), ..ArchiveReport::default() }
    }

    fn failing(figures: &BucketFigures) -> Option<String> {
        figures.known().failing.map(|failing| failing.reason)
    }

    #[test]
    fn a_store_that_answers_fails_all_the_same_while_no_hour_comes_into_it() {
        let figures = BucketFigures::default();
        figures.counted(counted(1));
        figures.failed(&denied());
        let since = figures.known().failing.map(|failing| failing.since);
        figures.answered();
        figures.failed(&BucketError::Setup(String::new()));
        assert_eq!(failing(&figures).as_deref(), Some("setup"));
        assert_eq!(figures.known().failing.map(|failing| failing.since), since, "it began with the first");
        figures.archived(10);
        assert_eq!(failing(&figures), None);
        let known = figures.known().counted.unwrap();
        assert_eq!((known.waiting.hours, known.archived.hours, known.waiting_since), (0, 1, None));
        assert!(known.last_read_back.is_some());
        figures.failed(&denied());
        figures.answered();
        assert_eq!(failing(&figures), None, "nothing waits");
    }

    #[test]
    fn failures_are_counted_by_reason_and_what_is_about_an_object_says_nothing_of_the_store() {
        let figures = BucketFigures::default();
        figures.failed(&BucketError::Name("x".to_owned()));
        figures.failed(&BucketError::Stopped);
        assert_eq!(failing(&figures), None);
        let found: Vec<_> = figures.failures().filter(|(_, count)| *count > 0).collect();
        assert_eq!(found, [("name", 1)]);
    }
}
