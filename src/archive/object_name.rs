//! The name of an hour's object in a bucket: `v1/CHANNEL/QUALITY/HOUR/DIGEST.tar`. It holds the digest of the content, so that whoever uploads the
//! same files makes the same object.

use std::fmt;

use super::HourPlace;
use super::segment::Hash;

/// What the names of all objects of this version begin with.
pub const OBJECTS: &str = "v1/";
const ENDING: &str = ".tar";

/// Which hour an object holds, and which manifest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    /// The hour.
    pub place: HourPlace,
    /// The SHA-256 of the manifest.
    pub manifest: Hash,
}

impl ObjectName {
    /// Reads one; `None` if it is the name of something else.
    pub fn parse(text: &str) -> Option<Self> {
        let (place, digest) = text.strip_prefix(OBJECTS)?.strip_suffix(ENDING)?.rsplit_once('/')?;
        Some(Self { place: HourPlace::parse(place).ok()?, manifest: Hash::parse_hexadecimal(digest)? })
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{OBJECTS}{}/{}{ENDING}", self.place, self.manifest.hexadecimal())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_name_is_written_and_read_again(channel in "[^./\0][^/\0]{0,20}", quality in "[a-z0-9]{1,9}", hash: [u8; 32]) {
            let place = HourPlace::parse(&format!("{channel}/{quality}/2019-11-13T02")).unwrap();
            let name = ObjectName { place, manifest: Hash(hash) };
            prop_assert_eq!(ObjectName::parse(&name.to_string()), Some(name));
        }

        #[test]
        fn no_text_panics(text in "(v1/)?.{0,60}(/[0-9a-f]{64})?(.tar)?") {
            if let Some(name) = ObjectName::parse(&text) {
                prop_assert_eq!(name.to_string(), text);
            }
        }
    }

    #[test]
    fn what_is_named_otherwise_is_none_of_ours() {
        let digest = "0a".repeat(32);
        let right = format!("v1/c/source/2019-11-13T02/{digest}.tar");
        assert!(ObjectName::parse(&right).is_some());
        for wrong in [
            String::new(),
            right.replace("v1/", "v2/"),
            right.replace("v1/", "/v1/"),
            right.replace(".tar", ".tar.gz"),
            right.replace("0a0a", "0A0a"),
            right.replace("0a0a", "0a"),
            right.replace("c/source", "c"),
            right.replace("c/source", ".c/source"),
            right.replace("T02", ""),
        ] {
            assert_eq!(ObjectName::parse(&wrong), None, "{wrong}");
        }
    }
}
