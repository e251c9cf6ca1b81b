//! Who does the work of `tombstone`: a daemon that is asked, or this process with the index open.

use std::sync::Arc;

use anyhow::Context as _;

use super::super::args::{OtherNode, Target};
use super::super::client::{Daemon, query};
use super::super::config::Config;
use super::super::{UsageError, backfill, node};
use crate::crawl::{Deleted, Keeper};
use crate::disk::{Base, Guard};
use crate::startup::{self, Locked};
use crate::tombstones::{self, After, Bounds, Index, Place, Purge, Scope};
use crate::wire::{AddTombstones, AddedTombstones, PurgeOrder, PurgeReport, TombstonePage};

/// What is done at once before it is told; as much as a daemon does for one request.
const BOUNDS: Bounds = Bounds { files: 10_000, hours: 256 };

/// Whether a verb only looks: then it makes no index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Looks {
    Only,
    No,
}

/// Who does the work.
pub(super) enum Worker {
    Daemon(Box<Daemon>),
    Here(Arc<Here>),
}

/// The archive, opened by this process.
pub(super) struct Here {
    keeper: Arc<Keeper>,
    deleted: Deleted,
    _locked: Locked,
}

impl Worker {
    /// The daemon that was named, else the one on this archive, else this process.
    pub(super) async fn find(config: &Config, other: &OtherNode, looks: Looks) -> anyhow::Result<Self> {
        if let Some(daemon) = other.daemon(config)? {
            return Ok(Self::Daemon(Box::new(daemon)));
        }
        if let Some(daemon) = Daemon::find(&config.state_dir).await {
            return Ok(Self::Daemon(Box::new(daemon)));
        }
        if looks == Looks::Only {
            startup::require_index(&config.state_dir)?;
        }
        let config = config.clone();
        let opened = tokio::task::spawn_blocking(move || Here::open(&config));
        Ok(Self::Here(Arc::new(opened.await.context("the work ended badly")??)))
    }

    pub(super) async fn add(&self, paths: Vec<String>) -> anyhow::Result<AddedTombstones> {
        match self {
            Self::Daemon(daemon) => {
                let order = AddTombstones { paths, ..AddTombstones::default() };
                Ok(daemon.post_json("/api/v1/tombstones", &order).await?)
            }
            Self::Here(here) => here.work(move |here| Ok(tombstones::add(&here.keeper, &paths)?)).await,
        }
    }

    pub(super) async fn list(&self, target: Option<&Target>, after: Option<String>) -> anyhow::Result<TombstonePage> {
        match self {
            Self::Daemon(daemon) => {
                let parts = ["channel", "quality", "hour"].into_iter().zip(target.into_iter().flat_map(Target::parts));
                let pairs = parts.chain(after.as_deref().map(|after| ("after", after)));
                Ok(daemon.get_json(&query("/api/v1/tombstones", pairs)).await?)
            }
            Self::Here(here) => {
                let scope = scope(target.map(Target::to_string).as_slice())?;
                let after = after.as_deref().and_then(After::read);
                here.work(move |here| {
                    Ok(tombstones::list(&here.keeper, &scope, after.as_ref(), BOUNDS, Index::CaughtUp)?)
                })
                .await
            }
        }
    }

    /// An order about places or everything.
    pub(super) async fn purge(&self, order: PurgeOrder) -> anyhow::Result<PurgeReport> {
        match self {
            Self::Daemon(daemon) => Ok(daemon.post_json("/api/v1/tombstones/purge", &order).await?),
            Self::Here(here) => {
                let scope = if order.everything { Scope::everything() } else { scope(&order.places)? };
                let after = order.after.as_deref().and_then(After::read);
                here.work(move |here| {
                    // Nobody who knows what other nodes have runs here.
                    let purge =
                        Purge { keeper: &here.keeper, deleted: &here.deleted, stay: None, dry_run: order.dry_run };
                    Ok(purge.scope(&scope, after.as_ref(), BOUNDS, Index::CaughtUp)?)
                })
                .await
            }
        }
    }

    /// Closes what was opened.
    pub(super) async fn end(self) -> anyhow::Result<()> {
        if let Self::Here(here) = self {
            let closing = tokio::task::spawn_blocking(move || here.keeper.index().close());
            closing.await.context("the index was not closed in order")?;
        }
        Ok(())
    }
}

pub(super) fn scope(places: &[String]) -> Result<Scope, UsageError> {
    if places.is_empty() {
        return Ok(Scope::everything());
    }
    let read = |text: &String| Place::parse(text).map_err(|error| UsageError(format!("{text}: {error}")));
    Ok(Scope::within(places.iter().map(read).collect::<Result<_, _>>()?))
}

impl Here {
    fn open(config: &Config) -> anyhow::Result<Self> {
        let locked = Locked::acquire(&config.base_dir, &config.state_dir)?;
        let index = Arc::new(locked.open_index(node::index_options(config))?);
        let guard = Arc::new(Guard::new(Base::open(&config.base_dir)?, locked.identify(&index)?));
        let keeper = Arc::new(Keeper::new(index, guard));
        backfill::catch_up(&keeper)?;
        Ok(Self { keeper, deleted: Deleted::new()?, _locked: locked })
    }

    async fn work<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> anyhow::Result<T> + Send + 'static,
    ) -> anyhow::Result<T> {
        let here = Arc::clone(self);
        tokio::task::spawn_blocking(move || work(&here)).await.context("the work ended badly")?
    }
}
