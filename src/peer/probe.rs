//! Looks for a file of ours through a peer: one that shows it serves the same directory as this node, under whatever name.
//!
//! A list may come from a cache; a path that was never asked for before cannot. So both are asked, and one that shows it is enough.

use reqwest::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue, RANGE};
use reqwest::{Response, StatusCode};
use tokio::time::timeout;

use super::body::chunk;
use super::client::{Peer, PeerClient, address, refused, words};
use super::error::{Begins, PeerError};
use super::limits::Limits;
use crate::domain::HourPlace;
use crate::domain::probe::is_probe_name;

/// What has to come for a file to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// A head that says so.
    Head,
    /// A byte of it.
    Byte,
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
        let listed = self.list(peer, &[["files"].as_slice(), &parts].concat(), &[], accept).await;
        match listed {
            Ok(listing) => Ok(listing.names.iter().any(|name| **name == *probe)),
            // It has no such hour at all.
            Err(error) if error.status() == Some(StatusCode::NOT_FOUND) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether a peer gives at least a byte of this segment: a head that says so comes from a disk that cannot be read, too. An error
    /// unless it says clearly that it has not got it.
    pub async fn serves_segment(&self, peer: &Peer, place: &HourPlace, name: &str) -> Result<bool, PeerError> {
        let (hour, stream) = (place.hour.to_string(), &place.stream);
        let path = ["segments", stream.channel.as_str(), stream.quality.as_str(), &hour, name];
        self.first_byte(peer, &path, Wanted::Byte).await
    }

    async fn serves(&self, peer: &Peer, path: &[&str]) -> Result<bool, PeerError> {
        self.first_byte(peer, path, Wanted::Head).await
    }

    async fn first_byte(&self, peer: &Peer, path: &[&str], wanted: Wanted) -> Result<bool, PeerError> {
        let url = address(peer, path)?;
        let text = url.to_string();
        let mut headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static("identity"))]);
        // Of an empty file there is no first byte, which is an error.
        headers.insert(RANGE, HeaderValue::from_static("bytes=0-0"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        let after = self.limits().listing_time;
        let work = async {
            let mut response = self.ask(&url, &headers).await?;
            match response.status() {
                status if status.is_success() && wanted == Wanted::Head => Ok(true),
                StatusCode::OK | StatusCode::PARTIAL_CONTENT => given(&text, response, self.limits()).await,
                StatusCode::NOT_FOUND => {
                    words(&mut response).await;
                    Ok(false)
                }
                _ => Err(refused(&text, response).await),
            }
        };
        match timeout(after, work).await {
            Ok(answer) => answer,
            Err(_) => Err(PeerError::TimedOut { url: text.clone(), what: "did not finish its answer", after }),
        }
    }
}

/// Whether a byte of a file comes, and not of a page that some servers send for whatever they have not got.
async fn given(url: &str, mut response: Response, limits: &Limits) -> Result<bool, PeerError> {
    let unexpected = |problem: String, begins| PeerError::Unexpected { url: url.to_owned(), problem, begins };
    let kind = response.headers().get(CONTENT_TYPE).map(|kind| kind.as_bytes().to_ascii_lowercase());
    let is_page = kind.is_some_and(|kind| kind.starts_with(b"text/html"));
    while let Some(piece) = chunk(url, &mut response, limits, 0).await? {
        if is_page {
            return Err(unexpected("expected a segment, found a page".to_owned(), Begins::of(&piece)));
        }
        if !piece.is_empty() {
            return Ok(true);
        }
    }
    Err(unexpected("expected a segment, found nothing".to_owned(), Begins::default()))
}
