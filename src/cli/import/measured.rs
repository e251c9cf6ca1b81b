//! What the bytes of a recording say of it while they come: what it is in, how long it lasts, and what is wrong with it.

use crate::archive::Container;
use crate::cli::import::start_time::length;
use crate::media::{Mp4Reader, StampMeter, StampSpan, StreamFault, StreamVerdict, TsCheck};

/// Decides by the first bytes.
#[derive(Debug, Default)]
pub(super) enum RecordingMeter {
    /// None have come.
    #[default]
    Nothing,
    Ts(Box<(StampMeter, TsCheck)>),
    Mp4(Box<Mp4Reader>),
}

/// What was found when all bytes had come.
#[derive(Debug)]
pub(super) struct MeasuredRecording {
    pub container: Container,
    pub clock: Option<StampSpan>,
    pub verdict: StreamVerdict,
    /// It can be a segment: a transport stream, or MP4 that begins with its initialisation segment and has fragments.
    pub is_segment: bool,
}

impl RecordingMeter {
    /// The next bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        if matches!(self, Self::Nothing) {
            *self = if Mp4Reader::begins(bytes) { Self::Mp4(Box::default()) } else { Self::Ts(Box::default()) };
        }
        match self {
            Self::Nothing => {}
            Self::Ts(both) => {
                both.0.feed(bytes);
                both.1.feed(bytes);
            }
            Self::Mp4(reader) => reader.feed(bytes),
        }
    }

    /// All have come.
    pub fn finish(self) -> MeasuredRecording {
        let named = |clock: &Option<StampSpan>| clock.as_ref().map_or(1, |clock| length(clock).us()).unsigned_abs();
        match self {
            Self::Mp4(reader) => {
                let (clock, is_segment) = (reader.span(), reader.edges(false).init.is_some());
                let verdict = reader.finish(named(&clock));
                MeasuredRecording { container: Container::Mp4, clock, verdict, is_segment }
            }
            other => {
                let (meter, check) = if let Self::Ts(both) = other { *both } else { Default::default() };
                let clock = meter.finish();
                let verdict = check.finish(named(&clock));
                let is_segment = !matches!(verdict, StreamVerdict::Other);
                MeasuredRecording { container: Container::Ts, clock, verdict, is_segment }
            }
        }
    }
}

impl MeasuredRecording {
    /// What is wrong with the stream.
    pub fn faults(&self) -> &[StreamFault] {
        if let StreamVerdict::Faulty(faults) = &self.verdict { faults } else { &[] }
    }
}
