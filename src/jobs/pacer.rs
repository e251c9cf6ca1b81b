//! How long to rest after a slice of work, to keep to a share of one processor over any length of time.
//!
//! 1. After `w` of work the rest is `w / share - w`.
//! 2. One rest is at most [`LONGEST`], so that something is done every five minutes however little is allowed; what it falls short
//!    is owed, and rested after the next slice.
//! 3. What is owed is bounded too: one item that took hours must not keep the job from working for days.

use std::time::Duration;

/// The longest rest: however little is allowed, something is done every five minutes.
pub const LONGEST: Duration = Duration::from_secs(299);
/// What may be owed: a day of rest, after which whatever happened is forgotten.
const MOST_OWED: Duration = Duration::from_secs(86_400);

/// The rest after `worked`, so that work is `share` (0 to 1) of the whole.
pub fn rest_after(worked: Duration, share: f64) -> Duration {
    rest(worked, share).min(LONGEST)
}

fn rest(worked: Duration, share: f64) -> Duration {
    if share >= 1.0 {
        return Duration::ZERO;
    }
    let rest = worked.as_secs_f64() / share.max(1e-6) - worked.as_secs_f64();
    Duration::try_from_secs_f64(rest).unwrap_or(MOST_OWED).min(MOST_OWED)
}

/// Keeps the account of work and rest.
#[derive(Debug, Default)]
pub struct Pacer {
    owed: Duration,
}

impl Pacer {
    /// So long was worked: says how long to rest now.
    pub fn rest_after(&mut self, worked: Duration, share: f64) -> Duration {
        self.owed = self.owed.saturating_add(rest(worked, share)).min(MOST_OWED);
        self.owed.min(LONGEST)
    }

    /// So long was rested, whether it was asked for or there was nothing to do.
    pub fn rested(&mut self, time: Duration) {
        self.owed = self.owed.saturating_sub(time);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_tenth_is_one_part_work_and_nine_parts_rest() {
        assert_eq!(rest_after(Duration::from_secs(1), 0.1), Duration::from_secs(9));
        assert_eq!(rest_after(Duration::from_secs(1), 1.0), Duration::ZERO);
        assert_eq!(rest_after(Duration::from_secs(1), 0.0), LONGEST);
        assert_eq!(rest_after(Duration::ZERO, 0.1), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn the_share_is_kept_whatever_the_slices_are(
            slices in prop::collection::vec(1_u64..120_000, 1..60), percent in 2_u32..100,
        ) {
            let share = f64::from(percent) / 100.0;
            let (mut pacer, mut worked, mut rested) = (Pacer::default(), Duration::ZERO, Duration::ZERO);
            for slice in slices {
                let slice = Duration::from_millis(slice);
                worked += slice;
                let rest = pacer.rest_after(slice, share);
                prop_assert!(rest <= LONGEST);
                pacer.rested(rest);
                rested += rest;
            }
            // What is still owed is rested in the end.
            while pacer.rest_after(Duration::ZERO, share) > Duration::ZERO {
                let rest = pacer.rest_after(Duration::ZERO, share);
                pacer.rested(rest);
                rested += rest;
            }
            let kept = worked.as_secs_f64() / (worked + rested).as_secs_f64();
            prop_assert!((kept - share).abs() < share * 0.001 || rested >= MOST_OWED, "{kept} of {share}");
        }
    }
}
