//! Sealed hours: each has a manifest of its files with their SHA-256, computed from the bytes, so that it can be checked, moved and restored without
//! an index, and without this program.
//!
//! 1. An hour is sealed when it is over, nothing has changed in its directory for a while, and no peer has something that is missing in it ([`rules`]).
//! 2. Every byte is read, and what a manifest says of a file is worked out from these bytes, never from the index. A file whose content is not the one in its name is not vouched for: the hour stays as it is, and the scrub is to look at it.
//! 3. The manifest is written only if nothing has changed in the directory since before the first byte was read.
//! 4. A change afterwards unseals the hour, which is told; the manifest stays until the next one takes its place, as it says what was there.
//! 5. Nothing is deleted or moved here.

mod hour_directory;
mod order;
mod outcome;
mod read_file;
mod rules;
mod seal_hour;
mod visitor;

pub use order::SealObserver;
pub use outcome::SealState;
pub use seal_hour::Sealer;
pub use visitor::SealVisitor;
