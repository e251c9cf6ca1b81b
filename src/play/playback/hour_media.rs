//! What is known of what is in the best segments of an hour.

use std::ops::Range;

use crate::archive::{Edges, Stamp};

/// What is known of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FactsState {
    /// Nothing: nobody has looked.
    Unread,
    /// Nothing: it cannot be read.
    Unreadable,
    /// This.
    Edges(Edges),
    /// It does not lie here, and this is what the manifest of an object says of it.
    Noted(Edges),
}

impl FactsState {
    /// What its ends say.
    pub(super) const fn edges(self) -> Option<Edges> {
        match self {
            Self::Edges(edges) | Self::Noted(edges) => Some(edges),
            Self::Unread | Self::Unreadable => None,
        }
    }
}

/// What is known of the best segments of an hour, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HourMedia {
    pub(super) known: Vec<FactsState>,
    /// How many of them nobody has looked at.
    pub(super) unread: usize,
    /// Whether a player can begin with any of them.
    pub(super) is_independent: bool,
    /// What the hour was when it was looked what manifests say of it; nothing if nobody had to.
    pub(super) noted: Option<Stamp>,
}

impl HourMedia {
    pub(super) fn new(known: Vec<FactsState>, noted: Option<Stamp>) -> Self {
        let (mut unread, mut is_independent) = (0, true);
        for each in &known {
            unread += usize::from(matches!(each, FactsState::Unread));
            is_independent &= each.edges().is_some_and(|edges| edges.independent == Some(true));
        }
        Self { known, unread, is_independent, noted }
    }

    /// What is known of the segment at this place.
    pub(super) fn edges(&self, at: usize) -> Option<Edges> {
        self.known.get(at)?.edges()
    }

    /// What was found of the segment at this place; nothing if nobody has looked.
    pub(super) fn found(&self, at: usize) -> Option<FactsState> {
        self.known.get(at).copied().filter(|known| *known != FactsState::Unread)
    }

    pub(super) fn size(&self) -> usize {
        self.known.len() * size_of::<FactsState>()
    }

    /// Those of these places of which nothing is known yet.
    pub(super) fn unread(&self, within: Range<usize>) -> Vec<usize> {
        within.filter(|at| self.known.get(*at) == Some(&FactsState::Unread)).collect()
    }
}
