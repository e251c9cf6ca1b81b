//! The command line: what a person types, the configuration it amounts to, and one file per verb.
//!
//! In reading order: `args` (as typed) → `config` (validated) → the verbs. Nothing else in the crate reads arguments,
//! the environment or the configuration file. No rule about archives stands here.

pub mod args;
pub mod config;

mod absent;
pub mod api;
pub mod archive_client;
pub mod backfill;
mod daemon_search;
pub mod logging;
pub mod offline;
pub mod out;
pub mod pace;
pub mod peer_access;
pub mod progress;
mod records;

pub mod coverage;
pub mod crawl;
pub mod cut;
pub mod demo;
pub mod diff;
pub mod doctor;
pub mod explain;
pub mod flagged;
pub mod holes;
pub mod import;
pub mod ls;
pub mod node;
pub mod quarantine;
pub mod rebuild;
pub mod reference;
pub mod retention;
pub mod scrub;
pub mod status;
pub mod tombstone;

use std::process::ExitCode;

/// How a run ended, as the shell sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Done, and something is wrong with the data.
    DataWrong = 1,
    /// Wrong usage or configuration; nothing was done.
    Usage = 2,
    /// It could not be done.
    Failed = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// What was asked makes no sense although it parsed: ends the run with [`Exit::Usage`].
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);
