//! Which files of one hour peers gave of late, and who gave each: what somebody gave is no yardstick for what may be hidden.
//!
//! 1. Names count, by the first 64 bits of their SHA-256: nobody makes a file that passes for another.
//! 2. A list is kept by lines, each with a check; it says *these are about to appear*, so one that appears in it need not have come.
//!    What is in no list is the archive's own.
//! 3. Where a line does not add up nobody knows what it said: [`Gifts::is_damaged`], and nothing is to be concluded.
//!
//! Reads and writes no file; which lists are of late is decided by who keeps them.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use super::origins::{checked, decoded, encoded, unchecked};

const GAVE: &str = "gave";
/// Bytes of a name's hash that are kept.
const HASH_BYTES: usize = 8;

/// Who gave what of an hour.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gifts {
    givers: HashMap<u64, Arc<str>>,
    peers: Vec<Arc<str>>,
    is_damaged: bool,
}

impl Gifts {
    /// Adds what a list says.
    pub fn read(&mut self, bytes: &[u8]) {
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let Some((peer, hashes)) = std::str::from_utf8(line).ok().and_then(read) else {
                self.is_damaged = true;
                continue;
            };
            let known = self.peers.iter().find(|known| ***known == peer).map(Arc::clone);
            let peer = known.unwrap_or_else(|| {
                let new = Arc::<str>::from(peer);
                self.peers.push(Arc::clone(&new));
                new
            });
            self.givers.extend(hashes.into_iter().map(|hash| (hash, Arc::clone(&peer))));
        }
    }

    /// Nothing can be concluded from it.
    pub fn damage(&mut self) {
        self.is_damaged = true;
    }

    /// Whether something that it said is not known.
    pub const fn is_damaged(&self) -> bool {
        self.is_damaged
    }

    /// Who gave the file of this name, if a peer did.
    pub fn giver(&self, name: &str) -> Option<&str> {
        self.givers.get(&hash_of(name)).map(|peer| &**peer)
    }

    /// How many files peers gave; with a peer, how many that one did.
    pub fn count(&self, of: Option<&str>) -> u64 {
        match of {
            Some(peer) => self.givers.values().filter(|giver| &***giver == peer).count() as u64,
            None => self.givers.len() as u64,
        }
    }
}

/// The line that says that a peer gives these.
pub fn line<'n>(peer: &str, names: impl IntoIterator<Item = &'n str>) -> String {
    let hashes: Vec<u8> = names.into_iter().flat_map(|name| hash_of(name).to_be_bytes()).collect();
    checked(&format!("{GAVE} {} {}", encoded(peer), URL_SAFE_NO_PAD.encode(hashes)))
}

fn read(line: &str) -> Option<(String, Vec<u64>)> {
    let words: Vec<&str> = unchecked(line)?.split(' ').collect();
    let [GAVE, peer, encoded] = words[..] else { return None };
    let bytes = URL_SAFE_NO_PAD.decode(encoded).ok()?;
    let (hashes, rest) = bytes.as_chunks::<HASH_BYTES>();
    rest.is_empty().then_some(())?;
    Some((decoded(peer)?, hashes.iter().map(|hash| u64::from_be_bytes(*hash)).collect()))
}

fn hash_of(name: &str) -> u64 {
    let hash: [u8; 32] = Sha256::digest(name.as_bytes()).into();
    hash.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_line_says_is_read_and_a_damaged_one_is_known_to_be() {
        let mut gifts = Gifts::default();
        let text = line("b c", ["one", "two"]) + &line("d", ["two", "three"]);
        gifts.read(text.as_bytes());
        let givers = ["one", "two", "three", "four"].map(|name| gifts.giver(name));
        assert_eq!(givers, [Some("b c"), Some("d"), Some("d"), None]);
        assert_eq!([gifts.count(None), gifts.count(Some("d")), gifts.count(Some("e"))], [3, 2, 0]);
        assert!(!gifts.is_damaged());
        for at in 0..text.len() - 1 {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            let mut damaged = Gifts::default();
            damaged.read(&bytes);
            assert!(damaged.is_damaged(), "byte {at}");
        }
        let mut torn = Gifts::default();
        torn.read(&text.as_bytes()[..text.len() - 5]);
        assert!(torn.is_damaged());
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            Gifts::default().read(&bytes);
        }
    }
}
