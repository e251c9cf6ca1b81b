//! What the rules of placement speak of, in an archive.

use std::collections::BTreeSet;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::super::layout::{CopiesWanted, Layout, LayoutNode, NodeState, PlaceName};
use super::super::slot::Slot;
use super::terms::{LayoutOwners, LyingNames, NodePlace, PlacementTerms};
use crate::archive::placement::LayoutId;
use crate::archive::{Digest, HourPlace};

/// Hours, nodes and layouts of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchiveTerms;

impl PlacementTerms for ArchiveTerms {
    type Node = PlaceName;
    type Zone = PlaceName;
    type Archive = u128;
    type Hour = HourPlace;
    type Names = FileNames;
    type Layout = ActingLayout;

    fn number(hour: &HourPlace) -> i64 {
        i64::from(hour.hour.number())
    }
}

/// The names of an hour's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileNames {
    names: Arc<BTreeSet<Box<str>>>,
    digest: Digest,
}

impl FileNames {
    /// All files of an hour's directory, hidden ones and tombstones included.
    pub fn of<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        let names: BTreeSet<Box<str>> = names.into_iter().map(Box::from).collect();
        let digest = names.iter().fold(Digest::default(), |digest, name| digest.plus(Digest::of_name(name)));
        Self { names: Arc::new(names), digest }
    }

    /// The names, in the order of their bytes.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(AsRef::as_ref)
    }
}

impl LyingNames for FileNames {
    type Digest = Digest;

    fn digest(&self) -> Digest {
        self.digest
    }

    fn contains(&self, others: &Self) -> bool {
        others.names.is_subset(&self.names)
    }

    fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

/// A layout with its hash, which is worked out once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActingLayout {
    layout: Arc<Layout>,
    id: LayoutId,
}

impl ActingLayout {
    /// Of a layout.
    pub fn new(layout: Layout) -> Self {
        let id = layout.id();
        Self { layout: Arc::new(layout), id }
    }

    fn copies_wanted(&self, hour: &HourPlace) -> CopiesWanted {
        self.layout.copies(Some(&hour.stream.channel))
    }
}

fn place(node: &LayoutNode) -> NodePlace<ArchiveTerms> {
    NodePlace { node: node.name.clone(), zone: node.zone.clone() }
}

impl LayoutOwners<ArchiveTerms> for ActingLayout {
    fn id(&self) -> LayoutId {
        self.id
    }

    fn copies(&self, hour: &HourPlace) -> usize {
        match self.copies_wanted(hour) {
            CopiesWanted::Number(copies) => usize::from(copies),
            CopiesWanted::All => self.owners(hour).len(),
        }
    }

    fn owners(&self, hour: &HourPlace) -> Vec<NodePlace<ArchiveTerms>> {
        self.layout.owners_of(&hour.stream.channel, Slot::of(hour)).into_iter().map(place).collect()
    }

    /// By rendezvous: each node draws a number for each hour, and the highest come first. So the hours of an owner that is away spread
    /// over all others.
    fn stand_ins(&self, hour: &HourPlace) -> Vec<NodePlace<ArchiveTerms>> {
        let owners = self.layout.owners_of(&hour.stream.channel, Slot::of(hour));
        let takes = |node: &&LayoutNode| node.state == NodeState::In && !owners.contains(node);
        let mut drawn: Vec<(u64, &LayoutNode)> = self
            .layout
            .nodes()
            .iter()
            .filter(takes)
            .map(|node| (xxh3_64(format!("{hour} {}", node.name).as_bytes()), node))
            .collect();
        drawn.sort_unstable_by(|(one, by), (other, than)| other.cmp(one).then(by.name.cmp(&than.name)));
        drawn.into_iter().map(|(_, node)| place(node)).collect()
    }

    fn zones(&self) -> usize {
        let takes = self.layout.nodes().iter().filter(|node| node.state == NodeState::In);
        takes.map(|node| &node.zone).collect::<BTreeSet<_>>().len()
    }
}
