//! Which hours have to be read to answer for a window, one after the other, whoever reads them.
//!
//! The editable sequence goes back to the first segment there is, but not all of it has to be walked: a segment that starts no
//! earlier than everything before it ends is kept whatever was kept before, and what it leaves is known. So the hours before the
//! window are looked at backwards until there is such a one, in all but the strangest archives one or two; and after the window
//! until nothing that begins in it is open.

use std::collections::{BTreeMap, BTreeSet};

use super::hours::Coverage;
use super::line::HourLine;
use super::summary::length;
use super::walk::{Ends, Event, walk};
use super::{Lane, Stretch};
use crate::domain::best::TOLERANCE;
use crate::domain::{Hour, Timestamp};

/// What is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Window {
    /// From when on; from the first segment if it is not given.
    pub from: Option<Timestamp>,
    /// Until when; until the furthest end if it is not given.
    pub to: Option<Timestamp>,
    /// Whether what is missing at the front, before the first segment, counts as a hole.
    pub edge_from: bool,
    /// Whether what is missing at the back, after the last segment, counts as a hole.
    pub edge_to: bool,
}

/// A window that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the window ends at {to}, which is before it begins, {from}")]
pub struct Backwards {
    from: Timestamp,
    to: Timestamp,
}

impl Window {
    /// Checks that it does not end before it begins. With `edges` both count where they are given.
    pub fn new(from: Option<Timestamp>, to: Option<Timestamp>, edges: bool) -> Result<Self, Backwards> {
        match (from, to) {
            (Some(from), Some(to)) if to < from => Err(Backwards { from, to }),
            _ => Ok(Self { from, to, edge_from: edges, edge_to: edges }),
        }
    }

    /// The hours from `first` to `last`.
    pub fn of_hours(first: Hour, last: Hour) -> Self {
        Self { from: Some(first.start()), to: Some(last.end()), ..Self::default() }
    }

    /// The time that it is.
    pub fn stretch(&self) -> Stretch {
        Stretch { start: self.from.unwrap_or(Timestamp::MIN), end: self.to.unwrap_or(Timestamp::MAX) }
    }
}

/// Collects what a window needs: [`Gather::wanted`] names an hour, [`Gather::give`] takes its line, until none is wanted.
#[derive(Debug)]
pub struct Gather {
    window: Window,
    hours: BTreeSet<Hour>,
    /// Read while looking back, not walked yet.
    read: BTreeMap<Hour, HourLine>,
    is_looking_back: bool,
    coverage: Coverage,
    covered_us: [u64; 2],
    next: Option<Hour>,
}

impl Gather {
    /// For a window of a quality that has these hours.
    pub fn new(window: Window, hours: BTreeSet<Hour>) -> Self {
        let before = window.from.and_then(|from| hours.range(..from.hour()).next_back().copied());
        let next = before.or_else(|| hours.first().copied());
        let mut gather = Self {
            window,
            hours,
            read: BTreeMap::new(),
            is_looking_back: before.is_some(),
            coverage: Coverage::default(),
            covered_us: [0; 2],
            next,
        };
        gather.next = gather.next.filter(|hour| !gather.is_enough(*hour));
        gather
    }

    /// The hour that is wanted; `None` when there are enough.
    pub fn wanted(&self) -> Option<Hour> {
        self.next
    }

    /// Takes the line of the hour that is wanted.
    pub fn give(&mut self, line: HourLine) {
        let Some(hour) = self.next else { return };
        if self.is_looking_back {
            self.read.insert(hour, line);
            self.look_back();
        } else {
            self.walk(hour, &line);
            self.next = self.later(hour);
        }
    }

    /// Everything of the window that lies in hours.
    pub fn coverage(&self) -> &Coverage {
        &self.coverage
    }

    /// Microseconds of the window that a lane covers.
    pub fn covered_us(&self, lane: Lane) -> u64 {
        self.covered_us[lane as usize]
    }

    /// Goes on backwards, or turns round.
    fn look_back(&mut self) {
        let mut newest_first = self.read.keys().rev().copied();
        let found = newest_first.find_map(|hour| self.left_by(hour).map(|ends| (hour, ends)));
        let earliest = self.read.keys().next().copied();
        let earlier = earliest.and_then(|hour| self.hours.range(..hour).next_back().copied());
        let after = match (found, earlier) {
            (Some((hour, ends)), _) => {
                self.coverage = Coverage::after(Some(ends));
                for lane in Lane::ALL {
                    self.cover(lane, Stretch { start: hour.end(), end: ends.reach(lane) });
                }
                Some(hour)
            }
            (None, Some(earlier)) => {
                self.next = Some(earlier);
                return;
            }
            // Back at the first hour there is.
            (None, None) => None,
        };
        self.is_looking_back = false;
        let mut last = after;
        for (hour, line) in std::mem::take(&mut self.read) {
            if after.is_none_or(|after| hour > after) {
                self.walk(hour, &line);
                last = Some(hour);
            }
        }
        self.next = last.and_then(|last| self.later(last));
    }

    /// What an hour leaves, if that can be told without what is earlier than the hours that were read.
    fn left_by(&self, hour: Hour) -> Option<Ends> {
        let line = self.read.get(&hour)?;
        // A segment lasts an hour at most: what is earlier than the hour before has ended when this one begins.
        let previous = hour.previous();
        let before = if self.hours.contains(&previous) && previous < hour {
            self.read.get(&previous)?.furthest(previous)
        } else {
            None
        };
        let mut furthest = before.unwrap_or(hour.start()).max(hour.start());
        for (index, best) in line.best.iter().enumerate() {
            let (start, end) = (best.start(hour), best.end(hour));
            if start < end && start >= furthest - TOLERANCE && end >= furthest {
                let at = Ends { covered: end, furthest: end, kept: end, kept_furthest: end };
                let rest = HourLine { best: line.best.get(index + 1..)?.to_vec(), ..HourLine::default() };
                return walk(Some(at), hour, &rest, |_| {});
            }
            furthest = furthest.max(end);
        }
        None
    }

    fn later(&self, hour: Hour) -> Option<Hour> {
        let next = self.hours.range(hour.next()..).find(|later| **later > hour).copied();
        next.filter(|next| !self.is_enough(*next))
    }

    /// Whether nothing from `hour` on can change the answer.
    fn is_enough(&self, hour: Hour) -> bool {
        let Some(to) = self.window.to.filter(|to| hour.start() >= *to) else { return false };
        if self.is_looking_back {
            return false;
        }
        let closed = |ends: Ends| Lane::ALL.iter().all(|lane| ends.hole_from(*lane) >= to);
        match self.coverage.ends() {
            Some(ends) => closed(ends),
            // Nothing began before the end of the window. With its edges it is a hole, if what comes after is far enough.
            None => !self.window.edge_from && !self.window.edge_to,
        }
    }

    fn walk(&mut self, hour: Hour, line: &HourLine) {
        let before = self.coverage.ends();
        let window = self.window.stretch();
        let covered_us = &mut self.covered_us;
        walk(before, hour, line, |event| {
            if let Event::Covered(lane, stretch) = event {
                covered_us[lane as usize] += stretch.cut(window).map_or(0, length);
            }
        });
        self.coverage.push(hour, line);
    }

    fn cover(&mut self, lane: Lane, stretch: Stretch) {
        let part = if stretch.start < stretch.end { stretch.cut(self.window.stretch()) } else { None };
        self.covered_us[lane as usize] += part.map_or(0, length);
    }
}
