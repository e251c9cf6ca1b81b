//! What can be chosen about backfill: what is wanted, what is kept, and how much is borne.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::error::RoundError;
use crate::domain::{Hour, HourPlace, Span};
use crate::ledger::Knowledge;
use crate::runtime::{Board, Busy};
use crate::tls::ClientConfig;
use crate::tokens::Token;

/// What can be chosen about backfill.
#[derive(Debug, Clone)]
pub struct BackfillOptions {
    /// What is wanted.
    pub wants: Wants,
    /// Which hours are kept here: others are neither compared nor fetched.
    pub keeps: Keeps,
    /// Which names are not fetched whoever has them.
    pub refuses: Refuses,
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
    /// Directories beneath the base that are fetched by name.
    pub extras: Vec<String>,
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
    /// Where it is told who has what is missing here.
    pub knowledge: Arc<Knowledge>,
    /// Where it is told how it goes with each peer.
    pub board: Arc<Board>,
    /// What is fetched counts as work that others wait for.
    pub busy: Arc<Busy>,
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

    /// Whether everything is wanted.
    pub fn everything(&self) -> bool {
        *self == Self::default()
    }
}

/// Names whose content is known to be bad although it is what the name says: fetched again it would be the same.
#[derive(Clone)]
pub struct Refuses(Arc<AskRefused>);

type AskRefused = dyn Fn(&HourPlace, &str) -> Option<bool> + Send + Sync;

impl Refuses {
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

impl fmt::Debug for Refuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Refuses(..)")
    }
}

/// Whether an hour is kept here, as retention says; nothing while it cannot say.
#[derive(Clone)]
pub struct Keeps(Arc<AskKept>);

type AskKept = dyn Fn(&HourPlace) -> Option<bool> + Send + Sync;

impl Keeps {
    /// As this function says. It is asked often, and answers without waiting for a disk.
    pub fn new(keeps: impl Fn(&HourPlace) -> Option<bool> + Send + Sync + 'static) -> Self {
        Self(Arc::new(keeps))
    }

    /// Nothing is ever retired.
    pub fn everything() -> Self {
        Self::new(|_| Some(true))
    }

    /// Whether this hour is kept; an error while that is not known.
    pub fn hour(&self, place: &HourPlace) -> Result<bool, RoundError> {
        (self.0)(place).ok_or(RoundError::KeptUnknown)
    }
}

impl fmt::Debug for Keeps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keeps(..)")
    }
}
