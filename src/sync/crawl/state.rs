//! What is remembered of a visitor between two slices and two starts: where it is, what it found, in counts by name, and how its last
//! cycles went. Each visitor has names of its own, and reports need not know them.
//!
//! It is stored as JSON in the index, so that a version with more fields reads what one with fewer wrote, in the middle of a cycle. What
//! cannot be read begins a fresh cycle.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::plan::CrawlCursor;
use crate::archive::Timestamp;

/// Cycles that are remembered.
pub const KEPT: usize = 10;
/// Bytes of a place inside an hour: a file's name.
const MOST_WITHIN: usize = 512;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cycle {
    /// Its number, from 1.
    pub number: u64,
    /// When it began, in microseconds since 1970.
    pub began_us: i64,
    pub ended_us: i64,
    /// Microseconds of work in it.
    pub worked_us: u64,
    pub hours: u64,
    pub found: CrawlCounts,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VisitorState {
    /// Number of the cycle that runs, or of the last one; 0 before the first.
    pub cycle: u64,
    pub is_running: bool,
    /// When the cycle began, in microseconds since 1970.
    pub began_us: i64,
    pub after: Option<CrawlCursor>,
    /// The hour after that in which it is, if it is inside one.
    pub inside: Option<CrawlCursor>,
    /// Where in it; the visitor's own words.
    pub within: Vec<u8>,
    pub hours: u64,
    /// Microseconds of work in it.
    pub worked_us: u64,
    pub found: CrawlCounts,
    /// The last cycles, newest first.
    pub history: VecDeque<Cycle>,
}

impl VisitorState {
    /// From its row; a fresh one where that cannot be read.
    pub fn read(bytes: &[u8]) -> Self {
        serde_json::from_slice::<Self>(bytes).unwrap_or_else(|error| {
            tracing::warn!(name: "visitor_unreadable", %error, "the position of a background task cannot be read; it starts over");
            Self::default()
        })
    }

    pub fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub fn begin(&mut self, now: Timestamp) {
        let history = std::mem::take(&mut self.history);
        *self = Self {
            cycle: self.cycle.saturating_add(1),
            is_running: true,
            began_us: now.us(),
            history,
            ..Self::default()
        };
    }

    pub fn done(&mut self, place: CrawlCursor, found: &CrawlCounts) {
        self.hours += 1;
        self.after = Some(place);
        (self.inside, self.within) = (None, Vec::new());
        self.found.add(found);
    }

    pub fn part(&mut self, place: CrawlCursor, within: &[u8], found: &CrawlCounts) {
        self.inside = Some(place);
        self.within = within.get(..within.len().min(MOST_WITHIN)).unwrap_or_default().to_vec();
        self.found.add(found);
    }

    pub fn end(&mut self, now: Timestamp) {
        self.is_running = false;
        self.after = None;
        (self.inside, self.within) = (None, Vec::new());
        self.history.push_front(Cycle {
            number: self.cycle,
            began_us: self.began_us,
            ended_us: now.us(),
            worked_us: self.worked_us,
            hours: self.hours,
            found: self.found.clone(),
        });
        self.history.truncate(KEPT);
    }
}

#[derive(Debug, Clone)]
pub struct VisitorStatus {
    pub name: &'static str,
    pub state: VisitorState,
    /// Hours that are ahead in this cycle, while one runs.
    pub hours_left: Option<u64>,
    pub next_work: Option<SystemTime>,
    pub next_cycle: Option<SystemTime>,
    /// How long this process has worked and rested in this cycle.
    pub elapsed: Duration,
    pub hours_since: u64,
}

#[expect(clippy::cast_precision_loss, reason = "estimates")]
impl VisitorStatus {
    /// The share of this cycle that is done, 0 to 1; of the last one, all.
    pub fn share_done(&self) -> Option<f64> {
        if self.state.cycle == 0 {
            return None;
        }
        let Some(left) = self.hours_left else { return (!self.state.is_running).then_some(1.0) };
        let all = self.state.hours + left;
        Some(if all == 0 { 1.0 } else { self.state.hours as f64 / all as f64 })
    }

    /// Seconds left in this cycle, from how it went so far in this process.
    pub fn seconds_left(&self) -> Option<f64> {
        let left = self.hours_left.filter(|_| self.hours_since > 0)?;
        Some(self.elapsed.as_secs_f64() / self.hours_since as f64 * left as f64)
    }

    /// Seconds that a cycle takes, by the last ones.
    pub fn seconds_per_cycle(&self) -> Option<f64> {
        let took = |cycle: &super::Cycle| (cycle.ended_us - cycle.began_us).max(0) as f64 / 1e6;
        let count = self.state.history.len();
        (count > 0).then(|| self.state.history.iter().map(took).sum::<f64>() / count as f64)
    }
}

#[derive(Debug, Clone, Default)]
pub struct VisitorPulse {
    pub works: Option<&'static str>,
    pub next: Option<SystemTime>,
    pub slices: u64,
    pub error: Option<String>,
}

/// Counts of one visitor: more names than any has, and a bound on its row in the index.
const MOST_NAMES: usize = 64;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CrawlCounts {
    counts: BTreeMap<Cow<'static, str>, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

impl CrawlCounts {
    /// Directories that had to be read.
    pub const READ: &'static str = "read";
    /// Files that the index did not have, or had with another size.
    pub const PUT: &'static str = "put";
    /// Files that were gone.
    pub const REMOVED: &'static str = "removed";
    /// Hours that could not be looked at.
    pub const ERRORS: &'static str = "errors";

    pub fn nothing() -> Self {
        Self::default()
    }

    pub fn of(name: &'static str, count: u64) -> Self {
        Self::default().and(name, count)
    }

    #[must_use]
    pub fn and(mut self, name: &'static str, count: u64) -> Self {
        if count > 0 {
            *self.counts.entry(Cow::Borrowed(name)).or_default() += count;
        }
        self
    }

    pub fn error(error: String) -> Self {
        Self { last_error: Some(error), ..Self::of(Self::ERRORS, 1) }
    }

    pub fn add(&mut self, other: &Self) {
        for (name, count) in &other.counts {
            if self.counts.len() < MOST_NAMES || self.counts.contains_key(name) {
                let sum = self.counts.entry(name.clone()).or_default();
                *sum = sum.saturating_add(*count);
            }
        }
        if other.last_error.is_some() {
            self.last_error.clone_from(&other.last_error);
        }
    }

    pub fn count(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or(0)
    }

    pub fn counts(&self) -> impl Iterator<Item = (&str, u64)> {
        self.counts.iter().map(|(name, count)| (name.as_ref(), *count))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cursor(stream: &str) -> CrawlCursor {
        let stream = crate::archive::Stream::parse(stream).unwrap();
        CrawlCursor::at(&crate::archive::HourPlace { stream, hour: crate::archive::Hour::MIN })
    }

    #[test]
    fn an_upgrade_in_the_middle_of_a_cycle_goes_on_where_it_was() {
        // As a version wrote it that knew fewer fields, and one that knew more.
        let older = br#"{"cycle":7,"is_running":true,"after":{"hour":437000,"stream":"a/source"},"hours":12,"found":{"counts":{"put":3}}}"#;
        let state = VisitorState::read(older);
        assert_eq!((state.cycle, state.is_running, state.hours, state.found.count(CrawlCounts::PUT)), (7, true, 12, 3));
        assert!(state.after.is_some());
        let newer = br#"{"cycle":7,"is_running":true,"colour":"blue","found":{"counts":{"seen":1},"more":[1]}}"#;
        assert_eq!(VisitorState::read(newer).found.count("seen"), 1);
        assert_eq!(VisitorState::read(&state.write()), state);
    }

    #[test]
    fn the_last_ten_cycles_are_kept() {
        let mut state = VisitorState::default();
        for number in 0..25 {
            state.begin(Timestamp::from_us(number));
            state.part(cursor("a/source"), &[1; 1_000], &CrawlCounts::of(CrawlCounts::READ, 1));
            assert_eq!(state.within.len(), MOST_WITHIN);
            state.end(Timestamp::from_us(number + 1));
        }
        let numbers: Vec<u64> = state.history.iter().map(|cycle| cycle.number).collect();
        assert_eq!(numbers, (16..=25).rev().collect::<Vec<u64>>());
        assert_eq!(state.history[0].found.count(CrawlCounts::READ), 1);
    }

    proptest! {
        #[test]
        fn any_bytes_begin_a_fresh_cycle_or_are_read(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            VisitorState::read(&bytes);
        }
    }
}
