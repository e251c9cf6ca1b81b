//! The replication status of one peer: its worker writes it, everybody else reads it.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::report::RoundReport;
use super::skew::{RecorderSkew, RecorderSkews};
use crate::disk::ArchiveId;
use crate::index::PeerRow;
use crate::jobs::{JobHandle, JobState};
use crate::replicate::peer::Peer;
use crate::sync::crawl::FilledByPeer;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PeerState {
    #[default]
    New,
    Round,
    Following,
    Resting,
    /// The last round failed; it waits before it tries again.
    BackingOff,
    /// The peer is this node: nothing is asked of it.
    Itself,
}

/// Another node says of itself what only this one should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conflict {
    /// It has this archive's id: one of the two is a copy that was made with its marker.
    Archive,
    Name,
}

impl Conflict {
    /// Whether what another process says of itself is in conflict with what this one is: its archive's id, and its name.
    pub fn between(ours: (Option<&str>, &str), theirs: (Option<&str>, Option<&str>)) -> Option<Self> {
        if ours.0.is_some() && ours.0 == theirs.0 {
            Some(Self::Archive)
        } else {
            (theirs.1 == Some(ours.1)).then_some(Self::Name)
        }
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Archive => {
                "it has the id of this archive and is another node: one of the two is a copy that was made with .gapless, and neither counts as a copy \
                 of the other; stop the node on the copy, and run `gapless rebuild --new-id` there"
            }
            Self::Name => {
                "it has this node's name and is another node: give each a name of its own ([node] name, --name), or figures of the two are mixed up"
            }
        })
    }
}

#[derive(Debug, Clone)]
pub struct PeerStatus {
    pub peer: Peer,
    pub state: PeerState,
    /// Whether it speaks more than the fixed part; unknown until it was asked.
    pub is_ours: Option<bool>,
    pub rounds: u64,
    pub last: Option<(RoundReport, Duration)>,
    /// What was done since the start, following included.
    pub all: RoundReport,
    pub complete: Option<SystemTime>,
    /// Rounds in a row that failed.
    pub failures: u32,
    pub error: Option<String>,
    pub archive: Option<ArchiveId>,
    /// What of its identity cannot be right beside this node's.
    pub conflict: Option<Conflict>,
    /// When it is tried again, if it waits.
    pub next: Option<SystemTime>,
    /// How long ago all that it has, and that is old enough, was here: nothing while that is so.
    pub lag: Duration,
    /// Segments that are known to be there and old enough, and are not here.
    pub behind: u64,
    pub hours: (u64, u64),
    /// What it has filled with channels that nobody here records or names.
    pub filled: FilledByPeer,
    /// Why it may not fill more, if the last round left something out for that.
    pub full: Option<String>,
    /// How its recorders' times differ from those here.
    pub(super) skews: RecorderSkews,
}

impl PeerStatus {
    /// Qualities whose recordings here and there have different times, as far as they were compared within an hour.
    pub fn skews(&self) -> Vec<RecorderSkew> {
        self.skews.shown(SystemTime::now().into())
    }
}

#[derive(Debug)]
pub(super) struct FollowedPeer {
    pub(super) peer: Peer,
    /// The peer is in no list any more, or the node ends.
    pub(super) stop: CancellationToken,
    pub(super) round_wanted: Notify,
    /// The operator has confirmed, for the next round, that suspiciously many tombstones are fine.
    pub(super) accept_bursts: AtomicBool,
    /// It was logged that its budget for strangers' channels is full.
    pub(super) is_full: AtomicBool,
    pub(super) handle: JobHandle,
    steps: AtomicU64,
    done: AtomicU64,
    total: AtomicU64,
    behind: AtomicU64,
    state: Mutex<FollowedState>,
}

#[derive(Debug)]
struct FollowedState {
    status: PeerStatus,
    /// Since when something is missing here that is there.
    behind_since: Option<Instant>,
}

impl FollowedPeer {
    pub(super) fn new(peer: Peer, row: Option<PeerRow>, stop: CancellationToken, handle: JobHandle) -> Self {
        let row = row.filter(|row| row.url == peer.url.to_string()).unwrap_or_default();
        let complete = Duration::from_micros(row.complete_us);
        let status = PeerStatus {
            peer: peer.clone(),
            state: PeerState::New,
            is_ours: None,
            rounds: 0,
            last: None,
            all: RoundReport::default(),
            complete: SystemTime::UNIX_EPOCH.checked_add(complete).filter(|_| !complete.is_zero()),
            failures: row.failures,
            error: Some(row.error).filter(|error| !error.is_empty()),
            archive: row.archive.map(ArchiveId::from_bytes),
            conflict: None,
            next: None,
            lag: Duration::ZERO,
            behind: 0,
            hours: (0, 0),
            filled: FilledByPeer::default(),
            full: None,
            skews: RecorderSkews::default(),
        };
        Self {
            peer,
            stop,
            round_wanted: Notify::new(),
            accept_bursts: AtomicBool::new(false),
            is_full: AtomicBool::new(false),
            handle,
            steps: AtomicU64::new(0),
            done: AtomicU64::new(0),
            total: AtomicU64::new(0),
            behind: AtomicU64::new(0),
            state: Mutex::new(FollowedState { status, behind_since: Some(Instant::now()) }),
        }
    }

    pub(super) fn status(&self) -> PeerStatus {
        let state = self.state.lock();
        let lag = state.behind_since.map_or(Duration::ZERO, |since| since.elapsed());
        let hours = (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed));
        PeerStatus { lag, hours, behind: self.behind.load(Ordering::Relaxed), ..state.status.clone() }
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut PeerStatus)) {
        let (state, next) = {
            let mut locked = self.state.lock();
            change(&mut locked.status);
            (locked.status.state, locked.status.next)
        };
        let next = next.and_then(|next| next.duration_since(SystemTime::now()).ok());
        match state {
            PeerState::New => self.handle.set_state(JobState::Waiting, "has not begun", None),
            PeerState::Round => self.handle.working("compares and fetches"),
            PeerState::Following => self.handle.set_state(JobState::Waiting, "following", next),
            PeerState::Resting => self.handle.set_state(JobState::Resting, "waits for the next round", next),
            PeerState::BackingOff => self.handle.set_state(JobState::BackingOff, "waits for the next attempt", next),
            PeerState::Itself => self.handle.set_state(JobState::Waiting, "is this node itself", next),
        }
    }

    /// Something is fetched between two rounds.
    pub(super) fn fetches(&self) {
        self.handle.working("fetches what is new");
    }

    pub(super) fn has_fetched(&self) {
        self.update(|_| {});
    }

    /// So many segments are missing here that are there, or none any more.
    pub(super) fn set_behind(&self, count: u64, agrees: bool) {
        self.behind.store(count, Ordering::Relaxed);
        let since = &mut self.state.lock().behind_since;
        *since = if agrees { None } else { Some(since.unwrap_or_else(Instant::now)) };
    }

    pub(super) fn caught_up_by(&self, count: u64) {
        let less = |behind: u64| Some(behind.saturating_sub(count));
        // It never fails, because it always gives a number.
        self.behind.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).unwrap_or_default();
    }

    pub(super) fn begin(&self, hours: usize) {
        self.done.store(0, Ordering::Relaxed);
        self.total.store(hours as u64, Ordering::Relaxed);
        self.handle.progress(0, hours as u64);
        self.step();
    }

    pub(super) fn hour_done(&self) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        self.handle.progress(done, self.total.load(Ordering::Relaxed));
        self.step();
    }

    pub(super) fn step(&self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
        self.handle.sign();
    }

    pub(super) fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }

    pub(super) fn row(&self, followed: Option<(u64, u64)>) -> PeerRow {
        let state = self.state.lock();
        let status = &state.status;
        let complete = status.complete.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
        PeerRow {
            url: self.peer.url.to_string(),
            followed,
            failures: status.failures,
            complete_us: complete.and_then(|time| u64::try_from(time.as_micros()).ok()).unwrap_or(0),
            archive: status.archive.map(ArchiveId::to_bytes),
            error: status.error.clone().unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_node_with_this_ones_name_or_archive_is_told_and_nobody_else() {
        let of = |archive, name| Conflict::between((Some("a1"), "box"), (archive, name));
        assert_eq!(of(Some("a2"), Some("other")), None);
        assert_eq!(of(None, None), None);
        assert_eq!(of(Some("a2"), Some("box")), Some(Conflict::Name));
        assert_eq!(of(Some("a1"), Some("other")), Some(Conflict::Archive));
        assert_eq!(of(Some("a1"), Some("box")), Some(Conflict::Archive));
        assert_eq!(Conflict::between((None, "box"), (None, Some("other"))), None, "no id is no equal id");
    }
}
