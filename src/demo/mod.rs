//! The stream of `gapless demo`: where it comes from, what the nodes' recorders miss of it, and what becomes of what was missed.
//!
//! 1. [`plan`] decides by a seed which node gets which segment, in which shape and when. It is pure.
//! 2. [`segment`] makes what a segment holds: a small picture with a clock in it in an MPEG transport stream, which the page can play.
//! 3. [`lines`] says what of that comes over the line to each node's recorder, and [`DemoOrigin`] answers the nodes' own recorders so.
//! 4. [`DemoRecorders`] writes the past into the base directories of nodes, before they are started. So it uses plain file operations, and
//!    nothing of what the nodes use to look after their archives. It tells what of the present does not come.
//! 5. `Misses` looks whether what a recorder missed has come to lie there after all.
//!
//! Nothing here starts a node or prints.

pub mod lines;
mod origin;
pub mod plan;
mod recorders;
pub mod segment;

use std::fmt;

use serde::Serialize;

use crate::archive::{Span, Timestamp};

pub use origin::DemoOrigin;
use plan::PlannedPiece;
pub use plan::{CHANNELS, DemoPlan, NODES, QUALITIES};
pub use recorders::{DemoRecorders, RecordedPast};

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RecordedStretch {
    pub channel: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quality: Option<&'static str>,
    pub start: String,
    pub seconds: f64,
}

impl RecordedStretch {
    pub fn of(channel: usize, quality: usize, start: Timestamp, end: Timestamp) -> Self {
        Self { quality: Some(QUALITIES[quality]), ..Self::of_all(channel, start, end) }
    }

    pub fn of_all(channel: usize, start: Timestamp, end: Timestamp) -> Self {
        Self { channel: CHANNELS[channel], quality: None, start: start.to_string(), seconds: (end - start).seconds() }
    }

    pub fn of_piece(piece: &PlannedPiece) -> Self {
        Self::of(piece.channel, piece.quality, piece.start, piece.end())
    }

    /// The time of day, to the second.
    fn clock(&self) -> &str {
        self.start.get(11..19).unwrap_or(&self.start)
    }
}

/// `harbour/source 03:04:10`
impl fmt::Display for RecordedStretch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.channel)?;
        if let Some(quality) = self.quality {
            write!(f, "/{quality}")?;
        }
        write!(f, " {}", self.clock())
    }
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum DemoEvent {
    /// A node's recorder has gone away, and will be back after this stretch.
    Away {
        node: &'static str,
        #[serde(flatten)]
        what: RecordedStretch,
    },
    /// A recorder missed a segment.
    Missed {
        node: &'static str,
        #[serde(flatten)]
        what: RecordedStretch,
    },
    /// A recorder got only a part of a segment.
    Partial {
        node: &'static str,
        #[serde(flatten)]
        what: RecordedStretch,
    },
    /// A recorder will write a segment, but late.
    Late {
        node: &'static str,
        #[serde(flatten)]
        what: RecordedStretch,
        late_seconds: f64,
    },
    /// No recorder gets this as a whole: there is nowhere to fetch it from.
    Lost {
        #[serde(flatten)]
        what: RecordedStretch,
    },
    /// What was missed lies there now.
    Filled {
        node: &'static str,
        #[serde(flatten)]
        what: RecordedStretch,
        /// Since the first of it was due.
        after_seconds: f64,
        /// Whose recorders had it; its own if it was only late.
        recorded_by: Vec<&'static str>,
    },
    /// What was missed and others have has not come for so long that it is not looked for any more.
    StillMissing {
        node: &'static str,
        #[serde(flatten)]
        what: RecordedStretch,
        after_seconds: f64,
    },
    /// A node has everything of the past that others have.
    CaughtUp {
        node: &'static str,
        segments: usize,
        /// Since the nodes were started.
        after_seconds: f64,
    },
    /// The machine did nothing for a while, and so nothing was recorded.
    Asleep { seconds: f64 },
}

impl fmt::Display for DemoEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Away { node, what } => {
                write!(f, "{what}  the recorder at {node} is away for {} s", what.seconds)
            }
            Self::Missed { node, what } => write!(f, "{what}  {node} missed {} s", what.seconds),
            Self::Partial { node, what } => write!(f, "{what}  {node} recorded only part of {} s", what.seconds),
            Self::Late { node, what, late_seconds } => {
                write!(f, "{what}  {node} is {late_seconds} s late with {} s", what.seconds)
            }
            Self::Lost { what } => {
                write!(f, "{what}  no node recorded these {} s completely; the hole stays", what.seconds)
            }
            Self::Filled { node, what, after_seconds, recorded_by } if recorded_by[..] == [*node] => {
                write!(f, "{what}  {node} wrote its {} s after {after_seconds:.1} s", what.seconds)
            }
            Self::Filled { node, what, after_seconds, recorded_by } => {
                let from = recorded_by.join(" and ");
                write!(f, "{what}  {} s filled at {node} after {after_seconds:.1} s, recorded by {from}", what.seconds)
            }
            Self::StillMissing { node, what, after_seconds } => {
                write!(f, "{what}  {} s are still missing at {node} after {after_seconds:.0} s", what.seconds)
            }
            Self::CaughtUp { node, segments, after_seconds } => {
                write!(f, "{node} has all that others have of the past: {segments} segments in {after_seconds:.1} s")
            }
            Self::Asleep { seconds } => {
                write!(f, "this machine was suspended for {seconds:.0} s; nothing was recorded")
            }
        }
    }
}

/// A length of time rounded to milliseconds, for display.
pub(super) fn rounded(span: Span) -> f64 {
    Span(span.us() / 1_000 * 1_000).seconds()
}
