//! How many series of metrics an archive may have: channels, qualities and hours are names, and names are up to others.
//!
//! 1. Within the bound everything is shown.
//! 2. Beyond it each quality shows fewer of its latest hours by themselves; what is older is in its sum, as ever.
//! 3. Beyond that, and beyond [`MOST_QUALITIES`], those that came to the archive last are one sum together, so that nobody pushes out
//!    what was here before.

/// Qualities that have series of their own.
pub const MOST_QUALITIES: usize = 1_000;

/// Channel and quality of the sum of all others. No channel can be called that.
pub const OTHERS: &str = "/others";

/// What is shown by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnSeries {
    /// So many qualities.
    pub qualities: usize,
    /// So many of the latest hours of each.
    pub hours: u32,
}

impl OwnSeries {
    /// Of so many qualities, of which each should show so many hours, with so many series in all and `each` for an hour.
    pub fn of(qualities: usize, hours: u32, series: usize, each: usize) -> Self {
        // Each has its older hours, and all others have one sum.
        let sums = (series / each.max(1)).max(2);
        let own = if qualities <= MOST_QUALITIES.min(sums) { qualities } else { MOST_QUALITIES.min(sums - 1) };
        let others = usize::from(own < qualities);
        let per_quality = (sums - others) / own.max(1);
        let most = u32::try_from(per_quality.saturating_sub(1)).unwrap_or(u32::MAX);
        Self { qualities: own, hours: hours.min(most) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_small_archive_shows_everything_and_a_large_one_fewer_hours_of_each() {
        let share = |qualities, hours| OwnSeries::of(qualities, hours, 50_000, 19);
        assert_eq!(share(0, 168), OwnSeries { qualities: 0, hours: 168 });
        assert_eq!(share(11, 168), OwnSeries { qualities: 11, hours: 168 });
        assert_eq!(share(150, 168), OwnSeries { qualities: 150, hours: 16 });
        assert_eq!(share(5_000, 168), OwnSeries { qualities: 1_000, hours: 1 });
        assert_eq!(share(5_000, 0), OwnSeries { qualities: 1_000, hours: 0 });
        assert_eq!(OwnSeries::of(50, 168, 100, 26), OwnSeries { qualities: 2, hours: 0 });
    }

    proptest! {
        #[test]
        fn the_bound_holds_and_nothing_is_left_out_that_fits(
            qualities in 0..20_000_usize, hours in 0..2_000_u32, series in 100..10_000_000_usize, each in 1..50_usize,
        ) {
            let share = OwnSeries::of(qualities, hours, series, each);
            let shown = share.qualities * (share.hours as usize + 1) + usize::from(share.qualities < qualities);
            prop_assert!(shown * each <= series.max(2 * each), "{share:?}");
            if qualities <= MOST_QUALITIES && qualities * (hours as usize + 1) * each <= series {
                prop_assert_eq!(share, OwnSeries { qualities, hours });
            }
        }
    }
}
