//! What the database said last, kept over restarts: a node whose database is down at its start still knows its peers.
//!
//! `STATE/peers.json`: names and addresses and where they are from, no secrets. It is used until the first good answer. If it
//! is lost or damaged, or from another database, nothing is known until then; that is told and no failure.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::entry::{ENTRIES, SourceEntry};
use crate::disk::{Base, DiskError, atomic};

/// A thousand of the longest names and addresses.
const BYTES: u64 = 4 << 20;

/// The file.
#[derive(Debug, Clone)]
pub(super) struct SourceMemory {
    state_dir: PathBuf,
    from: String,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    from: String,
    peers: Vec<KeptPeer>,
}

#[derive(Serialize, Deserialize)]
struct KeptPeer {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    name: Option<String>,
    url: String,
}

impl SourceMemory {
    const NAME: &str = "peers.json";

    /// Of what is said by the source `from`, which holds no secret.
    pub(super) fn new(state_dir: &Path, from: String) -> Self {
        Self { state_dir: state_dir.to_owned(), from }
    }

    /// What was said last.
    pub(super) fn recall(&self) -> Vec<SourceEntry> {
        let path = self.state_dir.join(Self::NAME);
        let mut text = String::new();
        let read = std::fs::File::open(&path).and_then(|file| file.take(BYTES).read_to_string(&mut text));
        let kept: Kept = match read.map(|_| serde_json::from_str(&text)) {
            Ok(Ok(kept)) => kept,
            Ok(Err(error)) => {
                tracing::warn!(name: "known_peers_damaged", file = %path.display(), %error, "what the database said last is not known");
                return Vec::new();
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
            Err(error) => {
                tracing::warn!(name: "known_peers_unreadable", file = %path.display(), %error, "what the database said last is not known");
                return Vec::new();
            }
        };
        if kept.from != self.from {
            return Vec::new();
        }
        // Read as carefully as it was from the database.
        let peers = kept.peers.iter().take(ENTRIES);
        peers.filter_map(|peer| SourceEntry::new(peer.name.as_deref(), &peer.url).ok()).collect()
    }

    /// Keeps this.
    pub(super) fn keep(&self, entries: &[SourceEntry]) -> Result<(), DiskError> {
        let peer = |entry: &SourceEntry| KeptPeer {
            name: entry.is_named.then(|| entry.name.clone()),
            url: entry.url.to_string(),
        };
        let kept = Kept { from: self.from.clone(), peers: entries.iter().map(peer).collect() };
        let text = serde_json::to_vec_pretty(&kept).unwrap_or_default();
        let Some(dir) = Base::open(&self.state_dir)?.dir(Path::new(""))? else { return Ok(()) };
        atomic::replace_secret(&dir, Self::NAME.as_ref(), &text)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_was_kept_is_recalled_if_it_is_from_there() {
        let dir = tempfile::tempdir().unwrap();
        let memory = SourceMemory::new(dir.path(), "postgresql://u@h/d".to_owned());
        assert_eq!(memory.recall(), []);
        let entries = vec![SourceEntry::parse("a=http://a").unwrap(), SourceEntry::parse("http://b/x").unwrap()];
        memory.keep(&entries).unwrap();
        assert_eq!(memory.recall(), entries);
        let path = dir.path().join("peers.json");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(SourceMemory::new(dir.path(), "postgresql://u@h/other".to_owned()).recall(), []);
        for damage in ["", "{", "{\"from\":\"postgresql://u@h/d\",\"peers\":[{\"url\":\"nonsense\"}]}"] {
            std::fs::write(&path, damage).unwrap();
            assert_eq!(memory.recall(), []);
        }
        memory.keep(&[]).unwrap();
        assert_eq!(memory.recall(), []);
    }
}
