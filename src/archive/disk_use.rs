//! Who fills the disk: the archive's own, what came from other nodes, and everything else on it. Decides nothing.

use std::fmt;

/// Bytes of a disk, by whose they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DiskUse {
    /// In all.
    pub total: u64,
    /// Free for the archive.
    pub free: u64,
    /// What was recorded here, was here before, or is named in the configuration.
    pub own: u64,
    /// What came from other nodes.
    pub fetched: u64,
}

/// By how much it has changed since an earlier look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UsageGrowth {
    /// The archive's own.
    pub own: i64,
    /// From other nodes.
    pub fetched: i64,
    /// Everything else.
    pub other: i64,
}

impl DiskUse {
    /// Of a disk with so many bytes, of which so many of the archive came from other nodes.
    pub fn new(total: u64, free: u64, archive: u64, fetched: u64) -> Self {
        let fetched = fetched.min(archive);
        Self { total, free, own: archive - fetched, fetched }
    }

    /// Everything else: other programs, the index, and what the file system keeps for itself.
    pub fn other(&self) -> u64 {
        self.total.saturating_sub(self.free).saturating_sub(self.own).saturating_sub(self.fetched)
    }

    /// By how much it has grown since then.
    pub fn grown_since(&self, before: &Self) -> UsageGrowth {
        let difference = |now: u64, then: u64| {
            let by = i64::try_from(now.abs_diff(then)).unwrap_or(i64::MAX);
            if now < then { -by } else { by }
        };
        UsageGrowth {
            own: difference(self.own, before.own),
            fetched: difference(self.fetched, before.fetched),
            other: difference(self.other(), before.other()),
        }
    }
}

impl fmt::Display for DiskUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let used = self.total.saturating_sub(self.free).max(1);
        let share = |bytes: u64| u128::from(bytes) * 100 / u128::from(used);
        write!(
            f,
            "of what is used on this disk {}% is the archive's own, {}% came from other nodes, {}% is everything else",
            share(self.own),
            share(self.fetched),
            share(self.other())
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_a_disk_is_somebodys() {
        let disk = DiskUse::new(1_000, 200, 600, 100);
        assert_eq!((disk.own, disk.fetched, disk.other()), (500, 100, 200));
        let said =
            "of what is used on this disk 62% is the archive's own, 12% came from other nodes, 25% is everything else";
        assert_eq!(disk.to_string(), said);
        let later = DiskUse::new(1_000, 100, 550, 50);
        assert_eq!(later.grown_since(&disk), UsageGrowth { own: 0, fetched: -50, other: 150 });
        // Sparse or shared files may add up to more than is used.
        assert_eq!(DiskUse::new(100, 90, 50, 60).other(), 0);
        assert_eq!(DiskUse::default().to_string().matches("0%").count(), 3);
    }
}
