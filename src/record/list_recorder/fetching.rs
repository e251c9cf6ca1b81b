//! What becomes of segments that are fetched, and of those that do not come.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{ListRecorder, ListState, Step, TRIED_FOR};
use crate::archive::SegmentKind;
use crate::archive::hole_reasons::HoleReason;
use crate::record::events::RecorderEvent;
use crate::record::publish::RecordedSegment;
use crate::record::segment_attempt::{Attempt, attempt};
use crate::record::segment_fetch::FetchFailure;
use crate::record::wanted_segments::{MissingSegment, WantedSegment};

/// Segments of one playlist that are fetched at once.
const FETCHES: usize = 4;
/// And one that is not `full` after it was listed no more.
const UNLISTED_FOR: Duration = Duration::from_secs(60);
/// Segments in a row that are refused until another address of their playlist is asked for.
const REFUSALS: u32 = 4;
/// After how long the same bytes once more are all that will come of a segment that came whole: some list it before they have written it.
const SETTLED_AFTER: Duration = Duration::from_secs(8);
/// The attempt after which it is waited for seconds.
const SLOW_ATTEMPT: u32 = 5;
/// A picture that an encoder begins with fills no more segments than this.
const MOST_DOUBTED: usize = 64;

impl ListRecorder {
    /// Begins what is due; says when something else will be.
    pub(super) fn fetch_due(&mut self) -> Instant {
        let now = Instant::now();
        let (begun, wake) = self.wanted.begin_due(now, FETCHES);
        for wanted in begun {
            let (parts, inits) = (Arc::clone(&self.parts), Arc::clone(&self.inits));
            self.steps.spawn(async move {
                let attempt = attempt(&parts, &inits, &wanted).await;
                Step::Fetched(Box::new(wanted), attempt)
            });
        }
        wake.unwrap_or(now + Duration::from_secs(60))
    }

    pub(super) fn fetched(&mut self, mut wanted: Box<WantedSegment>, attempt: Attempt) {
        self.wanted.returned(&mut wanted);
        wanted.attempts += 1;
        match attempt {
            Ok(Some(recorded)) => {
                self.agree(&wanted, &recorded);
                self.doubt(&wanted, &recorded);
                self.refused = 0;
                let is_asked = self.end.is_none();
                if is_asked && (recorded.path.is_some() || recorded.kind == SegmentKind::Full) {
                    self.state.send_if_modified(|state| {
                        *state != ListState::Works && {
                            *state = ListState::Works;
                            true
                        }
                    });
                }
                let is_full = recorded.kind == SegmentKind::Full;
                let is_same = wanted.before == Some((recorded.hash, recorded.bytes));
                if is_same {
                    // Whoever still writes it is given some time.
                    wanted.attempts = wanted.attempts.max(SLOW_ATTEMPT);
                }
                wanted.is_cut = recorded.is_cut;
                let is_settled = is_same && !wanted.is_cut && wanted.since.elapsed() > SETTLED_AFTER;
                let most = wanted.before.map_or(0, |(_, bytes)| bytes).max(recorded.bytes);
                wanted.before = Some((recorded.hash, most));
                self.tell(|stream| RecorderEvent::Recorded { stream, segment: recorded });
                if !is_full && !is_settled {
                    self.again_or_leave(wanted);
                }
            }
            // Less of it came than is here.
            Ok(None) => self.again_or_leave(wanted),
            Err(error) => {
                if let FetchFailure::Disk(disk) = &error
                    && disk.is_full()
                {
                    wanted.no_room.get_or_insert_with(|| error.to_string());
                }
                self.observe_refusal(&error);
                if let Some(last) = self.gives_up(&wanted, &error) {
                    if wanted.before.is_some() && !wanted.is_cut {
                        // All that there is of it is here.
                        return;
                    }
                    self.give_up(wanted.missing(&last));
                } else {
                    self.tell(|stream| RecorderEvent::SegmentFails { stream, why: error.to_string() });
                    self.wanted.again(*wanted, Instant::now());
                }
            }
        }
    }

    /// What was found here is fetched once more if it is of another run.
    fn doubt(&mut self, wanted: &WantedSegment, recorded: &RecordedSegment) {
        if wanted.placement.is_refuted() {
            for mut again in std::mem::take(&mut self.doubted) {
                again.not_before = Instant::now();
                self.wanted.insert(again);
            }
        } else if !wanted.placement.is_in_doubt() {
            self.doubted.clear();
        } else if recorded.path.is_none() && self.doubted.len() < MOST_DOUBTED {
            self.doubted.push(wanted.clone());
        }
    }

    /// What is not `full` is tried for a while after it was listed.
    fn again_or_leave(&mut self, wanted: Box<WantedSegment>) {
        if !self.is_unlisted_for_long(&wanted) && !self.has_ended_for_long() {
            self.wanted.again(*wanted, Instant::now());
        } else if wanted.is_cut {
            self.give_up(wanted.missing("only a part of it came"));
        }
    }

    /// Addresses of segments may have expired although the playlist answers: then another address of it may be better.
    fn observe_refusal(&mut self, error: &FetchFailure) {
        let FetchFailure::Origin(refusal) = error else { return };
        if !refusal.is_gone() || self.end.is_some() {
            return;
        }
        self.refused = self.refused.saturating_add(1);
        if self.refused >= REFUSALS {
            let why = format!("its segments do not come: {refusal}");
            self.state.send_if_modified(|state| {
                let is_new = !matches!(state, ListState::Fails { .. });
                *state = ListState::Fails { reason: HoleReason::NotReceived, why };
                is_new
            });
        }
    }

    /// Compares the times of a source that tells none with those of other nodes.
    fn agree(&mut self, wanted: &WantedSegment, recorded: &RecordedSegment) {
        if wanted.time.source.is_told() || recorded.kind != SegmentKind::Full || recorded.path.is_none() {
            return;
        }
        self.agreed.recorded(recorded.hash, recorded.start, wanted.time.moved);
        let quality = &self.parts.quality;
        let news = self.agreed.compare(|hash, near| quality.peer_times.of(&quality.stream, hash, near));
        if let Some((peer, earlier)) = news {
            self.tell(|stream| RecorderEvent::TimesDiffer { stream, peer, earlier });
        }
    }

    /// What has not come while it was drained.
    pub(super) fn give_up_the_rest(&mut self) {
        for missing in self.wanted.give_up("its playlist was there no more, and it did not come") {
            self.give_up(missing);
        }
    }

    pub(super) fn give_up_what_failed(&mut self) {
        for missing in self.wanted.give_up_failed("it had not come when recording was stopped") {
            self.give_up(missing);
        }
    }

    /// What another address of the same playlist has listed since, comes by that, or is missed there.
    fn give_up(&self, missing: MissingSegment) {
        let MissingSegment { name, start, duration, reason, why } = missing;
        if !self.parts.last_listed.is_taken_over(self.id, name) {
            self.tell(|stream| RecorderEvent::GivenUp { stream, start, duration, reason, why });
        }
    }

    fn is_listed(&self, wanted: &WantedSegment) -> bool {
        let may_go_on = self.end.is_none() || self.has_ended() || self.lingers.is_some();
        wanted.number() >= self.window && may_go_on
    }

    fn is_unlisted_for_long(&self, wanted: &WantedSegment) -> bool {
        !self.is_listed(wanted) && wanted.since.elapsed() > UNLISTED_FOR
    }

    /// What an ended stream lists may still be put there, but not for ever.
    fn has_ended_for_long(&self) -> bool {
        self.has_ended() && self.ended.elapsed() > UNLISTED_FOR
    }

    /// Why it is not tried again.
    fn gives_up(&self, wanted: &WantedSegment, error: &FetchFailure) -> Option<String> {
        let is_over = match error {
            FetchFailure::Origin(error) if error.is_final() => true,
            FetchFailure::Origin(error) if error.is_gone() => !self.is_listed(wanted) || self.has_ended_for_long(),
            FetchFailure::OtherMedia { .. } | FetchFailure::Init { .. } => {
                wanted.attempts >= 3 && (self.end.is_some() || !self.is_listed(wanted))
            }
            FetchFailure::Stopping => true,
            _ => wanted.since.elapsed() > TRIED_FOR,
        };
        is_over.then(|| error.to_string())
    }
}
