//! What a tombstone says for itself: why it was made, when and where. It is the content of its file, as JSON; a tombstone of others is
//! empty, and hides as well.
//!
//! Whoever reads it takes it from a file that anybody may have written, or from another node: it is looked at before it is believed.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::archive::Timestamp;

/// Characters of a reason: some sentences. More belongs somewhere else, to which the reason can point.
pub const MOST_REASON: usize = 500;
/// Bytes of a tombstone's file that are read: the longest note of ours, with every character escaped, is shorter.
pub const MOST_NOTE: u64 = 4 << 10;
/// Bytes of a node's name.
const MOST_NAME: usize = 255;

/// Why there is a tombstone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TombstoneNote {
    /// In the words of whoever made it.
    pub reason: String,
    /// When it was made, such as `2019-11-13T02:55:08.000000Z`.
    pub at: String,
    /// The node on which it was made.
    pub node: String,
}

/// Why a reason cannot be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadReason {
    /// There is nothing in it.
    #[error("a reason that says something")]
    Empty,
    /// It is longer than [`MOST_REASON`].
    #[error("at most {MOST_REASON} characters")]
    Long,
    /// It would not be one line, or could do something to a terminal.
    #[error("one line without control characters")]
    Control,
}

impl TombstoneNote {
    /// A note of this node.
    pub fn new(reason: &str, at: SystemTime, node: &str) -> Result<Self, BadReason> {
        let reason = reason.trim();
        check(reason)?;
        Ok(Self { reason: reason.to_owned(), at: Timestamp::from(at).to_string(), node: node.to_owned() })
    }

    /// As it stands in the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).unwrap_or_default();
        if !bytes.is_empty() {
            bytes.push(b'\n');
        }
        bytes
    }

    /// What a file says; `None` if it is no note.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Self>(bytes).ok()?.checked()
    }

    /// The same, if it is what one of ours would be.
    pub fn checked(self) -> Option<Self> {
        let is_name = self.node.len() <= MOST_NAME && !self.node.contains(is_bad);
        let is_fine = is_name && check(&self.reason).is_ok() && Timestamp::parse(&self.at).is_some();
        is_fine.then_some(self)
    }
}

fn check(reason: &str) -> Result<(), BadReason> {
    if reason.is_empty() {
        return Err(BadReason::Empty);
    }
    if reason.chars().count() > MOST_REASON {
        return Err(BadReason::Long);
    }
    if reason.contains(is_bad) { Err(BadReason::Control) } else { Ok(()) }
}

/// Control characters, and those that turn the direction of what is written around them.
fn is_bad(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_kept_is_read_again_and_small(reason in any::<String>(), node in "[a-z]{1,20}") {
            if let Ok(note) = TombstoneNote::new(&reason, SystemTime::UNIX_EPOCH, &node) {
                let bytes = note.to_bytes();
                prop_assert!(bytes.len() as u64 <= MOST_NOTE);
                prop_assert_eq!(TombstoneNote::from_bytes(&bytes), Some(note));
            }
        }

        #[test]
        fn whatever_lies_in_a_file_is_a_note_or_none(bytes in any::<Vec<u8>>()) {
            prop_assert_eq!(TombstoneNote::from_bytes(&bytes), None);
        }
    }

    #[test]
    fn what_could_do_harm_or_is_too_long_is_no_reason() {
        let note = |reason: &str| TombstoneNote::new(reason, SystemTime::UNIX_EPOCH, "node");
        assert_eq!(note(" \t").unwrap_err(), BadReason::Empty);
        assert_eq!(note(&"ü".repeat(MOST_REASON + 1)).unwrap_err(), BadReason::Long);
        assert!(note(&"\u{10ffff}".repeat(MOST_REASON)).unwrap().to_bytes().len() as u64 <= MOST_NOTE);
        for harm in ["two\nlines", "\u{1b}[2J", "a\u{202e}b", "nul\0"] {
            assert_eq!(note(harm).unwrap_err(), BadReason::Control, "{harm:?}");
            let told =
                TombstoneNote { reason: harm.to_owned(), at: "2020-01-01T00:00:00Z".to_owned(), node: "n".to_owned() };
            assert_eq!(TombstoneNote::from_bytes(&told.to_bytes()), None, "{harm:?}");
        }
        assert_eq!(note("  said twice ").unwrap().reason, "said twice");
    }
}
