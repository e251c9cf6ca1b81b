//! What a peer's list is worth: whether it shows a file of ours, and so serves the same directory as this node, under whatever name; and
//! whether it gives what it lists, to the last byte.
//!
//! A list may come from a cache; a path that was never asked for before cannot. So both are asked, and one that shows it is enough.
//! Nothing that comes is kept.

use reqwest::header::{ACCEPT_ENCODING, CACHE_CONTROL, HeaderMap, HeaderValue, RANGE};
use reqwest::{Response, StatusCode};
use sha2::{Digest as _, Sha256};

use super::body::chunk;
use super::client::{LOCAL, Peer, PeerClient, error_detail, local_address, refused};
use super::download::announced;
use super::error::PeerError;
use super::limits::PeerLimits;
use crate::archive::probe::is_probe_name;
use crate::archive::{FileName, Hash, HourPlace, parse_file_name};

/// What came when a segment was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeAnswer {
    /// What the hash in its name says, of so many bytes.
    Right(u64),
    Wrong(u64),
    Nothing,
}

impl PeerClient {
    /// Whether a peer shows this probe in this hour. An error unless it says clearly that it does not.
    pub async fn shows_probe(&self, peer: &Peer, place: &HourPlace, probe: &str) -> Result<bool, PeerError> {
        let (hour, stream) = (place.hour.to_string(), &place.stream);
        let parts = [stream.channel.as_str(), stream.quality.as_str(), &hour];
        if self.serves(peer, &[["segments"].as_slice(), &parts, &[probe]].concat()).await? {
            return Ok(true);
        }
        let accept = |name: &str| is_probe_name(name).then(|| Box::<str>::from(name));
        let listed = self.list(peer, &[["files"].as_slice(), &parts].concat(), &[LOCAL], accept).await;
        match listed {
            Ok(listing) => Ok(listing.names.iter().any(|name| **name == *probe)),
            // It has no such hour at all.
            Err(error) if error.status() == Some(StatusCode::NOT_FOUND) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether a peer gives this segment or chat batch, whole: a byte of it, or a head that promises it, can be had from who has nothing.
    /// An error if that cannot be found out, or takes more than `most` bytes.
    pub async fn gives_segment(
        &self,
        peer: &Peer,
        place: &HourPlace,
        name: &str,
        most: u64,
    ) -> Result<ProbeAnswer, PeerError> {
        let FileName::Understood(key) = parse_file_name(name) else { return Ok(ProbeAnswer::Wrong(0)) };
        let (hour, stream) = (place.hour.to_string(), &place.stream);
        let path = ["segments", stream.channel.as_str(), stream.quality.as_str(), &hour, name];
        let url = local_address(peer, &path)?;
        let text = url.to_string();
        let headers = HeaderMap::from_iter([
            (ACCEPT_ENCODING, HeaderValue::from_static("identity")),
            (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        ]);
        self.in_time(&text, async {
            let mut response = self.ask(&url, &headers).await?;
            match response.status() {
                StatusCode::OK => given(&text, response, self.limits(), most, key.hash).await,
                StatusCode::NOT_FOUND | StatusCode::GONE => {
                    error_detail(&mut response).await;
                    Ok(ProbeAnswer::Nothing)
                }
                _ => Err(refused(&text, response).await),
            }
        })
        .await
    }

    async fn serves(&self, peer: &Peer, path: &[&str]) -> Result<bool, PeerError> {
        let url = local_address(peer, path)?;
        let text = url.to_string();
        let mut headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static("identity"))]);
        // Of an empty file there is no first byte, which is an error.
        headers.insert(RANGE, HeaderValue::from_static("bytes=0-0"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        self.in_time(&text, async {
            let mut response = self.ask(&url, &headers).await?;
            match response.status() {
                status if status.is_success() => Ok(true),
                StatusCode::NOT_FOUND => {
                    error_detail(&mut response).await;
                    Ok(false)
                }
                _ => Err(refused(&text, response).await),
            }
        })
        .await
    }
}

async fn given(
    url: &str,
    mut response: Response,
    limits: &PeerLimits,
    most: u64,
    expected: Hash,
) -> Result<ProbeAnswer, PeerError> {
    announced(url, &response, 0, limits)?;
    let limit = limits.file_bytes.min(most);
    let (mut hash, mut bytes) = (Sha256::new(), 0_u64);
    while let Some(piece) = chunk(url, &mut response, limits, bytes).await? {
        bytes = bytes.saturating_add(piece.len() as u64);
        if bytes > limit {
            return Err(PeerError::TooLarge { url: url.to_owned(), what: "bytes for a sample", limit });
        }
        limits.throttle.wait(piece.len()).await;
        hash.update(&piece);
    }
    let is_right = Hash(hash.finalize().into()) == expected;
    Ok(if is_right { ProbeAnswer::Right(bytes) } else { ProbeAnswer::Wrong(bytes) })
}
