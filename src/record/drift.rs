//! What durations and the clock here disagree about by and by, and how it is let out. Pure.

use std::collections::VecDeque;

use crate::archive::Span;

/// How much of a drift is let out with one segment. More than 10 ms would be a hole.
pub const STEP: Span = Span::from_us(5_000);
/// Looks of which the least late one says how late all are.
pub const LOOKS: usize = 16;

/// How late what came seemed to be, in microseconds.
#[derive(Debug, Default)]
pub struct Drift(VecDeque<i64>);

impl Drift {
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// How far the next segment is moved, where it seems to be so late.
    pub fn step(&mut self, late: i64) -> Span {
        self.0.push_back(late);
        if self.0.len() > LOOKS {
            self.0.pop_front();
        }
        // One that appeared before it could have ended says so at once; that all are late is known when enough have come.
        let drift = if late < 0 { Some(late) } else { self.least() };
        let step = drift.map_or(0, |drift| drift.clamp(-STEP.us(), STEP.us()));
        for known in &mut self.0 {
            *known -= step;
        }
        Span(step)
    }

    /// How late all of the last looks were, once there are enough.
    pub fn least(&self) -> Option<i64> {
        self.0.iter().copied().min().filter(|_| self.0.len() == LOOKS)
    }
}
