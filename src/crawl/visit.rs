//! What the crawl does with each hour: visitors, and the first of them, which brings the index into line.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

use super::{CrawlError, Keeper};
use crate::domain::{HourPlace, Stream};

/// Hours whose differences are read and committed together.
const READ_TOGETHER: usize = 16;

/// What a visit found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Hours whose directory had to be read.
    pub read: u64,
    /// Files that the index did not have, or had with another size.
    pub put: u64,
    /// Files that were gone.
    pub removed: u64,
    /// Hours that could not be looked at.
    pub errors: u64,
    /// The last reason why not.
    pub last_error: Option<String>,
}

impl Found {
    /// Both together.
    pub fn add(&mut self, other: Self) {
        self.read += other.read;
        self.put += other.put;
        self.removed += other.removed;
        self.errors += other.errors;
        if other.last_error.is_some() {
            self.last_error = other.last_error;
        }
    }
}

/// Something that the crawl carries past every hour. Visits of different hours may run at the same time.
pub trait Visitor: Send + Sync {
    /// Its name in status and metrics.
    fn name(&self) -> &'static str;

    /// Looks at some hours, newest first. Only an archive that is not there, or an index that takes nothing, is an error;
    /// what is wrong with an hour is counted.
    fn visit(&self, hours: &[HourPlace]) -> Result<Found, CrawlError>;

    /// Every hour has been visited, and the next walk begins some time later.
    fn cycle_done(&self) {}
}

/// Brings every hour of the index into line with its directory.
pub struct Reconcile {
    keeper: Arc<Keeper>,
}

impl Reconcile {
    /// With this keeper.
    pub fn new(keeper: Arc<Keeper>) -> Self {
        Self { keeper }
    }

    /// Those of the hours whose directory is not what the index remembers: one `stat` each. Those of a quality that cannot be
    /// looked into are counted in `found`.
    fn differing(&self, hours: &[HourPlace], found: &mut Found) -> Result<Vec<HourPlace>, CrawlError> {
        let mut by_stream: BTreeMap<&Stream, Vec<&HourPlace>> = BTreeMap::new();
        for place in hours {
            by_stream.entry(&place.stream).or_default().push(place);
        }
        let base = self.keeper.base()?;
        let mut differing = Vec::new();
        for (stream, places) in by_stream {
            let (Some(first), Some(last)) =
                (places.iter().map(|place| place.hour).min(), places.iter().map(|place| place.hour).max())
            else {
                continue;
            };
            let path = stream.to_string();
            let rows: BTreeMap<_, _> = self.keeper.index.hour_rows(&path, first, last)?.into_iter().collect();
            let dir = match self.keeper.disk(base.dir(Path::new(&path))) {
                Ok(dir) => dir,
                Err(CrawlError::Disk(error)) => {
                    tracing::warn!(name: "quality_unreadable", quality = path, %error, "a quality cannot be read; the index keeps what it knew of it");
                    for place in &places {
                        self.keeper.freshness.unwatch(place);
                    }
                    let (errors, last_error) = (places.len() as u64, Some(error.to_string()));
                    found.add(Found { errors, last_error, ..Found::default() });
                    continue;
                }
                Err(error) => return Err(error),
            };
            for place in places {
                let trusted = rows.get(&place.hour).and_then(|row| row.stamp);
                let now = match (&dir, trusted) {
                    (Some(dir), Some(_)) => dir.stamp_of(OsStr::new(&place.hour.to_string())).ok().flatten(),
                    _ => None,
                };
                if trusted.is_none() || now != trusted {
                    differing.push(place.clone());
                }
            }
        }
        differing.sort_unstable_by_key(|place| std::cmp::Reverse(place.hour));
        Ok(differing)
    }
}

impl Visitor for Reconcile {
    fn name(&self) -> &'static str {
        "reconcile"
    }

    fn visit(&self, hours: &[HourPlace]) -> Result<Found, CrawlError> {
        let mut found = Found::default();
        let differing = self.differing(hours, &mut found)?;
        found.read = differing.len() as u64;
        for chunk in differing.chunks(READ_TOGETHER) {
            match self.keeper.reconcile(chunk, false) {
                Ok(applied) => found.add(Found { put: applied.put, removed: applied.removed, ..Found::default() }),
                Err(CrawlError::Disk(_)) => found.add(self.one_by_one(chunk)?),
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }
}

impl Reconcile {
    /// One bad directory must not keep the others from being looked at.
    fn one_by_one(&self, chunk: &[HourPlace]) -> Result<Found, CrawlError> {
        let mut found = Found::default();
        for place in chunk {
            match self.keeper.reconcile(std::slice::from_ref(place), false) {
                Ok(applied) => found.add(Found { put: applied.put, removed: applied.removed, ..Found::default() }),
                Err(CrawlError::Disk(error)) => {
                    tracing::warn!(name: "hour_unreadable", hour = %place, %error, "an hour cannot be read; the index keeps what it knew of it");
                    found.add(Found { errors: 1, last_error: Some(format!("{place}: {error}")), ..Found::default() });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }
}
