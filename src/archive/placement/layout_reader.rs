//! Reads the file of a layout, and refuses whatever it would not have written itself.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use super::layout::{CopiesWanted, Layout, LayoutNode, MOST_CHANNELS, MOST_NODES, NodeState, PlaceName};
use super::layout_writer::{BEGINNING, CHECK, VERSION};
use super::owner_table::OwnerTable;
use super::slot::SLOTS;
use crate::archive::{Channel, Hash};

/// Bytes of the largest file that is read: with all tables, nodes and channels that are allowed one has less.
pub const LARGEST_LAYOUT: usize = 2 << 20;

/// Bytes of the last line.
const CHECK_LINE: usize = CHECK.len() + 64 + 1;

/// Why a file is no layout.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// Too large.
    #[error(
        "a layout has at most {LARGEST_LAYOUT} bytes, and this file has {0}: it is something else; take the layout of another node"
    )]
    TooLarge(usize),
    /// Another beginning.
    #[error(
        "this file does not begin with `{BEGINNING}`: it is no layout, or is damaged; take the layout of another node"
    )]
    NoLayout,
    /// Another version of the format.
    #[error(
        "the layout has version {0:?} of the format, and this program reads version {VERSION}; a newer gapless reads it"
    )]
    Version(String),
    /// The hash in its last line is another one.
    #[error(
        "the layout is damaged or was changed by hand: its last line is not `{CHECK}` and the SHA-256 of what stands before it; take the layout of another node"
    )]
    Damaged,
    /// Whole, and not as any version writes it.
    #[error("the layout is whole, but its {0}; whatever wrote it was no gapless of this version")]
    Content(&'static str),
}

impl Layout {
    /// Reads a file that [`Layout::to_bytes`] wrote.
    pub fn read(file: &[u8]) -> Result<Self, LayoutError> {
        if file.len() > LARGEST_LAYOUT {
            return Err(LayoutError::TooLarge(file.len()));
        }
        let rest = file.strip_prefix(BEGINNING.as_bytes()).ok_or(LayoutError::NoLayout)?;
        let version = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
        if version != VERSION.as_bytes() {
            let shown = String::from_utf8_lossy(version.get(..20).unwrap_or(version)).into_owned();
            return Err(LayoutError::Version(shown));
        }
        let split = file.len().checked_sub(CHECK_LINE).ok_or(LayoutError::Damaged)?;
        let (content, check) = file.split_at(split);
        let hash = Hash(Sha256::digest(content).into());
        if check != format!("{CHECK}{}\n", hash.hexadecimal()).as_bytes() {
            return Err(LayoutError::Damaged);
        }
        let layout = read_content(content).map_err(LayoutError::Content)?;
        // There is one way to write a layout: so two with different bytes are different.
        if layout.to_bytes() != file {
            return Err(LayoutError::Content("lines are not in the one order and form that there is"));
        }
        Ok(layout)
    }
}

/// Whether the lines are in order is seen when they are written again.
fn read_content(mut rest: &[u8]) -> Result<Layout, &'static str> {
    let mut layout = Layout::none();
    let length = loop {
        let (line, after) = next_line(rest).ok_or("lines end before `owners BYTES`")?;
        rest = after;
        let (word, value) = line.split_once(' ').ok_or("lines have one of one word")?;
        match word {
            "#" => {}
            "version" => layout.version = value.parse().map_err(|_| "version is no number")?,
            "parent" if value == "none" => layout.parent = None,
            "parent" => layout.parent = Some(Hash::parse_hexadecimal(value).ok_or("parent is no SHA-256")?),
            "copies" => layout.copies = CopiesWanted::parse(value).ok_or("number of copies is none")?,
            "channel" => {
                let (channel, copies) = read_channel(value).ok_or("channels have one that is none")?;
                layout.channels.insert(channel, copies);
            }
            "node" => layout.nodes.push(read_node(value).ok_or("nodes have one that is none")?),
            "owners" => break value.parse::<usize>().map_err(|_| "owners have no number of bytes")?,
            _ => return Err("lines have one that is not known"),
        }
    };
    if layout.version == 0 || (layout.version == 1) != layout.parent.is_none() {
        return Err("version does not fit its parent: the first one has none, and all others have one");
    }
    if layout.nodes.len() > MOST_NODES || layout.channels.len() > MOST_CHANNELS {
        return Err("nodes or channels are too many");
    }
    if !layout.nodes.is_sorted_by(|one, next| one.name < next.name) {
        return Err("nodes are not in the order of their names, each once");
    }
    if length != rest.len() {
        return Err("owners have another number of bytes than is said");
    }
    layout.tables = read_tables(&layout, rest).ok_or("owners are not those of its nodes and copies")?;
    Ok(layout)
}

fn next_line(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    Some((str::from_utf8(bytes.get(..end)?).ok()?, bytes.get(end + 1..)?))
}

fn read_channel(value: &str) -> Option<(Channel, CopiesWanted)> {
    let (copies, name) = value.split_once(' ')?;
    Some((Channel::new(&unescaped(name)?).ok()?, CopiesWanted::parse(copies)?))
}

/// The name that was written so.
pub(super) fn unescaped(name: &str) -> Option<String> {
    let mut plain = String::with_capacity(name.len());
    let mut chars = name.chars();
    while let Some(char) = chars.next() {
        plain.push(match char {
            '\\' => match chars.next()? {
                'n' => '\n',
                'r' => '\r',
                other => other,
            },
            other => other,
        });
    }
    Some(plain)
}

fn read_node(value: &str) -> Option<LayoutNode> {
    let words: Vec<&str> = value.split(' ').collect();
    let [name, "zone", zone, "weight", weight, state] = words.as_slice() else { return None };
    let (name, zone) = (PlaceName::new(name)?, PlaceName::new(zone)?);
    let weight = weight.parse().ok().filter(|weight| *weight > 0)?;
    let state = NodeState::ALL.into_iter().find(|one| one.as_str() == *state)?;
    Some(LayoutNode { name, zone, weight, state })
}

fn read_tables(layout: &Layout, mut owners: &[u8]) -> Option<BTreeMap<u8, OwnerTable>> {
    let mut tables = BTreeMap::new();
    for copies in layout.numbers_of_copies() {
        let (table, after) = owners.split_at_checked(usize::from(copies) * SLOTS)?;
        tables.insert(copies, OwnerTable::read(copies, table, layout.nodes.len())?);
        owners = after;
    }
    owners.is_empty().then_some(tables)
}
