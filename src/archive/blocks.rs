//! What files take of a disk: whole blocks, however little is in them.
//!
//! Limits of a disk are measured by this, because a peer chooses how large its files are: by bytes alone a hundred million files of one byte
//! would be as good as nothing. What is in files, and [`super::retention::RetentionLimits::max_bytes`], is measured in bytes.

/// Bytes of a block. Most file systems have blocks of this size; a file that holds nothing takes a name and an inode instead.
pub const BLOCK: u64 = 4_096;

/// Bytes that so many files of so many bytes in all take at most: for one file exactly its blocks, and one if it is empty.
pub const fn on_disk(files: u64, bytes: u64) -> u64 {
    files.saturating_add(bytes.saturating_sub(1) / BLOCK).saturating_mul(BLOCK)
}

/// One part in so many of a file system's inodes stays free of what others give.
const SPARED: u64 = 10;

/// Inodes of a file system: a name costs one, even of a file that takes no block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inodes {
    /// Free for us.
    pub free: u64,
    /// In all; 0 where the file system does not count them.
    pub total: u64,
}

impl Inodes {
    /// How many files others may still add. Recorders and the index need some.
    pub const fn spare(&self) -> u64 {
        if self.total == 0 { u64::MAX } else { self.free.saturating_sub(self.total / SPARED) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn junk_of_one_byte_takes_a_block_for_each() {
        assert_eq!([0, 1, 4_096, 4_097].map(|bytes| on_disk(1, bytes) / BLOCK), [1, 1, 1, 2]);
        assert_eq!((on_disk(0, 0), on_disk(6_510, 6_510)), (0, 6_511 * BLOCK));
        assert_eq!(on_disk(u64::MAX, u64::MAX), u64::MAX);
    }

    #[test]
    fn names_of_empty_files_end_before_the_inodes_do() {
        let spare = |free, total| Inodes { free, total }.spare();
        assert_eq!([spare(9_000, 9_000), spare(901, 9_000), spare(899, 9_000)], [8_100, 1, 0]);
        assert_eq!(spare(0, 0), u64::MAX, "nothing is known");
    }

    proptest! {
        #[test]
        fn all_together_take_no_less_than_each_by_itself_and_hardly_more(
            sizes in prop::collection::vec(0..20_000_u64, 0..40),
        ) {
            let each: u64 = sizes.iter().map(|bytes| on_disk(1, *bytes)).sum();
            let together = on_disk(sizes.len() as u64, sizes.iter().sum());
            prop_assert!(each <= together && together <= each + sizes.len() as u64 * BLOCK);
        }
    }
}
