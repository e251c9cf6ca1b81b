//! When a playlist is asked for again: soon enough that nothing new is seen late, and no more often than that needs. Pure.
//!
//! 1. Where nothing was new, after half its target duration (RFC 8216, 6.3.4).
//! 2. Where something was, after as long as its newest segment lasts: one request for each segment.
//! 3. How long that had been listed is known within bounds only: since the request before, and by how late the one before it was seen. Where it may
//!    be longer than half the target duration, it is asked after half of it, which says more, and the requests after it come earlier.

use std::time::Duration;

use tokio::time::Instant;

/// By so much of a segment the bound grows with each: sources are not exactly as fast as their durations say.
const SLACK: u32 = 256;
/// Such a part of a target duration is let pass beyond the half, or each segment would ask for it once more.
const LET_PASS: u32 = 16;
/// By such a part of a segment they may list earlier than their durations say, for whatever reason.
const NEAR: u32 = 8;

/// The requests for one playlist so far.
#[derive(Debug, Default)]
pub struct PollPace {
    last: Option<Instant>,
    /// When something new was asked for last, and for how long at most it had been listed then.
    seen: Option<(Instant, Duration)>,
}

impl PollPace {
    /// How long after the request at `asked` the next one comes, where the segments that it found new last `new` together, and the newest of all `newest`.
    pub fn next(&mut self, asked: Instant, new: Duration, newest: Duration, target: Duration) -> Duration {
        let half = target / 2;
        let last = self.last.replace(asked);
        if new.is_zero() {
            return half;
        }
        let since_last = last.map(|last| asked.saturating_duration_since(last));
        // Where the source lists much faster than its durations say, that says nothing.
        let by_the_one_before = self.seen.and_then(|(at, late)| {
            let since = asked.saturating_duration_since(at) + late;
            let is_near = since + new / NEAR >= new;
            is_near.then(|| since.saturating_sub(new) + new / SLACK)
        });
        let late = [since_last, by_the_one_before].into_iter().flatten().min().unwrap_or(target);
        self.seen = Some((asked, late));
        if late > half + target / LET_PASS { half } else { newest.min(target) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SEGMENT: u64 = 2_000;

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    /// Plays a source that lists a segment each `spacing`, the first after `phase`: how late each was seen, and how many requests that took.
    fn play(phase: u64, spacing: u64, delays: &[u64]) -> (Vec<u64>, usize) {
        let begin = Instant::now();
        let (mut pace, mut now, mut known, mut late) = (PollPace::default(), 0_u64, 0_u64, Vec::new());
        for delay in delays {
            // Listed so far; what the request finds is what was there when it came.
            let there = if now < phase { 0 } else { 1 + (now - phase) / spacing };
            late.extend((known..there).map(|number| now - (phase + number * spacing)));
            let new = ms(SEGMENT * (there - known));
            known = there;
            let wait = pace.next(begin + ms(now), new, ms(SEGMENT), ms(SEGMENT));
            now += u64::try_from(wait.as_millis()).unwrap().max(*delay);
        }
        (late, delays.len())
    }

    proptest! {
        #[test]
        fn what_is_new_is_seen_within_half_a_target_duration_for_little_more_than_a_request_each(
            phase in 0..SEGMENT, spacing in SEGMENT - 4..SEGMENT + 4,
        ) {
            let (late, requests) = play(phase, spacing, &[0; 1_000]);
            // The first ones were there before anybody asked.
            prop_assert!(late.iter().skip(3).all(|late| *late <= SEGMENT * 5 / 8), "{late:?}");
            prop_assert!(requests * 10 <= late.len() * 12, "{requests} for {}", late.len());
        }

        #[test]
        fn slow_answers_make_it_ask_anew_and_not_later_and_later(
            phase in 0..SEGMENT, delays in prop::collection::vec(prop_oneof![4 => Just(0), 1 => 0..2 * SEGMENT], 1_000),
        ) {
            let (late, _) = play(phase, SEGMENT, &delays);
            let slow = late.iter().skip(3).filter(|late| **late > SEGMENT * 5 / 8).count();
            prop_assert!(slow * 2 < late.len(), "{slow} of {}", late.len());
        }
    }

    #[test]
    fn nothing_new_is_asked_for_again_after_half_the_target_duration() {
        let mut pace = PollPace::default();
        let now = Instant::now();
        assert_eq!(pace.next(now, Duration::ZERO, ms(SEGMENT), ms(6_000)), ms(3_000));
        assert_eq!(pace.next(now + ms(3_000), ms(SEGMENT), ms(SEGMENT), ms(6_000)), ms(SEGMENT));
    }
}
