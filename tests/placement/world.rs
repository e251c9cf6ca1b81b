//! The world of the simulator in small: nodes, zones and hours are numbers, and what lies of an hour is the bits of one.

use std::sync::Arc;

use gapless::archive::Hash;
use gapless::archive::placement::LayoutId;
use gapless::archive::placement::handoffs::{
    LayoutOwners, LyingNames, NodePlace, PlacementRule, PlacementRules, PlacementTerms,
};

/// The hour of the first hour of every history.
pub const FIRST_HOUR: i64 = 440_000;
pub const SECOND: i64 = 1_000_000;
pub const MINUTE: i64 = 60 * SECOND;
pub const HOUR: i64 = 60 * MINUTE;
/// Bits from this one on are tombstones, each of the name so many bits below it.
pub const TOMBSTONES: u32 = 32;
pub const FILES: u64 = (1 << TOMBSTONES) - 1;

/// Numbers that look like chance and come again with the same seed.
pub struct Chance(u64);

impl Chance {
    pub fn of(seed: u64) -> Self {
        let mut chance = Self(seed);
        chance.next();
        chance
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.0)
    }

    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).unwrap()
    }

    /// True in so many of a hundred cases.
    pub fn percent(&mut self, of_hundred: usize) -> bool {
        self.below(100) < of_hundred
    }

    pub fn span(&mut self, least: i64, most: i64) -> i64 {
        least + self.next().cast_signed().rem_euclid(most - least + 1)
    }

    pub fn shuffle<T>(&mut self, things: &mut [T]) {
        for at in (1..things.len()).rev() {
            things.swap(at, self.below(at + 1));
        }
    }
}

/// Mixes as `SplitMix64` does.
fn mixed(number: u64) -> u64 {
    let mut mixed = number;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SmallTerms;

impl PlacementTerms for SmallTerms {
    type Node = u8;
    type Zone = u8;
    type Archive = u32;
    type Hour = u8;
    type Names = Names;
    type Layout = SmallLayout;

    fn number(hour: &u8) -> i64 {
        FIRST_HOUR + i64::from(*hour)
    }
}

/// Files and tombstones of an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Names(pub u64);

impl LyingNames for Names {
    type Digest = u64;

    fn digest(&self) -> u64 {
        self.0
    }

    fn contains(&self, others: &Self) -> bool {
        others.0 & !self.0 == 0
    }

    fn is_empty(&self) -> bool {
        self.0 == 0
    }
}

/// What tombstones among these hide.
pub const fn hidden(names: u64) -> u64 {
    names >> TOMBSTONES
}

/// The bits that are set, lowest first.
pub fn bits(names: u64) -> impl Iterator<Item = u64> {
    let mut rest = names;
    std::iter::from_fn(move || {
        let lowest = rest & rest.wrapping_neg();
        rest ^= lowest;
        (lowest != 0).then_some(lowest)
    })
}

#[derive(Debug)]
pub struct LayoutParts {
    pub version: u64,
    /// Distinguishes it from others of its version.
    pub salt: u64,
    pub copies: usize,
    /// Nodes that take copies.
    pub takers: Vec<u8>,
    /// For each hour its owners.
    pub rows: Vec<Vec<u8>>,
    /// Of all nodes there are.
    pub zones: Arc<Vec<u8>>,
}

#[derive(Debug, Clone)]
pub struct SmallLayout(pub Arc<LayoutParts>);

impl PartialEq for SmallLayout {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id()
    }
}

impl SmallLayout {
    fn place(&self, node: u8) -> NodePlace<SmallTerms> {
        NodePlace { node, zone: self.0.zones[usize::from(node)] }
    }

    pub fn row(&self, hour: usize) -> &[u8] {
        &self.0.rows[hour]
    }

    pub fn owns(&self, node: usize, hour: usize) -> bool {
        self.row(hour).iter().any(|owner| usize::from(*owner) == node)
    }
}

impl LayoutOwners<SmallTerms> for SmallLayout {
    fn id(&self) -> LayoutId {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&self.0.salt.to_le_bytes());
        LayoutId { version: self.0.version, hash: Hash(hash) }
    }

    fn copies(&self, _: &u8) -> usize {
        self.0.copies
    }

    fn owners(&self, hour: &u8) -> Vec<NodePlace<SmallTerms>> {
        self.row(usize::from(*hour)).iter().map(|node| self.place(*node)).collect()
    }

    fn stand_ins(&self, hour: &u8) -> Vec<NodePlace<SmallTerms>> {
        let mut others: Vec<u8> =
            self.0.takers.iter().copied().filter(|node| !self.owns(usize::from(*node), usize::from(*hour))).collect();
        others.sort_by_key(|node| mixed(u64::from(*hour) << 8 | u64::from(*node)));
        others.into_iter().map(|node| self.place(node)).collect()
    }

    fn zones(&self) -> usize {
        let mut zones: Vec<u8> = self.0.takers.iter().map(|node| self.0.zones[usize::from(*node)]).collect();
        zones.sort_unstable();
        zones.dedup();
        zones.len()
    }
}

/// What whoever runs the machine may do wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DriverFault {
    /// Answers leave before the journal is written.
    AnswersBeforeJournal,
    /// Tombstones are left out of the names that are asked about.
    ForgetsTombstones,
    /// What is not flushed is confirmed.
    ConfirmsUnflushed,
    /// Everything that lies there is deleted, and not what was confirmed.
    DropsAllThatLies,
    /// Tombstones are deleted before what they hide.
    DropsTombstonesFirst,
    /// Deleting goes on when the time is up.
    IgnoresTheTime,
    /// Retention goes on after a restart without asking.
    RetiresUnasked,
    /// What is hidden is left out of the names that are asked about.
    ForgetsHidden,
}

impl DriverFault {
    pub const ALL: [Self; 8] = [
        Self::AnswersBeforeJournal,
        Self::ForgetsTombstones,
        Self::ConfirmsUnflushed,
        Self::DropsAllThatLies,
        Self::DropsTombstonesFirst,
        Self::IgnoresTheTime,
        Self::RetiresUnasked,
        Self::ForgetsHidden,
    ];
}

/// What is wrong with the nodes of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    None,
    Without(PlacementRule),
    Driver(DriverFault),
}

impl Mutant {
    /// All but that which is none.
    pub fn all() -> Vec<Self> {
        let rules = PlacementRule::ALL.map(Self::Without);
        rules.into_iter().chain(DriverFault::ALL.map(Self::Driver)).collect()
    }

    pub fn name(self) -> String {
        match self {
            Self::None => "none".to_owned(),
            Self::Without(rule) => format!("{rule:?}"),
            Self::Driver(fault) => format!("{fault:?}"),
        }
    }

    pub fn has(self, fault: DriverFault) -> bool {
        self == Self::Driver(fault)
    }
}

impl PlacementRules for Mutant {
    fn stands(&self, rule: PlacementRule) -> bool {
        *self != Self::Without(rule)
    }
}
