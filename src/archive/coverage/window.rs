//! A stretch of time about which something is asked, and whether what is missing at its edges counts.

use super::Stretch;
use crate::archive::{Hour, Timestamp};

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
    /// Hours after it are left out as if they were not there; none are where it is not given.
    pub last: Option<Hour>,
}

/// A window that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the window ends at {to}, which is before it begins, {from}")]
pub struct WindowBackwards {
    from: Timestamp,
    to: Timestamp,
}

impl Window {
    /// Checks that it does not end before it begins. With `edges` both count where they are given.
    pub fn new(from: Option<Timestamp>, to: Option<Timestamp>, edges: bool) -> Result<Self, WindowBackwards> {
        match (from, to) {
            (Some(from), Some(to)) if to < from => Err(WindowBackwards { from, to }),
            _ => Ok(Self { from, to, edge_from: edges, edge_to: edges, last: None }),
        }
    }

    /// The hours from `first` to `last`.
    pub fn of_hours(first: Hour, last: Hour) -> Self {
        Self { from: Some(first.start()), to: Some(last.end()), ..Self::default() }
    }

    /// The hours that it cuts: at most two.
    pub fn cut_hours(&self) -> impl Iterator<Item = Hour> {
        let inner = |at: &Timestamp| at.hour().start() != *at;
        [self.from.filter(inner), self.to.filter(inner)].into_iter().flatten().map(Timestamp::hour)
    }

    /// The time that it is.
    pub fn stretch(&self) -> Stretch {
        Stretch { start: self.from.unwrap_or(Timestamp::MIN), end: self.to.unwrap_or(Timestamp::MAX) }
    }
}
