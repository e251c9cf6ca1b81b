//! Which bucket it is that the notes of objects are about. Settings that name another one are no reason to take everything for lost.

use super::archiver::ArchiveError;
use crate::bucket::BucketIdentity;
use crate::disk::{Base, BucketManifests};
use crate::sync::crawl::CrawlError;

/// An error if what is noted of objects is about another bucket than this one; where nothing was noted it will be about this one.
pub(super) fn claim(base: &Base, named: &BucketIdentity) -> Result<(), ArchiveError> {
    let (manifests, named) = (BucketManifests::of(base), named.to_string());
    match manifests.bucket().map_err(CrawlError::from)? {
        Some(known) if known == named => Ok(()),
        Some(known) => {
            let path = base.path().join(BucketManifests::bucket_path()).display().to_string();
            Err(ArchiveError::OtherBucket { noted: known, named, path })
        }
        None => Ok(manifests.set_bucket(&named).map_err(CrawlError::from)?),
    }
}
