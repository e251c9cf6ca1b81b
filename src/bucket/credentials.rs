//! What requests to a bucket are signed with: from the environment, from a file as AWS's programs have it, or from the machine that the program
//! runs on. Never from the command line, and never shown.
//!
//! A file is read again when it changes, so that keys can be exchanged while a node runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsCredentialProvider};
use object_store::client::{HttpRequest, HttpRequestBody};
use reqwest::Url;

use super::access_keys::{AccessKeys, CredentialError, KEY_ID, SECRET};
use super::credentials_file::{FileCredentials, read_file};
use super::served_credentials::ServedCredentials;

/// Where the container of a task asks.
const TASK_HOST: &str = "http://169.254.170.2";
/// Where a machine asks.
const MACHINE: &str = "http://169.254.169.254";
const RELATIVE: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
const FULL: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";

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
        if let Some(uri) = set(RELATIVE) {
            let is_path = uri.starts_with('/') && origin(&format!("{TASK_HOST}{uri}")).is_some();
            return if is_path { Ok(Self::Container(uri)) } else { Err(CredentialError::Address(RELATIVE)) };
        }
        let token_file = set("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
        if let (Some(uri), Some(token_file)) = (set(FULL), token_file) {
            origin(&uri).ok_or(CredentialError::Address(FULL))?;
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
            Self::Keys(keys) => Some(keys.key_id().to_owned()),
            Self::File(path) => read_file(path).ok().map(|(keys, _)| keys.key_id().to_owned()),
            Self::WebIdentity { .. } | Self::Container(_) | Self::ContainerAddress { .. } | Self::Instance => None,
        }
    }

    /// What gives them, whenever a request is signed. `library` asks services.
    pub(super) fn provider(&self, library: AmazonS3Builder) -> object_store::Result<AwsCredentialProvider> {
        use AmazonS3ConfigKey as Key;
        let (library, asked, token_file) = match self {
            Self::Keys(keys) => return Ok(Arc::new(object_store::StaticCredentialProvider::new(keys.credential()))),
            Self::File(path) => return Ok(Arc::new(FileCredentials::new(path.clone()))),
            Self::WebIdentity { token_file, role, session } => {
                let library =
                    library.with_config(Key::WebIdentityTokenFile, token_file).with_config(Key::RoleArn, role);
                let library =
                    session.iter().fold(library, |library, session| library.with_config(Key::RoleSessionName, session));
                (library, format!("the web identity for {role}"), Some(token_file))
            }
            Self::Container(uri) => (
                library.with_config(Key::ContainerCredentialsRelativeUri, uri),
                format!("the container ({TASK_HOST})"),
                None,
            ),
            Self::ContainerAddress { uri, token_file } => (
                library
                    .with_config(Key::ContainerCredentialsFullUri, uri)
                    .with_config(Key::ContainerAuthorizationTokenFile, token_file),
                format!("the container ({})", origin(uri).unwrap_or_default()),
                Some(token_file),
            ),
            Self::Instance => (library, format!("this machine ({MACHINE})"), None),
        };
        let library = Arc::clone(library.build()?.credentials());
        Ok(Arc::new(ServedCredentials::new(asked, token_file.cloned(), library)))
    }
}

/// Scheme, host and port of an address that can be asked; nothing else of it is shown.
fn origin(address: &str) -> Option<String> {
    let url = Url::parse(address).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())?;
    // The library has another idea of what an address is, and panics.
    let mut request = HttpRequest::new(HttpRequestBody::empty());
    let fits = address.bytes().all(|c| c.is_ascii_graphic());
    let fits = fits && address.parse().map(|uri| *request.uri_mut() = uri).is_ok();
    fits.then(|| url.origin().ascii_serialization())
}

#[cfg(test)]
mod tests {
    use super::*;

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
        for (variable, address) in
            [(RELATIVE, "http://h/"), (RELATIVE, "/a\nb"), (FULL, "hush"), (FULL, "http://h/a b"), (FULL, "ftp://h")]
        {
            let set = [(variable, address), ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/t")];
            let said = of(&set).unwrap_err().to_string();
            assert!(said.contains(variable) && !said.contains(address), "{said}");
        }
        assert_eq!(of(&[(KEY_ID, ""), (SECRET, "")]).unwrap(), CredentialSource::Instance);
    }
}
