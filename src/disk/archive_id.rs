//! What tells an archive from every other, and the directory of ours in which that is kept.

use std::fmt;
use std::str::FromStr;

/// The directory in the base that is ours.
pub const OWN_DIR: &str = ".gapless";

/// What tells one archive from every other: 128 random bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ArchiveId(u128);

impl ArchiveId {
    /// A new one that nobody else has.
    pub fn random() -> Self {
        Self(rand::random())
    }

    /// From its bytes, as the index keeps them.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    /// As bytes.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for ArchiveId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:032x}", self.0)
    }
}

/// A text that is no archive id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an archive id; expected 32 hexadecimal digits")]
pub struct NotAnArchiveId;

impl FromStr for ArchiveId {
    type Err = NotAnArchiveId;

    fn from_str(text: &str) -> Result<Self, NotAnArchiveId> {
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(NotAnArchiveId);
        }
        u128::from_str_radix(text, 16).map(Self).map_err(|_| NotAnArchiveId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_written_and_read_the_same() {
        let id = ArchiveId(0xab);
        assert_eq!(id.to_string(), "000000000000000000000000000000ab");
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["", "ab", "+00000000000000000000000000000ab", "0000000000000000000000000000000g"] {
            assert_eq!(bad.parse::<ArchiveId>(), Err(NotAnArchiveId), "{bad}");
        }
        assert_ne!(ArchiveId::random(), ArchiveId::random());
    }
}
