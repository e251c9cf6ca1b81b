//! The census: what a day, a quality or an archive holds, in numbers that add up.
//!
//! Sums wrap, as those of an hour do, so that whatever is added can be taken away again.

use super::totals::{FileTally, HourTotals};

/// What files are counted apart. The first three are video, by [`SegmentKind::VIDEO`](super::SegmentKind::VIDEO).
pub const SORTS: [&str; 7] = ["full", "suspect", "partial", "chat", "bad", "other", "hidden"];

/// Numbers of a row: hours, files and bytes by [`SORTS`], durations, tombstones.
pub const NUMBERS: usize = 1 + 7 * 2 + 3 + 1;

/// What some hours hold together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Census {
    /// Hour directories.
    pub hours: u64,
    /// Files by [`SORTS`].
    pub files: [u64; 7],
    /// Their bytes.
    pub bytes: [u64; 7],
    /// Microseconds of visible video, overlaps included.
    pub video_us: [u64; 3],
    /// Tombstones.
    pub tombstones: u64,
}

impl Census {
    /// Of one hour.
    pub fn of_hour(totals: &HourTotals) -> Self {
        let [full, suspect, partial] = totals.video;
        let tallies = [full, suspect, partial, totals.chat, totals.bad, totals.other, totals.hidden];
        Self {
            hours: 1,
            files: tallies.map(|tally: FileTally| u64::from(tally.files)),
            bytes: tallies.map(|tally| tally.bytes),
            video_us: totals.video_us,
            tombstones: u64::from(totals.tombstones),
        }
    }

    /// These and those.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        self.with(other, u64::wrapping_add)
    }

    /// These without those, which are part of them.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        self.with(other, u64::wrapping_sub)
    }

    fn with(self, other: Self, op: impl Fn(u64, u64) -> u64) -> Self {
        let (mine, theirs) = (self.numbers(), other.numbers());
        Self::from_numbers(std::array::from_fn(|number| op(mine[number], theirs[number])))
    }

    /// Visible segments and chat batches whose names are understood.
    pub fn segments(&self) -> u64 {
        self.files[..4].iter().fold(0, |sum, files| sum.wrapping_add(*files))
    }

    /// Their bytes.
    pub fn segment_bytes(&self) -> u64 {
        self.bytes[..4].iter().fold(0, |sum, bytes| sum.wrapping_add(*bytes))
    }

    /// Every file that the index has a row of.
    pub fn entries(&self) -> u64 {
        self.files.iter().fold(self.tombstones, |sum, files| sum.wrapping_add(*files))
    }

    /// In the order in which they are kept.
    pub fn numbers(&self) -> [u64; NUMBERS] {
        let mut numbers = [0; NUMBERS];
        numbers[0] = self.hours;
        numbers[1..8].copy_from_slice(&self.files);
        numbers[8..15].copy_from_slice(&self.bytes);
        numbers[15..18].copy_from_slice(&self.video_us);
        numbers[18] = self.tombstones;
        numbers
    }

    /// The inverse of [`Census::numbers`].
    pub fn from_numbers(numbers: [u64; NUMBERS]) -> Self {
        let mut census = Self { hours: numbers[0], tombstones: numbers[18], ..Self::default() };
        census.files.copy_from_slice(&numbers[1..8]);
        census.bytes.copy_from_slice(&numbers[8..15]);
        census.video_us.copy_from_slice(&numbers[15..18]);
        census
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_added_can_be_taken_away(a in any::<[u64; NUMBERS]>(), b in any::<[u64; NUMBERS]>()) {
            let (a, b) = (Census::from_numbers(a), Census::from_numbers(b));
            prop_assert_eq!(a.plus(b).minus(b), a);
            prop_assert_eq!(a.plus(b), b.plus(a));
            prop_assert_eq!(Census::from_numbers(a.numbers()), a);
        }
    }
}
