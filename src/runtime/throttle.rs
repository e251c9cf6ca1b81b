//! How long to rest after a slice of work, to keep to a share of one processor.

use std::time::Duration;

/// The longest rest: however little is allowed, something is done every five minutes.
const LONGEST: Duration = Duration::from_secs(299);

/// The rest after `worked`, so that work is `share` (0 to 1) of the whole.
pub fn rest_after(worked: Duration, share: f64) -> Duration {
    if share >= 1.0 {
        return Duration::ZERO;
    }
    let rest = worked.as_secs_f64() / share.max(1e-6) - worked.as_secs_f64();
    Duration::try_from_secs_f64(rest).unwrap_or(LONGEST).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_is_one_part_work_and_nine_parts_rest() {
        assert_eq!(rest_after(Duration::from_secs(1), 0.1), Duration::from_secs(9));
        assert_eq!(rest_after(Duration::from_secs(1), 1.0), Duration::ZERO);
        assert_eq!(rest_after(Duration::from_secs(1), 0.0), LONGEST);
        assert_eq!(rest_after(Duration::ZERO, 0.1), Duration::ZERO);
    }
}
