//! Plans the next versions of a layout: the same input gives the same bytes, on every machine.
//!
//! 1. The changes are made to the list of nodes and to the numbers of copies.
//! 2. For each number of copies: [`Takers`] says how copies spread over zones and how many slots each node should have, [`repair`] moves the fewest copies that get there, and [`mix`] exchanges those that move anyway.
//! 3. [`versions`](super::versions) cuts that into versions in which at most one copy of a slot moves.

use std::collections::{BTreeMap, BTreeSet};

use super::layout::{CopiesWanted, Layout, LayoutNode, MOST_CHANNELS, MOST_NODES, NodeState, PlaceName};
use super::mix::mix;
use super::owner_table::OwnerTable;
use super::repair::repair;
use super::slot::SLOTS;
use super::takers::Takers;
use super::versions::{Owners, versions};
use crate::archive::Channel;

/// What is to be different in a layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LayoutChange {
    /// A node takes copies. One that is there already takes them from now on with this zone and this weight.
    Add {
        /// Its name.
        name: PlaceName,
        /// Its zone.
        zone: PlaceName,
        /// The bytes that it offers.
        weight: u64,
    },
    /// A node gives away what it owns.
    Drain(PlaceName),
    /// A node does not come back.
    Lost(PlaceName),
    /// A new node takes the zone and the weight of another one, which drains, unless it is lost.
    Replace {
        /// The one that goes.
        old: PlaceName,
        /// The one that comes.
        new: PlaceName,
    },
    /// A node that owns nothing any more leaves the list.
    Remove(PlaceName),
    /// How many copies there should be.
    Copies {
        /// Of this channel; of all that have no number of their own, if none is named.
        channel: Option<Channel>,
        /// So many; `None` takes a channel's own number away.
        copies: Option<CopiesWanted>,
    },
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// No such node.
    #[error("the layout has no node {name}; it has {}", listed(nodes))]
    NoSuchNode {
        /// What was asked for.
        name: PlaceName,
        /// What there is.
        nodes: Vec<PlaceName>,
    },
    /// A name that is taken.
    #[error("the layout has a node {0} already; a node that replaces another one must be new")]
    IsThere(PlaceName),
    /// A node that still takes copies, or has some to give away.
    #[error(
        "node {name} owns {slots} copies of slots, and takes more unless it is drained or lost; apply that first, and remove it then"
    )]
    StillOwns {
        /// Which one.
        name: PlaceName,
        /// Copies of slots that it owns, of all tables together.
        slots: usize,
    },
    /// A weight of 0.
    #[error("a node offers at least one byte; to take one out, drain it")]
    NoWeight,
    /// No node that takes copies.
    #[error("no node would be left that takes copies: add one first")]
    NobodyTakes,
    /// Too many.
    #[error("a layout has at most {MOST_NODES} nodes")]
    TooManyNodes,
    /// Too many.
    #[error("at most {MOST_CHANNELS} channels can have a number of copies of their own")]
    TooManyChannels,
    /// No number of their own for those that have none.
    #[error("only a named channel can go back to the number of copies of all others")]
    NoChannel,
    /// Nothing to do.
    #[error("nothing would change: version {0} has all of it already")]
    NothingToDo(u64),
    /// Versions are counted in 64 bits.
    #[error("there is no version after {0}")]
    LastVersion(u64),
    /// A fault of the program.
    #[error("no way was found to owners of {0} copies: this is a fault of gapless, please report it with the layout")]
    NoWay(u8),
}

fn listed(nodes: &[PlaceName]) -> String {
    let names: Vec<&str> = nodes.iter().map(PlaceName::as_str).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// The versions that lead to what is wanted, one after another: the next one may be applied when all copies are where the one before says.
/// With no changes, what is still to do of those before.
pub fn plan(before: &Layout, changes: &[LayoutChange]) -> Result<Vec<Layout>, PlanError> {
    let mut target = before.clone();
    for change in changes {
        make(&mut target, change, &|name| owned(before, name))?;
    }
    let takes = |node: &LayoutNode| node.state == NodeState::In;
    if !target.nodes.is_empty() && !target.nodes.iter().any(takes) {
        return Err(PlanError::NobodyTakes);
    }
    let mut last = 1;
    let mut rows_of: BTreeMap<u8, Vec<Vec<Vec<u8>>>> = BTreeMap::new();
    for copies in target.numbers_of_copies() {
        let rows = rows_before(before, &target, copies);
        let planned = plan_rows(&rows, &target.nodes, copies).ok_or(PlanError::NoWay(copies))?;
        let zones = zone_numbers(&target.nodes);
        let owners = Owners {
            is_lost: &|node| target.nodes.get(usize::from(node)).is_none_or(|node| node.state == NodeState::Lost),
            zone_of: &|node| zones.get(usize::from(node)).copied().unwrap_or(usize::MAX),
        };
        let mut steps = versions(&rows, &planned, &owners);
        if steps.is_empty() {
            steps.push(planned);
        }
        last = last.max(steps.len());
        rows_of.insert(copies, steps);
    }
    let mut made: Vec<Layout> = Vec::with_capacity(last);
    for step in 0..last {
        let parent = made.last().unwrap_or(before);
        let next_version = parent.version.checked_add(1).ok_or(PlanError::LastVersion(parent.version))?;
        let tables = rows_of.iter().filter_map(|(copies, steps)| {
            let rows = steps.get(step).or(steps.last())?;
            Some((*copies, OwnerTable::new(*copies, rows)))
        });
        let next = Layout {
            version: next_version,
            parent: (parent.version > 0).then(|| parent.hash()),
            tables: tables.collect(),
            ..target.clone()
        };
        made.push(next);
    }
    let is_same = |next: &Layout| {
        let (one, other) = (next, before);
        one.nodes == other.nodes
            && one.copies == other.copies
            && one.channels == other.channels
            && one.tables == other.tables
    };
    if made.last().is_none_or(is_same) {
        return Err(PlanError::NothingToDo(before.version));
    }
    Ok(made)
}

/// Makes a change, but for the tables: those are brought to the numbers of the nodes by [`rows_before`].
fn make(layout: &mut Layout, change: &LayoutChange, owned: &dyn Fn(&PlaceName) -> usize) -> Result<(), PlanError> {
    match change {
        LayoutChange::Add { name, zone, weight } => {
            let node = LayoutNode { name: name.clone(), zone: zone.clone(), weight: *weight, state: NodeState::In };
            put(layout, node)
        }
        LayoutChange::Drain(name) => find(layout, name).map(|node| node.state = NodeState::Draining),
        LayoutChange::Lost(name) => find(layout, name).map(|node| node.state = NodeState::Lost),
        LayoutChange::Replace { old, new } => {
            if layout.nodes.iter().any(|node| node.name == *new) {
                return Err(PlanError::IsThere(new.clone()));
            }
            let leaves = find(layout, old)?;
            let node = LayoutNode { name: new.clone(), state: NodeState::In, ..leaves.clone() };
            if leaves.state == NodeState::In {
                leaves.state = NodeState::Draining;
            }
            put(layout, node)
        }
        LayoutChange::Remove(name) => {
            let (slots, state) = (owned(name), find(layout, name)?.state);
            if slots > 0 || state == NodeState::In {
                return Err(PlanError::StillOwns { name: name.clone(), slots });
            }
            layout.nodes.retain(|node| node.name != *name);
            Ok(())
        }
        LayoutChange::Copies { channel: None, copies } => {
            layout.copies = copies.ok_or(PlanError::NoChannel)?;
            Ok(())
        }
        LayoutChange::Copies { channel: Some(channel), copies: None } => {
            layout.channels.remove(channel);
            Ok(())
        }
        LayoutChange::Copies { channel: Some(channel), copies: Some(copies) } => {
            layout.channels.insert(channel.clone(), *copies);
            if layout.channels.len() > MOST_CHANNELS { Err(PlanError::TooManyChannels) } else { Ok(()) }
        }
    }
}

/// How many copies of slots a node owns, of all tables together.
fn owned(layout: &Layout, name: &PlaceName) -> usize {
    let number = layout.numbered().find(|(_, node)| node.name == *name).map(|(number, _)| number);
    number.map_or(0, |number| layout.tables.values().map(|table| table.load(number)).sum())
}

fn find<'l>(layout: &'l mut Layout, name: &PlaceName) -> Result<&'l mut LayoutNode, PlanError> {
    let nodes = layout.nodes.iter().map(|node| node.name.clone()).collect();
    let found = layout.nodes.iter_mut().find(|node| node.name == *name);
    found.ok_or_else(|| PlanError::NoSuchNode { name: name.clone(), nodes })
}

fn put(layout: &mut Layout, node: LayoutNode) -> Result<(), PlanError> {
    if node.weight == 0 {
        return Err(PlanError::NoWeight);
    }
    match layout.nodes.binary_search_by(|one| one.name.cmp(&node.name)) {
        Ok(at) => layout.nodes[at] = node,
        Err(_) if layout.nodes.len() >= MOST_NODES => return Err(PlanError::TooManyNodes),
        Err(at) => layout.nodes.insert(at, node),
    }
    Ok(())
}

/// The owners of before, by the numbers that nodes have in the target. A number of copies that had no table begins with the owners that its
/// channels had, so that only those move that must.
fn rows_before(before: &Layout, target: &Layout, copies: u8) -> Vec<Vec<u8>> {
    let number = |old: u8| {
        let name = &before.nodes.get(usize::from(old))?.name;
        target.numbered().find(|(_, node)| node.name == *name).map(|(number, _)| number)
    };
    let numbers: Vec<Option<u8>> = (0..=u8::MAX).take(before.nodes.len()).map(number).collect();
    let wanted = CopiesWanted::Number(copies);
    let now = if before.tables.contains_key(&copies) {
        wanted
    } else if target.copies == wanted {
        before.copies
    } else {
        let channel = target.channels.iter().find(|(_, own)| **own == wanted).map(|(channel, _)| channel);
        before.copies(channel)
    };
    let renumbered = |slot: usize| {
        let owners = before.owners(now, slot);
        owners.into_iter().filter_map(|owner| numbers.get(usize::from(owner)).copied().flatten()).collect()
    };
    (0..SLOTS).map(renumbered).collect()
}

/// For each node the number of its zone.
fn zone_numbers(nodes: &[LayoutNode]) -> Vec<usize> {
    let zones: BTreeSet<&PlaceName> = nodes.iter().map(|node| &node.zone).collect();
    nodes.iter().map(|node| zones.iter().position(|zone| **zone == node.zone).unwrap_or(usize::MAX)).collect()
}

/// The owners that are wanted, with the fewest copies moved from these.
pub(super) fn plan_rows(before: &[Vec<u8>], nodes: &[LayoutNode], copies: u8) -> Option<Vec<Vec<u8>>> {
    let takers = Takers::of(nodes, copies, before.len());
    let taker = |node: &u8| takers.numbers.iter().position(|number| number == node);
    let rows: Vec<Vec<usize>> = before.iter().map(|row| row.iter().filter_map(taker).collect()).collect();
    let mut planned = repair(&rows, &takers)?;
    mix(&mut planned, &rows, &takers);
    let number = |at: &usize| takers.numbers.get(*at).copied();
    // Takers are in the order of their numbers, and so are the rows.
    Some(planned.iter().map(|row| row.iter().filter_map(number).collect()).collect())
}
