//! Other places that hold files of this archive, behind one seam: a peer, which is asked over HTTP, and objects of a bucket.
//!
//! 1. A remote says what it holds of an hour, gives files of it, and says what its word is worth and what it can do. Who asks branches on
//!    that ([`Capabilities`]), and not on what kind of remote it is.
//! 2. It is trusted with nothing: whoever takes a file in compares the hash ([`Intake`]).
//! 3. It asks, and decides nothing: what is fetched, from whom and when, what hides it, and what is published is decided by whoever asks.
//!
//! Nothing is written or deleted here, there or elsewhere.

mod http;
mod s3;
mod segment_intake;
#[cfg(test)]
mod tests;

use std::fmt::Display;

pub use http::PeerRemote;
pub use s3::StoredObjects;
pub use segment_intake::{Given, SegmentIntake};

use crate::archive::HourPlace;
use crate::disk::{Intake, MissingFile};

/// What a list is worth to whoever is about to delete the last copy here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyWorth {
    /// What it lists was read back once, and it was asked now whether it is still there.
    ReadBack,
    /// It may be a list of this very disk, or of files that nobody has: it counts once a probe and a sample have shown that it does not lie.
    OnceProven,
    /// Nobody has looked at the bytes.
    Nothing,
}

/// What can be expected of a remote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    pub copies: CopyWorth,
    /// Whether it sends many small files in one answer, which takes a request of its own kind.
    pub bundles: bool,
}

/// A place that files of hours can come from.
pub trait Remote: Sync {
    /// Why it does not answer.
    type Error: Display + Send;

    /// What it is called here.
    fn name(&self) -> &str;

    fn capabilities(&self) -> Capabilities;

    /// The names of what it holds of an hour itself; nothing if it does not have that hour. What it can only get from another remote is not
    /// among them.
    fn list(&self, place: &HourPlace) -> impl Future<Output = Result<Vec<Box<str>>, Self::Error>> + Send;

    /// Gives these files of an hour, in any order, in as few requests as it takes. It ends with the first that fails, and those that were given
    /// until then were.
    fn open<I>(
        &self,
        place: &HourPlace,
        files: &[MissingFile],
        into: &mut I,
    ) -> impl Future<Output = Result<(), I::Error>> + Send
    where
        I: Intake<Error: From<Self::Error>>;
}
