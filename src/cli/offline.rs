//! The archive and its index, opened by a verb that does its work itself, because no daemon runs.

use std::sync::Arc;

use super::config::Config;
use super::daemon_search::wrong_with;
use crate::archive::{HourPlace, Span, Stream};
use crate::disk::{Base, BaseGuard};
use crate::index::IndexOptions;
use crate::sync::crawl::{CrawlCounts, Keeper, bring_into_line};
use crate::sync::startup::{self, Locked};

/// The index as configured.
pub fn index_options(config: &Config) -> IndexOptions {
    IndexOptions {
        cache_bytes: usize::try_from(config.index.cache).unwrap_or(usize::MAX),
        changes_kept: config.index.changes_kept,
        closed_kept: Span::from_us(i64::try_from(config.index.closed_holes_kept.as_micros()).unwrap_or(i64::MAX)),
        closed_most: config.index.closed_holes,
        ..IndexOptions::default()
    }
}

/// An index that is ours until this is closed.
pub struct Offline {
    /// Brings hours into line with the disk.
    pub keeper: Arc<Keeper>,
    _locked: Locked,
}

impl Offline {
    /// Like [`Offline::begin`] for verbs that only ask: makes no index.
    pub fn open(config: &Config) -> anyhow::Result<Self> {
        if let Some(wrong) = wrong_with(&config.base_dir) {
            anyhow::bail!("{wrong}; mount the disk, or correct --base-dir");
        }
        startup::require_index(&config.state_dir)?;
        Self::begin(config)
    }

    /// Locks the archive, opens its index, and makes it right about which hours there are. Blocks: not for async code.
    pub fn begin(config: &Config) -> anyhow::Result<Self> {
        Self::begin_for(config, &[], &[])
    }

    /// The same where a command names channels and qualities for itself, in place of those of the configuration.
    pub fn begin_for(config: &Config, channels: &[String], qualities: &[String]) -> anyhow::Result<Self> {
        let locked = Locked::acquire(&config.base_dir, &config.state_dir)?;
        let index = Arc::new(locked.open_index(index_options(config))?);
        let guard = Arc::new(BaseGuard::new(Base::open(&config.base_dir)?, locked.identify(&index)?));
        let named = super::backfill::named(config, channels, qualities);
        let keeper = Arc::new(Keeper::new(index, guard).doubt_above(config.crawl.doubt_above).naming(named));
        keeper.reconcile_structure()?;
        Ok(Self { keeper, _locked: locked })
    }

    /// Makes the index right about every hour of these qualities: their digests are asked for. Blocks: not for async code.
    pub fn catch_up(&self, selects: impl Fn(&Stream) -> bool) -> anyhow::Result<()> {
        let catalog = self.keeper.index().catalog();
        let hours = |stream: Stream| {
            let hours = catalog.hours(&stream.to_string(), ..);
            hours.into_iter().rev().map(move |hour| HourPlace { stream: stream.clone(), hour })
        };
        let places: Vec<HourPlace> = catalog.streams().into_iter().filter(selects).flat_map(hours).collect();
        let found = bring_into_line(&self.keeper, &places)?;
        if let Some(error) = &found.last_error {
            tracing::warn!(name: "hours_unreadable", hours = found.count(CrawlCounts::ERRORS), error, "some hours cannot be read here");
        }
        Ok(())
    }

    /// Closes the index in order and gives the archive free.
    pub fn close(self) {
        self.keeper.index().close();
    }
}
