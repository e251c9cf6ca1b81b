//! The totals of an hour: counts, bytes, durations, and the digest by which two nodes compare it.
//!
//! Totals are kept incrementally; [`HourTotals::of`] counts from scratch and is what they are checked against.

use sha2::{Digest as _, Sha256};

use super::contents::{HourContents, OddFile};
use super::segment::{SegmentFile, SegmentKind};

/// Files and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FileTally {
    /// How many.
    pub files: u32,
    /// Bytes of all of them.
    pub bytes: u64,
}

impl FileTally {
    fn add(&mut self, size: u64) {
        self.files = self.files.wrapping_add(1);
        self.bytes = self.bytes.wrapping_add(size);
    }

    fn subtract(&mut self, size: u64) {
        self.files = self.files.wrapping_sub(1);
        self.bytes = self.bytes.wrapping_sub(size);
    }
}

/// An order-independent digest of a set of names: the sum of their SHA-256, as four little-endian 64-bit lanes, each modulo
/// 2⁶⁴. Equal sets have equal digests on every node, whatever its index looks like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u64; 4]);

impl Digest {
    /// The digest of a set of this one name.
    pub fn of_name(name: &str) -> Self {
        let hash: [u8; 32] = Sha256::digest(name.as_bytes()).into();
        let mut lanes = [0; 4];
        for (lane, bytes) in lanes.iter_mut().zip(hash.as_chunks::<8>().0) {
            *lane = u64::from_le_bytes(*bytes);
        }
        Self(lanes)
    }

    /// Reads 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let (chunks, rest) = text.as_bytes().as_chunks::<16>();
        let mut lanes = [0; 4];
        if chunks.len() != lanes.len() || !rest.is_empty() {
            return None;
        }
        for (lane, digits) in lanes.iter_mut().zip(chunks) {
            // A sign would be read as well.
            let digits = std::str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'))?;
            *lane = u64::from_str_radix(digits, 16).ok()?.swap_bytes();
        }
        Some(Self(lanes))
    }

    /// Of the union of two disjoint sets.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(std::array::from_fn(|lane| self.0[lane].wrapping_add(other.0[lane])))
    }

    /// Of a set less a subset.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self(std::array::from_fn(|lane| self.0[lane].wrapping_sub(other.0[lane])))
    }
}

/// 64 hexadecimal digits.
impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().flat_map(|lane| lane.to_le_bytes()).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What an hour holds, in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HourTotals {
    /// Visible video by [`SegmentKind::VIDEO`].
    pub video: [FileTally; 3],
    /// Microseconds of visible video by [`SegmentKind::VIDEO`], overlaps included.
    pub video_us: [u64; 3],
    /// Visible chat batches.
    pub chat: FileTally,
    /// Visible `.ts` files whose name is not understood.
    pub bad: FileTally,
    /// Visible `.json` files whose name is not understood.
    pub other: FileTally,
    /// Files that a tombstone hides and that still lie on disk.
    pub hidden: FileTally,
    /// Tombstones.
    pub tombstones: u32,
    /// Of the names that are replicated: what is visible and understood, and the tombstones that are understood.
    pub digest: Digest,
}

impl HourTotals {
    /// Counts from scratch.
    pub fn of(contents: &HourContents) -> Self {
        let mut totals = Self::default();
        let hidden = contents.hidden();
        let mut name = String::with_capacity(80);
        for file in contents.files() {
            totals.add(file, !file.key.tombstone && hidden.hides(file), &mut name);
        }
        for file in contents.odd() {
            totals.add_odd(file, !file.is_tombstone() && hidden.hides_odd(file));
        }
        totals
    }

    /// Of all files.
    pub fn bytes(&self) -> u64 {
        let others = [&self.chat, &self.bad, &self.other, &self.hidden];
        self.video.iter().chain(others).map(|tally| tally.bytes).fold(0, u64::saturating_add)
    }

    /// One more file. `name` is scratch space.
    pub fn add(&mut self, file: &SegmentFile, hidden: bool, name: &mut String) {
        if hidden {
            self.hidden.add(file.size);
            return;
        }
        name.clear();
        file.push_name(name);
        self.digest = self.digest.plus(Digest::of_name(name));
        if file.key.tombstone {
            self.tombstones = self.tombstones.wrapping_add(1);
        } else if file.key.kind == SegmentKind::Chat {
            self.chat.add(file.size);
        } else {
            let kind = file.key.kind as usize;
            self.video[kind].add(file.size);
            self.video_us[kind] = self.video_us[kind].wrapping_add(u64::from(file.key.duration_us));
        }
    }

    /// One file less; the inverse of [`HourTotals::add`].
    pub fn subtract(&mut self, file: &SegmentFile, hidden: bool, name: &mut String) {
        if hidden {
            self.hidden.subtract(file.size);
            return;
        }
        name.clear();
        file.push_name(name);
        self.digest = self.digest.minus(Digest::of_name(name));
        if file.key.tombstone {
            self.tombstones = self.tombstones.wrapping_sub(1);
        } else if file.key.kind == SegmentKind::Chat {
            self.chat.subtract(file.size);
        } else {
            let kind = file.key.kind as usize;
            self.video[kind].subtract(file.size);
            self.video_us[kind] = self.video_us[kind].wrapping_sub(u64::from(file.key.duration_us));
        }
    }

    fn add_odd(&mut self, file: &OddFile, hidden: bool) {
        if file.is_tombstone() {
            self.tombstones = self.tombstones.wrapping_add(1);
        } else if hidden {
            self.hidden.add(file.size);
        } else if file.is_bad_segment() {
            self.bad.add(file.size);
        } else {
            self.other.add(file.size);
        }
    }

    /// All visible files that are no tombstones.
    pub fn visible(&self) -> FileTally {
        let mut sum = FileTally::default();
        for tally in self.video.iter().chain([&self.chat, &self.bad, &self.other]) {
            sum.files = sum.files.wrapping_add(tally.files);
            sum.bytes = sum.bytes.wrapping_add(tally.bytes);
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::test_names::any_name;
    use proptest::prelude::*;

    #[test]
    fn a_digest_is_read_as_it_is_written() {
        let digest = Digest::of_name("a");
        let text = digest.to_string();
        assert_eq!(Digest::parse(&text), Some(digest));
        for wrong in
            ["", &text[1..], &format!("{text}0"), &text.replace(|c: char| c.is_ascii_digit(), "g"), &"+1".repeat(32)]
        {
            assert_eq!(Digest::parse(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_added_can_be_taken_away(names in prop::collection::btree_set(any_name(), 0..30)) {
            let contents = HourContents::from_names(names.iter().map(|name| (name.as_str(), 7)));
            let mut totals = HourTotals::of(&contents);
            let hidden = contents.hidden();
            let mut scratch = String::new();
            for file in contents.files() {
                totals.subtract(file, !file.key.tombstone && hidden.hides(file), &mut scratch);
            }
            prop_assert_eq!(totals.digest, Digest::default());
            prop_assert_eq!(totals.video, [FileTally::default(); 3]);
            prop_assert_eq!(totals.video_us, [0; 3]);
        }

        #[test]
        fn the_digest_knows_the_set_and_not_the_order(
            names in prop::collection::btree_set(any_name(), 0..30), other in prop::collection::btree_set(any_name(), 0..30),
        ) {
            let of = |set: &mut dyn Iterator<Item = &String>| HourTotals::of(&HourContents::from_names(set.map(|name| (name.as_str(), 1)))).digest;
            prop_assert_eq!(of(&mut names.iter()), of(&mut names.iter().rev()));
            let replicable = |set: &std::collections::BTreeSet<String>| -> std::collections::BTreeSet<String> {
                HourContents::from_names(set.iter().map(|name| (name.as_str(), 1))).listed(true).into_iter()
                    .filter(|name| matches!(crate::archive::parse_file_name(name), crate::archive::FileName::Understood(_))).collect()
            };
            prop_assert_eq!(of(&mut names.iter()) == of(&mut other.iter()), replicable(&names) == replicable(&other));
        }
    }
}
