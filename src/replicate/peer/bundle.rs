//! Asks a peer of our kind for many small files at once.
//!
//! The answer is bounded and held in memory; what is in it is compared with its hash and published elsewhere.

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode};
use tokio::time::timeout;

use super::body::{self, BodyProblem, told};
use super::client::{Peer, PeerClient, address, refused};
use super::error::PeerError;
use crate::archive::HourPlace;
use crate::wire::bundle::{self, ANSWER_BYTES, BundleRequest};

impl PeerClient {
    /// The answer to a request for these files of an hour, to be read by [`bundle::read`].
    pub async fn bundle(&self, peer: &Peer, place: &HourPlace, names: Vec<String>) -> Result<Vec<u8>, PeerError> {
        let (channel, quality) = (place.stream.channel.as_str(), place.stream.quality.as_str());
        let url = address(peer, &["api", "v1", "bundle", channel, quality, &place.hour.to_string()])?;
        let text = url.to_string();
        let asked = serde_json::to_vec(&BundleRequest { names }).unwrap_or_default();
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        let work = async {
            let mut response = self.send(&Method::POST, &url, &headers, asked.into()).await?;
            if response.status() != StatusCode::OK {
                return Err(refused(&text, response).await);
            }
            let is_bundle = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == bundle::CONTENT_TYPE);
            let (answer, begins) = body::read(&text, &mut response, self.limits(), ANSWER_BYTES, Vec::new()).await?;
            if is_bundle {
                Ok(answer)
            } else {
                Err(told(&text, BodyProblem::Unexpected("no bundle".to_owned()), begins))
            }
        };
        let after = self.limits().listing_time;
        let late = |_| PeerError::TimedOut { url: text.clone(), what: "did not finish its answer", after };
        timeout(after, work).await.map_err(late)?
    }
}
