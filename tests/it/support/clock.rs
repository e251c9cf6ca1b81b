//! A wall clock that a test sets for one node alone. The clock by which the node waits goes on as before, as it does when a real
//! one is set.

use std::fs;
use std::path::{Path, PathBuf};

use super::node::Plan;
use super::trouble::text;

/// What a node takes for the time; right at first.
#[derive(Debug)]
pub struct Clock {
    scratch: tempfile::TempDir,
    library: PathBuf,
}

impl Clock {
    /// Nothing where libfaketime is not installed, and that is said.
    pub fn new() -> Option<Self> {
        let names = ["x86_64-linux-gnu", "aarch64-linux-gnu"];
        let mut found = names.iter().map(|name| Path::new("/usr/lib").join(name).join("faketime/libfaketimeMT.so.1"));
        let Some(library) = found.find(|path| path.exists()) else {
            eprintln!("SKIPPED: libfaketime is not installed");
            return None;
        };
        let clock = Self { scratch: tempfile::tempdir().unwrap(), library };
        clock.set("+0");
        Some(clock)
    }

    /// So far from the right time (`+3650d`).
    pub fn set(&self, offset: &str) {
        let fresh = self.scratch.path().join("fresh");
        fs::write(&fresh, offset).unwrap();
        fs::rename(fresh, self.file()).unwrap();
    }

    /// The node goes by this clock.
    pub fn of(&self, plan: Plan) -> Plan {
        plan.env("LD_PRELOAD", text(&self.library))
            .env("FAKETIME_TIMESTAMP_FILE", text(&self.file()))
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("DONT_FAKE_MONOTONIC", "1")
    }

    fn file(&self) -> PathBuf {
        self.scratch.path().join("clock")
    }
}
