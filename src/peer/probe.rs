//! Looks for a file of ours through a peer: one that shows it serves the same directory as this node, under whatever name.
//!
//! A list may come from a cache; a path that was never asked for before cannot. So both are asked, and one that shows it is enough.

use reqwest::StatusCode;
use reqwest::header::{ACCEPT_ENCODING, CACHE_CONTROL, HeaderMap, HeaderValue, RANGE};
use tokio::time::timeout;

use super::client::{Peer, PeerClient, address, refused, words};
use super::error::PeerError;
use crate::domain::HourPlace;
use crate::domain::probe::is_probe_name;

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

    /// Whether a peer has at least a byte of this segment. An error unless it says clearly that it has not.
    pub async fn serves_segment(&self, peer: &Peer, place: &HourPlace, name: &str) -> Result<bool, PeerError> {
        let (hour, stream) = (place.hour.to_string(), &place.stream);
        self.serves(peer, &["segments", stream.channel.as_str(), stream.quality.as_str(), &hour, name]).await
    }

    async fn serves(&self, peer: &Peer, path: &[&str]) -> Result<bool, PeerError> {
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
                status if status.is_success() => Ok(true),
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
