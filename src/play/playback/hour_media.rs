//! What is known of what is in the best segments of an hour.

use std::ops::Range;

use crate::archive::Edges;

/// What is known of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FactsState {
    /// Nothing: nobody has looked.
    Unread,
    /// Nothing: it cannot be read.
    Unreadable,
    /// This.
    Edges(Edges),
}

/// What is known of the best segments of an hour, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HourMedia {
    pub(super) known: Vec<FactsState>,
    /// How many of them nobody has looked at.
    pub(super) unread: usize,
    /// Whether a player can begin with any of them.
    pub(super) is_independent: bool,
}

impl HourMedia {
    pub(super) fn new(known: Vec<FactsState>) -> Self {
        let (mut unread, mut is_independent) = (0, true);
        for each in &known {
            unread += usize::from(matches!(each, FactsState::Unread));
            is_independent &= matches!(each, FactsState::Edges(Edges { independent: Some(true), .. }));
        }
        Self { known, unread, is_independent }
    }

    /// What is known of the segment at this place.
    pub(super) fn edges(&self, at: usize) -> Option<Edges> {
        match self.known.get(at)? {
            FactsState::Edges(edges) => Some(*edges),
            FactsState::Unread | FactsState::Unreadable => None,
        }
    }

    pub(super) fn size(&self) -> usize {
        self.known.len() * size_of::<FactsState>()
    }

    /// Those of these places of which nothing is known yet.
    pub(super) fn unread(&self, within: Range<usize>) -> Vec<usize> {
        within.filter(|at| self.known.get(*at) == Some(&FactsState::Unread)).collect()
    }
}
