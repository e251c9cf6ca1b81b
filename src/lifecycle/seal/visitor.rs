//! Sealing as the crawl carries it: an hour is read in as many turns as it takes. What was read of it is kept as long as the process lives.

use std::ops::ControlFlow;
use std::sync::Arc;

use parking_lot::Mutex;

use super::outcome::SealOutcome;
use super::seal_hour::{Sealer, UnsealedHour};
use crate::archive::{HourPlace, Span};
use crate::sync::crawl::{CrawlCounts, CrawlError, Round, Visitor};

/// Seals what has been quiet for long enough.
pub struct SealVisitor {
    sealer: Arc<Sealer>,
    after: Span,
    left: Mutex<Option<UnsealedHour>>,
}

impl SealVisitor {
    pub fn new(sealer: Arc<Sealer>, after: Span) -> Self {
        Self { sealer, after, left: Mutex::default() }
    }

    /// Goes on with an hour; `None` if it is not done.
    fn hour(&self, place: &HourPlace, round: &mut Round<'_>) -> Result<Option<SealOutcome>, CrawlError> {
        let left = self.left.lock().take().filter(|left| left.place == *place);
        let mut hour = match left.map_or_else(|| self.sealer.begin(place, self.after, false), |left| Ok(Ok(left)))? {
            Ok(hour) => hour,
            Err(outcome) => return Ok(Some(outcome)),
        };
        let mut read = |bytes: u64| {
            round.spend(bytes, 0);
            if round.is_over() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        match self.sealer.go_on(&mut hour, &mut Vec::new(), &mut read)? {
            SealOutcome::Stopped => {
                round.doing(format!("reads {place}"));
                *self.left.lock() = Some(hour);
                Ok(None)
            }
            outcome => Ok(Some(outcome)),
        }
    }
}

impl Visitor for SealVisitor {
    fn name(&self) -> &'static str {
        "seal"
    }

    fn visit(&self, round: &mut Round<'_>) -> Result<(), CrawlError> {
        while let Some(place) = round.hours().first().filter(|_| !round.is_over()) {
            match self.hour(place, round) {
                Ok(None) => return Ok(()),
                Ok(Some(outcome)) => round.done(&counts(place, &outcome)),
                Err(CrawlError::Disk(error)) if error.is_shortage() => return Err(error.into()),
                Err(error @ (CrawlError::Disk(_) | CrawlError::Doubt(_))) => {
                    round.done(&CrawlCounts::error(format!("{place}: {error}")));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn counts(place: &HourPlace, outcome: &SealOutcome) -> CrawlCounts {
    match outcome {
        SealOutcome::Sealed(hour) => CrawlCounts::of("sealed", 1).and("bytes", hour.bytes),
        SealOutcome::WasSealed => CrawlCounts::of("sealed before", 1),
        SealOutcome::InBucket => CrawlCounts::of("in the bucket", 1),
        SealOutcome::NotSealed(why) if why.is_fault() => CrawlCounts::error(format!("{place}: {why}")),
        SealOutcome::NotSealed(_) => CrawlCounts::of("open", 1),
        SealOutcome::Stopped => CrawlCounts::nothing(),
    }
}
