//! Names of probes: files that are written for a moment to find out whether a server shows the same directory as this node.
//!
//! A probe looks like a segment to every server of this field, or else it would not be shown. Its hash begins with bytes that no
//! content is ever going to have by accident, so that it is known again by its name alone: it is never listed, indexed or fetched, and
//! what a crash left behind is cleared away. Its content does not have that hash, so nobody can replicate it either.

use super::segment::{Hash, SegmentKey, SegmentKind, Spelling};
use super::{Container, FileName, parse_file_name};

/// How the hash of a probe begins; written as `gaplessProbe`.
const MARK: [u8; 9] = [0x81, 0xaa, 0x65, 0x7a, 0xcb, 0x0f, 0xae, 0x86, 0xde];
/// The last tenth of a second of an hour: whoever plays the hour at this very moment misses nothing by it.
const START_US: u32 = 3_599_900_000;
const DURATION_US: u32 = 100_000;

/// The name of a probe with these random bytes.
pub fn probe_name(random: [u8; 23]) -> String {
    let mut hash = [0; 32];
    for (to, from) in hash.iter_mut().zip(MARK.into_iter().chain(random)) {
        *to = from;
    }
    let spelling = Spelling::new(6, 1).unwrap_or(Spelling::EXACT);
    let key = SegmentKey {
        start_us: START_US,
        container: Container::Ts,
        kind: SegmentKind::Partial,
        tombstone: false,
        duration_us: DURATION_US,
        spelling,
        hash: Hash(hash),
    };
    let mut name = String::new();
    key.push_name(&mut name);
    name
}

/// Whether this is the name of a probe.
pub fn is_probe_name(name: &str) -> bool {
    matches!(parse_file_name(name), FileName::Understood(key) if is_probe(&key))
}

/// Whether a segment of this key is a probe.
pub fn is_probe(key: &SegmentKey) -> bool {
    key.hash.0.starts_with(&MARK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::AnyFile;

    #[test]
    fn a_probe_looks_like_a_segment_and_is_known_by_its_name() {
        let name = probe_name([7; 23]);
        assert!(name.starts_with("59:59.900000-0.1-partial-gaplessProbe"), "{name}");
        assert_eq!(name.rsplit_once('.').unwrap().1, "ts");
        assert!(is_probe_name(&name) && AnyFile::read(&name, 5).is_none());
        assert_ne!(name, probe_name([8; 23]));
        for other in ["00:00-2.0-full-47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU.ts", "gaplessProbe.ts", ""] {
            assert!(!is_probe_name(other), "{other}");
        }
    }
}
