//! What was heard of the layouts of other nodes, and how they stand beside this node's.

use std::collections::BTreeMap;
use std::time::SystemTime;

use parking_lot::Mutex;

use super::current_layout::LayoutState;
use crate::archive::placement::{LayoutFork, LayoutId, OfferVerdict, weigh_offer};

/// How the layout of a peer stands beside this node's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LayoutStanding {
    /// It has none.
    NoLayout,
    /// It has the same.
    Same,
    /// It is behind, and takes this node's if it may.
    Older,
    /// It is ahead, and is taken.
    Newer,
    /// It is ahead, and may not give it.
    NotAllowed,
    /// What this node has cannot be read, so that nothing is taken.
    Undecided,
    /// It was made of other decisions, and is refused.
    Fork(LayoutFork),
    /// It is ahead, and could not be had, for this reason.
    Failed(String),
}

impl LayoutStanding {
    /// Of what a peer has beside what is known here.
    pub(super) fn of(now: &LayoutState, offered: Option<LayoutId>, may_give: bool) -> Self {
        let Some(offered) = offered else { return Self::NoLayout };
        let own = match now {
            LayoutState::Unusable(_) => return Self::Undecided,
            LayoutState::None => None,
            LayoutState::Known(known) => Some((known.id, known.layout.parent())),
        };
        match weigh_offer(own, offered) {
            OfferVerdict::Same => Self::Same,
            OfferVerdict::Older => Self::Older,
            OfferVerdict::Newer if may_give => Self::Newer,
            OfferVerdict::Newer => Self::NotAllowed,
            OfferVerdict::Fork(fork) => Self::Fork(fork),
        }
    }

    /// A word for it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::NoLayout => "none",
            Self::Same => "same",
            Self::Older => "behind",
            Self::Newer => "ahead",
            Self::NotAllowed => "not-taken",
            Self::Undecided => "undecided",
            Self::Fork(_) => "refused",
            Self::Failed(_) => "failed",
        }
    }
}

/// What was last heard of a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeardLayout {
    /// What it has.
    pub offered: Option<LayoutId>,
    /// How that stands beside what is here.
    pub standing: LayoutStanding,
    /// When that was.
    pub at: SystemTime,
    /// What was here then.
    own: Option<LayoutId>,
}

/// Of all peers.
#[derive(Debug, Default)]
pub(super) struct PeerLayouts(Mutex<BTreeMap<String, HeardLayout>>);

impl PeerLayouts {
    /// What was heard of a peer, and how it stands beside what is here now.
    pub(super) fn get(&self, peer: &str, now: &LayoutState, may_give: bool) -> Option<HeardLayout> {
        let heard = self.0.lock().get(peer).cloned()?;
        let standing = LayoutStanding::of(now, heard.offered, may_give);
        // What it was made of is known only since it was fetched.
        let is_known_better = standing == LayoutStanding::Newer && heard.own == now.id();
        Some(if is_known_better { heard } else { HeardLayout { standing, ..heard } })
    }

    pub(super) fn leave(&self, peer: &str) {
        self.0.lock().remove(peer);
    }

    /// Notes what a peer has. What is wrong with it is logged once.
    pub(super) fn note(&self, peer: &str, offered: Option<LayoutId>, standing: LayoutStanding, own: Option<LayoutId>) {
        let heard = HeardLayout { offered, standing, at: SystemTime::now(), own };
        let mut all = self.0.lock();
        let is_known = |before: &HeardLayout| (before.offered, &before.standing) == (offered, &heard.standing);
        if !all.get(peer).is_some_and(is_known) {
            match &heard.standing {
                LayoutStanding::Fork(why) => {
                    tracing::error!(name: "layout_refused", peer, %why, "the layout of a peer is refused, and the one here stays");
                }
                LayoutStanding::Failed(why) => {
                    tracing::warn!(name: "layout_not_taken", peer, why, "the layout of a peer could not be taken");
                }
                _ => {}
            }
        }
        all.insert(peer.to_owned(), heard);
    }
}
