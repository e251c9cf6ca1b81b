//! The configuration of backfill, and what it needs of the rest of a node.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::heard::HeardSegments;
use crate::archive::{Horizon, Hour, HourPlace, Span};
use crate::jobs::{ForegroundLoad, JobRegistry, NodeEvents};
use crate::net::tls::ClientConfig;
use crate::net::tokens::Token;
use crate::replicate::HourRules;
use crate::replicate::hole_reasons::Knowledge;
use crate::replicate::peer::{Dates, Peer};
use crate::replicate::placement::{LayoutStore, StandIns};
use crate::sync::crawl::{Keeper, MirrorsNow, StrangersBudget};
use crate::sync::scrub::QuarantineContents;

#[derive(Debug, Clone)]
pub struct BackfillOptions {
    pub wants: Wants,
    /// How long ago a segment must have ended to be fetched: the local recorder may still get it.
    pub cutoff: Span,
    pub concurrency: usize,
    pub interval: Duration,
    /// Bytes a second from all peers together; 0 is no bound.
    pub bandwidth: u64,
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
    /// Confirmed by the operator: take over tombstones even where there are suspiciously many.
    pub accept_bursts: bool,
    pub token: Option<Token>,
    /// The name of this node. Another one of the same name is reported, and no more.
    pub name: String,
    /// Where the result of complete rounds is written for monitors; nowhere for rounds that look at a part of what is configured.
    pub report_file: Option<PathBuf>,
}

#[cfg(test)]
impl BackfillOptions {
    /// Everything there is, at once and without bounds.
    pub(crate) fn of_all(tls: Arc<crate::net::tls::ClientConfig>) -> Self {
        Self {
            wants: Wants::default(),
            cutoff: Span::from_us(0),
            concurrency: 4,
            interval: Duration::from_secs(300),
            bandwidth: 0,
            free_floor: 0,
            extras: Vec::new(),
            extras_budget: None,
            max_extras_bytes: 0,
            tls,
            accept_bursts: false,
            token: None,
            name: String::new(),
            report_file: None,
            strangers: StrangersBudget { budget: None, streams: u64::MAX },
        }
    }
}

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
    pub fn channel(&self, name: &str) -> bool {
        self.channels.is_empty() || self.channels.contains(name)
    }

    pub fn quality(&self, name: &str) -> bool {
        self.qualities.is_empty() || self.qualities.contains(name)
    }

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

    pub fn everything(&self) -> bool {
        *self == Self::default()
    }
}

impl Wants {
    /// Answers whether an hour is fetched, as of the horizon of this archive.
    pub fn asker(&self, keeper: &Arc<Keeper>) -> Box<dyn Fn(&HourPlace) -> bool + Send + Sync> {
        let (wants, keeper) = (self.clone(), Arc::clone(keeper));
        Box::new(move |place| {
            let (channel, quality) = (place.stream.channel.as_str(), place.stream.quality.as_str());
            let is_left = wants.leaves(place.hour, keeper.horizon());
            wants.channel(channel) && wants.quality(quality) && wants.hour(place.hour) && !is_left
        })
    }
}

#[derive(Clone)]
pub struct BackfillParts {
    pub keeper: Arc<Keeper>,
    pub list: watch::Receiver<Vec<Peer>>,
    /// Which hours are kept here: others are neither compared nor fetched.
    pub rules: Arc<dyn HourRules>,
    /// What was put aside here; where there is such a list, nothing is fetched that would be the same again, and nothing before it was read.
    pub quarantine: Option<Arc<QuarantineContents>>,
    /// By this number this process recognises itself among its peers; the same that its digests carry.
    pub instance: u64,
    /// Where it reports who has what is missing here.
    pub knowledge: Arc<Knowledge>,
    /// Where it reports the state of each peer.
    pub board: Arc<JobRegistry>,
    /// What is fetched counts as work that others wait for.
    pub busy: Arc<ForegroundLoad>,
    /// What peers say of the time, for who judges this node's clock.
    pub dates: Dates,
    /// What peers say of their newest segments.
    pub heard: Arc<HeardSegments>,
    pub events: NodeEvents,
    /// Which hours belong here, and where layouts of peers go.
    pub layouts: Option<Arc<LayoutStore>>,
    /// What is kept here in place of owners that are away.
    pub stand_ins: Option<Arc<dyn StandIns>>,
    /// Where the names go that peers have, while anybody wants to know them.
    pub mirrors: Arc<MirrorsNow>,
}

impl BackfillParts {
    /// For a process that runs backfill and nothing else of a node.
    pub fn alone(keeper: Arc<Keeper>, list: watch::Receiver<Vec<Peer>>, rules: Arc<dyn HourRules>) -> Self {
        Self {
            keeper,
            list,
            rules,
            quarantine: None,
            instance: rand::random(),
            knowledge: Arc::default(),
            board: Arc::default(),
            busy: Arc::default(),
            dates: Dates::default(),
            heard: Arc::default(),
            events: NodeEvents::default(),
            layouts: None,
            stand_ins: None,
            mirrors: Arc::default(),
        }
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
