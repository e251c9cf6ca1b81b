//! Asks the origin of a stream: playlists, keys, and the bytes of segments. The only part of this room that opens connections.
//!
//! 1. Every address, and each one that a redirect leads to, is one of [`super::address`]'s; so is what its name resolves to.
//! 2. Bytes, time, silence and redirects are bounded, before and while something comes.
//! 3. Headers of the operator go to the source's own hosts alone, wherever a playlist or a redirect leads.
//! 4. Cookies that a source sets are sent back to whom they belong ([`SourceCookies`](super::source_cookies::SourceCookies)).
//! 5. What was sent in another encoding than the one asked for is refused: names are made of what was sent.
//!
//! What is in a playlist is judged elsewhere, and nothing is tried again here.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use hyper::{HeaderMap, Response};
use parking_lot::RwLock;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_RANGE, HeaderValue, LOCATION, RANGE};
use reqwest::{StatusCode, Url};
use tokio::time::timeout;

use super::address::{AddressError, AddressRules, shown_url};
use super::origin_http::OriginHttp;
use super::playlist::{ByteRange, HlsPlaylist, PlaylistError, PlaylistPlace, Variables, parse_playlist};
use super::source_headers::SourceHeaders;
use crate::archive::LARGEST_FILE;
use crate::archive::quantity::size;
use crate::net::tls::{self, ClientConfig};

/// What a key is called.
const A_KEY: &str = "a key";
/// What a segment is called.
const A_SEGMENT: &str = "a segment";
/// Bytes of an initialisation segment: real ones have one or two thousand.
pub const MOST_INIT: u64 = 1 << 20;

/// The limits towards an origin. The defaults are for the real world; tests make them small.
#[derive(Debug, Clone, Copy)]
pub struct OriginLimits {
    /// Until a connection stands.
    pub connect: Duration,
    /// Longest silence before an answer, and within it: live servers answer at once.
    pub silence: Duration,
    /// For a whole playlist or key.
    pub playlist_time: Duration,
    /// Bytes of a playlist: 50,000 segments with addresses of 160 bytes.
    pub playlist_bytes: u64,
    /// For a whole segment: nobody has one longer in the window.
    pub segment_time: Duration,
    /// Bytes of a segment: no other node would fetch a larger one.
    pub segment_bytes: u64,
    /// Redirects of one request.
    pub redirects: usize,
}

impl Default for OriginLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            silence: Duration::from_secs(10),
            playlist_time: Duration::from_secs(20),
            playlist_bytes: 8 << 20,
            segment_time: Duration::from_secs(5 * 60),
            segment_bytes: LARGEST_FILE,
            redirects: 5,
        }
    }
}

/// Why an origin did not give what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum OriginError {
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error("{url} answered {status}{}", meaning(*status))]
    Status { url: String, status: StatusCode },
    #[error("{url} cannot be reached: {why}")]
    Unreachable { url: String, why: String },
    #[error("the connection to {url} broke after {}: {why}", size(*bytes))]
    Broken { url: String, bytes: u64, why: String },
    #[error("{url} {what} within {} s", after.as_secs())]
    TimedOut { url: String, what: &'static str, after: Duration },
    #[error("{url} has more than {}, which is the limit for {what}", size(*limit))]
    TooLarge { url: String, what: &'static str, limit: u64 },
    #[error("{url} went on behind {}, which is the limit for {what}", size(*limit))]
    Endless { url: String, what: &'static str, limit: u64 },
    #[error("{url} leads on and on: more than {limit} redirects")]
    Redirects { url: String, limit: usize },
    #[error("{url} sent something else than was asked for: {why}")]
    Unexpected { url: String, why: String },
    #[error("{url}: {why}")]
    Playlist { url: String, why: PlaylistError },
}

impl OriginError {
    /// It is there no more, or the address has expired: another one may be known to the master playlist.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Status { status, .. } if matches!(status.as_u16(), 401 | 403 | 404 | 410))
    }

    /// Asking again changes nothing.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Address(_) => true,
            // It would come up to the limit each time.
            Self::Endless { what, .. } => *what == A_SEGMENT,
            _ => false,
        }
    }
}

fn meaning(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 | 403 => ": this address is not allowed, or not any more",
        404 | 410 => ": there is nothing of that name, or not any more",
        429 => ": it is asked too often",
        500.. => ": the server has a problem",
        _ => "",
    }
}

/// Asks one source, and what its playlists lead to. Cheap to clone.
#[derive(Debug, Clone)]
pub struct OriginClient {
    http: OriginHttp,
    rules: AddressRules,
    headers: SourceHeaders,
    limits: OriginLimits,
    /// Of the master playlist that was asked last.
    variables: Arc<RwLock<Arc<Variables>>>,
}

impl OriginClient {
    /// Of a source whose hosts are still to be [allowed](AddressRules::allow).
    pub fn new(headers: SourceHeaders, tls: &ClientConfig, limits: OriginLimits) -> Self {
        let rules = AddressRules::default();
        let http = OriginHttp::new(rules.clone(), tls, limits.connect);
        Self { http, rules, headers, limits, variables: Arc::default() }
    }

    pub const fn rules(&self) -> &AddressRules {
        &self.rules
    }

    /// The playlist at an address, with the address that it came from in the end: what it names is relative to that.
    pub async fn playlist(&self, url: &Url) -> Result<(Url, HlsPlaylist), OriginError> {
        let most = self.limits.playlist_bytes;
        let (from, bytes) = self.small(url, None, "a playlist", most).await?;
        let place = PlaylistPlace { url: Some(from.clone()), imported: Some(Arc::clone(&self.variables.read())) };
        let read = parse_playlist(&bytes, place).map_err(|why| OriginError::Playlist { url: shown_url(&from), why })?;
        if let HlsPlaylist::Master(master) = &read {
            *self.variables.write() = Arc::clone(&master.variables);
        }
        Ok((from, read))
    }

    /// A key of AES-128.
    pub async fn key(&self, url: &Url) -> Result<[u8; 16], OriginError> {
        let (from, bytes) = self.small(url, None, A_KEY, 1 << 10).await?;
        <[u8; 16]>::try_from(bytes.as_slice()).map_err(|_| OriginError::Unexpected {
            url: shown_url(&from),
            why: format!("{} bytes, and a key of AES-128 has 16", bytes.len()),
        })
    }

    /// An initialisation segment, or the part of a file that is one.
    pub async fn init(&self, url: &Url, range: Option<ByteRange>) -> Result<(Url, Vec<u8>), OriginError> {
        self.small(url, range, "an initialisation segment", MOST_INIT).await
    }

    async fn small(
        &self,
        url: &Url,
        range: Option<ByteRange>,
        what: &'static str,
        most: u64,
    ) -> Result<(Url, Vec<u8>), OriginError> {
        let after = self.limits.playlist_time;
        let reading = async {
            let mut body = self.open_up_to(url, range, what, most).await?;
            let mut bytes = Vec::new();
            while let Some(piece) = body.next().await? {
                bytes.extend_from_slice(&piece);
            }
            Ok((body.url, bytes))
        };
        match timeout(after, reading).await {
            Ok(read) => read,
            Err(_) => Err(OriginError::TimedOut { url: shown_url(url), what: "did not finish its answer", after }),
        }
    }

    /// The bytes of a segment, or of a part of a file.
    pub async fn open(&self, url: &Url, range: Option<ByteRange>) -> Result<OriginBody, OriginError> {
        self.open_up_to(url, range, A_SEGMENT, self.limits.segment_bytes).await
    }

    /// How long a segment may take.
    pub const fn segment_time(&self) -> Duration {
        self.limits.segment_time
    }

    async fn open_up_to(
        &self,
        url: &Url,
        range: Option<ByteRange>,
        what: &'static str,
        limit: u64,
    ) -> Result<OriginBody, OriginError> {
        let (from, response) = self.ask(url, range, what == A_KEY).await?;
        let shown = shown_url(&from);
        let mut encodings = response.headers().get_all(CONTENT_ENCODING).iter();
        if encodings.any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
            return Err(OriginError::Unexpected { url: shown, why: "it is compressed".to_owned() });
        }
        let is_part = response.status() == StatusCode::PARTIAL_CONTENT;
        let skip = match (range, is_part) {
            (Some(range), true) => {
                let said = response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
                let wanted = format!("bytes {}-{}/", range.first, range.end().saturating_sub(1));
                if !said.is_some_and(|said| said.starts_with(&wanted)) {
                    let why = format!("another part than {wanted}*");
                    return Err(OriginError::Unexpected { url: shown, why });
                }
                0
            }
            // The server knows of no parts.
            (Some(range), false) => range.first,
            (None, true) => return Err(OriginError::Unexpected { url: shown, why: "only a part".to_owned() }),
            (None, false) => 0,
        };
        let announced = response.body().size_hint().exact();
        if announced.is_some_and(|length| length > limit) || range.is_some_and(|range| range.end() > limit && !is_part)
        {
            return Err(OriginError::TooLarge { url: shown, what, limit });
        }
        Ok(OriginBody {
            url: from,
            wanted: range.map(|range| range.length),
            body: response.into_body(),
            skip,
            taken: 0,
            what,
            limit,
            silence: self.limits.silence,
        })
    }

    /// Follows redirects itself: each leads only where addresses may lead, and those of a key not away from https.
    async fn ask(
        &self,
        url: &Url,
        range: Option<ByteRange>,
        is_key: bool,
    ) -> Result<(Url, Response<Incoming>), OriginError> {
        let mut at = url.clone();
        for _ in 0..=self.limits.redirects {
            self.rules.check(&at)?;
            // What the operator gave is for those whom he named.
            let is_own = at.host_str().is_some_and(|host| self.rules.is_own(host));
            let mut headers = if is_own { self.headers.map().clone() } else { HeaderMap::new() };
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            let bytes = range.map(|range| format!("bytes={}-{}", range.first, range.end().saturating_sub(1)));
            if let Some(bytes) = bytes.and_then(|bytes| HeaderValue::try_from(bytes).ok()) {
                headers.insert(RANGE, bytes);
            }
            let after = self.limits.silence;
            let response = match timeout(after, self.http.get(&at, headers)).await {
                Ok(Ok(response)) => response,
                Ok(Err(error)) => return Err(OriginError::Unreachable { url: shown_url(&at), why: cause(&*error) }),
                Err(_) => return Err(OriginError::TimedOut { url: shown_url(&at), what: "did not answer", after }),
            };
            let status = response.status();
            let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            match location {
                Some(location) if status.is_redirection() => {
                    at = self.rules.join(&at, location)?;
                    // Each of them, not the last alone: whoever listens in between may lead to a key of his own.
                    if is_key && url.scheme() == "https" && at.scheme() != "https" {
                        let why = "the key was asked for by https, and led to an address without encryption".to_owned();
                        return Err(OriginError::Unexpected { url: shown_url(&at), why });
                    }
                }
                _ if status == StatusCode::OK || status == StatusCode::PARTIAL_CONTENT => return Ok((at, response)),
                _ => return Err(OriginError::Status { url: shown_url(&at), status }),
            }
        }
        Err(OriginError::Redirects { url: shown_url(url), limit: self.limits.redirects })
    }
}

/// What comes, piece by piece.
#[derive(Debug)]
pub struct OriginBody {
    /// Where it came from in the end.
    pub url: Url,
    body: Incoming,
    /// Bytes before those that were asked for.
    skip: u64,
    /// How many were asked for; none is all.
    wanted: Option<u64>,
    taken: u64,
    what: &'static str,
    limit: u64,
    silence: Duration,
}

impl OriginBody {
    /// The next bytes; none when all have come.
    pub async fn next(&mut self) -> Result<Option<Bytes>, OriginError> {
        loop {
            if self.wanted.is_some_and(|wanted| self.taken >= wanted) {
                return Ok(None);
            }
            let piece = match timeout(self.silence, self.body.frame()).await {
                // Trailers are not of it.
                Ok(Some(Ok(frame))) => Some(frame.into_data().unwrap_or_default()),
                Ok(Some(Err(error))) => return Err(self.broken(cause(&error))),
                Ok(None) => None,
                Err(_) => {
                    let (url, after) = (shown_url(&self.url), self.silence);
                    return Err(OriginError::TimedOut { url, what: "sent nothing more", after });
                }
            };
            let Some(mut piece) = piece else {
                return match self.wanted {
                    Some(wanted) => Err(self.broken(format!("it ends before the {wanted} bytes of this part"))),
                    None => Ok(None),
                };
            };
            let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(piece.len());
            self.skip -= skipped as u64;
            let mut piece = piece.split_off(skipped);
            if let Some(wanted) = self.wanted {
                piece.truncate(usize::try_from(wanted - self.taken).unwrap_or(usize::MAX));
            }
            self.taken += piece.len() as u64;
            if self.taken > self.limit {
                return Err(OriginError::Endless { url: shown_url(&self.url), what: self.what, limit: self.limit });
            }
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
    }

    fn broken(&self, why: String) -> OriginError {
        OriginError::Broken { url: shown_url(&self.url), bytes: self.taken, why }
    }
}

/// The innermost words of an error. Those around them hold the whole address, with what may be secret in it.
fn cause(error: &(dyn Error + 'static)) -> String {
    if let Some(why) = tls::explain(error) {
        return why;
    }
    let mut inner = error.source();
    while let Some(deeper) = inner.and_then(Error::source) {
        inner = Some(deeper);
    }
    inner.map_or_else(|| "it was refused".to_owned(), ToString::to_string)
}

#[cfg(test)]
mod tests;
