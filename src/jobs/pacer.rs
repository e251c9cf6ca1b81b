//! How long to rest after a slice of work, so that a job keeps to its share over any length of time, and how busy the node is with
//! what others wait for.
//!
//! 1. Processor time is held to the share that was asked for. Elapsed time is held to a share of its own: a job that waits for a slow
//!    disk uses no processor, and must still leave the disk to others.
//! 2. One rest is at most [`LONGEST`], so that something is done every five minutes however little is allowed; what it falls short
//!    is owed, and rested after the next slice.
//! 3. What is owed is bounded too: one item that took hours must not keep the job from working for days.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

/// The longest rest: however little is allowed, something is done every five minutes.
pub const LONGEST: Duration = Duration::from_secs(299);
/// What may be owed: a day of rest, after which whatever happened is forgotten.
const MOST_OWED: Duration = Duration::from_secs(86_400);

#[derive(Debug, Clone, Copy)]
pub struct WorkCost {
    pub elapsed: Duration,
    pub cpu: Duration,
}

/// The shares, 0 to 1, that work may have of all time.
#[derive(Debug, Clone, Copy)]
pub struct WorkShare {
    pub elapsed: f64,
    pub cpu: f64,
}

/// The rest after `worked`, so that work is `share` (0 to 1) of the whole.
pub fn rest_after(worked: Duration, share: f64) -> Duration {
    rest(worked, worked, share).min(LONGEST)
}

/// What is left of the time of which `part` may be `share`, after the work that took `elapsed`.
fn rest(part: Duration, elapsed: Duration, share: f64) -> Duration {
    let whole = Duration::try_from_secs_f64(part.as_secs_f64() / share.clamp(1e-6, 1.0));
    whole.unwrap_or(Duration::MAX).saturating_sub(elapsed).min(MOST_OWED)
}

#[derive(Debug, Default)]
pub struct Pacer {
    owed: Duration,
}

impl Pacer {
    pub fn rest_after(&mut self, cost: WorkCost, share: WorkShare) -> Duration {
        let by_cpu = rest(cost.cpu, cost.elapsed, share.cpu);
        let by_time = rest(cost.elapsed, cost.elapsed, share.elapsed);
        self.owed = self.owed.saturating_add(by_cpu.max(by_time)).min(MOST_OWED);
        self.owed.min(LONGEST)
    }

    /// So long was rested, whether it was asked for or there was nothing to do.
    pub fn rested(&mut self, time: Duration) {
        self.owed = self.owed.saturating_sub(time);
    }
}

/// Units in a second from which on a node is fully busy. A unit is a request, or a mebibyte that is sent or fetched: monitors and
/// other nodes that ask now and then are no load.
const FULLY: f64 = 20.0;
/// Bytes of a unit.
const UNIT_BYTES: u64 = 1 << 20;
/// A look counts for so long at least, so that a single request between two looks is not taken for a storm.
const SHORTEST: Duration = Duration::from_millis(250);

/// Counts what is done for others. Share it by `Arc`.
#[derive(Debug, Default)]
pub struct ForegroundLoad {
    /// In thousandths of a unit.
    done: AtomicU64,
    last: Mutex<(Duration, u64, f64)>,
}

impl ForegroundLoad {
    pub fn add(&self, bytes: u64) {
        self.done.fetch_add(1_000 + bytes.saturating_mul(1_000) / UNIT_BYTES, Ordering::Relaxed);
    }

    /// How busy it was since the last look, 0 to 1.
    pub fn level(&self, now: Duration) -> f64 {
        let mut last = self.last.lock();
        let (at, before, level) = *last;
        let since = now.saturating_sub(at);
        if since < SHORTEST {
            return level;
        }
        let done = self.done.load(Ordering::Relaxed);
        let milli = u32::try_from(done.wrapping_sub(before)).unwrap_or(u32::MAX);
        let fresh = (f64::from(milli) / 1_000.0 / since.as_secs_f64() / FULLY).min(1.0);
        *last = (now, done, fresh);
        fresh
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

    fn all_cpu(time: Duration) -> WorkCost {
        WorkCost { elapsed: time, cpu: time }
    }

    #[test]
    fn all_that_is_worked_is_paid_for_and_no_more() {
        let share = WorkShare { cpu: 0.1, elapsed: 0.5 };
        let mut pacer = Pacer::default();
        let mut rested = Duration::ZERO;
        for _ in 0..100 {
            let rest = pacer.rest_after(all_cpu(Duration::from_secs(1)), share);
            pacer.rested(rest);
            rested += rest;
        }
        assert_eq!(rested, Duration::from_secs(900));
    }

    #[test]
    fn waiting_for_the_disk_is_no_processor_time_and_leaves_the_disk_to_others_all_the_same() {
        let share = WorkShare { cpu: 0.1, elapsed: 0.5 };
        let second = Duration::from_secs(1);
        let rest = |milliseconds| {
            Pacer::default().rest_after(WorkCost { elapsed: second, cpu: Duration::from_millis(milliseconds) }, share)
        };
        assert_eq!(rest(0), second, "as long as it waited");
        assert_eq!(rest(200), second, "the share of the processor is kept by then");
        assert_eq!(rest(500), second * 4);
        assert_eq!(rest(1_000), second * 9, "as if nobody had waited");
        let all = WorkShare { cpu: 1.0, elapsed: 1.0 };
        assert_eq!(Pacer::default().rest_after(all_cpu(second), all), Duration::ZERO);
    }

    #[test]
    fn many_requests_or_much_data_is_busy_and_a_few_are_not() {
        let busy = ForegroundLoad::default();
        let second = |number: u64| Duration::from_secs(number);
        assert!(busy.level(second(1)) < 0.01);
        busy.add(100);
        assert!(busy.level(second(2)) < 0.06);
        (0..100).for_each(|_| busy.add(0));
        assert!((busy.level(second(3)) - 1.0).abs() < 0.01);
        assert!((busy.level(second(3)) - 1.0).abs() < 0.01, "asked at once again it is as it was");
        busy.add(30 << 20);
        assert!((busy.level(second(4)) - 1.0).abs() < 0.01);
        assert!(busy.level(second(5)) < 0.01);
    }

    proptest! {
        #[test]
        fn the_share_is_kept_whatever_the_slices_are(
            slices in prop::collection::vec((1_u64..120_000, 0.0..=1.0), 1..60), cpu in 0.02..1.0, elapsed in 0.02..1.0,
        ) {
            let shares = WorkShare { elapsed, cpu };
            let (mut pacer, mut worked, mut rested) = (Pacer::default(), Duration::ZERO, Duration::ZERO);
            let mut computed = Duration::ZERO;
            for (slice, part) in slices {
                let slice = Duration::from_millis(slice);
                let cost = WorkCost { elapsed: slice, cpu: slice.mul_f64(part) };
                (worked, computed) = (worked + cost.elapsed, computed + cost.cpu);
                let rest = pacer.rest_after(cost, shares);
                prop_assert!(rest <= LONGEST);
                pacer.rested(rest);
                rested += rest;
            }
            // What is still owed is rested in the end.
            while pacer.rest_after(all_cpu(Duration::ZERO), shares) > Duration::ZERO {
                let rest = pacer.rest_after(all_cpu(Duration::ZERO), shares);
                pacer.rested(rest);
                rested += rest;
            }
            let of_all = |part: Duration| part.as_secs_f64() / (worked + rested).as_secs_f64();
            let is_kept = of_all(computed) <= cpu * 1.001 && of_all(worked) <= elapsed * 1.001;
            prop_assert!(is_kept || rested >= MOST_OWED, "{computed:?} and {worked:?} beside {rested:?}");
        }
    }
}
