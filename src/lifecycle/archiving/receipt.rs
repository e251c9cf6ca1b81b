//! What is noted of an hour that was read back from a bucket: which object of which bucket, and when.
//!
//! A receipt counts only while the manifest beside it is the one that the object is called after, and only for the bucket that the settings
//! name. One that is damaged, or of a newer version, counts as none.

use serde::{Deserialize, Serialize};

use crate::archive::{HourPlace, ObjectName, Timestamp};
use crate::bucket::BucketIdentity;

/// Bytes of the largest that is read.
pub(super) const LARGEST: u64 = 16 << 10;
const VERSION: u32 = 1;

/// As it lies on the disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct WrittenReceipt {
    version: u32,
    object: String,
    bytes: u64,
    endpoint: String,
    bucket: String,
    prefix: String,
    read_back: Timestamp,
}

/// That all of an object was read back and was right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Receipt {
    pub(super) object: ObjectName,
    pub(super) bytes: u64,
    pub(super) bucket: BucketIdentity,
    pub(super) read_back: Timestamp,
}

impl Receipt {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let written = WrittenReceipt {
            version: VERSION,
            object: self.object.to_string(),
            bytes: self.bytes,
            endpoint: self.bucket.endpoint.clone(),
            bucket: self.bucket.bucket.clone(),
            prefix: self.bucket.prefix.clone(),
            read_back: self.read_back,
        };
        let mut bytes = serde_json::to_vec_pretty(&written).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// Reads the receipt of an hour; `None` if it is none.
    pub(super) fn read(place: &HourPlace, bytes: &[u8]) -> Option<Self> {
        let written: WrittenReceipt = serde_json::from_slice(bytes).ok()?;
        let object = ObjectName::parse(&written.object).filter(|object| object.place == *place)?;
        let bucket = BucketIdentity { endpoint: written.endpoint, bucket: written.bucket, prefix: written.prefix };
        let read = Self { object, bytes: written.bytes, bucket, read_back: written.read_back };
        (written.version == VERSION).then_some(read)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::archive::Hash;

    fn place() -> HourPlace {
        HourPlace::parse("c/source/2024-01-01T00").unwrap()
    }

    fn receipt() -> Receipt {
        let bucket =
            BucketIdentity { endpoint: "https://h".to_owned(), bucket: "b".to_owned(), prefix: "p/".to_owned() };
        let object = ObjectName { place: place(), manifest: Hash([7; 32]) };
        Receipt { object, bytes: 9, bucket, read_back: Timestamp::from_us(1_704_067_200_000_000) }
    }

    #[test]
    fn a_receipt_is_read_again_and_none_of_another_hour_or_version_is() {
        let bytes = receipt().to_bytes();
        assert_eq!(Receipt::read(&place(), &bytes), Some(receipt()));
        let other = HourPlace::parse("c/source/2024-01-01T01").unwrap();
        assert_eq!(Receipt::read(&other, &bytes), None);
        let newer = String::from_utf8(bytes.clone()).unwrap().replace("\"version\": 1", "\"version\": 2");
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
