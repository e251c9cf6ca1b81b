//! Where peers come from: flags and settings, a file, a PostgreSQL table. Keeps one list of them, and announces changes.
//!
//! 1. [`entry`] and [`merge()`] are pure: lines and rows to entries, entries of all sources to peers without this node itself.
//! 2. [`Sources`] reads each source again and again, each for itself: one that fails keeps its last answer, and the failure is reported.
//! 3. The last good answer of the database survives a restart (`file`); names and addresses, nothing secret.
//! 4. Everything that is read is bounded, in size and in time. No password is ever part of a message.
//!
//! Nobody is asked for segments here, and nothing is concluded about a peer but that it is in the list.

mod database;
pub mod entry;
mod file;
mod merge;
mod watcher;

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use self::entry::ENTRIES;
use crate::net::tls::TlsError;

pub use database::{Connection, Database};
pub use entry::SourceEntry;
pub use merge::{OwnNode, Trust};
pub use watcher::{SourceOptions, Sources};

#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("cannot read {}: {cause}", path.display())]
    Unreadable { path: PathBuf, cause: std::io::Error },
    /// Something that is no file, or too large for what it should be.
    #[error("{} cannot be read as {expected}: {why}", path.display())]
    Content { path: PathBuf, expected: &'static str, why: &'static str },
    /// A secret that is none.
    #[error("{} is readable by others, and is to hold a password; chmod 600 it", .0.display())]
    Exposed(PathBuf),
    #[error("{} has not been read after {} s; does its disk answer?", path.display(), after.as_secs())]
    Hangs { path: PathBuf, after: Duration },
    /// The text that says where the database is. It is not repeated: it may hold a password.
    #[error(
        "the address of the database cannot be understood ({0}); expected is postgresql://USER@HOST:PORT/DATABASE?sslmode=require or host=HOST port=PORT user=USER dbname=DATABASE, in which special characters of a URL are written as %40"
    )]
    Address(&'static str),
    #[error("encryption to {shown}: {why} (the authority of the database is set by backfill.node_database_ca_file)")]
    Encryption { shown: String, why: String },
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("cannot connect to {shown}: {why}")]
    Connect { shown: String, why: String },
    #[error("{shown} does not give the list of nodes: {why}")]
    Query { shown: String, why: String },
    #[error("there are more than {ENTRIES} nodes in it; is it the right one?")]
    TooMany,
    #[error("the work crashed: {0}")]
    Thread(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceStatus {
    /// `flags`, `file` or `database`.
    pub kind: &'static str,
    /// Where it is, without secrets.
    pub place: String,
    pub peers: usize,
    pub read: Option<SystemTime>,
    pub is_remembered: bool,
    /// Attempts in a row that failed.
    pub failures: u32,
    pub failing_since: Option<SystemTime>,
    pub error: Option<String>,
    pub problems: Vec<String>,
}

impl SourceStatus {
    fn new(kind: &'static str, place: String) -> Self {
        Self {
            kind,
            place,
            peers: 0,
            read: None,
            is_remembered: false,
            failures: 0,
            failing_since: None,
            error: None,
            problems: Vec::new(),
        }
    }
}
