//! What the rules of placement speak of, without what it is made of: the simulator plays millions of steps with numbers in place of names.

use std::fmt::Debug;

use crate::archive::placement::LayoutId;

/// The types of one world: an archive's ([`ArchiveTerms`](super::ArchiveTerms)), or smaller ones.
pub trait PlacementTerms: Debug + Clone + Copy + PartialEq + Eq + Sized {
    /// A node, by its name in layouts.
    type Node: Debug + Clone + Ord;
    /// What fails together.
    type Zone: Debug + Clone + Ord;
    /// The random id of an archive. A node whose disk was replaced has another one.
    type Archive: Debug + Clone + Ord;
    /// An hour of a channel and quality.
    type Hour: Debug + Clone + Ord;
    /// What lies of it somewhere.
    type Names: LyingNames;
    /// A layout.
    type Layout: LayoutOwners<Self>;

    /// Which hour since 1970 it is, whatever the channel.
    fn number(hour: &Self::Hour) -> i64;
}

/// The names of all files that lie in an hour's directory: segments, chat batches, odd ones, tombstones, and also what tombstones hide, as
/// its bytes go with the hour.
pub trait LyingNames: Debug + Clone + PartialEq + Eq {
    /// A sum over names, equal where the names are.
    type Digest: Debug + Clone + PartialEq + Eq;

    /// Their digest.
    fn digest(&self) -> Self::Digest;

    /// Whether all of these lie here, too: each file itself, and each tombstone itself.
    fn contains(&self, others: &Self) -> bool;

    /// Whether nothing lies here.
    fn is_empty(&self) -> bool;
}

/// What a node has to know of a layout.
pub trait LayoutOwners<T: PlacementTerms>: Debug + Clone + PartialEq {
    /// Distinguishes it from all others.
    fn id(&self) -> LayoutId;

    /// How many copies of the hour there should be; as many as it has owners where each node keeps everything.
    fn copies(&self, hour: &T::Hour) -> usize;

    /// The hour's owners.
    fn owners(&self, hour: &T::Hour) -> Vec<NodePlace<T>>;

    /// Nodes that take copies and do not own the hour, in the order in which they stand in for its owners.
    fn stand_ins(&self, hour: &T::Hour) -> Vec<NodePlace<T>>;

    /// How many zones have nodes that take copies.
    fn zones(&self) -> usize;
}

/// A node and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePlace<T: PlacementTerms> {
    /// Its name.
    pub node: T::Node,
    /// Its zone.
    pub zone: T::Zone,
}
