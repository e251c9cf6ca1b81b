//! A look at a bucket for whoever wants to know whether it works: a list of one name, and whether uploads that are open are listed. No object is
//! read, and nothing is written.

use std::time::SystemTime;

use super::client::Bucket;
use super::credentials::CredentialSource;
use super::error::BucketError;
use super::store_answer::{ObjectsDocument, parse};
use crate::archive::object_name::OBJECTS;
use crate::archive::{Span, Timestamp};

/// What was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BucketLook {
    /// By how much the clock here is ahead of the store's, if it says what time it is.
    pub clock_ahead: Option<Span>,
    /// Whether it lists uploads that are open, to this access key.
    pub lists_uploads: bool,
}

impl Bucket {
    /// Asks for a list of one name, and for open uploads.
    pub async fn look(&self) -> Result<BucketLook, BucketError> {
        let prefix = format!("{}{OBJECTS}", self.settings.prefix());
        let query = [("encoding-type", "url"), ("list-type", "2"), ("max-keys", "1"), ("prefix", &*prefix)];
        let (answer, date) = self.ask_dated(&query).await?;
        let now = Timestamp::from(SystemTime::now());
        parse::<ObjectsDocument>(&answer).ok_or_else(|| self.no_list("a list of objects"))?;
        let lists_uploads = self.open_uploads(&prefix, None).await?.is_some();
        Ok(BucketLook { clock_ahead: date.map(|date| now - Timestamp::from(date)), lists_uploads })
    }

    /// Whose requests it is asked with, for people.
    pub fn signed_by(&self) -> String {
        let source = &self.settings.credentials;
        let key = source.key_id().map_or_else(|| "credentials".to_owned(), |key| format!("the access key {key}"));
        match source {
            CredentialSource::Keys(_) => format!("{key} of the environment"),
            CredentialSource::File(path) => format!("{key} of {}", path.display()),
            CredentialSource::WebIdentity { role, .. } => format!("{key} of the web identity for {role}"),
            CredentialSource::Container(_) | CredentialSource::ContainerAddress { .. } => {
                format!("{key} of the container")
            }
            CredentialSource::Instance => format!("{key} of this machine"),
        }
    }

    /// Where it is to lie.
    pub fn region(&self) -> &str {
        self.settings.region()
    }
}
