//! What a node learns.

use super::messages::{PinAnswer, PinRequest};
use super::terms::PlacementTerms;
use crate::archive::{Span, Timestamp};

/// What the clocks say with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlacementTime {
    /// Time that this node has lived, over restarts ([`LivedTime`](crate::archive::lived::LivedTime)): it may be less than has passed,
    /// and is never more. Promises to others are counted in it.
    pub lived: Span,
    /// Time since the boot, suspended time included; compared within one run of the process only. What others have promised is counted in it.
    pub elapsed: Span,
    /// The time of day, if the witnesses of the clock do not contradict it ([`judge`](crate::archive::clock::judge)).
    pub wall: Option<Timestamp>,
}

/// An hour that lies here, looked at for a pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LyingHour<T: PlacementTerms> {
    /// Which.
    pub hour: T::Hour,
    /// All that lies here of it.
    pub names: T::Names,
}

/// What a node learns, in the order in which it learns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlacementEvent<T: PlacementTerms> {
    /// Somebody who may do so has given a layout: another node, or an operator.
    Offered {
        /// The other node.
        from: Option<T::Node>,
        /// The layout.
        layout: T::Layout,
    },
    /// It is time to look after handoffs. This lies here; hours that are owned here may be left out.
    Pass {
        /// What lies here.
        lying: Vec<LyingHour<T>>,
    },
    /// Something came into an hour, or was hidden, purged or taken out of it.
    Changed {
        /// Which.
        hour: T::Hour,
    },
    /// Somebody begins to need an hour as it is: a cut, the quarantine. As often as this is said, [`Free`](Self::Free) is.
    Held {
        /// Which.
        hour: T::Hour,
    },
    /// Somebody needs it no longer.
    Free {
        /// Which.
        hour: T::Hour,
    },
    /// A node asks for pins.
    Asked {
        /// Which node.
        from: T::Node,
        /// What it asks.
        request: PinRequest<T>,
        /// What lies here durably of each hour that it asks about, in the same order, looked at just now.
        durable: Vec<T::Names>,
    },
    /// A node has answered.
    Answered {
        /// Which node was asked.
        by: T::Node,
        /// What it said.
        answer: PinAnswer<T>,
    },
    /// A node was compared with.
    Listed {
        /// Which node.
        by: T::Node,
        /// Hours of which it has names that do not lie here.
        lacking: Vec<T::Hour>,
        /// Hours of which something lies here in sight, and it knows the tombstone.
        hiding: Vec<T::Hour>,
    },
    /// A node has answered something.
    Heard {
        /// Which node.
        peer: T::Node,
        /// Whether it says that it has no room (507).
        is_full: bool,
    },
    /// A node that was asked has not answered.
    Silent {
        /// Which node.
        peer: T::Node,
    },
    /// Retention wants to delete an hour.
    RetireWanted {
        /// Which.
        hour: T::Hour,
    },
    /// Retention does not want to any more.
    RetireGivenUp {
        /// Which.
        hour: T::Hour,
    },
    /// What [`Drop`](super::PlacementEffect::Drop) or [`Retire`](super::PlacementEffect::Retire) asked for has ended.
    Ended {
        /// Which hour.
        hour: T::Hour,
        /// Whether all of it was deleted that was to be.
        is_gone: bool,
    },
}
