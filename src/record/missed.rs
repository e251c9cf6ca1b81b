//! What a recorder missed of a stream, and why, worked out from what it tells of itself.
//!
//! 1. A segment that is given up, and one that the source leaves out, is told at once.
//! 2. While nothing comes, the reason is remembered from the end of the newest segment on. When segments come again, what lies between is told,
//!    with each reason that there was, one after the other; meanwhile once a minute as far as it has come, so that a crash does not lose it.
//! 3. At the start, nothing came since the newest segment that is on the disk, because nobody recorded; and what is missing right before it was
//!    still tried when the recorder was stopped, unless something else is known of it.
//!
//! 4. A segment that was listed before nothing came may come late: what was the reason then still is one of what lies behind it.
//!
//! What is told may reach over segments that come all the same, out of order or later. Whoever is told looks at holes only.

use std::fmt;
use std::sync::Arc;

use super::events::RecorderEvent;
use crate::archive::coverage::Stretch;
use crate::archive::hole_reasons::{HoleReason, MissedRecording};
use crate::archive::time::SECOND_US;
use crate::archive::{Span, Stream, Timestamp};

/// Reasons, one after the other, for which nothing comes: those in the middle are left out.
const MOST_CAUSES: usize = 16;
/// How often what is missed is told while it lasts.
const TELL_AGAIN: Span = Span::from_us(60 * SECOND_US);

type TakeMissed = dyn Fn(&Stream, MissedRecording) + Send + Sync;

/// Takes what was missed. Cheap to clone; does not block.
#[derive(Clone)]
pub struct MissedSink(Arc<TakeMissed>);

impl MissedSink {
    pub fn new(take: impl Fn(&Stream, MissedRecording) + Send + Sync + 'static) -> Self {
        Self(Arc::new(take))
    }

    pub fn put(&self, stream: &Stream, missed: MissedRecording) {
        (self.0)(stream, missed);
    }
}

impl fmt::Debug for MissedSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MissedSink")
    }
}

/// Of a hole that was there when the recorder began.
pub fn left_behind(hole: Stretch) -> MissedRecording {
    let detail = "no recorder ran here, or it was stopped before that came".to_owned();
    MissedRecording { missed: hole, reason: HoleReason::NotRecording, detail }
}

/// Why nothing comes, from then on.
#[derive(Debug, Clone)]
struct Cause {
    since: Timestamp,
    /// When it was known, by the times of the stream.
    known: Timestamp,
    reason: HoleReason,
    why: String,
}

/// Watches the recorder of one stream.
#[derive(Debug, Default)]
pub struct MissedWatch {
    /// Where the newest segment that is here ends; before the first one there are no holes.
    newest: Option<Timestamp>,
    /// When that came.
    came: Option<Timestamp>,
    causes: Vec<Cause>,
    told: Option<Timestamp>,
}

impl MissedWatch {
    /// Of a recorder that begins, where the newest segment of the stream on the disk ends there.
    pub fn new(newest: Option<Timestamp>) -> Self {
        let why = "no recorder ran here".to_owned();
        let not_recording = |since| Cause { since, known: since, reason: HoleReason::NotRecording, why };
        Self { newest, causes: newest.map(not_recording).into_iter().collect(), ..Self::default() }
    }

    /// What is known to be missed because of this event.
    pub fn observe(&mut self, event: &RecorderEvent, now: Timestamp) -> Vec<MissedRecording> {
        match event {
            RecorderEvent::Recorded { segment, .. } => {
                let end = segment.start + segment.duration;
                let is_newer = self.newest.is_none_or(|newest| end > newest);
                let missed = if is_newer { self.until(segment.start) } else { Vec::new() };
                if is_newer {
                    (self.newest, self.came) = (Some(end), Some(now));
                    self.causes.retain(|cause| cause.known > end);
                    self.causes.iter_mut().for_each(|cause| cause.since = cause.since.max(end));
                    self.told = None;
                }
                missed
            }
            RecorderEvent::GivenUp { start, duration, reason, why, .. } => {
                let missed = Stretch { start: *start, end: *start + *duration };
                vec![MissedRecording { missed, reason: *reason, detail: why.clone() }]
            }
            RecorderEvent::AdLeftOut { start, duration, .. } => {
                let missed = Stretch { start: *start, end: *start + *duration };
                vec![MissedRecording {
                    missed,
                    reason: HoleReason::Ad,
                    detail: "it is an ad, and these are left out".to_owned(),
                }]
            }
            RecorderEvent::Jumped { reason, missed, .. } => {
                let why = format!("the playlist went on {missed} segments later than it had ended");
                self.only(*reason, why, now);
                Vec::new()
            }
            RecorderEvent::Restarted { .. } => {
                self.only(HoleReason::SourceOffline, "the stream began anew".to_owned(), now);
                Vec::new()
            }
            RecorderEvent::Fails { reason, why, .. } => self.fails(*reason, why, now),
            RecorderEvent::Refused { why, .. } => self.fails(HoleReason::NotReceived, why, now),
            RecorderEvent::Ended { .. } => self.fails(HoleReason::SourceOffline, "the stream had ended", now),
            RecorderEvent::SoundFound { .. }
            | RecorderEvent::SegmentFails { .. }
            | RecorderEvent::ClockDiffers { .. }
            | RecorderEvent::TimesDiffer { .. }
            | RecorderEvent::ClockWasSet { .. } => Vec::new(),
        }
    }

    /// A reason that holds unless there is another one.
    fn only(&mut self, reason: HoleReason, why: String, now: Timestamp) {
        if let Some(since) = self.newest.filter(|_| self.causes.is_empty()) {
            self.causes.push(Cause { since, known: self.by_the_stream(now), reason, why });
        }
    }

    /// This moment by the times of the stream, as far as they are known.
    fn by_the_stream(&self, now: Timestamp) -> Timestamp {
        self.newest.zip(self.came).map_or(now, |(newest, came)| newest + (now - came))
    }

    fn fails(&mut self, reason: HoleReason, why: &str, now: Timestamp) -> Vec<MissedRecording> {
        let Some(newest) = self.newest else { return Vec::new() };
        if self.causes.last().is_none_or(|last| last.reason != reason) {
            let since = if self.causes.is_empty() { newest } else { now.max(newest) };
            if self.causes.len() == MOST_CAUSES {
                self.causes.pop();
            }
            self.causes.push(Cause { since, known: self.by_the_stream(now), reason, why: why.to_owned() });
        }
        if self.told.is_some_and(|told| now - told < TELL_AGAIN) {
            return Vec::new();
        }
        self.told = Some(now);
        self.until(now)
    }

    /// What the reasons explain up to then.
    fn until(&self, end: Timestamp) -> Vec<MissedRecording> {
        let next = self.causes.iter().skip(1).map(|cause| cause.since.min(end)).chain([end]);
        let each = self.causes.iter().zip(next).map(|(cause, until)| MissedRecording {
            missed: Stretch { start: cause.since, end: until },
            reason: cause.reason,
            detail: cause.why.clone(),
        });
        each.filter(|missed| missed.missed.start < missed.missed.end).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::SegmentKind;
    use crate::archive::segment::Hash;
    use crate::record::RecordedSegment;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_us(1_573_613_900_000_000 + second * SECOND_US)
    }

    fn stream() -> Stream {
        Stream::parse("a/source").unwrap()
    }

    fn recorded(second: i64) -> RecorderEvent {
        let segment = RecordedSegment {
            start: at(second),
            duration: Span::from_us(2 * SECOND_US),
            kind: SegmentKind::Full,
            fault: None,
            bytes: 1,
            hash: Hash([0; 32]),
            is_cut: false,
            path: Some("x".to_owned()),
        };
        RecorderEvent::Recorded { stream: stream(), segment }
    }

    fn fails(reason: HoleReason) -> RecorderEvent {
        RecorderEvent::Fails { stream: stream(), reason, why: reason.to_string() }
    }

    fn told(missed: &[MissedRecording]) -> Vec<(i64, i64, HoleReason)> {
        let second = |time: Timestamp| (time - at(0)).us() / SECOND_US;
        missed.iter().map(|each| (second(each.missed.start), second(each.missed.end), each.reason)).collect()
    }

    #[test]
    fn what_lies_between_two_segments_has_the_reasons_for_which_nothing_came() {
        let mut watch = MissedWatch::default();
        assert_eq!(
            watch.observe(&fails(HoleReason::SourceOffline), at(0)),
            [],
            "before the first segment there is no hole"
        );
        assert_eq!(watch.observe(&recorded(0), at(3)), []);
        assert_eq!(watch.observe(&recorded(2), at(5)), []);
        assert_eq!(
            told(&watch.observe(&fails(HoleReason::SourceStalled), at(12))),
            [(4, 12, HoleReason::SourceStalled)]
        );
        assert_eq!(watch.observe(&fails(HoleReason::SourceStalled), at(20)), [], "it was told just before");
        assert_eq!(watch.observe(&fails(HoleReason::SourceOffline), at(30)), []);
        let so_far = watch.observe(&fails(HoleReason::SourceOffline), at(80));
        assert_eq!(told(&so_far), [(4, 30, HoleReason::SourceStalled), (30, 80, HoleReason::SourceOffline)]);
        assert_eq!(watch.observe(&recorded(0), at(81)), [], "an old one that came late");
        let all = watch.observe(&recorded(90), at(93));
        assert_eq!(told(&all), [(4, 30, HoleReason::SourceStalled), (30, 90, HoleReason::SourceOffline)]);
        assert_eq!(watch.observe(&recorded(95), at(98)), [], "nobody failed");
    }

    #[test]
    fn whoever_begins_has_not_recorded_since_the_newest_segment_on_the_disk() {
        let begun = || MissedWatch::new(Some(at(0)));
        assert_eq!(told(&begun().observe(&recorded(10), at(13))), [(0, 10, HoleReason::NotRecording)]);
        assert_eq!(begun().observe(&recorded(0), at(13)), [], "the playlist still had it");
        let mut watch = begun();
        watch.observe(&fails(HoleReason::SourceOffline), at(10));
        let all = watch.observe(&recorded(30), at(33));
        assert_eq!(told(&all), [(0, 10, HoleReason::NotRecording), (10, 30, HoleReason::SourceOffline)]);
    }

    #[test]
    fn a_jump_and_a_restart_explain_what_nothing_else_does() {
        let jump = RecorderEvent::Jumped { stream: stream(), missed: 3, reason: HoleReason::NotReceived };
        let restart = RecorderEvent::Restarted { stream: stream() };
        for (event, reason) in [(&jump, HoleReason::NotReceived), (&restart, HoleReason::SourceOffline)] {
            let mut watch = MissedWatch::new(None);
            watch.observe(&recorded(0), at(3));
            assert_eq!(watch.observe(event, at(10)), []);
            assert_eq!(told(&watch.observe(&recorded(8), at(11))), [(2, 8, reason)]);
            watch.observe(&fails(HoleReason::SourceStalled), at(20));
            watch.observe(event, at(21));
            assert_eq!(told(&watch.observe(&recorded(18), at(22))), [(10, 18, HoleReason::SourceStalled)]);
        }
    }

    #[test]
    fn a_segment_that_comes_late_does_not_take_the_reason_of_what_lies_behind_it() {
        let jump = RecorderEvent::Jumped { stream: stream(), missed: 3, reason: HoleReason::NotReceived };
        let mut watch = MissedWatch::new(None);
        watch.observe(&recorded(0), at(3));
        watch.observe(&jump, at(10));
        assert_eq!(watch.observe(&recorded(2), at(11)), [], "it was listed before the jump");
        assert_eq!(told(&watch.observe(&recorded(9), at(12))), [(4, 9, HoleReason::NotReceived)]);
        assert_eq!(watch.observe(&recorded(13), at(14)), []);
    }

    #[test]
    fn what_is_given_up_is_told_at_once() {
        let (start, duration, reason) = (at(4), Span::from_us(2 * SECOND_US), HoleReason::DiskFull);
        let event = RecorderEvent::GivenUp { stream: stream(), start, duration, reason, why: "x".to_owned() };
        assert_eq!(told(&MissedWatch::default().observe(&event, at(9))), [(4, 6, HoleReason::DiskFull)]);
    }
}
