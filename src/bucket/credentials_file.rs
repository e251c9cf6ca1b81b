//! An access key in a file, as AWS's programs have it, with a section `[default]`. It is read again when it changes, so that keys can be
//! exchanged while a node runs.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use parking_lot::Mutex;
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};

use super::access_keys::{AccessKeys, CredentialError, MOST_BYTES, SECTION};

/// Who else than the owner may do what: anything by others, writing by the group.
const TOO_OPEN: u32 = 0o027;

/// Keys in a file, as they were when it was last read.
pub(super) struct FileCredentials {
    path: PathBuf,
    read: Mutex<Option<(FileVersion, Arc<AwsCredential>)>>,
}

impl FileCredentials {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, read: Mutex::default() }
    }
}

/// Not the secrets.
impl fmt::Debug for FileCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileCredentials({})", self.path.display())
    }
}

/// Tells one content of a file from another.
pub(super) type FileVersion = (Option<SystemTime>, u64);

#[async_trait]
impl CredentialProvider for FileCredentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let there = std::fs::metadata(&self.path).map(|meta| (meta.modified().ok(), meta.len())).ok();
        let mut read = self.read.lock();
        if let Some((_, credential)) = read.as_ref().filter(|(known, _)| Some(known) == there.as_ref()) {
            return Ok(Arc::clone(credential));
        }
        let (keys, version) = read_file(&self.path)
            .map_err(|error| object_store::Error::Generic { store: "credentials", source: Box::new(error) })?;
        let credential = Arc::new(keys.credential());
        *read = Some((version, Arc::clone(&credential)));
        Ok(credential)
    }
}

/// The keys in a file that nobody but its owner (and, reading, its group) has access to.
pub(super) fn read_file(path: &Path) -> Result<(AccessKeys, FileVersion), CredentialError> {
    let unreadable = |cause: io::Error| CredentialError::Unreadable { path: path.to_owned(), cause: cause.to_string() };
    // NONBLOCK: a pipe of that name must not make us wait for its other end.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let opened = openat(CWD, path, flags, Mode::empty()).map_err(|errno| unreadable(errno.into()))?;
    // Of what was opened, not of what lies there now.
    let meta = fstat(&opened).map_err(|errno| unreadable(errno.into()))?;
    if !FileType::from_raw_mode(meta.st_mode).is_file() {
        return Err(CredentialError::NoFile(path.to_owned()));
    }
    if meta.st_mode & TOO_OPEN != 0 {
        return Err(CredentialError::TooOpen { path: path.to_owned(), mode: meta.st_mode & 0o7777 });
    }
    let file = File::from(opened);
    let version = file.metadata().map(|found| (found.modified().ok(), found.len())).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(CredentialError::NoFile(path.to_owned()));
    }
    let text = String::from_utf8_lossy(&bytes);
    let value = |key: &str| value_of(&text, key);
    let missing = |missing| CredentialError::Missing { path: path.to_owned(), missing };
    let key_id = value("aws_access_key_id").ok_or_else(|| missing("aws_access_key_id"))?;
    let secret = value("aws_secret_access_key").ok_or_else(|| missing("aws_secret_access_key"))?;
    let from = format!("the file {}", path.display());
    Ok((AccessKeys::new(key_id, secret, value("aws_session_token"), &from)?, version))
}

/// The value of a key in the section; the last one counts.
fn value_of<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    let mut is_in_section = false;
    let mut found = None;
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        if let Some(section) = line.strip_prefix('[') {
            is_in_section = section.trim_end_matches(']').trim() == SECTION;
        } else if let Some((name, value)) = line.split_once('=').filter(|_| is_in_section)
            && name.trim() == key
        {
            found = Some(value.trim()).filter(|value| !value.is_empty());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::credentials::CredentialSource;
    use super::*;

    fn written(dir: &tempfile::TempDir, text: &str, mode: u32) -> PathBuf {
        let path = dir.path().join("credentials");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[tokio::test]
    async fn a_file_is_read_again_when_it_changes() {
        let dir = tempfile::tempdir().unwrap();
        let text = |key: &str| {
            format!(
                "[other]\naws_access_key_id = wrong\n; comment\n[default]\naws_access_key_id={key}\n aws_secret_access_key = hush+/= \n"
            )
        };
        let path = written(&dir, &text("ONE"), 0o600);
        let source = CredentialSource::of_file(&path).unwrap();
        assert_eq!(source.key_id().as_deref(), Some("ONE"));
        let credentials = FileCredentials::new(path.clone());
        let first = credentials.get_credential().await.unwrap();
        assert_eq!((&*first.key_id, &*first.secret_key, &first.token), ("ONE", "hush+/=", &None));
        written(&dir, &text("ANOTHER"), 0o600);
        assert_eq!(credentials.get_credential().await.unwrap().key_id, "ANOTHER");
        written(&dir, "", 0o600);
        let said = credentials.get_credential().await.unwrap_err().to_string();
        assert!(said.contains("has no aws_access_key_id"), "{said}");
    }

    #[test]
    fn nothing_shows_a_secret() {
        let keys = AccessKeys::new("AKID", "hush", Some("hush2"), "x").unwrap();
        let source = CredentialSource::Keys(keys.clone());
        let dir = tempfile::tempdir().unwrap();
        let section = "[default]\naws_access_key_id = hush hush\naws_secret_access_key = hush\n";
        let no_key = CredentialSource::of_file(&written(&dir, section, 0o600)).unwrap_err();
        let open = CredentialSource::of_file(&written(&dir, section, 0o644)).unwrap_err();
        let credentials = FileCredentials::new(written(&dir, section, 0o600));
        for shown in [
            format!("{keys:?} {source:?}"),
            format!("{no_key} {no_key:?}"),
            format!("{open} {open:?}"),
            format!("{credentials:?} {:?}", keys.credential()),
        ] {
            assert!(!shown.contains("hush"), "{shown}");
        }
        assert!(open.to_string().contains("chmod 600") && no_key.to_string().contains("no access key"));
    }
}
