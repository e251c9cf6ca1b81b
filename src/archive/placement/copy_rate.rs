//! How fast copies come to lie where the layout says, and how long the rest takes at that rate.

use std::collections::VecDeque;

use crate::archive::Span;

/// What is older says nothing of how it goes now.
const WINDOW: Span = Span::from_us(600_000_000);
/// With less time between the first look and the last one there is no rate.
const LEAST: Span = Span::from_us(2_000_000);

/// Looks at what is missing, of the last ten minutes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CopyRate(VecDeque<(Span, u64)>);

impl CopyRate {
    /// At this time, which never goes back, so many bytes were missing.
    pub fn note(&mut self, elapsed: Span, missing: u64) {
        self.0.push_back((elapsed, missing));
        // The last one before the window stays: the rate is over all of it.
        while self.0.get(1).is_some_and(|(next, _)| elapsed - *next >= WINDOW) {
            self.0.pop_front();
        }
    }

    /// What was missing before has nothing to do with what is missing now: another layout holds.
    pub fn begin_anew(&mut self) {
        self.0.clear();
    }

    /// Bytes a second by which less is missing; nothing if that is not known. 0 where not less is missing than before.
    pub fn bytes_per_second(&self) -> Option<f64> {
        let ((first, before), (last, now)) = (self.0.front()?, self.0.back()?);
        let took = *last - *first;
        if took < LEAST {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "people look at it")]
        let less = before.saturating_sub(*now) as f64;
        Some(less / took.seconds())
    }

    /// Seconds until nothing is missing, at this rate; nothing if there is none.
    pub fn seconds_left(&self) -> Option<f64> {
        let (rate, (_, missing)) = (self.bytes_per_second()?, self.0.back()?);
        #[expect(clippy::cast_precision_loss, reason = "people look at it")]
        let missing = *missing as f64;
        (rate > 0.0).then(|| missing / rate)
    }
}
