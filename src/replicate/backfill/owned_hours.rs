//! Which hours of a peer belong here by the layout, and how the two nodes tell them apart without asking each other.
//!
//! 1. Files are taken of hours that this node owns, or of all where there is no layout. Tombstones are taken of all hours, as they hide equal
//!    content in hours beside theirs and in other qualities, and what may come here later.
//!    Where an owner is away, or full, this node may take hours in its place ([`StandIns`](crate::replicate::placement::StandIns)).
//! 2. While the layout cannot be read nothing is known to belong here: nothing but tombstones is taken then, and the round says so. Not to
//!    fetch deletes nothing; to fetch everything would fill a disk that was never meant for everything.
//! 3. A peer that has the same layout tells its sums by who owns the hours ([`OwnedBy`]), so that two nodes whose hours never are the same
//!    still agree with one request. Any other peer is compared as a whole, and hours that are not taken are passed over one by one.

use std::sync::Arc;

use super::plan::HourPlan;
use super::shared::{PeerJob, Shared};
use crate::archive::placement::{OwnedBy, PlaceName, SlotSet};
use crate::archive::totals::Digest;
use crate::archive::{Channel, HourPlace};
use crate::replicate::placement::{KnownLayout, LayoutState, Ownership};
use crate::wire::QualityDigest;

/// The layout as this node and one peer look at it.
#[derive(Debug, Clone)]
pub(super) struct SharedLayout {
    known: Arc<KnownLayout>,
    ours: PlaceName,
    theirs: Option<PlaceName>,
}

impl SharedLayout {
    /// By the layout that holds now, if there is one and this node may have a place in it.
    pub(super) fn now(shared: &Shared) -> Option<Self> {
        // Where somebody is away hours are taken that neither of the two owns, so that all of it is compared.
        if shared.parts.stand_ins.as_ref().is_some_and(|stand_ins| stand_ins.is_anybody_away()) {
            return None;
        }
        let current = shared.parts.layouts.as_ref()?.current();
        let known = Arc::clone(current.now().known()?);
        Some(Self { known, ours: current.node()?.clone(), theirs: None })
    }

    /// What the peer calls itself is known once it has answered.
    pub(super) fn with(mut self, peer: Option<&str>) -> Self {
        self.theirs = peer.and_then(PlaceName::new);
        self
    }

    /// What a question about digests says of it.
    pub(super) fn query(&self) -> [(&'static str, String); 2] {
        [("layout", self.known.id.hash.hexadecimal()), ("node", self.ours.to_string())]
    }

    /// The slots of a channel that these own.
    pub(super) fn slots(&self, channel: &Channel, owned_by: OwnedBy) -> Option<SlotSet> {
        Some(self.known.layout.compared_slots(channel, &self.ours, self.theirs.as_ref()?, owned_by))
    }
}

/// What a peer says that its hours add up to, by who owns them; nothing if it did not tell them apart, or what it says is none.
pub(super) fn told_apart(theirs: &QualityDigest) -> Option<[(OwnedBy, Digest); 3]> {
    let owned = theirs.owned.as_ref()?;
    let (all, both, asker) =
        (Digest::parse(&theirs.digest)?, Digest::parse(&owned.both)?, Digest::parse(&owned.asker)?);
    // Of hours that others own nothing but tombstones is taken.
    let others = if owned.tombstones == 0 { Digest::default() } else { all.minus(both).minus(asker) };
    Some([(OwnedBy::Both, both), (OwnedBy::Asker, asker), (OwnedBy::Others, others)])
}

impl PeerJob {
    /// Whether files of an hour belong here.
    pub(super) fn takes_files(&self, place: &HourPlace) -> bool {
        let ownership = self.shared.parts.layouts.as_ref().map(|layouts| layouts.current().ownership(place));
        let stands_in = || self.shared.parts.stand_ins.as_ref().is_some_and(|stand_ins| stand_ins.stands_in(place));
        match ownership {
            None | Some(Ownership::Everything | Ownership::Owner) => true,
            Some(Ownership::NotOwner) => stands_in(),
            Some(Ownership::Undecided) => false,
        }
    }

    /// Whether this node keeps an hour for all nodes of a layout, as its owner or in the place of one: names that only others have leave them
    /// once they are here.
    pub(super) fn keeps_for_others(&self, place: &HourPlace) -> bool {
        let ownership = self.shared.parts.layouts.as_ref().map(|layouts| layouts.current().ownership(place));
        matches!(ownership, Some(Ownership::Owner | Ownership::NotOwner)) && self.takes_files(place)
    }

    /// Why nothing is known of what belongs here, if that is so.
    pub(super) fn layout_unusable(&self) -> Option<Arc<str>> {
        match self.shared.parts.layouts.as_ref()?.current().now() {
            LayoutState::Unusable(why) => Some(why),
            LayoutState::None | LayoutState::Known(_) => None,
        }
    }

    /// Takes out of a plan what does not belong here.
    pub(super) fn leave_to_owners(&mut self, place: &HourPlace, plan: &mut HourPlan<'_>) {
        if self.takes_files(place) {
            return;
        }
        if let Some(why) = self.layout_unusable() {
            if self.report.undecided == 0 {
                self.report.failed(format!("{place}: nothing is fetched while the layout cannot be read: {why}"));
            }
            self.report.undecided = self.report.undecided.saturating_add(1);
            self.unsettled.insert(place.clone());
        }
        plan.fetch.clear();
        plan.later.clear();
    }
}
