//! What is in a bucket: objects, page by page in the order of their names, and uploads that nobody completed. Names that are none of ours are
//! counted and passed over.
//!
//! The library's own lists end at the first name that it does not like, and it lists no uploads; so both are asked for here, signed by it.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use object_store::aws::AwsAuthorizer;
use object_store::client::{HttpErrorKind, HttpRequest, HttpRequestBody};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use reqwest::header::DATE;

use super::client::Bucket;
use super::error::BucketError;
use super::http_service::{ANSWER_BYTES, refusal_in};
use super::store_answer::{ObjectsDocument, UploadsDocument, parse};
use crate::archive::object_name::OBJECTS;
use crate::archive::{ObjectName, Span, Timestamp};

/// What a signature leaves as it is.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The same of a path.
const PATH_ENCODED: &AsciiSet = &ENCODED.remove(b'/');
const ATTEMPTS: u32 = 4;
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// Objects on a page: what S3 gives at most.
const PAGE: &str = "1000";
/// Pages of open uploads that are looked at, each of a thousand: the others are looked at when these have ended.
const MOST_UPLOAD_PAGES: usize = 100;

/// An object that is in the bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedObject {
    /// What it is called, without what stands before all names.
    pub name: ObjectName,
    /// Bytes.
    pub size: u64,
}

/// A page of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectPage {
    /// In the order of their names.
    pub objects: Vec<ListedObject>,
    /// Names that are none of ours.
    pub others: u64,
    /// Where the next page begins, if there is one.
    pub next: Option<String>,
}

impl Bucket {
    /// A page of the objects whose names begin with this behind `v1/`, such as `CHANNEL/QUALITY/`; the first one, or the one that the page
    /// before it says.
    pub async fn list(&self, below: &str, from: Option<&str>) -> Result<ObjectPage, BucketError> {
        let prefix = format!("{}{OBJECTS}{below}", self.settings.prefix());
        let mut query = vec![("encoding-type", "url"), ("list-type", "2"), ("max-keys", PAGE), ("prefix", &prefix)];
        query.extend(from.map(|token| ("continuation-token", token)));
        // A signature is of the names in their order.
        query.sort_unstable();
        let answer = self.ask(&query).await?;
        let page: ObjectsDocument = parse(&answer).ok_or_else(|| self.no_list("a list of objects"))?;
        let mut given = ObjectPage::default();
        for entry in &page.contents {
            let key = page.key(entry);
            match key.strip_prefix(self.settings.prefix()).and_then(ObjectName::parse) {
                Some(name) => given.objects.push(ListedObject { name, size: entry.size }),
                None => given.others += 1,
            }
        }
        if page.is_truncated {
            // One that is cut, or goes round in a circle, is no list of what there is.
            let next = page.next_continuation_token.filter(|token| !token.is_empty() && from != Some(token));
            given.next = Some(next.ok_or_else(|| self.no_list("a list of objects that says where it goes on"))?);
        }
        Ok(given)
    }

    /// Ends uploads of ours that were begun so long ago and never completed; their parts cost as much as objects, and no list shows them.
    /// Returns how many; `None` if the store does not list them, or not to this access key, so that a rule of its own has to end them.
    pub async fn end_abandoned(&self, older: Span, now: Timestamp) -> Result<Option<u64>, BucketError> {
        let prefix = format!("{}{OBJECTS}", self.settings.prefix());
        let (mut ended, mut from) = (0, None::<(String, String)>);
        for _ in 0..MOST_UPLOAD_PAGES {
            let Some(page) = self.open_uploads(&prefix, from.as_ref()).await? else { return Ok(None) };
            for (key, id, begun) in page.uploads().filter(|(_, _, begun)| *begun + older < now) {
                let Some(name) = key.strip_prefix(self.settings.prefix()).and_then(ObjectName::parse) else { continue };
                match self.end_upload(&name, &id.to_owned()).await {
                    Ok(true) => {}
                    // Somebody else has ended it, or the list is older than its end.
                    Ok(false) => continue,
                    Err(error) if error.is_not_allowed() => return Ok(None),
                    Err(error) => return Err(error),
                }
                tracing::info!(name: "upload_ended", object = %name, %begun, "an upload that was never completed was ended");
                ended += 1;
            }
            let next = page.next().map_err(|()| self.no_list("a list of uploads that says where it goes on"))?;
            if next.is_none() || next == from {
                break;
            }
            from = next;
        }
        Ok(Some(ended))
    }

    /// A page of uploads that are open; `None` if the store does not list them, or not to this access key.
    pub(super) async fn open_uploads(
        &self,
        prefix: &str,
        from: Option<&(String, String)>,
    ) -> Result<Option<UploadsDocument>, BucketError> {
        let mut query = vec![("encoding-type", "url"), ("prefix", prefix), ("uploads", "")];
        if let Some((key, upload)) = from {
            query.extend([("key-marker", &**key), ("upload-id-marker", &**upload)]);
        }
        query.sort_unstable();
        match self.ask(&query).await {
            Ok(answer) => Ok(parse(&answer)),
            Err(BucketError::Refused { .. } | BucketError::Failed { status: 501, .. }) => Ok(None),
            Err(error) if error.is_not_allowed() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn ask(&self, query: &[(&str, &str)]) -> Result<Bytes, BucketError> {
        Ok(self.ask_dated(query).await?.0)
    }

    /// Asks the bucket itself. The time that comes with the answer is by the store's clock.
    pub(super) async fn ask_dated(&self, query: &[(&str, &str)]) -> Result<DatedAnswer, BucketError> {
        let encoded = |text: &str| utf8_percent_encode(text, ENCODED).to_string();
        let pairs: Vec<String> =
            query.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        self.ask_at(Method::GET, &format!("?{}", pairs.join("&")), "", None).await
    }

    /// Sends what the library cannot ask, to an address below the bucket's own, about an object or about the bucket itself. It is tried again where
    /// it may go well the next time.
    pub(super) async fn ask_at(
        &self,
        method: Method,
        below: &str,
        content: &str,
        name: Option<&ObjectName>,
    ) -> Result<DatedAnswer, BucketError> {
        let address = format!("{}{below}", self.settings.bucket_address());
        let mut failures = 0;
        loop {
            let again = match self.ask_once(&method, &address, content).await {
                Ok(answer) => return Ok(answer),
                Err(AskError::Library(error)) => return Err(self.error(&error, name)),
                Err(AskError::Http(error)) if failures + 1 == ATTEMPTS || !may_pass(error.kind()) => {
                    return Err(self.error(&error, name));
                }
                Err(AskError::Http(_)) => FIRST_WAIT * 2_u32.pow(failures),
                Err(AskError::Other(expected)) => return Err(self.no_list(expected)),
            };
            failures += 1;
            tokio::time::sleep(again).await;
        }
    }

    async fn ask_once(&self, method: &Method, address: &str, content: &str) -> Result<DatedAnswer, AskError> {
        let mut request = HttpRequest::new(HttpRequestBody::from(content.to_owned()));
        *request.method_mut() = method.clone();
        *request.uri_mut() = address.parse().map_err(|_| AskError::Other("an address"))?;
        let credential = self.store.credentials().get_credential().await.map_err(AskError::Library)?;
        let authorizer = AwsAuthorizer::new(&credential, "s3", self.settings.region());
        authorizer.try_authorize(&mut request, None).map_err(AskError::Library)?;
        let answer = self.http.execute(request).await.map_err(AskError::Http)?;
        let status = answer.status();
        let date = answer.headers().get(DATE).and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
        let whole = Limited::new(answer.into_body(), ANSWER_BYTES).collect().await;
        let whole = whole.map_err(|error| match error.downcast() {
            Ok(error) => AskError::Http(*error),
            Err(_) => AskError::Other("a list of that size"),
        })?;
        let whole = whole.to_bytes();
        match refusal_in(self.at(), status, &whole) {
            Some(refusal) => Err(AskError::Http(refusal)),
            None => Ok((whole, date)),
        }
    }

    /// Where an object lies, below the bucket's own address.
    pub(super) fn below(&self, name: &ObjectName) -> Result<String, BucketError> {
        Ok(format!("/{}", utf8_percent_encode(self.key(name)?.as_ref(), PATH_ENCODED)))
    }

    pub(super) fn no_list(&self, expected: &'static str) -> BucketError {
        BucketError::Unexpected { at: self.at().to_owned(), expected }
    }
}

/// An answer, and what time it is by the store's clock.
pub(super) type DatedAnswer = (Bytes, Option<SystemTime>);

enum AskError {
    Library(object_store::Error),
    Http(object_store::client::HttpError),
    Other(&'static str),
}

fn may_pass(kind: HttpErrorKind) -> bool {
    !matches!(kind, HttpErrorKind::Unknown | HttpErrorKind::Decode)
}
