//! Connections to origins. `reqwest` is left here for the client beneath it: what it reads from a connection goes into a buffer of up to 400 kB
//! that stays with the connection while it waits for the next segment, and nothing makes it smaller. That was most of what a recorder took.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::{HeaderMap, Request, Response, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use percent_encoding::percent_decode_str;
use reqwest::Url;
use reqwest::header::{ACCEPT, AUTHORIZATION, COOKIE, HeaderValue, SET_COOKIE, USER_AGENT};
use tower::{BoxError, Service};

use super::address::AddressRules;
use super::source_cookies::SourceCookies;
use crate::net::tls::ClientConfig;

/// Bytes that are read from a connection at once. Larger ones make nothing faster, as what comes is hashed and written in pieces.
const READS: usize = 64 << 10;
/// Connections to one host that wait for what is asked next: those of all qualities of a channel.
const WAITING: usize = 6;
/// And for how long: longer than segments last.
const WAITS_FOR: Duration = Duration::from_secs(30);

/// Asks hosts that [`AddressRules`] allow, and keeps the cookies that they set. Cheap to clone.
#[derive(Clone)]
pub struct OriginHttp {
    client: Client<HttpsConnector<HttpConnector<AllowedHosts>>, Empty<Bytes>>,
    cookies: Arc<SourceCookies>,
}

impl fmt::Debug for OriginHttp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OriginHttp").finish_non_exhaustive()
    }
}

impl OriginHttp {
    /// The time is for a connection to stand, before any handshake.
    pub fn new(rules: AddressRules, tls: &ClientConfig, connect: Duration) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(AllowedHosts { rules });
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(connect));
        let mut tls = tls.clone();
        // The connector says what is spoken, and wants to be the only one who does.
        tls.alpn_protocols.clear();
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
        let client = Client::builder(TokioExecutor::new())
            .http1_max_buf_size(READS)
            .pool_max_idle_per_host(WAITING)
            .pool_idle_timeout(WAITS_FOR)
            .pool_timer(TokioTimer::new())
            .build(connector.wrap_connector(tcp));
        Self { client, cookies: Arc::default() }
    }

    /// The answer to one request, whatever it is: nothing is followed.
    pub async fn get(&self, url: &Url, mut headers: HeaderMap) -> Result<Response<Incoming>, BoxError> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = uri(url)?;
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(concat!("gapless/", env!("CARGO_PKG_VERSION"))));
        if let Some(user) = user(url)? {
            headers.entry(AUTHORIZATION).or_insert(user);
        }
        if let Some(cookies) = self.cookies.of(url) {
            headers.entry(COOKIE).or_insert(cookies);
        }
        *request.headers_mut() = headers;
        let response = self.client.request(request).await?;
        self.cookies.set(response.headers().get_all(SET_COOKIE).iter(), url);
        Ok(response)
    }
}

/// What is asked of a server: without user, password and fragment.
fn uri(url: &Url) -> Result<Uri, BoxError> {
    let mut asked = url.clone();
    asked.set_fragment(None);
    // An address without a host has none either, and is refused when it is asked.
    let (_, _) = (asked.set_username(""), asked.set_password(None));
    Ok(asked.as_str().parse()?)
}

/// What user and password of an address are sent as (RFC 7617).
fn user(url: &Url) -> Result<Option<HeaderValue>, BoxError> {
    if url.username().is_empty() && url.password().is_none() {
        return Ok(None);
    }
    let mut plain: Vec<u8> = percent_decode_str(url.username()).collect();
    plain.push(b':');
    plain.extend(percent_decode_str(url.password().unwrap_or_default()));
    let mut header = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(plain)))?;
    header.set_sensitive(true);
    Ok(Some(header))
}

/// Resolves names to addresses that may be asked.
#[derive(Debug, Clone)]
struct AllowedHosts {
    rules: AddressRules,
}

impl Service<Name> for AllowedHosts {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let rules = self.rules.clone();
        Box::pin(async move { Ok(rules.resolve(name.as_str()).await?.into_iter()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_password_are_sent_apart_from_the_address() {
        let url = Url::parse("https://ad%40min:p%C3%A4ss@example.com/a%20b.m3u8?c=d#e").unwrap();
        assert_eq!(uri(&url).unwrap(), "https://example.com/a%20b.m3u8?c=d");
        let header = user(&url).unwrap().unwrap();
        let encoded = header.to_str().unwrap().strip_prefix("Basic ").unwrap();
        assert_eq!(STANDARD.decode(encoded).unwrap(), "ad@min:päss".as_bytes());
        assert!(header.is_sensitive());
        assert!(user(&Url::parse("https://example.com").unwrap()).unwrap().is_none());
    }
}
