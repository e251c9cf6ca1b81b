//! The visitor that tidies up: temporaries that a killed process of ours has left in the archive, and hour directories that have been
//! empty for long. Nobody else's files are touched, and nothing that is listed.
//!
//! A directory goes only if it holds nothing at all, not even something hidden, if nothing changed in it for a day, and if its hour was
//! over a day ago: a recorder may have made one a moment before its first segment.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::{CrawlCounts, CrawlError, Keeper, Round, Visitor};
use crate::archive::HourPlace;
use crate::disk::{Base, clear_temporaries};

/// How long a directory must have been empty, and its hour over.
const QUIET: Duration = Duration::from_secs(86_400);

pub struct Housekeeping {
    keeper: Arc<Keeper>,
    also: Vec<HousekeepingTask>,
}

/// What others want to have tidied at the end of each cycle.
pub type HousekeepingTask = Box<dyn Fn() -> Result<(), CrawlError> + Send + Sync>;

impl Housekeeping {
    /// With this keeper, whose base directory this process has locked.
    pub fn new(keeper: Arc<Keeper>) -> Self {
        Self { keeper, also: Vec::new() }
    }

    #[must_use]
    pub fn with(mut self, chore: HousekeepingTask) -> Self {
        self.also.push(chore);
        self
    }
}

impl Visitor for Housekeeping {
    fn name(&self) -> &'static str {
        "housekeeping"
    }

    fn visit(&self, round: &mut Round<'_>) -> Result<(), CrawlError> {
        let base = self.keeper.base()?;
        while let Some(place) = round.hours().first().filter(|_| !round.is_over()) {
            let cleared = match base.dir(Path::new(&place.path())) {
                Ok(Some(dir)) => clear_temporaries(&dir),
                Ok(None) => Ok(0),
                Err(error) => Err(error),
            };
            match cleared {
                Ok(0) => {
                    let gone = self.remove_if_empty(&base, place)?;
                    round.done(&CrawlCounts::of("empty directories removed", u64::from(gone)));
                }
                Ok(count) => {
                    tracing::info!(name: "temporaries_cleared", hour = %place, count, "what an interrupted download left was cleared away");
                    round.done(&CrawlCounts::of("temporaries removed", count as u64));
                }
                // The archive may be read-only, and an hour that cannot be read is reported by another visitor.
                Err(error) => {
                    tracing::debug!(name: "temporaries_kept", hour = %place, %error, "an hour was not tidied");
                    round.done(&CrawlCounts::of("hours not tidied", 1));
                }
            }
        }
        Ok(())
    }

    fn cycle_done(&self) -> Result<(), CrawlError> {
        for chore in &self.also {
            match chore() {
                Ok(()) => {}
                // It is tried again with the next cycle.
                Err(CrawlError::Disk(error)) => {
                    tracing::warn!(name: "not_tidied", %error, "something could not be tidied");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Housekeeping {
    /// Takes a directory away that has been empty for long; true if it has gone.
    fn remove_if_empty(&self, base: &Base, place: &HourPlace) -> Result<bool, CrawlError> {
        let row = self.keeper.index.hour_row(&place.stream.to_string(), place.hour)?;
        if row.is_none_or(|row| row.rows > 0) || !is_over(place) {
            return Ok(false);
        }
        let quiet = base.stamp(&place.path()).map(|stamp| stamp.is_some_and(|stamp| is_quiet(stamp.mtime_ns)));
        let removed = quiet.and_then(|quiet| if quiet { base.remove_empty_hour(place) } else { Ok(false) });
        match removed {
            Ok(true) => {
                tracing::info!(name: "empty_hour_removed", hour = %place, "an hour directory that had been empty for more than a day was removed");
                self.keeper.reconcile(std::slice::from_ref(place), true)?;
                Ok(true)
            }
            Ok(false) => Ok(false),
            Err(error) => {
                tracing::debug!(name: "empty_hour_kept", hour = %place, %error, "an empty directory could not be removed");
                Ok(false)
            }
        }
    }
}

fn is_over(place: &HourPlace) -> bool {
    is_quiet(i128::from(place.hour.end().us()).saturating_mul(1_000).try_into().unwrap_or(i64::MAX))
}

/// Whether a time, in nanoseconds since 1970, is long past.
fn is_quiet(ns: i64) -> bool {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let before = now.saturating_sub(QUIET).as_nanos();
    ns < i64::try_from(before).unwrap_or(i64::MAX)
}
