//! Opens files that do not lie here: from what is nearer, such as a bucket, or else from a node that has them.
//!
//! 1. Owners are asked first, then whoever else has the file; one that did not answer is left alone for a moment, unless there is no other.
//! 2. A file is given out when all of it is here and its hash is right, and never otherwise. It has no name meanwhile, nor after, so that
//!    nothing of it is left when the last reader is done.
//! 3. Many who ask for the same at once cause one download. Whoever goes away takes nothing from the others.

use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};

use crate::archive::name;
use crate::archive::placement::Slot;
use crate::archive::{AnyFile, Hash, HourContents, HourPlace, ManifestFile, PackedHour, SegmentFile};
use crate::disk::{Intake, MissingFile, UnlinkedFile, opened_again};
use crate::index::{Index, IndexError};
use crate::replicate::peer::{PIECE_BYTES, Peer, PeerClient, PeerError};
use crate::replicate::placement::CurrentLayout;
use crate::sync::crawl::{AbsentError, AbsentFile, AbsentFiles, CrawlError, Keeper, LearnedHour, Mirror, Mirrors};

/// Files that come from other nodes at once: each holds a piece in memory, and what has come of it on the disk.
const AT_ONCE: usize = 16;
/// How long somebody waits for a turn.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long one is left alone that did not answer.
const QUIET: Duration = Duration::from_secs(5);
/// Of a file that no other node gives.
const LIES: &str = "on other nodes alone, none of which gives it";

/// What files are opened by.
#[derive(Clone)]
pub(super) struct PeerFilesParts {
    pub(super) nearer: Option<Arc<dyn AbsentFiles>>,
    pub(super) local: Arc<Keeper>,
    pub(super) mirrors: Arc<Mirrors>,
    pub(super) list: watch::Receiver<Vec<Peer>>,
    pub(super) client: PeerClient,
    pub(super) layout: CurrentLayout,
    pub(super) runtime: Handle,
    pub(super) redirect: bool,
}

/// Files of other nodes.
pub struct PeerFiles(Arc<PeerReader>);

struct PeerReader {
    parts: PeerFilesParts,
    turns: Semaphore,
    coming: Mutex<HashMap<String, ComingFile>>,
    quiet: Mutex<HashMap<String, Instant>>,
}

type ComingFile = Shared<BoxFuture<'static, Result<Arc<File>, AbsentError>>>;

/// What the mirrors say of a file.
enum Named {
    /// These have it.
    By(Vec<Arc<Mirror>>, SegmentFile),
    Hidden,
    Tombstone,
    Unknown,
}

impl PeerFiles {
    pub(super) fn new(parts: PeerFilesParts) -> Self {
        let (turns, coming, quiet) = (Semaphore::new(AT_ONCE), Mutex::default(), Mutex::default());
        Self(Arc::new(PeerReader { parts, turns, coming, quiet }))
    }
}

impl PeerReader {
    async fn open(self: &Arc<Self>, place: &HourPlace, name: &str) -> Result<AbsentFile, AbsentError> {
        let nearer = match &self.parts.nearer {
            Some(nearer) => match nearer.open(place, name).await {
                Ok(AbsentFile::Unknown) => None,
                Ok(found) => return Ok(found),
                Err(error) => Some(error),
            },
            None => None,
        };
        let (reader, at, wanted) = (Arc::clone(self), place.clone(), name.to_owned());
        let finding = self.parts.runtime.spawn_blocking(move || reader.find(&at, &wanted)).await;
        let named = finding.unwrap_or(Ok(Named::Unknown)).map_err(|error| absent(place, name, "failed", &error))?;
        match named {
            Named::Hidden => Ok(AbsentFile::Hidden),
            Named::Unknown => nearer.map_or(Ok(AbsentFile::Unknown), Err),
            Named::Tombstone => {
                let empty = File::open("/dev/null").map_err(|error| absent(place, name, "failed", &error))?;
                Ok(AbsentFile::Open(empty, Hash(Sha256::digest([]).into())))
            }
            Named::By(holders, file) => match self.coming(place, name, holders, &file).await {
                Ok(came) => {
                    let opened = opened_again(&came).map_err(|error| absent(place, name, "failed", &error))?;
                    Ok(AbsentFile::Open(opened, file.key.hash))
                }
                Err(error) => Err(nearer.unwrap_or(error)),
            },
        }
    }

    /// Who has a file that comes from other nodes, and not from what is nearer. Blocks.
    fn held_by(&self, place: &HourPlace, file: &str) -> Option<(Vec<Arc<Mirror>>, SegmentFile)> {
        let is_nearer = |nearer: &Arc<dyn AbsentFiles>| nearer.read_back(place).map_or(true, |found| !found.is_empty());
        if self.parts.nearer.as_ref().is_some_and(is_nearer) {
            return None;
        }
        if let Ok(Named::By(holders, found)) = self.find(place, file) { Some((holders, found)) } else { None }
    }

    /// The address of the file on a node that answers; nothing where it is to come through this one. Blocks.
    fn address(&self, place: &HourPlace, file: &str, answers: &dyn Fn(&str) -> bool) -> Option<String> {
        let (holders, _) = if self.parts.redirect { self.held_by(place, file)? } else { return None };
        let peers = self.parts.list.borrow();
        let known = |holder: &Arc<Mirror>| peers.iter().find(|peer| *peer.name == **holder.peer());
        let peer = holders.iter().filter_map(known).find(|peer| answers(&peer.name) && !self.is_quiet(&peer.name))?;
        let hour = place.hour.to_string();
        let (channel, quality) = (place.stream.channel.as_str(), place.stream.quality.as_str());
        let mut address = peer.url.join(["segments", channel, quality, &hour, file]).ok()?;
        // That one answers for itself, so that nobody is sent in a circle.
        address.set_query(Some("local=true"));
        Some(address.into())
    }

    /// Who has a file, and whether anybody hides it. Blocks.
    fn find(&self, place: &HourPlace, file: &str) -> Result<Named, IndexError> {
        let Some(AnyFile::Segment(wanted)) = AnyFile::read(file, 0) else { return Ok(Named::Unknown) };
        let (stream, mirrors) = (place.stream.to_string(), self.parts.mirrors.all());
        let contents = |index: &Index| Ok::<_, IndexError>(index.hour(&stream, place.hour)?.map(|view| view.contents));
        let hides = |all: &HourContents| !wanted.key.tombstone && all.hidden().hides(&wanted);
        if contents(self.parts.local.index())?.is_some_and(|here| hides(&here)) {
            return Ok(Named::Hidden);
        }
        let (mut holders, mut found) = (Vec::new(), None);
        for mirror in mirrors.iter() {
            let Some(there) = contents(mirror.index())? else { continue };
            if hides(&there) {
                return Ok(Named::Hidden);
            }
            let is_it = |known: &SegmentFile| (&known.key, &known.exact).cmp(&(&wanted.key, &wanted.exact));
            let at = there.files().binary_search_by(is_it).ok();
            if let Some(known) = at.and_then(|at| there.files().get(at)) {
                found.get_or_insert_with(|| known.clone());
                holders.push(Arc::clone(mirror));
            }
        }
        let Some(found) = found else { return Ok(Named::Unknown) };
        if name::is_tombstone(file) {
            return Ok(Named::Tombstone);
        }
        self.sort(place, &mut holders);
        Ok(Named::By(holders, found))
    }

    /// Owners first.
    fn sort(&self, place: &HourPlace, holders: &mut [Arc<Mirror>]) {
        let state = self.parts.layout.now();
        let Some(known) = state.known() else { return };
        let owners = known.layout.owners_of(&place.stream.channel, Slot::of(place));
        let is_owner = |mirror: &Arc<Mirror>| {
            let called = mirror.called();
            owners.iter().any(|owner| Some(owner.name.as_str()) == called.as_deref())
        };
        holders.sort_by_key(|mirror| !is_owner(mirror));
    }

    /// The file as it comes; that others have asked for is waited for.
    fn coming(
        self: &Arc<Self>,
        place: &HourPlace,
        name: &str,
        holders: Vec<Arc<Mirror>>,
        file: &SegmentFile,
    ) -> ComingFile {
        let path = format!("{place}/{name}");
        let mut coming = self.coming.lock();
        if let Some(known) = coming.get(&path) {
            return known.clone();
        }
        let wanted = MissingFile { name: name.into(), hash: file.key.hash };
        let (reader, at, key) = (Arc::clone(self), place.clone(), path.clone());
        // It goes on whether or not somebody waits for it.
        let bringing = self.parts.runtime.spawn(async move {
            let came = reader.bring(&at, &wanted, &holders).await;
            reader.coming.lock().remove(&key);
            came
        });
        let (stopped, told) = (place.clone(), name.to_owned());
        let waiting = async move {
            let ended = |_| Err(absent(&stopped, &told, "failed", &"the node is ending"));
            bringing.await.unwrap_or_else(ended)
        };
        let shared = waiting.boxed().shared();
        coming.insert(path, shared.clone());
        shared
    }

    async fn bring(
        &self,
        place: &HourPlace,
        file: &MissingFile,
        holders: &[Arc<Mirror>],
    ) -> Result<Arc<File>, AbsentError> {
        let Ok(Ok(_turn)) = tokio::time::timeout(PATIENCE, self.turns.acquire()).await else {
            return Err(absent(place, &file.name, "busy", &"too many files are coming from other nodes at once"));
        };
        let mut said = Vec::new();
        let peers: Vec<Peer> = self.parts.list.borrow().clone();
        for holder in holders {
            let Some(peer) = peers.iter().find(|peer| *peer.name == **holder.peer()) else { continue };
            if self.is_quiet(&peer.name) {
                said.push(format!("{} did not answer a moment ago", peer.name));
                continue;
            }
            match self.ask(peer, place, file).await {
                Ok(came) => return Ok(Arc::new(came)),
                Err(error) => {
                    tracing::debug!(name: "file_not_given", peer = peer.name, hour = %place, file = %file.name, %error, "a node does not give a file that it has");
                    said.push(format!("{}: {error}", peer.name));
                }
            }
        }
        if said.is_empty() {
            said.push("who has it is in no list of peers any more".to_owned());
        }
        Err(absent(place, &file.name, "not_given", &said.join("; ")))
    }

    async fn ask(&self, peer: &Peer, place: &HourPlace, file: &MissingFile) -> Result<File, NotGiven> {
        let mut intake = WholeFile { file: None, local: Arc::clone(&self.parts.local), piece: Vec::new() };
        match self.parts.client.download(peer, place, file, &mut intake).await {
            Ok(()) => {}
            Err(error) => {
                if matches!(&error, NotGiven::Peer(error) if error.is_away()) {
                    self.leave_alone(&peer.name);
                }
                return Err(error);
            }
        }
        let came = intake.file.ok_or(NotGiven::Gone)?;
        came.finish(file.hash).ok_or(NotGiven::Wrong)
    }

    fn is_quiet(&self, peer: &str) -> bool {
        self.quiet.lock().get(peer).is_some_and(|since| since.elapsed() < QUIET)
    }

    fn leave_alone(&self, peer: &str) {
        let mut quiet = self.quiet.lock();
        quiet.retain(|_, since| since.elapsed() < QUIET);
        quiet.insert(peer.to_owned(), Instant::now());
    }
}

/// Why one node did not give a file.
#[derive(Debug, thiserror::Error)]
enum NotGiven {
    #[error(transparent)]
    Peer(#[from] PeerError),
    #[error("this node cannot hold it: {0}")]
    Here(#[from] CrawlError),
    #[error("it does not have it any more")]
    Gone,
    #[error("what it gave is not what the hash in the name says")]
    Wrong,
    #[error("the node is ending")]
    Ending,
}

/// Takes in one file that gets no name.
struct WholeFile {
    /// Not here while a piece is written, after that has failed, and where there is no such file.
    file: Option<UnlinkedFile>,
    local: Arc<Keeper>,
    piece: Vec<u8>,
}

impl WholeFile {
    async fn flush(&mut self) -> Result<(), NotGiven> {
        let (Some(mut file), mut piece) = (self.file.take(), std::mem::take(&mut self.piece)) else {
            return Err(NotGiven::Ending);
        };
        let writing = tokio::task::spawn_blocking(move || {
            file.write(&piece).map_err(CrawlError::Disk)?;
            piece.clear();
            Ok::<_, CrawlError>((file, piece))
        });
        let (written, emptied) = writing.await.map_err(|_| NotGiven::Ending)??;
        (self.file, self.piece) = (Some(written), emptied);
        Ok(())
    }
}

impl Intake for WholeFile {
    type Error = NotGiven;

    async fn begin(&mut self, _: &MissingFile) -> Result<(), NotGiven> {
        // It may come once more from its beginning.
        self.piece.clear();
        let local = Arc::clone(&self.local);
        let beginning = tokio::task::spawn_blocking(move || {
            let base = local.guard().base().map_err(CrawlError::Away)?;
            UnlinkedFile::create(&base).map_err(CrawlError::Disk)
        });
        self.file = Some(beginning.await.map_err(|_| NotGiven::Ending)??);
        Ok(())
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), NotGiven> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE_BYTES { self.flush().await } else { Ok(()) }
    }

    async fn end(&mut self, _: &MissingFile) -> Result<(), NotGiven> {
        self.flush().await
    }

    fn gone(&mut self, _: &MissingFile) {
        self.file = None;
    }
}

impl AbsentFiles for PeerFiles {
    fn open<'f>(&'f self, place: &'f HourPlace, file: &'f str) -> BoxFuture<'f, Result<AbsentFile, AbsentError>> {
        Box::pin(self.0.open(place, file))
    }

    fn address(&self, place: &HourPlace, file: &str, answers: &dyn Fn(&str) -> bool) -> Option<String> {
        self.0.address(place, file, answers)
    }

    fn size(&self, place: &HourPlace, file: &str) -> Option<u64> {
        self.0.held_by(place, file).map(|(_, found)| found.size)
    }

    fn failure(&self, place: &HourPlace, file: &str) -> Option<AbsentError> {
        self.0.parts.nearer.as_ref()?.failure(place, file)
    }

    fn read_back(&self, place: &HourPlace) -> Result<Vec<Arc<PackedHour>>, AbsentError> {
        self.0.parts.nearer.as_ref().map_or(Ok(Vec::new()), |nearer| nearer.read_back(place))
    }

    fn forget(&self, files: &[ManifestFile]) {
        if let Some(nearer) = &self.0.parts.nearer {
            nearer.forget(files);
        }
    }

    fn tell_learned(&self, _: LearnedHour) {
        // What is nearer has told the keeper of this node before.
    }

    fn open_blocking(&self, place: &HourPlace, file: &str) -> Result<AbsentFile, AbsentError> {
        self.0.parts.runtime.block_on(self.0.open(place, file))
    }
}

fn absent(place: &HourPlace, file: &str, reason: &'static str, why: &dyn std::fmt::Display) -> AbsentError {
    AbsentError { path: format!("{place}/{file}"), lies: LIES, reason, why: why.to_string() }
}
