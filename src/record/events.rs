//! What recorders tell of themselves while they work, for whoever shows or counts it.

use std::fmt;
use std::sync::Arc;

use super::publish::RecordedSegment;
use crate::archive::hole_reasons::HoleReason;
use crate::archive::{Span, Stream, Timestamp};

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecorderEvent {
    /// There is sound that lies apart; it is recorded as this stream from now on. Its newest segment on the disk ended then.
    SoundFound { stream: Stream, newest: Option<Timestamp> },
    /// A segment is here.
    Recorded { stream: Stream, segment: RecordedSegment },
    /// A segment did not come; it is tried again.
    SegmentFails { stream: Stream, why: String },
    /// A segment is not tried again, or the source left out so much, and there is a hole.
    GivenUp { stream: Stream, start: Timestamp, duration: Span, reason: HoleReason, why: String },
    /// A segment is an ad, and is left out as it was asked for.
    AdLeftOut { stream: Stream, start: Timestamp, duration: Span },
    /// So many segments went out of the window before anybody saw them.
    Jumped { stream: Stream, missed: u64, reason: HoleReason },
    /// The numbers of the playlist began anew.
    Restarted { stream: Stream },
    /// The times that are told lie so far behind the clock here.
    ClockDiffers { stream: Stream, behind: Span },
    /// Another recorder, whose times are taken over, has the same content so much earlier; later, if negative.
    TimesDiffer { stream: Stream, peer: Arc<str>, earlier: Span },
    /// The clock here was set by so much, and the stream tells no times: its segments go on as before.
    ClockWasSet { stream: Stream, by: Span },
    /// Nothing comes, for this reason.
    Fails { stream: Stream, reason: HoleReason, why: String },
    /// The stream cannot be recorded as it is.
    Refused { stream: Stream, why: String },
    /// The stream has ended, and all that was listed is here.
    Ended { stream: Stream },
}

impl RecorderEvent {
    /// Whom it concerns.
    pub const fn stream(&self) -> &Stream {
        match self {
            Self::SoundFound { stream, .. }
            | Self::Recorded { stream, .. }
            | Self::SegmentFails { stream, .. }
            | Self::GivenUp { stream, .. }
            | Self::AdLeftOut { stream, .. }
            | Self::Jumped { stream, .. }
            | Self::Restarted { stream }
            | Self::ClockDiffers { stream, .. }
            | Self::TimesDiffer { stream, .. }
            | Self::ClockWasSet { stream, .. }
            | Self::Fails { stream, .. }
            | Self::Refused { stream, .. }
            | Self::Ended { stream } => stream,
        }
    }
}

/// Takes what recorders tell. Cheap to clone.
#[derive(Clone)]
pub struct RecorderEvents(Arc<dyn Fn(&RecorderEvent) + Send + Sync>);

impl RecorderEvents {
    pub fn new(take: impl Fn(&RecorderEvent) + Send + Sync + 'static) -> Self {
        Self(Arc::new(take))
    }

    pub fn tell(&self, event: &RecorderEvent) {
        (self.0)(event);
    }
}

impl fmt::Debug for RecorderEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecorderEvents")
    }
}
