//! Peers that answer in this process, for tests with very many requests: at an address to which no socket belongs stands a router.
//!
//! Client and router are the true ones. What hyper and the kernel do between them is left out, with limits and timeouts of connections and the
//! headers that the client sends with everything (user agent, token). What they add is added here: `Host` and the client's address to a
//! request, `Date` to an answer.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU16, Ordering};
use std::task::{Context, Poll};
use std::time::SystemTime;

use axum::Router;
use axum::extract::ConnectInfo;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use parking_lot::{Mutex, RwLock};
use reqwest::header::{ACCEPT, CONTENT_LENGTH, DATE, HOST, HeaderValue};
use reqwest::{Request, RequestBuilder, Response, Url};
use tower::ServiceExt as _;

/// The routers by their hosts. One table, as there is one network.
static ROUTERS: RwLock<BTreeMap<String, Router>> = RwLock::new(BTreeMap::new());
static NUMBER: AtomicU16 = AtomicU16::new(0);

/// An address at which a router answers for as long as this is kept.
#[derive(Debug)]
pub(crate) struct InProcessPeer {
    address: SocketAddr,
}

impl InProcessPeer {
    pub(crate) fn open(router: Router) -> Self {
        let [high, low] = NUMBER.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        // Nobody listens there, so that a request that passed the table by would be refused.
        let address = SocketAddr::from((Ipv4Addr::new(127, 77, high, low), 1));
        assert!(ROUTERS.write().insert(address.to_string(), router).is_none(), "{address} stands for two routers");
        Self { address }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for InProcessPeer {
    fn drop(&mut self) {
        ROUTERS.write().remove(&self.address.to_string());
    }
}

/// Sends a request over a connection, or hands it to the router that stands at its address.
pub(in crate::replicate::peer) async fn sent(request: RequestBuilder) -> reqwest::Result<Response> {
    let (client, request) = request.build_split();
    let request = request?;
    let behind = ROUTERS.read().get(request.url().authority()).cloned();
    match behind {
        Some(router) => Ok(answered(router, request).await),
        None => client.execute(request).await,
    }
}

async fn answered(router: Router, mut request: Request) -> Response {
    let (length, host) = (request.body().and_then(reqwest::Body::as_bytes).map(<[u8]>::len), host(request.url()));
    let sent = request.body_mut().take().map_or_else(axum::body::Body::empty, axum::body::Body::new);
    let mut asked = axum::extract::Request::new(sent);
    *asked.method_mut() = request.method().clone();
    *asked.uri_mut() = target(request.url()).parse().unwrap();
    let headers = asked.headers_mut();
    *headers = request.headers().clone();
    headers.insert(HOST, host);
    headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    if let Some(length) = length {
        headers.insert(CONTENT_LENGTH, length.into());
    }
    asked.extensions_mut().insert(ConnectInfo(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))));
    let (mut head, body) = router.oneshot(asked).await.unwrap().into_parts();
    let now = || HeaderValue::try_from(httpdate::fmt_http_date(SystemTime::now())).unwrap();
    head.headers.entry(DATE).or_insert_with(now);
    axum::http::Response::from_parts(head, reqwest::Body::wrap(SharedBody(Mutex::new(body)))).into()
}

fn target(url: &Url) -> String {
    url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()))
}

fn host(url: &Url) -> HeaderValue {
    url.authority().try_into().unwrap()
}

/// The client wants a body that threads could share. Never contended: whoever polls it has it alone.
struct SharedBody(Mutex<axum::body::Body>);

impl HttpBody for SharedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(self.0.get_mut()).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().size_hint()
    }
}
