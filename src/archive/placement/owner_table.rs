//! Who owns which slot: a row of owners for each, as numbers of nodes.

/// What stands in a row in place of an owner, where there are fewer nodes than copies.
pub const NOBODY: u8 = u8::MAX;

/// A row for each slot.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OwnerTable {
    copies: u8,
    owners: Box<[u8]>,
}

impl OwnerTable {
    /// So many copies of the slots of these rows. Owners beyond that are left out.
    pub fn new(copies: u8, rows: &[Vec<u8>]) -> Self {
        let of_row = |row: &Vec<u8>| {
            let mut row = row.clone();
            row.sort_unstable();
            row.resize(usize::from(copies), NOBODY);
            row
        };
        Self { copies, owners: rows.iter().flat_map(of_row).collect() }
    }

    /// Takes the bytes of a file; `None` if they are no such table for so many nodes.
    pub(super) fn read(copies: u8, owners: &[u8], nodes: usize) -> Option<Self> {
        if copies == 0 || !owners.len().is_multiple_of(usize::from(copies)) {
            return None;
        }
        let fits = |row: &[u8]| {
            let is_node = row.iter().all(|owner| *owner == NOBODY || usize::from(*owner) < nodes);
            is_node && row.is_sorted_by(|one, next| one < next || *next == NOBODY)
        };
        let all_fit = owners.chunks_exact(usize::from(copies)).all(fits);
        all_fit.then(|| Self { copies, owners: owners.into() })
    }

    /// The file's bytes: each row in the order of the nodes' numbers, then [`NOBODY`].
    pub(super) fn bytes(&self) -> &[u8] {
        &self.owners
    }

    /// Copies of each slot, where there are as many nodes.
    pub fn copies(&self) -> u8 {
        self.copies
    }

    /// Its rows, in order.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.owners.chunks_exact(usize::from(self.copies).max(1)).map(of_nodes)
    }

    /// The owners of one slot.
    pub fn row(&self, slot: usize) -> &[u8] {
        let row = self.owners.chunks_exact(usize::from(self.copies).max(1)).nth(slot);
        row.map(of_nodes).unwrap_or_default()
    }

    /// How many slots a node owns.
    pub fn load(&self, node: u8) -> usize {
        self.rows().filter(|row| row.contains(&node)).count()
    }
}

fn of_nodes(row: &[u8]) -> &[u8] {
    row.iter().position(|owner| *owner == NOBODY).and_then(|end| row.get(..end)).unwrap_or(row)
}
