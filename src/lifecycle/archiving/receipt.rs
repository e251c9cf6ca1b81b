//! What is noted of an hour that was read back from a bucket: which objects of which bucket, when, and for which manifest they are all of it.
//!
//! A receipt says that the hour is in the bucket only while the manifest beside it is that one, and only for the bucket that the settings
//! name. Its objects were read back even where the hour has changed since. One that is damaged, or of another version, counts as none.

use serde::{Deserialize, Serialize};

use crate::archive::{Hash, HourPlace, Timestamp};
use crate::bucket::BucketIdentity;

/// Bytes of the largest that is read: a thousand objects.
pub(super) const LARGEST: u64 = 128 << 10;
const VERSION: u32 = 2;

/// As it lies on the disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct WrittenReceipt {
    version: u32,
    hour: String,
    manifest: Option<String>,
    objects: Vec<String>,
    endpoint: String,
    bucket: String,
    prefix: String,
    read_back: Timestamp,
}

/// That all of some objects was read back and was right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Receipt {
    /// The SHA-256 of the manifest of which these objects hold all; `None` if the hour has changed since, or one of them is lost.
    pub(super) manifest: Option<Hash>,
    /// In no particular order, by the SHA-256 of their own manifests.
    pub(super) objects: Vec<Hash>,
    pub(super) bucket: BucketIdentity,
    pub(super) read_back: Timestamp,
}

impl Receipt {
    pub(super) fn to_bytes(&self, place: &HourPlace) -> Vec<u8> {
        let written = WrittenReceipt {
            version: VERSION,
            hour: place.to_string(),
            manifest: self.manifest.as_ref().map(Hash::hexadecimal),
            objects: self.objects.iter().map(Hash::hexadecimal).collect(),
            endpoint: self.bucket.endpoint.clone(),
            bucket: self.bucket.bucket.clone(),
            prefix: self.bucket.prefix.clone(),
            read_back: self.read_back,
        };
        let mut bytes = serde_json::to_vec_pretty(&written).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// Whether it says that an hour, as it was sealed once, is in the bucket, and what its objects hold is noted here.
    pub(super) fn is_of_an_hour(&self, noted: &[Hash]) -> bool {
        let has_all = !self.objects.is_empty() && self.objects.iter().all(|object| noted.contains(object));
        self.manifest.is_some() && has_all
    }

    /// Reads the receipt of an hour; `None` if it is none.
    pub(super) fn read(place: &HourPlace, bytes: &[u8]) -> Option<Self> {
        let written: WrittenReceipt = serde_json::from_slice(bytes).ok()?;
        let objects = written.objects.iter().map(|object| Hash::parse_hexadecimal(object)).collect::<Option<_>>()?;
        let manifest = match written.manifest {
            Some(manifest) => Some(Hash::parse_hexadecimal(&manifest)?),
            None => None,
        };
        let bucket = BucketIdentity { endpoint: written.endpoint, bucket: written.bucket, prefix: written.prefix };
        let is_of_it = written.version == VERSION && written.hour == place.to_string();
        is_of_it.then_some(Self { manifest, objects, bucket, read_back: written.read_back })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    fn place() -> HourPlace {
        HourPlace::parse("c/source/2024-01-01T00").unwrap()
    }

    fn receipt() -> Receipt {
        let bucket =
            BucketIdentity { endpoint: "https://h".to_owned(), bucket: "b".to_owned(), prefix: "p/".to_owned() };
        let (manifest, objects) = (Some(Hash([7; 32])), vec![Hash([7; 32]), Hash([8; 32])]);
        Receipt { manifest, objects, bucket, read_back: Timestamp::from_us(1_704_067_200_000_000) }
    }

    #[test]
    fn a_receipt_is_read_again_and_none_of_another_hour_or_version_is() {
        let open = Receipt { manifest: None, ..receipt() };
        assert_eq!(Receipt::read(&place(), &open.to_bytes(&place())), Some(open.clone()));
        let [one, two] = [7, 8].map(|byte| Hash([byte; 32]));
        assert!(receipt().is_of_an_hour(&[two, one]) && !receipt().is_of_an_hour(&[one]));
        assert!(!open.is_of_an_hour(&[one, two]), "it has changed since");
        assert!(!Receipt { objects: Vec::new(), ..receipt() }.is_of_an_hour(&[one]));
        let bytes = receipt().to_bytes(&place());
        assert_eq!(Receipt::read(&place(), &bytes), Some(receipt()));
        let other = HourPlace::parse("c/source/2024-01-01T01").unwrap();
        assert_eq!(Receipt::read(&other, &bytes), None);
        let newer = String::from_utf8(bytes.clone()).unwrap().replace("\"version\": 2", "\"version\": 3");
        assert_eq!(Receipt::read(&place(), newer.as_bytes()), None);
        for cut in 0..bytes.len() - 1 {
            assert_eq!(Receipt::read(&place(), &bytes[..cut]), None, "{cut}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(Receipt::read(&place(), &bytes), None);
        }
    }
}
