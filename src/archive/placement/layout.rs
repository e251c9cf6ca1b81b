//! A layout: which nodes there are, how many copies of a channel there should be, and who owns which slots.
//!
//! Nothing here decides anything: [`plan`](super::planner::plan) makes layouts of layouts. One is changed by making the next version of it,
//! which names the hash of the one before.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::owner_table::OwnerTable;
use super::slot::Slot;
use crate::archive::{Channel, Hash};

/// Copies beyond which nobody counts any more: `all` is meant. Tables have 64 KiB then.
pub const MOST_COPIES: u8 = 16;
/// Nodes of a layout, whose numbers are a byte in tables.
pub const MOST_NODES: usize = 255;
/// Channels with a number of copies of their own. Each takes up to half a kilobyte in every copy of the layout.
pub const MOST_CHANNELS: usize = 1_000;
/// Longest name of a node or a zone, in bytes.
const LONGEST_NAME: usize = 64;

/// A name of a node or a zone: 1 to 64 letters, digits, dots, dashes or underscores.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlaceName(Box<str>);

impl PlaceName {
    /// Checks the name.
    pub fn new(name: &str) -> Option<Self> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        let is_name = (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(fits);
        is_name.then(|| Self(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PlaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is expected of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NodeState {
    /// It takes copies.
    In,
    /// It is there, takes nothing more, and gives away what it owns.
    Draining,
    /// It does not come back, and what it owned is copied from others.
    Lost,
}

impl NodeState {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::In, Self::Draining, Self::Lost];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Draining => "draining",
            Self::Lost => "lost",
        }
    }
}

/// A node of a layout.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LayoutNode {
    /// Its name.
    pub name: PlaceName,
    /// What fails together with it: a room, a rack, a provider.
    pub zone: PlaceName,
    /// The bytes that it offers, at least 1: shares are in proportion to them.
    pub weight: u64,
    /// What is expected of it.
    pub state: NodeState,
}

/// How many copies of each hour of a channel there should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CopiesWanted {
    /// So many, or one on each node where there are fewer: 1 to [`MOST_COPIES`].
    Number(u8),
    /// Each node keeps everything.
    All,
}

impl CopiesWanted {
    /// Reads `all` or a number from 1 to [`MOST_COPIES`].
    pub fn parse(text: &str) -> Option<Self> {
        if text == "all" {
            return Some(Self::All);
        }
        let number: u8 = text.parse().ok()?;
        ((1..=MOST_COPIES).contains(&number) && number.to_string() == text).then_some(Self::Number(number))
    }
}

impl fmt::Display for CopiesWanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::All => f.write_str("all"),
        }
    }
}

/// One version of who keeps what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// 1 for the first one that is written; [`Layout::none`] has 0.
    pub(super) version: u64,
    /// The hash of the version before.
    pub(super) parent: Option<Hash>,
    /// In the order of their names; their places are their numbers in tables.
    pub(super) nodes: Vec<LayoutNode>,
    /// Of channels that have no number of their own.
    pub(super) copies: CopiesWanted,
    /// Of those that have one.
    pub(super) channels: BTreeMap<Channel, CopiesWanted>,
    /// One for each number of copies that a channel has.
    pub(super) tables: BTreeMap<u8, OwnerTable>,
}

impl Layout {
    /// What holds where there is no layout: no nodes are named, and each keeps everything.
    pub fn none() -> Self {
        Self {
            version: 0,
            parent: None,
            nodes: Vec::new(),
            copies: CopiesWanted::All,
            channels: BTreeMap::new(),
            tables: BTreeMap::new(),
        }
    }

    /// Its version.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The hash of the version before; the first one has none.
    pub fn parent(&self) -> Option<Hash> {
        self.parent
    }

    /// Its nodes, in the order of their names.
    pub fn nodes(&self) -> &[LayoutNode] {
        &self.nodes
    }

    /// Its channels with a number of copies of their own.
    pub fn channels(&self) -> &BTreeMap<Channel, CopiesWanted> {
        &self.channels
    }

    /// Its tables, by the number of copies.
    pub fn tables(&self) -> &BTreeMap<u8, OwnerTable> {
        &self.tables
    }

    /// How many copies a channel should have; those without a number of their own, if none is named.
    pub fn copies(&self, channel: Option<&Channel>) -> CopiesWanted {
        channel.and_then(|channel| self.channels.get(channel)).copied().unwrap_or(self.copies)
    }

    /// The numbers of the nodes that own the slot where there should be so many copies of it.
    pub fn owners(&self, copies: CopiesWanted, slot: usize) -> Vec<u8> {
        match copies {
            CopiesWanted::Number(number) => {
                self.tables.get(&number).map(|table| table.row(slot).to_vec()).unwrap_or_default()
            }
            CopiesWanted::All => {
                self.numbered().filter(|(_, node)| node.state == NodeState::In).map(|(at, _)| at).collect()
            }
        }
    }

    /// The nodes that own an hour of a channel which falls into this slot.
    pub fn owners_of(&self, channel: &Channel, slot: Slot) -> Vec<&LayoutNode> {
        let owners = self.owners(self.copies(Some(channel)), slot.row());
        owners.into_iter().filter_map(|owner| self.nodes.get(usize::from(owner))).collect()
    }

    /// Its nodes with their numbers.
    pub(super) fn numbered(&self) -> impl Iterator<Item = (u8, &LayoutNode)> {
        (0..=u8::MAX).zip(&self.nodes)
    }

    /// The numbers of copies that need a table.
    pub(super) fn numbers_of_copies(&self) -> BTreeSet<u8> {
        let number = |copies: &CopiesWanted| match copies {
            CopiesWanted::Number(number) => Some(*number),
            CopiesWanted::All => None,
        };
        self.channels.values().chain([&self.copies]).filter_map(number).collect()
    }
}
