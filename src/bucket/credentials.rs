//! What requests to a bucket are signed with: from the environment, from a file as AWS's programs have it, or from the machine that the program
//! runs on. Never from the command line, and never shown.
//!
//! A file is read again when it changes, so that keys can be exchanged while a node runs.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use object_store::CredentialProvider;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsCredential};
use parking_lot::Mutex;
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};

/// The largest file that is read.
const MOST_BYTES: u64 = 64 << 10;
/// Characters of a key, at most.
const LONGEST: usize = 4_096;
/// Who else than the owner may do what: anything by others, writing by the group.
const TOO_OPEN: u32 = 0o027;
/// The section that is read.
const SECTION: &str = "default";

/// Where credentials come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialSource {
    /// These keys.
    Keys(AccessKeys),
    /// A file with a section `[default]`.
    File(PathBuf),
    /// A token in a file is exchanged for them (`AWS_WEB_IDENTITY_TOKEN_FILE`).
    WebIdentity {
        /// The file.
        token_file: String,
        /// The role that is taken on.
        role: String,
        /// What the session is called.
        session: Option<String>,
    },
    /// The container gives them, at a path of its own host.
    Container(String),
    /// The same at an address, with the token in a file.
    ContainerAddress {
        /// The address.
        uri: String,
        /// The file.
        token_file: String,
    },
    /// The machine gives them.
    Instance,
}

/// An access key and what belongs to it.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessKeys {
    key_id: String,
    secret: String,
    session_token: Option<String>,
}

/// Not the secrets.
impl fmt::Debug for AccessKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccessKeys({}, …)", self.key_id)
    }
}

/// Why there are no credentials. What stands in a file or a variable is not repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// One of two variables is missing.
    #[error(
        "{given} is set and {missing} is not; set both, or neither where a file or the machine gives the credentials"
    )]
    Half {
        /// The one that is there.
        given: &'static str,
        /// The one that is not.
        missing: &'static str,
    },
    /// It cannot be a key.
    #[error("what {0} gives is no access key: expected 1 to {LONGEST} printable characters of ASCII without blanks")]
    NoKey(String),
    /// The file cannot be opened or read.
    #[error("the file of credentials {} cannot be read: {cause}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        cause: String,
    },
    /// It is a directory, a pipe, a device, or too large.
    #[error("the file of credentials {} is no regular file of at most {MOST_BYTES} bytes", .0.display())]
    NoFile(PathBuf),
    /// Others may read or change it.
    #[error("the file of credentials {} has mode {mode:04o}, so others than its owner can read or change it; run: chmod 600 {}", path.display(), path.display())]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Something is missing in it.
    #[error("the file of credentials {} has no {missing} in its section [{SECTION}]; expected a line {missing} = …", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// What.
        missing: &'static str,
    },
}

const KEY_ID: &str = "AWS_ACCESS_KEY_ID";
const SECRET: &str = "AWS_SECRET_ACCESS_KEY";

impl AccessKeys {
    /// Checks them: a signature with anything else cannot be sent. `from` is what gave them, for messages.
    pub fn new(key_id: &str, secret: &str, session_token: Option<&str>, from: &str) -> Result<Self, CredentialError> {
        let fits = |text: &str| (1..=LONGEST).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_graphic());
        let all = [Some(key_id), Some(secret), session_token];
        // Part of the header of a signature, in which a comma or a slash would begin the next part.
        if !all.into_iter().flatten().all(fits) || key_id.contains([',', '/', '=']) {
            return Err(CredentialError::NoKey(from.to_owned()));
        }
        let session_token = session_token.map(str::to_owned);
        Ok(Self { key_id: key_id.to_owned(), secret: secret.to_owned(), session_token })
    }

    fn credential(&self) -> AwsCredential {
        AwsCredential {
            key_id: self.key_id.clone(),
            secret_key: self.secret.clone(),
            token: self.session_token.clone(),
        }
    }
}

impl CredentialSource {
    /// What the environment says, in the order in which AWS's programs look.
    pub fn of_environment(variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, CredentialError> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        match (set(KEY_ID), set(SECRET)) {
            (Some(key_id), Some(secret)) => {
                let session_token = set("AWS_SESSION_TOKEN");
                return AccessKeys::new(&key_id, &secret, session_token.as_deref(), "the environment (AWS_…)")
                    .map(Self::Keys);
            }
            (Some(_), None) => return Err(CredentialError::Half { given: KEY_ID, missing: SECRET }),
            (None, Some(_)) => return Err(CredentialError::Half { given: SECRET, missing: KEY_ID }),
            (None, None) => {}
        }
        if let (Some(token_file), Some(role)) = (set("AWS_WEB_IDENTITY_TOKEN_FILE"), set("AWS_ROLE_ARN")) {
            return Ok(Self::WebIdentity { token_file, role, session: set("AWS_ROLE_SESSION_NAME") });
        }
        if let Some(uri) = set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
            return Ok(Self::Container(uri));
        }
        let token_file = set("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
        if let (Some(uri), Some(token_file)) = (set("AWS_CONTAINER_CREDENTIALS_FULL_URI"), token_file) {
            return Ok(Self::ContainerAddress { uri, token_file });
        }
        Ok(Self::Instance)
    }

    /// A file, which must be one now.
    pub fn of_file(path: &Path) -> Result<Self, CredentialError> {
        read_file(path)?;
        Ok(Self::File(path.to_owned()))
    }

    /// The access key, for messages, where it is known.
    pub fn key_id(&self) -> Option<String> {
        match self {
            Self::Keys(keys) => Some(keys.key_id.clone()),
            Self::File(path) => read_file(path).ok().map(|(keys, _)| keys.key_id),
            Self::WebIdentity { .. } | Self::Container(_) | Self::ContainerAddress { .. } | Self::Instance => None,
        }
    }

    /// Tells the client where they come from.
    pub(super) fn give(&self, builder: AmazonS3Builder) -> AmazonS3Builder {
        use AmazonS3ConfigKey as Key;
        match self {
            Self::Keys(keys) => {
                builder.with_credentials(Arc::new(object_store::StaticCredentialProvider::new(keys.credential())))
            }
            Self::File(path) => {
                builder.with_credentials(Arc::new(FileCredentials { path: path.clone(), read: Mutex::default() }))
            }
            Self::WebIdentity { token_file, role, session } => {
                let builder =
                    builder.with_config(Key::WebIdentityTokenFile, token_file).with_config(Key::RoleArn, role);
                session.iter().fold(builder, |builder, session| builder.with_config(Key::RoleSessionName, session))
            }
            Self::Container(uri) => builder.with_config(Key::ContainerCredentialsRelativeUri, uri),
            Self::ContainerAddress { uri, token_file } => builder
                .with_config(Key::ContainerCredentialsFullUri, uri)
                .with_config(Key::ContainerAuthorizationTokenFile, token_file),
            Self::Instance => builder,
        }
    }
}

/// Keys in a file, as they were when it was last read.
struct FileCredentials {
    path: PathBuf,
    read: Mutex<Option<(FileVersion, Arc<AwsCredential>)>>,
}

/// Not the secrets.
impl fmt::Debug for FileCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileCredentials({})", self.path.display())
    }
}

/// Tells one content of a file from another.
type FileVersion = (Option<SystemTime>, u64);

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
fn read_file(path: &Path) -> Result<(AccessKeys, FileVersion), CredentialError> {
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
        let credentials = FileCredentials { path: path.clone(), read: Mutex::default() };
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
        let credentials = FileCredentials { path: written(&dir, section, 0o600), read: Mutex::default() };
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

    #[test]
    fn the_environment_is_looked_through_in_the_usual_order() {
        let of = |set: &[(&str, &str)]| {
            let variable = |name: &str| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
            CredentialSource::of_environment(&variable)
        };
        let both = [(KEY_ID, "a"), (SECRET, "b"), ("AWS_SESSION_TOKEN", "c"), ("AWS_ROLE_ARN", "x")];
        assert_eq!(of(&both).unwrap(), CredentialSource::Keys(AccessKeys::new("a", "b", Some("c"), "").unwrap()));
        assert!(of(&both[..1]).unwrap_err().to_string().starts_with("AWS_ACCESS_KEY_ID is set and"));
        assert!(of(&both[1..2]).is_err() && of(&[(KEY_ID, "a\nb"), (SECRET, "b")]).is_err());
        let identity = of(&[("AWS_WEB_IDENTITY_TOKEN_FILE", "/t"), ("AWS_ROLE_ARN", "x")]).unwrap();
        assert!(matches!(identity, CredentialSource::WebIdentity { .. }));
        let container = of(&[("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/c")]).unwrap();
        assert_eq!(container, CredentialSource::Container("/c".to_owned()));
        assert_eq!(of(&[(KEY_ID, ""), (SECRET, "")]).unwrap(), CredentialSource::Instance);
    }
}
