//! How much of each piece of a window is missing, and how much is there in part only: what a timeline shows at any scale.

use super::{Coverage, CoverageKind, Stretch};
use crate::archive::{Span, Timestamp};

/// One of the equal pieces of a window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WindowShare {
    /// Microseconds inside the extent; nothing else is missing or there.
    pub inside_us: u64,
    /// Of these, microseconds in raw holes.
    pub missing_us: u64,
    /// Of these, microseconds that only segments cover that are not full.
    pub not_full_us: u64,
}

/// A window in pieces as equal as microseconds allow. It is filled from left to right, by as many parts as one likes.
#[derive(Debug, Clone)]
pub struct Shares {
    window: Stretch,
    shares: Vec<WindowShare>,
}

impl Shares {
    /// So many pieces, of which nothing is known yet.
    pub fn new(window: Stretch, count: usize) -> Self {
        Self { window, shares: vec![WindowShare::default(); count] }
    }

    /// Takes in what lies in `part` of the window; `coverage` holds what that needs.
    pub fn add(&mut self, coverage: &Coverage, part: Stretch) {
        self.add_stretch(coverage.extent_known(), part, |share, us| share.inside_us += us);
        for hole in coverage.holes(CoverageKind::Raw) {
            self.add_stretch(Some(hole), part, |share, us| share.missing_us += us);
        }
        for stretch in coverage.not_full() {
            self.add_stretch(Some(stretch), part, |share, us| share.not_full_us += us);
        }
    }

    /// The pieces, in order.
    pub fn finish(self) -> Vec<WindowShare> {
        self.shares
    }

    /// Where a piece begins.
    fn edge(&self, number: usize) -> Timestamp {
        let whole = i128::from(self.window.length().us());
        let count = i128::try_from(self.shares.len().max(1)).unwrap_or(i128::MAX);
        let us = whole * i128::try_from(number).unwrap_or(0) / count;
        self.window.start + Span::from_us(i64::try_from(us).unwrap_or(i64::MAX))
    }

    /// The last piece that begins at or before a time of the window.
    fn piece_of(&self, at: Timestamp) -> usize {
        let whole = i128::from(self.window.length().us()).max(1);
        let offset = i128::from((at - self.window.start).us());
        let count = i128::try_from(self.shares.len()).unwrap_or(0);
        // Edges are rounded down, so that the piece may be the next one.
        let mut number = usize::try_from(offset * count / whole).unwrap_or(0);
        while number + 1 < self.shares.len() && self.edge(number + 1) <= at {
            number += 1;
        }
        number
    }

    fn add_stretch(&mut self, stretch: Option<Stretch>, within: Stretch, each: impl Fn(&mut WindowShare, u64)) {
        let inside = stretch.and_then(|stretch| stretch.cut(within)?.cut(self.window));
        let Some(part) = inside else { return };
        let mut number = self.piece_of(part.start);
        while number < self.shares.len() {
            let piece = Stretch { start: self.edge(number), end: self.edge(number + 1) };
            if piece.start >= part.end {
                break;
            }
            let us = part.cut(piece).map_or(0, |cut| cut.length().us().unsigned_abs());
            if let Some(share) = self.shares.get_mut(number) {
                each(share, us);
            }
            number += 1;
        }
    }
}
