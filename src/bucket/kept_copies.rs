//! The account of a cache of segments: which there are, how large, and which was used longest ago. It touches no disk.

use std::collections::{BTreeMap, HashMap};

use crate::archive::Hash;

/// Files that are kept, at most: what is known of each takes about a hundred bytes of memory.
const MOST_FILES: usize = 1 << 17;
/// What a file takes on a disk is a multiple of this.
const BLOCK: u64 = 4_096;

/// What is kept, and room that is taken by what is coming.
#[derive(Debug, Default)]
pub(super) struct KeptCopies {
    copies: HashMap<Hash, KeptCopy>,
    /// By the number of their last use.
    by_use: BTreeMap<u64, Hash>,
    uses: u64,
    kept_bytes: u64,
    coming_bytes: u64,
}

#[derive(Debug, Clone, Copy)]
struct KeptCopy {
    bytes: u64,
    last_use: u64,
    /// Whether its content was compared with its hash by this process.
    is_verified: bool,
}

/// Bytes of the blocks that so many bytes lie in.
pub(super) fn in_blocks(bytes: u64) -> u64 {
    bytes.div_ceil(BLOCK).saturating_mul(BLOCK)
}

impl KeptCopies {
    pub(super) fn contains(&self, hash: &Hash) -> bool {
        self.copies.contains_key(hash)
    }

    /// Bytes on the disk, by blocks, those that are coming included.
    pub(super) fn bytes(&self) -> u64 {
        self.kept_bytes + self.coming_bytes
    }

    /// Notes that it is used, and says whether it was verified; `None` if there is none.
    pub(super) fn note_use(&mut self, hash: &Hash) -> Option<bool> {
        let copy = self.copies.get_mut(hash)?;
        self.by_use.remove(&copy.last_use);
        self.uses += 1;
        copy.last_use = self.uses;
        self.by_use.insert(self.uses, *hash);
        Some(copy.is_verified)
    }

    pub(super) fn note_verified(&mut self, hash: &Hash) {
        if let Some(copy) = self.copies.get_mut(hash) {
            copy.is_verified = true;
        }
    }

    /// Adds one of so many bytes, as the one that was used last.
    pub(super) fn add(&mut self, hash: Hash, bytes: u64, is_verified: bool) {
        self.take(&hash);
        self.uses += 1;
        let bytes = in_blocks(bytes);
        self.kept_bytes += bytes;
        self.by_use.insert(self.uses, hash);
        self.copies.insert(hash, KeptCopy { bytes, last_use: self.uses, is_verified });
    }

    /// Takes one out of the account, and says its bytes.
    pub(super) fn take(&mut self, hash: &Hash) -> Option<u64> {
        let copy = self.copies.remove(hash)?;
        self.by_use.remove(&copy.last_use);
        self.kept_bytes -= copy.bytes;
        Some(copy.bytes)
    }

    /// Reserves room within a limit, for which those that were used longest ago leave the account, as many as free so many bytes more; they are
    /// pushed to `leaving`. False if it is not enough.
    pub(super) fn reserve(&mut self, bytes: u64, limit: u64, to_free: u64, leaving: &mut Vec<Hash>) -> bool {
        let mut freed = 0;
        let fits = |kept: &Self| kept.bytes().saturating_add(bytes) <= limit && kept.copies.len() < MOST_FILES;
        while !fits(self) || freed < to_free {
            let Some((_, oldest)) = self.by_use.first_key_value() else { return false };
            let oldest = *oldest;
            freed += self.take(&oldest).unwrap_or_default();
            leaving.push(oldest);
        }
        self.coming_bytes += bytes;
        true
    }

    /// Gives up what was reserved.
    pub(super) fn release(&mut self, bytes: u64) {
        self.coming_bytes = self.coming_bytes.saturating_sub(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hash(number: u8) -> Hash {
        Hash([number; 32])
    }

    #[test]
    fn what_was_used_longest_ago_leaves_first() {
        let mut kept = KeptCopies::default();
        for number in 1..=3 {
            kept.add(hash(number), BLOCK, true);
        }
        assert_eq!(kept.note_use(&hash(1)), Some(true));
        let mut leaving = Vec::new();
        assert!(kept.reserve(BLOCK, 3 * BLOCK, 0, &mut leaving));
        assert_eq!(leaving, [hash(2)]);
        assert!(!kept.reserve(BLOCK, 3 * BLOCK, 9 * BLOCK, &mut leaving), "the disk is still too full");
        assert_eq!((leaving, kept.bytes()), (vec![hash(2), hash(3), hash(1)], BLOCK));
        kept.release(BLOCK);
        assert_eq!((kept.bytes(), kept.note_use(&hash(1))), (0, None));
    }

    proptest! {
        #[test]
        fn the_account_is_right_and_within_its_limit(steps in prop::collection::vec((0u8..20, 0u64..30_000, 0u8..4), 1..200)) {
            const LIMIT: u64 = 60_000;
            let mut kept = KeptCopies::default();
            let mut model: Vec<(Hash, u64)> = Vec::new();
            for (number, bytes, what) in steps {
                let named = hash(number);
                match what {
                    0 => {
                        let was = model.iter().position(|(known, _)| *known == named);
                        prop_assert_eq!(kept.note_use(&named).is_some(), was.is_some());
                        if let Some(at) = was {
                            let used = model.remove(at);
                            model.push(used);
                        }
                    }
                    1 => {
                        kept.take(&named);
                        model.retain(|(known, _)| *known != named);
                    }
                    _ => {
                        let room = in_blocks(bytes);
                        let mut leaving = Vec::new();
                        prop_assert!(kept.reserve(room, LIMIT, 0, &mut leaving));
                        let sum: u64 = model.iter().map(|(_, of_one)| of_one).sum();
                        let mut over = (sum + room).saturating_sub(LIMIT);
                        let mut gone = Vec::new();
                        while over > 0 {
                            let (oldest, freed) = model.remove(0);
                            over = over.saturating_sub(freed);
                            gone.push(oldest);
                        }
                        prop_assert_eq!(leaving, gone);
                        kept.release(room);
                        kept.add(named, bytes, false);
                        model.retain(|(known, _)| *known != named);
                        model.push((named, room));
                    }
                }
                let sum: u64 = model.iter().map(|(_, of_one)| of_one).sum();
                prop_assert_eq!(kept.bytes(), sum);
                prop_assert!(kept.bytes() <= LIMIT);
                prop_assert_eq!(kept.by_use.values().copied().collect::<Vec<_>>(), model.iter().map(|(known, _)| *known).collect::<Vec<_>>());
            }
        }
    }
}
