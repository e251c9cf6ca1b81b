//! An access key with its secret, and why there is none. Neither shows a secret.

use std::fmt;
use std::path::{Path, PathBuf};

use object_store::aws::AwsCredential;

/// The largest file of credentials that is read.
pub(super) const MOST_BYTES: u64 = 64 << 10;
/// Characters of a key, at most.
const LONGEST: usize = 4_096;
/// The section of it that is read.
pub(super) const SECTION: &str = "default";
pub(super) const KEY_ID: &str = "AWS_ACCESS_KEY_ID";
pub(super) const SECRET: &str = "AWS_SECRET_ACCESS_KEY";

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
    /// A variable leads nowhere.
    #[error("{0} is no address; it is not repeated here, as it may be a secret")]
    Address(&'static str),
    /// A service gave none.
    #[error("{asked} gave none: {why}")]
    Unserved {
        /// What was asked.
        asked: String,
        /// Why it did not.
        why: String,
    },
    /// The file cannot be opened or read.
    #[error("the file of credentials {} cannot be read: {cause}", named(path))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        cause: String,
    },
    /// It is a directory, a pipe, a device, or too large.
    #[error("the file of credentials {} is no regular file of at most {MOST_BYTES} bytes", named(.0))]
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

/// Bytes of a secret as Amazon's are.
const SECRET_BYTES: usize = 40;

/// A path, unless it may be a secret that was pasted in its place.
fn named(path: &Path) -> String {
    let text = path.to_string_lossy();
    let is_path = ["/", "./", "../"].iter().any(|begin| text.starts_with(begin));
    let is_of_secrets = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'/' | b'+' | b'=');
    if is_path && !(text.len() == SECRET_BYTES && text.bytes().all(is_of_secrets)) {
        return text.into_owned();
    }
    "that the settings name (not repeated here, as it does not look like the path of a file, and may be a secret)"
        .to_owned()
}

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

    pub(super) fn key_id(&self) -> &str {
        &self.key_id
    }

    pub(super) fn credential(&self) -> AwsCredential {
        AwsCredential {
            key_id: self.key_id.clone(),
            secret_key: self.secret.clone(),
            token: self.session_token.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_looks_like_a_path_is_repeated() {
        for path in ["/etc/gapless/bucket", "./bucket", "../a b", "/srv/archive/keys/of/the/bucket/of/2024/x1"] {
            assert_eq!(named(Path::new(path)), path);
        }
        for secret in ["hush", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "/JalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"] {
            let error = CredentialError::Unreadable { path: secret.into(), cause: "x".to_owned() };
            for said in [error.to_string(), CredentialError::NoFile(secret.into()).to_string()] {
                assert!(!said.contains(secret) && said.contains("not repeated here"), "{said}");
            }
        }
    }
}
