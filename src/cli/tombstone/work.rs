//! Who does the work of `tombstone`: a daemon that is asked, or this process with the index open.

use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Context as _;
use tokio::sync::watch;

use super::super::args::{ArchiveTarget, OtherNode};
use super::super::client::{Daemon, query};
use super::super::config::Config;
use super::super::offline::Offline;
use super::super::{UsageError, backfill};
use crate::crawl::Keeper;
use crate::deleted::DeletionCounter;
use crate::peer::Peer;
use crate::retention::Retention;
use crate::startup;
use crate::tombstones::{self, IndexTrust, PageEnd, Purge, ScopePart, TombstoneBounds, TombstoneScope};
use crate::wire::{AddTombstones, AddedTombstones, PurgeOrder, PurgeReport, TombstoneNote, TombstonePage};

/// What is done at once before it is told; as much as a daemon does for one request.
const BOUNDS: TombstoneBounds = TombstoneBounds { files: 10_000, hours: 256 };

/// Whether a verb only looks: then it makes no index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OpenMode {
    Only,
    No,
}

/// Who does the work.
pub(super) enum Worker {
    Daemon(Box<Daemon>),
    Here(Arc<OpenArchive>),
}

/// The archive, opened by this process.
pub(super) struct OpenArchive {
    keeper: Arc<Keeper>,
    deleted: DeletionCounter,
    /// Knows what other nodes have, where what only we have is to stay.
    retention: Arc<Retention>,
    opened: Offline,
    /// The node's name.
    name: String,
}

impl Worker {
    /// The daemon that was named, else the one on this archive, else this process.
    pub(super) async fn find(config: &Config, other: &OtherNode, looks: OpenMode) -> anyhow::Result<Self> {
        if let Some(daemon) = other.daemon(config)? {
            return Ok(Self::Daemon(Box::new(daemon)));
        }
        if let Some(daemon) = Daemon::find(&config.state_dir).await {
            return Ok(Self::Daemon(Box::new(daemon)));
        }
        if looks == OpenMode::Only {
            startup::require_index(&config.state_dir)?;
        }
        let peers = backfill::peers_now(config).await?;
        let config = config.clone();
        let opened = tokio::task::spawn_blocking(move || OpenArchive::open(&config, peers));
        Ok(Self::Here(Arc::new(opened.await.context("the work ended badly")??)))
    }

    pub(super) async fn add(&self, paths: Vec<String>, reason: Option<String>) -> anyhow::Result<AddedTombstones> {
        match self {
            Self::Daemon(daemon) => {
                let order = AddTombstones { paths, reason, ..AddTombstones::default() };
                Ok(daemon.post_json("/api/v1/tombstones", &order).await?)
            }
            Self::Here(here) => {
                here.work(move |here| {
                    let reason = reason.as_deref();
                    let note =
                        reason.map(|reason| TombstoneNote::new(reason, SystemTime::now(), &here.name)).transpose()?;
                    Ok(tombstones::add(&here.keeper, &paths, note.as_ref())?)
                })
                .await
            }
        }
    }

    /// What has the content of these paths and is visible, wherever it lies.
    pub(super) async fn equal(&self, paths: Vec<String>) -> anyhow::Result<Vec<String>> {
        match self {
            Self::Daemon(daemon) => {
                let order = AddTombstones { content: paths, dry_run: true, ..AddTombstones::default() };
                let found: AddedTombstones = daemon.post_json("/api/v1/tombstones", &order).await?;
                Ok(found.paths.into_iter().map(|found| found.path).collect())
            }
            Self::Here(here) => {
                here.work(move |here| {
                    let contents =
                        tombstones::contents(&paths).map_err(|(path, why)| UsageError(format!("{path}: {why}")))?;
                    Ok(tombstones::equal(&here.keeper, &contents, usize::MAX - 1)?)
                })
                .await
            }
        }
    }

    pub(super) async fn list(
        &self,
        target: Option<&ArchiveTarget>,
        after: Option<String>,
    ) -> anyhow::Result<TombstonePage> {
        match self {
            Self::Daemon(daemon) => {
                let parts =
                    ["channel", "quality", "hour"].into_iter().zip(target.into_iter().flat_map(ArchiveTarget::parts));
                let pairs = parts.chain(after.as_deref().map(|after| ("after", after)));
                Ok(daemon.get_json(&query("/api/v1/tombstones", pairs)).await?)
            }
            Self::Here(here) => {
                let scope = scope(target.map(ArchiveTarget::to_string).as_slice())?;
                let after = after.as_deref().and_then(PageEnd::read);
                here.work(move |here| {
                    Ok(tombstones::list(&here.keeper, &scope, after.as_ref(), BOUNDS, IndexTrust::CaughtUp)?)
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
                let scope = if order.everything { TombstoneScope::everything() } else { scope(&order.places)? };
                let after = order.after.as_deref().and_then(PageEnd::read);
                here.work(move |here| {
                    let stay = here.retention.hidden_last_copies();
                    let purge = Purge {
                        keeper: &here.keeper,
                        deleted: &here.deleted,
                        stay: Some(&stay),
                        dry_run: order.dry_run,
                    };
                    Ok(purge.scope(&scope, after.as_ref(), BOUNDS, IndexTrust::CaughtUp)?)
                })
                .await
            }
        }
    }

    /// Closes what was opened.
    pub(super) async fn end(self) -> anyhow::Result<()> {
        if let Self::Here(here) = self {
            let closing = tokio::task::spawn_blocking(move || here.opened.keeper.index().close());
            closing.await.context("the index was not closed in order")?;
        }
        Ok(())
    }
}

pub(super) fn scope(places: &[String]) -> Result<TombstoneScope, UsageError> {
    if places.is_empty() {
        return Ok(TombstoneScope::everything());
    }
    let read = |text: &String| ScopePart::parse(text).map_err(|error| UsageError(format!("{text}: {error}")));
    Ok(TombstoneScope::within(places.iter().map(read).collect::<Result<_, _>>()?))
}

impl OpenArchive {
    fn open(config: &Config, peers: watch::Receiver<Vec<Peer>>) -> anyhow::Result<Self> {
        let opened = Offline::begin(config)?;
        opened.catch_up(|_| true)?;
        let keeper = Arc::clone(&opened.keeper);
        let retention = super::super::retention::offline(config, &keeper, peers)?;
        Ok(Self {
            keeper,
            deleted: DeletionCounter::register(&prometheus::Registry::new())?,
            retention,
            opened,
            name: config.node.name.clone(),
        })
    }

    async fn work<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> anyhow::Result<T> + Send + 'static,
    ) -> anyhow::Result<T> {
        let here = Arc::clone(self);
        tokio::task::spawn_blocking(move || work(&here)).await.context("the work ended badly")?
    }
}
