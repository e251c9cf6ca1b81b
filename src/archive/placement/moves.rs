//! What changes its owner between two layouts.

use super::layout::Layout;
use crate::archive::Channel;

/// A copy of a slot that another node owns from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotMove {
    /// The slot.
    pub slot: usize,
    /// Who owned it, and no longer does; nobody where one copy more is wanted.
    pub from: Option<u8>,
    /// Who owns it from now on; nobody where one copy fewer is wanted.
    pub to: Option<u8>,
}

/// What moves of a channel (of those without a number of copies of their own, if none is named) from one version to a later one of it, by the
/// numbers of nodes in the later one.
pub fn moves(before: &Layout, after: &Layout, channel: Option<&Channel>) -> Vec<SlotMove> {
    let number = |old: u8| {
        let name = &before.nodes.get(usize::from(old))?.name;
        after.numbered().find(|(_, node)| node.name == *name).map(|(number, _)| number)
    };
    let numbers: Vec<Option<u8>> = before.numbered().map(|(old, _)| number(old)).collect();
    let zone = |node: u8| after.nodes.get(usize::from(node)).map(|node| &node.zone);
    let (copies_before, copies_after) = (before.copies(channel), after.copies(channel));
    let mut moves = Vec::new();
    for slot in 0..super::slot::SLOTS {
        let owners = before.owners(copies_before, slot).into_iter();
        let old: Vec<u8> = owners.filter_map(|owner| numbers.get(usize::from(owner)).copied().flatten()).collect();
        let new = after.owners(copies_after, slot);
        let mut coming: Vec<u8> = new.iter().copied().filter(|owner| !old.contains(owner)).collect();
        let leaving = old.into_iter().filter(|owner| !new.contains(owner));
        let (mut left, mut pairs) = (Vec::new(), Vec::new());
        // Within a zone first: that is where a copy goes whose zone has to keep one.
        for from in leaving {
            match coming.iter().position(|to| zone(*to) == zone(from)) {
                Some(at) => pairs.push((Some(from), Some(coming.remove(at)))),
                None => left.push(from),
            }
        }
        let rest = left.len().max(coming.len());
        pairs.extend((0..rest).map(|at| (left.get(at).copied(), coming.get(at).copied())));
        moves.extend(pairs.into_iter().map(|(from, to)| SlotMove { slot, from, to }));
    }
    moves
}
