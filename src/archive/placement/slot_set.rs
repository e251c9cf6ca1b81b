//! Sets of slots: which hours two nodes compare with each other where both have a layout.
//!
//! Two nodes that own different slots never hold the same. What they can agree on with one request is the sum over the slots that
//! both own. The others are compared apart from those, so that what differs there for good does not hide what differs by mistake.

use super::{CopiesWanted, Layout, NodeState, OwnerTable, PlaceName, SLOTS, Slot};
use crate::archive::Channel;

/// Slots in a word of a set.
const WORD: usize = 64;

/// Some of the 4,096 slots.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SlotSet([u64; SLOTS / WORD]);

impl SlotSet {
    /// No slot.
    pub fn none() -> Self {
        Self([0; SLOTS / WORD])
    }

    /// Every slot.
    pub fn all() -> Self {
        Self([u64::MAX; SLOTS / WORD])
    }

    /// Whether a slot is among them.
    pub fn has(&self, slot: Slot) -> bool {
        let word = self.0.get(slot.row() / WORD).copied().unwrap_or_default();
        word >> (slot.row() % WORD) & 1 == 1
    }

    /// Those that are in both.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        self.with(other, |ours, theirs| ours & theirs)
    }

    /// Those that are not in the other one.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        self.with(other, |ours, theirs| ours & !theirs)
    }

    fn add(&mut self, row: usize) {
        if let Some(word) = self.0.get_mut(row / WORD) {
            *word |= 1 << (row % WORD);
        }
    }

    fn with(&self, other: &Self, of_words: impl Fn(u64, u64) -> u64) -> Self {
        let mut words = self.0;
        for (word, theirs) in words.iter_mut().zip(other.0) {
            *word = of_words(*word, theirs);
        }
        Self(words)
    }
}

impl FromIterator<Slot> for SlotSet {
    fn from_iter<I: IntoIterator<Item = Slot>>(slots: I) -> Self {
        let mut set = Self::none();
        slots.into_iter().for_each(|slot| set.add(slot.row()));
        set
    }
}

/// Who owns the hours that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OwnedBy {
    /// Both nodes: they should hold the same.
    Both,
    /// The node that asks, and not the one that answers: what that one has of them the other one should have as well.
    Asker,
    /// Not the node that asks: it takes nothing of them but tombstones.
    Others,
}

impl OwnedBy {
    /// All of them; each hour is owned by one of these.
    pub const ALL: [Self; 3] = [Self::Both, Self::Asker, Self::Others];

    /// As it is written in requests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::Asker => "asker",
            Self::Others => "others",
        }
    }

    /// Reads what [`Self::as_str`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|owners| owners.as_str() == text)
    }
}

impl Layout {
    /// The slots that a node owns of a channel; none if it is not in the layout.
    pub fn slots_of(&self, channel: &Channel, node: &PlaceName) -> SlotSet {
        let Some((number, known)) = self.numbered().find(|(_, known)| known.name == *node) else {
            return SlotSet::none();
        };
        let copies = match self.copies(Some(channel)) {
            CopiesWanted::All if known.state == NodeState::In => return SlotSet::all(),
            CopiesWanted::All => return SlotSet::none(),
            CopiesWanted::Number(copies) => copies,
        };
        let mut set = SlotSet::none();
        let rows = self.tables.get(&copies).into_iter().flat_map(OwnerTable::rows);
        for (slot, _) in rows.enumerate().filter(|(_, owners)| owners.contains(&number)) {
            set.add(slot);
        }
        set
    }

    /// The slots of a channel that these own where one node asks the other.
    pub fn compared_slots(&self, channel: &Channel, asker: &PlaceName, peer: &PlaceName, owned_by: OwnedBy) -> SlotSet {
        let of_asker = self.slots_of(channel, asker);
        match owned_by {
            OwnedBy::Both => of_asker.and(&self.slots_of(channel, peer)),
            OwnedBy::Asker => of_asker.without(&self.slots_of(channel, peer)),
            OwnedBy::Others => SlotSet::all().without(&of_asker),
        }
    }
}
