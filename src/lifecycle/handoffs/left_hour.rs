//! What has left for its owners, as retention measures it: it was meant to go, and must not look like a loss.

use crate::archive::origins::Origin;

/// An hour that has left.
#[derive(Debug, Clone, Copy)]
pub struct LeftHour {
    /// Whose it was.
    pub origin: Origin,
    /// Bytes that were its own.
    pub bytes: u64,
}
