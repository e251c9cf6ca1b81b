//! One node under a layout: everything that decides what it keeps, gives away and promises, as a machine that learns events and says effects.
//!
//! What is decided where: here what all events have in common, in `granting` what others ask, in `leaving` what leaves.

mod granting;
mod leaving;

pub use leaving::{QUIET, StayReason};

use std::collections::{BTreeMap, BTreeSet};

use super::effect::{PlacementEffect, PlacementNote};
use super::event::{PlacementEvent, PlacementTime};
use super::pass::HandoffPass;
use super::peers::Peers;
use super::pins::{PIN, Pins};
use super::rules::{AllRules, PlacementRule, PlacementRules};
use super::terms::{LayoutOwners, NodePlace, PlacementTerms};
use crate::archive::Span;
use crate::archive::placement::LayoutId;

/// Who a node is.
#[derive(Debug, Clone)]
pub struct NodeSelf<T: PlacementTerms> {
    /// Its name in layouts.
    pub node: T::Node,
    /// The id of its archive.
    pub archive: T::Archive,
    /// A random number of this process.
    pub run: u64,
}

/// What is on its way out.
#[derive(Debug, Clone)]
enum Going<T: PlacementTerms> {
    /// To these owners.
    Leaving(Vec<T::Node>),
    /// Retention deletes it.
    Retiring,
}

/// One node under a layout. Its memory goes with the process; what has to last is in the layout's file and the journal.
#[derive(Debug, Clone)]
pub struct PlacedNode<T: PlacementTerms, R = AllRules> {
    me: NodeSelf<T>,
    rules: R,
    layout: Option<T::Layout>,
    started: Span,
    pins: Pins<T>,
    peers: Peers<T>,
    /// When something of an hour changed last, for as long as that matters.
    changed: BTreeMap<T::Hour, Span>,
    /// How often hours are held.
    held: BTreeMap<T::Hour, usize>,
    going: BTreeMap<T::Hour, Going<T>>,
    /// What retention would delete, were it not pinned.
    waiting: BTreeSet<T::Hour>,
    pass: HandoffPass<T>,
    /// Requests that this process has made.
    requests: u64,
}

impl<T: PlacementTerms, R: PlacementRules> PlacedNode<T, R> {
    /// A node that starts, with its layout if it has one, and its journal, if that can be relied on: all of its lines, oldest first.
    pub fn start(
        me: NodeSelf<T>,
        rules: R,
        now: PlacementTime,
        layout: Option<T::Layout>,
        journal: Option<Vec<PlacementNote<T>>>,
    ) -> (Self, Vec<PlacementEffect<T>>) {
        let mut node = Self {
            me,
            rules,
            layout,
            started: now.elapsed,
            pins: Pins::none(),
            peers: Peers::default(),
            changed: BTreeMap::new(),
            held: BTreeMap::new(),
            going: BTreeMap::new(),
            waiting: BTreeSet::new(),
            pass: HandoffPass::default(),
            requests: 0,
        };
        let until = node.pin_time(now) + PIN;
        let lines = match journal {
            Some(lines) => {
                for line in lines {
                    node.recall(line);
                }
                Vec::new()
            }
            None if node.stands(PlacementRule::LostJournalPins) => vec![PlacementNote::AllPinned { until }],
            None => Vec::new(),
        };
        for line in &lines {
            node.recall(line.clone());
        }
        // The next start has to know it, too.
        let effects = if lines.is_empty() { Vec::new() } else { vec![PlacementEffect::Journal { lines }] };
        (node, effects)
    }

    /// Something has happened. The effects are to be done in their order.
    pub fn step(&mut self, now: PlacementTime, event: PlacementEvent<T>) -> Vec<PlacementEffect<T>> {
        match event {
            PlacementEvent::Offered { from, layout } => self.offered(from, layout),
            PlacementEvent::Pass { lying } => self.make_pass(now, lying),
            PlacementEvent::Changed { hour } => {
                self.changed.insert(hour, now.elapsed);
                Vec::new()
            }
            PlacementEvent::Held { hour } => {
                *self.held.entry(hour.clone()).or_default() += 1;
                self.stop(|leaving, _| *leaving == hour)
            }
            PlacementEvent::Free { hour } => {
                if let Some(times) = self.held.get_mut(&hour) {
                    *times = times.saturating_sub(1);
                }
                self.held.retain(|_, times| *times > 0);
                Vec::new()
            }
            PlacementEvent::Asked { from, request, durable } => self.asked(now, from, request, durable),
            PlacementEvent::Answered { by, answer } => self.answered(now, by, answer),
            PlacementEvent::Listed { by, lacking, hiding } => self.listed(now, &by, lacking, hiding),
            PlacementEvent::Heard { peer, is_full } => {
                self.peers.heard(peer, is_full);
                Vec::new()
            }
            PlacementEvent::Silent { peer } => self.silent(now, peer),
            PlacementEvent::RetireWanted { hour } => self.retire_wanted(now, hour),
            PlacementEvent::RetireGivenUp { hour } => {
                self.waiting.remove(&hour);
                Vec::new()
            }
            PlacementEvent::Ended { hour, is_gone } => match self.going.remove(&hour) {
                Some(Going::Leaving(_)) if is_gone => {
                    vec![PlacementEffect::Journal { lines: vec![PlacementNote::Left { hour }] }]
                }
                _ => Vec::new(),
            },
        }
    }

    /// The layout that it acts by.
    pub fn layout(&self) -> Option<&T::Layout> {
        self.layout.as_ref()
    }

    /// Whether another node is silent or full for so long that somebody has to stand in for it.
    pub fn is_away(&self, now: PlacementTime, node: &T::Node) -> bool {
        self.peers.is_away(node, now.elapsed)
    }

    /// What a journal has to say that is written anew and shorter.
    pub fn notes(&self, now: PlacementTime) -> Vec<PlacementNote<T>> {
        self.pins.notes(self.pin_time(now))
    }

    fn stands(&self, rule: PlacementRule) -> bool {
        self.rules.stands(rule)
    }

    fn recall(&mut self, line: PlacementNote<T>) {
        match line {
            PlacementNote::Pinned { hour, until } => self.pins.extend(hour, until),
            PlacementNote::AllPinned { until } => self.pins.extend_all(until),
            // That something was begun is no permission.
            PlacementNote::Leaving { .. } | PlacementNote::Left { .. } => {}
        }
    }

    /// The time that pins are counted in.
    fn pin_time(&self, now: PlacementTime) -> Span {
        match now.wall {
            Some(wall) if !self.stands(PlacementRule::PinsInLivedTime) => Span::from_us(wall.us()),
            _ => now.lived,
        }
    }

    fn is_pinned(&self, now: PlacementTime, hour: &T::Hour) -> bool {
        self.stands(PlacementRule::PinsHold) && self.pins.holds(hour, self.pin_time(now))
    }

    fn is_held(&self, hour: &T::Hour) -> bool {
        self.stands(PlacementRule::HeldStays) && self.held.contains_key(hour)
    }

    fn offered(&mut self, from: Option<T::Node>, layout: T::Layout) -> Vec<PlacementEffect<T>> {
        if let Some(known) = self.layout.as_ref().map(LayoutOwners::id)
            && self.stands(PlacementRule::NewestLayout)
        {
            let theirs = layout.id();
            if theirs.version == known.version && theirs.hash != known.hash {
                return vec![PlacementEffect::AlarmFork { ours: known, theirs }];
            }
            if theirs.version <= known.version {
                return answer_layout(known, theirs, from);
            }
        }
        // What was confirmed was confirmed for other owners.
        self.pass = HandoffPass::default();
        let mut effects = vec![PlacementEffect::SaveLayout { layout: layout.clone() }];
        self.layout = Some(layout);
        effects.extend(self.stop(|_, _| true));
        effects
    }

    fn listed(
        &self,
        now: PlacementTime,
        by: &T::Node,
        lacking: Vec<T::Hour>,
        hiding: Vec<T::Hour>,
    ) -> Vec<PlacementEffect<T>> {
        let kept = |hour: &T::Hour| self.keeps(now, hour);
        let fetched = lacking.into_iter().filter(kept).map(|hour| PlacementEffect::Fetch { peer: by.clone(), hour });
        // Whoever owns the hour fetches tombstones along with everything else.
        let elsewhere = hiding.into_iter().filter(|hour| !kept(hour));
        let hidden = elsewhere.map(|hour| PlacementEffect::Hide { peer: by.clone(), hour });
        let is_going = |effect: &PlacementEffect<T>| match effect {
            PlacementEffect::Fetch { hour, .. } | PlacementEffect::Hide { hour, .. } => self.going.contains_key(hour),
            _ => false,
        };
        fetched.chain(hidden).filter(|effect| !is_going(effect)).collect()
    }

    fn silent(&mut self, now: PlacementTime, peer: T::Node) -> Vec<PlacementEffect<T>> {
        let mut effects = Vec::new();
        if self.stands(PlacementRule::SilenceForgets) {
            self.pass.discount(&peer);
            effects = self.stop(|_, owners| owners.contains(&peer));
        }
        self.peers.silent(peer, now.elapsed);
        effects
    }

    /// Stops what leaves, where this says so of an hour and its owners.
    fn stop(&self, is_meant: impl Fn(&T::Hour, &[T::Node]) -> bool) -> Vec<PlacementEffect<T>> {
        let leaving = self.going.iter().filter(|(hour, going)| match going {
            Going::Leaving(owners) => is_meant(hour, owners),
            Going::Retiring => false,
        });
        leaving.map(|(hour, _)| PlacementEffect::Stop { hour: hour.clone() }).collect()
    }

    fn retire_wanted(&mut self, now: PlacementTime, hour: T::Hour) -> Vec<PlacementEffect<T>> {
        if matches!(self.going.get(&hour), Some(Going::Retiring)) {
            return Vec::new();
        }
        if self.going.contains_key(&hour) || self.is_pinned(now, &hour) {
            self.waiting.insert(hour.clone());
            return vec![PlacementEffect::KeepForNow { hour }];
        }
        self.waiting.remove(&hour);
        self.pass.hours.remove(&hour);
        self.going.insert(hour.clone(), Going::Retiring);
        vec![PlacementEffect::Retire { hour }]
    }

    /// Whether the hour is to lie here: by the layout, or in place of an owner that is away. Without a layout everything is.
    pub fn keeps(&self, now: PlacementTime, hour: &T::Hour) -> bool {
        let Some(layout) = &self.layout else { return true };
        let owners = layout.owners(hour);
        owners.iter().any(|owner| owner.node == self.me.node) || self.stands_in(now, layout, hour, &owners)
    }

    /// Whether this node is one of those that stand in for owners that are away. Each node decides by what it hears itself: where two
    /// disagree there is a copy too many, which is a handoff.
    fn stands_in(&self, now: PlacementTime, layout: &T::Layout, hour: &T::Hour, owners: &[NodePlace<T>]) -> bool {
        if !self.stands(PlacementRule::StandIns) {
            return false;
        }
        let (away, there): (Vec<_>, Vec<_>) =
            owners.iter().partition(|owner| self.peers.is_away(&owner.node, now.elapsed));
        if away.is_empty() {
            return false;
        }
        let mut zones: Vec<T::Zone> = there.into_iter().map(|owner| owner.zone.clone()).collect();
        let mut others = layout.stand_ins(hour);
        others.retain(|other| !self.peers.is_away(&other.node, now.elapsed));
        for _ in away {
            let elsewhere = others.iter().position(|other| !zones.contains(&other.zone)).unwrap_or_default();
            if elsewhere >= others.len() {
                return false;
            }
            let next = others.remove(elsewhere);
            if next.node == self.me.node {
                return true;
            }
            zones.push(next.zone);
        }
        false
    }
}

/// What to do with a node that acts by another layout.
fn answer_layout<T: PlacementTerms>(
    ours: LayoutId,
    theirs: LayoutId,
    peer: Option<T::Node>,
) -> Vec<PlacementEffect<T>> {
    match peer {
        Some(peer) if theirs.version > ours.version => vec![PlacementEffect::AskLayout { peer }],
        Some(peer) if theirs.version < ours.version => vec![PlacementEffect::OfferLayout { peer }],
        _ if theirs.version == ours.version && theirs.hash != ours.hash => {
            vec![PlacementEffect::AlarmFork { ours, theirs }]
        }
        _ => Vec::new(),
    }
}
