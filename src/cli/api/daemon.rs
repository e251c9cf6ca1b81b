//! Finds the daemon that has an archive open. What a dead one left behind does not count.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::error::ApiError;
use super::{ALIVE_WITHIN, Api, Reach};
use crate::disk::{DirLock, directory_id};
use crate::net::tls::{self, Fingerprint};
use crate::net::tokens;

/// `daemon.json` holds a few short values.
const MAX_ADDRESS_FILE_BYTES: u64 = 64 << 10;

/// What a daemon writes about itself into `STATE/daemon.json`.
#[derive(Debug, Clone, Deserialize)]
struct Written {
    address: String,
    pid: u32,
    name: String,
    /// Files of versions before there was encryption do not have it.
    #[serde(default)]
    scheme: Scheme,
    #[serde(default)]
    certificates: Vec<String>,
    /// Which directory it was written into: a copy of it names the daemon of another archive.
    #[serde(default)]
    directory: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Scheme {
    #[default]
    Http,
    Https,
}

impl Written {
    /// The daemon as it says it is: encrypted only with exactly its own certificate, because no public one is for a bare address.
    fn daemon(&self) -> Result<Api, ApiError> {
        let address = &self.address;
        match self.scheme {
            Scheme::Http => Api::at(&format!("http://{address}"), &*tls::trusting_nobody()?),
            Scheme::Https => {
                let certificates = self.certificates.iter().filter_map(|text| Fingerprint::parse(text)).collect();
                Api::at(&format!("https://{address}"), &*tls::pinned(certificates)?)
            }
        }
    }
}

/// The daemon that has the index in `state_dir` open, if one is alive.
pub(super) async fn find(state_dir: &Path) -> Option<Api> {
    let file = state_dir.join("daemon.json");
    // The daemon holds the lock of its state directory; what one that was killed left behind may name another's address by now.
    if DirLock::acquire(state_dir, Duration::ZERO).is_ok_and(|lock| lock.holds()) {
        return None;
    }
    let length = std::fs::metadata(&file).ok()?.len();
    if length > MAX_ADDRESS_FILE_BYTES {
        tracing::warn!(name: "daemon_file_unreadable", file = %file.display(), length, "not an address of a daemon");
        return None;
    }
    let bytes = std::fs::read(&file).ok()?;
    let written: Written = serde_json::from_slice(&bytes)
        .inspect_err(|error| tracing::warn!(name: "daemon_file_unreadable", file = %file.display(), %error, "not an address of a daemon"))
        .ok()?;
    // Where one of both is not known nothing says that it was copied.
    let ids = written.directory.as_ref().zip(directory_id(state_dir));
    if ids.is_some_and(|(there, here)| *there != here) {
        tracing::warn!(name: "daemon_file_copied", file = %file.display(), "daemon.json was copied from another archive and is ignored");
        return None;
    }
    let found = written.daemon().ok()?;
    let Reach::Node { client, base } = &found.reach else { return None };
    let asked = client.get(base.join(["healthz"]).ok()?).timeout(ALIVE_WITHIN).send().await;
    let answer = asked
        .inspect_err(|error| {
            if let Some(why) = tls::explain(error) {
                tracing::warn!(name: "daemon_not_trusted", daemon = found.address(), why, "not the daemon that its file describes");
            }
        })
        .ok()?;
    // Who may not read it may still ask what everybody may.
    let token = tokens::read_one(&state_dir.join("daemon.token")).ok();
    let (pid, name) = (Some(written.pid), Some(written.name));
    answer.status().is_success().then_some(Api { token, pid, name, ..found })
}
