//! Changes of a layout that somebody has asked for and nobody has applied yet, and their file.
//!
//! What is kept are the changes and not the versions that they lead to: the planner gives the same versions each time, and changes hold
//! for the layout that comes from another node in the meantime as well.

use std::fmt;

use sha2::{Digest as _, Sha256};

use super::layout::{CopiesWanted, PlaceName};
use super::layout_reader::unescaped;
use super::layout_writer::{CHECK, escaped};
use super::planner::LayoutChange;
use crate::archive::{Channel, Hash};

/// The first line, but its version.
const BEGINNING: &str = "# gapless layout changes v";
const VERSION: &str = "1";
/// Changes that wait at once: each node could be added, drained and removed. Beyond that, something writes them in a circle.
pub const MOST_STAGED: usize = 1_000;
/// Bytes of the largest file that is read: names of channels are short.
pub const LARGEST_STAGED: usize = 1 << 20;

/// What is read is no such file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the file of staged changes is damaged, or another version of gapless wrote it; `gapless layout discard` forgets what is staged"
)]
pub struct BadStaged;

/// Changes in the order in which they were asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StagedChanges {
    /// What is to be different.
    pub changes: Vec<LayoutChange>,
    /// The hash of the version that is being applied with them: where that is the layout already, they are done, and only a crash has left
    /// them here.
    pub becomes: Option<Hash>,
}

impl StagedChanges {
    /// Its file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let becomes = self.becomes.map(|hash| format!("becomes {}", hash.hexadecimal()));
        let first = format!("{BEGINNING}{VERSION}");
        let lines = std::iter::once(first).chain(becomes).chain(self.changes.iter().map(ToString::to_string));
        let text: String = lines.map(|line| line + "\n").collect();
        let hash = Hash(Sha256::digest(&text).into());
        format!("{text}{CHECK}{}\n", hash.hexadecimal()).into_bytes()
    }

    /// Reads a file that [`StagedChanges::to_bytes`] wrote.
    pub fn read(file: &[u8]) -> Result<Self, BadStaged> {
        let beginning = format!("{BEGINNING}{VERSION}\n");
        let text = str::from_utf8(file).ok().filter(|text| text.starts_with(&beginning)).ok_or(BadStaged)?;
        let end = text.trim_end_matches('\n').rfind('\n').map_or(0, |at| at + 1);
        let (content, _) = text.split_at(end);
        let mut staged = Self::default();
        for line in content.lines().skip(1) {
            match line.strip_prefix("becomes ") {
                Some(hash) => staged.becomes = Some(Hash::parse_hexadecimal(hash).ok_or(BadStaged)?),
                None => staged.changes.push(read_line(line).ok_or(BadStaged)?),
            }
        }
        // There is one way to write them, the check included.
        if staged.to_bytes() == file { Ok(staged) } else { Err(BadStaged) }
    }
}

/// A change on one line, as it stands in the file and as people read it.
impl fmt::Display for LayoutChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Add { name, zone, weight } => write!(f, "add {name} zone {zone} weight {weight}"),
            Self::Drain(name) => write!(f, "drain {name}"),
            Self::Lost(name) => write!(f, "lost {name}"),
            Self::Remove(name) => write!(f, "remove {name}"),
            Self::Replace { old, new } => write!(f, "replace {old} {new}"),
            Self::Copies { channel, copies } => {
                match copies {
                    Some(copies) => write!(f, "copies {copies}")?,
                    None => f.write_str("copies default")?,
                }
                channel.as_ref().map_or(Ok(()), |channel| write!(f, " {}", escaped(channel.as_str())))
            }
        }
    }
}

fn read_line(line: &str) -> Option<LayoutChange> {
    let (verb, rest) = line.split_once(' ')?;
    Some(match verb {
        "add" => {
            let words: Vec<&str> = rest.split(' ').collect();
            let [name, "zone", zone, "weight", weight] = words.as_slice() else { return None };
            let (name, zone) = (PlaceName::new(name)?, PlaceName::new(zone)?);
            LayoutChange::Add { name, zone, weight: weight.parse().ok()? }
        }
        "drain" => LayoutChange::Drain(PlaceName::new(rest)?),
        "lost" => LayoutChange::Lost(PlaceName::new(rest)?),
        "remove" => LayoutChange::Remove(PlaceName::new(rest)?),
        "replace" => {
            let (old, new) = rest.split_once(' ')?;
            LayoutChange::Replace { old: PlaceName::new(old)?, new: PlaceName::new(new)? }
        }
        "copies" => {
            let (copies, channel) = rest.split_once(' ').map_or((rest, None), |(copies, name)| (copies, Some(name)));
            let copies = if copies == "default" { None } else { Some(CopiesWanted::parse(copies)?) };
            let channel = match channel {
                Some(name) => Some(Channel::new(&unescaped(name)?).ok()?),
                None => None,
            };
            LayoutChange::Copies { channel, copies }
        }
        _ => return None,
    })
}
