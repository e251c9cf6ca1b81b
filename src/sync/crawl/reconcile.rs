//! The visitor that brings the index into line with the disk.
//!
//! 1. A directory whose stamp is what the index remembers is not read: a quiet archive costs one `stat` an hour, here and for what a bucket has of it.
//! 2. Stamps can lie: a file may be written in place, a clock set back, a backup restored with its times. So in each cycle one
//!    directory in so many is read although its stamp is the same, another part in each, until all have had their turn.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{CrawlCounts, CrawlError, Keeper, Round, Visitor};
use crate::archive::{HourPlace, Stream};
use crate::disk::BothDirs;
use crate::index::Applied;

/// Hours whose differences are read and committed together.
const READ_TOGETHER: usize = 16;

/// Brings every hour of the index into line with its directory.
pub struct Reconcile {
    keeper: Arc<Keeper>,
    /// One directory in so many is read although its stamp is the same; none for 0.
    verify_one_in: u64,
    /// The last cycle that has begun, and not only gone on.
    begun: AtomicU64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HourAction {
    Same,
    Differs,
    Verify,
    Unreadable(String),
}

impl Reconcile {
    pub const NAME: &str = "reconcile";

    pub fn new(keeper: Arc<Keeper>, verify_one_in: u64) -> Self {
        Self { keeper, verify_one_in, begun: AtomicU64::new(0) }
    }

    /// Whether it is an hour's turn to be read in this cycle.
    fn is_its_turn(&self, place: &HourPlace, cycle: u64) -> bool {
        self.verify_one_in > 0 && (turn(place).wrapping_add(cycle)).is_multiple_of(self.verify_one_in)
    }
}

/// A number of an hour that stays the same on every machine and in every version.
fn turn(place: &HourPlace) -> u64 {
    xxhash_rust::xxh3::xxh3_64(place.to_string().as_bytes())
}

impl Visitor for Reconcile {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    /// Which hours there are: what is new is part of the way, and what is gone is not.
    fn cycle_begins(&self, cycle: u64) -> Result<CrawlCounts, CrawlError> {
        if self.begun.swap(cycle, Ordering::SeqCst) != cycle {
            self.keeper.begin_comparing();
        }
        let structure = self.keeper.reconcile_structure()?;
        let found = CrawlCounts::of("hours appeared", structure.hours_appeared).and("hours gone", structure.hours_gone);
        let mut found = found.and(CrawlCounts::ERRORS, structure.unreadable);
        found.last_error = structure.last_error;
        Ok(found)
    }

    fn visit(&self, round: &mut Round<'_>) -> Result<(), CrawlError> {
        let hours = round.hours();
        let mut looks = look(&self.keeper, hours)?;
        for (look, place) in looks.iter_mut().zip(hours) {
            if *look == HourAction::Same && self.is_its_turn(place, round.cycle()) {
                *look = HourAction::Verify;
            }
        }
        let mut from = 0;
        while from < hours.len() && !round.is_over() {
            match &looks[from] {
                HourAction::Same => {
                    round.done(&CrawlCounts::nothing());
                    from += 1;
                }
                HourAction::Unreadable(why) => {
                    round.done(&CrawlCounts::error(why.clone()));
                    from += 1;
                }
                kind => {
                    let run = looks[from..].iter().take(READ_TOGETHER).take_while(|look| *look == kind).count();
                    self.read(round, run, *kind == HourAction::Verify)?;
                    from += run;
                }
            }
        }
        Ok(())
    }
}

impl Reconcile {
    fn read(&self, round: &mut Round<'_>, count: usize, verify: bool) -> Result<(), CrawlError> {
        let hours = round.hours().get(..count).unwrap_or_default();
        let outcome = self.keeper.reconcile_as(hours, verify, |applied, batch| {
            round.done_with(count, &found(applied, count as u64, verify));
            if !batch.is_empty() {
                round.join(batch);
            }
        });
        match outcome {
            Ok(_) => Ok(()),
            // One bad directory must not keep the others from being looked at.
            Err(CrawlError::Disk(_)) if count > 1 => (0..count).try_for_each(|_| self.read(round, 1, verify)),
            Err(CrawlError::Disk(error)) => {
                if let Some(place) = hours.first() {
                    tracing::warn!(name: "hour_unreadable", hour = %place, %error, "an hour cannot be read; the index keeps what it knew of it");
                    round.done(&CrawlCounts::error(format!("{place}: {error}")));
                }
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

fn found(applied: Applied, read: u64, verify: bool) -> CrawlCounts {
    let found = CrawlCounts::of(CrawlCounts::READ, read)
        .and(CrawlCounts::PUT, applied.put)
        .and(CrawlCounts::REMOVED, applied.removed);
    if verify { found.and("verified", read) } else { found }
}

/// Which of the hours are not what the index remembers, here or in a bucket: one `stat` each, or two.
pub(super) fn look(keeper: &Keeper, hours: &[HourPlace]) -> Result<Vec<HourAction>, CrawlError> {
    let mut by_stream: BTreeMap<&Stream, Vec<usize>> = BTreeMap::new();
    for (index, place) in hours.iter().enumerate() {
        by_stream.entry(&place.stream).or_default().push(index);
    }
    let base = keeper.base()?;
    let mut looks = vec![HourAction::Differs; hours.len()];
    for (stream, indexes) in by_stream {
        let at = |index: &usize| hours[*index].hour;
        let (Some(first), Some(last)) = (indexes.iter().map(at).min(), indexes.iter().map(at).max()) else {
            continue;
        };
        let path = stream.to_string();
        let rows: BTreeMap<_, _> = keeper.index.hour_rows(&path, first, last)?.into_iter().collect();
        let dirs = match keeper.disk(BothDirs::open(&base, Path::new(&path))) {
            Ok(dirs) => dirs,
            Err(CrawlError::Disk(error)) => {
                tracing::warn!(name: "quality_unreadable", quality = path, %error, "a quality cannot be read; the index keeps what it knew of it");
                for index in indexes {
                    keeper.freshness.unwatch(&hours[index]);
                    looks[index] = HourAction::Unreadable(error.to_string());
                }
                continue;
            }
            Err(error) => return Err(error),
        };
        for index in indexes {
            let hour = at(&index);
            let Some(trusted) = rows.get(&hour).and_then(|row| row.stamp) else { continue };
            if dirs.stamp_of(OsStr::new(&hour.to_string())).ok().flatten() == Some(trusted) {
                looks[index] = HourAction::Same;
            }
        }
    }
    Ok(looks)
}
