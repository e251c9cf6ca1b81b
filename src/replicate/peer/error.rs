//! What can go wrong with a peer: what a worker is to do about it, and why, for people.
//!
//! Whatever a peer said itself is escaped and cut short before it gets into a message.
//!
//! Whether what a peer lists is a channel at all is one rule, for backfill, for the reasons of holes, and for `diff`. Many a node lists everything
//! that lies in its base as a channel (`blogs/`, `coverage-maps/`, a file), and answers with an error, a page or a redirect when it is asked
//! what is in it. That is no trouble, and must not look like one. But a peer that fails for a channel that is one hides segments, and that is
//! trouble whatever the status: so nothing is passed over that is known to be a channel, here or from what the peer itself listed before, or
//! that somebody asked for by name.

use std::error::Error;
use std::time::Duration;

use reqwest::StatusCode;

use super::url::BadUrl;
use crate::disk::DiskError;

/// Characters of what a peer said that are shown.
const SHOWN_CHARS: usize = 120;

/// Why a peer did not give what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    #[error("cannot make HTTP requests: {}", innermost(.0))]
    Setup(#[source] reqwest::Error),
    /// The name cannot be asked for.
    #[error(transparent)]
    Name(#[from] BadUrl),
    /// No connection: refused, no route, or no such host.
    #[error("cannot reach {url}: {}; is the peer running, and the address right?", innermost(source))]
    Unreachable { url: String, source: reqwest::Error },
    /// No encrypted connection: whoever answers there is not trusted, or does not speak TLS.
    #[error("cannot speak securely with {url}: {why}")]
    Insecure { url: String, why: String },
    #[error("{url} {what} within {} s; it is asked again later", after.as_secs_f64())]
    TimedOut {
        url: String,
        /// What it did not do, as it reads after the address.
        what: &'static str,
        after: Duration,
    },
    /// The connection broke, or what arrived is not HTTP.
    #[error("the connection to {url} broke after {bytes} bytes: {}", innermost(source))]
    Broken { url: String, bytes: u64, source: reqwest::Error },
    #[error("{url} redirects ({status}) to {to:?}, which is not followed; give the peer's final address")]
    Redirected {
        url: String,
        status: StatusCode,
        /// Where to.
        to: String,
    },
    /// Another status than the one for what was asked.
    #[error("{url} answered {status}{detail}")]
    Status {
        url: String,
        status: StatusCode,
        /// Its own words, if it had any.
        detail: String,
    },
    /// The answer is not what was asked for.
    #[error("{url} gave something else than what was asked for: {problem}{begins}; is it an archive node?")]
    Unexpected { url: String, problem: String, begins: BodyStart },
    /// More than the limits allow.
    #[error("{url} sent more than {limit} {what}; the rest was not read")]
    TooLarge { url: String, what: &'static str, limit: u64 },
    /// It arrives too slowly to be worth waiting for.
    #[error("{url} sent only {bytes} bytes in {} s and was given up; expected at least {expected}", seconds.as_secs())]
    TooSlow { url: String, bytes: u64, seconds: Duration, expected: u64 },
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("the download was given up because this process is ending")]
    Stopping,
}

impl PeerError {
    /// Whether the peer is not there (refused, no route, silent, not to be trusted): ask again later, nothing is wrong with what it has.
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Insecure { .. } | Self::TimedOut { .. })
    }

    /// Whether the peer is there and did something that it should not: count it, and ask another for the same thing.
    pub fn is_peers_fault(&self) -> bool {
        match self {
            Self::Broken { .. }
            | Self::Redirected { .. }
            | Self::Status { .. }
            | Self::Unexpected { .. }
            | Self::TooLarge { .. }
            | Self::TooSlow { .. } => true,
            Self::Setup(_)
            | Self::Name(_)
            | Self::Unreachable { .. }
            | Self::Insecure { .. }
            | Self::TimedOut { .. }
            | Self::Disk(_)
            | Self::Stopping => false,
        }
    }

    /// The status that the peer answered with, if that is what is wrong.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Status { status, .. } | Self::Redirected { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// What our own disk said, if it was the disk.
    pub fn disk(&self) -> Option<&DiskError> {
        match self {
            Self::Disk(error) => Some(error),
            _ => None,
        }
    }
}

/// How an answer begins; empty where there is nothing to show.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BodyStart(String);

impl BodyStart {
    pub fn of(bytes: &[u8]) -> Self {
        Self(escaped(bytes))
    }
}

impl std::fmt::Display for BodyStart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, ", it begins with \"{}\"", self.0) }
    }
}

/// The beginning of what a peer said, fit for a terminal and a log.
pub(super) fn escaped(bytes: &[u8]) -> String {
    let bytes = bytes.get(..4 * SHOWN_CHARS).unwrap_or(bytes);
    String::from_utf8_lossy(bytes).chars().take(SHOWN_CHARS).flat_map(char::escape_debug).collect()
}

fn innermost(error: &reqwest::Error) -> String {
    let mut inner: &dyn Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

impl PeerError {
    /// Whether the peer answered in a way in which it would answer about something that is no channel.
    pub fn may_mean_no_channel(&self) -> bool {
        match self {
            Self::Status { status, .. } => !is_about_the_asker_or_the_moment(*status),
            Self::Redirected { .. } | Self::Unexpected { .. } => true,
            _ => false,
        }
    }
}

/// Whether a status says who may ask, or that the peer cannot answer now, and so nothing about what was asked for. A 500 is not among
/// them: hosts of this field answer it for a file among their channels.
fn is_about_the_asker_or_the_moment(status: StatusCode) -> bool {
    matches!(status.as_u16(), 401 | 403 | 407 | 408 | 421 | 429 | 502 | 503 | 504)
}

/// What a peer lists of a channel or quality; nothing where that is none of the peer's. `is_known` says that it is one.
pub fn unless_no_channel<T>(answer: Result<T, PeerError>, is_known: bool) -> Result<Option<T>, PeerError> {
    match answer {
        Ok(listing) => Ok(Some(listing)),
        Err(error) if !is_known && error.may_mean_no_channel() => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::super::error::BodyStart;
    use super::*;

    fn answers() -> Vec<PeerError> {
        let url = || "http://peer/files/blogs".to_owned();
        let status = |status| PeerError::Status { url: url(), status, detail: String::new() };
        vec![
            status(StatusCode::INTERNAL_SERVER_ERROR),
            status(StatusCode::NOT_FOUND),
            status(StatusCode::BAD_REQUEST),
            PeerError::Redirected { url: url(), status: StatusCode::FOUND, to: "/blogs/".to_owned() },
            PeerError::Unexpected { url: url(), problem: "a page".to_owned(), begins: BodyStart::default() },
        ]
    }

    #[test]
    fn a_name_that_is_no_channel_is_passed_over_however_the_peer_says_so() {
        for error in answers() {
            assert!(unless_no_channel::<()>(Err(error), false).unwrap().is_none());
        }
    }

    #[test]
    fn a_channel_that_is_known_is_never_passed_over() {
        for error in answers() {
            assert!(unless_no_channel::<()>(Err(error), true).is_err());
        }
    }

    #[test]
    fn a_peer_that_does_not_answer_says_nothing_about_channels() {
        let after = std::time::Duration::from_secs(1);
        let late = PeerError::TimedOut { url: "http://peer".to_owned(), what: "did not answer", after };
        assert!(unless_no_channel::<()>(Err(late), false).is_err());
    }

    #[test]
    fn a_peer_that_lets_nobody_ask_or_cannot_answer_now_says_nothing_about_channels() {
        for status in [401, 403, 408, 421, 429, 502, 503, 504] {
            let (url, status) = ("http://peer/files/a".to_owned(), StatusCode::from_u16(status).unwrap());
            let error = PeerError::Status { url, status, detail: String::new() };
            assert!(unless_no_channel::<()>(Err(error), false).is_err(), "{status}");
        }
    }
}
