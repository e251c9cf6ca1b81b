//! Asks who fills the archive's disk.

use super::{CrawlError, Keeper};
use crate::archive::disk_use::DiskUse;

impl Keeper {
    /// Who fills the disk, by what the index knows of the archive.
    pub fn disk_use(&self) -> Result<DiskUse, CrawlError> {
        let (free, total) = self.disk(self.base()?.free_space())?;
        let counted = self.index.census_of_all()?;
        let archive = counted.values().flat_map(|census| census.bytes).fold(0, u64::saturating_add);
        Ok(DiskUse::new(total, free, archive, self.fetched_bytes()?))
    }
}
