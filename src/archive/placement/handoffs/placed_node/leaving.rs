//! What leaves this node: hours that lie here and belong to others.

use std::collections::{BTreeMap, BTreeSet};

use super::super::effect::{PlacementEffect, PlacementNote};
use super::super::event::{LyingHour, PlacementTime};
use super::super::messages::{HourAsked, HourVerdict, PinAnswer, PinRequest, RequestId};
use super::super::pass::{Confirmation, HandoffPass, LeavingHour};
use super::super::pins::RELY;
use super::super::rules::{PlacementRule, PlacementRules};
use super::super::terms::{LayoutOwners, LyingNames, NodePlace, PlacementTerms};
use super::{Going, PlacedNode, answer_layout};
use crate::archive::Span;
use crate::archive::time::{HOUR_US, SECOND_US};

/// How long nothing may have come into an hour that leaves: what is written or fetched at this moment goes on coming.
pub const QUIET: Span = Span::from_us(600 * SECOND_US);

/// Why an hour that lies here does not leave, as far as that is known without asking its owners.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StayReason<T: PlacementTerms> {
    /// It is to lie here.
    Kept,
    /// The layout has fewer owners for it than there should be copies.
    TooFewOwners,
    /// Its owners lie in fewer zones than they could.
    TooFewZones,
    /// Somebody needs it, or it is on its way out.
    Held,
    /// This node has promised that it stays.
    Pinned,
    /// It is not over, or the clock is not believed, or something came a moment ago.
    NotQuiet,
    /// This owner does not answer.
    Silent(T::Node),
}

impl<T: PlacementTerms, R: PlacementRules> PlacedNode<T, R> {
    /// Asks the owners of everything that may leave, each of them once. What was confirmed before is confirmed anew.
    pub(super) fn make_pass(&mut self, now: PlacementTime, lying: Vec<LyingHour<T>>) -> Vec<PlacementEffect<T>> {
        self.pins.forget_expired(self.pin_time(now));
        self.changed.retain(|_, changed| now.elapsed - *changed < QUIET);
        let mut differing = std::mem::take(&mut self.pass.differing);
        self.pass = HandoffPass::default();
        let Some(layout) = self.layout.clone() else { return Vec::new() };
        let mut asked: BTreeMap<T::Node, Vec<HourAsked<T>>> = BTreeMap::new();
        for LyingHour { hour, names } in lying {
            let owners = layout.owners(&hour);
            let may_leave = self.may_leave(now, &layout, &hour, &owners);
            if names.is_empty() || !may_leave || owners.iter().any(|owner| self.peers.is_silent(&owner.node)) {
                continue;
            }
            for owner in owners {
                let place = (hour.clone(), owner.node);
                let with_names = differing.take(&place);
                let about = asked.entry(place.1.clone()).or_default();
                about.push(HourAsked {
                    hour: hour.clone(),
                    digest: names.digest(),
                    names: with_names.is_some().then(|| names.clone()),
                });
                self.pass.differing.extend(with_names);
            }
            self.pass.hours.insert(hour, LeavingHour { names, confirmed: Vec::new() });
        }
        let mut effects = Vec::with_capacity(asked.len());
        for (peer, hours) in asked {
            self.requests += 1;
            let id = RequestId { run: self.me.run, number: self.requests };
            self.pass.requests.insert(peer.clone(), (id, now.elapsed));
            effects.push(PlacementEffect::Ask { peer, request: PinRequest { id, layout: layout.id(), hours } });
        }
        effects
    }

    /// An owner has answered. Every hour that all owners have now leaves.
    pub(super) fn answered(
        &mut self,
        now: PlacementTime,
        by: T::Node,
        answer: PinAnswer<T>,
    ) -> Vec<PlacementEffect<T>> {
        let Some(layout) = self.layout.clone() else { return Vec::new() };
        let asked = match self.pass.take_request(&by, answer.id) {
            Some(asked) => asked,
            None if self.stands(PlacementRule::FreshAnswers) => return Vec::new(),
            None => now.elapsed,
        };
        let ours = layout.id();
        if answer.layout != Some(ours) && self.stands(PlacementRule::SameLayout) {
            let peer = Some(by.clone());
            return match answer.layout {
                Some(theirs) => answer_layout(ours, theirs, peer),
                None => vec![PlacementEffect::OfferLayout { peer: by }],
            };
        }
        let mut confirmed = Vec::new();
        for (hour, says) in answer.hours {
            let Some(leaving) = self.pass.hours.get_mut(&hour) else { continue };
            match says {
                HourVerdict::Pinned => {
                    let archive = answer.archive.clone();
                    leaving.confirmed.push(Confirmation { by: by.clone(), archive, asked });
                    confirmed.push(hour);
                }
                HourVerdict::Differs | HourVerdict::Lacks => {
                    self.pass.differing.insert((hour, by.clone()));
                }
                HourVerdict::Going | HourVerdict::NotMine => {}
            }
        }
        self.let_leave(now, &layout, confirmed)
    }

    fn let_leave(&mut self, now: PlacementTime, layout: &T::Layout, hours: Vec<T::Hour>) -> Vec<PlacementEffect<T>> {
        let (mut lines, mut drops) = (Vec::new(), Vec::new());
        for hour in hours {
            let owners = layout.owners(&hour);
            // All of it is looked at again: it may have been written to, held or pinned since it was asked about.
            if !self.may_leave(now, layout, &hour, &owners) {
                continue;
            }
            let Some(before) = self.relied_until(now, &hour, &owners) else { continue };
            let Some(LeavingHour { names, .. }) = self.pass.hours.remove(&hour) else { continue };
            let relied = owners.into_iter().map(|owner| owner.node).collect();
            self.going.insert(hour.clone(), Going::Leaving(relied));
            lines.push(PlacementNote::Leaving { hour: hour.clone(), layout: layout.id() });
            drops.push(PlacementEffect::Drop { hour, names, before });
        }
        if drops.is_empty() {
            return drops;
        }
        drops.insert(0, PlacementEffect::Journal { lines });
        drops
    }

    /// Why an hour is not asked about in a pass, if it is not. Decides nothing: that is told to people.
    pub fn why_stays(&self, now: PlacementTime, hour: &T::Hour) -> Option<StayReason<T>> {
        let Some(layout) = self.layout.as_ref().filter(|_| !self.keeps(now, hour)) else {
            return Some(StayReason::Kept);
        };
        let owners = layout.owners(hour);
        if owners.is_empty() || owners.len() < layout.copies(hour) {
            return Some(StayReason::TooFewOwners);
        }
        if !are_in_zones(layout, hour, &owners) {
            return Some(StayReason::TooFewZones);
        }
        if self.is_held(hour) || self.going.contains_key(hour) || self.waiting.contains(hour) {
            return Some(StayReason::Held);
        }
        if self.is_pinned(now, hour) {
            return Some(StayReason::Pinned);
        }
        if !self.is_quiet(now, hour) {
            return Some(StayReason::NotQuiet);
        }
        owners.into_iter().find(|owner| self.peers.is_silent(&owner.node)).map(|owner| StayReason::Silent(owner.node))
    }

    /// All that can be known of an hour without asking.
    fn may_leave(&self, now: PlacementTime, layout: &T::Layout, hour: &T::Hour, owners: &[NodePlace<T>]) -> bool {
        let is_whole = !owners.is_empty()
            && (owners.len() >= layout.copies(hour) || !self.stands(PlacementRule::EnoughCopies))
            && (are_in_zones(layout, hour, owners) || !self.stands(PlacementRule::OwnersInZones));
        let is_free = !self.is_held(hour) && !self.going.contains_key(hour) && !self.waiting.contains(hour);
        is_whole && is_free && !self.keeps(now, hour) && !self.is_pinned(now, hour) && self.is_quiet(now, hour)
    }

    /// Over for an hour by a clock that can be believed, and nothing has come for a while; or, after a start, could have.
    fn is_quiet(&self, now: PlacementTime, hour: &T::Hour) -> bool {
        if !self.stands(PlacementRule::OnlyQuiet) {
            return true;
        }
        let since = self.changed.get(hour).copied().unwrap_or(self.started).max(self.started);
        let is_over = now.wall.is_some_and(|wall| T::number(hour) + 1 < i64::from(wall.hour().number()));
        is_over && now.elapsed - since >= QUIET
    }

    /// Until when all owners' promises can be relied on, if all have promised.
    fn relied_until(&self, now: PlacementTime, hour: &T::Hour, owners: &[NodePlace<T>]) -> Option<Span> {
        let half = if self.stands(PlacementRule::RelyHalf) { RELY } else { Span::from_us(HOUR_US * 1_000) };
        let leaving = self.pass.hours.get(hour)?;
        let good = |owner: &NodePlace<T>| {
            let of_owner = leaving.confirmed.iter().filter(|confirmation| confirmation.by == owner.node);
            of_owner.filter(|confirmation| now.elapsed - confirmation.asked < half).max_by_key(|one| one.asked)
        };
        let relied: Vec<&Confirmation<T>> = owners.iter().filter_map(good).collect();
        let enough = if self.stands(PlacementRule::EveryOwner) { owners.len() } else { 1 };
        let mut archives: BTreeSet<&T::Archive> = relied.iter().map(|confirmation| &confirmation.archive).collect();
        archives.insert(&self.me.archive);
        let are_distinct = archives.len() > relied.len() || !self.stands(PlacementRule::OneArchiveOneCopy);
        if relied.len() < enough || !are_distinct {
            return None;
        }
        relied.iter().map(|confirmation| confirmation.asked + half).min()
    }
}

/// Whether owners lie in as many zones as can be. On the way from one layout to another they may not, and then all copies stay.
fn are_in_zones<T: PlacementTerms>(layout: &T::Layout, hour: &T::Hour, owners: &[NodePlace<T>]) -> bool {
    let mut zones: Vec<&T::Zone> = owners.iter().map(|owner| &owner.zone).collect();
    zones.sort_unstable();
    zones.dedup();
    zones.len() >= layout.copies(hour).min(layout.zones())
}
