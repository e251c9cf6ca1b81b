//! Where the parts of an upload come from: the disk here ([`LocalHour`](super::LocalHour)), or other objects
//! ([`CopiedHour`](super::CopiedHour)).

use std::sync::Arc;

use bytes::Bytes;

use super::upload_error::UploadError;
use crate::archive::PackedHour;

/// An hour that is read part by part, from the beginning to the end. What is not what its manifest says ends it with an error, before the last
/// part is given: a bucket must not hold under the digest of right bytes any others.
pub trait PartSource {
    /// What is read.
    fn packed(&self) -> &Arc<PackedHour>;

    /// The next part, of so many bytes if there are as many; `None` at the end, and after an error.
    fn next_part(&mut self, bytes: u64) -> impl Future<Output = Result<Option<Bytes>, UploadError>>;
}
