//! Why a question was not answered, for the person who typed a command: the sentence first, and the address last.

use std::error::Error;

use reqwest::StatusCode;
use serde::Deserialize;

use crate::net::tls::TlsError;
use crate::replicate::peer::BadUrl;

/// Characters of an answer that is no problem document.
const SHOWN_CHARS: usize = 200;

/// Why a question was not answered.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// It is not an address, or holds a name that nothing has.
    #[error(transparent)]
    Address(#[from] BadUrl),
    /// It could not be reached, or fell silent.
    #[error("the node does not answer; is it running, and is the address right? ({address}: {why})")]
    Unreachable {
        /// Who was asked.
        address: String,
        /// Why not.
        why: String,
    },
    /// The server there is not trusted, or does not speak TLS.
    #[error("cannot speak securely with the node: {why} ({address})")]
    Insecure {
        /// Who was asked.
        address: String,
        /// Why not.
        why: String,
    },
    /// It answered with an error.
    #[error("{detail}{}", from(address.as_deref(), *status))]
    Refused {
        /// Who was asked, unless it was this process.
        address: Option<String>,
        /// The status.
        status: StatusCode,
        /// What is wrong, and what to do about it.
        detail: String,
    },
    /// Its answer is not what was asked for.
    #[error("the answer cannot be read; is the node another version? ({address}: {source})")]
    Unexpected {
        /// Who was asked.
        address: String,
        /// Why not.
        source: serde_json::Error,
    },
    /// Its answer is larger than anything sensible.
    #[error("the answer is larger than {limit} bytes ({address})")]
    TooLarge {
        /// Who was asked.
        address: String,
        /// The limit.
        limit: usize,
    },
    /// What was to be sent cannot be written down.
    #[error("cannot write down what is to be sent: {0}")]
    Unsendable(serde_json::Error),
    /// This side cannot ask anybody.
    #[error("cannot make HTTP requests")]
    Setup(#[source] reqwest::Error),
    /// This side cannot encrypt.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl ApiError {
    /// The status that it was refused with.
    pub fn status(&self) -> Option<StatusCode> {
        if let Self::Refused { status, .. } = self { Some(*status) } else { None }
    }
}

fn from(address: Option<&str>, status: StatusCode) -> String {
    address.map_or_else(String::new, |address| format!(" ({address} answered {status})"))
}

/// Why a connection failed.
pub(super) fn of_connection(address: &str, error: &reqwest::Error) -> ApiError {
    let address = address.to_owned();
    match crate::net::tls::explain(error) {
        Some(why) => ApiError::Insecure { address, why },
        None => ApiError::Unreachable { address, why: innermost(error) },
    }
}

/// What an error comes down to.
fn innermost(error: &reqwest::Error) -> String {
    let mut inner: &dyn Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

/// With what right a question was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ShownToken {
    /// That of the process that holds the archive.
    Right,
    /// A token.
    Token,
    /// None, since the user may not read the daemon's own.
    Unreadable,
    /// None, since none was given.
    Nothing,
}

/// What a refusal says, in words of the command line.
pub(super) fn words(status: StatusCode, body: &[u8], shown: ShownToken) -> String {
    let text = match (status, shown) {
        (StatusCode::UNAUTHORIZED, ShownToken::Nothing) => {
            "this takes a token: give the file that holds it with --token-file"
        }
        (StatusCode::UNAUTHORIZED, ShownToken::Unreadable) => {
            "this takes a token, and you may not read the daemon's own, daemon.token beside the index: run it as the daemon's user"
        }
        (StatusCode::UNAUTHORIZED, _) => "the token is not one that the node accepts; give another with --token-file",
        (StatusCode::FORBIDDEN, ShownToken::Token) => {
            "the token is for reading only; give one for writing with --token-file"
        }
        _ => return in_flags(&detail(body)),
    };
    text.to_owned()
}

/// The server speaks of parameters, and who typed a command of flags.
fn in_flags(detail: &str) -> String {
    detail.replace("allow_holes=true", "--allow-holes").replace("The parameter ", "The value of ")
}

/// The sentence in a problem document, or else the beginning of the text.
fn detail(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Problem {
        detail: Option<String>,
        title: Option<String>,
    }
    let problem = serde_json::from_slice(body).ok().and_then(|problem: Problem| problem.detail.or(problem.title));
    problem.unwrap_or_else(|| {
        let text = String::from_utf8_lossy(body);
        text.chars().filter(|c| !c.is_control()).take(SHOWN_CHARS).collect()
    })
}
