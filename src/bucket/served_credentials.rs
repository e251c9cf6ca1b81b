//! Credentials that a service gives: for a web identity, in a container, or of the machine. The library asks for them; what is handed to it, and
//! what it is given, is looked at here, because it panics at what fits into no header.
//!
//! Whatever goes wrong is told as what was asked, and never as the store's doing. Nothing of an answer is repeated: it may be a secret.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use http_body_util::{BodyExt as _, Limited};
use object_store::aws::{AwsCredential, AwsCredentialProvider};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};
use object_store::{ClientOptions, CredentialProvider};
use tokio::fs;

use super::access_keys::{AccessKeys, CredentialError, MOST_BYTES};
use super::error::causes;
use super::http_service::{NoAnswer, StoreConnector, StoreRefusal};

/// What gives them.
pub(super) struct ServedCredentials {
    /// What is asked, for messages.
    asked: String,
    /// The file with the token that it is shown.
    token_file: Option<String>,
    library: AwsCredentialProvider,
}

/// What is wrong with a token.
enum TokenFault {
    /// The library says so as well, unless it has credentials still.
    Unreadable(String),
    /// It fits into no header.
    Unsendable,
}

impl ServedCredentials {
    pub(super) fn new(asked: String, token_file: Option<String>, library: AwsCredentialProvider) -> Self {
        Self { asked, token_file, library }
    }

    fn failed(&self, why: impl Into<String>) -> object_store::Error {
        let none = CredentialError::Unserved { asked: self.asked.clone(), why: why.into() };
        object_store::Error::Generic { store: "credentials", source: Box::new(none) }
    }

    async fn token(&self) -> Result<(), TokenFault> {
        let Some(file) = &self.token_file else { return Ok(()) };
        let unreadable =
            |why: &dyn fmt::Display| TokenFault::Unreadable(format!("the token in {file} cannot be read: {why}"));
        let meta = fs::metadata(file).await.map_err(|error| unreadable(&error))?;
        if !meta.is_file() || meta.len() > MOST_BYTES {
            return Err(unreadable(&format_args!("it is no regular file of at most {MOST_BYTES} bytes")));
        }
        let token = fs::read(file).await.map_err(|error| unreadable(&error))?;
        let is_sendable = !token.is_empty() && token.iter().all(|c| matches!(c, b' '..=b'~'));
        if is_sendable { Ok(()) } else { Err(TokenFault::Unsendable) }
    }
}

/// Not the secrets.
impl fmt::Debug for ServedCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServedCredentials({})", self.asked)
    }
}

#[async_trait]
impl CredentialProvider for ServedCredentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let unreadable = match self.token().await {
            Ok(()) => None,
            Err(TokenFault::Unreadable(why)) => Some(why),
            Err(TokenFault::Unsendable) => {
                let file = self.token_file.as_deref().unwrap_or_default();
                let why = format!("the token in {file} is no line of printable ASCII without an end of line");
                return Err(self.failed(why));
            }
        };
        let given = self.library.get_credential().await.map_err(|error| {
            // What it could not read it would repeat.
            let told = causes(&error).find_map(|cause| {
                let told = cause.downcast_ref::<NoAnswer>().map(NoAnswer::to_string);
                let told = told.or_else(|| cause.downcast_ref::<StoreRefusal>().map(StoreRefusal::to_string));
                told.or_else(|| cause.downcast_ref::<UnfitAnswer>().map(UnfitAnswer::to_string))
            });
            self.failed(unreadable.or(told).unwrap_or_else(|| "its answer has no credentials".to_owned()))
        })?;
        let keys = AccessKeys::new(&given.key_id, &given.secret_key, given.token.as_deref(), "");
        keys.map_err(|_| self.failed("its answer has no access key of printable ASCII without blanks"))?;
        Ok(given)
    }
}

/// What is not even looked at.
#[derive(Debug, thiserror::Error)]
enum UnfitAnswer {
    /// It is to stand in a header or an address.
    #[error("it gave something else than a word of printable ASCII")]
    NoWord,
    #[error("its answer is larger than {MOST_BYTES} bytes")]
    Larger,
}

/// Makes the clients that such services are asked with.
#[derive(Debug)]
pub(super) struct ServiceConnector(HttpClient);

impl ServiceConnector {
    pub(super) fn new(connector: &StoreConnector) -> Self {
        Self(connector.http_client())
    }
}

impl HttpConnector for ServiceConnector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(ServiceClient(self.0.clone())))
    }
}

#[derive(Debug)]
struct ServiceClient(HttpClient);

#[async_trait]
impl HttpService for ServiceClient {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let is_word = is_word(request.uri().path());
        let (parts, body) = self.0.execute(request).await?.into_parts();
        let most = usize::try_from(MOST_BYTES).unwrap_or(usize::MAX);
        let whole = Limited::new(body, most).collect().await.map_err(|error| match error.downcast() {
            Ok(error) => *error,
            Err(_) => HttpError::new(HttpErrorKind::Decode, UnfitAnswer::Larger),
        })?;
        let whole = whole.to_bytes();
        if is_word && (whole.is_empty() || !whole.iter().all(u8::is_ascii_graphic)) {
            return Err(HttpError::new(HttpErrorKind::Decode, UnfitAnswer::NoWord));
        }
        Ok(HttpResponse::from_parts(parts, whole.into()))
    }
}

/// Whether what comes from there is put as it is into the next request: a machine gives a token, and then the name of its role.
fn is_word(path: &str) -> bool {
    path.ends_with("/api/token") || path.ends_with("/security-credentials/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_machine_gives_is_a_word_where_the_next_request_has_it() {
        for (path, expected) in [
            ("/latest/api/token", true),
            ("/latest/meta-data/iam/security-credentials/", true),
            ("/latest/meta-data/iam/security-credentials/role", false),
            ("/", false),
        ] {
            assert_eq!(is_word(path), expected, "{path}");
        }
    }
}
