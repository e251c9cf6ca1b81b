//! The best segments of the hours that changed last, in memory, so that one more segment does not cost reading its whole hour.
//!
//! 1. Only the writer has them. What it keeps is what the rows of its last commit come to; after a transaction that failed nothing is kept.
//! 2. A start time whose files changed is read again, and no other. Where a name is odd, which has no start time in its key, the whole
//!    hour is.

use std::collections::{BTreeSet, HashMap};

use super::IndexError;
use super::codec::HourKey;
use super::files::FileTables;
use super::hours::HourRow;
use crate::archive::best::best_per_start;
use crate::archive::coverage::{BestSegment, HourLine, TimeTally};
use crate::archive::{HourChange, HourContents};

/// Hours that are kept: those that are being recorded and fetched, at some 20 kB each.
const MOST: usize = 64;
/// So many start times at once are read one by one; with more the whole hour is.
const FEW: usize = 64;

/// The lines of some hours.
#[derive(Debug, Default)]
pub(super) struct CachedLines {
    kept: HashMap<HourKey, KeptLine>,
    uses: u64,
}

#[derive(Debug)]
struct KeptLine {
    line: HourLine,
    /// Start times whose files changed since.
    changed: BTreeSet<u32>,
    used: u64,
}

impl CachedLines {
    /// Forgets everything: what was worked out was not committed, or another index is open.
    pub(super) fn clear(&mut self) {
        self.kept.clear();
    }

    /// Forgets an hour.
    pub(super) fn forget(&mut self, hour: HourKey) {
        self.kept.remove(&hour);
    }

    /// Files of an hour changed.
    pub(super) fn changed(&mut self, hour: HourKey, changes: &[HourChange]) {
        let Some(kept) = self.kept.get_mut(&hour) else { return };
        let starts = changes.iter().map(|change| change.file().ordinary_start_us());
        let is_known = starts.clone().all(|start| start.is_some());
        kept.changed.extend(starts.flatten());
        if !is_known || kept.changed.len() > FEW {
            self.forget(hour);
        }
    }

    /// The line of an hour as its rows are now.
    pub(super) fn line(
        &mut self,
        files: &FileTables<'_>,
        hour: HourKey,
        row: &HourRow,
    ) -> Result<&HourLine, IndexError> {
        self.uses += 1;
        let used = self.uses;
        let has_odd = files.has_odd(hour)?;
        let before = self.kept.remove(&hour).filter(|_| !has_odd);
        let line = if let Some(KeptLine { mut line, changed, .. }) = before {
            for start_us in changed {
                replace(&mut line.best, start_us, best_at(files, hour, start_us)?);
            }
            sum_up(&mut line, row);
            line
        } else {
            HourLine::of(&files.contents(hour, row)?)
        };
        if self.kept.len() >= MOST
            && let Some(oldest) = self.kept.iter().min_by_key(|(_, each)| each.used).map(|(key, _)| *key)
        {
            self.forget(oldest);
        }
        let kept = KeptLine { line, changed: BTreeSet::new(), used };
        Ok(&self.kept.entry(hour).insert_entry(kept).into_mut().line)
    }
}

/// The best segment of a start time, among the files whose names are spelled as their keys give them back.
fn best_at(files: &FileTables<'_>, hour: HourKey, start_us: u32) -> Result<Option<BestSegment>, IndexError> {
    let found = files.starting_at(hour, start_us)?;
    Ok(best_per_start(&HourContents::new(found, Vec::new())).first().map(|best| BestSegment::of(best)))
}

fn replace(best: &mut Vec<BestSegment>, start_us: u32, by: Option<BestSegment>) {
    match (best.binary_search_by_key(&start_us, |segment| segment.start_us), by) {
        (Ok(place), Some(segment)) => best[place] = segment,
        (Ok(place), None) => drop(best.remove(place)),
        (Err(place), Some(segment)) => best.insert(place, segment),
        (Err(_), None) => {}
    }
}

/// What the hour's totals say, and what the best segments leave of it.
fn sum_up(line: &mut HourLine, row: &HourRow) {
    let totals = &row.totals;
    line.video =
        std::array::from_fn(|kind| TimeTally { count: u64::from(totals.video[kind].files), us: totals.video_us[kind] });
    line.bad = u64::from(totals.bad.files);
    let mut chosen = [TimeTally::default(); 3];
    for segment in &line.best {
        if let Some(tally) = chosen.get_mut(segment.kind as usize) {
            tally.add(u64::from(segment.duration_us));
        }
    }
    line.beside = std::array::from_fn(|kind| line.video[kind].without(chosen[kind]));
}
