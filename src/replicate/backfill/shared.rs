//! What the workers of all peers share, and what one of them carries through a round or through following.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

use super::deletions::DeletionsAsked;
use super::memory::{MemoryEpoch, PeerMemory};
use super::options::{BackfillOptions, BackfillParts};
use super::peer_state::FollowedPeer;
use super::report::{RoundError, RoundReport};
use super::round_log::{BackfillMetrics, ReportFile};
use super::targets::{Claims, Targets};
use super::tombstone_bursts::{ArrivalMark, Arrivals, Bursts};
use super::waiting;
use crate::archive::blocks::Inodes;
use crate::archive::{Hour, HourPlace, PeerStart, SegmentKey, Timestamp};
use crate::replicate::peer::{Peer, PeerClient};
use crate::sync::crawl::{CrawlError, Keeper};

/// Downloads at once, from all peers together: each holds a piece of a file in memory. Every peer has a share of its own, so
/// that those that hang keep nobody else from being asked.
const DOWNLOADS: usize = 32;

/// Bytes a second that each download should have of what we bound them to: with less a large file would not come in time.
const SLOWEST: u64 = 50_000;
/// A clock that is off by more was set; less is how clocks are.
const CLOCK_SET: Duration = Duration::from_secs(60);

pub(super) struct Shared {
    pub(super) keeper: Arc<Keeper>,
    pub(super) parts: BackfillParts,
    pub(super) client: PeerClient,
    pub(super) options: BackfillOptions,
    pub(super) claims: Claims,
    pub(super) peers: Arc<Mutex<Vec<Arc<FollowedPeer>>>>,
    pub(super) arrivals: Arrivals,
    pub(super) bursts: Bursts,
    pub(super) deletions_asked: DeletionsAsked,
    pub(super) targets: Targets,
    pub(super) memory: PeerMemory,
    pub(super) metrics: BackfillMetrics,
    pub(super) report_file: ReportFile,
    pub(super) workers: AtomicUsize,
    /// What the clock said, and when that really was.
    pub(super) clock: Mutex<(SystemTime, Instant)>,
}

impl Shared {
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, RoundError> + Send + 'static,
    ) -> Result<T, RoundError> {
        tokio::task::spawn_blocking(work).await.map_err(|error| RoundError::Thread(error.to_string()))?
    }

    pub(super) async fn with_keeper<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Keeper) -> Result<T, CrawlError> + Send + 'static,
    ) -> Result<T, RoundError> {
        let keeper = Arc::clone(&self.keeper);
        self.blocking(move || Ok(work(&keeper)?)).await
    }

    /// Whether an hour is kept here; an error while that is not known.
    pub(super) fn keeps(&self, place: &HourPlace) -> Result<bool, RoundError> {
        self.parts.rules.keeps(place).ok_or(RoundError::KeptUnknown)
    }

    /// Whether a name's content is damaged although it is what the name says, so that it would be the same again; an error while that is
    /// not known.
    pub(super) fn is_bad_name(&self, place: &HourPlace, name: &str) -> Result<bool, RoundError> {
        let Some(quarantine) = &self.parts.quarantine else { return Ok(false) };
        quarantine.is_bad_name(place, name).ok_or(RoundError::DamagedUnknown)
    }

    /// An error if the disk is not there, or has less room than is to stay free.
    pub(super) async fn room(&self) -> Result<(), RoundError> {
        let (keeper, floor) = (Arc::clone(&self.keeper), self.options.free_floor);
        self.blocking(move || {
            let base = keeper.guard().base().map_err(CrawlError::Away)?;
            let (free, _) = base.free_space().map_err(CrawlError::Disk)?;
            if free >= floor {
                return Ok(());
            }
            let who = keeper.disk_use().map_or_else(|_| String::new(), |used| format!("; {used}"));
            Err(RoundError::NoRoom { free, floor, who })
        })
        .await
    }

    /// An error if there are no inodes for so many files. Blocks.
    pub(super) fn inodes_for(&self, files: u64) -> Result<(), RoundError> {
        let base = self.keeper.guard().base().map_err(CrawlError::Away)?;
        let inodes = base.inodes().map_err(CrawlError::Disk)?;
        let Inodes { free, total } = inodes;
        if inodes.spare() >= files { Ok(()) } else { Err(RoundError::NoInodes { free, total }) }
    }

    /// After the clock was set what is kept may be other hours than before: all is compared again.
    pub(super) fn look_at_the_clock(&self) {
        let mut clock = self.clock.lock();
        let expected = clock.0 + clock.1.elapsed();
        let now = SystemTime::now();
        let off = now.duration_since(expected).unwrap_or_else(|early| early.duration());
        *clock = (now, Instant::now());
        drop(clock);
        if off > CLOCK_SET {
            tracing::warn!(name: "clock_was_set", seconds = off.as_secs(), "the clock was set; everything is compared with the peers again");
            self.memory.clear();
        }
    }

    pub(super) fn share(&self) -> usize {
        let workers = self.workers.load(Ordering::Relaxed).max(1);
        let by_bandwidth = match self.options.bandwidth {
            0 => usize::MAX,
            bound => usize::try_from(bound / SLOWEST).unwrap_or(usize::MAX) / workers,
        };
        self.options.concurrency.min(DOWNLOADS / workers).min(by_bandwidth).max(1)
    }
}

/// The time now. It decides only whether a segment is too recent to be fetched.
pub(super) fn now() -> Timestamp {
    SystemTime::now().into()
}

pub(super) type NamedFile = (HourPlace, Box<str>);

#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own about the peer or the round")]
pub(super) struct PeerJob {
    pub(super) shared: Arc<Shared>,
    pub(super) followed: Arc<FollowedPeer>,
    pub(super) report: RoundReport,
    /// Names that are too recent, and when each may be fetched.
    pub(super) later: Vec<(NamedFile, Timestamp)>,
    /// Names that another peer was being asked for.
    pub(super) busy: Vec<NamedFile>,
    /// Names that have gone from the peer, as it says.
    pub(super) gone: Vec<NamedFile>,
    pub(super) failed: Vec<NamedFile>,
    /// Hours in which something was done, or is left.
    pub(super) unsettled: HashSet<HourPlace>,
    /// When the peer was asked: what came after that was not here before.
    pub(super) began: ArrivalMark,
    pub(super) era: MemoryEpoch,
    /// Something that the peer lists could not be asked for, and it is not known which hours that is about.
    pub(super) is_partly_asked: bool,
    pub(super) whole: bool,
    pub(super) accept_bursts: bool,
    /// The files that came last were small: they are asked for many at once.
    pub(super) small_files: bool,
    /// The id of the peer's archive, if that is lower than ours: its recorders give the times.
    pub(super) leads: Option<Arc<str>>,
    pub(super) called: Arc<str>,
}

impl PeerJob {
    pub(super) fn new(shared: &Arc<Shared>, followed: &Arc<FollowedPeer>) -> Self {
        Self {
            shared: Arc::clone(shared),
            followed: Arc::clone(followed),
            report: RoundReport::default(),
            later: Vec::new(),
            busy: Vec::new(),
            gone: Vec::new(),
            failed: Vec::new(),
            unsettled: HashSet::new(),
            began: ArrivalMark::NEVER,
            era: shared.memory.era(),
            is_partly_asked: false,
            whole: false,
            accept_bursts: false,
            small_files: false,
            leads: None,
            called: followed.peer.name.as_str().into(),
        }
    }

    pub(super) fn peer(&self) -> &Peer {
        &self.followed.peer
    }

    /// Whether an hour is left because it lies beyond the horizon. The clock here may be the one that is wrong, so what other nodes say
    /// of the time counts as well, and of them all but the one that lists the hour.
    pub(super) fn leaves_future(&self, hour: Hour) -> bool {
        let (shared, horizon) = (&self.shared, self.shared.keeper.horizon());
        shared.options.wants.leaves(hour, horizon)
            && shared.options.wants.leaves(hour, horizon.or_at(shared.parts.dates.of_others(&self.peer().url)))
    }

    /// A peer says that it has this.
    pub(super) fn heard(&self, place: &HourPlace, key: &SegmentKey) {
        let said = PeerStart { peer: Arc::clone(&self.called), start: key.start(place.hour), lead: self.leads.clone() };
        self.shared.parts.heard.hear(&place.stream, key, said);
    }

    pub(super) fn asked(&mut self) {
        self.report.requests += 1;
        self.followed.step();
    }

    /// Forgets what the last round noted; what waits between rounds is not in here.
    pub(super) fn begin_round(&mut self) {
        self.report = RoundReport::default();
        self.is_partly_asked = false;
        (self.later, self.busy, self.failed, self.gone) = Default::default();
        self.unsettled = HashSet::new();
        self.era = self.shared.memory.era();
        self.began = self.shared.arrivals.mark();
        // What it says now counts.
        let peer = &self.followed.peer.name;
        self.shared.deletions_asked.forget(peer, || self.shared.bursts.forget(peer));
    }

    /// Notes names, as many as there is room for; the hour is looked at again anyway.
    pub(super) fn note(list: &mut Vec<NamedFile>, names: impl IntoIterator<Item = NamedFile>) {
        let room = waiting::MOST.saturating_sub(list.len());
        list.extend(names.into_iter().take(room));
    }
}
