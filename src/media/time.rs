//! Time stamps of a transport stream: 33 bits that count 1/90,000 s and start over after 26.5 hours (ISO/IEC 13818-1, 2.4.3.7).

/// Time stamps count so many to the second.
pub const TICKS: i64 = 90_000;

/// A time stamp starts over here.
pub const WRAP: i64 = 1 << 33;

/// So many microseconds, in ticks, to the nearest.
pub fn ticks(us: i64) -> i64 {
    // A tick is 100/9 µs.
    us.saturating_mul(9).saturating_add(50).div_euclid(100)
}

/// How far it is from one time stamp to another, the short way round.
pub fn distance(from: i64, to: i64) -> i64 {
    let ahead = to.wrapping_sub(from).rem_euclid(WRAP);
    if ahead < WRAP / 2 { ahead } else { ahead - WRAP }
}

/// The time that a stamp means, near another one.
pub fn near(stamp: i64, other: i64) -> i64 {
    other.saturating_add(distance(other, stamp))
}

/// Five bytes: 33 bits, and after each group of them one that is always set.
pub(super) fn read(bytes: &[u8]) -> Option<i64> {
    let [top, high, middle, low, last] = bytes.first_chunk::<5>()?.map(i64::from);
    Some((top >> 1 & 7) << 30 | high << 22 | (middle >> 1) << 15 | low << 7 | last >> 1)
}

/// The same, written; `mark` says whether it stands alone (2), or first (3) or second (1) of two.
pub(super) fn written(mark: u8, time: i64) -> [u8; 5] {
    let time = time.rem_euclid(WRAP);
    let bits = |shift: i64, mask: i64| u8::try_from(time >> shift & mask).unwrap_or_default();
    [mark << 4 | bits(30, 7) << 1 | 1, bits(22, 0xff), bits(15, 0x7f) << 1 | 1, bits(7, 0xff), bits(0, 0x7f) << 1 | 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_to_the_nearest_tick() {
        assert_eq!((ticks(33_366), ticks(33_367), ticks(33_372), ticks(-33_367)), (3_003, 3_003, 3_003, -3_003));
        assert_eq!((ticks(0), ticks(1_000_000), ticks(40_000)), (0, 90_000, 3_600));
    }

    #[test]
    fn stamps_start_over_and_distances_go_the_short_way_round() {
        assert_eq!((distance(WRAP - 1, 2), distance(2, WRAP - 1), distance(5, 5)), (3, -3, 0));
        assert_eq!((near(2, WRAP - 1), near(WRAP - 1, 2), near(7, 3 * WRAP)), (WRAP + 2, -1, 3 * WRAP + 7));
        for time in [0, 1, WRAP - 1, 0x1_5555_5555, 90_000] {
            assert_eq!(read(&written(2, time)), Some(time));
        }
        assert_eq!(read(&[0; 4]), None);
    }
}
