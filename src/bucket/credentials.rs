//! What requests to a bucket are signed with: from the environment, from a file as AWS's programs have it, or from the machine that the program
//! runs on. Never from the command line, and never shown.
//!
//! A file is read again when it changes, so that keys can be exchanged while a node runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};

use super::access_keys::{AccessKeys, CredentialError, KEY_ID, SECRET};
use super::credentials_file::{FileCredentials, read_file};

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
            Self::Keys(keys) => Some(keys.key_id().to_owned()),
            Self::File(path) => read_file(path).ok().map(|(keys, _)| keys.key_id().to_owned()),
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
            Self::File(path) => builder.with_credentials(Arc::new(FileCredentials::new(path.clone()))),
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
        assert_eq!(of(&[(KEY_ID, ""), (SECRET, "")]).unwrap(), CredentialSource::Instance);
    }
}
