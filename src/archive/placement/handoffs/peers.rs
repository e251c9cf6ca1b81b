//! Other nodes, as this one hears of them.

use std::collections::BTreeMap;

use super::terms::PlacementTerms;
use crate::archive::Span;
use crate::archive::time::HOUR_US;

/// How long an owner is away before another node stands in for it: longer than a restart or an update takes, as each hour is copied then.
pub const STAND_IN_AFTER: Span = Span::from_us(HOUR_US);

/// What is known of a node.
#[derive(Debug, Clone, Default)]
struct PeerHealth {
    silent_since: Option<Span>,
    is_full: bool,
}

/// Those that are silent or full.
#[derive(Debug, Clone)]
pub(super) struct Peers<T: PlacementTerms>(BTreeMap<T::Node, PeerHealth>);

impl<T: PlacementTerms> Default for Peers<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T: PlacementTerms> Peers<T> {
    pub(super) fn heard(&mut self, peer: T::Node, is_full: bool) {
        self.0.insert(peer, PeerHealth { silent_since: None, is_full });
    }

    pub(super) fn silent(&mut self, peer: T::Node, now: Span) {
        let health = self.0.entry(peer).or_default();
        health.silent_since = health.silent_since.or(Some(now));
    }

    pub(super) fn is_silent(&self, peer: &T::Node) -> bool {
        self.0.get(peer).is_some_and(|health| health.silent_since.is_some())
    }

    /// Whether it needs somebody to stand in for it.
    pub(super) fn is_away(&self, peer: &T::Node, now: Span) -> bool {
        let long = |since: Span| now - since >= STAND_IN_AFTER;
        self.0.get(peer).is_some_and(|health| health.is_full || health.silent_since.is_some_and(long))
    }
}
