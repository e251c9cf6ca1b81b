//! Fetches one file from a peer.
//!
//! 1. The size is bounded by what the peer announces, before anything is read, and again while it arrives; so are the time and the slowness.
//! 2. A connection that breaks is resumed once, where it broke, if the peer gave the file a strong tag: `If-Range` makes
//!    sure that the rest is the rest of the same file, or else the whole comes again.
//! 3. Nothing is published here: whoever takes the file in compares its hash.
//!
//! Writing goes to the blocking threads in pieces; the time that our disk and our own limit take does not count against the peer.

use std::time::Duration;

use reqwest::header::{ACCEPT_ENCODING, CONTENT_RANGE, ETAG, HeaderMap, HeaderValue, IF_RANGE, RANGE};
use reqwest::{Response, StatusCode, Url};
use tokio::time::{Instant, timeout};

use super::body::{BodyProblem, body_error, chunk, encoding};
use super::client::{Peer, PeerClient, address, error_detail, local_address, refused};
use super::error::{BodyStart, PeerError};
use super::limits::PeerLimits;
use crate::archive::HourPlace;
use crate::disk::{DiskError, Intake, MissingFile, NewFile, Pause};

/// What is collected before it is written: few hops to the blocking threads, little memory for each download.
pub const PIECE_BYTES: usize = 256 << 10;
/// A tag longer than this is not repeated to the peer.
const ETAG_BYTES: usize = 256;

impl PeerClient {
    /// Fetches a segment or chat batch.
    pub async fn download<I>(
        &self,
        peer: &Peer,
        place: &HourPlace,
        file: &MissingFile,
        into: &mut I,
    ) -> Result<(), I::Error>
    where
        I: Intake<Error: From<PeerError>>,
    {
        let (channel, quality) = (place.stream.channel.as_str(), place.stream.quality.as_str());
        let path = ["segments", channel, quality, &place.hour.to_string(), &file.name];
        let url = local_address(peer, &path)?;
        let after = self.limits().file_time;
        match timeout(after, self.fetch(&url, file, into)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(PeerError::TimedOut { url: url.into(), what: "did not finish the file", after }.into()),
        }
    }

    async fn fetch<I>(&self, url: &Url, file: &MissingFile, into: &mut I) -> Result<(), I::Error>
    where
        I: Intake<Error: From<PeerError>>,
    {
        let text = url.to_string();
        let mut resume: Option<Resume> = None;
        loop {
            let mut response = self.ask(url, &headers(resume.as_ref())).await?;
            let held = match (response.status(), &resume) {
                (StatusCode::OK, _) => 0,
                (StatusCode::PARTIAL_CONTENT, Some(wanted)) => {
                    wanted.check(&text, &response)?;
                    wanted.from
                }
                (StatusCode::NOT_FOUND | StatusCode::GONE, _) => {
                    // Read to its end, so that the connection can be kept.
                    error_detail(&mut response).await;
                    into.gone(file);
                    return Ok(());
                }
                _ => return Err(refused(&text, response).await.into()),
            };
            let total = announced(&text, &response, held, self.limits())?;
            if total.is_some_and(|total| !into.has_room_for(total)) {
                return Ok(());
            }
            if held == 0 {
                into.begin(file).await?;
            }
            let etag = strong_etag(&response);
            let (held, broken) = stream(&text, response, held, self.limits(), into).await?;
            match (broken, etag) {
                (None, _) => match total {
                    Some(total) if total != held => {
                        let problem = format!("{held} bytes instead of the {total} it announced");
                        let problem = BodyProblem::Unexpected(problem);
                        return Err(body_error(&text, problem, BodyStart::default()).into());
                    }
                    _ => return into.end(file).await,
                },
                (Some(error), Some(etag)) if resume.is_none() && held > 0 => {
                    tracing::debug!(name: "download_resumed", url = text, %error, "going on where the connection broke");
                    resume = Some(Resume { from: held, etag, total });
                }
                (Some(error), _) => return Err(error.into()),
            }
        }
    }
}

/// Where to go on, and in what.
struct Resume {
    from: u64,
    etag: HeaderValue,
    total: Option<u64>,
}

impl Resume {
    /// Whether a 206 is the rest that was asked for.
    fn check(&self, url: &str, response: &Response) -> Result<(), PeerError> {
        let range = response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let fits = content_range(range).is_some_and(|(first, total)| {
            first == self.from && (total.is_none() || self.total.is_none() || total == self.total)
        });
        if fits {
            return Ok(());
        }
        let problem = format!("the rest from byte {} on was asked for", self.from);
        Err(body_error(url, BodyProblem::Unexpected(problem), BodyStart::of(range.as_bytes())))
    }
}

/// `bytes 5-9/10` → 5 and 10; `*` in place of the length is none.
fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last) = (first.parse().ok()?, last.parse::<u64>().ok()?);
    let total = if total == "*" { None } else { Some(total.parse().ok()?) };
    (first <= last && total.is_none_or(|total| last < total)).then_some((first, total))
}

fn headers(resume: Option<&Resume>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    // Video does not compress, and a range of compressed bytes is of no use.
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if let Some(resume) = resume
        && let Ok(range) = HeaderValue::from_str(&format!("bytes={}-", resume.from))
    {
        headers.insert(RANGE, range);
        headers.insert(IF_RANGE, resume.etag.clone());
    }
    headers
}

/// The strong tag of the file, if the peer gave one.
fn strong_etag(response: &Response) -> Option<HeaderValue> {
    let etag = response.headers().get(ETAG)?;
    let bytes = etag.as_bytes();
    let strong = bytes.len() > 2 && bytes.len() <= ETAG_BYTES && bytes.starts_with(b"\"") && bytes.ends_with(b"\"");
    strong.then(|| etag.clone())
}

/// The length of the whole file, if the peer says it.
pub(super) fn announced(
    url: &str,
    response: &Response,
    held: u64,
    limits: &PeerLimits,
) -> Result<Option<u64>, PeerError> {
    let encoding = encoding(response);
    if !encoding.is_empty() {
        let problem = "its content is encoded, which was not asked for".to_owned();
        return Err(body_error(url, BodyProblem::Unexpected(problem), BodyStart::of(encoding)));
    }
    let total = response.content_length().map(|length| length.saturating_add(held));
    if total.is_some_and(|total| total > limits.file_bytes) {
        return Err(too_large(url, limits));
    }
    Ok(total)
}

fn too_large(url: &str, limits: &PeerLimits) -> PeerError {
    PeerError::TooLarge { url: url.to_owned(), what: "bytes for one file", limit: limits.file_bytes }
}

/// Takes a body, of which so many bytes are held, and says how many are then. A connection that breaks is returned with them; other errors end
/// it all.
async fn stream<I>(
    url: &str,
    mut response: Response,
    mut held: u64,
    limits: &PeerLimits,
    into: &mut I,
) -> Result<(u64, Option<PeerError>), I::Error>
where
    I: Intake<Error: From<PeerError>>,
{
    let mut pace = DownloadPace::begin();
    loop {
        let bytes = match chunk(url, &mut response, limits, held).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok((held, None)),
            Err(broken @ PeerError::Broken { .. }) => return Ok((held, Some(broken))),
            Err(other) => return Err(other.into()),
        };
        let length = bytes.len() as u64;
        if held.saturating_add(length) > limits.file_bytes {
            return Err(too_large(url, limits).into());
        }
        pace.count(url, length, limits)?;
        into.waits_for(Pause::Ours);
        let ours = Instant::now();
        limits.throttle.wait(bytes.len()).await;
        into.waits_for(Pause::Theirs);
        held += length;
        into.came(length);
        into.write(&bytes).await?;
        pace.rest(ours.elapsed());
    }
}

pub(super) struct DownloadPace {
    since: Instant,
    bytes: u64,
}

impl DownloadPace {
    pub(super) fn begin() -> Self {
        Self { since: Instant::now(), bytes: 0 }
    }

    pub(super) fn rest(&mut self, ours: Duration) {
        self.since += ours;
    }

    pub(super) fn count(&mut self, url: &str, bytes: u64, limits: &PeerLimits) -> Result<(), PeerError> {
        self.bytes = self.bytes.saturating_add(bytes);
        let seconds = self.since.elapsed();
        if seconds < limits.slow_window {
            return Ok(());
        }
        if self.bytes < limits.slow_bytes {
            let expected = limits.slow_bytes;
            return Err(PeerError::TooSlow { url: url.to_owned(), bytes: self.bytes, seconds, expected });
        }
        *self = Self { since: Instant::now(), bytes: 0 };
        Ok(())
    }
}

impl PeerClient {
    /// Fetches the file of this path, of at most so many bytes. `None` if the peer has it no more, or `open` says that it is here:
    /// it is called when the peer sends the file, and not before, so that nothing is made for what it does not have.
    pub async fn extra(
        &self,
        peer: &Peer,
        path: &[&str],
        most: u64,
        open: impl FnOnce() -> Result<Option<NewFile>, DiskError> + Send + 'static,
    ) -> Result<Option<NewFile>, PeerError> {
        let parts: Vec<&str> = std::iter::once("segments").chain(path.iter().copied()).collect();
        let url = address(peer, &parts)?;
        let after = self.limits().file_time;
        let limits = PeerLimits { file_bytes: self.limits().file_bytes.min(most), ..self.limits().clone() };
        match timeout(after, self.take(&url, &limits, open)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(PeerError::TimedOut { url: url.into(), what: "did not finish the file", after }),
        }
    }

    async fn take(
        &self,
        url: &reqwest::Url,
        limits: &PeerLimits,
        open: impl FnOnce() -> Result<Option<NewFile>, DiskError> + Send + 'static,
    ) -> Result<Option<NewFile>, PeerError> {
        let text = url.to_string();
        let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static("identity"))]);
        let mut response = self.ask(url, &headers).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND | StatusCode::GONE => {
                error_detail(&mut response).await;
                return Ok(None);
            }
            _ => return Err(refused(&text, response).await),
        }
        let total = announced(&text, &response, 0, limits)?;
        let opened = tokio::task::spawn_blocking(open).await.map_err(|_| PeerError::Stopping)??;
        let Some(mut file) = opened else { return Ok(None) };
        let mut pace = DownloadPace::begin();
        let (mut piece, mut held) = (Vec::new(), 0_u64);
        while let Some(bytes) = chunk(&text, &mut response, limits, held).await? {
            held = held.saturating_add(bytes.len() as u64);
            if held > limits.file_bytes {
                return Err(PeerError::TooLarge { url: text, what: "bytes for one file", limit: limits.file_bytes });
            }
            limits.throttle.wait(bytes.len()).await;
            pace.count(&text, bytes.len() as u64, limits)?;
            piece.extend_from_slice(&bytes);
            if piece.len() >= PIECE_BYTES {
                let began = Instant::now();
                file = written(file, std::mem::take(&mut piece)).await?;
                pace.rest(began.elapsed());
            }
        }
        file = written(file, piece).await?;
        match total {
            Some(total) if total != held => {
                let problem = format!("{held} bytes instead of the {total} it announced");
                Err(body_error(&text, BodyProblem::Unexpected(problem), BodyStart::default()))
            }
            _ => Ok(Some(file)),
        }
    }
}

async fn written(mut file: NewFile, piece: Vec<u8>) -> Result<NewFile, PeerError> {
    let done = tokio::task::spawn_blocking(move || file.write(&piece).map(|()| file));
    Ok(done.await.map_err(|_| PeerError::Stopping)??)
}
