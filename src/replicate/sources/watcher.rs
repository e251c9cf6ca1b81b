//! Reads each source again and again, and keeps the one list of peers that they amount to.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use prometheus::{IntCounter, Registry};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::database::Database;
use super::entry::{ListedSources, SourceEntry};
use super::file::{ListFile, SourceMemory};
use super::merge::{OwnNode, Trust, merge};
use super::{SourceError, SourceStatus};
use crate::jobs::{Backoff, JobHandle, JobRegistry, JobState};
use crate::replicate::peer::Peer;

/// The first wait after a source failed, if it is not read more often anyway.
const RETRY: Duration = Duration::from_secs(5);

/// How long reading a source may take: everything that is waited for there has a shorter limit of its own.
const DEADLINE: Duration = Duration::from_secs(2 * 60);

/// Names in one line of the log.
const LOGGED: usize = 50;

/// Where peers come from.
#[derive(Debug, Clone)]
pub struct SourceOptions {
    pub given: Vec<SourceEntry>,
    pub file: Option<PathBuf>,
    pub database: Option<Database>,
    pub trust: Trust,
    pub reread: Duration,
}

/// The sources, in the order in which later ones win.
#[derive(Debug)]
pub struct Sources {
    slots: Vec<WatchedSource>,
    own: OwnNode,
    trust: Trust,
    reread: Duration,
    list: watch::Sender<Vec<Peer>>,
    errors: IntCounter,
}

#[derive(Debug)]
struct WatchedSource {
    reads: Reads,
    state: Mutex<SourceState>,
}

#[derive(Debug)]
enum Reads {
    Nothing,
    File(ListFile),
    Database(Box<Database>, SourceMemory),
}

#[derive(Debug)]
struct SourceState {
    entries: Vec<SourceEntry>,
    status: SourceStatus,
}

/// How long a source is left alone after so many failures in a row.
fn pause(reread: Duration, failures: u32) -> Duration {
    if failures == 0 { reread } else { Backoff::from(reread.min(RETRY)).wait(failures) }
}

impl WatchedSource {
    fn new(reads: Reads, kind: &'static str, place: String) -> Self {
        let state = SourceState { entries: Vec::new(), status: SourceStatus::new(kind, place) };
        Self { reads, state: Mutex::new(state) }
    }

    async fn read(&self) -> Result<ListedSources, SourceError> {
        match &self.reads {
            Reads::Nothing => {
                Ok(ListedSources { entries: self.state.lock().entries.clone(), ..ListedSources::default() })
            }
            Reads::File(file) => file.read().await,
            Reads::Database(database, _) => database.read().await,
        }
    }
}

impl Sources {
    /// Of a node; what the database said last is kept in its state directory. Nothing is read yet but what was given.
    pub fn new(
        options: SourceOptions,
        own: OwnNode,
        state_dir: &Path,
        registry: &Registry,
    ) -> Result<Self, prometheus::Error> {
        let errors = IntCounter::new("node_list_errors_total", "Times that a list of nodes could not be read")?;
        registry.register(Box::new(errors.clone()))?;
        let mut slots = Vec::new();
        if !options.given.is_empty() {
            let slot = WatchedSource::new(Reads::Nothing, "flags", "flags and settings".to_owned());
            slot.state.lock().status.peers = options.given.len();
            slot.state.lock().entries = options.given;
            slots.push(slot);
        }
        if let Some(path) = options.file {
            let place = path.display().to_string();
            slots.push(WatchedSource::new(Reads::File(ListFile::new(path)), "file", place));
        }
        if let Some(database) = options.database {
            let place = database.connection.to_string();
            let memory = SourceMemory::new(state_dir, database.identity());
            slots.push(WatchedSource::new(Reads::Database(Box::new(database), memory), "database", place));
        }
        let sources = Self {
            slots,
            own,
            trust: options.trust,
            reread: options.reread,
            list: watch::Sender::new(Vec::new()),
            errors,
        };
        sources.publish();
        Ok(sources)
    }

    /// The peers, now and whenever they change.
    pub fn peers(&self) -> watch::Receiver<Vec<Peer>> {
        self.list.subscribe()
    }

    pub fn status(&self) -> Vec<SourceStatus> {
        self.slots.iter().map(|slot| slot.state.lock().status.clone()).collect()
    }

    /// Whether every source was read, or that was tried, since the start: before, there may be more peers than are known.
    pub fn are_tried(&self) -> bool {
        let is_tried = |slot: &WatchedSource| {
            let status = &slot.state.lock().status;
            matches!(slot.reads, Reads::Nothing) || status.read.is_some() || status.is_remembered || status.failures > 0
        };
        self.slots.iter().all(is_tried)
    }

    /// Answers with the names of the peers; nothing while some of them may not be known yet.
    pub fn asker(self: &Arc<Self>) -> Box<dyn Fn() -> Option<BTreeSet<String>> + Send + Sync> {
        let sources = Arc::clone(self);
        Box::new(move || {
            let names = || sources.list.borrow().iter().map(|peer| peer.name.clone()).collect();
            sources.are_tried().then(names)
        })
    }

    pub async fn once(&self) {
        futures_util::future::join_all(self.slots.iter().map(async |slot| {
            self.recall(slot).await;
            self.read(slot).await;
        }))
        .await;
    }

    /// Reads every source again and again until it is stopped; how that goes stands on the board.
    pub async fn run(&self, stop: CancellationToken, board: &Arc<JobRegistry>) {
        let follow = async |slot: &WatchedSource| {
            if matches!(slot.reads, Reads::Nothing) {
                return;
            }
            let handle = board.register("node-list", Some(slot.state.lock().status.kind.to_owned()), DEADLINE);
            self.recall(slot).await;
            loop {
                handle.working("reads the list of nodes");
                self.read(slot).await;
                let wait = self.book(slot, &handle);
                tokio::time::sleep(wait).await;
            }
        };
        tokio::select! {
            () = async { drop(futures_util::future::join_all(self.slots.iter().map(follow)).await) } => stop.cancelled().await,
            () = stop.cancelled() => {}
        }
    }

    /// Records how a reading went; returns how long it is until the next one.
    fn book(&self, slot: &WatchedSource, handle: &JobHandle) -> Duration {
        let (failures, error) = {
            let status = &slot.state.lock().status;
            (status.failures, status.error.clone())
        };
        let wait = pause(self.reread, failures).mul_f64(rand::random_range(0.9..1.1));
        if let Some(error) = error {
            handle.failed(&error);
            handle.set_state(JobState::BackingOff, "waits for the next attempt", Some(wait));
        } else {
            handle.succeeded();
            handle.set_state(JobState::Waiting, "waits for the next reading", Some(wait));
        }
        wait
    }

    /// What the database said before the last start, until it says something.
    async fn recall(&self, slot: &WatchedSource) {
        let Reads::Database(_, memory) = &slot.reads else { return };
        let memory = memory.clone();
        // Threads end badly at shutdown only.
        let entries = tokio::task::spawn_blocking(move || memory.recall()).await.unwrap_or_default();
        if !entries.is_empty() {
            let mut state = slot.state.lock();
            (state.status.peers, state.status.is_remembered) = (entries.len(), true);
            state.entries = entries;
            drop(state);
            self.publish();
        }
    }

    async fn read(&self, slot: &WatchedSource) {
        match slot.read().await {
            Ok(listed) => self.said(slot, listed).await,
            Err(error) => self.failed(slot, &error),
        }
    }

    async fn said(&self, slot: &WatchedSource, listed: ListedSources) {
        let entries = listed.entries.clone();
        let is_news = Self::note(slot, listed);
        self.publish();
        if let (Reads::Database(_, memory), true) = (&slot.reads, is_news) {
            let memory = memory.clone();
            let kept = tokio::task::spawn_blocking(move || memory.keep(&entries)).await;
            if let Ok(Err(error)) = kept {
                tracing::warn!(name: "known_peers_not_kept", %error, "after a restart without the database these peers are not known");
            }
        }
    }

    /// Whether that is another answer than the one before, or the first.
    fn note(slot: &WatchedSource, listed: ListedSources) -> bool {
        let mut state = slot.state.lock();
        let status = &mut state.status;
        if status.failures > 0 {
            tracing::info!(name: "node_list_back", from = status.place, "the list of nodes can be read again");
        }
        if status.problems != listed.problems {
            for problem in &listed.problems {
                tracing::warn!(name: "node_left_out", problem, "a node of the list was left out");
            }
        }
        let is_news = status.read.is_none() || state.entries != listed.entries;
        state.status = SourceStatus {
            peers: listed.entries.len(),
            read: Some(SystemTime::now()),
            problems: listed.problems,
            ..SourceStatus::new(state.status.kind, std::mem::take(&mut state.status.place))
        };
        state.entries = listed.entries;
        is_news
    }

    fn failed(&self, slot: &WatchedSource, error: &SourceError) {
        self.errors.inc();
        let text = error.to_string();
        let mut state = slot.state.lock();
        let status = &mut state.status;
        let since = *status.failing_since.get_or_insert_with(SystemTime::now);
        status.failures = status.failures.saturating_add(1);
        if status.error.as_ref() == Some(&text) {
            tracing::debug!(name: "node_list_failed", from = status.place, error = text, failures = status.failures, ?since, "the list of nodes still cannot be read");
        } else {
            tracing::warn!(name: "node_list_failed", from = status.place, error = text, peers = status.peers, "the list of nodes cannot be read; the nodes known from it go on, and it is tried again");
        }
        status.error = Some(text);
    }

    /// Publishes the list if it has changed.
    fn publish(&self) {
        self.list.send_if_modified(|known| {
            let lists: Vec<Vec<SourceEntry>> =
                self.slots.iter().map(|slot| slot.state.lock().entries.clone()).collect();
            let peers = merge(lists.iter().map(Vec::as_slice), &self.own, &self.trust);
            let differs = *known != peers;
            if differs {
                let names = peers.iter().take(LOGGED).map(|peer| peer.name.as_str()).collect::<Vec<_>>().join(", ");
                tracing::info!(name: "peers", count = peers.len(), names, "nodes to fetch from");
                *known = peers;
            }
            differs
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_fails_is_left_alone_for_longer_and_longer() {
        let seconds = |reread, failures: &[u32]| -> Vec<u64> {
            failures.iter().map(|failures| pause(Duration::from_secs(reread), *failures).as_secs()).collect()
        };
        assert_eq!(seconds(30, &[0, 1, 2, 3, 4, 5, 6, u32::MAX]), [30, 5, 10, 20, 40, 80, 80, 80]);
        // Who is read more often than that is tried again as often.
        assert_eq!(seconds(1, &[0, 1, 5]), [1, 1, 16]);
    }

    #[tokio::test]
    async fn a_source_that_fails_keeps_its_last_answer_and_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("nodes");
        let options = SourceOptions {
            given: vec![SourceEntry::parse("a=http://a").unwrap()],
            file: Some(file.clone()),
            database: None,
            trust: Trust::All,
            reread: Duration::from_secs(30),
        };
        let registry = Registry::new();
        let own = OwnNode { listen: None };
        let sources = Sources::new(options, own, dir.path(), &registry).unwrap();
        let mut peers = sources.peers();
        let names = |list: &watch::Receiver<Vec<Peer>>| -> Vec<String> {
            list.borrow().iter().map(|peer| peer.name.clone()).collect()
        };
        assert_eq!(names(&peers), ["a"]);
        std::fs::write(&file, "b http://b\n").unwrap();
        sources.once().await;
        assert_eq!(names(&peers), ["a", "b"]);
        peers.mark_unchanged();
        std::fs::remove_file(&file).unwrap();
        sources.once().await;
        sources.once().await;
        let status = &sources.status()[1];
        assert_eq!((status.kind, status.peers, status.failures, sources.errors.get()), ("file", 1, 2, 2));
        assert!(status.error.is_some() && status.failing_since.is_some());
        // Nobody is woken by a list that is as it was.
        assert!(!peers.has_changed().unwrap());
        std::fs::write(&file, "").unwrap();
        sources.once().await;
        assert_eq!((names(&peers), sources.status()[1].failures), (vec!["a".to_owned()], 0));
    }
}
