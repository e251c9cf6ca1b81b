//! Coverage, holes and overlaps of a quality: what there is of its time, and what is missing.
//!
//! In reading order: [`HourLine`], the best segments of one hour; [`walk`](walk::walk), the rules, one segment after the other;
//! [`HourSummary`], what one hour comes to after what came before it; [`Coverage`], the hours together, or as many
//! as a [`Window`] needs; [`Shares`], how much of each piece of a window is missing; [`Totals`], what many hours come to.
//!
//! 1. Time is one line: hours do not cut it. What is handed from one hour to the next is [`Ends`], and nothing else.
//! 2. Raw is the union of the best segments. Editable is the union of those that the overlap rule of the best sequence keeps, from the
//!    first segment on.
//! 3. A hole is a gap of more than [`TOLERANCE`](super::best::TOLERANCE). Nothing is a hole before the first segment or after the
//!    furthest end, unless a window asks for its edges.
//! 4. A change of one hour changes its summary, and that of the hour after it only where other ends are handed on.
//! 5. A hole is kept in the hour where it ends, whole: what lies in earlier hours is cut out of it when they are asked for.
//!
//! Nothing here reads anything, and all of it is integers of microseconds.

mod hours;
mod line;
mod shares;
mod summary;
#[cfg(test)]
pub(crate) mod tests;
mod totals;
mod walk;
mod window;

pub use hours::{Coverage, HourFigures, LaneFigures};
pub use line::{BestSegment, HourLine, TimeTally};
pub use shares::{Shares, WindowShare};
pub use summary::HourSummary;
pub use totals::{CoverageTotals, Totals};
pub use walk::{Ends, WalkEvent, walk};
pub use window::{Window, WindowBackwards};

use std::fmt;

use super::time::{Hour, Span, Timestamp};

/// The two ways in which a time can be covered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CoverageKind {
    /// By any best segment.
    Raw = 0,
    /// By the segments of the best sequence over everything, from which one can cut.
    Editable = 1,
}

impl CoverageKind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Raw, Self::Editable];

    /// As written in names of gauges.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Editable => "editable",
        }
    }
}

impl fmt::Display for CoverageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The time from `start` until just before `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stretch {
    /// Its first instant.
    pub start: Timestamp,
    /// The first instant after it.
    pub end: Timestamp,
}

impl Stretch {
    /// All time that can be written.
    pub const ALWAYS: Self = Self { start: Timestamp::MIN, end: Timestamp::MAX };

    /// An hour.
    pub fn of(hour: Hour) -> Self {
        Self { start: hour.start(), end: hour.end() }
    }

    /// How long it is.
    pub fn length(self) -> Span {
        self.end - self.start
    }

    /// What of it lies in `other`; `None` if that is nothing.
    pub fn cut(self, other: Self) -> Option<Self> {
        let cut = Self { start: self.start.max(other.start), end: self.end.min(other.end) };
        (cut.start < cut.end).then_some(cut)
    }
}
