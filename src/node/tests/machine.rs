//! A machine: its disk, its clock, its settings, and the node of real parts that runs there, if one does.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use prometheus::Registry;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::clocks::{BEGIN, ModelClock};
use super::disks::Tree;
use super::street::{ModelAddress, ModelNetwork};
use super::truth::MOST_JUNK;
use crate::archive::blocks::BLOCK;
use crate::archive::guards::Guard;
use crate::archive::retention::RetentionLimits;
use crate::archive::{HourPlace, Span};
use crate::disk::{Base, BaseGuard as DiskGuard};
use crate::http::test_node::{TestApp, app, crawl};
use crate::index::IndexOptions;
use crate::jobs::{Clock, Job as _, JobHandle, JobRegistry, NodeEvents, Stop, Wake};
use crate::lifecycle::clock::Clocks;
use crate::lifecycle::deleted::DeletionCounter;
use crate::lifecycle::retention::{Retention, RetentionOptions};
use crate::replicate::HourRules;
use crate::replicate::backfill::{Backfill, BackfillOptions, BackfillParts, PeerStatus};
use crate::replicate::peer::{Peer, PeerClient, PeerLimits};
use crate::sync::crawl::{Crawl, Keeper, StrangersBudget};
use crate::sync::startup::Locked;
use crate::wire::{AskingGuard, RetentionReport};

#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) limits: RetentionLimits,
    pub(super) reclaim_age: Span,
    pub(super) keep_last_copy: bool,
    pub(super) copies_at: Vec<String>,
    pub(super) peers: Vec<Peer>,
}

pub(super) struct Machine {
    pub(super) name: String,
    /// Where its disk is mounted.
    pub(super) base: PathBuf,
    /// Where its index lies.
    pub(super) state: PathBuf,
    pub(super) door: ModelAddress,
    pub(super) wrist: Arc<ModelClock>,
    pub(super) settings: Settings,
    pub(super) guards_out: Vec<Guard>,
    pub(super) node: Option<ModelNode>,
    pub(super) list: watch::Sender<Vec<Peer>>,
    starts: u64,
    /// In the last round tombstones waited for the operator.
    pub(super) waits: bool,
    marker: Option<Vec<u8>>,
}

pub(super) struct ModelNode {
    pub(super) keeper: Arc<Keeper>,
    pub(super) retention: Arc<Retention>,
    pub(super) deleted: Arc<DeletionCounter>,
    fetching: BackfillOptions,
    instance: u64,
    peers: watch::Receiver<Vec<Peer>>,
    crawl: Arc<Crawl>,
    catching_up: crate::sync::crawl::CatchingUp,
    handle: JobHandle,
    _locked: Locked,
}

impl Machine {
    pub(super) fn new(dir: &Path, name: &str, door: ModelAddress, wrist: Arc<ModelClock>, settings: Settings) -> Self {
        let (base, state) = (dir.join(name), dir.join(format!("{name}.state")));
        mark(&base.join(".gapless"), wrist.number());
        let (name, guards_out) = (name.to_owned(), Vec::new());
        let list = watch::Sender::new(settings.peers.clone());
        Self {
            name,
            base,
            state,
            door,
            wrist,
            settings,
            guards_out,
            node: None,
            list,
            starts: 0,
            waits: false,
            marker: None,
        }
    }

    /// Where its disk is, whether or not it is mounted.
    pub(super) fn disk(&self) -> PathBuf {
        let aside = self.aside();
        if aside.exists() { aside } else { self.base.clone() }
    }

    fn aside(&self) -> PathBuf {
        self.base.with_extension("unmounted")
    }

    pub(super) fn tree(&self) -> Tree {
        Tree::read(&self.disk())
    }

    pub(super) fn is_mounted(&self) -> bool {
        !self.aside().exists()
    }

    /// An empty mount point takes the place of the disk, or the disk is back.
    pub(super) fn mount(&self, mounted: bool) {
        match (self.is_mounted(), mounted) {
            (true, false) => {
                std::fs::rename(&self.base, self.aside()).unwrap();
                std::fs::create_dir(&self.base).unwrap();
            }
            (false, true) => {
                std::fs::remove_dir_all(&self.base).unwrap();
                std::fs::rename(self.aside(), &self.base).unwrap();
            }
            _ => {}
        }
    }

    /// Starts the node, as [`crate::node::Node::start`] does, without threads of its own. It may refuse.
    pub(super) fn start(&mut self, street: &ModelNetwork) -> Result<(), String> {
        let _context = street.runtime.enter();
        let locked = Locked::acquire(&self.base, &self.state).map_err(|error| error.to_string())?;
        let options = IndexOptions { cache_bytes: 1 << 20, ..IndexOptions::default() };
        let index = Arc::new(locked.open_index(options).map_err(|error| error.to_string())?);
        let identity = locked.identify(&index).map_err(|error| error.to_string())?;
        let base = Base::open(&self.base).map_err(|error| error.to_string())?;
        let clock = Arc::clone(&self.wrist) as Arc<dyn Clock>;
        let keeper = Arc::new(Keeper::new(index, Arc::new(DiskGuard::new(base, identity))).with_clock(clock));
        self.guards_out.iter().for_each(|guard| keeper.guards().remove(*guard));
        let (stop, registry) = (Stop::new(), Registry::new());
        let crawl = crawl(&keeper, &stop);
        let deleted = Arc::new(DeletionCounter::register(&registry).unwrap());
        let tls = crate::net::tls::trusting_nobody().unwrap();
        let peers = self.list.subscribe();
        self.starts += 1;
        // It is another process each time, and names itself by another number.
        let instance = self.wrist.number() << 32 | self.starts;
        let disk = Arc::clone(&self.wrist);
        let parts = crate::lifecycle::retention::RetentionParts {
            keeper: Arc::clone(&keeper),
            is_ready: crawl.readiness(),
            deletions: Arc::clone(&deleted),
            client: PeerClient::new(PeerLimits::default(), &tls).unwrap(),
            bucket: None,
            peers: peers.clone(),
            instance,
            handle: street.runtime.handle().clone(),
            clocks: Arc::clone(&self.wrist) as Arc<dyn Clocks>,
            free: Arc::new(move |_| Some(disk.free())),
            events: NodeEvents::default(),
            wake: Wake::new(&stop),
            archiver: None,
            handoffs: None,
        };
        let keeping_options = RetentionOptions {
            limits: self.settings.limits.clone(),
            reclaim_age: self.settings.reclaim_age,
            interval: Duration::from_secs(600),
            keep_last_copy: self.settings.keep_last_copy,
            copies_at: self.settings.copies_at.clone(),
        };
        let retention = Arc::new(Retention::new(parts, keeping_options, &registry).unwrap());
        let fetching = fetched(tls);
        let over = TestApp {
            name: &self.name,
            base_dir: &self.base,
            keeper: &keeper,
            crawl: &crawl,
            retention: Arc::clone(&retention),
            deleted: Arc::clone(&deleted),
            instance,
            registry,
            stop: &stop,
        };
        let (_, router) = app(over, &CancellationToken::new());
        let handle = Arc::new(JobRegistry::default()).register("catch-up", None, Duration::from_secs(600));
        let catching_up = crawl.jobs().0;
        let mut node = ModelNode {
            keeper,
            retention,
            deleted,
            fetching,
            peers,
            instance,
            crawl,
            catching_up,
            handle,
            _locked: locked,
        };
        node.catch_up();
        self.door.shows(Some(router));
        if self.marker.is_none() {
            self.marker = std::fs::read(self.base.join(".gapless/marker")).ok();
        }
        self.node = Some(node);
        Ok(())
    }

    /// Ends the node in order.
    pub(super) fn stop(&mut self) {
        self.door.shows(None);
        if let Some(node) = self.node.take() {
            node.keeper.index().close();
        }
    }

    /// Ends it as a kill does: its index stays as the last commit has left it, and was not closed.
    pub(super) fn kill(&mut self) {
        let (index, killed) = (self.state.join("index.redb"), self.state.join("killed"));
        let is_there = std::fs::copy(&index, &killed).is_ok();
        self.stop();
        if is_there {
            std::fs::rename(&killed, &index).unwrap();
        }
    }

    pub(super) fn lose_index(&self) {
        if self.state.join("index.redb").exists() {
            std::fs::remove_file(self.state.join("index.redb")).unwrap();
        }
    }

    /// The operator takes over tombstones however many they are: a round with that word.
    pub(super) fn accept_bursts(&mut self, street: &ModelNetwork) {
        if let Some(node) = &mut self.node {
            node.fetching.accept_bursts = true;
        }
        self.round(street);
        if let Some(node) = &mut self.node {
            node.fetching.accept_bursts = false;
        }
    }

    pub(super) fn has_its_marker(&self) -> bool {
        std::fs::read(self.base.join(".gapless/marker")).ok() == self.marker
    }

    pub(super) fn mend_marker(&self) {
        if let Some(marker) = &self.marker {
            std::fs::create_dir_all(self.base.join(".gapless")).unwrap();
            std::fs::write(self.base.join(".gapless/marker"), marker).unwrap();
        }
    }

    /// One round with every peer, as `gapless backfill --once` does it.
    pub(super) fn round(&self, street: &ModelNetwork) -> Vec<PeerStatus> {
        let Some(node) = &self.node else { return Vec::new() };
        let rules = Arc::clone(&node.retention) as Arc<dyn HourRules>;
        let parts = BackfillParts::alone(Arc::clone(&node.keeper), node.peers.clone(), rules);
        let parts = BackfillParts { instance: node.instance, ..parts };
        let backfill = Backfill::new(parts, node.fetching.clone(), &Registry::new()).unwrap();
        let all = street.runtime.block_on(backfill.once());
        node.retention.glance();
        all
    }
}

impl ModelNode {
    /// The index is brought into line with the disk.
    pub(super) fn catch_up(&mut self) {
        self.crawl.kick();
        // The disk may be away: then it stays behind.
        for _ in 0..3 {
            let stepped = self.catching_up.step(&self.handle);
            if stepped.is_ok() && *self.crawl.ready().borrow() {
                break;
            }
        }
    }

    /// A look whether the disk is there, as it is taken every second.
    pub(super) fn look_at_disk(&mut self) {
        self.retention.glance();
        if let crate::disk::Checked::Back { .. } = self.keeper.guard().check() {
            self.catch_up();
        }
    }

    /// The guard that asks now.
    pub(super) fn asks(&self) -> Option<AskingGuard> {
        self.retention.plan(None).ok()?.asks
    }

    pub(super) fn retain(&self, yes: Option<AskingGuard>, stop: &Stop) -> RetentionReport {
        self.retention.once(&yes.into_iter().collect(), stop, None)
    }

    /// The operator's word that what is missing is missing.
    pub(super) fn accept_what_is_missing(&self) {
        for doubt in self.keeper.doubts() {
            self.keeper.accept(&doubt.channel);
        }
    }

    pub(super) fn listed(&self, place: &HourPlace) -> Vec<String> {
        let answer = self.keeper.answer(place);
        answer
            .map(|answer| answer.contents.visible().map(crate::archive::SegmentFile::name).collect())
            .unwrap_or_default()
    }
}

/// A marker that was written when the history begins: by it a node knows that its clock is not behind.
fn mark(own: &Path, number: u64) {
    std::fs::create_dir_all(own).unwrap();
    let marker = own.join("marker");
    std::fs::write(&marker, format!("gapless-marker 1\nid {number:032x}\n")).unwrap();
    let begin = SystemTime::UNIX_EPOCH + Duration::from_micros(BEGIN.unsigned_abs());
    std::fs::File::options().write(true).open(&marker).unwrap().set_modified(begin).unwrap();
}

fn fetched(tls: Arc<crate::net::tls::ClientConfig>) -> BackfillOptions {
    let strangers = StrangersBudget { budget: Some(MOST_JUNK as u64 * BLOCK), streams: 4 };
    BackfillOptions { strangers, ..BackfillOptions::of_all(tls) }
}
