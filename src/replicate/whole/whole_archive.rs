//! Opens what is needed to answer for all nodes while there is a layout, keeps it in step with what it is made of, and lets go of it when
//! there is a layout no more.
//!
//! 1. It lies in a directory of its own beneath the state directory, and all of it can be made again: names come from the other nodes.
//! 2. It is given out when all that is known has gone into it. Until then a node answers for what lies on it, as it does without a layout.
//!    Only after a start those who ask are told to ask again in a second: before it ended the node answered for all.
//! 3. A layout that cannot be read is one all the same: what is known of other nodes goes on being known.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::peer_files::{PeerFiles, PeerFilesParts};
use super::placed_copies::{CopyCounter, PlacedCopies};
use crate::index::{Index, IndexError, IndexOptions};
use crate::jobs::{Failure, Job, JobHandle, JobState, Next};
use crate::replicate::peer::{Peer, PeerClient};
use crate::replicate::placement::{CurrentLayout, LayoutState};
use crate::sync::crawl::{CrawlError, Keeper, Mirrors, MirrorsNow};

/// The directory, and the index of the whole in it.
const DIRECTORY: &str = "mirrors";
const WHOLE: &str = "whole.redb";
/// Pages of the index of the whole that are kept in memory.
const CACHE_BYTES: usize = 32 << 20;
/// As many changes as are told at once to those who listen; with more, they ask for everything anew.
const CHANGES_KEPT: u64 = 5_000;
/// How often it is looked whether some node has something else than before. Whoever asks has it looked at once.
const LOOK: Duration = Duration::from_secs(1);
/// How long a step may take: everything is put together when a layout is new.
const DEADLINE: Duration = Duration::from_secs(3600);
/// How long a peer must have left the list before what is known of it is let go: a list may be read wrongly for a moment.
const LEFT: Duration = Duration::from_secs(60);
/// How long after the start whoever asks is told to ask again, where it is not given out yet.
const OPENING: Duration = Duration::from_secs(30);

/// What it is made of.
pub struct WholeParts {
    /// What lies here.
    pub keeper: Arc<Keeper>,
    /// Whether there is a layout, and who owns what.
    pub layout: CurrentLayout,
    /// The other nodes.
    pub list: watch::Receiver<Vec<Peer>>,
    /// Fetches files from them.
    pub client: PeerClient,
    /// The state directory.
    pub state_dir: PathBuf,
    /// Where the mirrors are found by whoever fills them.
    pub mirrors: Arc<MirrorsNow>,
    /// Clients are sent to nodes that have what they ask for.
    pub redirect: bool,
}

/// What is known of all nodes together, while there is a layout.
pub struct WholeArchive {
    parts: WholeParts,
    runtime: Handle,
    /// Given out.
    now: RwLock<Option<Arc<Keeper>>>,
    began: Instant,
    /// It was given out, or could not be, once.
    has_looked: AtomicBool,
    opened: Mutex<Opened>,
    copies: CopyCounter,
}

#[derive(Default)]
struct Opened {
    whole: Option<(Arc<Keeper>, Arc<Mirrors>)>,
    /// Nothing is left of an earlier layout.
    is_clear: bool,
    peers: Vec<String>,
    since: Option<Instant>,
    is_ended: bool,
}

impl WholeArchive {
    /// Needs a runtime around it; opens nothing yet.
    pub fn new(parts: WholeParts) -> Arc<Self> {
        let (now, has_looked, opened) = (RwLock::default(), AtomicBool::new(false), Mutex::default());
        let (runtime, copies) = (Handle::current(), CopyCounter::new());
        Arc::new(Self { parts, runtime, now, began: Instant::now(), has_looked, opened, copies })
    }

    /// What answers for all nodes; nothing without a layout, and before all that is known has gone into it.
    pub fn keeper(&self) -> Option<Arc<Keeper>> {
        self.now.read().clone()
    }

    /// Whether clients are sent to the nodes that have what they ask for.
    pub fn redirects(&self) -> bool {
        self.parts.redirect
    }

    /// Whether this node has just begun and does not know yet what the others have: what it would answer for all is too little.
    pub fn is_opening(&self) -> bool {
        !self.has_looked.load(Ordering::SeqCst)
            && self.began.elapsed() < OPENING
            && !matches!(self.parts.layout.now(), LayoutState::None)
    }

    /// How many copies lie where the layout says, as it was counted last; nothing without a layout, and before anything is known.
    pub fn placed(&self) -> Option<Arc<PlacedCopies>> {
        self.keeper()?;
        self.copies.last()
    }

    /// Opens it, follows what it is made of, or lets go of it, as the layout says. Blocks: not for async code.
    pub fn look(&self) -> Result<(), CrawlError> {
        let looked = self.look_once();
        self.has_looked.store(true, Ordering::SeqCst);
        looked
    }

    fn look_once(&self) -> Result<(), CrawlError> {
        let mut opened = self.opened.lock();
        if opened.is_ended {
            return Ok(());
        }
        if matches!(self.parts.layout.now(), LayoutState::None) {
            return Ok(self.let_go(&mut opened)?);
        }
        let (keeper, mirrors) = match &opened.whole {
            Some(whole) => whole.clone(),
            None => self.open(&mut opened)?,
        };
        self.follow_list(&mut opened, &mirrors)?;
        keeper.follow_sources()?;
        self.copies.look(&keeper, &mirrors, &self.parts.layout)?;
        let mut now = self.now.write();
        if now.is_none() {
            tracing::info!(name: "whole_opened", hours = keeper.index().catalog().hour_count(), "this node answers for what lies on other nodes as well");
            *now = Some(keeper);
        }
        Ok(())
    }

    fn open(&self, opened: &mut Opened) -> Result<(Arc<Keeper>, Arc<Mirrors>), IndexError> {
        let directory = self.parts.state_dir.join(DIRECTORY);
        std::fs::create_dir_all(&directory)?;
        let options = IndexOptions { cache_bytes: CACHE_BYTES, changes_kept: CHANGES_KEPT, ..IndexOptions::default() };
        let index = Arc::new(Index::open(&directory.join(WHOLE), options)?);
        let mirrors = Arc::new(Mirrors::new(&directory));
        let local = &self.parts.keeper;
        let files = PeerFiles::new(PeerFilesParts {
            nearer: local.absent_files().cloned(),
            local: Arc::clone(local),
            mirrors: Arc::clone(&mirrors),
            list: self.parts.list.clone(),
            client: self.parts.client.clone(),
            layout: self.parts.layout.clone(),
            runtime: self.runtime.clone(),
            redirect: self.parts.redirect,
        });
        let keeper = Keeper::whole(local, Arc::clone(&mirrors), index).opened_by(Arc::new(files));
        let whole = (keeper, mirrors);
        self.parts.mirrors.set(Some(Arc::clone(&whole.1)));
        *opened = Opened { whole: Some(whole.clone()), ..Opened::default() };
        Ok(whole)
    }

    /// Opens what is known of the peers that there are, and lets go of what is known of those that are in no list any more.
    fn follow_list(&self, opened: &mut Opened, mirrors: &Mirrors) -> Result<(), IndexError> {
        let peers: Vec<String> = self.parts.list.borrow().iter().map(|peer| peer.name.clone()).collect();
        if opened.peers != peers {
            mirrors.open_those_of(peers.iter().map(String::as_str))?;
            (opened.peers, opened.since) = (peers, Some(Instant::now()));
        } else if !peers.is_empty() && opened.since.is_some_and(|since| since.elapsed() >= LEFT) {
            mirrors.keep_those_of(peers.iter().map(String::as_str))?;
            opened.since = None;
        }
        Ok(())
    }

    fn let_go(&self, opened: &mut Opened) -> Result<(), IndexError> {
        if opened.is_clear {
            return Ok(());
        }
        self.close_now(opened);
        let directory = self.parts.state_dir.join(DIRECTORY);
        if directory.try_exists()? {
            std::fs::remove_dir_all(&directory)?;
        }
        *opened = Opened { is_clear: true, ..Opened::default() };
        Ok(())
    }

    fn close_now(&self, opened: &mut Opened) {
        *self.now.write() = None;
        self.parts.mirrors.set(None);
        if let Some((keeper, mirrors)) = opened.whole.take() {
            keeper.index().close();
            mirrors.close();
        }
    }

    /// Writes what is queued, and closes it for good. Blocks: not for async code.
    pub fn close(&self) {
        let mut opened = self.opened.lock();
        self.close_now(&mut opened);
        opened.is_ended = true;
    }
}

/// Keeps it in step.
pub struct WholeJob(Arc<WholeArchive>);

impl WholeJob {
    /// Of this one.
    pub fn new(whole: &Arc<WholeArchive>) -> Self {
        Self(Arc::clone(whole))
    }
}

impl Job for WholeJob {
    fn kind(&self) -> &'static str {
        "mirrors"
    }

    fn deadline(&self) -> Duration {
        DEADLINE
    }

    fn step(&mut self, handle: &JobHandle) -> Result<Next, Failure> {
        match self.0.look() {
            // Of a disk that is away nothing is learnt, and the sentinel reports it.
            Ok(()) | Err(CrawlError::Away(_)) => {}
            Err(error) => return Err(error.into()),
        }
        let rest = self.0.parts.layout.rest(LOOK);
        handle.set_state(JobState::Waiting, "for a change on some node, or a layout", Some(rest));
        Ok(Next::WhenWoken(rest))
    }
}
