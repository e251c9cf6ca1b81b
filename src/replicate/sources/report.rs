//! Why a source could not be read, and what is known of each: for status, logs and people. Holds no secrets.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::entry::ENTRIES;
use crate::net::tls::TlsError;

/// Why a source could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file.
    #[error("cannot read {}: {cause}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why not.
        cause: std::io::Error,
    },
    /// Something that is no file, or too large for what it should be.
    #[error("{} cannot be read as {expected}: {why}", path.display())]
    Content {
        /// Which.
        path: PathBuf,
        /// What should be in it.
        expected: &'static str,
        /// What is wrong.
        why: &'static str,
    },
    /// A secret that is none.
    #[error("{} is readable by others, and is to hold a password; chmod 600 it", .0.display())]
    Exposed(PathBuf),
    /// The disk does not answer.
    #[error("{} has not been read after {} s; does its disk answer?", path.display(), after.as_secs())]
    Hangs {
        /// Which.
        path: PathBuf,
        /// How long it was waited for.
        after: Duration,
    },
    /// The text that says where the database is. It is not repeated: it may hold a password.
    #[error(
        "the address of the database cannot be understood ({0}); expected is postgresql://USER@HOST:PORT/DATABASE?sslmode=require or host=HOST port=PORT user=USER dbname=DATABASE, in which special characters of a URL are written as %40"
    )]
    Address(&'static str),
    /// Encryption.
    #[error("encryption to {shown}: {why} (the authority of the database is set by backfill.node_database_ca_file)")]
    Encryption {
        /// The database.
        shown: String,
        /// What went wrong.
        why: String,
    },
    /// The files that encryption needs.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// No connection.
    #[error("cannot connect to {shown}: {why}")]
    Connect {
        /// The database.
        shown: String,
        /// Why not.
        why: String,
    },
    /// No answer.
    #[error("{shown} does not give the list of nodes: {why}")]
    Query {
        /// The database.
        shown: String,
        /// Why not.
        why: String,
    },
    /// Too much of an answer.
    #[error("there are more than {ENTRIES} nodes in it; is it the right one?")]
    TooMany,
    /// Threads crashed.
    #[error("the work crashed: {0}")]
    Thread(String),
}

/// What is known of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceStatus {
    /// `flags`, `file` or `database`.
    pub kind: &'static str,
    /// Where it is, without secrets.
    pub place: String,
    /// Peers that its last good answer has.
    pub peers: usize,
    /// When that was.
    pub read: Option<SystemTime>,
    /// Whether it is from before the last start.
    pub is_remembered: bool,
    /// Attempts in a row that failed.
    pub failures: u32,
    /// When the first of them was.
    pub failing_since: Option<SystemTime>,
    /// Why the last one did.
    pub error: Option<String>,
    /// Lines and rows that were left out.
    pub problems: Vec<String>,
}

impl SourceStatus {
    /// Of a source that was not read yet.
    pub(super) fn new(kind: &'static str, place: String) -> Self {
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
