//! Why an hour was not sent: because of the bucket, or of what it is read from.

use super::error::BucketError;
use crate::archive::escape::shown;
use crate::disk::DiskError;

/// Why an hour was not sent.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The bucket.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// What is here.
    #[error(transparent)]
    Local(#[from] LocalHourError),
}

/// Why an hour cannot be read as its manifest says.
#[derive(Debug, thiserror::Error)]
pub enum LocalHourError {
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A file is another one, or gone.
    #[error("{} is not what the manifest of its hour says: {why}; `gapless scrub` looks at it", shown(name))]
    Changed {
        /// Its path.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
}
