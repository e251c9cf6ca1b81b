//! Other nodes, asked once each: whether they are there, what they speak, whether they let us read, and what their clock says.

use std::time::Duration;

use reqwest::StatusCode;

use super::CheckResult;
use crate::archive::Span;
use crate::archive::time::SECOND_US;
use crate::disk::ArchiveId;
use crate::net::tls::ClientConfig;
use crate::net::tokens::Token;
use crate::replicate::peer::{Peer, PeerClient, PeerError, PeerLimits};
use crate::wire::Status;

/// One that takes longer would hardly do for fetching; a person waits for the whole.
const PATIENCE: Duration = Duration::from_secs(10);
/// The status of a node with a thousand channels.
const MOST_BYTES: usize = 16 << 20;
/// Nodes that are asked; all at once.
const MOST_PEERS: usize = 100;

#[derive(Debug)]
pub struct PeerAccess {
    client: PeerClient,
    has_token: bool,
    own: Option<ArchiveId>,
}

/// What an answer came to: what is to be told, and by how much our clock is ahead of the other.
type PeerCheck = (CheckResult, Option<i64>);

impl PeerAccess {
    /// Trusts whom `tls` trusts and shows the token; `own` is this archive.
    pub fn new(tls: &ClientConfig, token: Option<&Token>, own: Option<ArchiveId>) -> Result<Self, PeerError> {
        let limits = PeerLimits {
            connect: PATIENCE,
            silence: PATIENCE,
            listing_time: PATIENCE,
            listing_bytes: MOST_BYTES,
            ..PeerLimits::default()
        };
        let client = PeerClient::with_token(limits, tls, token)?;
        Ok(Self { client, has_token: token.is_some(), own })
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
        let asked = self.client.get_json::<Status>(peer, &["api", "v1", "status"], &[], MOST_BYTES).await;
        let ahead = self.client.limits().dates.ahead_of(&peer.url).map(ahead);
        let error = match asked {
            Ok(status) if self.is_this(&status) => return (of_this(&check, peer), None),
            Ok(status) => return (self.of_ours(&check, peer, &status), ahead),
            Err(error) => error,
        };
        let Some(status) = error.status() else {
            let (value, advice) = unanswered(peer, &error);
            return fail(value, advice);
        };
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let (value, advice) = if self.has_token {
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
        if peer.url.is_https() || !self.has_token {
            return CheckResult::ok(check, value);
        }
        CheckResult::warn(check, value, "the token goes there without encryption: use https")
    }

    /// One that has no status may speak the older part alone.
    async fn of_others(&self, check: &str, peer: &Peer) -> CheckResult {
        match self.client.channels(peer).await {
            Ok(channels) => CheckResult::ok(
                check,
                format!("{}: is a listing-only peer, {} channels", peer.url, channels.names.len()),
            ),
            Err(_) => CheckResult::fail(check, format!("{} answers, and lists no channels", peer.url), NOT_A_NODE),
        }
    }
}

/// Why nothing came that could be understood, and what to do about it.
fn unanswered(peer: &Peer, error: &PeerError) -> (String, &'static str) {
    match error {
        PeerError::Name(name) => (name.to_string(), NOT_A_NODE),
        PeerError::Insecure { why, .. } => {
            (format!("{}: {why}", peer.url), "correct https and the certificate there, or [backfill] ca_file here")
        }
        PeerError::Unexpected { .. } | PeerError::TooLarge { .. } => {
            (format!("{} answers something that is no status of a node", peer.url), NOT_A_NODE)
        }
        other => (
            format!("{} does not answer: {}", peer.url, cause(other)),
            "look whether it runs, at the address, and at firewalls",
        ),
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
fn cause(error: &PeerError) -> String {
    if matches!(error, PeerError::TimedOut { .. }) {
        return format!("nothing within {} s", PATIENCE.as_secs());
    }
    let mut inner: &dyn std::error::Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

/// By how many seconds our clock is ahead. `Date` has whole seconds and the answer took a moment: one second is nothing.
fn ahead(ahead: Span) -> i64 {
    let seconds = ahead.us() / SECOND_US;
    if seconds.abs() <= 1 { 0 } else { seconds }
}
