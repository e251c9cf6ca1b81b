//! Lists that are not read twice: one that is as it was is recognised by its tag, or else by a hash over its bytes.
//!
//! For peers that have no digests, whose every hour is listed in every round. What was done about a list is not known here.

use reqwest::StatusCode;
use reqwest::header::{ACCEPT_ENCODING, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH};
use tokio::time::timeout;
use xxhash_rust::xxh3::Xxh3;

use super::body::{self, BodyProblem, BodySink, body_error};
use super::client::{Listing, Peer, PeerClient, address, hideable, in_order, refused};
use super::error::PeerError;
use super::list::ListReader;
use crate::archive::HourPlace;

/// A tag longer than this is not kept.
const ETAG_BYTES: usize = 256;
/// Bytes of a list that are held until it is known whether it is another one; what is longer is read while it arrives.
const HELD_BYTES: usize = 4 << 20;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListRead {
    etag: Option<HeaderValue>,
    hash: u128,
}

#[derive(Debug)]
pub enum HourListing {
    Same,
    /// This, and by what it is recognised the next time.
    Names(Listing<Box<str>>, ListRead),
}

impl PeerClient {
    /// The visible files of an hour as [`PeerClient::segments`] lists them, unless that is the list that was seen.
    pub async fn segments_unless(
        &self,
        peer: &Peer,
        place: &HourPlace,
        seen: Option<&ListRead>,
    ) -> Result<HourListing, PeerError> {
        let hour = place.hour.to_string();
        let mut url = address(peer, &["files", place.stream.channel.as_str(), place.stream.quality.as_str(), &hour])?;
        url.query_pairs_mut().append_pair("tombstones", "true");
        let text = url.to_string();
        let mut headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static("gzip"))]);
        headers.extend(seen.and_then(|seen| seen.etag.clone()).map(|etag| (IF_NONE_MATCH, etag)));
        let limits = self.limits();
        let work = async {
            let mut response = self.ask(&url, &headers).await?;
            match (response.status(), seen) {
                (StatusCode::NOT_MODIFIED, Some(seen)) if seen.etag.is_some() => return Ok(HourListing::Same),
                (StatusCode::OK, _) => {}
                _ => return Err(refused(&text, response).await),
            }
            let etag = response.headers().get(ETAG).filter(|etag| etag.len() <= ETAG_BYTES).cloned();
            let sink = Hashed::new(limits.listing_entries);
            let (hashed, begins) = body::read(&text, &mut response, limits, limits.listing_bytes, sink).await?;
            let hash = hashed.hash.digest128();
            if seen.is_some_and(|seen| seen.hash == hash) {
                return Ok(HourListing::Same);
            }
            let (names, refused) = hashed.finish().map_err(|problem| body_error(&text, problem, begins))?;
            let names = in_order(names).await?;
            Ok(HourListing::Names(Listing { names, refused }, ListRead { etag, hash }))
        };
        let after = limits.listing_time;
        let late = |_| PeerError::TimedOut { url: text.clone(), what: "did not finish its answer", after };
        timeout(after, work).await.map_err(late)?
    }
}

/// Hashes a list, and reads it only when it is asked for, or too long to be held.
struct Hashed {
    hash: Xxh3,
    held: Vec<u8>,
    reader: ListReader<Box<str>>,
}

impl Hashed {
    fn new(most: usize) -> Self {
        Self { hash: Xxh3::new(), held: Vec::new(), reader: ListReader::new(most, hideable) }
    }

    fn finish(mut self) -> Result<(Vec<Box<str>>, u64), BodyProblem> {
        self.reader.take(&std::mem::take(&mut self.held))?;
        self.reader.finish()
    }
}

impl BodySink for Hashed {
    fn take(&mut self, bytes: &[u8]) -> Result<(), BodyProblem> {
        self.hash.update(bytes);
        self.held.extend_from_slice(bytes);
        if self.held.len() > HELD_BYTES {
            self.reader.take(&std::mem::take(&mut self.held))?;
        }
        Ok(())
    }
}
