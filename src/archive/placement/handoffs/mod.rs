//! Handoffs, pins and stand-ins: what one node under a layout does with hours that belong elsewhere, and what it promises to others.
//!
//! Pure: [`PlacedNode::step`] is told what the node learns and says what it does. `lifecycle::handoffs` runs it on a node, and the
//! simulator in `tests/placement` up to fifty. Whoever runs it has to:
//!
//! 1. **Start** it with the layout's file and the journal, or with no journal where that cannot be relied on.
//! 2. Give it **one event at a time**, with what the clocks say, and do its **effects in their order**, each to its end, but for deleting and
//!    fetching, which only have to be begun. Where one fails the rest is left out, and the node starts anew from its files.
//! 3. **Journal and layout** are flushed before what follows is done, above all before an answer leaves.
//! 4. With [`Asked`](PlacementEvent::Asked) tell what lies there **durably**: after the directory was flushed.
//! 5. **Names** are those of all files in the directory, tombstones and hidden ones included.
//! 6. **Delete** for [`Drop`](PlacementEffect::Drop) just the names that it says, tombstones last; stop when the time is up, when the hour is
//!    held, or when told to: between two files is soon enough. Then say [`Ended`](PlacementEvent::Ended).
//! 7. **Fetch** tombstones before what they hide, and nothing that is hidden or retired here.
//! 8. Ask it before **anything else deletes a whole hour** ([`RetireWanted`](PlacementEvent::RetireWanted)), and go on with what was begun
//!    before a restart only after asking again.
//! 9. Make a **pass** every few minutes; say which peers answer, which do not, and which are full.

mod archive_terms;
mod effect;
mod event;
mod messages;
mod pass;
mod peers;
mod pins;
mod placed_node;
mod rules;
mod terms;

#[cfg(test)]
mod tests;

pub use archive_terms::{ActingLayout, ArchiveTerms, FileNames};
pub use effect::{PlacementEffect, PlacementNote};
pub use event::{LyingHour, PlacementEvent, PlacementTime};
pub use messages::{HourAsked, HourVerdict, PinAnswer, PinRequest, RequestId};
pub use peers::STAND_IN_AFTER;
pub use pins::{PIN, RELY};
pub use placed_node::{NodeSelf, PlacedNode, QUIET, StayReason};
pub use rules::{AllRules, PlacementRule, PlacementRules};
pub use terms::{LayoutOwners, LyingNames, NodePlace, PlacementTerms};
