//! What one peer's worker carries through a round or through following: the report, and what has to be looked at again.

use std::collections::HashSet;
use std::sync::Arc;

use super::arrivals::ArrivalMark;
use super::memory::MemoryEpoch;
use super::peer_state::FollowedPeer;
use super::report::RoundReport;
use super::shared::Shared;
use super::waiting;
use crate::archive::{Hour, HourPlace, Timestamp};
use crate::replicate::peer::Peer;

/// A name of an hour.
pub(super) type NamedFile = (HourPlace, Box<str>);

/// Work with one peer.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own about the peer or the round")]
pub(super) struct PeerJob {
    pub(super) shared: Arc<Shared>,
    pub(super) known: Arc<FollowedPeer>,
    /// What was done since it was last taken away.
    pub(super) report: RoundReport,
    /// Names that are too recent, and when each may be fetched.
    pub(super) later: Vec<(NamedFile, Timestamp)>,
    /// Names that another peer was being asked for.
    pub(super) busy: Vec<NamedFile>,
    /// Names that have gone from the peer, as it says.
    pub(super) gone: Vec<NamedFile>,
    /// Names that could not be fetched.
    pub(super) failed: Vec<NamedFile>,
    /// Hours in which something was done, or is left.
    pub(super) unsettled: HashSet<HourPlace>,
    /// When the peer was asked: what came after that was not here before.
    pub(super) began: ArrivalMark,
    /// When what is compared now was begun.
    pub(super) era: MemoryEpoch,
    /// Something that the peer lists could not be asked for, and it is not known which hours that is about.
    pub(super) unheard: bool,
    /// The last round was complete.
    pub(super) whole: bool,
    /// The operator's word.
    pub(super) accept_bursts: bool,
    /// The files that came last were small: they are asked for many at once.
    pub(super) small_files: bool,
}

impl PeerJob {
    pub(super) fn new(shared: &Arc<Shared>, known: &Arc<FollowedPeer>) -> Self {
        Self {
            shared: Arc::clone(shared),
            known: Arc::clone(known),
            report: RoundReport::default(),
            later: Vec::new(),
            busy: Vec::new(),
            gone: Vec::new(),
            failed: Vec::new(),
            unsettled: HashSet::new(),
            began: ArrivalMark::NEVER,
            era: shared.memory.era(),
            unheard: false,
            whole: false,
            accept_bursts: false,
            small_files: false,
        }
    }

    /// The peer.
    pub(super) fn peer(&self) -> &Peer {
        &self.known.peer
    }

    /// Whether an hour is left because it lies beyond the horizon. The clock here may be the one that is wrong, so what other nodes say
    /// of the time counts as well, and of them all but the one that lists the hour.
    pub(super) fn leaves_future(&self, hour: Hour) -> bool {
        let (shared, horizon) = (&self.shared, self.shared.keeper.horizon());
        shared.options.wants.leaves(hour, horizon)
            && shared.options.wants.leaves(hour, horizon.or_at(shared.options.dates.of_others(&self.peer().url)))
    }

    /// A request was answered.
    pub(super) fn asked(&mut self) {
        self.report.requests += 1;
        self.known.step();
    }

    /// Forgets what the last round noted; what waits between rounds is not in here.
    pub(super) fn begin_round(&mut self) {
        self.report = RoundReport::default();
        self.unheard = false;
        (self.later, self.busy, self.failed, self.gone) = Default::default();
        self.unsettled = HashSet::new();
        self.era = self.shared.memory.era();
        self.began = self.shared.arrivals.mark();
        // What it says now counts.
        let peer = &self.known.peer.name;
        self.shared.heard.forget(peer, || self.shared.bursts.forget(peer));
    }

    /// Notes names, as many as there is room for; the hour is looked at again anyway.
    pub(super) fn note(list: &mut Vec<NamedFile>, names: impl IntoIterator<Item = NamedFile>) {
        let room = waiting::MOST.saturating_sub(list.len());
        list.extend(names.into_iter().take(room));
    }
}
