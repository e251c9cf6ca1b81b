//! Other nodes, asked once each: whether they are there, what they speak, whether they let us read, and what their clock says.

use std::time::{Duration, SystemTime};

use reqwest::header::DATE;
use reqwest::{Client, Response, StatusCode, redirect};

use super::CheckResult;
use crate::disk::ArchiveId;
use crate::net::tls::{self, ClientConfig};
use crate::net::tokens::Token;
use crate::replicate::peer::Peer;
use crate::wire::Status;

/// One that takes longer would hardly do for fetching; a person waits for the whole.
const PATIENCE: Duration = Duration::from_secs(10);
/// The status of a node with a thousand channels.
const MOST_BYTES: usize = 16 << 20;
/// Nodes that are asked; all at once.
const MOST_PEERS: usize = 100;

#[derive(Debug)]
pub struct PeerAccess {
    http: Client,
    token: Option<Token>,
    own: Option<ArchiveId>,
}

/// What an answer came to: what is to be told, and by how much our clock is ahead of the other.
type PeerCheck = (CheckResult, Option<i64>);

impl PeerAccess {
    /// Trusts whom `tls` trusts and shows the token; `own` is this archive.
    pub fn new(tls: &ClientConfig, token: Option<Token>, own: Option<ArchiveId>) -> Result<Self, reqwest::Error> {
        let http = Client::builder()
            .tls_backend_preconfigured(tls::for_http(tls))
            .no_proxy()
            .redirect(redirect::Policy::none())
            .timeout(PATIENCE)
            .user_agent(concat!("gapless/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { http, token, own })
    }

    /// A finding for each, in their order; and by how many seconds our clock is ahead of each that tells its time.
    pub async fn examine(&self, peers: &[Peer]) -> (Vec<CheckResult>, Vec<i64>) {
        let answers = futures_util::future::join_all(peers.iter().take(MOST_PEERS).map(|peer| self.ask(peer))).await;
        let (findings, clocks): (Vec<_>, Vec<_>) = answers.into_iter().unzip();
        (findings, clocks.into_iter().flatten().collect())
    }

    async fn ask(&self, peer: &Peer) -> PeerCheck {
        let check = format!("peer {}", peer.name);
        let fail = |value: String, advice: &str| (CheckResult::fail(&check, value, advice), None);
        let mut answer = match self.get(peer, &["api", "v1", "status"]).await {
            Ok(answer) => answer,
            Err((why, advice)) => return fail(why, advice),
        };
        let ahead = ahead(&answer);
        match answer.status() {
            StatusCode::OK => match body(&mut answer).await.and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
                Some(status) if self.is_this(&status) => (of_this(&check, peer), None),
                Some(status) => (self.of_ours(&check, peer, &status), ahead),
                None => fail(format!("{} answers something that is no status of a node", peer.url), NOT_A_NODE),
            },
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let (value, advice) = if self.token.is_some() {
                    (
                        "it does not take the token that it is shown",
                        "put one of its read tokens into [backfill] token_file",
                    )
                } else {
                    (
                        "it requires a token, and none is configured",
                        "give one of its read tokens with [backfill] token_file",
                    )
                };
                (CheckResult::fail(&check, format!("{}: {value}", peer.url), advice), ahead)
            }
            StatusCode::NOT_FOUND => (self.of_others(&check, peer).await, ahead),
            status => (CheckResult::fail(&check, format!("{} answers {status}", peer.url), "look at that node"), ahead),
        }
    }

    fn is_this(&self, status: &Status) -> bool {
        self.own.is_some_and(|own| status.archive_id.as_deref() == Some(own.to_string().as_str()))
    }

    fn of_ours(&self, check: &str, peer: &Peer, status: &Status) -> CheckResult {
        let ready = if status.ready { "ready" } else { "catching up" };
        let value = format!("{}: gapless {}, {ready}", peer.url, status.version);
        if peer.url.is_https() || self.token.is_none() {
            return CheckResult::ok(check, value);
        }
        CheckResult::warn(check, value, "the token goes there without encryption: use https")
    }

    /// One that has no status may speak the older part alone.
    async fn of_others(&self, check: &str, peer: &Peer) -> CheckResult {
        let listed = match self.get(peer, &["files"]).await {
            Ok(mut answer) if answer.status() == StatusCode::OK => body(&mut answer).await,
            _ => None,
        };
        match listed.and_then(|bytes| serde_json::from_slice::<Vec<String>>(&bytes).ok()) {
            Some(channels) => {
                CheckResult::ok(check, format!("{}: is a listing-only peer, {} channels", peer.url, channels.len()))
            }
            None => CheckResult::fail(check, format!("{} answers, and lists no channels", peer.url), NOT_A_NODE),
        }
    }

    async fn get(&self, peer: &Peer, parts: &[&str]) -> Result<Response, (String, &'static str)> {
        let url = peer.url.join(parts.iter().copied());
        let url = url.map_err(|error| (error.to_string(), NOT_A_NODE))?;
        let mut request = self.http.get(url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.secret());
        }
        request.send().await.map_err(|error| match tls::explain(&error) {
            Some(why) => {
                (format!("{}: {why}", peer.url), "correct https and the certificate there, or [backfill] ca_file here")
            }
            None => (
                format!("{} does not answer: {}", peer.url, cause(&error)),
                "look whether it runs, at the address, and at firewalls",
            ),
        })
    }
}

fn of_this(check: &str, peer: &Peer) -> CheckResult {
    let value = format!("{} has the id of this archive", peer.url);
    let advice = "it is this node itself, and can be left out; or its archive is a copy that was made with .gapless/marker: stop the node there and run \
                  `gapless rebuild --new-id`, or one disk may be taken for the other";
    CheckResult::warn(check, value, advice)
}

const NOT_A_NODE: &str = "correct the address: it is what comes before /files";

/// The innermost reason, which says most.
fn cause(error: &reqwest::Error) -> String {
    let mut inner: &dyn std::error::Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    if error.is_timeout() { format!("nothing within {} s", PATIENCE.as_secs()) } else { inner.to_string() }
}

async fn body(answer: &mut Response) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    while let Some(bytes) = answer.chunk().await.ok()? {
        if whole.len() + bytes.len() > MOST_BYTES {
            return None;
        }
        whole.extend_from_slice(&bytes);
    }
    Some(whole)
}

/// By how many seconds our clock is ahead. `Date` has whole seconds and the answer took a moment: one second is nothing.
fn ahead(answer: &Response) -> Option<i64> {
    let theirs = httpdate::parse_http_date(answer.headers().get(DATE)?.to_str().ok()?).ok()?;
    let seconds = |time: SystemTime| i64::try_from(time.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs()).ok();
    let ahead = seconds(SystemTime::now())? - seconds(theirs)?;
    Some(if ahead.abs() <= 1 { 0 } else { ahead })
}
