//! An archive that this process opens because no daemon has it open, and the routes over it.

use std::fmt;
use std::sync::Arc;

use anyhow::Context as _;
use prometheus::Registry;
use reqwest::{Body, Request, Response};
use tokio::sync::watch;

use super::ApiError;
use crate::archive::{HourPlace, Span, Stream};
use crate::cli::config::{Config, wrong_with};
use crate::cli::{backfill, node, retention};
use crate::disk::{Base, BaseGuard};
use crate::http::{Auth, Hosts, InProcess, RequestBounds, ServedNode};
use crate::index::IndexOptions;
use crate::jobs::{NodeEvents, Stop, SystemClock};
use crate::lifecycle::deleted::DeletionCounter;
use crate::lifecycle::retention::Retention;
use crate::net::tls;
use crate::play::ffmpeg::Pool;
use crate::play::playback::Playback;
use crate::replicate::peer::Peer;
use crate::replicate::peer_proxy::PeerProxy;
use crate::sync::crawl::{Crawl, CrawlCounts, Keeper, Watch, bring_into_line};
use crate::sync::scrub::{QuarantineContents, Scrub};
use crate::sync::startup::{self, Locked};

/// What a verb needs of an archive that is opened for it. Without any of it, hours are brought into line with the disk when they are asked
/// about, and no index is made where there is none.
#[derive(Debug, Clone, Copy, Default)]
pub struct OpenNeeds {
    /// Every hour is in line with the disk before anything is asked.
    pub every_hour: bool,
    /// Retention matters, and what other nodes have.
    pub retention: bool,
    /// An index is made if it is missing.
    pub new_index: bool,
}

pub struct LocalArchive {
    routes: InProcess,
    opened: Arc<Offline>,
    retention: Arc<Retention>,
}

impl fmt::Debug for LocalArchive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalArchive").finish_non_exhaustive()
    }
}

impl LocalArchive {
    pub async fn open(config: &Config, needs: OpenNeeds) -> anyhow::Result<Self> {
        if let Some(wrong) = wrong_with(&config.base_dir) {
            anyhow::bail!("{wrong}; --base-dir says where the archive is");
        }
        let peers = if needs.retention { backfill::peers_now(config).await? } else { watch::channel(Vec::new()).1 };
        let config = config.clone();
        let opening = tokio::task::spawn_blocking(move || {
            let opened = if needs.new_index { Offline::begin(&config) } else { Offline::open(&config) }?;
            if needs.every_hour {
                opened.catch_up(|_| true)?;
            }
            Self::over(&config, Arc::new(opened), needs, peers)
        });
        opening.await.context("the archive was not opened")?
    }

    fn over(
        config: &Config,
        opened: Arc<Offline>,
        needs: OpenNeeds,
        peers: watch::Receiver<Vec<Peer>>,
    ) -> anyhow::Result<Self> {
        let (keeper, registry, stop) = (Arc::clone(&opened.keeper), Registry::new(), Stop::new());
        let clock = Arc::new(SystemClock::new());
        let crawl = Crawl::new(
            Arc::clone(&keeper),
            Vec::new(),
            node::pace(config),
            Arc::default(),
            clock.clone(),
            stop.clone(),
        );
        // Nothing is watched, so that every hour is compared with the disk when it is asked about.
        crawl.caught_up();
        let retention = if needs.retention {
            retention::offline(config, &keeper, peers.clone())?
        } else {
            retention::unread(&keeper)?
        };
        let making = Arc::clone(&retention);
        let services = ServedNode {
            name: config.node.name.clone(),
            base_dir: config.base_dir.clone(),
            thresholds: node::thresholds(config),
            misplaced: Box::new(Vec::new),
            crawl: Arc::new(crawl),
            watch: Arc::new(Watch::new(Arc::clone(&keeper), node::watch_options(config), stop)),
            jobs: Arc::default(),
            instance: rand::random(),
            peers: Box::new(Vec::new),
            peer_proxy: Arc::new(PeerProxy::new(peers, &*tls::trusting_nobody()?, None)?),
            retention: Arc::clone(&retention),
            scrub: Arc::new(Scrub::new(
                Arc::clone(&keeper),
                node::scrub_options(config),
                Arc::new(QuarantineContents::default()),
                NodeEvents::default(),
            )),
            sources: Box::new(Vec::new),
            coverage: None,
            playback: Arc::new(Playback::new(Arc::clone(&keeper), clock, node::playback_options(config))),
            ffmpeg: Arc::new(Pool::new(node::ffmpeg_options(config), &registry)?),
            bounds: RequestBounds { listing_cache: 0, ..node::bounds(config) },
            accept_bursts: Box::new(|_| 0),
            hosts: Hosts::default(),
            auth: Arc::new(Auth::open(None, None)?),
            deleted: Arc::new(DeletionCounter::register(&registry)?),
            last_copies: Some(Arc::new(move || Box::new(making.hidden_last_copies()))),
            keeper,
            registry,
        };
        Ok(Self { routes: InProcess::new(services)?, opened, retention })
    }

    pub(super) async fn answer(&self, request: Request) -> Result<Response, ApiError> {
        let request = request.try_into().map_err(ApiError::Setup)?;
        Ok(self.routes.answer::<Body>(request).await.map(Body::wrap_stream).into())
    }

    pub async fn catch_up(&self, selects: impl Fn(&Stream) -> bool + Send + 'static) -> anyhow::Result<()> {
        let opened = Arc::clone(&self.opened);
        let catching_up = tokio::task::spawn_blocking(move || opened.catch_up(selects));
        catching_up.await.context("the hours were not compared with the disk")?
    }

    /// What decides which hours go: a daemon does that in its own time, and a command now.
    pub fn retention(&self) -> &Arc<Retention> {
        &self.retention
    }

    pub(super) async fn close(self) -> anyhow::Result<()> {
        self.routes.end().await;
        let closing = tokio::task::spawn_blocking(move || self.opened.keeper.index().close());
        closing.await.context("the index was not closed in order")
    }
}

pub fn index_options(config: &Config) -> IndexOptions {
    IndexOptions {
        cache_bytes: usize::try_from(config.index.cache).unwrap_or(usize::MAX),
        changes_kept: config.index.changes_kept,
        closed_kept: Span::from_us(i64::try_from(config.index.closed_holes_kept.as_micros()).unwrap_or(i64::MAX)),
        closed_most: config.index.closed_holes,
        ..IndexOptions::default()
    }
}

pub struct Offline {
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
        let named = crate::cli::backfill::named(config, channels, qualities);
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

    pub fn close(self) {
        self.keeper.index().close();
    }
}
