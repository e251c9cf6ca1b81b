//! Which bucket it is that the notes of objects are about. Settings that name another one are no reason to take everything for lost.

use crate::bucket::BucketIdentity;
use crate::disk::{Base, BucketManifests, DiskError};

/// Why the notes do not serve for this bucket.
#[derive(Debug, thiserror::Error)]
pub enum OwnBucketError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(
        "what is noted here of objects is about the bucket {known}, and the settings name {named}: name that one again; or, if its objects lie in the other one now, remove the file '{path}'"
    )]
    Other { known: String, named: String, path: String },
}

/// An error if what is noted of objects is about another bucket than this one; where nothing was noted it will be about this one.
pub(super) fn claim(base: &Base, named: &BucketIdentity) -> Result<(), OwnBucketError> {
    if is_noted(base, named)? { Ok(()) } else { Ok(BucketManifests::of(base).set_bucket(&named.to_string())?) }
}

/// Whether the notes are said to be about this bucket; an error if they are about another one. Writes nothing.
pub(super) fn is_noted(base: &Base, named: &BucketIdentity) -> Result<bool, OwnBucketError> {
    let named = named.to_string();
    match BucketManifests::of(base).bucket()? {
        Some(known) if known == named => Ok(true),
        Some(known) => {
            let path = base.path().join(BucketManifests::bucket_path()).display().to_string();
            Err(OwnBucketError::Other { known, named, path })
        }
        None => Ok(false),
    }
}
