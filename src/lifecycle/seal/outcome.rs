//! What sealing an hour can come to.

use super::rules::NotSealed;

/// What was sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedHour {
    pub files: u64,
    pub bytes: u64,
    /// The SHA-256 of the manifest, in hexadecimal digits.
    pub id: String,
}

/// What became of an hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SealOutcome {
    /// Its bytes were read.
    Sealed(SealedHour),
    /// Nothing has changed since it was.
    WasSealed,
    NotSealed(NotSealed),
    /// Nothing of it is here, and objects of a bucket hold it.
    InBucket,
    /// Whoever asked had enough.
    Stopped,
}

/// Whether an hour is what its manifest says, by the directory's own time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealState {
    Sealed,
    /// It has changed since it was sealed.
    Unsealed,
    /// It never was.
    Open,
    /// It has no directory, and objects of a bucket hold it.
    InBucket,
}
