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
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use hyper::{HeaderMap, Response};
use reqwest::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_RANGE, HeaderValue, LOCATION, RANGE};
use reqwest::{StatusCode, Url};
use tokio::time::timeout;

use super::address::{AddressError, AddressRules, shown_url};
use super::origin_http::OriginHttp;
use super::playlist::{ByteRange, HlsPlaylist, PlaylistError, parse_playlist};
use super::source_headers::SourceHeaders;
use crate::archive::LARGEST_FILE;
use crate::archive::quantity::size;
use crate::net::tls::{self, ClientConfig};

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
        matches!(self, Self::Address(_))
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
}

impl OriginClient {
    /// Of a source whose hosts are still to be [allowed](AddressRules::allow).
    pub fn new(headers: SourceHeaders, tls: &ClientConfig, limits: OriginLimits) -> Self {
        let rules = AddressRules::default();
        let http = OriginHttp::new(rules.clone(), tls, limits.connect);
        Self { http, rules, headers, limits }
    }

    pub const fn rules(&self) -> &AddressRules {
        &self.rules
    }

    /// The playlist at an address, with the address that it came from in the end: what it names is relative to that.
    pub async fn playlist(&self, url: &Url) -> Result<(Url, HlsPlaylist), OriginError> {
        let most = self.limits.playlist_bytes;
        let (from, bytes) = self.small(url, None, "a playlist", most).await?;
        let read = parse_playlist(&bytes).map_err(|why| OriginError::Playlist { url: shown_url(&from), why })?;
        Ok((from, read))
    }

    /// A key of AES-128.
    pub async fn key(&self, url: &Url) -> Result<[u8; 16], OriginError> {
        let (from, bytes) = self.small(url, None, "a key", 1 << 10).await?;
        if url.scheme() == "https" && from.scheme() != "https" {
            let why = "the key was asked for by https, and led to an address without encryption".to_owned();
            return Err(OriginError::Unexpected { url: shown_url(&from), why });
        }
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
        self.open_up_to(url, range, "a segment", self.limits.segment_bytes).await
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
        let (from, response) = self.ask(url, range).await?;
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

    /// Follows redirects itself: each leads only where addresses may lead.
    async fn ask(&self, url: &Url, range: Option<ByteRange>) -> Result<(Url, Response<Incoming>), OriginError> {
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
                Some(location) if status.is_redirection() => at = self.rules.join(&at, location)?,
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
                return Err(OriginError::TooLarge { url: shown_url(&self.url), what: self.what, limit: self.limit });
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
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::source_address::SourceAddress;
    use super::*;

    const LIMITS: OriginLimits = OriginLimits {
        connect: Duration::from_secs(5),
        silence: Duration::from_millis(300),
        playlist_time: Duration::from_secs(5),
        playlist_bytes: 100_000,
        segment_time: Duration::from_secs(5),
        segment_bytes: 100_000,
        redirects: 3,
    };

    /// A server that gives this answer to every request, with `more` again and again behind it; counts the bytes that it could send.
    fn origin(answer: &str, more: &'static [u8]) -> (Url, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = Url::parse(&format!("http://{}/live.m3u8", listener.local_addr().unwrap())).unwrap();
        // Each connection has one answer, and the client has to know that.
        let answer = answer.replacen("\r\n", "\r\nConnection: close\r\n", 1);
        let sent = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&sent);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let mut head = [0; 4_096];
                // What the client hangs up on is what this is for.
                if stream.read(&mut head).is_err() || stream.write_all(answer.as_bytes()).is_err() {
                    continue;
                }
                while !more.is_empty() && stream.write_all(more).is_ok() {
                    counted.fetch_add(more.len(), Ordering::SeqCst);
                }
                if answer.contains("silent") {
                    std::thread::sleep(Duration::from_secs(1));
                }
            }
        });
        (url, sent)
    }

    fn client(url: &Url) -> OriginClient {
        let source = SourceAddress::parse(url.as_str()).unwrap();
        let client = OriginClient::new(SourceHeaders::default(), &tls::trusting_nobody().unwrap(), LIMITS);
        client.rules().allow(source.url().host_str().unwrap());
        client
    }

    #[tokio::test]
    async fn a_cookie_that_a_source_sets_is_sent_back() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = Url::parse(&format!("http://{}/live/master.m3u8", listener.local_addr().unwrap())).unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let mut head = [0; 4_096];
                let length = stream.read(&mut head).unwrap();
                tell.send(String::from_utf8_lossy(&head[..length]).to_lowercase()).unwrap();
                let list = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\na.ts\n";
                let ok = "HTTP/1.1 200 OK\r\nConnection: close\r\nSet-Cookie: token=abc; Path=/live; HttpOnly\r\n";
                stream.write_all(format!("{ok}Content-Length: {}\r\n\r\n{list}", list.len()).as_bytes()).unwrap();
            }
        });
        let client = client(&url);
        for expected in [false, true] {
            client.playlist(&url).await.unwrap();
            assert_eq!(told.recv().unwrap().contains("cookie: token=abc\r\n"), expected);
        }
    }

    async fn problem(answer: &str, more: &'static [u8]) -> (String, usize) {
        let (url, sent) = origin(answer, more);
        let error = client(&url).playlist(&url).await.unwrap_err();
        (error.to_string(), sent.load(Ordering::SeqCst))
    }

    #[tokio::test]
    async fn bad_playlists_are_refused_with_a_reason_and_without_being_read() {
        let ok = "HTTP/1.1 200 OK\r\n";
        for (answer, expected) in [
            (format!("{ok}Content-Length: 6\r\n\r\n<html>"), "it is no HLS playlist: it begins with \"<html>\""),
            (
                format!("{ok}Content-Length: 1000000000\r\n\r\n#EXTM3U"),
                "has more than 97.66 KiB, which is the limit for a playlist",
            ),
            (format!("{ok}Content-Length: 9\r\nContent-Encoding: br\r\n\r\n#EXTM3U\n\n"), "it is compressed"),
            (format!("{ok}Content-Length: 99\r\nX: silent\r\n\r\n#EXTM3U"), "sent nothing more within"),
            (format!("{ok}Content-Length: 99\r\n\r\n#EXTM3U"), "broke after 7 B"),
            ("HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n".to_owned(), "more than 3 redirects"),
            (
                "HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n".to_owned(),
                "only http and https are asked",
            ),
            (
                "HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n".to_owned(),
                "it is in a private network",
            ),
            ("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n".to_owned(), "this address is not allowed"),
        ] {
            let (said, _) = problem(&answer, b"").await;
            assert!(said.contains(expected), "{answer}: {said}");
        }
    }

    #[tokio::test]
    async fn an_endless_playlist_is_read_up_to_its_limit() {
        let (said, sent) = problem("HTTP/1.1 200 OK\r\n\r\n#EXTM3U\n", b"#EXTINF:2,\na.ts\n").await;
        assert!(said.contains("limit for a playlist"), "{said}");
        // What the sockets of both sides hold comes on top.
        assert!(sent < 16 << 20, "{sent} bytes were taken");
    }

    #[tokio::test]
    async fn an_address_is_told_without_its_secrets() {
        let (mut url, _) = origin("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", b"");
        url.set_query(Some("token=secret"));
        url.set_username("secret").unwrap();
        let error = client(&url).playlist(&url).await.unwrap_err();
        assert!(error.is_gone() && !error.to_string().contains("secret"), "{error}");
        let nowhere = Url::parse("http://127.0.0.1:9/live.m3u8?token=secret").unwrap();
        let unreachable = client(&nowhere).playlist(&nowhere).await.unwrap_err().to_string();
        assert!(unreachable.contains("cannot be reached") && !unreachable.contains("secret"), "{unreachable}");
    }

    #[tokio::test]
    async fn a_part_is_the_part_that_was_asked_for_whether_the_server_knows_of_parts_or_not() {
        let range = Some(ByteRange { first: 3, length: 4 });
        let part = async |answer: &str| {
            let (url, _) = origin(answer, b"");
            let mut body = client(&url).open(&url, range).await.map_err(|error| error.to_string())?;
            let mut all = Vec::new();
            while let Some(piece) = body.next().await.map_err(|error| error.to_string())? {
                all.extend_from_slice(&piece);
            }
            Ok::<_, String>(String::from_utf8(all).unwrap())
        };
        let whole = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789";
        assert_eq!(part(whole).await.unwrap(), "3456");
        let right = "HTTP/1.1 206 Part\r\nContent-Range: bytes 3-6/10\r\nContent-Length: 4\r\n\r\n3456";
        assert_eq!(part(right).await.unwrap(), "3456");
        let other = "HTTP/1.1 206 Part\r\nContent-Range: bytes 0-3/10\r\nContent-Length: 4\r\n\r\n0123";
        assert!(part(other).await.unwrap_err().contains("another part than bytes 3-6/*"));
        let short = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n01234";
        assert!(part(short).await.unwrap_err().contains("it ends before the 4 bytes"));
    }
}
