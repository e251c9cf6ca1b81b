//! An archive that this process opens because no daemon has it open.

use std::sync::Arc;

use prometheus::Registry;
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::config::{Config, wrong_with};
use super::options;
use super::peer_access::client;
use crate::archive::{HourPlace, Stream};
use crate::disk::{Base, BaseGuard};
use crate::jobs::{NodeEvents, Stop, Wake};
use crate::lifecycle::archiving::Archiver;
use crate::lifecycle::clock::SystemClocks;
use crate::lifecycle::deleted::DeletionCounter;
use crate::lifecycle::handoffs::{HandoffParts, Handoffs};
use crate::lifecycle::retention::{Retention, RetentionParts, free_space};
use crate::net::tls;
use crate::replicate::peer::{Peer, PeerClient, PeerLimits};
use crate::replicate::placement::LayoutStore;
use crate::sync::crawl::{CrawlCounts, Keeper, bring_into_line};
use crate::sync::startup::{self, Locked};

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
        let index = Arc::new(locked.open_index(options::index(config))?);
        let guard = Arc::new(BaseGuard::new(Base::open(&config.base_dir)?, locked.identify(&index)?));
        let named = options::named(config, channels, qualities);
        // What is wrong with the bucket is said by those verbs that are about it.
        let absent = if Handle::try_current().is_ok() { options::absent_files(config, &guard) } else { Ok(None) };
        let keeper = Keeper::new(index, guard).doubt_above(config.crawl.doubt_above).naming(named);
        let keeper = keeper.with_absent(absent.unwrap_or_default());
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

    /// Retention as configured; the index has to have caught up.
    pub fn retention(
        &self,
        config: &Config,
        peers: watch::Receiver<Vec<Peer>>,
        archiver: Option<Arc<Archiver>>,
        handoffs: Option<&Arc<Handoffs>>,
    ) -> anyhow::Result<Arc<Retention>> {
        let registry = Registry::new();
        let parts = RetentionParts {
            archiver,
            handoffs: handoffs.cloned(),
            ..self.parts(config, client(config)?, peers, &registry)?
        };
        Ok(Arc::new(Retention::new(parts, options::retention(config), &registry)?))
    }

    /// What was promised to other nodes holds for commands as well. Nothing leaves by them.
    pub fn handoffs(
        &self,
        config: &Config,
        layouts: Arc<LayoutStore>,
        peers: watch::Receiver<Vec<Peer>>,
    ) -> anyhow::Result<Arc<Handoffs>> {
        let parts = HandoffParts {
            keeper: Arc::clone(&self.keeper),
            is_ready: Box::new(|| true),
            layouts,
            client: PeerClient::new(PeerLimits::default(), &*tls::trusting_nobody()?)?,
            peers,
            handle: tokio::runtime::Handle::current(),
            clocks: Arc::new(SystemClocks::default()),
            quarantine: Arc::default(),
            events: NodeEvents::default(),
        };
        Ok(Arc::new(Handoffs::new(parts, options::handoffs(config), &Registry::new())?))
    }

    /// Retention that decides nothing, for questions about other things.
    pub fn unread_retention(&self, config: &Config) -> anyhow::Result<Arc<Retention>> {
        let registry = Registry::new();
        let client = PeerClient::new(PeerLimits::default(), &*tls::trusting_nobody()?)?;
        let parts = self.parts(config, client, watch::channel(Vec::new()).1, &registry)?;
        Ok(Arc::new(Retention::unread(parts, options::retention(config), &registry)?))
    }

    fn parts(
        &self,
        config: &Config,
        client: PeerClient,
        peers: watch::Receiver<Vec<Peer>>,
        registry: &Registry,
    ) -> anyhow::Result<RetentionParts> {
        Ok(RetentionParts {
            keeper: Arc::clone(&self.keeper),
            is_ready: Box::new(|| true),
            deletions: Arc::new(DeletionCounter::register(registry)?),
            client,
            // What is wrong with it is said by those verbs that are about it.
            bucket: options::bucket(config).unwrap_or_default(),
            peers,
            instance: rand::random(),
            handle: tokio::runtime::Handle::current(),
            clocks: Arc::new(SystemClocks::default()),
            free: free_space(),
            events: NodeEvents::default(),
            wake: Wake::new(&Stop::new()),
            archiver: None,
            handoffs: None,
        })
    }

    pub fn close(self) {
        self.keeper.index().close();
    }
}
