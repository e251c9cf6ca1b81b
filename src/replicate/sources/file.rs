//! Small files: the list of nodes and a password, which others write, and `STATE/peers.json`, in which this node remembers the database's last answer.
//!
//! All are bounded in size and time. What is remembered (names, addresses and where they are from, no secrets) is used until the first good answer: a
//! node whose database is down at its start still knows its peers. If it is lost or damaged, or from another database, that is reported and is no failure.

use std::fs::{File, Metadata, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::SourceError;
use super::entry::{ENTRIES, ListedSources, SourceEntry};
use crate::disk::{Base, DiskError, atomic};

/// A thousand lines with the longest names and addresses and room for comments: anything larger is another file.
const LIST_BYTES: u64 = 4 << 20;
/// A password, or anything longer by mistake.
const PASSWORD_BYTES: u64 = 4 << 10;
/// How long the disk is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct ListFile {
    path: PathBuf,
    /// One thread at most waits for a disk that does not answer.
    turn: Arc<Semaphore>,
}

impl ListFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, turn: Arc::new(Semaphore::new(1)) }
    }

    pub(super) async fn read(&self) -> Result<ListedSources, SourceError> {
        let hangs = || SourceError::Hangs { path: self.path.clone(), after: PATIENCE };
        let turn = Arc::clone(&self.turn).try_acquire_owned().map_err(|_| hangs())?;
        let path = self.path.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let read = read(&path, LIST_BYTES, "a list of nodes");
            drop(turn);
            let listed = ListedSources::of_file(&path.display().to_string(), &read?.0).close();
            if listed.entries.len() > ENTRIES { Err(SourceError::TooMany) } else { Ok(listed) }
        });
        match timeout(PATIENCE, reading).await {
            Ok(read) => read.map_err(|error| SourceError::Thread(error.to_string()))?,
            Err(_) => Err(hangs()),
        }
    }
}

/// The password in a file, which nobody else may read.
pub(super) fn password(path: &Path) -> Result<String, SourceError> {
    let content = |why| SourceError::Content { path: path.to_owned(), expected: "a password", why };
    let (bytes, metadata) = read(path, PASSWORD_BYTES, "a password")?;
    if metadata.permissions().mode() & 0o007 != 0 {
        return Err(SourceError::Exposed(path.to_owned()));
    }
    let text = String::from_utf8(bytes).map_err(|_| content("it is not UTF-8 text"))?;
    let text = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    if text.is_empty() || text.contains('\n') {
        return Err(content("expected is one line with the password alone"));
    }
    Ok(text.to_owned())
}

fn read(path: &Path, most: u64, expected: &'static str) -> Result<(Vec<u8>, Metadata), SourceError> {
    let content = |why| SourceError::Content { path: path.to_owned(), expected, why };
    let unreadable = |cause| SourceError::Unreadable { path: path.to_owned(), cause };
    // A pipe would be waited for until somebody writes to it.
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file: File = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(content("it is no regular file"));
    }
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > most { Err(content("it is too large")) } else { Ok((bytes, metadata)) }
}

/// A thousand of the longest names and addresses.
const BYTES: u64 = 4 << 20;

#[derive(Debug, Clone)]
pub(super) struct SourceMemory {
    state_dir: PathBuf,
    from: String,
}

#[derive(Serialize, Deserialize)]
struct KeptList {
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

    pub(super) fn recall(&self) -> Vec<SourceEntry> {
        let path = self.state_dir.join(Self::NAME);
        let mut text = String::new();
        let read = std::fs::File::open(&path).and_then(|file| file.take(BYTES).read_to_string(&mut text));
        let kept: KeptList = match read.map(|_| serde_json::from_str(&text)) {
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

    pub(super) fn keep(&self, entries: &[SourceEntry]) -> Result<(), DiskError> {
        let peer = |entry: &SourceEntry| KeptPeer {
            name: entry.is_named.then(|| entry.name.clone()),
            url: entry.url.to_string(),
        };
        let kept = KeptList { from: self.from.clone(), peers: entries.iter().map(peer).collect() };
        let text = serde_json::to_vec_pretty(&kept).unwrap_or_default();
        let Some(dir) = Base::open(&self.state_dir)?.dir(Path::new(""))? else { return Ok(()) };
        atomic::replace_secret(&dir, Self::NAME.as_ref(), &text)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn told(path: &Path) -> String {
        password(path).unwrap_err().to_string()
    }

    #[test]
    fn a_password_is_one_line_that_others_cannot_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        let write = |text: &str, mode| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        };
        for text in ["p ü=w", "p ü=w\n", "p ü=w\r\n"] {
            write(text, 0o600);
            assert_eq!(password(&path).unwrap(), "p ü=w");
        }
        write("secret\n", 0o644);
        assert!(
            told(&path).ends_with("readable by others, and is to hold a password; chmod 600 it"),
            "{}",
            told(&path)
        );
        for text in ["", "\n", "secret\nsecret\n", &"secret".repeat(1000)] {
            write(text, 0o640);
            assert!(!told(&path).contains("secret"), "{}", told(&path));
        }
        assert!(told(dir.path()).contains("no regular file"));
        assert!(told(&dir.path().join("none")).contains("cannot read"));
    }

    #[tokio::test]
    async fn what_is_no_list_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let told = async |path: &Path| ListFile::new(path.to_owned()).read().await.unwrap_err().to_string();
        let path = dir.path().join("nodes");
        assert!(told(&path).await.contains("No such file"));
        fs::write(&path, "a http://a\n").unwrap();
        assert_eq!(ListFile::new(path.clone()).read().await.unwrap().entries.len(), 1);
        let many: Vec<String> = (0..1001).map(|number| format!("http://h{number}")).collect();
        fs::write(&path, many.join("\n")).unwrap();
        assert!(told(&path).await.contains("more than 1000 nodes"));
        fs::write(&path, "\n".repeat(5 << 20)).unwrap();
        assert!(told(&path).await.contains("too large"));
        assert!(told(dir.path()).await.contains("no regular file"));
        let pipe = dir.path().join("pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        assert!(told(&pipe).await.contains("no regular file"));
    }
}

#[cfg(test)]
mod memory_tests {
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
