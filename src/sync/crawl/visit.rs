//! The contract of a visitor, and the round in which it is carried past the hours.
//!
//! 1. A visitor is handed the hours ahead, newest first. It looks at them in that order and books each one with what it found.
//! 2. It asks whether its slice is over, and returns if so; what is left is handed to it again. Inside an hour with much to read it books
//!    the part that is done, in bytes of its own, and finds them again as [`Round::within`]. A large file is no excuse: it is asked for
//!    inside of it, too, so that a stop ends it, the pace holds, and others have their turns.
//! 3. What it changes in the index is committed together with what it has booked ([`Round::join`]); what changes nothing is
//!    committed at the end of the slice. If a commit fails nothing was booked.

use std::time::Duration;

use super::CrawlError;
use super::pace::ReadAllowance;
use super::plan::CrawlCursor;
use super::state::{CrawlCounts, VisitorState};

use crate::archive::HourPlace;
use crate::index::Batch;
use crate::jobs::Clock;

/// How far ahead of its allowance reading may be before the slice is over.
const AHEAD: Duration = Duration::from_secs(1);

/// Something that the crawl carries past every hour, over and over.
pub trait Visitor: Send + Sync {
    /// Its name: in the index, in status and metrics. Lower-case letters and dashes; never changed.
    fn name(&self) -> &'static str;

    /// Looks at hours that are ahead and books them. Only an archive that is not there, or an index that takes nothing, is an error; what
    /// is wrong with an hour is booked.
    fn visit(&self, round: &mut Round<'_>) -> Result<(), CrawlError>;

    /// A cycle begins, or goes on after a restart: what has to be looked at before it is known which hours there are.
    fn cycle_begins(&self, _cycle: u64) -> Result<CrawlCounts, CrawlError> {
        Ok(CrawlCounts::nothing())
    }

    fn cycle_done(&self) -> Result<(), CrawlError> {
        Ok(())
    }
}

pub(super) struct Slice<'c> {
    pub(super) clock: &'c dyn Clock,
    pub(super) began: Duration,
    pub(super) until: Duration,
    pub(super) is_interrupted: &'c (dyn Fn() -> bool + Sync),
    pub(super) doing: &'c (dyn Fn(String) + Sync),
}

/// A visitor on its way, for the length of a slice.
pub struct Round<'r> {
    name: &'static str,
    hours: &'r [HourPlace],
    next: usize,
    state: &'r mut VisitorState,
    slice: &'r Slice<'r>,
    reading: ReadAllowance,
    /// How long what was read in this slice takes at least.
    read: Duration,
    is_dirty: bool,
}

impl<'r> Round<'r> {
    pub(super) fn new(
        name: &'static str,
        hours: &'r [HourPlace],
        state: &'r mut VisitorState,
        slice: &'r Slice<'r>,
        reading: ReadAllowance,
    ) -> Self {
        Self { name, hours, next: 0, state, slice, reading, read: Duration::ZERO, is_dirty: false }
    }

    /// Number of the cycle, from 1.
    pub fn cycle(&self) -> u64 {
        self.state.cycle
    }

    /// When the cycle began, in microseconds since 1970: with its number it distinguishes cycles of a recreated index.
    pub fn began_us(&self) -> i64 {
        self.state.began_us
    }

    /// The hours that are ahead, newest first; not all that there are.
    pub fn hours(&self) -> &'r [HourPlace] {
        self.hours.get(self.next..).unwrap_or_default()
    }

    /// Where the visitor was inside the first hour ahead: what it gave to [`Round::part`]; empty at its beginning.
    pub fn within(&self) -> &[u8] {
        let first = self.hours().first().map(CrawlCursor::at);
        if first.is_some() && first == self.state.inside { &self.state.within } else { &[] }
    }

    pub fn is_over(&self) -> bool {
        let worked = self.slice.clock.now();
        worked >= self.slice.until
            || self.read > worked.saturating_sub(self.slice.began) + AHEAD
            || (self.slice.is_interrupted)()
    }

    /// So much was read: beyond what a second allows the slice is over.
    pub fn spend(&mut self, bytes: u64, files: u64) {
        self.read += self.reading.time(bytes, files);
    }

    /// Says what is being done, where one thing takes several turns.
    pub fn doing(&self, what: String) {
        (self.slice.doing)(what);
    }

    pub fn done(&mut self, found: &CrawlCounts) {
        if let Some(place) = self.hours.get(self.next) {
            self.state.done(CrawlCursor::at(place), found);
            self.next += 1;
            self.is_dirty = true;
        }
    }

    /// The first `count` hours ahead are done, with what was found in all of them.
    pub fn done_with(&mut self, count: usize, found: &CrawlCounts) {
        for _ in 1..count {
            self.done(&CrawlCounts::nothing());
        }
        self.done(found);
    }

    /// A part of the first hour ahead is done, up to here.
    pub fn part(&mut self, within: &[u8], found: &CrawlCounts) {
        if let Some(place) = self.hours.get(self.next) {
            self.state.part(CrawlCursor::at(place), within, found);
            self.is_dirty = true;
        }
    }

    /// What is booked joins these changes: all of it is committed, or nothing.
    pub fn join(&mut self, batch: &mut Batch) {
        let worked = self.slice.clock.now().saturating_sub(self.slice.began);
        let before = self.state.worked_us;
        self.state.worked_us += u64::try_from(worked.as_micros()).unwrap_or(u64::MAX);
        batch.visitors.push((self.name.to_owned(), self.state.write()));
        self.state.worked_us = before;
        // A failed commit returns an error, and what was booked is read again from the index.
        self.is_dirty = false;
    }

    /// How many hours were booked, how long what was read takes, and whether something is not committed yet.
    pub(super) fn outcome(&self) -> (usize, Duration, bool) {
        (self.next, self.read, self.is_dirty)
    }
}
