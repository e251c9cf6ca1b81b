//! The routes over an archive that this process opens because no daemon has it open.

use std::fmt;
use std::sync::Arc;

use anyhow::Context as _;
use prometheus::Registry;
use reqwest::{Body, Request, Response};
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::ApiError;
use crate::archive::Stream;
use crate::cli::config::{Config, wrong_with};
use crate::cli::offline::Offline;
use crate::cli::{options, peer_access};
use crate::http::{Auth, Hosts, InProcess, RequestBounds, ServedNode};
use crate::jobs::{NodeEvents, Stop, SystemClock};
use crate::lifecycle::archiving::Archiver;
use crate::lifecycle::deleted::DeletionCounter;
use crate::lifecycle::retention::Retention;
use crate::net::tls;
use crate::play::ffmpeg::Pool;
use crate::play::playback::Playback;
use crate::replicate::peer::Peer;
use crate::replicate::peer_proxy::PeerProxy;
use crate::replicate::placement::LayoutStore;
use crate::sync::crawl::{Crawl, Watch};
use crate::sync::scrub::{QuarantineContents, Scrub};

/// What a verb needs of an archive that is opened for it. Without any of it, hours are brought into line with the disk when they are asked
/// about, and no index is made where there is none.
#[expect(clippy::struct_excessive_bools, reason = "each is a need of its own")]
#[derive(Debug, Clone, Copy, Default)]
pub struct OpenNeeds {
    /// Every hour is in line with the disk before anything is asked.
    pub every_hour: bool,
    /// Retention matters, and what other nodes have.
    pub retention: bool,
    /// An index is made if it is missing.
    pub new_index: bool,
    /// The bucket is asked, if one is named.
    pub bucket: bool,
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
        let peers = if needs.retention { peer_access::peers_now(config).await? } else { watch::channel(Vec::new()).1 };
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
            options::pace(config),
            Arc::default(),
            clock.clone(),
            stop.clone(),
        );
        // Nothing is watched, so that every hour is compared with the disk when it is asked about.
        crawl.caught_up();
        let limits = options::retention(config).limits;
        let needs_bucket = needs.bucket || needs.retention && limits.limits_bucket();
        let bucket = if needs_bucket { options::bucket(config)? } else { None };
        let layouts = Arc::new(LayoutStore::new(Arc::clone(keeper.guard()), options::layouts(config)));
        let handoffs = opened.handoffs(config, Arc::clone(&layouts), peers.clone())?;
        let archiver = bucket.map(|bucket| {
            let archiver = Archiver::new(Arc::clone(&keeper), bucket, config.backfill.keep_free, Handle::current());
            Arc::new(archiver.with_ages(limits).with_handoffs(&handoffs))
        });
        let retention = if needs.retention {
            opened.retention(config, peers.clone(), archiver.clone(), Some(&handoffs))?
        } else {
            // Nobody else reads how long this node has lived.
            handoffs.read_time();
            opened.unread_retention(config)?
        };
        let (making, making_too) = (Arc::clone(&retention), Arc::clone(&retention));
        let services = ServedNode {
            name: config.node.name.clone(),
            base_dir: config.base_dir.clone(),
            thresholds: options::thresholds(config),
            misplaced: Box::new(Vec::new),
            crawl: Arc::new(crawl),
            watch: Arc::new(Watch::new(Arc::clone(&keeper), options::watch(config), stop)),
            jobs: Arc::default(),
            instance: rand::random(),
            peers: Box::new(Vec::new),
            peer_proxy: Arc::new(PeerProxy::new(peers, &*tls::trusting_nobody()?, None)?),
            retention: Arc::clone(&retention),
            scrub: Arc::new(Scrub::new(
                Arc::clone(&keeper),
                options::scrub(config),
                Arc::new(QuarantineContents::default()),
                NodeEvents::default(),
            )),
            seal_after: options::seal_after(config),
            layouts,
            // Promises are kept by whoever deletes, and given by a daemon alone.
            handoffs: None,
            whole: None,
            archived_segments: None,
            archiver,
            sources: Box::new(Vec::new),
            recorders: None,
            coverage: None,
            playback: Arc::new(Playback::new(Arc::clone(&keeper), clock, options::playback(config))),
            ffmpeg: Arc::new(Pool::new(options::ffmpeg(config), &registry)?),
            bounds: RequestBounds { listing_cache: 0, ..options::bounds(config) },
            accept_bursts: Box::new(|_| 0),
            hosts: Hosts::default(),
            auth: Arc::new(Auth::open(None, None)?),
            deleted: Arc::new(DeletionCounter::register(&registry)?),
            last_copies: Some(Arc::new(move || Box::new(making.hidden_last_copies()))),
            last_copies_in_bucket: Some(Arc::new(move || Box::new(making_too.hidden_last_copies_in_bucket()))),
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
