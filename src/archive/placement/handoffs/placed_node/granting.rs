//! What others ask of this node as an owner.

use super::super::effect::{PlacementEffect, PlacementNote};
use super::super::event::PlacementTime;
use super::super::messages::{HourAsked, HourVerdict, PinAnswer, PinRequest};
use super::super::pins::PIN;
use super::super::rules::{PlacementRule, PlacementRules};
use super::super::terms::{LayoutOwners, LyingNames, PlacementTerms};
use super::{PlacedNode, answer_layout};

impl<T: PlacementTerms, R: PlacementRules> PlacedNode<T, R> {
    /// Confirms and promises in one, so that nothing can come between: the journal first, then the answer.
    pub(super) fn asked(
        &mut self,
        now: PlacementTime,
        from: T::Node,
        request: PinRequest<T>,
        durable: Vec<T::Names>,
    ) -> Vec<PlacementEffect<T>> {
        let time = self.pin_time(now);
        self.pins.forget_expired(time);
        let layout = self.layout.clone();
        let ours = layout.as_ref().map(LayoutOwners::id);
        let mut answer =
            PinAnswer { id: request.id, archive: self.me.archive.clone(), layout: ours, hours: Vec::new() };
        let mut others = match ours {
            Some(ours) => answer_layout(ours, request.layout, Some(from.clone())),
            None => vec![PlacementEffect::AskLayout { peer: from.clone() }],
        };
        let mut lines = Vec::new();
        if let Some(layout) = layout
            && (ours == Some(request.layout) || !self.stands(PlacementRule::SameLayout))
        {
            for (asked, names) in request.hours.into_iter().zip(durable) {
                let says = self.says(&layout, &asked, &names);
                match says {
                    HourVerdict::Pinned => {
                        let until = time + PIN;
                        self.pins.extend(asked.hour.clone(), until);
                        if self.stands(PlacementRule::PinsInJournal) {
                            lines.push(PlacementNote::Pinned { hour: asked.hour.clone(), until });
                        }
                    }
                    // It is known now who has what is missing here.
                    HourVerdict::Lacks => {
                        others.push(PlacementEffect::Fetch { peer: from.clone(), hour: asked.hour.clone() });
                    }
                    HourVerdict::Differs | HourVerdict::Going | HourVerdict::NotMine => {}
                }
                answer.hours.push((asked.hour, says));
            }
        }
        let mut effects = Vec::with_capacity(others.len() + 2);
        if !lines.is_empty() {
            effects.push(PlacementEffect::Journal { lines });
        }
        effects.push(PlacementEffect::Answer { peer: from, answer });
        effects.extend(others);
        effects
    }

    fn says(&self, layout: &T::Layout, asked: &HourAsked<T>, durable: &T::Names) -> HourVerdict {
        let is_owner = layout.owners(&asked.hour).iter().any(|owner| owner.node == self.me.node);
        if !is_owner && self.stands(PlacementRule::OnlyOwners) {
            return HourVerdict::NotMine;
        }
        let is_going = self.going.contains_key(&asked.hour) && self.stands(PlacementRule::GoingIsRefused);
        if is_going || self.waiting.contains(&asked.hour) && self.stands(PlacementRule::WaitingIsRefused) {
            return HourVerdict::Going;
        }
        if durable.is_empty() {
            return HourVerdict::Lacks;
        }
        if durable.digest() == asked.digest || !self.stands(PlacementRule::AllNames) {
            return HourVerdict::Pinned;
        }
        match &asked.names {
            None => HourVerdict::Differs,
            Some(names) if durable.contains(names) => HourVerdict::Pinned,
            Some(_) => HourVerdict::Lacks,
        }
    }
}
