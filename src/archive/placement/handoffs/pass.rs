//! A pass over handoffs: what was asked of whom, and who has confirmed what. Kept in memory only: after a restart everything is asked anew.

use std::collections::{BTreeMap, BTreeSet};

use super::messages::RequestId;
use super::terms::PlacementTerms;
use crate::archive::Span;

/// An owner has all of an hour, and has promised that it stays.
#[derive(Debug, Clone)]
pub(super) struct Confirmation<T: PlacementTerms> {
    pub(super) by: T::Node,
    pub(super) archive: T::Archive,
    /// When it was asked. It has promised at that time or later, so what is counted from here ends too early and never too late.
    pub(super) asked: Span,
}

/// An hour that wants to leave.
#[derive(Debug, Clone)]
pub(super) struct LeavingHour<T: PlacementTerms> {
    /// What lay here when the owners were asked: only this is confirmed.
    pub(super) names: T::Names,
    pub(super) confirmed: Vec<Confirmation<T>>,
}

/// One pass.
#[derive(Debug, Clone)]
pub(super) struct HandoffPass<T: PlacementTerms> {
    pub(super) hours: BTreeMap<T::Hour, LeavingHour<T>>,
    /// What is asked of each node, and since when.
    pub(super) requests: BTreeMap<T::Node, (RequestId, Span)>,
    /// Whom digests told too little about which hours, so that names are sent from then on.
    pub(super) differing: BTreeSet<(T::Hour, T::Node)>,
}

impl<T: PlacementTerms> Default for HandoffPass<T> {
    fn default() -> Self {
        Self { hours: BTreeMap::new(), requests: BTreeMap::new(), differing: BTreeSet::new() }
    }
}

impl<T: PlacementTerms> HandoffPass<T> {
    /// When this was asked of the node, the first time that it is answered.
    pub(super) fn take_request(&mut self, by: &T::Node, id: RequestId) -> Option<Span> {
        let (asked, since) = *self.requests.get(by)?;
        (asked == id).then(|| self.requests.remove(by))?;
        Some(since)
    }

    /// What this node has confirmed counts no more.
    pub(super) fn discount(&mut self, node: &T::Node) {
        self.requests.remove(node);
        for hour in self.hours.values_mut() {
            hour.confirmed.retain(|confirmation| confirmation.by != *node);
        }
    }
}
