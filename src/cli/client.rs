//! Asks a running daemon over HTTP, because only one process may have the index open.
//!
//! Knows no particular answer. Trusts the other side with nothing: sizes and waiting times are bounded, redirects are not
//! followed, and no proxy stands in between. Not for other nodes' archives; that is the peer's business.

use std::path::Path;
use std::time::Duration;

use crate::disk::{DirLock, directory_id};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url, redirect};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::UsageError;
use super::args::OtherNode;
use super::config::Config;
use crate::tokens::{self, Token};

use crate::tls::{self, ClientConfig, Fingerprint, TlsError};

/// A daemon on this machine that lives answers at once; one that does not must not hold up the verb.
const ALIVE_WITHIN: Duration = Duration::from_secs(2);
/// Longest silence within an answer: bringing hours up to date first may take this long on a slow disk.
const SILENCE: Duration = Duration::from_secs(120);
/// An answer that is kept whole: the largest page of records fits.
const MAX_BODY_BYTES: usize = 256 << 20;
/// One line of an answer that is read line by line.
const MAX_LINE_BYTES: usize = 1 << 20;
/// `daemon.json` holds a few short values.
const MAX_ADDRESS_FILE_BYTES: u64 = 64 << 10;

/// What is not encoded in a part of a path: RFC 3986's unreserved characters and the colon.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');

/// Why a daemon did not answer the question.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// It is not an address that can be asked.
    #[error(
        "{0:?} is no address of a daemon, expected one such as http://127.0.0.1:8000 or https://archive.example:8000"
    )]
    Address(String),
    /// It could not be reached, or fell silent.
    #[error("the daemon at {url} does not answer; is it running?")]
    Unreachable {
        /// What was asked.
        url: String,
        /// Why not.
        source: reqwest::Error,
    },
    /// Whoever answers there is not trusted, or does not speak TLS.
    #[error("cannot speak securely with the daemon at {url}: {why}")]
    Insecure {
        /// What was asked.
        url: String,
        /// Why not.
        why: String,
    },
    /// It answered with an error.
    #[error("the daemon at {url} answered {status}: {detail}")]
    Refused {
        /// What was asked.
        url: String,
        /// The status.
        status: StatusCode,
        /// Its own words.
        detail: String,
    },
    /// Its answer is not what was asked for.
    #[error("the daemon at {url} gave an answer that cannot be read; is it another version?")]
    Unexpected {
        /// What was asked.
        url: String,
        /// Why not.
        source: serde_json::Error,
    },
    /// Its answer is larger than anything sensible.
    #[error("the daemon at {url} gave an answer larger than {limit} bytes")]
    TooLarge {
        /// What was asked.
        url: String,
        /// The limit.
        limit: usize,
    },
    /// What was to be sent cannot be written down.
    #[error("cannot write down what is to be sent")]
    Unsendable(#[source] serde_json::Error),
    /// This side cannot ask anybody.
    #[error("cannot make HTTP requests")]
    Setup(#[source] reqwest::Error),
    /// This side cannot encrypt.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// What a daemon writes about itself into `STATE/daemon.json`.
#[derive(Debug, Clone, Deserialize)]
struct Written {
    address: String,
    pid: u32,
    name: String,
    /// Files of versions before there was encryption do not have it.
    #[serde(default)]
    scheme: Scheme,
    #[serde(default)]
    certificates: Vec<String>,
    /// Which directory it was written into: a copy of it names the daemon of another archive.
    #[serde(default)]
    directory: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Scheme {
    #[default]
    Http,
    Https,
}

impl Written {
    /// The daemon as it says it is: encrypted only with exactly its own certificate, because no public one is for a bare address.
    fn daemon(&self) -> Result<Daemon, ClientError> {
        let address = &self.address;
        match self.scheme {
            Scheme::Http => Daemon::at(&format!("http://{address}"), &*tls::trusting_nobody()?),
            Scheme::Https => {
                let certificates = self.certificates.iter().filter_map(|text| Fingerprint::parse(text)).collect();
                Daemon::at(&format!("https://{address}"), &*tls::pinned(certificates)?)
            }
        }
    }
}

/// A daemon that can be asked.
#[derive(Debug, Clone)]
pub struct Daemon {
    base: Url,
    client: Client,
    token: Option<Token>,
    /// Its process, if it is the one on this archive.
    pub pid: Option<u32>,
    /// Its name, if it is the one on this archive.
    pub name: Option<String>,
}

impl Daemon {
    /// The daemon that has the index in `state_dir` open, if one is alive. What a dead one left behind does not count.
    pub async fn find(state_dir: &Path) -> Option<Self> {
        let file = state_dir.join("daemon.json");
        // The daemon holds the lock of its state directory; what one that was killed left behind may name another's address by now.
        if DirLock::acquire(state_dir, Duration::ZERO).is_ok_and(|lock| lock.holds()) {
            return None;
        }
        let length = std::fs::metadata(&file).ok()?.len();
        if length > MAX_ADDRESS_FILE_BYTES {
            tracing::warn!(name: "daemon_file_unreadable", file = %file.display(), length, "not an address of a daemon");
            return None;
        }
        let bytes = std::fs::read(&file).ok()?;
        let written: Written = serde_json::from_slice(&bytes)
            .inspect_err(|error| tracing::warn!(name: "daemon_file_unreadable", file = %file.display(), %error, "not an address of a daemon"))
            .ok()?;
        // Where one of both is not known nothing says that it was copied.
        let ids = written.directory.as_ref().zip(directory_id(state_dir));
        if ids.is_some_and(|(there, here)| *there != here) {
            tracing::warn!(name: "daemon_file_copied", file = %file.display(), "it was copied here from another archive together with its directory, and names the daemon of that one, which is not asked");
            return None;
        }
        let found = written.daemon().ok()?;
        let asked = found.client.get(found.url("/healthz").ok()?).timeout(ALIVE_WITHIN).send().await;
        let answer = asked
            .inspect_err(|error| {
                if let Some(why) = tls::explain(error) {
                    tracing::warn!(name: "daemon_not_trusted", daemon = found.address(), why, "not the daemon that its file describes");
                }
            })
            .ok()?;
        // Who may not read it may still ask what everybody may.
        let token = tokens::read_one(&state_dir.join("daemon.token")).ok();
        let (pid, name) = (Some(written.pid), Some(written.name));
        answer.status().is_success().then_some(Self { token, pid, name, ..found })
    }

    /// The daemon at an address such as `http://archive.example:8000`, trusting whom `tls` trusts. Does not ask it anything yet.
    pub fn at(address: &str, tls: &ClientConfig) -> Result<Self, ClientError> {
        let wrong = || ClientError::Address(address.to_owned());
        let base = Url::parse(address).map_err(|_| wrong())?;
        if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() || !matches!(base.path(), "/" | "") {
            return Err(wrong());
        }
        let client = Client::builder()
            .tls_backend_preconfigured(tls::for_http(tls))
            .no_proxy()
            .redirect(redirect::Policy::none())
            .connect_timeout(ALIVE_WITHIN)
            .read_timeout(SILENCE)
            .build()
            .map_err(ClientError::Setup)?;
        Ok(Self { base, client, token: None, pid: None, name: None })
    }

    /// Shows this token with every question.
    #[must_use]
    pub fn with_token(self, token: Option<Token>) -> Self {
        Self { token, ..self }
    }

    /// Its address.
    pub fn address(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// Asks for one JSON value. `path` begins with `/` and is encoded already: see [`path`].
    pub async fn get_json<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let (url, mut answer) = self.ask(path).await?;
        let bytes = body(&url, &mut answer, MAX_BODY_BYTES).await?;
        serde_json::from_slice(&bytes).map_err(|source| ClientError::Unexpected { url, source })
    }

    /// Asks for an answer as it is, such as a picture.
    pub async fn get_bytes(&self, path: &str) -> Result<Vec<u8>, ClientError> {
        let (url, mut answer) = self.ask(path).await?;
        body(&url, &mut answer, MAX_BODY_BYTES).await
    }

    /// Sends one JSON value and reads another one.
    pub async fn post_json<T: DeserializeOwned>(&self, path: &str, sent: &impl Serialize) -> Result<T, ClientError> {
        let text = serde_json::to_vec(sent).map_err(ClientError::Unsendable)?;
        let request = self.client.post(self.url(path)?).header(CONTENT_TYPE, "application/json").body(text);
        let (url, mut answer) = self.send(request).await?;
        let bytes = body(&url, &mut answer, MAX_BODY_BYTES).await?;
        serde_json::from_slice(&bytes).map_err(|source| ClientError::Unexpected { url, source })
    }

    /// Asks for an answer that is read line by line while it arrives.
    pub async fn get_lines(&self, path: &str) -> Result<AnswerLines, ClientError> {
        let (url, answer) = self.ask(path).await?;
        Ok(AnswerLines { url, answer, held: Vec::new(), over: false })
    }

    /// Sends one JSON value and reads the answer line by line while it arrives.
    pub async fn post_lines(&self, path: &str, sent: &impl Serialize) -> Result<AnswerLines, ClientError> {
        let text = serde_json::to_vec(sent).map_err(ClientError::Unsendable)?;
        let request = self.client.post(self.url(path)?).header(CONTENT_TYPE, "application/json").body(text);
        let (url, answer) = self.send(request).await?;
        Ok(AnswerLines { url, answer, held: Vec::new(), over: false })
    }

    /// Asks for an answer that is taken piece by piece, such as a cut.
    pub async fn get_pieces(&self, path: &str) -> Result<Pieces, ClientError> {
        let (url, answer) = self.ask(path).await?;
        Ok(Pieces { url, answer })
    }

    fn url(&self, path: &str) -> Result<Url, ClientError> {
        let joined = format!("{}{path}", self.address());
        Url::parse(&joined).map_err(|_| ClientError::Address(joined))
    }

    async fn ask(&self, path: &str) -> Result<(String, Response), ClientError> {
        self.send(self.client.get(self.url(path)?)).await
    }

    async fn send(&self, request: RequestBuilder) -> Result<(String, Response), ClientError> {
        let request = match &self.token {
            Some(token) => request.bearer_auth(token.secret()),
            None => request,
        };
        let request = request.build().map_err(ClientError::Setup)?;
        let url = request.url().clone();
        let unreachable = |source: reqwest::Error| match tls::explain(&source) {
            Some(why) => ClientError::Insecure { url: url.to_string(), why },
            None => ClientError::Unreachable { url: url.to_string(), source },
        };
        let mut answer = self.client.execute(request).await.map_err(unreachable)?;
        let status = answer.status();
        if status.is_success() {
            return Ok((url.into(), answer));
        }
        let text = body(url.as_str(), &mut answer, MAX_LINE_BYTES).await?;
        Err(ClientError::Refused { url: url.into(), status, detail: detail(&text) })
    }
}

impl OtherNode {
    /// The daemon that was named, if one was.
    pub fn daemon(&self, config: &Config) -> anyhow::Result<Option<Daemon>> {
        let Some(address) = &self.node else { return Ok(None) };
        let trusted = super::peer_access::trusted(config)?;
        let daemon = Daemon::at(address, &trusted).map_err(|error| UsageError(error.to_string()))?;
        let token = self.token_file.as_deref().map(super::peer_access::token).transpose()?;
        Ok(Some(daemon.with_token(token)))
    }
}

/// The pieces of an answer.
#[derive(Debug)]
pub struct Pieces {
    url: String,
    answer: Response,
}

impl Pieces {
    /// How long the answer is, if that is known before.
    pub fn total(&self) -> Option<u64> {
        self.answer.content_length()
    }

    /// The next piece; `None` after the last. An answer that breaks off is an error.
    pub async fn next(&mut self) -> Result<Option<bytes::Bytes>, ClientError> {
        chunk(&self.url, &mut self.answer).await
    }
}

/// The lines of an answer.
#[derive(Debug)]
pub struct AnswerLines {
    url: String,
    answer: Response,
    held: Vec<u8>,
    over: bool,
}

impl AnswerLines {
    /// The next line without its end; `None` after the last.
    pub async fn next(&mut self) -> Result<Option<String>, ClientError> {
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
                return Err(ClientError::TooLarge { url: self.url.clone(), limit: MAX_LINE_BYTES });
            }
            match chunk(&self.url, &mut self.answer).await? {
                Some(bytes) => self.held.extend_from_slice(&bytes),
                None => self.over = true,
            }
        }
    }
}

/// A path from its parts, each percent-encoded: `path(["files", "a b"])` is `/files/a%20b`.
///
/// ```
/// use gapless::cli::client::path;
/// assert_eq!(path(["files", "a b", "2019-11-13T02"]), "/files/a%20b/2019-11-13T02");
/// ```
pub fn path<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    parts.into_iter().flat_map(|part| ["/".to_owned(), utf8_percent_encode(part, KEPT).to_string()]).collect()
}

/// A path with a query string of these pairs, each percent-encoded.
pub fn query<'a>(path: &str, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let pairs = pairs.into_iter().map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, KEPT)));
    let text = pairs.collect::<Vec<_>>().join("&");
    if text.is_empty() { path.to_owned() } else { format!("{path}?{text}") }
}

async fn chunk(url: &str, answer: &mut Response) -> Result<Option<bytes::Bytes>, ClientError> {
    answer.chunk().await.map_err(|source| ClientError::Unreachable { url: url.to_owned(), source })
}

async fn body(url: &str, answer: &mut Response, limit: usize) -> Result<Vec<u8>, ClientError> {
    let mut whole = Vec::new();
    while let Some(bytes) = chunk(url, answer).await? {
        if whole.len() + bytes.len() > limit {
            return Err(ClientError::TooLarge { url: url.to_owned(), limit });
        }
        whole.extend_from_slice(&bytes);
    }
    Ok(whole)
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
        text.chars().filter(|c| !c.is_control()).take(200).collect()
    })
}

#[cfg(test)]
mod tests;
