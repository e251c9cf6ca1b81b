//! What of the archive lies on this disk, and what in a bucket alone.

use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, Instant};

use super::hour_files::contents_of;
use super::{CrawlError, Keeper};
use crate::archive::{Hour, HourPlace, HourTotals, Stream};
use crate::disk::BucketManifests;

/// How long what was counted of a bucket is good enough for who asks how full the disk is.
const COUNT_EVERY: Duration = Duration::from_secs(60);

impl Keeper {
    /// Of what an hour holds, what lies on this disk; `None` if that is nothing.
    pub fn totals_here(&self, place: &HourPlace, all: HourTotals) -> Result<Option<HourTotals>, CrawlError> {
        let base = self.base()?;
        let path = place.path();
        if self.disk(base.stamp_in_bucket(&path))?.is_none() {
            return Ok(Some(all));
        }
        let Some(dir) = self.disk(base.dir(&path))? else { return Ok(None) };
        let scan = self.disk(dir.scan())?;
        Ok(Some(HourTotals::of(&contents_of(Some(&scan), &[], &path))))
    }

    /// Hours of a quality, from the first to the last one, of which files lie in a bucket and not here, in order.
    pub fn in_bucket_alone(&self, stream: &Stream, first: Hour, last: Hour) -> Result<Vec<Hour>, CrawlError> {
        let base = self.base()?;
        let path = stream.to_string();
        let names = self.disk(base.subdirectories_in_bucket(Path::new(&path)))?;
        let within = |name: &OsString| Hour::parse(name.to_str()?).ok().filter(|hour| (first..=last).contains(hour));
        let mut hours: Vec<Hour> = names.iter().filter_map(within).collect();
        hours.sort_unstable();
        let manifests = BucketManifests::of(&base);
        let mut alone = Vec::new();
        for hour in hours {
            let place = HourPlace { stream: stream.clone(), hour };
            let is_here =
                self.disk(base.stamp(&place.path()))?.is_some() && !self.disk(manifests.is_dropped(&place))?;
            if !is_here && !self.disk(manifests.digests(&place))?.is_empty() {
                alone.push(hour);
            }
        }
        Ok(alone)
    }

    /// Bytes of hours of which nothing lies on this disk, as of a minute ago at most.
    pub(super) fn bytes_in_bucket_alone(&self) -> Result<u64, CrawlError> {
        let mut counted = self.in_bucket.0.lock();
        if let Some((_, bytes)) = counted.filter(|(when, _)| when.elapsed() < COUNT_EVERY) {
            return Ok(bytes);
        }
        let base = self.base()?;
        let mut bytes = 0;
        for place in self.disk(BucketManifests::of(&base).places())? {
            if self.disk(base.stamp(&place.path()))?.is_none() {
                let row = self.index.hour_row(&place.stream.to_string(), place.hour)?;
                bytes += row.map_or(0, |row| row.totals.bytes());
            }
        }
        *counted = Some((Instant::now(), bytes));
        Ok(bytes)
    }
}
