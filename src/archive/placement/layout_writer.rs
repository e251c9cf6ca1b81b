//! Writes the file of a layout: lines that people can read, the rows of its tables as bytes, and the SHA-256 of all of that.

use sha2::{Digest as _, Sha256};

use super::layout::Layout;
use super::owner_table::OwnerTable;
use crate::archive::Hash;

/// The first line, but its version.
pub(super) const BEGINNING: &str = "# gapless layout v";
/// The version that is written, and the only one that is read.
pub(super) const VERSION: &str = "1";
/// What stands in front of the hash in the last line.
pub(super) const CHECK: &str = "sha256 ";

impl Layout {
    /// Its file: `docs/placement.md` describes it to the byte.
    pub fn to_bytes(&self) -> Vec<u8> {
        layout_bytes(self).0
    }

    /// The SHA-256 that stands at the end of its file: two layouts with the same are the same.
    pub fn hash(&self) -> Hash {
        layout_bytes(self).1
    }
}

/// The file and its hash.
fn layout_bytes(layout: &Layout) -> (Vec<u8>, Hash) {
    let parent = layout.parent.map_or_else(|| "none".to_owned(), |parent| parent.hexadecimal());
    let mut lines =
        vec![format!("{BEGINNING}{VERSION}"), format!("version {}", layout.version), format!("parent {parent}")];
    lines.push(format!("copies {}", layout.copies));
    for (channel, copies) in &layout.channels {
        lines.push(format!("channel {copies} {}", escaped(channel.as_str())));
    }
    for node in &layout.nodes {
        let state = node.state.as_str();
        lines.push(format!("node {} zone {} weight {} {state}", node.name, node.zone, node.weight));
    }
    let tables: Vec<&[u8]> = layout.tables.values().map(OwnerTable::bytes).collect();
    let owners = tables.concat();
    lines.push(format!("owners {}\n", owners.len()));
    let mut bytes = lines.join("\n").into_bytes();
    bytes.extend(owners);
    let hash = Hash(Sha256::digest(&bytes).into());
    bytes.extend(format!("{CHECK}{}\n", hash.hexadecimal()).into_bytes());
    (bytes, hash)
}

/// As manifests write names.
pub(super) fn escaped(name: &str) -> String {
    name.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r")
}
