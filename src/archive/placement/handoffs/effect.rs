//! What a node does.

use super::messages::{PinAnswer, PinRequest};
use super::terms::PlacementTerms;
use crate::archive::Span;
use crate::archive::placement::LayoutId;

/// A line of the journal of placement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlacementNote<T: PlacementTerms> {
    /// An hour was promised to stay.
    Pinned {
        /// Which.
        hour: T::Hour,
        /// Until this node has lived so long.
        until: Span,
    },
    /// Everything was promised to stay, as an earlier journal was lost.
    AllPinned {
        /// Until this node has lived so long.
        until: Span,
    },
    /// An hour begins to leave for its owners. No permission to go on with it later: it is asked for anew after a restart.
    Leaving {
        /// Which.
        hour: T::Hour,
        /// Under which layout.
        layout: LayoutId,
    },
    /// It has left.
    Left {
        /// Which.
        hour: T::Hour,
    },
}

/// What a node does, one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlacementEffect<T: PlacementTerms> {
    /// Write the layout to its file, flushed.
    SaveLayout {
        /// Which.
        layout: T::Layout,
    },
    /// Tell people that there are two layouts of one version; this node stays with its own.
    AlarmFork {
        /// The layout here.
        ours: LayoutId,
        /// What was offered.
        theirs: LayoutId,
    },
    /// Append lines to the journal, flushed, before what follows is done.
    Journal {
        /// The lines.
        lines: Vec<PlacementNote<T>>,
    },
    /// Ask a node for pins.
    Ask {
        /// Which node.
        peer: T::Node,
        /// What is asked.
        request: PinRequest<T>,
    },
    /// Answer a node.
    Answer {
        /// Which node.
        peer: T::Node,
        /// The answer.
        answer: PinAnswer<T>,
    },
    /// Ask a node for its layout, which is newer.
    AskLayout {
        /// Which node.
        peer: T::Node,
    },
    /// Give a node the layout here, as its own is older.
    OfferLayout {
        /// Which node.
        peer: T::Node,
    },
    /// Fetch what is missing of an hour, tombstones first.
    Fetch {
        /// From which node.
        peer: T::Node,
        /// Which hour.
        hour: T::Hour,
    },
    /// Take tombstones of what lies here in sight, and nothing else: the hour is not to lie here, but what lies here of it is hidden.
    Hide {
        /// From which node.
        peer: T::Node,
        /// Which hour.
        hour: T::Hour,
    },
    /// Delete these names, and no others, of an hour that its owners have; tombstones last, after the names that they hide. Then say
    /// [`Ended`](super::PlacementEvent::Ended).
    Drop {
        /// Which hour.
        hour: T::Hour,
        /// What its owners have confirmed.
        names: T::Names,
        /// Delete nothing any more when so much time has elapsed.
        before: Span,
    },
    /// Stop deleting names of an hour, if that has not ended.
    Stop {
        /// Which hour.
        hour: T::Hour,
    },
    /// Retention may delete the hour. Then say [`Ended`](super::PlacementEvent::Ended).
    Retire {
        /// Which.
        hour: T::Hour,
    },
    /// Retention may not delete the hour yet. It is not promised anew, so ask again in an hour.
    KeepForNow {
        /// Which.
        hour: T::Hour,
    },
}
