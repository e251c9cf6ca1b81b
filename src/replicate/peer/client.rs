//! Asks peers what they have: channels, qualities, hours, names, and many small files at once.
//!
//! One client serves all peers, so that connections are kept and bounds are the same for all.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH, LOCATION,
};
use reqwest::{Client, Method, Response, StatusCode, Url, redirect};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::body::{self, BodyProblem, BodySink, body_error};
use super::error::{BodyStart, PeerError, escaped};
use super::limits::PeerLimits;
use super::list::ListReader;
#[cfg(test)]
use super::tests::in_process::sent;
use super::url::PeerUrl;
use crate::archive::name::is_too_long_to_hide;
use crate::archive::probe::is_probe_name;
use crate::archive::{Channel, Hour, HourPlace, Quality};
use crate::net::tls::{self, ClientConfig};
use crate::net::tokens::Token;
use crate::wire::bundle::{self, ANSWER_BYTES, BundleRequest};

/// Bytes of an error's body that are read for the sake of its words.
const DETAIL_BYTES: usize = 4 << 10;
/// How long they are waited for.
const DETAIL_TIME: Duration = Duration::from_secs(2);
/// Idle connections are closed after this; servers of this field keep them for a minute or more.
const IDLE: Duration = Duration::from_secs(45);
/// A listing longer than this is sorted off the async threads.
const MANY: usize = 50_000;
/// A tag longer than this is not kept.
const ETAG_BYTES: usize = 256;
/// The longest name of one thing in a directory.
const NAME_BYTES: usize = 255;
/// A peer is asked for what lies on it alone, and not for what it knows of others. Those that do not know this pass over it.
pub(super) const LOCAL: (&str, &str) = ("local", "true");
/// The deepest path of an extra: as deep as we serve them ourselves.
const EXTRA_PARTS: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Peer {
    /// What it is called here, in messages and metrics.
    pub name: String,
    /// Where it is.
    pub url: PeerUrl,
    /// Whether tombstones are taken from it; otherwise they are only reported.
    pub trusted: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing<T> {
    /// In order, each once.
    pub names: Vec<T>,
    /// How many entries were dropped because they name nothing that can be asked for.
    pub refused: u64,
}

/// An answer that was read to its end.
pub(super) struct ReadAnswer<S> {
    pub(super) sink: S,
    /// Where it is from, for messages.
    pub(super) url: String,
    /// How it begins, for messages.
    pub(super) begins: BodyStart,
    pub(super) etag: Option<HeaderValue>,
    /// It is still what the tag that was given stands for, and nothing was read.
    pub(super) is_same: bool,
}

/// Asks peers. Cloning it is cheap and shares the connections.
#[derive(Debug, Clone)]
pub struct PeerClient {
    http: Client,
    limits: PeerLimits,
}

impl PeerClient {
    /// Makes the client, which trusts whom `tls` trusts; asks nobody yet.
    pub fn new(limits: PeerLimits, tls: &ClientConfig) -> Result<Self, PeerError> {
        Self::with_token(limits, tls, None)
    }

    /// The same, with a token that is shown to every peer.
    pub fn with_token(limits: PeerLimits, tls: &ClientConfig, token: Option<&Token>) -> Result<Self, PeerError> {
        let http = Client::builder()
            .default_headers(token.and_then(authorization).into_iter().collect())
            .tls_backend_preconfigured(tls::for_http(tls))
            // A proxy is another host, and would see and answer everything: only the operator's addresses are asked.
            .no_proxy()
            .redirect(redirect::Policy::none())
            .http1_only()
            .referer(false)
            .tcp_nodelay(true)
            .connect_timeout(limits.connect)
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(limits.idle_connections)
            .user_agent(concat!("gapless/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(PeerError::Setup)?;
        Ok(Self { http, limits })
    }

    pub fn limits(&self) -> &PeerLimits {
        &self.limits
    }

    pub async fn channels(&self, peer: &Peer) -> Result<Listing<Channel>, PeerError> {
        self.list(peer, &["files"], &[LOCAL], |name| Channel::new(name).ok()).await
    }

    pub async fn qualities(&self, peer: &Peer, channel: &Channel) -> Result<Listing<Quality>, PeerError> {
        self.list(peer, &["files", channel.as_str()], &[LOCAL], |name| Quality::new(name).ok()).await
    }

    pub async fn hours(&self, peer: &Peer, channel: &Channel, quality: &Quality) -> Result<Listing<Hour>, PeerError> {
        let parts = ["files", channel.as_str(), quality.as_str()];
        self.list(peer, &parts, &[LOCAL], |name| Hour::parse(name).ok()).await
    }

    /// The visible files of an hour, tombstones included; also those whose name the grammar does not understand. Names for which there
    /// can be no tombstone are refused: nobody could hide what was fetched under them.
    pub async fn segments(
        &self,
        peer: &Peer,
        channel: &Channel,
        quality: &Quality,
        hour: Hour,
    ) -> Result<Listing<Box<str>>, PeerError> {
        let hour = hour.to_string();
        let parts = ["files", channel.as_str(), quality.as_str(), &hour];
        self.list(peer, &parts, &[("tombstones", "true"), LOCAL], hideable).await
    }

    /// The same for peers that do not know of tombstones in lists.
    pub async fn segments_alone(&self, peer: &Peer, place: &HourPlace) -> Result<Listing<Box<str>>, PeerError> {
        let (hour, stream) = (place.hour.to_string(), &place.stream);
        let parts = ["files", stream.channel.as_str(), stream.quality.as_str(), &hour];
        self.list(peer, &parts, &[LOCAL], hideable).await
    }

    /// The extras below a directory, as paths relative to it.
    pub async fn extras(&self, peer: &Peer, dir: &str) -> Result<Listing<Box<str>>, PeerError> {
        let parts: Vec<&str> = std::iter::once("extras").chain(dir.split('/')).collect();
        let accept = |path: &str| {
            let plain = path.split('/').count() <= EXTRA_PARTS && path.split('/').all(is_visible);
            plain.then(|| path.into())
        };
        self.list(peer, &parts, &[], accept).await
    }

    /// Asks for one JSON value of at most `most` bytes.
    pub async fn get_json<T: DeserializeOwned>(
        &self,
        peer: &Peer,
        path: &[&str],
        query: &[(&str, &str)],
        most: usize,
    ) -> Result<T, PeerError> {
        let answer = self.read(peer, path, query, None, most, Vec::new()).await?;
        serde_json::from_slice(&answer.sink)
            .map_err(|error| body_error(&answer.url, BodyProblem::Unexpected(error.to_string()), answer.begins))
    }

    /// What the process that answers at the address of a peer says of itself. What its clock says follows from that.
    pub fn identified(&self, peer: &Peer, process: Option<u64>) {
        self.limits.dates.identify(&peer.url, process);
    }

    pub(super) async fn list<T: Ord + Send + 'static>(
        &self,
        peer: &Peer,
        path: &[&str],
        query: &[(&str, &str)],
        accept: fn(&str) -> Option<T>,
    ) -> Result<Listing<T>, PeerError> {
        let reader = ListReader::new(self.limits.listing_entries, accept);
        let ReadAnswer { sink, url, begins, .. } =
            self.read(peer, path, query, None, self.limits.listing_bytes, reader).await?;
        let (names, refused) = sink.finish().map_err(|problem| body_error(&url, problem, begins))?;
        if refused > 0 {
            tracing::debug!(name: "names_left_out", peer = peer.name, url, refused, "names that cannot be asked for were left out");
        }
        Ok(Listing { names: in_order(names).await?, refused })
    }

    /// Reads the answer into a sink, unless it is still the one of this tag. Whatever is asked for lists and values goes through here.
    pub(super) async fn read<S: BodySink>(
        &self,
        peer: &Peer,
        path: &[&str],
        query: &[(&str, &str)],
        unless: Option<HeaderValue>,
        most: usize,
        sink: S,
    ) -> Result<ReadAnswer<S>, PeerError> {
        let mut url = address(peer, path)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let text = url.to_string();
        let mut headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static("gzip"))]);
        headers.extend(unless.map(|etag| (IF_NONE_MATCH, etag)));
        let (sink, etag, begins, is_same) = self
            .in_time(&text, async {
                let mut response = self.ask(&url, &headers).await?;
                let etag = response.headers().get(ETAG).filter(|etag| etag.len() <= ETAG_BYTES).cloned();
                match response.status() {
                    StatusCode::OK => {}
                    StatusCode::NOT_MODIFIED if headers.contains_key(IF_NONE_MATCH) => {
                        return Ok((sink, etag, BodyStart::default(), true));
                    }
                    _ => return Err(refused(&text, response).await),
                }
                let (filled, begins) = body::read(&text, &mut response, &self.limits, most, sink).await?;
                Ok((filled, etag, begins, false))
            })
            .await?;
        Ok(ReadAnswer { sink, url: text, begins, etag, is_same })
    }

    /// What is to be answered within the time that a list may take.
    pub(super) async fn in_time<T>(
        &self,
        url: &str,
        work: impl Future<Output = Result<T, PeerError>>,
    ) -> Result<T, PeerError> {
        let after = self.limits.listing_time;
        let late = |_| PeerError::TimedOut { url: url.to_owned(), what: "did not finish its answer", after };
        timeout(after, work).await.map_err(late)?
    }

    /// Sends a request and waits for the head of the answer.
    ///
    /// A connection that broke before that is tried once more: the peer may have closed it because it was idle, which
    /// is nobody's fault and not seen before the request is sent.
    pub(super) async fn ask(&self, url: &Url, headers: &HeaderMap) -> Result<Response, PeerError> {
        self.send(&Method::GET, url, headers, Bytes::new()).await
    }

    /// The same with a body; what is asked for is the same if it is asked for twice.
    pub(super) async fn send(
        &self,
        method: &Method,
        url: &Url,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Response, PeerError> {
        let timed_out = |what, after| Err(PeerError::TimedOut { url: url.to_string(), what, after });
        let mut again = true;
        loop {
            let mut request = self.http.request(method.clone(), url.clone()).headers(headers.clone());
            if !body.is_empty() {
                request = request.body(body.clone());
            }
            let source = match timeout(self.limits.silence, sent(request)).await {
                Ok(Ok(response)) => {
                    self.limits.dates.hear(url, response.remote_addr(), response.headers());
                    return Ok(response);
                }
                Ok(Err(source)) => source,
                Err(_) => return timed_out("did not answer", self.limits.silence),
            };
            if source.is_timeout() {
                return timed_out("could not be connected to", self.limits.connect);
            }
            if let Some(why) = tls::explain_handshake(&source) {
                return Err(PeerError::Insecure { url: url.to_string(), why });
            }
            if source.is_connect() {
                return Err(PeerError::Unreachable { url: url.to_string(), source });
            }
            if !std::mem::take(&mut again) {
                return Err(PeerError::Broken { url: url.to_string(), bytes: 0, source });
            }
        }
    }
}

/// Sends a request over a connection. Tests may have a router stand at the address instead.
#[cfg(not(test))]
async fn sent(request: reqwest::RequestBuilder) -> reqwest::Result<Response> {
    request.send().await
}

/// The header that shows a token, and that is never printed.
fn authorization(token: &Token) -> Option<(HeaderName, HeaderValue)> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", token.secret())).ok()?;
    value.set_sensitive(true);
    Some((AUTHORIZATION, value))
}

/// The address of what these names lead to, if it can be asked at all.
pub(super) fn address(peer: &Peer, path: &[&str]) -> Result<Url, PeerError> {
    Ok(peer.url.join(path.iter().copied())?)
}

/// The same, for what lies on the peer alone.
pub(super) fn local_address(peer: &Peer, path: &[&str]) -> Result<Url, PeerError> {
    let mut url = address(peer, path)?;
    url.query_pairs_mut().append_pair(LOCAL.0, LOCAL.1);
    Ok(url)
}

/// The error that an answer with an unwanted status is, with the peer's own words.
pub(super) async fn refused(url: &str, mut response: Response) -> PeerError {
    let (url, status) = (url.to_owned(), response.status());
    if let (true, Some(to)) = (status.is_redirection(), response.headers().get(LOCATION)) {
        return PeerError::Redirected { url, status, to: escaped(to.as_bytes()) };
    }
    PeerError::Status { url, status, detail: error_detail(&mut response).await }
}

/// The sentence in a problem document, or else the beginning of the text; empty if there is none.
pub(super) async fn error_detail(response: &mut Response) -> String {
    #[derive(Deserialize)]
    struct ProblemDocument {
        detail: Option<String>,
        title: Option<String>,
    }
    let mut body = Vec::new();
    let reading = async {
        while let Ok(Some(bytes)) = response.chunk().await {
            let room = DETAIL_BYTES.saturating_sub(body.len());
            body.extend_from_slice(bytes.get(..room).unwrap_or(&bytes));
            if bytes.len() > room {
                break;
            }
        }
    };
    // What has come until then is good enough.
    timeout(DETAIL_TIME, reading).await.unwrap_or_default();
    let problem =
        serde_json::from_slice(&body).ok().and_then(|problem: ProblemDocument| problem.detail.or(problem.title));
    let words = problem.map_or_else(|| escaped(&body), |text| escaped(text.as_bytes()));
    if words.is_empty() { words } else { format!(": {words}") }
}

/// What is visible, of a file beside which a tombstone can lie.
pub(super) fn hideable(name: &str) -> Option<Box<str>> {
    visible(name).filter(|name| !is_too_long_to_hide(name))
}

pub(super) fn visible(name: &str) -> Option<Box<str>> {
    is_visible(name).then(|| name.into())
}

/// Whether it is a name of one visible thing in a directory.
fn is_visible(name: &str) -> bool {
    let is_one_name = !name.is_empty() && name.len() <= NAME_BYTES && !name.contains(['/', '\0']);
    // Those who look for a probe ask for it by itself.
    is_one_name && !name.starts_with('.') && !is_probe_name(name)
}

/// In order, each once; very many off the async threads.
pub(super) async fn in_order<T: Ord + Send + 'static>(names: Vec<T>) -> Result<Vec<T>, PeerError> {
    if names.len() < MANY {
        return Ok(sorted(names));
    }
    tokio::task::spawn_blocking(move || sorted(names)).await.map_err(|_| PeerError::Stopping)
}

fn sorted<T: Ord>(mut names: Vec<T>) -> Vec<T> {
    names.sort_unstable();
    names.dedup();
    names
}

impl PeerClient {
    /// The answer to a request for these files of an hour, to be read by [`bundle::read`].
    pub async fn bundle(&self, peer: &Peer, place: &HourPlace, names: Vec<String>) -> Result<Vec<u8>, PeerError> {
        let (channel, quality) = (place.stream.channel.as_str(), place.stream.quality.as_str());
        let url = address(peer, &["api", "v1", "bundle", channel, quality, &place.hour.to_string()])?;
        let text = url.to_string();
        let asked = serde_json::to_vec(&BundleRequest { names }).unwrap_or_default();
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        self.in_time(&text, async {
            let mut response = self.send(&Method::POST, &url, &headers, asked.into()).await?;
            if response.status() != StatusCode::OK {
                return Err(refused(&text, response).await);
            }
            let is_bundle = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == bundle::CONTENT_TYPE);
            let (answer, begins) = body::read(&text, &mut response, self.limits(), ANSWER_BYTES, Vec::new()).await?;
            if is_bundle {
                Ok(answer)
            } else {
                Err(body_error(&text, BodyProblem::Unexpected("no bundle".to_owned()), begins))
            }
        })
        .await
    }
}
