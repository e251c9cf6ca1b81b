//! Clears away the temporaries that an earlier process of ours, killed while it fetched, has left in the archive. Nobody else's files
//! are touched, and nothing that is listed.
//!
//! It goes along on the second cycle after a start, once: the first is in a hurry, and has to read no directory that is as it was.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{CrawlError, Found, Keeper, Visitor};
use crate::disk::clear_temporaries;
use crate::domain::HourPlace;

/// The cycle on which it works, counted from 0.
const CYCLE: u64 = 1;

/// See the module.
pub struct Sweep {
    keeper: Arc<Keeper>,
    cycles: AtomicU64,
}

impl Sweep {
    /// With this keeper, whose base directory this process has locked.
    pub fn new(keeper: Arc<Keeper>) -> Self {
        Self { keeper, cycles: AtomicU64::new(0) }
    }
}

impl Visitor for Sweep {
    fn name(&self) -> &'static str {
        "sweep"
    }

    fn visit(&self, hours: &[HourPlace]) -> Result<Found, CrawlError> {
        if self.cycles.load(Ordering::SeqCst) != CYCLE {
            return Ok(Found::default());
        }
        let base = self.keeper.base()?;
        for place in hours {
            let cleared = match base.dir(Path::new(&place.path())) {
                Ok(Some(dir)) => clear_temporaries(&dir),
                Ok(None) => continue,
                Err(error) => Err(error),
            };
            match cleared {
                Ok(0) => {}
                Ok(count) => tracing::info!(
                    name: "temporaries_cleared", hour = %place, count, "what an interrupted download left was cleared away"
                ),
                // The archive may be read-only, and an hour that cannot be read is the other visitor's to report.
                Err(error) => tracing::debug!(name: "temporaries_kept", hour = %place, %error, "an hour was not swept"),
            }
        }
        Ok(Found::default())
    }

    fn cycle_done(&self) {
        self.cycles.fetch_add(1, Ordering::SeqCst);
    }
}
