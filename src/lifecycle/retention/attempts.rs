//! When the records are read again that could not be relied on: less and less often, because a journal may be large and reading it writes
//! what is remembered of it; at once where the disk may be another, or a person asks. Reads nothing itself.

use std::time::{Duration, Instant};

use crate::jobs::Backoff;

/// The first wait, and the longest: somebody may put a better copy back without saying so.
const WAITS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    /// Returns of the disk by now.
    returns: u64,
    /// Whether the line of time and the levels were read since: what is known of them in memory is never behind the disk.
    is_begun: bool,
    failures: u32,
    not_before: Option<Instant>,
}

impl Attempts {
    /// After so many returns of the disk.
    pub(super) fn new(returns: u64) -> Self {
        Self { returns, ..Self::default() }
    }

    /// The disk has returned so often; true if it may be another one since this was last said.
    pub(super) fn returned(&mut self, returns: u64) -> bool {
        let is_new = self.returns != returns;
        if is_new {
            *self = Self::new(returns);
        }
        is_new
    }

    /// Whether it is time to read.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.not_before.is_none_or(|time| now >= time)
    }

    /// What was read cannot be relied on.
    pub(super) fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.not_before = now.checked_add(Backoff::new(WAITS.0, WAITS.1).wait(self.failures));
    }

    /// It can.
    pub(super) fn succeeded(&mut self) {
        (self.failures, self.not_before) = (0, None);
    }

    /// A person asks: there is no waiting now.
    pub(super) fn hurry(&mut self) {
        self.not_before = None;
    }

    /// Whether the line of time and the levels are to be read, too.
    pub(super) const fn is_first(&self) -> bool {
        !self.is_begun
    }

    /// They were.
    pub(super) const fn begun(&mut self) {
        self.is_begun = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_that_stays_unusable_is_read_less_and_less_often() {
        let (begin, step) = (Instant::now(), Duration::from_millis(500));
        let mut attempts = Attempts::new(0);
        attempts.begun();
        let mut reads = 0;
        for look in 0..2_400 {
            let now = begin + step * look;
            if attempts.is_due(now) {
                reads += 1;
                attempts.failed(now);
            }
        }
        assert!((40..60).contains(&reads), "{reads} in 20 minutes, looked for twice a second");
        let last = begin + step * 2_399;
        assert!(!attempts.is_due(last) && attempts.is_due(last + WAITS.1));
        attempts.hurry();
        assert!(attempts.is_due(last) && !attempts.is_first());
        attempts.failed(last);
        assert!(!attempts.returned(0) && !attempts.is_due(last));
        assert!(attempts.returned(1) && attempts.is_due(last) && attempts.is_first());
    }
}
