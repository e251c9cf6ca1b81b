//! The visitor that tidies up after ourselves: temporaries that a killed process of ours has left in the archive. Nobody else's files are
//! touched, and nothing that is listed.
//!
//! Hour directories are left to retention, which made them empty; a recorder may just have made one that is empty.

use std::path::Path;
use std::sync::Arc;

use super::{CrawlError, Found, Keeper, Round, Visitor};
use crate::disk::clear_temporaries;

/// See the module.
pub struct Housekeeping {
    keeper: Arc<Keeper>,
    also: Vec<Chore>,
}

/// What others want to have tidied at the end of each cycle.
pub type Chore = Box<dyn Fn() -> Result<(), CrawlError> + Send + Sync>;

impl Housekeeping {
    /// With this keeper, whose base directory this process has locked.
    pub fn new(keeper: Arc<Keeper>) -> Self {
        Self { keeper, also: Vec::new() }
    }

    /// Does this at the end of each cycle, too.
    #[must_use]
    pub fn with(mut self, chore: Chore) -> Self {
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
                Ok(0) => round.done(&Found::nothing()),
                Ok(count) => {
                    tracing::info!(name: "temporaries_cleared", hour = %place, count, "what an interrupted download left was cleared away");
                    round.done(&Found::of("temporaries removed", count as u64));
                }
                // The archive may be read-only, and an hour that cannot be read is told by another visitor.
                Err(error) => {
                    tracing::debug!(name: "temporaries_kept", hour = %place, %error, "an hour was not tidied");
                    round.done(&Found::of("hours not tidied", 1));
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
