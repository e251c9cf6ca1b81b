//! Where peers come from: flags and settings, a file, a PostgreSQL table. Keeps one list of them, and tells when it changes.
//!
//! 1. [`entry`] and [`merge()`] are pure: lines and rows to entries, entries of all sources to peers without this node itself.
//! 2. [`Sources`] reads each source again and again, each for itself: one that fails keeps its last answer, and its trouble is told.
//! 3. The last good answer of the database survives a restart (`memory`); names and addresses, nothing secret.
//! 4. Everything that is read is bounded, in size and in time. No password is ever part of a message.
//!
//! Nobody is asked for segments here, and nothing is concluded about a peer but that it is in the list.

mod database;
pub mod entry;
mod file;
mod merge;
mod report;
mod watcher;

pub use database::{Connection, Database};
pub use entry::SourceEntry;
pub use merge::{OwnNode, Trust};
pub use report::{SourceError, SourceStatus};
pub use watcher::{SourceOptions, Sources};
