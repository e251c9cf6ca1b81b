//! What others listed a moment ago, and who did not answer.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::archive::{HourPlace, InitSection, SegmentFile};

/// How long one is left alone that did not answer.
pub(super) const QUIET: Duration = Duration::from_secs(10);

/// How long an answer is good for: players ask every few seconds.
const HOLDS: Duration = Duration::from_secs(3);

/// Answers that are kept.
const KEPT: usize = 64;

/// Segments, each with its initialisation segment if it is in MP4.
pub(super) type SegmentFiles = Arc<Vec<(SegmentFile, Option<InitSection>)>>;

/// What others listed a moment ago, and who did not answer.
#[derive(Debug, Default)]
pub(super) struct Listings {
    cache: Mutex<HashMap<(String, HourPlace), (Instant, SegmentFiles)>>,
    quiet: Mutex<HashMap<String, Instant>>,
}

impl Listings {
    pub(super) fn is_quiet(&self, peer: &str) -> bool {
        let quiet = self.quiet.lock();
        quiet.get(peer).is_some_and(|since| since.elapsed() < QUIET)
    }

    pub(super) fn leave_alone(&self, peer: &str) {
        let mut quiet = self.quiet.lock();
        quiet.retain(|_, since| since.elapsed() < QUIET);
        quiet.insert(peer.to_owned(), Instant::now());
    }

    pub(super) fn fresh(&self, key: &(String, HourPlace)) -> Option<SegmentFiles> {
        let kept = self.cache.lock();
        kept.get(key).filter(|(since, _)| since.elapsed() < HOLDS).map(|(_, files)| Arc::clone(files))
    }

    pub(super) fn keep(&self, key: (String, HourPlace), files: &SegmentFiles) {
        let mut kept = self.cache.lock();
        kept.retain(|_, (since, _)| since.elapsed() < HOLDS);
        if kept.len() < KEPT {
            kept.insert(key, (Instant::now(), Arc::clone(files)));
        }
    }
}
