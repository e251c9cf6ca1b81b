//! The visitor that verifies the census: the stored totals of a day are the sums of its hours. And who fills the disk, by that census.
//!
//! Totals are updated in the transaction that changes an hour, so that nothing should ever differ. Where something does, the day is counted
//! afresh, and that is reported.

use std::sync::Arc;

use super::{CrawlCounts, CrawlError, Keeper, Round, Visitor};
use crate::archive::Day;
use crate::archive::disk_use::DiskUse;
use crate::index::Batch;

pub struct CensusVerifier {
    keeper: Arc<Keeper>,
}

impl CensusVerifier {
    pub fn new(keeper: Arc<Keeper>) -> Self {
        Self { keeper }
    }
}

impl Visitor for CensusVerifier {
    fn name(&self) -> &'static str {
        "census"
    }

    fn visit(&self, round: &mut Round<'_>) -> Result<(), CrawlError> {
        let generation = Some(self.keeper.index.catalog().generation());
        let mut verified = std::collections::HashSet::new();
        while let Some(place) = round.hours().first().filter(|_| !round.is_over()) {
            let day = Day::of(place.hour);
            // Hours of one day follow each other, with those of other streams in between.
            if !verified.insert((place.stream.clone(), day)) || self.keeper.index.is_census_right(&place.stream, day)? {
                round.done(&CrawlCounts::nothing());
                continue;
            }
            tracing::warn!(name: "census_mended", stream = %place.stream, %day, "a day's totals were wrong and have been recounted");
            round.done(&CrawlCounts::of("days mended", 1));
            let recount = vec![(place.stream.clone(), day)];
            let mut batch = Batch { generation, recount, ..Batch::default() };
            round.join(&mut batch);
            self.keeper.index.apply(batch)?;
        }
        Ok(())
    }

    /// Days of which no hour is left are nobody's to pass by.
    fn cycle_done(&self) -> Result<(), CrawlError> {
        let index = &self.keeper.index;
        for stream in index.catalog().streams() {
            let generation = Some(index.catalog().generation());
            let recount: Vec<_> = index.wrong_days(&stream)?.into_iter().map(|day| (stream.clone(), day)).collect();
            if !recount.is_empty() {
                tracing::warn!(name: "census_mended", %stream, days = recount.len(), "what was kept of some days' totals was wrong; they have been counted afresh");
                index.apply(Batch { generation, recount, ..Batch::default() })?;
            }
        }
        Ok(())
    }
}

impl Keeper {
    /// Who fills the disk, by what the index knows of the archive.
    pub fn disk_use(&self) -> Result<DiskUse, CrawlError> {
        let (free, total) = self.disk(self.base()?.free_space())?;
        let counted = self.index.census_of_all()?;
        let archive = counted.values().flat_map(|census| census.bytes).fold(0, u64::saturating_add);
        let here = archive.saturating_sub(self.bytes_in_bucket_alone()?);
        Ok(DiskUse::new(total, free, here, self.fetched_bytes()?))
    }
}
