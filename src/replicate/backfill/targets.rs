//! Segments that are being fetched, and the hour directories that are being filled.
//!
//! No two peers are asked for the same segment at once. A claim holds as long as something comes: who is asked and sends nothing for a few
//! seconds is not waited for, and another may be asked. Should both send it in the end, the second finds it there. A directory that was made in
//! vain is removed only when nobody else fills it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::report::RoundError;
use crate::archive::HourPlace;
use crate::archive::origins::GiftedHour;
use crate::disk::{Base, Dir};
use crate::sync::crawl::{CrawlError, FetchInProgress};

/// How many fill each hour, and whether its directory was made for that.
type Filled = HashMap<HourPlace, (usize, bool)>;

#[derive(Debug, Clone, Default)]
pub(super) struct Targets(Arc<Mutex<Filled>>);

/// The directory of an hour that is being filled, until this is dropped.
pub(super) struct HourTarget {
    pub(super) place: HourPlace,
    pub(super) dir: Arc<Dir>,
    /// Counts what comes, where it is counted.
    filling: Option<FetchInProgress>,
    is_full: AtomicBool,
    held: TargetInUse,
}

#[derive(Debug)]
struct TargetInUse {
    place: HourPlace,
    targets: Targets,
}

impl Targets {
    /// The directory of an hour, made if it is not there. Blocks.
    pub(super) fn open(&self, base: &Base, place: &HourPlace) -> Result<HourTarget, RoundError> {
        // Counted before it is opened: from here on nobody removes it.
        self.0.lock().entry(place.clone()).or_insert((0, false)).0 += 1;
        let held = TargetInUse { place: place.clone(), targets: self.clone() };
        let is_new = base.dir(&place.path()).map_err(CrawlError::Disk)?.is_none();
        let dir = Arc::new(base.make_hour_dir(place).map_err(CrawlError::Disk)?);
        if is_new && let Some(entry) = self.0.lock().get_mut(place) {
            entry.1 = true;
        }
        Ok(HourTarget { place: place.clone(), dir, filling: None, is_full: AtomicBool::new(false), held })
    }
}

impl HourTarget {
    pub(super) fn filled_by(self, filling: FetchInProgress) -> Self {
        Self { filling: Some(filling), ..self }
    }

    /// Takes room for one file of so many bytes; false if there is none.
    pub(super) fn take(&self, bytes: u64) -> bool {
        let has_room = self.filling.as_ref().is_none_or(|filling| filling.take(bytes));
        if !has_room {
            self.fill_up();
        }
        has_room
    }

    pub(super) fn room(&self) -> u64 {
        self.filling.as_ref().map_or(u64::MAX, FetchInProgress::room)
    }

    /// A file had no room: nothing more is asked for.
    pub(super) fn fill_up(&self) {
        self.is_full.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Relaxed)
    }

    pub(super) fn give_back(&self, bytes: u64) {
        if let Some(filling) = &self.filling {
            filling.give_back(bytes);
        }
    }

    /// Files of which there was room for each are right, and about to appear. Blocks.
    pub(super) fn book(&self, given: &GiftedHour) -> Result<(), RoundError> {
        Ok(self.filling.as_ref().map_or(Ok(()), |filling| filling.book(given))?)
    }

    /// What was booked did not appear after all. Blocks.
    pub(super) fn take_back(&self, given: &GiftedHour) -> Result<(), RoundError> {
        Ok(self.filling.as_ref().map_or(Ok(()), |filling| filling.take_back(given))?)
    }

    /// Removes the directory if it was made for this, holds nothing, and nobody else is filling it; returns whether it was removed.
    /// Blocks.
    pub(super) fn remove_if_in_vain(&self, base: &Base) -> Result<bool, RoundError> {
        let filled = self.held.targets.0.lock();
        match filled.get(&self.place) {
            Some((1, true)) => Ok(base.remove_empty_hour(&self.place).map_err(CrawlError::Disk)?),
            _ => Ok(false),
        }
    }
}

impl Drop for TargetInUse {
    fn drop(&mut self) {
        let mut filled = self.targets.0.lock();
        if let Some(entry) = filled.get_mut(&self.place) {
            entry.0 -= 1;
            if entry.0 == 0 {
                filled.remove(&self.place);
            }
        }
    }
}

/// How long a claim holds without anything coming. More than it takes a disk to wake up, less than anybody wants to wait.
const HOLDS: Duration = Duration::from_secs(3);

type ClaimKey = (HourPlace, Box<str>);

#[derive(Debug, Clone)]
pub(super) struct Claims(Arc<HeldClaim>);

#[derive(Debug)]
struct HeldClaim {
    began: Instant,
    keys: Mutex<HashMap<ClaimKey, Arc<AtomicU64>>>,
    freed: Notify,
}

/// The right to fetch one file, until it is dropped.
#[derive(Debug)]
pub(super) struct FetchClaim {
    claims: Claims,
    key: ClaimKey,
    /// When something came last, in milliseconds.
    touched: Arc<AtomicU64>,
}

impl Default for Claims {
    fn default() -> Self {
        Self(Arc::new(HeldClaim { began: Instant::now(), keys: Mutex::default(), freed: Notify::new() }))
    }
}

impl Claims {
    /// The right to fetch this file; `None` while another has it.
    pub(super) fn claim(&self, place: &HourPlace, name: &str) -> Option<FetchClaim> {
        let key = (place.clone(), Box::from(name));
        let now = self.now();
        let mut keys = self.0.keys.lock();
        let holds = |touched: &Arc<AtomicU64>| {
            let until = touched.load(Ordering::Relaxed).saturating_add(HOLDS.as_millis().try_into().unwrap_or(0));
            now < until
        };
        if keys.get(&key).is_some_and(holds) {
            return None;
        }
        let touched = Arc::new(AtomicU64::new(now));
        keys.insert(key.clone(), Arc::clone(&touched));
        Some(FetchClaim { claims: self.clone(), key, touched })
    }

    /// The right to fetch this file, as soon as no other has it.
    pub(super) async fn claim_when_free(&self, place: &HourPlace, name: &str) -> FetchClaim {
        loop {
            // Made before looking, so that what is freed in between is noticed.
            let freed = self.0.freed.notified();
            if let Some(claim) = self.claim(place, name) {
                return claim;
            }
            // One that does not hold any more wakes nobody.
            timeout(HOLDS, freed).await.unwrap_or_default();
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.0.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl FetchClaim {
    /// It holds until something comes: we ourselves are slow.
    pub(super) fn hold(&self) {
        self.touched.store(u64::MAX, Ordering::Relaxed);
    }

    pub(super) fn touch(&self) {
        self.touched.store(self.claims.now(), Ordering::Relaxed);
    }
}

impl Drop for FetchClaim {
    fn drop(&mut self) {
        let mut keys = self.claims.0.keys.lock();
        // It may be another's by now.
        if keys.get(&self.key).is_some_and(|held| Arc::ptr_eq(held, &self.touched)) {
            keys.remove(&self.key);
        }
        drop(keys);
        self.claims.0.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_goes_only_if_it_was_made_in_vain_and_nobody_fills_it() {
        let directory = tempfile::tempdir().unwrap();
        let base = Base::open(directory.path()).unwrap();
        let place = HourPlace::parse("a/b/2020-01-01T00").unwrap();
        let targets = Targets::default();
        let first = targets.open(&base, &place).unwrap();
        let second = targets.open(&base, &place).unwrap();
        assert!(!first.remove_if_in_vain(&base).unwrap(), "the second fills it");
        drop(first);
        assert!(second.remove_if_in_vain(&base).unwrap());
        drop(second);
        let path = directory.path().join("a/b/2020-01-01T00");
        std::fs::create_dir(&path).unwrap();
        assert!(!targets.open(&base, &place).unwrap().remove_if_in_vain(&base).unwrap(), "it was there before");
        assert!(path.exists() && targets.0.lock().is_empty());
    }
}

#[cfg(test)]
mod claims_tests {
    use super::*;

    fn place() -> HourPlace {
        HourPlace::parse("a/b/2019-11-13T02").unwrap()
    }

    #[test]
    fn a_file_is_fetched_by_one_at_a_time() {
        let claims = Claims::default();
        let first = claims.claim(&place(), "x.ts").unwrap();
        assert!(claims.claim(&place(), "x.ts").is_none());
        assert!(claims.claim(&place(), "y.ts").is_some());
        drop(first);
        assert!(claims.claim(&place(), "x.ts").is_some());
    }

    #[tokio::test]
    async fn who_waits_gets_it_when_it_is_free() {
        let claims = Claims::default();
        let first = claims.claim(&place(), "x.ts").unwrap();
        let waiting = tokio::spawn({
            let claims = claims.clone();
            async move { drop(claims.claim_when_free(&place(), "x.ts").await) }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(first);
        waiting.await.unwrap();
    }

    #[test]
    fn one_to_whom_nothing_comes_is_not_waited_for() {
        let claims = Claims::default();
        let first = claims.claim(&place(), "x.ts").unwrap();
        first.touched.store(0, Ordering::Relaxed);
        let later = Claims(Arc::new(HeldClaim {
            began: claims.0.began.checked_sub(HOLDS).unwrap(),
            keys: Mutex::new(claims.0.keys.lock().clone()),
            freed: Notify::new(),
        }));
        let second = later.claim(&place(), "x.ts").unwrap();
        drop(FetchClaim { claims: later.clone(), key: (place(), "x.ts".into()), touched: Arc::clone(&first.touched) });
        assert!(later.claim(&place(), "x.ts").is_none(), "the second keeps it when the first gives up");
        drop(second);
        first.touch();
        assert!(claims.claim(&place(), "x.ts").is_none());
        first.hold();
        assert!(claims.claim(&place(), "x.ts").is_none());
    }
}
