//! Why an archived segment cannot be given.

use std::io;
use std::sync::Arc;

use super::error::BucketError;
use crate::archive::ObjectName;
use crate::archive::escape::shown;

/// The reason, which all who wait for it are told.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SegmentReadError {
    /// The bucket.
    #[error(transparent)]
    Bucket(Arc<BucketError>),
    /// The object holds no such file.
    #[error("there is no file '{}' in the object {object}; its manifest lists what there is", shown(name))]
    NoFile {
        /// The object.
        object: ObjectName,
        /// The name.
        name: String,
    },
    /// It came, and can lie nowhere here.
    #[error("what came from the bucket cannot be held here: {0}; is there room in the state directory?")]
    Disk(Arc<io::Error>),
}

impl SegmentReadError {
    /// A word for it, which stays the same from version to version: that of the bucket, `no_file` or `disk`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Bucket(error) => error.reason(),
            Self::NoFile { .. } => "no_file",
            Self::Disk(_) => "disk",
        }
    }

    /// Whether the object is not what it should be, or not there.
    pub fn is_loss(&self) -> bool {
        matches!(self, Self::Bucket(error) if error.is_loss())
    }

    pub(super) fn disk(error: io::Error) -> Self {
        Self::Disk(Arc::new(error))
    }
}

impl From<BucketError> for SegmentReadError {
    fn from(error: BucketError) -> Self {
        Self::Bucket(Arc::new(error))
    }
}
