//! What can be chosen about backfill: what is wanted, what is kept, and how much is borne.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::report::RoundError;
use crate::archive::{Horizon, Hour, HourPlace, Span};
use crate::jobs::{ForegroundLoad, JobRegistry};
use crate::net::tls::ClientConfig;
use crate::net::tokens::Token;
use crate::replicate::hole_reasons::Knowledge;
use crate::replicate::peer::Dates;
use crate::sync::crawl::StrangersBudget;

/// What can be chosen about backfill.
#[derive(Debug, Clone)]
pub struct BackfillOptions {
    /// What is wanted.
    pub wants: Wants,
    /// Which hours are kept here: others are neither compared nor fetched.
    pub keeps: KeepRules,
    /// Which names are not fetched whoever has them.
    pub refuses: RefusedContent,
    /// How long ago a segment must have ended to be fetched: the local recorder may still get it.
    pub cutoff: Span,
    /// Downloads at once from one peer.
    pub concurrency: usize,
    /// From one round with a peer to the next.
    pub interval: Duration,
    /// Bytes a second from all peers together; 0 is no bound.
    pub bandwidth: u64,
    /// Bytes that stay free on the archive's disk.
    pub free_floor: u64,
    /// What a peer may fill with channels that nobody here records or names.
    pub strangers: StrangersBudget,
    /// Directories beneath the base that are fetched by name.
    pub extras: Vec<String>,
    /// Bytes that these directories may hold before nothing more is fetched into them; a tenth of the disk where nothing is said.
    pub extras_budget: Option<u64>,
    /// Bytes of them that a round fetches at most.
    pub max_extras_bytes: u64,
    /// Whom to trust where a peer is asked over https.
    pub tls: Arc<ClientConfig>,
    /// The operator's word: take over tombstones even where there are suspiciously many.
    pub accept_bursts: bool,
    /// Shown to every peer.
    pub token: Option<Token>,
    /// By this number this process recognises itself among its peers; the same that its digests carry.
    pub instance: u64,
    /// What this node is called: another one that is called the same is told, and no more.
    pub name: String,
    /// Where it is told who has what is missing here.
    pub knowledge: Arc<Knowledge>,
    /// Where it is told how it goes with each peer.
    pub board: Arc<JobRegistry>,
    /// What is fetched counts as work that others wait for.
    pub busy: Arc<ForegroundLoad>,
    /// What peers say of the time, for who judges this node's clock.
    pub dates: Dates,
    /// Where the result of complete rounds is written for monitors; nowhere for rounds that look at a part of what is configured.
    pub report_file: Option<PathBuf>,
}

/// What is to be fetched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wants {
    /// Channels; all if there are none.
    pub channels: BTreeSet<String>,
    /// Qualities; all if there are none.
    pub qualities: BTreeSet<String>,
    /// Hours; all if there are none.
    pub hours: BTreeSet<Hour>,
    /// The first hour; all if there is none.
    pub start: Option<Hour>,
    /// Also hours that are further ahead of the clock than any that is recorded now.
    pub future: bool,
}

impl Wants {
    /// Whether this channel is wanted.
    pub fn channel(&self, name: &str) -> bool {
        self.channels.is_empty() || self.channels.contains(name)
    }

    /// Whether this quality is wanted.
    pub fn quality(&self, name: &str) -> bool {
        self.qualities.is_empty() || self.qualities.contains(name)
    }

    /// Whether this hour is wanted.
    pub fn hour(&self, hour: Hour) -> bool {
        self.start.is_none_or(|start| hour >= start) && (self.hours.is_empty() || self.hours.contains(&hour))
    }

    /// Whether an hour is left because it lies beyond the horizon, and nobody asked for such hours.
    pub fn leaves(&self, hour: Hour, horizon: Horizon) -> bool {
        let is_asked_for = self.future
            || self.hours.contains(&hour)
            || self.start.is_some_and(|start| horizon.is_beyond(start) && hour >= start);
        horizon.is_beyond(hour) && !is_asked_for
    }

    /// Whether everything is wanted.
    pub fn everything(&self) -> bool {
        *self == Self::default()
    }
}

/// Names whose content is known to be bad although it is what the name says: fetched again it would be the same.
#[derive(Clone)]
pub struct RefusedContent(Arc<AskRefused>);

type AskRefused = dyn Fn(&HourPlace, &str) -> Option<bool> + Send + Sync;

impl RefusedContent {
    /// As this function says; nothing while it cannot say. It is asked for each name that is offered, and answers without waiting for a
    /// disk.
    pub fn new(refuses: impl Fn(&HourPlace, &str) -> Option<bool> + Send + Sync + 'static) -> Self {
        Self(Arc::new(refuses))
    }

    /// Nothing is refused.
    pub fn nothing() -> Self {
        Self::new(|_, _| Some(false))
    }

    /// Whether this name is refused; an error while that is not known.
    pub fn name(&self, place: &HourPlace, name: &str) -> Result<bool, RoundError> {
        (self.0)(place, name).ok_or(RoundError::DamagedUnknown)
    }
}

impl fmt::Debug for RefusedContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Refuses(..)")
    }
}

/// Whether an hour is kept here, as retention says, and how much may be added to one that was recorded here; nothing while it cannot
/// say.
#[derive(Clone)]
pub struct KeepRules {
    kept: Arc<AskKept>,
    room: Arc<AskRoom>,
}

type AskKept = dyn Fn(&HourPlace) -> Option<bool> + Send + Sync;
type AskRoom = dyn Fn(&HourPlace) -> u64 + Send + Sync;

impl KeepRules {
    /// As this function says. It is asked often, and answers without waiting for a disk.
    pub fn new(keeps: impl Fn(&HourPlace) -> Option<bool> + Send + Sync + 'static) -> Self {
        Self { kept: Arc::new(keeps), room: Arc::new(|_| u64::MAX) }
    }

    /// With what says how many bytes may still be added to an hour that was recorded here. Answers without waiting for a disk.
    #[must_use]
    pub fn with_room(self, room: impl Fn(&HourPlace) -> u64 + Send + Sync + 'static) -> Self {
        Self { room: Arc::new(room), ..self }
    }

    /// Bytes that may still be added to this hour, which was recorded here.
    pub fn room_beside_own(&self, place: &HourPlace) -> u64 {
        (self.room)(place)
    }

    /// Nothing is ever retired.
    pub fn everything() -> Self {
        Self::new(|_| Some(true))
    }

    /// Whether this hour is kept; an error while that is not known.
    pub fn hour(&self, place: &HourPlace) -> Result<bool, RoundError> {
        (self.kept)(place).ok_or(RoundError::KeptUnknown)
    }
}

impl fmt::Debug for KeepRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keeps(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::Timestamp;

    #[test]
    fn hours_of_the_far_future_are_left_unless_they_are_asked_for() {
        let hour = |text: &str| Hour::parse(text).unwrap();
        let horizon = Horizon::at(Timestamp::parse("2026-03-04T10:30:00").unwrap());
        let wants = Wants::default();
        assert!(wants.leaves(hour("2999-01-01T00"), horizon) && wants.leaves(hour("2026-03-04T13"), horizon));
        assert!(!wants.leaves(hour("2026-03-04T12"), horizon) && !wants.leaves(hour("0001-01-01T00"), horizon));
        let by_hour = Wants { hours: [hour("2999-01-01T00")].into(), ..Wants::default() };
        assert!(!by_hour.leaves(hour("2999-01-01T00"), horizon));
        let by_start = |start| Wants { start: Some(hour(start)), ..Wants::default() };
        assert!(!by_start("2998-01-01T00").leaves(hour("2999-01-01T00"), horizon));
        assert!(by_start("2020-01-01T00").leaves(hour("2999-01-01T00"), horizon));
        assert!(!Wants { future: true, ..Wants::default() }.leaves(hour("2999-01-01T00"), horizon));
    }
}
