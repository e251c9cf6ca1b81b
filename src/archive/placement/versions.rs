//! From the owners of now to those that are planned, in versions in which at most one copy of a slot moves.
//!
//! A copy moves when one that is there leaves for a new one. What is not such a move needs not wait for another: where owners are lost, or
//! more copies are wanted, all that are missing come in one version, as nobody who has the slot goes; and where fewer are wanted,
//! all that are too many go, as those who stay have it already. But no slot does both in one version.

/// What is known of the owners.
pub struct Owners<'a> {
    /// Whether a node is lost.
    pub is_lost: &'a dyn Fn(u8) -> bool,
    /// The zone of a node.
    pub zone_of: &'a dyn Fn(u8) -> usize,
}

/// The rows of each version, up to those that are planned; none if nothing changes.
pub fn versions(before: &[Vec<u8>], planned: &[Vec<u8>], owners: &Owners<'_>) -> Vec<Vec<Vec<u8>>> {
    let mut now: Vec<Vec<u8>> = before.to_vec();
    for row in &mut now {
        row.sort_unstable();
    }
    let mut versions = Vec::new();
    while now != planned {
        now = now.iter().zip(planned).map(|(row, planned)| next_row(row, planned, owners)).collect();
        versions.push(now.clone());
    }
    versions
}

/// The owners of a slot in the next version. Of those who could come or go it takes the ones with which copies are spread best.
fn next_row(now: &[u8], planned: &[u8], owners: &Owners<'_>) -> Vec<u8> {
    let mut row: Vec<u8> = now.iter().copied().filter(|owner| !(owners.is_lost)(*owner)).collect();
    let without = |these: &[u8], those: &[u8]| -> Vec<u8> {
        these.iter().copied().filter(|owner| !those.contains(owner)).collect()
    };
    let is_move = row.len() == now.len() && row.len() == planned.len();
    if is_move {
        let (leaving, coming) = (without(&row, planned), without(planned, &row));
        let pairs = leaving.iter().flat_map(|leaves| coming.iter().map(move |comes| (*leaves, *comes)));
        let moved = |(leaves, comes): (u8, u8)| [without(&row, &[leaves]), vec![comes]].concat();
        if let Some(pair) = pairs.min_by_key(|pair| (crowding(&moved(*pair), owners), *pair)) {
            row = moved(pair);
        }
    }
    while row.len() < planned.len() {
        let with = |comes: u8| [row.clone(), vec![comes]].concat();
        let Some(comes) =
            without(planned, &row).into_iter().min_by_key(|comes| (crowding(&with(*comes), owners), *comes))
        else {
            break;
        };
        row.push(comes);
    }
    while row.len() > planned.len() {
        let rest = |leaves: u8| without(&row, &[leaves]);
        let Some(leaves) =
            without(&row, planned).into_iter().min_by_key(|leaves| (crowding(&rest(*leaves), owners), *leaves))
        else {
            break;
        };
        row = rest(leaves);
    }
    row.sort_unstable();
    row
}

/// How many pairs of copies, in either order, lie in one zone.
fn crowding(row: &[u8], owners: &Owners<'_>) -> usize {
    let zones = || row.iter().map(|owner| (owners.zone_of)(*owner));
    zones().map(|zone| zones().filter(|other| *other == zone).count()).sum()
}
