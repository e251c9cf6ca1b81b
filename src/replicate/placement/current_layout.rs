//! The layout that holds now, for whoever acts on it: asked at any time, and told when it becomes another one.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use crate::archive::HourPlace;
use crate::archive::placement::{Layout, LayoutId, LayoutNode, PlaceName, Slot};

/// How long jobs rest that have nothing to do without a layout.
const WITHOUT_LAYOUT: Duration = Duration::from_secs(60);

/// What is known of the layout.
#[derive(Debug, Clone)]
pub enum LayoutState {
    /// There is none: every node keeps everything.
    None,
    /// This one.
    Known(Arc<KnownLayout>),
    /// There is one, and what it says is not known, for this reason: nothing may be decided by it, and it is not as if there were none.
    Unusable(Arc<str>),
}

/// A layout with what follows from it.
#[derive(Debug)]
pub struct KnownLayout {
    /// What it says.
    pub layout: Layout,
    /// Its version and hash.
    pub id: LayoutId,
    /// Its file.
    pub bytes: Bytes,
}

impl LayoutState {
    /// The layout, if it is known.
    pub fn known(&self) -> Option<&Arc<KnownLayout>> {
        if let Self::Known(known) = self { Some(known) } else { None }
    }

    /// Its version and hash.
    pub fn id(&self) -> Option<LayoutId> {
        self.known().map(|known| known.id)
    }

    /// Whether the other one says the same.
    pub(super) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::None, Self::None) => true,
            (Self::Known(one), Self::Known(other)) => one.id == other.id,
            (Self::Unusable(one), Self::Unusable(other)) => one == other,
            _ => false,
        }
    }
}

/// Whether this node should keep an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ownership {
    /// There is no layout, so that it should.
    Everything,
    /// The layout says that it should.
    Owner,
    /// The layout says that others should.
    NotOwner,
    /// The layout cannot be read, so that nothing is known.
    Undecided,
}

/// What others than [`super::LayoutStore`] hold of the layout. Cheap to clone.
#[derive(Debug, Clone)]
pub struct CurrentLayout {
    node: Option<PlaceName>,
    state: watch::Receiver<LayoutState>,
}

impl CurrentLayout {
    /// For the node of this name.
    pub(super) fn new(node: Option<PlaceName>, state: watch::Receiver<LayoutState>) -> Self {
        Self { node, state }
    }

    /// What this node is called in a layout: its name in the settings.
    pub fn node(&self) -> Option<&PlaceName> {
        self.node.as_ref()
    }

    /// What holds now.
    pub fn now(&self) -> LayoutState {
        self.state.borrow().clone()
    }

    /// How long a job rests that looks for work so often under a layout: without one there is none, and it is woken when there is.
    pub fn rest(&self, under_one: Duration) -> Duration {
        if matches!(*self.state.borrow(), LayoutState::None) { WITHOUT_LAYOUT } else { under_one }
    }

    /// Tells of each change from now on.
    pub fn subscribe(&self) -> watch::Receiver<LayoutState> {
        let mut state = self.state.clone();
        state.mark_unchanged();
        state
    }

    /// Whether there is a layout, and this node is not in it.
    pub fn leaves_out(&self) -> bool {
        let is_own = |node: &LayoutNode| Some(&node.name) == self.node.as_ref();
        self.state.borrow().known().is_some_and(|known| !known.layout.nodes().iter().any(is_own))
    }

    /// Whether this node should keep an hour. One that is not in the layout owns nothing.
    pub fn ownership(&self, hour: &HourPlace) -> Ownership {
        match &*self.state.borrow() {
            LayoutState::None => Ownership::Everything,
            LayoutState::Unusable(_) => Ownership::Undecided,
            LayoutState::Known(known) => {
                let owners = known.layout.owners_of(&hour.stream.channel, Slot::of(hour));
                let is_owner = owners.iter().any(|owner| Some(&owner.name) == self.node.as_ref());
                if is_owner { Ownership::Owner } else { Ownership::NotOwner }
            }
        }
    }
}
