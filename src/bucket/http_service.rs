//! The HTTP client beneath `object_store`: whom it trusts, how long it waits, and how much it reads of an answer that is not an object.
//!
//! An answer that is no success is read here, to a bound, and becomes an error that says what the store said ([`StoreRefusal`]); the library
//! would keep nothing but its text. So every caller sees one kind of error, whatever the request was.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Limited};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
};
use reqwest::{Client, Method, Response, StatusCode, Url, redirect};
use tokio::time::{Instant, Sleep, sleep, timeout};

use super::store_answer::ErrorDocument;
use crate::net::tls::{self, ClientConfig};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long the store may say nothing, beside what the request itself takes.
const SILENCE: Duration = Duration::from_secs(60);
/// Bytes a second at which a request must get through at least: a line that is slower does not carry a stream that is recorded.
const LEAST_RATE: u64 = 128 << 10;
/// Idle connections are closed after this.
const IDLE: Duration = Duration::from_secs(45);
const IDLE_CONNECTIONS: usize = 4;
/// Bytes of an answer that is no object: a list of a thousand names of 1,024 bytes, each of which may be written in three.
pub(super) const ANSWER_BYTES: usize = 8 << 20;
/// Bytes of a refusal that are read for its words.
const REFUSAL_BYTES: usize = 16 << 10;

/// The store answered, and did not do what it was asked for.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{at} answered {status}")]
pub(super) struct StoreRefusal {
    /// Scheme, host and port.
    pub(super) at: String,
    pub(super) status: StatusCode,
    /// Its own words.
    pub(super) said: ErrorDocument,
}

/// There was no whole answer.
#[derive(Debug, thiserror::Error)]
#[error("{at}: {why}")]
pub(super) struct NoAnswer {
    /// Scheme, host and port.
    pub(super) at: String,
    pub(super) why: NoAnswerReason,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum NoAnswerReason {
    #[error("no connection")]
    Unreachable(String),
    #[error("not to be trusted")]
    Insecure(String),
    #[error("nothing came for {} s", .0.as_secs())]
    Silent(Duration),
    #[error("the connection broke")]
    Broken(String),
    #[error("the answer is larger than {ANSWER_BYTES} bytes")]
    TooLarge,
}

/// Makes the clients of a store.
#[derive(Debug, Clone)]
pub(super) struct StoreConnector {
    client: StoreClient,
}

#[derive(Debug, Clone)]
struct StoreClient {
    http: Client,
}

impl StoreConnector {
    /// One that trusts whom `tls` trusts.
    pub(super) fn new(tls: &ClientConfig) -> Result<Self, reqwest::Error> {
        let http = Client::builder()
            .tls_backend_preconfigured(tls::for_http(tls))
            // A proxy is another host, and would see and answer everything: only the operator's addresses are asked.
            .no_proxy()
            .redirect(redirect::Policy::none())
            .http1_only()
            .referer(false)
            .tcp_nodelay(true)
            .connect_timeout(CONNECT)
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .user_agent(concat!("gapless/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client: StoreClient { http } })
    }

    pub(super) fn http_client(&self) -> HttpClient {
        HttpClient::new(self.client.clone())
    }
}

impl HttpConnector for StoreConnector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(self.http_client())
    }
}

#[async_trait]
impl HttpService for StoreClient {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (parts, content) = request.into_parts();
        let url = Url::parse(&parts.uri.to_string()).map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
        let at = url.origin().ascii_serialization();
        let patience = SILENCE + Duration::from_secs(content.content_length() as u64 / LEAST_RATE);
        let is_read = parts.method == Method::GET;
        let mut sent = reqwest::Request::new(parts.method, url);
        *sent.headers_mut() = parts.headers;
        *sent.body_mut() = Some(reqwest::Body::wrap(content));
        let mut answer = match timeout(patience, self.http.execute(sent)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(failed(at, &error)),
            Err(_) => return Err(no_answer(at, HttpErrorKind::Timeout, NoAnswerReason::Silent(patience))),
        };
        let status = answer.status();
        if !status.is_success() {
            return Err(refused(at, answer).await);
        }
        let headers = std::mem::take(answer.headers_mut());
        let body = PatientBody { body: answer.into(), at: at.clone(), patience: Box::pin(sleep(SILENCE)) };
        let given_body = if is_read {
            HttpResponseBody::new(body)
        } else {
            // The library reads it whole.
            let whole = Limited::new(body, ANSWER_BYTES).collect().await.map_err(|error| match error.downcast() {
                Ok(error) => *error,
                Err(_) => no_answer(at.clone(), HttpErrorKind::Decode, NoAnswerReason::TooLarge),
            })?;
            let whole = whole.to_bytes();
            if let Some(refusal) = refusal_in(&at, status, &whole) {
                return Err(refusal);
            }
            whole.into()
        };
        let mut given = HttpResponse::new(given_body);
        *given.status_mut() = status;
        *given.headers_mut() = headers;
        Ok(given)
    }
}

/// What an answer refuses although its status is one of success, as it may where something takes long.
pub(super) fn refusal_in(at: &str, status: StatusCode, body: &[u8]) -> Option<HttpError> {
    let said = ErrorDocument::in_success(body)?;
    let kind = if said.may_pass() { HttpErrorKind::Timeout } else { HttpErrorKind::Unknown };
    Some(HttpError::new(kind, StoreRefusal { at: at.to_owned(), status, said }))
}

async fn refused(at: String, answer: Response) -> HttpError {
    let status = answer.status();
    let region = answer.headers().get("x-amz-bucket-region").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let body = Limited::new(reqwest::Body::from(answer), REFUSAL_BYTES).collect();
    let text = match timeout(SILENCE, body).await {
        Ok(Ok(whole)) => whole.to_bytes(),
        // Its status says what there is to say.
        Ok(Err(_)) | Err(_) => Bytes::new(),
    };
    let mut said = ErrorDocument::read(&text);
    said.region = said.region.or(region);
    // What may pass is tried again by the library; it is safe to repeat each of our requests.
    let may_pass = status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED
        || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
    let kind = if may_pass { HttpErrorKind::Timeout } else { HttpErrorKind::Unknown };
    HttpError::new(kind, StoreRefusal { at, status, said })
}

fn failed(at: String, error: &reqwest::Error) -> HttpError {
    let why = innermost(error);
    if let Some(told) = tls::explain(error) {
        return no_answer(at, HttpErrorKind::Unknown, NoAnswerReason::Insecure(told));
    }
    if error.is_connect() || error.is_timeout() {
        return no_answer(at, HttpErrorKind::Connect, NoAnswerReason::Unreachable(why));
    }
    no_answer(at, HttpErrorKind::Interrupted, NoAnswerReason::Broken(why))
}

fn no_answer(at: String, kind: HttpErrorKind, why: NoAnswerReason) -> HttpError {
    HttpError::new(kind, NoAnswer { at, why })
}

fn innermost(error: &reqwest::Error) -> String {
    let mut inner: &dyn Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

/// A body that must go on coming.
struct PatientBody {
    body: reqwest::Body,
    at: String,
    patience: Pin<Box<Sleep>>,
}

impl Body for PatientBody {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            self.patience.as_mut().reset(Instant::now() + SILENCE);
            let at = self.at.clone();
            return Poll::Ready(frame.map(|frame| {
                frame.map_err(|error| {
                    no_answer(at, HttpErrorKind::Interrupted, NoAnswerReason::Broken(innermost(&error)))
                })
            }));
        }
        ready!(self.patience.as_mut().poll(context));
        let silent = no_answer(self.at.clone(), HttpErrorKind::Timeout, NoAnswerReason::Silent(SILENCE));
        Poll::Ready(Some(Err(silent)))
    }
}
