//! The result of the last complete rounds as a JSON file, for monitors that look from outside.
//!
//! Written after each complete round, as a whole or not at all; one that looks at a part only is given no file: a monitor that
//! looks at `oldest_complete_round` sees at once when a peer has not been reached for long.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use serde_json::json;

use super::peer_state::{FollowedPeer, PeerState, PeerStatus};
use crate::archive::{Timestamp, escape};
use crate::disk::{Base, DiskError};

/// Where the file lies, and whose results stand in it.
#[derive(Debug, Default)]
pub(super) struct ReportFile {
    path: Option<PathBuf>,
    peers: Mutex<Vec<Arc<FollowedPeer>>>,
}

impl ReportFile {
    /// To be written there, if anywhere.
    pub(super) fn new(path: Option<PathBuf>) -> Self {
        Self { path, peers: Mutex::default() }
    }

    /// These are the peers now.
    pub(super) fn set_peers(&self, peers: &[Arc<FollowedPeer>]) {
        *self.peers.lock() = peers.to_vec();
    }

    /// Writes the file, if there is to be one.
    pub(super) async fn write(&self) {
        let Some(path) = self.path.clone() else { return };
        let text = text(&self.statuses());
        let written = tokio::task::spawn_blocking(move || replace(&path, &text)).await;
        match written {
            Ok(Ok(())) => {}
            Ok(Err(error)) => not_written(&error),
            Err(error) => not_written(&error),
        }
    }

    fn statuses(&self) -> Vec<PeerStatus> {
        let peers = self.peers.lock().clone();
        let others = peers.iter().map(|known| known.status()).filter(|status| status.state != PeerState::Itself);
        others.collect()
    }
}

fn not_written(error: &dyn std::error::Error) {
    tracing::warn!(name: "report_not_written", %error, "the result of a round could not be written for monitors");
}

fn replace(path: &Path, text: &str) -> Result<(), DiskError> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
    let Some(dir) = Base::open(directory)?.dir(Path::new(""))? else { return Ok(()) };
    crate::disk::atomic::replace(&dir, name, text.as_bytes())
}

fn text(peers: &[PeerStatus]) -> String {
    let complete: Option<Vec<SystemTime>> = peers.iter().map(|status| status.complete).collect();
    let peers: Vec<serde_json::Value> = peers.iter().map(peer).collect();
    let oldest = complete.and_then(|times| times.into_iter().min()).map(time);
    let file = json!({ "written": time(SystemTime::now()), "oldest_complete_round": oldest, "peers": peers });
    // Somebody looks at it with `cat`, and names and errors come from others.
    format!("{}\n", escape::json(&format!("{file:#}")))
}

fn peer(status: &PeerStatus) -> serde_json::Value {
    let (last, took) = status.last.clone().unwrap_or_default();
    json!({
        "name": status.peer.name, "url": status.peer.url.to_string(), "complete_round": status.complete.map(time),
        "rounds": status.rounds, "failures": status.failures, "error": status.error,
        "behind_segments": status.behind, "behind_seconds": status.lag.as_secs_f64(),
        "last_round": {
            "seconds": took.as_secs_f64(), "requests": last.requests, "hours": last.hours, "fetched": last.fetched,
            "bytes": last.bytes, "extras": last.extras, "tombstones": last.tombstones, "near_duplicates": last.near_duplicates,
            "too_recent": last.too_recent, "untrusted_tombstones": last.untrusted, "bursts": last.bursts,
            "future_hours": last.future, "passed_over": last.passed_over,
            "refused_names": last.refused, "hash_mismatches": last.hash_mismatches, "errors": last.errors,
        },
    })
}

fn time(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_us(i64::try_from(since.as_micros()).unwrap_or(i64::MAX)).to_string()
}
