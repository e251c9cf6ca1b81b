//! An answer, read as a value, as bytes, line by line or piece by piece. Bounded in any case.

use std::error::Error;

use bytes::Bytes;
use reqwest::header::CONTENT_LENGTH;
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::net::tls::TlsError;
use crate::replicate::peer::BadUrl;

/// An answer that is held as a whole: the largest page of records fits.
const MAX_BODY_BYTES: usize = 256 << 20;
/// One line of an answer that is read line by line, and a refusal.
const MAX_LINE_BYTES: usize = 1 << 20;

#[derive(Debug)]
pub struct ApiAnswer {
    /// Who sends it; `None` is this process.
    address: Option<String>,
    response: Response,
    held: Vec<u8>,
    over: bool,
}

impl ApiAnswer {
    pub(super) async fn new(address: Option<String>, response: Response, shown: ShownToken) -> Result<Self, ApiError> {
        let status = response.status();
        let mut answer = Self { address, response, held: Vec::new(), over: false };
        if status.is_success() {
            return Ok(answer);
        }
        let body = answer.whole(MAX_LINE_BYTES).await?;
        Err(ApiError::Refused { address: answer.address, status, detail: words(status, &body, shown) })
    }

    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub async fn json<T: DeserializeOwned>(mut self) -> Result<T, ApiError> {
        let bytes = self.whole(MAX_BODY_BYTES).await?;
        serde_json::from_slice(&bytes).map_err(|source| ApiError::Unexpected { address: self.address(), source })
    }

    pub async fn bytes(mut self) -> Result<Vec<u8>, ApiError> {
        self.whole(MAX_BODY_BYTES).await
    }

    pub fn total(&self) -> Option<u64> {
        self.response.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
    }

    /// The next piece; `None` after the last. An answer that breaks off is an error.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, ApiError> {
        let piece = self.response.chunk().await;
        piece.map_err(|error| of_connection(&self.address(), &error))
    }

    /// The next line without its end; `None` after the last.
    pub async fn line(&mut self) -> Result<Option<String>, ApiError> {
        let mut searched = 0;
        loop {
            let fresh = self.held.get(searched..).unwrap_or_default();
            if let Some(end) = fresh.iter().position(|byte| *byte == b'\n') {
                let rest = self.held.split_off(searched + end + 1);
                let mut line = std::mem::replace(&mut self.held, rest);
                line.pop();
                return Ok(Some(String::from_utf8_lossy(&line).into_owned()));
            }
            searched = self.held.len();
            if self.over {
                let last = std::mem::take(&mut self.held);
                return Ok((!last.is_empty()).then(|| String::from_utf8_lossy(&last).into_owned()));
            }
            if searched > MAX_LINE_BYTES {
                return Err(ApiError::TooLarge { address: self.address(), limit: MAX_LINE_BYTES });
            }
            match self.piece().await? {
                Some(bytes) => self.held.extend_from_slice(&bytes),
                None => self.over = true,
            }
        }
    }

    async fn whole(&mut self, limit: usize) -> Result<Vec<u8>, ApiError> {
        let mut whole = Vec::new();
        while let Some(bytes) = self.piece().await? {
            if whole.len() + bytes.len() > limit {
                return Err(ApiError::TooLarge { address: self.address(), limit });
            }
            whole.extend_from_slice(&bytes);
        }
        Ok(whole)
    }

    fn address(&self) -> String {
        self.address.clone().unwrap_or_else(|| "this process".to_owned())
    }
}

/// Characters of an answer that is no problem document.
const SHOWN_CHARS: usize = 200;

#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error(transparent)]
    Address(#[from] BadUrl),
    #[error("the node does not answer; is it running, and is the address right? ({address}: {why})")]
    Unreachable { address: String, why: String },
    #[error("cannot speak securely with the node: {why} ({address})")]
    Insecure { address: String, why: String },
    #[error("{detail}{}", from(address.as_deref(), *status))]
    Refused { address: Option<String>, status: StatusCode, detail: String },
    #[error("the answer cannot be read; is the node another version? ({address}: {source})")]
    Unexpected { address: String, source: serde_json::Error },
    #[error("the answer is larger than {limit} bytes ({address})")]
    TooLarge { address: String, limit: usize },
    #[error("cannot write down what is to be sent: {0}")]
    Unsendable(serde_json::Error),
    #[error("cannot make HTTP requests")]
    Setup(#[source] reqwest::Error),
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl ApiError {
    pub fn status(&self) -> Option<StatusCode> {
        if let Self::Refused { status, .. } = self { Some(*status) } else { None }
    }
}

fn from(address: Option<&str>, status: StatusCode) -> String {
    address.map_or_else(String::new, |address| format!(" ({address} answered {status})"))
}

pub(super) fn of_connection(address: &str, error: &reqwest::Error) -> ApiError {
    let address = address.to_owned();
    match crate::net::tls::explain(error) {
        Some(why) => ApiError::Insecure { address, why },
        None => ApiError::Unreachable { address, why: innermost(error) },
    }
}

fn innermost(error: &reqwest::Error) -> String {
    let mut inner: &dyn Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ShownToken {
    Right,
    Token,
    /// None, since the user may not read the daemon's own.
    Unreadable,
    /// None, since none was given.
    Nothing,
}

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
    detail
        .replace("allow_holes=true", "--allow-holes")
        .replace("type=smart", "--type smart")
        .replace("The parameter ", "The value of ")
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
